"""An image that only its node has, on two nodes: it is pushed when it has to move, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.directory import DirectoryEngine
from jupyter_secxops_migrate.engines.kubernetes.errors import Unschedulable
from jupyter_secxops_migrate.engines.orders import (
    BuildOrder,
    BuildResult,
    LaunchOrder,
    Measure,
    Observation,
    Progress,
    PushOrder,
    PushResult,
)
from jupyter_secxops_migrate.model import Evidence, Migration, Route
from jupyter_secxops_migrate.operations import runner
from jupyter_secxops_migrate.placement.cluster import Cluster
from jupyter_secxops_migrate.placement.nodes import Node, Taint
from jupyter_secxops_migrate.placement.policy import GIB
from jupyter_secxops_migrate.placement.requests import Resources

from .world import World

AWAY = Taint("node.kubernetes.io/unreachable", "", "NoSchedule")


class TwoNodes(DirectoryEngine):
    """Folders on the nodes ``a`` and ``b``, with a registry that is a set of names.

    ``full`` is filled when `copy` ends, as by somebody else's pod; else ``later`` GiB of it are taken
    then. Where ``reaches`` is false no registry is set; ``lossy`` registries keep another image than they
    were given. ``torn`` ones lose the builder in the middle of a push, when a part has arrived. Each
    observation takes one of ``away``: whether neither node is ready.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.full = False
        self.later = 1
        self.reaches = True
        self.lossy = False
        self.torn = False
        self.away: list[bool] = []
        self.unschedulable = False
        self.registry: set[str] = set()
        self.launched: list[tuple[bool, dict[str, Any]]] = []

    async def features(self) -> frozenset[str]:
        return frozenset({"push"} if self.reaches else ())

    async def capacity(
        self, volumes: Sequence[str] = (), sizes: Sequence[int | None] = ()
    ) -> Cluster:
        whole = Resources(8000, 32 * GIB, 0, 110)
        # What is copied already has been built: from then on there may be no room.
        copied = any(v.startswith("secxops-") for v in volumes)
        used = (31 if self.full else self.later) if copied else 1
        away = [AWAY] if self.away and self.away.pop(0) else []
        return Cluster(
            "a",
            [
                Node("a", whole, taints=tuple(away), used=Resources(0, used * GIB, 0, 1)),
                Node("b", whole, taints=tuple(away), used=Resources(0, GIB, 0, 1)),
            ],
        )

    async def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        if self.torn:
            reference = f"{order.repository}:1"
            await asyncio.to_thread(order.named, reference, True)
            self.registry.add(reference)
            lost = errors.EngineFailed(action="build the image", reason="the builder went away")
            lost.again = False
            raise lost
        async for item in super().build(order):
            yield item

    async def push(self, order: PushOrder) -> AsyncIterator[Progress | PushResult]:
        assert order.node == "a"
        yield Measure(0, None)
        self.registry.add(order.reference)
        if self.lossy:
            yield PushResult("sha256:" + "0" * 64)
        else:
            yield PushResult(order.digest)

    async def launch(self, order: LaunchOrder) -> Observation:
        self.launched.append((order.pushed, dict(order.terms.get("nodeSelector") or {})))
        if self.unschedulable and len(self.launched) == 1:
            raise Unschedulable(pod="it", reason="no room")
        return await super().launch(order)

    async def remove_image(
        self, reference: str, *, pushed: bool = True, layers: bool = True
    ) -> None:
        await super().remove_image(reference, pushed=pushed, layers=layers)
        if pushed:
            self.registry.discard(reference)


@pytest.fixture
def nodes(asleep: World) -> TwoNodes:
    engine = TwoNodes(asleep.folder / "engine")
    asleep.engine = engine
    asleep.start()
    return engine


def push_state(shared: Migration) -> str:
    return next(step.state.value for step in shared.steps if step.name.value == "push")


def test_what_stays_is_not_pushed(asleep: World, nodes: TwoNodes) -> None:
    shared = asleep.ended(asleep.share().id)

    assert shared.state.value == "succeeded", shared.error
    assert (push_state(shared), nodes.registry) == ("skipped", set())
    assert nodes.launched == [(False, {"kubernetes.io/hostname": "a"})]


