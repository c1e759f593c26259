"""The flow of a share, from the first look at its project to the launched environment."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_secxops_migrate.building.errors import BuildFailed
from jupyter_secxops_migrate.copying.errors import DiskFull
from jupyter_secxops_migrate.engines.errors import EngineUnavailable
from jupyter_secxops_migrate.engines.names import Names
from jupyter_secxops_migrate.engines.orders import ALWAYS_BUILDKIT, NESTED, BuildTrace
from jupyter_secxops_migrate.model import MigrationState, StepName, StepState
from jupyter_secxops_migrate.sharing.removal import Removing

from .world import World, eventually


def test_a_share_copies_code_and_data_and_launches_what_it_built(world: World) -> None:
    queued = world.share()
    assert queued.state is MigrationState.QUEUED

    shared = world.ended(queued.id)

    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert {s.name: s.state for s in shared.steps} == {
        name: StepState.SKIPPED if name is StepName.PUSH else StepState.DONE for name in StepName
    }
    result = shared.result
    assert result is not None and result.image is not None
    code, data = (world.engine.folder(volume.name) for volume in result.volumes)
    assert (code / "train.py").read_text() == "print('training')\n"
    assert (data / "7.csv").read_text() == "7\n" * 100
    assert [(v.role, v.mount) for v in result.volumes] == [
        ("code", "/home/jovyan/detector"),
        ("data", "/data/domains"),
    ]
    evidence = result.evidence
    assert evidence.image_built == evidence.image_running == result.image.digest
    assert evidence.files_equal == 23 and evidence.differences == 0
    assert evidence.seen_inside > 23  # the folders as well
    assert len(evidence.observations) == 2
    assert set(evidence.manifests) == set(world.engine.volumes(shared.id))
    assert world.engine.jobs() == []


def test_data_inside_the_project_is_mounted_where_the_code_looks_for_it(world: World) -> None:
    inner = world.project / "data"
    inner.mkdir()
    (inner / "x.csv").write_text("1\n")
    sets = world.project / "sets"
    sets.symlink_to(world.data)

    shared = world.ended(world.share(data=[str(inner), str(sets)]).id)

    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert shared.result is not None
    assert {(v.role, v.mount) for v in shared.result.volumes} == {
        ("code", "/home/jovyan/detector"),
        ("data", "/home/jovyan/detector/data"),
        ("data", "/home/jovyan/detector/sets"),
    }
    code, first, second = (world.engine.folder(v.name) for v in shared.result.volumes)
    assert list((code / "data").iterdir()) == list((code / "sets").iterdir()) == []
    assert (first / "x.csv").read_text() == "1\n"
    assert (second / "7.csv").read_text() == "7\n" * 100
    assert shared.plan is not None and shared.plan.warnings == []


CACHE = "/home/jovyan/detector/cache"


def with_a_volume(world: World, line: str, *files: str) -> None:
    """Have the image declare a volume, and the project files."""
    for name in files:
        path = world.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    (world.project / "Dockerfile").write_text(f"FROM base\nRUN pip install jupyterlab\n{line}\n")


@pytest.mark.parametrize("workdir", ["", "WORKDIR /home/jovyan/detector\n"])
def test_a_volume_of_the_image_over_copied_files_ends_a_share_before_it_hides_them(
    world: World, workdir: str
) -> None:
    with_a_volume(world, f"{workdir}VOLUME {CACHE}", "cache/a.npy")

    shared = world.ended(world.share().id)

    assert shared.error is not None
    # Known in the plan where that knows the mount, else once the image is there.
    assert shared.error.code == ("refused" if workdir else "image_volume_hides"), shared.error
    assert CACHE in shared.error.message
    assert f"--data {world.project}/cache" in shared.error.hint
    assert world.engine.calls("launch") == 0
    assert world.engine.calls("build") == (0 if workdir else 1)
    assert world.engine.objects() == []


def test_a_volume_of_the_image_gets_the_folder_that_is_taken_along(world: World) -> None:
    with_a_volume(world, f"VOLUME {CACHE}", "cache/a.npy")

    shared = world.ended(world.share(data=[str(world.project / "cache")]).id)

    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert shared.result is not None
    assert [v.mount for v in shared.result.volumes] == ["/home/jovyan/detector", CACHE]


@pytest.mark.parametrize(
    "line",
    ["VOLUME /home/jovyan/detector", "VOLUME /home/jovyan", f"VOLUME {CACHE}", f"VOLUME {CACHE}/x"],
    ids=["the mount itself", "above it", "an empty folder", "where nothing is"],
)
def test_a_volume_of_the_image_that_hides_nothing_is_left_to_it(world: World, line: str) -> None:
    with_a_volume(world, line)
    (world.project / "cache").mkdir()

    shared = world.ended(world.share().id)

    assert shared.state is MigrationState.SUCCEEDED, shared.error


def test_where_a_part_can_be_mounted_again_nothing_is_hidden(world: World) -> None:
    world.engine.can = frozenset({NESTED})
    with_a_volume(world, f"VOLUME {CACHE}", "cache/a.npy", "cache/deep/b.npy")

    shared = world.ended(world.share().id)

    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert shared.result is not None and len(shared.result.volumes) == 2
    code = shared.result.volumes[0].name
    mounts = dict(world.run(world.engine.inspect(shared.id)).mounts)
    assert mounts[CACHE] == mounts["/home/jovyan/detector"] == code


def test_a_link_where_a_volume_of_the_image_goes_ends_a_share_in_any_case(world: World) -> None:
    world.engine.can = frozenset({NESTED})
    with_a_volume(world, f"VOLUME {CACHE}", "other/a.npy")
    (world.project / "cache").symlink_to("other")

    shared = world.ended(world.share().id)

    assert shared.error is not None and shared.error.code == "image_volume_hides"


@pytest.mark.parametrize("call", ["copy", "build"])
def test_a_folder_exchanged_after_the_plan_ends_the_share(world: World, call: str) -> None:
    others = world.folder / "others"
    shutil.copytree(world.project, others)
    (others / "private").write_text("somebody else's")
    folder = world.project if call == "build" else world.data
    kept = folder.with_name("kept")

    # Asked once the survey has seen the folders.
    look = world.engine.source

    async def looked() -> Any:
        found = await look()
        if not kept.exists():
            folder.rename(kept)
            folder.symlink_to(others)
        return found

    world.engine.source = looked  # type: ignore[method-assign]

    shared = world.ended(world.share().id)

    assert shared.error is not None and shared.error.code == "source_replaced", shared.error
    assert shared.error.params["path"] == str(folder)
    assert world.engine.volumes() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("keep", [False, True])
def test_files_of_others_belong_to_the_copys_user(world: World, keep: bool) -> None:
    saved = world.project / ".ipynb_checkpoints"
    saved.mkdir()
    (saved / "train.ipynb").write_text("{}")
    (saved / "train.ipynb").chmod(0o600)
    os.chown(saved / "train.ipynb", 33, 33)

    shared = world.ended(world.share(keep_owners=keep).id)

    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert shared.result is not None
    code = world.engine.folder(shared.result.volumes[0].name)
    found = (code / ".ipynb_checkpoints" / "train.ipynb").stat()
    ours = (code / "train.py").stat()
    wanted = (33, 33) if keep else (ours.st_uid, ours.st_gid)
    assert (found.st_uid, found.st_gid) == wanted
    assert ("*:*" in shared.result.evidence.owner_map) is not keep


def test_a_share_tells_its_story_in_order(world: World) -> None:
    shared = world.share()

    events = world.events(shared.id)

    assert [e.id for e in events] == sorted({e.id for e in events})
    states = [e.state for e in events if e.kind == "state"]
    assert states == ["queued", "running", "succeeded"]
    done = [e.step.name for e in events if e.step and e.step.state is StepState.DONE]
    assert sorted(done[1:3]) == ["build", "copy"]
    assert [done[0], *done[3:]] == ["check", "launch", "verify"]
    # The volumes are read back as a part of the copy: what is checked last is what runs.
    begun = list(dict.fromkeys(e.step.name for e in events if e.step))
    assert begun[-2:] == ["launch", "verify"]
    at = {(e.step.name, e.step.state): e.id for e in events if e.step}
    assert at["copy", StepState.DONE] < at["launch", StepState.DONE] < at["verify", StepState.DONE]
    assert [e.line for e in events if e.line] == ["Step 1/2 : FROM base", "Step 2/2 : COPY . ."]
    assert world.run(world.api().log(shared.id)) == "Step 1/2 : FROM base\nStep 2/2 : COPY . .\n"


@pytest.mark.parametrize(
    ("can", "sent"),
    [
        (frozenset({"buildkit"}), {".dockerignore", "Dockerfile"}),
        (frozenset({"buildkit", ALWAYS_BUILDKIT}), {".dockerignore", "Dockerfile", "sub/x.py"}),
    ],
)
def test_the_image_gets_what_its_builder_would_send(
    world: World, can: frozenset[str], sent: set[str]
) -> None:
    (world.project / "sub").mkdir()
    (world.project / "sub" / "x.py").write_text("")
    (world.project / ".dockerignore").write_text("*\n!**/x.py\n")
    (world.project / "Dockerfile").write_text("FROM base\nRUN pip install jupyterlab\nCOPY . .\n")
    world.engine.can = can

    result = world.ended(world.share().id).result

    assert result is not None and result.image is not None
    assert world.engine.image_files(result.image.digest) == sent


def test_the_ignore_file_beside_a_dockerfile_elsewhere_is_heeded(world: World) -> None:
    (world.project / "docker").mkdir()
    (world.project / "docker" / "Dockerfile").write_text(
        "FROM base\nRUN pip install jupyterlab\nCOPY . /x\n"
    )
    (world.project / "docker" / "Dockerfile.dockerignore").write_text("*.txt\n")
    (world.project / "private.txt").write_text("private")
    world.engine.can = frozenset({"buildkit", ALWAYS_BUILDKIT})

    result = world.ended(world.share(dockerfile="docker/Dockerfile").id).result

    assert result is not None and result.image is not None
    assert "private.txt" not in world.engine.image_files(result.image.digest)
    assert not result.evidence.rebuilt_from_copy


def test_a_refusal_touches_nothing(world: World) -> None:
    (world.project / "Dockerfile").unlink()

    shared = world.ended(world.share().id)

    assert shared.state is MigrationState.FAILED
    assert shared.error is not None and shared.error.code == "refused"
    assert shared.error.params["codes"] == ["no_dockerfile"]
    assert world.engine.objects() == []
    assert world.engine.calls("build") == world.engine.calls("copy") == 0


def test_a_node_that_filled_up_meanwhile_ends_it_with_a_second_plan(world: World) -> None:
    world.engine.hang("build")
    shared = world.share(memory="4G")
    world.hangs_in("build")

    world.engine.set_memory_available(1024**3)
    world.engine.release("build")
    shared = world.ended(shared.id)

    assert shared.error is not None and shared.error.code == "refused"
    assert shared.error.params["codes"] == ["memory_short"]
    assert [[r.code for r in plan.refusals] for plan in shared.plans] == [[], ["memory_short"]]
    assert world.engine.objects() == []


def test_a_copied_file_that_is_not_there_inside_ends_it(world: World) -> None:
    world.engine.hang("look_inside")
    shared = world.share()
    world.hangs_in("look_inside")

    (world.engine.folder(Names(shared.id).volume("code")) / "train.py").unlink()
    world.engine.release("look_inside")
    shared = world.ended(shared.id)

    assert shared.error is not None and shared.error.code == "files_hidden"
    assert shared.error.params["first"] == "train.py"
    assert {s.name: s.state for s in shared.steps}[StepName.VERIFY] is StepState.FAILED
    assert world.engine.objects() == []


def test_files_that_change_between_build_and_copy_are_built_from_the_copy(world: World) -> None:
    (world.project / "Dockerfile").write_text(
        "FROM base\nRUN pip install jupyterlab\nCOPY train.py /opt/\n"
    )
    world.engine.hang("build")
    shared = world.share(data=[])
    world.hangs_in("build")
    code = world.engine.folder(Names(shared.id).volume("code"))
    eventually(lambda: (code / "train.py").is_file() and not world.engine.jobs())

    (world.project / "train.py").write_text("print('changed')\n")
    world.engine.release("build")
    shared = world.ended(shared.id)

    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert shared.result is not None and shared.result.evidence.rebuilt_from_copy
    assert (code / "train.py").read_text() == "print('training')\n"
    # Of the first build nothing is left: a file that was in it then may hold a secret.
    assert list(world.engine.images().values()) == [[shared.result.image.reference]]
    world.run(world.api().delete(shared.id))
    assert world.engine.objects() == []


def test_an_image_without_jupyter_is_refused_and_removed(world: World) -> None:
    (world.project / "Dockerfile").write_text("FROM base\n")

    shared = world.ended(world.share().id)

    assert shared.error is not None and shared.error.code == "image_without_jupyter"
    assert world.engine.objects() == []


@pytest.mark.parametrize("call", ["build", "probe", "copy", "verify", "launch", "capacity"])
def test_a_failure_anywhere_leaves_nothing(world: World, call: str) -> None:
    world.engine.fail_next(call, DiskFull(step=call))

    shared = world.ended(world.share().id)

    assert shared.state is MigrationState.FAILED and shared.finished is not None
    assert shared.error is not None and shared.error.code == "disk_full"
    assert not any(s.state is StepState.RUNNING for s in shared.steps)
    assert world.engine.objects() == []


def test_what_a_build_tells_while_another_branch_fails_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracing = Removing.tracing

    async def slow(removing: Removing, share: str) -> Callable[[BuildTrace], None]:
        keep = await tracing(removing, share)

        def slowly(trace: BuildTrace) -> None:
            if trace.layers:
                world.engine.fail_next("copy", DiskFull(step="copy"))
                time.sleep(0.5)
            keep(trace)

        return slowly

    monkeypatch.setattr(Removing, "tracing", slow)
    world.engine.hang("copy")

    shared = world.ended(world.share().id)

    assert shared.error is not None and shared.error.code == "disk_full"
    assert world.engine.objects() == []


def test_one_branch_that_fails_ends_the_other(world: World) -> None:
    world.engine.hang("copy")
    world.engine.fail_next("build", BuildFailed(line=7, instruction="RUN false", id=""))

    shared = world.ended(world.share().id)

    assert shared.error is not None and shared.error.code == "build_failed"
    assert world.engine.objects() == []


def test_a_temporary_trouble_is_tried_again(world: World) -> None:
    world.engine.fail_next("verify", EngineUnavailable(endpoint="here"))

    shared = world.ended(world.share().id)

    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert world.engine.calls("verify") == 2
    assert "Trying again." in world.run(world.api().log(shared.id))


def test_what_stays_temporary_ends_it(world: World) -> None:
    world.engine.fail_next("verify", EngineUnavailable(endpoint="here"), times=9)

    shared = world.ended(world.share().id)

    assert shared.error is not None and shared.error.code == "engine_unavailable"
    assert world.engine.calls("verify") == 3
    assert world.engine.objects() == []


def test_a_dockerfile_elsewhere_is_offered_by_the_plan_and_used_where_it_is_named(
    world: World,
) -> None:
    top = world.project / "Dockerfile"
    (world.project / "binder").mkdir()
    top.rename(world.project / "binder" / "Dockerfile")
    [refusal] = world.run(world.api().plan(world.request())).refusals
    assert refusal.code == "dockerfile_elsewhere"
    assert "--dockerfile binder/Dockerfile" in refusal.hint
    [problem] = world.run(world.api().environment(str(world.project))).problems
    assert problem.code == "dockerfile_elsewhere"

    top.write_text("FROM other\nRUN true\n")  # and one at the top is not taken for it
    shared = world.ended(world.share(dockerfile="binder/Dockerfile").id)
    assert shared.error is None and shared.result is not None
    assert not shared.result.evidence.rebuilt_from_copy
    assert "Dockerfile" in world.engine.image_files(shared.result.image.digest)


def test_files_that_were_gone_before_they_were_copied_are_said_to_be(world: World) -> None:
    """No row of the copy says so, as when a disk was unmounted; what a program adds hides none of it."""
    world.engine.hang("begin_copy")
    migration = world.share().id
    world.hangs_in("begin_copy")
    for name in ("7.csv", "8.csv"):
        (world.data / name).unlink()
    (world.project / "more.csv").write_text("1\n")
    world.engine.release("begin_copy")

    shared = world.ended(migration)

    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert shared.result is not None
    evidence = shared.result.evidence
    rows = [(row.name, row.code, row.files) for row in evidence.left_out]
    assert rows == [("domains", "not_there", 2)]
    assert (evidence.files_equal, evidence.files_left) == (22, 24)
