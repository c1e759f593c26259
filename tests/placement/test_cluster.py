"""A cluster as it was observed decides where an environment runs, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from jupyter_secxops_migrate.engines.kubernetes.errors import NodeUnreachable
from jupyter_secxops_migrate.model import Route
from jupyter_secxops_migrate.placement.cluster import Cluster, source_selector
from jupyter_secxops_migrate.placement.errors import NoNodeFits, StrategyUnknown
from jupyter_secxops_migrate.placement.nodes import (
    HOSTNAME,
    Node,
    Requirement,
    Taint,
    Term,
    Toleration,
    Volume,
    with_pods,
)
from jupyter_secxops_migrate.placement.policy import GIB, Decision, Needs, ResourcePolicy
from jupyter_secxops_migrate.placement.requests import PodRecord, Resources
from jupyter_secxops_migrate.sharing.reasons import reason

GPU = "nvidia.com/gpu"
FITS = Needs(cpu=1, memory=2 * GIB)
LARGE = Needs(cpu=1, memory=6 * GIB)


def node(
    name: str, *, cpu: float = 4, memory: int = 8, gpu: int = 0, used: int = 0, **more
) -> Node:
    """A node of so many cores and GiB, whose pods asked for 1 core and ``used`` GiB."""
    return Node(
        name,
        Resources(int(cpu * 1000), memory * GIB, 0, 110, ((GPU, gpu),) if gpu else ()),
        labels={HOSTNAME: f"{name}.example.org", **more.pop("labels", {})},
        used=Resources(1000, used * GIB, 0, 1),
        **more,
    )


def bound_to(name: str) -> Volume:
    """A volume that one node reaches, as those of local disks are."""
    here = Requirement(HOSTNAME, "In", (f"{name}.example.org",))
    return Volume("pv-7", (Term((here,), ()),), "home")


def cluster(nodes: Sequence[Node] | None, **more) -> Cluster:
    return Cluster("a", nodes, **more)


def decided(found: Cluster, needs: Needs, *, stay: bool = True, strategy="spread") -> Decision:
    return found.decide(needs, ResourcePolicy(strategy=strategy), stay=stay)


def said(decision: Decision) -> list[str]:
    """The reasons as the plan says them: every parameter of a sentence is there."""
    return [reason(code, **params).message for code, params in decision.reasons]


def codes(decision: Decision) -> list[str]:
    return [code for code, _ in decision.reasons]


# --------------------------------------------------------------------------- stays


def test_what_fits_beside_its_source_stays_there_pinned_by_the_nodes_label():
    found = decided(cluster([node("a", used=4), node("b")]), FITS)
    assert (found.route, found.node, found.fits) == (Route.STAY, "a", True)
    assert said(found) == ["Here, on node a: 3 CPUs and 4 GB of memory are free."]
    # On some clouds the label is not the node's name.
    assert found.terms == {"nodeSelector": {HOSTNAME: "a.example.org"}}


def test_the_record_has_the_numbers_by_which_it_was_decided():
    found = decided(cluster([node("a", used=4), node("b")]), FITS)
    assert found.record is not None
    assert (found.record["fitting"], found.record["total"]) == (2, 2)
    assert found.record["considered"][0]["free"]["memory"] == 4 * GIB


def test_what_was_observed_of_the_sources_node_is_kept():
    here = cluster([node("a", gpu=2, used=3), node("b")]).here
    assert (here.node, here.cpu, here.cpu_requested) == ("a", 4, 1)
    assert (here.memory, here.memory_requested, here.gpu) == (8 * GIB, 3 * GIB, 2)
    assert here.unseen == ""


def test_what_is_not_seen_of_the_sources_node_is_no_number():
    nodes = [replace(node("a"), used=None)]
    assert [cluster(nodes).here.unseen, cluster(None).here.unseen] == ["pods", "node"]
    assert cluster([node("b")]).here.unseen == "node"
    assert cluster(nodes).here.cpu == 4


# --------------------------------------------------------------------------- moves


def test_what_lacks_memory_there_moves_to_where_the_scheduler_says():
    found = decided(cluster([node("a", used=4), node("b"), node("c", used=7)]), LARGE)
    assert (found.route, found.node, found.fits) == (Route.MOVE, "b", True)
    assert said(found) == [
        "It does not fit on node a: memory: 6 GB asked, 4 GB free.",
        "It moves: it fits on 1 of 3 nodes, and the strategy spread will probably put it on b.",
    ]
    # It is not pinned: the strategy's terms are wishes.
    assert found.terms["nodeSelector"] == {}
    assert found.terms["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "ScheduleAnyway"


@pytest.mark.parametrize(("strategy", "expected"), [("spread", "b"), ("pack", "c")])
def test_the_strategy_chooses_among_the_nodes_where_it_fits(strategy: str, expected: str):
    nodes = [node("a", used=8), node("b"), node("c", ours=3)]
    assert decided(cluster(nodes), FITS, strategy=strategy).node == expected


def test_an_environment_with_a_gpu_moves_to_a_node_that_has_one_free():
    found = decided(cluster([node("a"), node("b", gpu=1)]), replace(FITS, gpu=1))
    assert (found.route, found.node) == (Route.MOVE, "b")
    assert codes(found) == ["gpu_asked", "node_short", "moves"]
    assert said(found)[1] == f"It does not fit on node a: {GPU}: 1 asked, 0 free."


def test_a_gpu_is_left_to_the_scheduler_even_where_the_sources_node_has_one():
    found = decided(cluster([node("a", gpu=1)]), replace(FITS, gpu=1))
    assert (found.route, codes(found)) == (Route.MOVE, ["gpu_asked", "moves"])
    assert HOSTNAME not in found.terms["nodeSelector"]


def test_another_name_of_the_gpus_resource_is_asked_for():
    there = node("a").allocatable._replace(extended=(("amd.com/gpu", 1),))
    nodes = [replace(node("a"), allocatable=there)]
    needs = replace(FITS, gpu=1)
    assert decided(cluster(nodes, gpu_resource="amd.com/gpu"), needs).fits
    assert not decided(cluster(nodes), needs).fits


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_nodes_that_are_kept_for_gpus_are_open_to_who_asks_for_one(effect: str):
    kept = Taint(GPU, "present", effect)
    nodes = [node("a"), node("b", gpu=1, taints=(kept,))]
    assert decided(cluster(nodes), replace(FITS, gpu=1)).node == "b"
    # To nobody else, and no other taint is tolerated.
    assert not decided(cluster([node("a", used=8), nodes[1]]), FITS).fits
    team = Taint("team", "red", "NoSchedule")
    nodes = [node("b", gpu=1, taints=(kept, team))]
    [refusal] = decided(cluster(nodes), replace(FITS, gpu=1)).refusals
    assert refusal.params["lacks"] == "taint team=red:NoSchedule"


def test_it_moves_once_the_scheduler_found_no_room_where_it_was_to_stay():
    found = decided(cluster([node("a"), node("b")]), FITS, stay=False)
    assert (found.route, codes(found)) == (Route.MOVE, ["stay_failed", "moves"])
    assert said(found)[0] == "The scheduler no longer found room for it on node a."


def test_it_moves_when_the_sources_node_is_gone():
    found = decided(cluster([node("b")]), FITS)
    assert (found.route, found.node) == (Route.MOVE, "b")
    assert codes(found) == ["node_gone", "moves"]


def test_a_volume_that_all_nodes_reach_does_not_hold_it():
    found = decided(cluster([node("a", used=8), node("b")], volumes=[Volume("pv-1")]), FITS)
    assert (found.route, found.node) == (Route.MOVE, "b")


# --------------------------------------------------------------------------- refused


def test_what_fits_nowhere_is_refused_with_the_node_that_comes_closest():
    found = decided(cluster([node("a", used=7), node("b", used=3)]), LARGE)
    [refusal] = found.refusals
    assert isinstance(refusal, NoNodeFits)
    assert refusal.params == {
        "node": "b",
        "total": 2,
        "lacks": "memory: 6 GB asked, 5 GB free",
    }
    assert codes(found) == ["node_short"]


def test_what_is_bound_to_a_full_node_is_refused():
    """The copies of its volumes are there, and no other node reaches them."""
    nodes = [node("a", used=7), node("b")]
    found = decided(cluster(nodes, volumes=[bound_to("a")]), LARGE)
    refusal, bound = found.refusals
    assert (refusal.code, refusal.params["node"]) == ("no_node_fits", "a")
    # The volume that alone keeps it there is named.
    assert (bound.code, bound.params) == ("volume_bound", {"nodes": "b", "claim": "home"})
    # With room there it stays, as any other.
    assert decided(cluster([node("a"), node("b")], volumes=[bound_to("a")]), LARGE).node == "a"


def test_what_is_bound_to_another_node_is_refused_where_that_one_is_full():
    nodes = [node("a"), node("b", used=7)]
    found = decided(cluster(nodes, volumes=[bound_to("b")]), LARGE)
    assert said(found) == ["It does not fit on node a: volume pv-7 (claim home)."]
    refusal, _ = found.refusals
    assert refusal.params["lacks"] == "memory: 6 GB asked, 1 GB free"


AWAY = (
    Taint("node.kubernetes.io/unreachable", "", "NoSchedule"),
    Taint("node.kubernetes.io/unreachable", "", "NoExecute"),
)


def test_what_fits_only_on_a_node_that_is_away_can_wait_for_it():
    back = Taint("node.kubernetes.io/not-ready", "", "NoSchedule")
    nodes = [node("a", used=7), node("b", taints=(back,)), node("c", used=3)]
    found = decided(cluster(nodes), LARGE)
    [refusal] = found.refusals
    assert isinstance(refusal, NodeUnreachable)
    assert refusal.params["node"] == "b"
    # Who can't wait is told what would help.
    assert refusal.message.endswith("(the closest is c, memory: 6 GB asked, 5 GB free).")
    # Its source's before others.
    nodes = [node("b", taints=AWAY), node("a", taints=AWAY)]
    assert decided(cluster(nodes), FITS).refusals[0].params["node"] == "a"
    # Those that are there go first.
    assert decided(cluster([node("a", taints=AWAY), node("b")]), FITS).node == "b"


def test_a_node_that_is_away_and_too_small_is_not_waited_for():
    nodes = [node("a", used=7), node("b", used=7, taints=AWAY)]
    assert [error.code for error in decided(cluster(nodes), LARGE).refusals] == ["no_node_fits"]
    for more in ({"unschedulable": True}, {"taints": (*AWAY, Taint("team", "red", "NoSchedule"))}):
        nodes = [node("a", used=7), node("b", **{"taints": AWAY, **more})]
        assert [error.code for error in decided(cluster(nodes), LARGE).refusals] == ["no_node_fits"]


def test_a_cluster_without_nodes_is_refused_in_words():
    [refusal] = decided(cluster([]), FITS).refusals
    assert refusal.message.endswith("(0 in the cluster). The closest is none (no node is there).")


# --------------------------------------------------------------------------- the share's own Jobs

ONE = Resources(10, 64 * 2**20, 0, 1)


def test_jobs_of_which_not_even_one_fits_beside_the_source_are_refused_by_what_they_lack():
    full = replace(node("a"), used=Resources(3995, 0, 0, 1))
    found = decided(cluster([full, node("b")], beside=ONE), FITS)
    assert found.route is Route.MOVE
    [refusal] = found.refusals
    assert (refusal.code, refusal.params) == (
        "no_room_for_jobs",
        {"node": "a", "lacks": "cpu: 10m asked, 5m free"},
    )
    # With room for one they run one after the other.
    nearly = replace(full, used=Resources(3950, 0, 0, 1))
    assert decided(cluster([nearly, node("b")], beside=ONE), FITS).fits
    assert decided(cluster([full, node("b")]), FITS).fits  # all is copied already


def test_jobs_whose_volumes_all_nodes_reach_go_where_there_is_room():
    full = replace(node("a"), used=Resources(4000, 0, 0, 1))
    assert decided(cluster([full, node("b")], beside=ONE, roams=True), FITS).fits
    [refusal] = decided(
        cluster(
            [full, node("b", labels={"zone": "2"})], beside=ONE, roams=True, selector={"zone": "1"}
        ),
        FITS,
    ).refusals[1:]
    assert refusal.code == "no_room_for_jobs"


def test_jobs_need_a_node_that_takes_pods():
    cordoned = node("a", unschedulable=True)
    [refusal] = decided(cluster([cordoned, node("b")], beside=ONE), FITS).refusals
    assert (refusal.code, refusal.params["lacks"]) == ("no_room_for_jobs", "cordoned")
    [refusal] = decided(cluster([node("a", taints=AWAY), node("b")], beside=ONE), FITS).refusals
    assert isinstance(refusal, NodeUnreachable)


def test_jobs_of_other_shares_take_no_room_that_is_not_free_again():
    jobs = [
        PodRecord("x", f"job-{n}", "a", Resources(1000, 2 * GIB, 0, 1), passing=True)
        for n in range(4)
    ]
    other = PodRecord("x", "other", "a", Resources(1000, GIB, 0, 1))
    [counted] = with_pods([replace(node("a"), used=None)], [*jobs, other])
    assert counted.used == Resources(1000, GIB, 0, 1)


# --------------------------------------------------------------------------- the image's way


def test_a_plan_says_whether_the_image_is_pushed_and_where():
    def way(needs: Needs = FITS, **more) -> list[str]:
        return said(decided(cluster([node("a"), node("b", gpu=1)], **more), needs))[1:]

    pushed = ["Its image will be pushed to r.example.org/shares."]
    there = {"beside": ONE, "registry": "r.example.org/shares"}
    assert way(**there) == pushed
    assert way(**there, keeps_images=True) == ["Its image stays on node a and is not pushed."]
    assert way(replace(FITS, gpu=1), **there, keeps_images=True)[-1:] == pushed
    assert way(beside=ONE) == []


# --------------------------------------------------------------------------- what the source brings


def test_it_goes_only_where_its_source_may_be():
    tainted = Taint("team", "red", "NoSchedule")
    nodes = [node("a", used=8), node("b", taints=(tainted,)), node("c", unschedulable=True)]
    assert [error.code for error in decided(cluster(nodes), FITS).refusals] == ["no_node_fits"]
    tolerated = [Toleration("team", "Equal", "red", "")]
    assert decided(cluster(nodes, tolerations=tolerated), FITS).node == "b"


def test_the_sources_selector_goes_along_without_its_pin_to_a_node():
    selector = source_selector({"nodeSelector": {HOSTNAME: "a.example.org", "zone": "1"}})
    assert selector == {"zone": "1"}
    nodes = [node("a", used=8), node("b"), node("c", labels={"zone": "1"})]
    found = decided(cluster(nodes, selector=selector), FITS)
    assert (found.node, found.terms["nodeSelector"]) == ("c", {"zone": "1"})


# --------------------------------------------------------------------------- what can't be seen


def test_without_a_sight_of_nodes_it_stays_if_the_scheduler_agrees():
    found = decided(cluster(None), FITS)
    assert (found.route, found.node) == (Route.STAY, "a")
    assert said(found) == [
        "Here, on node a, if the scheduler agrees: its room can't be seen.",
        "This account may not see nodes, pods of the cluster, so the scheduler decides.",
    ]
    assert found.terms == {"nodeSelector": {HOSTNAME: "a"}}


def test_without_a_sight_of_nodes_nobody_can_say_where_it_moves():
    found = decided(cluster(None), replace(FITS, gpu=1))
    assert (found.route, found.node) == (Route.MOVE, "")
    assert codes(found) == ["gpu_asked", "moves_unseen", "unseen"]
    again = decided(cluster(None), FITS, stay=False)
    assert codes(again) == ["stay_failed", "moves_unseen", "unseen"]
    assert said(again)[1] == "It moves to a node that the scheduler chooses by the strategy spread."


def test_without_a_sight_of_pods_no_room_is_promised():
    nodes = [replace(node("a"), used=None), replace(node("b", memory=64), used=None)]
    found = decided(cluster(nodes), FITS)
    assert (found.route, codes(found)) == (Route.STAY, ["here_unseen", "unseen"])
    assert said(found)[1].startswith("This account may not see pods ")
    # More than the whole node can't be free, whatever runs there.
    assert decided(cluster(nodes), replace(FITS, memory=32 * GIB)).node == "b"


def test_volumes_that_cant_be_read_are_told():
    found = decided(cluster([node("a")], volumes=None), FITS)
    assert (found.route, codes(found)) == (Route.STAY, ["fits_here", "unseen"])


def test_a_strategy_that_is_not_installed_is_an_error():
    with pytest.raises(StrategyUnknown, match="there are: image-warm, pack, spread"):
        decided(cluster([node("a")]), FITS, strategy="tetris")