def test_both_decisions_are_in_the_evidence_with_their_numbers(
    asleep: World, nodes: TwoNodes
) -> None:
    nodes.later = 5  # something else took room meanwhile, and left enough

    result = asleep.ended(asleep.share().id).result

    assert result is not None
    rooms = [decided["considered"][0]["free"] for decided in result.evidence.placements]
    assert [room["memory"] // GIB for room in rooms] == [31, 27]
    assert [seen.memory_requested // GIB for seen in result.evidence.observations] == [1, 5]
    # A record that an earlier version made says nothing of it.
    old = result.evidence.model_dump(mode="json", exclude={"placements"})
    assert Evidence.model_validate(old).placements == []


@pytest.mark.parametrize("seen", [True, False])
def test_what_moves_after_all_is_pushed_first_and_removed_in_the_end(
    asleep: World, nodes: TwoNodes, seen: bool
) -> None:
    # Seen before the launch, or only by a scheduler that does not take it.
    nodes.full, nodes.unschedulable = seen, not seen

    shared = asleep.ended(asleep.share().id)

    assert shared.state.value == "succeeded", shared.error
    assert [plan.route for plan in shared.plans] == [Route.STAY, Route.MOVE]
    assert push_state(shared) == "done"
    assert nodes.launched[-1] == (True, {})
    assert shared.result is not None and shared.result.image is not None
    routes = [decided["route"] for decided in shared.result.evidence.placements]
    assert routes == (["stay", "move"] if seen else ["stay", "stay", "move"])
    assert nodes.registry == {shared.result.image.reference}
    asleep.run(asleep.api().delete(shared.id))
    assert nodes.registry == set()


def test_an_image_that_the_registry_changed_is_not_launched_and_not_left(
    asleep: World, nodes: TwoNodes
) -> None:
    nodes.full = nodes.lossy = True

    shared = asleep.ended(asleep.share().id)

    assert shared.error is not None and shared.error.code == "engine_failed"
    assert push_state(shared) == "failed"
    assert (nodes.launched, nodes.registry) == ([], set())


def test_a_build_that_is_lost_while_it_pushes_leaves_nothing_in_the_registry(
    asleep: World, nodes: TwoNodes
) -> None:
    nodes.torn = True

    shared = asleep.ended(asleep.share().id)

    assert shared.error is not None and shared.error.code == "engine_failed"
    assert nodes.registry == set()


def test_what_would_have_to_move_without_a_registry_is_refused(
    asleep: World, nodes: TwoNodes
) -> None:
    nodes.full, nodes.reaches = True, False

    shared = asleep.ended(asleep.share().id)

    assert shared.error is not None and shared.error.params["codes"] == ["registry_missing"]
    assert (nodes.launched, nodes.volumes(shared.id)) == ([], [])


def test_a_pushed_image_goes_though_another_share_has_it_on_its_node(
    asleep: World, nodes: TwoNodes
) -> None:
    stays = asleep.ended(asleep.share(name="stays").id)
    nodes.full = True
    moved = asleep.ended(asleep.share(name="moves").id)
    assert push_state(moved) == "done"

    asleep.run(asleep.api().delete(moved.id))

    assert nodes.registry == set()
    assert nodes.environments() == [stays.id]


@pytest.mark.parametrize("away", [[True, True], [False, True]])
def test_nodes_that_are_not_ready_are_waited_for(
    asleep: World, nodes: TwoNodes, away: list[bool]
) -> None:
    nodes.away = away  # when it is planned, or when it is to be launched

    shared = asleep.ended(asleep.share().id)

    assert shared.state.value == "succeeded", shared.error
    assert [plan.route for plan in shared.plans] == [Route.STAY]
    assert nodes.away == []
    assert "a does not answer: it is not ready" in asleep.run(asleep.api().log(shared.id))


@pytest.mark.parametrize("ready", [0, 1])
def test_nodes_that_stay_away_end_a_share_with_what_can_be_done(
    asleep: World, nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch, ready: int
) -> None:
    assert asleep.service is not None
    # However long each look takes, it is one and the same outage.
    monkeypatch.setattr(runner, "_LONG_SECONDS", -1)
    asleep.service.operations.runner.patience = 0.5
    nodes.away = [False] * ready + [True] * 99

    shared = asleep.ended(asleep.share().id)

    assert shared.error is not None
    assert (shared.state.value, shared.error.code) == ("failed", "node_unreachable")
    assert "kubectl get nodes" in shared.error.hint
    assert nodes.registry == set()
