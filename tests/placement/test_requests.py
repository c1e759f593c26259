"""What a pod takes of a node: as the scheduler counts, never twice, nothing once it has ended."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_secxops_migrate.placement.quantity import milli
from jupyter_secxops_migrate.placement.requests import (
    NOTHING,
    Resources,
    pod_requests,
    record_of,
    resources,
)

Json = dict[str, Any]
GIB = 2**30


def container(cpu: str | None = None, memory: str | None = None, **more: Any) -> Json:
    given = {"cpu": cpu, "memory": memory}
    requests = {name: amount for name, amount in given.items() if amount is not None}
    return {"name": more.pop("name", "c"), "resources": {"requests": requests}, **more}


def pod(*containers: Json, init: list[Json] | None = None, **spec: Any) -> Json:
    return {
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"containers": list(containers), "initContainers": init or [], **spec},
    }


def sidecar(cpu: str) -> Json:
    return container(cpu, restartPolicy="Always", name=f"side-{cpu}")


def cpu(of: Json) -> int:
    return pod_requests(of).cpu


def test_containers_are_summed_and_take_one_pod_slot() -> None:
    asked = pod_requests(pod(container("100m", "1Gi"), container("1.5", "1G")))
    assert asked == Resources(1600, GIB + 10**9, 0, 1)


def test_a_sum_is_rounded_once_at_its_end() -> None:
    two = pod(container(memory="500m"), container(memory="500m"))
    assert pod_requests(two).memory == 1


def test_a_missing_request_is_the_limit() -> None:
    limited = {"name": "c", "resources": {"limits": {"cpu": "2", "nvidia.com/gpu": "1"}}}
    assert pod_requests(pod(limited)) == Resources(2000, 0, 0, 1, (("nvidia.com/gpu", 1),))
    limited["resources"]["requests"] = {"cpu": "0"}
    assert cpu(pod(limited)) == 0


def test_init_containers_run_one_by_one_before_the_rest() -> None:
    assert cpu(pod(container("1"), init=[container("3"), container("2")])) == 3000
    assert cpu(pod(container("4"), init=[container("3"), container("2")])) == 4000


def test_sidecars_run_beside_all_that_follows() -> None:
    # Running: 1 + 0.5 + 1; the last init container: 2 beside the first sidecar only.
    started = [sidecar("500m"), container("2"), sidecar("1")]
    assert cpu(pod(container("1"), init=started)) == 2500
    assert cpu(pod(container("100m"), init=started)) == 2500
    assert cpu(pod(container("0"), init=[sidecar("1"), sidecar("2")])) == 3000


def test_the_largest_counts_per_resource() -> None:
    asked = pod_requests(pod(container("1", "4Gi"), init=[container("2", "1Gi")]))
    assert (asked.cpu, asked.memory) == (2000, 4 * GIB)


def test_overhead_comes_on_top() -> None:
    overhead = {"cpu": "250m", "memory": "120Mi"}
    asked = pod_requests(pod(container("1"), init=[container("2")], overhead=overhead))
    assert (asked.cpu, asked.memory) == (2250, 120 * 2**20)


def test_what_the_pod_asks_for_as_a_whole_goes_before_its_containers() -> None:
    whole = {"requests": {"cpu": "1", "ephemeral-storage": "7"}}
    many = pod(container("3", "1Gi"), resources=whole, overhead={"cpu": "100m"})
    assert pod_requests(many) == Resources(1100, GIB, 0, 1)


def test_limits_of_the_whole_pod_are_requests_where_no_container_says_any() -> None:
    whole = {"limits": {"cpu": "2", "memory": "2Gi"}}
    asked = pod_requests(pod(container("300m"), container("200m"), resources=whole))
    assert (asked.cpu, asked.memory) == (500, 2 * GIB)


def resized(reason: str | None) -> Json:
    seen = {
        "name": "c",
        "resources": {"requests": {"cpu": "2"}},
        "allocatedResources": {"cpu": "1500m", "memory": "1Gi"},
    }
    status: Json = {"containerStatuses": [seen]}
    if reason:
        status["conditions"] = [
            {"type": "Ready", "reason": "Infeasible"},
            {"type": "PodResizePending", "reason": reason},
        ]
    return {**pod(container("3", "512Mi")), "status": status}


@pytest.mark.parametrize(
    ("reason", "expected"), [(None, 3000), ("Deferred", 3000), ("Infeasible", 2000)]
)
def test_while_it_is_resized_the_largest_counts(reason: str | None, expected: int) -> None:
    asked = pod_requests(resized(reason))
    assert (asked.cpu, asked.memory) == (expected, GIB)


def test_a_status_without_resources_changes_nothing() -> None:
    seen = {"name": "c", "allocatedResources": {"cpu": "9"}}
    assert cpu({**pod(container("3")), "status": {"containerStatuses": [seen]}}) == 3000


def test_an_init_container_that_ends_is_never_resized() -> None:
    seen = {"name": "i", "resources": {"requests": {"cpu": "9"}}}
    of = pod(container("1"), init=[container("2", name="i")])
    assert cpu({**of, "status": {"initContainerStatuses": [seen]}}) == 2000
    of["spec"]["initContainers"][0]["restartPolicy"] = "Always"
    assert cpu({**of, "status": {"initContainerStatuses": [seen]}}) == 10000


def test_a_pod_resized_as_a_whole() -> None:
    whole = {"requests": {"cpu": "1"}}
    status = {"resources": {"requests": {"cpu": "2"}}, "allocatedResources": {"cpu": "1500m"}}
    assert cpu({**pod(container("3"), resources=whole), "status": status}) == 2000


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_ended_takes_nothing(phase: str) -> None:
    ended = {**pod(container("1"), nodeName="a"), "status": {"phase": phase}}
    assert pod_requests(ended) == NOTHING
    assert record_of(ended) is None


def test_a_pod_that_is_being_deleted_still_takes_its_room() -> None:
    leaving = {**pod(container("1"), nodeName="a"), "status": {"phase": "Running"}}
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    record = record_of(leaving)
    assert record is not None and record.requests.cpu == 1000


def test_a_pod_that_has_no_node_takes_no_room() -> None:
    assert record_of(pod(container("1"))) is None


def test_our_environments_are_told_from_our_jobs() -> None:
    labels = {"app.kubernetes.io/managed-by": "secxops-migrate", "secxops.io/role": "environment"}
    ours = pod(container("1"), nodeName="a")
    ours["metadata"]["labels"] = labels
    record = record_of(ours)
    assert record is not None and record.ours
    labels["secxops.io/role"] = "job"
    record = record_of(ours)
    assert record is not None and not record.ours


def test_names_that_the_scheduler_does_not_count_are_left_out() -> None:
    given = {"cpu": "1", "storage": "9", "hugepages-2Mi": "4Mi", "a.b/c": "2", "pods": "5"}
    assert resources(given) == Resources(
        1000, 0, 0, 5, (("a.b/c", 2), ("hugepages-2Mi", 4 * 2**20))
    )


def test_equal_requests_are_one_object() -> None:
    """150,000 records of a few thousand kinds of pods stay small."""
    first, second = (record_of(pod(container("1"), nodeName="a")) for _ in range(2))
    assert first is not None and second is not None and first.requests is second.requests


# --------------------------------------------------------------------------- properties

CPU = st.integers(0, 4000).map(lambda number: f"{number}m")
CONTAINERS = st.lists(CPU.map(container), min_size=1, max_size=4)
INIT = st.lists(
    st.one_of(CPU.map(container), CPU.map(sidecar)),
    max_size=4,
)


def asked(of: Json) -> int:
    return milli(of["resources"]["requests"]["cpu"])


@given(CONTAINERS, INIT)
def test_init_containers_are_never_counted_twice(running: list[Json], init: list[Json]) -> None:
    """Never more than all together, never less than what runs on or than any one of them."""
    total = cpu(pod(*running, init=init))
    sides = [each for each in init if "restartPolicy" in each]
    stays = sum(map(asked, running)) + sum(map(asked, sides))
    once = [asked(each) for each in init if "restartPolicy" not in each]
    assert stays <= total <= stays + max(once, default=0)
    assert total >= max(once, default=0)
    # Simulated start: what is up at each moment.
    up, most = 0, 0
    for each in init:
        most = max(most, up + asked(each))
        up += asked(each) if "restartPolicy" in each else 0
    assert total == max(most, stays)


@given(st.lists(CONTAINERS, max_size=5))
def test_sums_do_not_depend_on_the_order(pods: list[list[Json]]) -> None:
    each = [pod_requests(pod(*containers)) for containers in pods]
    forwards, backwards = NOTHING, NOTHING
    for request in each:
        forwards = forwards.plus(request)
    for request in reversed(each):
        backwards = request.plus(backwards)
    assert forwards == backwards
    assert forwards.pods == len(pods)


AMOUNTS = st.builds(
    Resources,
    st.integers(0, 10**6),
    st.integers(0, 2**50),
    st.integers(0, 2**50),
    st.integers(0, 500),
    st.dictionaries(st.sampled_from(["a/x", "b/y", "c/z"]), st.integers(1, 9)).map(
        lambda counts: tuple(sorted(counts.items()))
    ),
)


@given(AMOUNTS, AMOUNTS)
def test_what_is_added_can_be_taken_away(left: Resources, right: Resources) -> None:
    assert left.plus(right).minus(right) == left
    for name, amount in left.plus(right).items():
        assert amount == left.of(name) + right.of(name)
