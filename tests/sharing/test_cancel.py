"""Cancelling: said at once, ended soon, nothing left."""

from __future__ import annotations

import time

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.model import MigrationState, StepState

from .world import World, eventually


@pytest.mark.parametrize("call", ["capacity", "build", "probe", "copy", "verify", "launch"])
def test_at_any_step(world: World, call: str, caplog: pytest.LogCaptureFixture) -> None:
    world.engine.hang(call)
    shared = world.share()
    world.hangs_in(call)

    asked = time.monotonic()
    answer = world.run(world.api().cancel(shared.id))
    said = time.monotonic() - asked
    shared = world.ended(shared.id)
    ended = time.monotonic() - asked

    assert answer.state in (MigrationState.CANCELLING, MigrationState.CANCELLED)
    assert said < 1 and ended < 5
    assert shared.state is MigrationState.CANCELLED
    assert shared.error is not None and shared.error.code == "cancelled"
    assert not any(s.state is StepState.RUNNING for s in shared.steps)
    assert world.engine.objects() == []
    states = [e.state for e in world.events(shared.id) if e.kind == "state"]
    assert states == ["queued", "running", "cancelling", "cancelled"]
    assert not [r for r in caplog.records if r.name.startswith(("dbos", "jupyter_secxops"))]


def test_one_that_is_queued_does_not_wait_for_its_turn(world: World) -> None:
    world.engine.hang("build")
    first, second, third = (world.share() for _ in range(3))
    eventually(lambda: world.engine.calls("build") == 2)

    world.run(world.api().cancel(third.id))
    ended = world.ended(third.id)

    assert ended.state is MigrationState.CANCELLED and ended.started is None
    world.engine.release("build")
    assert world.ended(first.id).state is world.ended(second.id).state is MigrationState.SUCCEEDED


def test_twice_is_once(world: World) -> None:
    world.engine.hang("build")
    shared = world.share()
    world.hangs_in("build")

    world.run(world.api().cancel(shared.id))
    world.run(world.api().cancel(shared.id))
    world.ended(shared.id)
    again = world.run(world.api().cancel(shared.id))

    assert again.state is MigrationState.CANCELLED


def test_what_has_succeeded_stays(world: World) -> None:
    shared = world.ended(world.share().id)

    with pytest.raises(errors.WrongState):
        world.run(world.api().cancel(shared.id))

    assert world.engine.environments() == [shared.id]


def test_deleting_one_under_way_cancels_it_first(world: World) -> None:
    world.engine.hang("copy")
    shared = world.share()
    world.hangs_in("copy")

    world.run(world.api().delete(shared.id))

    assert world.engine.objects() == []
    with pytest.raises(errors.NotFound):
        world.get(shared.id)


def test_of_one_share_leaves_the_image_that_another_needs(world: World) -> None:
    world.engine.hang("launch")
    one, other = world.share(), world.share()
    eventually(lambda: world.engine.calls("launch") == 2)

    world.run(world.api().cancel(one.id))
    assert world.ended(one.id).state is MigrationState.CANCELLED
    world.engine.release("launch")

    assert world.ended(other.id).state is MigrationState.SUCCEEDED
    world.run(world.api().delete(other.id))
    assert world.engine.objects() == []


def test_of_two_that_are_deleted_at_once_the_image_goes_too(world: World) -> None:
    shares = [world.ended(world.share().id) for _ in range(2)]
    assert len(world.engine.images()) == 1
    world.engine.hang("delete")  # before either has looked who else has it
    deletions = [world.submit(world.api().delete(share.id)) for share in shares]
    eventually(lambda: world.engine.hanging["delete"] == 2)

    world.engine.release("delete")

    for deletion in deletions:
        deletion.result(60)
    assert world.engine.objects() == []


def test_layers_that_another_build_stands_on_stay_until_that_goes(world: World) -> None:
    world.engine.hang("build")
    first = world.share()
    world.hangs_in("build")
    second = world.share()
    eventually(lambda: world.engine.hanging["build"] == 2)

    world.run(world.api().cancel(first.id))
    assert world.ended(first.id).state is MigrationState.CANCELLED
    assert len(world.engine.layers()) == 1
    world.run(world.api().cancel(second.id))
    assert world.ended(second.id).state is MigrationState.CANCELLED

    assert world.engine.objects() == []


def test_deleting_a_share_takes_no_layer_from_a_build_of_another(world: World) -> None:
    made = world.ended(world.share().id)
    (world.project / "notes.txt").write_text("of another image, on the same layer")
    world.engine.hang("build")
    second = world.share()
    world.hangs_in("build")

    world.run(world.api().delete(made.id))
    world.engine.release("build")

    assert world.ended(second.id).state is MigrationState.SUCCEEDED
    world.run(world.api().delete(second.id))
    assert world.engine.objects() == []
