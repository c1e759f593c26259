"""Whether a pod fits on a node: the scheduler's filters, one by one and over random clusters."""

import dataclasses
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jupyter_secxops_migrate.placement.nodes import (
    Node,
    PodNeeds,
    Taint,
    Toleration,
    Volume,
    fits,
    free,
    needs_of_pod,
    with_pods,
)
from jupyter_secxops_migrate.placement.requests import PodRecord, Resources, record_of
from placement.generate import generate, predict

Json = dict[str, Any]
GIB = 2**30
ROOM = Resources(4000, 8 * GIB, 100 * GIB, 10, (("nvidia.com/gpu", 2),))
NODE = Node("a", ROOM, labels={"kubernetes.io/hostname": "a", "zone": "z1", "size": "3"})
SMALL = PodNeeds(Resources(1000, GIB, 0, 1))


def codes(needs: PodNeeds, node: Node, *volumes: Volume) -> list[str]:
    return [reason.code for reason in fits(needs, node, volumes)]


def needs(**spec: Any) -> PodNeeds:
    return needs_of_pod({"spec": {"containers": [], **spec}})


def affinity(*terms: Json) -> PodNeeds:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return needs(affinity={"nodeAffinity": required})


def expression(key: str, operator: str, *values: str) -> Json:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


# --------------------------------------------------------------------------- reading


def test_a_node_is_read_from_its_json() -> None:
    node = Node.from_json(
        {
            "metadata": {"name": "a", "labels": {"kubernetes.io/hostname": "host-a"}},
            "spec": {
                "unschedulable": True,
                "taints": [{"key": "k", "effect": "NoSchedule"}],
            },
            "status": {
                "allocatable": {"cpu": "3900m", "memory": "1Ki", "pods": "110", "a.b/c": "2"},
                "conditions": [{"type": "Ready", "status": "Unknown"}],
                "images": [{"names": ["r/x@sha256:1", "r/x:1"]}, {"sizeBytes": 3}],
            },
        }
    )
    assert node.allocatable == Resources(3900, 1024, 0, 110, (("a.b/c", 2),))
    assert node.taints == (Taint("k", "", "NoSchedule"),)
    assert (node.unschedulable, node.ready, node.hostname) == (True, False, "host-a")
    assert node.images == {"r/x@sha256:1", "r/x:1"}


def test_a_bare_node_is_read_too() -> None:
    node = Node.from_json({"metadata": {"name": "a"}})
    assert (node.hostname, node.ready, node.allocatable) == ("a", False, Resources())


# --------------------------------------------------------------------------- room


def test_what_is_left_is_allocatable_less_what_pods_take() -> None:
    pods = [
        PodRecord("n", "p", "a", Resources(1500, GIB, 0, 1, (("nvidia.com/gpu", 1),)), True),
        PodRecord("n", "q", "a", Resources(500, GIB, 7, 1)),
        PodRecord("n", "r", "elsewhere", Resources(9, 9, 9, 1)),
    ]
    (node,) = with_pods([NODE], pods)
    assert node.used == Resources(2000, 2 * GIB, 7, 2, (("nvidia.com/gpu", 1),))
    assert node.ours == 1
    assert free(node) == Resources(2000, 6 * GIB, 100 * GIB - 7, 8, (("nvidia.com/gpu", 1),))


def test_where_pods_can_not_be_listed_only_allocatable_counts() -> None:
    (node,) = with_pods([NODE], None)
    assert node.used is None and free(node) == ROOM
    assert codes(SMALL, node) == []
    assert codes(PodNeeds(Resources(4001)), node) == ["resource_short"]


@pytest.mark.parametrize(
    ("asked", "short"),
    [
        (Resources(2000, 6 * GIB, 100 * GIB, 1), []),
        (Resources(2001), ["cpu"]),
        (Resources(0, 6 * GIB + 1), ["memory"]),
        (Resources(0, 0, 100 * GIB + 1), ["ephemeral-storage"]),
        (Resources(extended=(("nvidia.com/gpu", 1),)), ["nvidia.com/gpu"]),
        (Resources(extended=(("vendor/fpga", 1),)), ["vendor/fpga"]),
        (Resources(extended=(("vendor/fpga", 0),)), []),
        (Resources(9999, 9 * GIB, 0, 1), ["cpu", "memory"]),
    ],
)
def test_each_resource_that_is_short_is_told(asked: Resources, short: list[str]) -> None:
    used = Resources(2000, 2 * GIB, 0, 9, (("nvidia.com/gpu", 2),))
    reasons = fits(PodNeeds(asked), dataclasses.replace(NODE, used=used))
    assert [reason.params["resource"] for reason in reasons] == short


