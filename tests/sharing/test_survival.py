"""The service ends, is killed and comes back; the share goes on."""

from __future__ import annotations

import itertools
import json
import signal

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.copying.errors import DiskFull
from jupyter_secxops_migrate.engines.errors import EngineForbidden, LaunchFailed
from jupyter_secxops_migrate.model import Migration, MigrationState
from jupyter_secxops_migrate.operations import workflow

from .world import World, eventually


def ended_as_if_undisturbed(world: World, shared: Migration) -> bool:
    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert shared.attempt == 1
    assert world.engine.environments() == [shared.id]
    assert len(world.engine.volumes()) == 2 and len(world.engine.images()) == 1
    assert world.engine.jobs() == []
    assert world.run(world.api().orphans()) == []
    assert shared.result is not None
    return shared.result.evidence.files_equal == 23


@pytest.mark.parametrize(
    "call", ["capacity", "build", "probe", "copy", "verify", "launch", "inspect"]
)
def test_a_kill_in_the_middle_of_any_step(asleep: World, call: str) -> None:
    asleep.engine.kill_next(call)

    killed = asleep.lives_in_a_process(asleep.project)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    asleep.start()

    (shared,) = asleep.run(asleep.api().list())
    assert ended_as_if_undisturbed(asleep, asleep.ended(shared.id))


def test_what_a_killed_build_made_and_did_not_tell_of_goes_with_the_share(asleep: World) -> None:
    asleep.engine.kill_next("layer")
    killed = asleep.lives_in_a_process(asleep.project)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    asleep.start()
    (shared,) = asleep.run(asleep.api().list())
    assert ended_as_if_undisturbed(asleep, asleep.ended(shared.id))

    asleep.run(asleep.api().delete(shared.id))

    assert asleep.engine.objects() == []


def test_a_kill_while_it_is_being_cancelled(asleep: World) -> None:
    asleep.engine.fail_next("verify", DiskFull(step="verify"))
    asleep.engine.kill_next("delete")

    killed = asleep.lives_in_a_process(asleep.project)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    asleep.start()

    (shared,) = asleep.run(asleep.api().list())
    shared = asleep.ended(shared.id)
    assert shared.error is not None and shared.error.code == "disk_full"
    assert asleep.engine.objects() == []


def test_two_kills_of_two_shares(asleep: World) -> None:
    asleep.engine.kill_next("copy")
    assert asleep.lives_in_a_process(asleep.project, asleep.project).returncode < 0
    asleep.engine.kill_next("launch")
    assert asleep.lives_in_a_process().returncode < 0

    done = asleep.lives_in_a_process()

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
    asleep.start()
    found = asleep.run(asleep.api().list())
    assert [m.state for m in found] == [MigrationState.SUCCEEDED] * 2
    assert len(asleep.engine.environments()) == 2 and len(asleep.engine.volumes()) == 4


@pytest.mark.parametrize("call", ["build", "copy", "launch"])
def test_an_orderly_end_in_the_middle(world: World, call: str) -> None:
    world.engine.hang(call)
    shared = world.share()
    world.hangs_in(call)

    world.stop()
    assert world.engine.jobs() == []
    world.engine.release(call)
    world.start()

    assert ended_as_if_undisturbed(world, world.ended(shared.id))


def test_a_new_version_starts_anew_what_the_old_one_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.engine.hang("build")
    shared = world.share()
    world.hangs_in("build")
    world.stop()
    world.engine.release("build")

    monkeypatch.setattr(workflow, "VERSION", "next")
    world.start()

    assert ended_as_if_undisturbed(world, world.ended(shared.id))


def test_those_that_were_queued_keep_their_order(asleep: World) -> None:
    asleep.workers = 1
    asleep.start()
    asleep.engine.hang("build")
    shares = [asleep.share() for _ in range(4)]
    asleep.hangs_in("build")
    asleep.stop()

    asleep.start()
    asleep.engine.release("build")

    ended = [asleep.ended(m.id) for m in shares]
    assert [m.state for m in ended] == [MigrationState.SUCCEEDED] * 4
    for before, after in itertools.pairwise(ended):
        assert before.finished and after.started and before.finished <= after.started


def test_a_retry_is_a_new_attempt(world: World) -> None:
    world.engine.fail_next("launch", LaunchFailed(reason="it fell over"))
    failed = world.ended(world.share().id)
    assert failed.state is MigrationState.FAILED

    again = world.run(world.api().retry(failed.id))
    assert again.state is MigrationState.QUEUED and again.error is None
    ended = world.ended(failed.id)

    assert ended.state is MigrationState.SUCCEEDED and ended.attempt == 2
    assert world.engine.environments() == [failed.id]
    assert len(world.engine.volumes()) == 2
    with pytest.raises(errors.WrongState):
        world.run(world.api().retry(failed.id))


def test_a_retry_adopts_what_a_failed_removal_left(world: World) -> None:
    world.engine.fail_next("verify", DiskFull(step="verify"))
    world.engine.fail_next("delete", EngineForbidden(endpoint="here"))
    failed = world.ended(world.share().id)
    assert len(world.engine.volumes()) == 2
    left = world.run(world.api().orphans())
    assert sorted(o.kind for o in left) == ["image", "volume", "volume"]

    world.run(world.api().retry(failed.id))

    assert world.ended(failed.id).state is MigrationState.SUCCEEDED
    assert len(world.engine.volumes()) == 2
    assert world.run(world.api().orphans()) == []


def test_busy_tells_whether_the_service_may_end(world: World) -> None:
    assert world.service is not None and not world.house.busy()
    world.engine.hang("build")
    shared = world.share()
    assert world.house.busy()

    world.engine.release("build")
    world.ended(shared.id)

    assert eventually(lambda: world.service is not None and not world.house.busy())
