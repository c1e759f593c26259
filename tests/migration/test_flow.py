"""The flow of a share, from the first look at its project to the launched environment."""

from __future__ import annotations

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.base import Names
from jupyter_secxops_migrate.model import MigrationState, StepName, StepState

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
    assert len(evidence.observations) == 2
    assert set(evidence.manifests) == set(world.engine.volumes(shared.id))
    assert world.engine.jobs() == []


def test_a_share_tells_its_story_in_order(world: World) -> None:
    shared = world.share()

    events = world.events(shared.id)

    assert [e.id for e in events] == sorted({e.id for e in events})
    states = [e.state for e in events if e.kind == "state"]
    assert states == ["queued", "running", "succeeded"]
    done = [e.step.name for e in events if e.step and e.step.state is StepState.DONE]
    assert sorted(done[1:3]) == ["build", "copy"]
    assert [done[0], *done[3:]] == ["check", "launch", "verify"]
    assert [e.line for e in events if e.line] == ["Step 1/2 : FROM base", "Step 2/2 : COPY . ."]
    assert world.run(world.api().log(shared.id)) == "Step 1/2 : FROM base\nStep 2/2 : COPY . .\n"


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


def test_an_image_without_jupyter_is_refused_and_removed(world: World) -> None:
    (world.project / "Dockerfile").write_text("FROM base\n")

    shared = world.ended(world.share().id)

    assert shared.error is not None and shared.error.code == "image_without_jupyter"
    assert world.engine.objects() == []


@pytest.mark.parametrize("call", ["build", "probe", "copy", "verify", "launch", "capacity"])
def test_a_failure_anywhere_leaves_nothing(world: World, call: str) -> None:
    world.engine.fail_next(call, errors.DiskFull(step=call))

    shared = world.ended(world.share().id)

    assert shared.state is MigrationState.FAILED and shared.finished is not None
    assert shared.error is not None and shared.error.code == "disk_full"
    assert not any(s.state is StepState.RUNNING for s in shared.steps)
    assert world.engine.objects() == []


def test_one_branch_that_fails_ends_the_other(world: World) -> None:
    world.engine.hang("copy")
    world.engine.fail_next("build", errors.BuildFailed(line=7, instruction="RUN false", id=""))

    shared = world.ended(world.share().id)

    assert shared.error is not None and shared.error.code == "build_failed"
    assert world.engine.objects() == []


def test_a_temporary_trouble_is_tried_again(world: World) -> None:
    world.engine.fail_next("verify", errors.EngineUnavailable(endpoint="here"))

    shared = world.ended(world.share().id)

    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert world.engine.calls("verify") == 2
    assert "Trying again." in world.run(world.api().log(shared.id))


def test_what_stays_temporary_ends_it(world: World) -> None:
    world.engine.fail_next("verify", errors.EngineUnavailable(endpoint="here"), times=9)

    shared = world.ended(world.share().id)

    assert shared.error is not None and shared.error.code == "engine_unavailable"
    assert world.engine.calls("verify") == 3
    assert world.engine.objects() == []