def test_numbers_of_what_is_short() -> None:
    used = Resources(3500, 0, 0, 10)
    first, second = fits(SMALL, dataclasses.replace(NODE, used=used))
    assert first.params == {"resource": "cpu", "asked": 1000, "free": 500, "allocatable": 4000}
    assert second.params == {"resource": "pods", "asked": 1, "free": 0, "allocatable": 10}


def test_what_is_not_asked_for_is_never_short() -> None:
    """A node can have promised more than it has; what asks for nothing of it fits still."""
    over = dataclasses.replace(NODE, used=Resources(5000, 9 * GIB, 0, 1))
    assert codes(PodNeeds(Resources(0, 0, 0, 1)), over) == []


# --------------------------------------------------------------------------- taints and cordons


def tolerating(**toleration: str) -> PodNeeds:
    return needs(tolerations=[toleration])


@pytest.mark.parametrize(
    ("toleration", "fitting"),
    [
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "k", "operator": "Equal", "value": "v"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k"}, False),
        ({"key": "l", "operator": "Exists"}, False),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "k", "operator": "Lt", "value": "9"}, False),
    ],
)
def test_a_taint_is_tolerated_as_the_scheduler_says(
    toleration: dict[str, str], fitting: bool
) -> None:
    node = dataclasses.replace(NODE, taints=(Taint("k", "v", "NoSchedule"),))
    assert codes(tolerating(**toleration), node) == ([] if fitting else ["node_tainted"])


def test_preferences_of_a_node_keep_nothing_away() -> None:
    node = dataclasses.replace(NODE, taints=(Taint("k", "v", "PreferNoSchedule"),))
    assert codes(SMALL, node) == []


def test_a_cordoned_node_takes_only_what_tolerates_it() -> None:
    node = dataclasses.replace(NODE, unschedulable=True)
    assert codes(SMALL, node) == ["node_cordoned"]
    assert codes(tolerating(key="node.kubernetes.io/unschedulable", operator="Exists"), node) == []


WORDS = st.sampled_from(["", "a", "b"])
EFFECTS = st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule"])
TAINTS = st.builds(Taint, st.sampled_from(["a", "b"]), WORDS, EFFECTS)
TOLERATIONS = st.builds(
    Toleration,
    WORDS,
    st.sampled_from(["", "Equal", "Exists"]),
    WORDS,
    st.one_of(st.just(""), EFFECTS),
)


@given(st.lists(TAINTS, max_size=3), st.lists(TOLERATIONS, max_size=3))
def test_a_node_is_closed_by_a_taint_that_nothing_tolerates(
    taints: list[Taint], tolerations: list[Toleration]
) -> None:
    """The rule in the words of the API's reference, written a second time."""

    def covers(toleration: Toleration, taint: Taint) -> bool:
        key = toleration.key in ("", taint.key)
        effect = toleration.effect in ("", taint.effect)
        value = toleration.operator == "Exists" or toleration.value == taint.value
        return key and effect and value

    open_ = all(
        taint.effect == "PreferNoSchedule" or any(covers(each, taint) for each in tolerations)
        for taint in taints
    )
    node = dataclasses.replace(NODE, taints=tuple(taints))
    pod = dataclasses.replace(SMALL, tolerations=tuple(tolerations))
    assert (codes(pod, node) == []) == open_


# --------------------------------------------------------------------------- selectors


def test_a_node_selector_wants_all_of_its_labels() -> None:
    assert codes(needs(nodeSelector={"zone": "z1", "size": "3"}), NODE) == []
    assert codes(needs(nodeSelector={"zone": "z1", "size": "4"}), NODE) == ["node_not_selected"]
    assert codes(needs(nodeSelector={"none": ""}), NODE) == ["node_not_selected"]


@pytest.mark.parametrize(
    ("key", "operator", "values", "matching"),
    [
        ("zone", "In", ["z1", "z2"], True),
        ("zone", "In", ["z2"], False),
        ("none", "In", [""], False),
        ("zone", "NotIn", ["z1"], False),
        ("zone", "NotIn", ["z2"], True),
        ("none", "NotIn", ["z1"], True),
        ("none", "NotIn", [], False),
        ("none", "NotIn", ["{{.bad-value.}}"], False),
        ("zone", "Exists", [], True),
        ("none", "Exists", [], False),
        ("zone", "DoesNotExist", [], False),
        ("none", "DoesNotExist", [], True),
        ("size", "Gt", ["2"], True),
        ("size", "Gt", ["3"], False),
        ("size", "Lt", ["10"], True),
        ("size", "Lt", ["+4"], True),
        ("size", "Lt", ["3"], False),
        ("size", "Gt", ["two"], False),
        ("size", "Gt", ["-99999999999999999999"], False),
        ("size", "Gt", [], False),
        ("zone", "Gt", ["2"], False),
        ("none", "Lt", ["2"], False),
        ("zone", "Unheard", ["z1"], False),
    ],
)
def test_an_expression_matches_as_the_scheduler_says(
    key: str, operator: str, values: list[str], matching: bool
) -> None:
    term = expression(key, operator, *values)
    assert (codes(affinity(term), NODE) == []) == matching


