"""What owners may do, with which of their shares, and what they are told."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from jupyter_secxops_migrate import errors, runtime
from jupyter_secxops_migrate.copying.errors import DiskFull
from jupyter_secxops_migrate.engines.errors import EngineUnavailable
from jupyter_secxops_migrate.model import (
    EnvironmentStatus,
    Event,
    Migration,
    MigrationState,
)
from jupyter_secxops_migrate.operations.errors import IdempotencyConflict
from jupyter_secxops_migrate.sharing.errors import AlreadySharing
from jupyter_secxops_migrate.sharing.service import OwnerApi

from .world import ANNE, BERT, SECONDS, World, eventually

Call = Callable[[OwnerApi, str], Coroutine[Any, Any, Any]]


async def first_event(api: OwnerApi, migration: str) -> Event:
    return await anext(api.events(migration, 0))


CALLS: dict[str, Call] = {
    "get": lambda api, id: api.get(id, token=True),
    "events": first_event,
    "log": lambda api, id: api.log(id),
    "cancel": lambda api, id: api.cancel(id),
    "retry": lambda api, id: api.retry(id),
    "stop": lambda api, id: api.stop(id),
    "start": lambda api, id: api.start(id),
    "delete": lambda api, id: api.delete(id),
}


def test_what_is_somebody_elses_is_not_there(world: World) -> None:
    shared = world.ended(world.share(ANNE).id)
    before = world.get(shared.id)

    for name, call in CALLS.items():
        with pytest.raises(errors.NotFound):
            pytest.fail(f"{name}: {world.run(call(world.api(BERT), shared.id))}")
        assert world.get(shared.id).environment == before.environment, name
        assert world.engine.environments() == [shared.id], name

    assert world.run(world.api(BERT).list()) == []


def test_events_are_told_to_their_owner_only(world: World) -> None:
    async def of(owner: str) -> list[Event]:
        found = []
        async for event in world.api(owner).events(after=0):
            found.append(event)
            if event.state is not None and event.state.final:
                return found
        raise AssertionError

    futures = {owner: world.submit(of(owner)) for owner in (ANNE, BERT)}
    shares = {owner: world.share(owner) for owner in (ANNE, BERT)}

    for owner, future in futures.items():
        assert {e.migration for e in future.result(30)} == {shares[owner].id}


def test_a_key_that_comes_twice_gives_the_same_share(world: World) -> None:
    first = world.share(key="k")

    assert world.share(key="k").id == first.id
    assert world.share(BERT, key="k").id != first.id
    with pytest.raises(IdempotencyConflict):
        world.share(key="k", memory="2G")
    world.ended(first.id)
    assert world.share(key="k").state is MigrationState.SUCCEEDED
    assert len(world.run(world.api().list())) == 1


def test_two_shares_of_one_project_at_once_are_two(world: World) -> None:
    one, other = world.share(), world.share()

    assert other.name == f"{one.name}-2"
    ended = [world.ended(m.id) for m in (one, other)]
    assert [m.state for m in ended] == [MigrationState.SUCCEEDED] * 2
    assert len(world.engine.environments()) == 2 and len(world.engine.volumes()) == 4


def test_a_name_that_was_asked_for_is_taken_while_its_share_is_under_way(world: World) -> None:
    world.engine.hang("build")
    first = world.share(name="demo")

    with pytest.raises(AlreadySharing) as told:
        world.share(name="demo")

    assert told.value.params["id"] == first.id
    assert world.share(BERT, name="demo").name == "demo"
    world.engine.release("build")
    world.ended(first.id)
    assert world.share(name="demo").name == "demo"


def test_at_most_so_many_run_and_the_others_wait_in_order(asleep: World) -> None:
    asleep.workers = 2
    asleep.start()
    asleep.engine.hang("build")
    shares = [asleep.share(data=[]) for _ in range(5)]
    eventually(lambda: asleep.engine.calls("build") == 2)

    states = [asleep.get(m.id).state.value for m in shares]
    assert states == ["running", "running", "queued", "queued", "queued"]
    asleep.engine.release("build")
    ended = [asleep.ended(m.id) for m in shares]

    starts = [m.started for m in ended]
    assert all(starts) and starts == sorted(starts, key=str)


def test_the_token_is_its_owners_secret(world: World) -> None:
    shared = world.ended(world.share().id)

    path = world.data_dir / "migrations" / shared.id / "token"
    token = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(token) > 30
    told = world.get(shared.id, token=True).result
    assert told is not None and told.url is not None and told.url.endswith(f"?token={token}")
    for record in (world.get(shared.id), *world.run(world.api().list())):
        assert token not in record.model_dump_json()
    assert token not in "".join(e.model_dump_json() for e in world.events(shared.id))
    world.stop()  # so that no file of the store's comes and goes meanwhile
    for folder, _, files in os.walk(world.folder):
        for name in files:
            found = os.path.join(folder, name)
            with open(found, "rb") as file:
                assert found == str(path) or token.encode() not in file.read(), found


def test_an_environment_is_stopped_and_started_again(world: World) -> None:
    shared = world.ended(world.share().id)
    assert shared.environment is not None and shared.result is not None
    assert shared.environment.status is EnvironmentStatus.RUNNING

    stopped = world.run(world.api().stop(shared.id))
    assert stopped.environment is not None
    assert stopped.environment.status is EnvironmentStatus.STOPPED
    assert len(world.engine.volumes()) == 2

    started = world.run(world.api().start(shared.id))
    assert started.environment is not None and started.result is not None
    assert started.environment.status is EnvironmentStatus.RUNNING
    assert started.result.url and started.result.url != shared.result.url  # at a new port
    assert _told(world, shared.id) == [*STOPPED, EnvironmentStatus.RUNNING]


STOPPED = [EnvironmentStatus.STOPPING, EnvironmentStatus.STOPPED]


def test_one_that_is_being_stopped_is_shown_so_to_everybody(world: World) -> None:
    shared = world.ended(world.share().id)
    world.engine.hang("stop")
    asked = world.submit(world.api().stop(shared.id))
    world.hangs_in("stop")

    [listed] = world.run(world.api().list())
    for seen in (listed, world.get(shared.id, token=True)):
        assert seen.environment is not None and seen.result is not None
        assert seen.environment.status is EnvironmentStatus.STOPPING
        assert seen.result.url is None  # nobody is led to what goes
    assert _told(world, shared.id) == [EnvironmentStatus.STOPPING]
    with pytest.raises(errors.WrongState):
        world.run(world.api().start(shared.id))

    world.engine.release("stop")
    stopped = asked.result(SECONDS)
    assert stopped.environment is not None
    assert stopped.environment.status is EnvironmentStatus.STOPPED
    assert _told(world, shared.id) == STOPPED


def test_one_that_could_not_be_stopped_runs_on(world: World) -> None:
    shared = world.ended(world.share().id)
    world.engine.fail_next("stop", errors.EngineFailed(action="stop", reason="busy"))

    with pytest.raises(errors.EngineFailed):
        world.run(world.api().stop(shared.id))

    seen = world.get(shared.id)
    assert seen.environment is not None
    assert seen.environment.status is EnvironmentStatus.RUNNING
    assert _told(world, shared.id) == [EnvironmentStatus.STOPPING, EnvironmentStatus.RUNNING]


def _told(world: World, migration: str) -> list[EnvironmentStatus | None]:
    return [e.status for e in world.events(migration) if e.kind == "environment"]


def test_one_that_is_started_says_when_it_answers(world: World) -> None:
    shared = world.ended(world.share().id)
    world.engine.start_slowly()
    world.run(world.api().stop(shared.id))

    started = world.run(world.api().start(shared.id))
    assert started.environment is not None
    assert started.environment.status is EnvironmentStatus.STARTING
    time.sleep(1)
    assert _told(world, shared.id) == [*STOPPED, EnvironmentStatus.STARTING]

    world.engine.answer(shared.id)
    assert eventually(lambda: len(_told(world, shared.id)) == 4)
    assert _told(world, shared.id)[-1] is EnvironmentStatus.RUNNING


def test_one_that_answers_at_once_says_so_once(world: World) -> None:
    shared = world.ended(world.share().id)
    world.run(world.api().stop(shared.id))

    world.run(world.api().start(shared.id))
    time.sleep(1.2)  # twice as long as until it would be looked at again

    assert _told(world, shared.id) == [*STOPPED, EnvironmentStatus.RUNNING]


def test_one_that_is_stopped_while_it_starts_is_stopped_once(world: World) -> None:
    shared = world.ended(world.share().id)
    world.engine.start_slowly()
    world.run(world.api().stop(shared.id))
    world.run(world.api().start(shared.id))

    world.run(world.api().stop(shared.id))
    time.sleep(1.2)

    assert _told(world, shared.id) == [*STOPPED, EnvironmentStatus.STARTING, *STOPPED]


def test_nothing_is_said_of_one_after_its_deletion(world: World) -> None:
    shared = world.ended(world.share().id)
    world.engine.start_slowly()
    world.run(world.api().stop(shared.id))
    world.run(world.api().start(shared.id))

    world.run(world.api().delete(shared.id))
    time.sleep(1.2)

    assert [e.kind for e in _all_events(world) if e.migration == shared.id] == ["deleted"]


def test_an_environment_that_somebody_removed_is_gone(world: World) -> None:
    shared = world.ended(world.share().id)
    (world.engine.root / "environments" / shared.id).unlink()
    time.sleep(1.1)  # what was seen counts for a second

    found = world.get(shared.id)

    assert found.environment is not None
    assert found.environment.status is EnvironmentStatus.GONE
    with pytest.raises(errors.WrongState):
        world.run(world.api().start(shared.id))


@pytest.mark.parametrize("call", ["stop", "start"])
def test_only_what_was_launched_can_be_stopped_or_started(world: World, call: str) -> None:
    world.engine.fail_next("copy", DiskFull(step="copy"))
    shared = world.ended(world.share().id)

    with pytest.raises(errors.WrongState):
        world.run(CALLS[call](world.api(), shared.id))


def test_deleting_leaves_nothing(world: World) -> None:
    shared = world.ended(world.share().id)

    world.run(world.api().delete(shared.id))

    assert world.engine.objects() == []
    assert not (world.data_dir / "migrations" / shared.id).exists()
    assert world.run(world.api().list()) == []
    (last,) = [e for e in _all_events(world) if e.migration == shared.id]
    assert last.kind == "deleted"


def _all_events(world: World) -> list[Event]:
    assert world.service is not None
    return [event for _, event in world.service.store.owned_events(ANNE, 0)]


def test_events_go_on_after_the_last_one_seen(world: World) -> None:
    shared = world.ended(world.share().id)
    everything = world.events(shared.id)

    for seen in (everything[0], everything[len(everything) // 2], everything[-1]):
        rest = world.events(shared.id, after=seen.id)
        assert rest == [e for e in everything if e.id > seen.id]


def test_events_are_told_at_once(world: World) -> None:
    shared = world.ended(world.share().id)
    last = world.events(shared.id)[-1].id
    world.engine.hang("stop")

    async def told() -> EnvironmentStatus | None:
        waiting = asyncio.ensure_future(anext(world.api().events(after=last)))
        await asyncio.sleep(0.3)
        stopping = asyncio.ensure_future(world.api().stop(shared.id))
        event = await waiting
        assert not stopping.done()  # what was told of still goes on
        world.engine.release("stop")
        await stopping
        return event.status

    assert world.run(told()) is EnvironmentStatus.STOPPING


def test_what_nobody_accounts_for_is_swept(world: World) -> None:
    kept = world.ended(world.share().id)
    assert world.run(world.api().orphans()) == []
    (world.project / "Dockerfile").write_text("FROM base\nRUN pip install jupyterlab more\n")
    lost = world.ended(world.share().id)
    assert world.service is not None
    world.service.store.remove(lost.id)

    orphans = world.run(world.api().orphans())
    assert kept.result is not None and lost.result is not None
    assert [o.migration for o in orphans if o.kind != "image"] == [lost.id] * 3
    assert [o.name for o in orphans if o.kind == "image"] == [lost.result.image.reference]
    assert world.run(world.api(BERT).orphans()) == []
    assert len(world.run(world.api().sweep())) == 4

    assert world.run(world.api().orphans()) == []
    assert world.engine.environments() == [kept.id] and len(world.engine.volumes()) == 2
    assert list(world.engine.images().values()) == [[kept.result.image.reference]]
    # An image that lost its name is known by its id.
    world.engine.untag(kept.result.image.reference)
    assert world.run(world.api().orphans()) == []
    world.service.store.remove(kept.id)
    swept = world.run(world.api().sweep())
    assert kept.result.image.digest in [o.name for o in swept] and world.engine.objects() == []


def test_a_share_whose_record_was_lost_is_taken_back(world: World) -> None:
    world.engine.notebook = "ada's"
    made = world.ended(world.share().id)
    token = world.get(made.id, token=True).result
    gone = world.ended(world.share().id)
    world.run(world.api().stop(gone.id))
    world.stop()
    shutil.rmtree(world.data_dir)  # what a container takes along
    world.data_dir.mkdir()
    world.engine.tells = ""
    world.start()
    assert world.run(world.api().list()) == []
    # Whoever sweeps does not lose what is in use.
    assert all(o.adoptable for o in world.run(world.api().orphans()))
    assert world.run(world.api().sweep()) == [] and len(world.engine.volumes()) == 4
    assert world.run(world.api(BERT).adopt()) == []

    taken = world.run(world.api().adopt())

    assert {m.id for m in taken} == {made.id, gone.id} and all(m.adopted for m in taken)
    assert world.run(world.api().adopt()) == world.run(world.api().orphans()) == []
    back = world.get(made.id, token=True)
    assert back.name == made.name and back.state is MigrationState.SUCCEEDED
    assert back.result is not None and made.result is not None and token is not None
    assert [v.name for v in back.result.volumes] == [v.name for v in made.result.volumes]
    assert back.result.evidence.files_equal == 0
    # A token that nobody told is not made up.
    assert back.result.url is not None and "token" not in back.result.url
    assert world.run(world.api().start(gone.id)).environment is not None
    world.run(world.api().delete(made.id))
    world.run(world.api().delete(gone.id))
    assert world.engine.objects() == []


def test_a_token_that_an_environment_tells_is_kept(world: World) -> None:
    world.engine.notebook = "ada's"
    made = world.ended(world.share().id)
    assert world.service is not None
    world.service.store.remove(made.id)
    world.service.kit.forget_files(made.id)

    world.run(world.api().adopt())

    result = world.get(made.id, token=True).result
    assert result is not None and str(result.url).endswith(f"?token={world.engine.tells}")


def test_a_plan_touches_nothing(world: World) -> None:
    plan = world.run(world.api().plan(world.request()))

    assert not plan.refusals and {c.role for c in plan.copied} >= {"code", "data"}
    assert world.engine.objects() == [] and world.run(world.api().list()) == []


def test_a_project_that_is_not_there_is_said_at_once(world: World) -> None:
    with pytest.raises(errors.NoSuchPath):
        world.share(project=str(world.folder / "nothing"))

    assert world.run(world.api().list()) == []


def test_what_was_mistyped_leaves_no_record(world: World) -> None:
    file = world.project / "train.py"
    for asked, code in (
        ({"version": "no-such-branch"}, "no_such_version"),
        ({"data": ["/no/such"]}, "no_such_path"),
        ({"data": [str(world.data), str(file)]}, "no_such_path"),
        ({"data": [str(world.data), str(world.data)]}, "invalid_request"),
        ({"data": ["/etc"]}, "path_not_allowed"),
    ):
        with pytest.raises(errors.SecxopsError) as caught:
            world.share(**asked)
        assert caught.value.code == code
    assert world.engine.objects() == [] and world.run(world.api().list()) == []


def test_a_share_has_the_name_that_its_plan_has_shown(world: World) -> None:
    for _ in range(3):
        shown = world.run(world.api().plan(world.request())).name
        shared = world.ended(world.share().id)
        assert shared.plan is not None
        assert shown == shared.name == shared.plan.name
    assert shown.endswith("-3")
    again = world.run(world.api().plan(world.request(name=shown)))
    assert (again.name, again.refusals) == (shown, []), "who asks for a name gets it"
    world.engine.hang("build")
    busy = world.share(name=shown)
    refused = world.run(world.api().plan(world.request(name=shown)))
    assert [item.code for item in refused.refusals] == ["already_sharing"]
    world.engine.release("build")
    world.ended(busy.id)


def test_doctor_tells_of_service_engine_and_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_mounts", lambda: "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    monkeypatch.setattr(runtime, "_contained", lambda: False)
    report = world.run(world.api().doctor())

    assert report.service["pid"] == os.getpid()
    assert report.service["data"] == str(world.data_dir)
    assert {c.name: c.state for c in report.checks} == {"engine": "ok", "store": "ok"}
    assert str(world.data_dir) in report.checks[-1].message


def test_doctor_warns_of_a_record_that_may_be_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_contained", lambda: True)
    for type_, root, said in (
        ("overlay", "/", "the container's own layer"),
        ("ext4", "/pods/u/volumes/kubernetes.io~empty-dir/home", "an emptyDir"),
        ("tmpfs", "/", "in memory"),
        ("nfs4", "/", "a network file system"),
    ):
        point = "/" if type_ == "overlay" else world.data_dir
        mounts = f"22 1 0:50 / / rw - ext4 sda1 rw\n23 22 0:51 {root} {point} rw - {type_} x rw\n"
        monkeypatch.setattr(runtime, "_mounts", lambda mounts=mounts: mounts)

        (check,) = (c for c in world.run(world.api().doctor()).checks if c.name == "store")

        assert (check.state, said in check.message) == ("warning", True), type_
        assert "SECXOPS_DATA_DIR" in check.hint


def test_an_engine_that_is_away_hides_no_record(world: World) -> None:
    shared: Migration = world.ended(world.share().id)
    world.engine.fail_next("inspect", EngineUnavailable(endpoint="here"), times=99)
    time.sleep(1.1)

    found = world.get(shared.id)

    assert found.state is MigrationState.SUCCEEDED and found.environment is None


def test_the_list_comes_in_pages(world: World) -> None:
    made = [world.ended(world.share(name=f"n{n}").id).id for n in range(3)][::-1]

    def page(**asked: Any) -> list[str]:
        return [m.id for m in world.run(world.api().list(**asked))]

    assert page() == made
    assert page(limit=2) == made[:2]
    assert page(limit=2, before=made[1]) == made[2:]
    assert page(before=made[2]) == []
    with pytest.raises(errors.NotFound):
        page(before="mnot0there")
    with pytest.raises(errors.NotFound):
        world.run(world.api(BERT).list(before=made[0]))


def test_the_list_waits_for_no_second_look_and_tells_what_it_saw(world: World) -> None:
    shared = world.ended(world.share().id)
    world.run(world.api().list())
    (world.engine.root / "environments" / shared.id).unlink()
    time.sleep(5.1)  # what was seen counts for five seconds

    [before] = world.run(world.api().list())
    assert before.environment is not None
    assert before.environment.status is EnvironmentStatus.RUNNING

    eventually(lambda: _told(world, shared.id) == [EnvironmentStatus.GONE])
    [after] = world.run(world.api().list())
    assert after.environment is not None
    assert after.environment.status is EnvironmentStatus.GONE


def test_documents_with_unsaved_changes_are_named(world: World) -> None:
    """Those among what is shared, wherever a link leads; a commit has nothing of what is edited now."""
    (world.folder / "notes.ipynb").write_text("{}")
    (world.folder / "by-link").symlink_to(world.project)
    here = [
        str(world.folder / "notes.ipynb"),
        str(world.project / "train.py"),
        str(world.folder / "by-link" / "new.py"),
        str(world.data / "a.csv"),
        str(world.project),
        "/proc/self/fd/../\udcff",
    ]

    def warned(**more: Any) -> list[Any]:
        plan = world.run(world.api().plan(world.request(**more)))
        return [w.params for w in plan.warnings if w.code == "unsaved_documents"]

    [said] = warned(unsaved=here[:-1])
    assert said["which"] == [1, 2, 3]
    assert said["paths"] == ["detector/train.py", "detector/new.py", "domains/a.csv"]
    assert warned() == warned(unsaved=here[:1]) == []


def test_the_copy_opens_at_the_document_that_was_in_front(world: World) -> None:
    """It has to have arrived; whatever its name holds, the address leads to it and nowhere else."""
    name = "100% ?#&. é.ipynb"
    (world.project / "a b").mkdir()
    (world.project / "a b" / name).write_text("{}")
    (world.project / ".env").write_text("TOKEN=hunter2hunter2")

    def shared(front: str) -> Migration:
        return world.ended(world.share(front=front).id)

    made = shared(str(world.project / "a b" / name))
    assert made.result is not None
    assert made.result.front == f"a b/{name}"
    opened = "/lab/tree/a%20b/100%25%20%3F%23%26.%20%C3%A9.ipynb"
    assert made.result.url is not None and made.result.url.endswith(opened)
    again = world.get(made.id, token=True).result
    assert again is not None and again.url is not None
    assert again.url.partition("?")[0].endswith(opened) and again.url.count("?token=") == 1

    for gone in (world.project / ".env", world.project / "nothing.ipynb", world.folder / "x"):
        other = shared(str(gone)).result
        assert other is not None and other.front is None
        assert other.url is not None and other.url.endswith("/lab")