def field(operator: str, *values: str) -> Json:
    return {"matchFields": [{"key": "metadata.name", "operator": operator, "values": list(values)}]}


def test_one_term_is_enough_and_all_of_it_must_match() -> None:
    here, elsewhere = expression("zone", "In", "z1"), expression("zone", "In", "z2")
    assert codes(affinity(elsewhere, here), NODE) == []
    assert codes(affinity(elsewhere), NODE) == ["node_not_selected"]
    assert codes(affinity({**here, **field("In", "a")}), NODE) == []
    assert codes(affinity({**here, **field("In", "b")}), NODE) == ["node_not_selected"]
    assert codes(affinity(field("NotIn", "b")), NODE) == []
    assert codes(affinity(field("In", "a", "b")), NODE) == ["node_not_selected"]


def test_an_empty_term_matches_nothing() -> None:
    assert codes(affinity({}), NODE) == ["node_not_selected"]
    assert codes(affinity(), NODE) == ["node_not_selected"]
    assert codes(affinity({}, expression("zone", "Exists")), NODE) == []


# --------------------------------------------------------------------------- volumes


def volume(*terms: Json) -> Volume:
    required = {"required": {"nodeSelectorTerms": terms}}
    return Volume.from_json({"metadata": {"name": "v"}, "spec": {"nodeAffinity": required}})


def test_a_bound_volume_must_be_in_reach() -> None:
    here = volume(expression("kubernetes.io/hostname", "In", "a"))
    there = volume(expression("kubernetes.io/hostname", "In", "b"))
    everywhere = Volume.from_json({"metadata": {"name": "e"}, "spec": {}})
    assert codes(SMALL, NODE, here, everywhere) == []
    (reason,) = fits(SMALL, NODE, (everywhere, there))
    assert (reason.code, reason.params) == ("volume_elsewhere", {"volume": "v"})


def test_a_volume_asks_for_labels_only() -> None:
    """As the scheduler does, which hides the node's name from a volume's terms."""
    assert codes(SMALL, NODE, volume(field("In", "b"))) == []


# --------------------------------------------------------------------------- over random clusters

SEEDS = st.integers(0, 10**6)


def nodes_of(seed: int, leave_out: int | None = None) -> list[Node]:
    cluster = generate(seed)
    records = [
        record
        for number, pod in enumerate(cluster.pods)
        if number != leave_out and (record := record_of(pod)) is not None
    ]
    return with_pods([Node.from_json(node) for node in cluster.nodes], records)


@given(SEEDS, st.integers(0, 20))
def test_taking_a_pod_away_never_leaves_less(seed: int, which: int) -> None:
    assume(which < len(generate(seed).pods))
    for before, after in zip(nodes_of(seed), nodes_of(seed, which), strict=True):
        left, now = free(before), free(after)
        assert all(now.of(name) >= amount for name, amount in left.items())


@given(
    SEEDS,
    st.builds(Resources, *[st.integers(0, 10**10)] * 3, st.integers(0, 3)),
    st.dictionaries(st.sampled_from(["nvidia.com/gpu", "x/y"]), st.integers(0, 2)),
)
def test_asking_for_more_never_makes_it_fit(
    seed: int, more: Resources, others: dict[str, int]
) -> None:
    extra = more._replace(extended=tuple(sorted(others.items())))
    asked = needs_of_pod(generate(seed).probe)
    larger = dataclasses.replace(asked, requests=asked.requests.plus(extra))
    for node in nodes_of(seed):
        if not fits(larger, node):
            assert not fits(asked, node)


@given(SEEDS)
def test_what_fits_still_has_that_much_left(seed: int) -> None:
    asked = needs_of_pod(generate(seed).probe)
    for node in nodes_of(seed):
        if not fits(asked, node):
            left = free(node)
            assert all(
                amount == 0 or left.of(name) >= amount for name, amount in asked.requests.items()
            )
            assert not node.unschedulable or asked.tolerations


@given(SEEDS)
def test_a_volume_more_never_makes_it_fit(seed: int) -> None:
    cluster = generate(seed)
    fitting = predict(cluster)
    alone = {**cluster.probe, "spec": {**cluster.probe["spec"], "volumes": []}}
    assert fitting <= predict(dataclasses.replace(cluster, probe=alone))


def test_clusters_are_the_same_for_a_seed_and_of_both_kinds() -> None:
    assert generate(7) == generate(7)
    found = [(len(predict(cluster)), len(cluster.nodes)) for cluster in map(generate, range(200))]
    assert sum(none == 0 for none, _ in found) >= 40
    assert sum(0 < some < all_ for some, all_ in found) >= 60
