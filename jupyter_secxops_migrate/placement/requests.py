"""What a pod takes of a node, as the scheduler counts it.

The rules are those of ``k8s.io/component-helpers/resource/helpers.go`` (``PodRequests``, v0.36), which
the scheduler and the kubelet share, with the defaults that the API server fills in on creation
(``pkg/apis/core/v1/defaults.go``), so that a pod that was not created yet counts alike:

- a container's missing request is its limit;
- the pod's request is the largest of what runs together: its containers and sidecars (init
  containers that restart always), or one init container and the sidecars before it; per resource;
- ``spec.resources.requests`` goes before that for CPU, memory and huge pages;
- while a pod is resized in place, the largest of what is asked, allocated and in use counts; where
  the resize is infeasible, what is asked does not;
- the pod's overhead comes on top.

Not counted: resources that a pod gets through resource claims (dynamic resource allocation), and
pods that are only nominated to a node by preemption.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from .quantity import milli, units

Json = Mapping[str, Any]
Extended = tuple[tuple[str, int], ...]
"""Names and counts of other resources (``nvidia.com/gpu``, huge pages), by name."""

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "secxops-migrate"
ROLE = "secxops.io/role"


class Resources(NamedTuple):
    """Amounts: millicores, bytes of memory, bytes of ephemeral storage, pods, and others."""

    cpu: int = 0
    memory: int = 0
    storage: int = 0
    pods: int = 0
    extended: Extended = ()

    def plus(self, other: Resources) -> Resources:
        """Return the sum, resource by resource."""
        return self._with(other, 1)

    def minus(self, other: Resources) -> Resources:
        """Return the difference; an amount below zero stays one."""
        return self._with(other, -1)

    def _with(self, other: Resources, sign: int) -> Resources:
        extended = self.extended
        if other.extended:
            counts = dict(extended)
            for name, count in other.extended:
                counts[name] = counts.get(name, 0) + sign * count
            extended = tuple(sorted(item for item in counts.items() if item[1]))
        return Resources(
            self.cpu + sign * other.cpu,
            self.memory + sign * other.memory,
            self.storage + sign * other.storage,
            self.pods + sign * other.pods,
            extended,
        )

    def of(self, name: str) -> int:
        """Return the amount of one resource by its name in Kubernetes."""
        if name in _FIELDS:
            amount: int = getattr(self, _FIELDS[name])
            return amount
        return dict(self.extended).get(name, 0)

    def items(self) -> Iterable[tuple[str, int]]:
        """Yield names, as Kubernetes says them, and amounts."""
        yield "cpu", self.cpu
        yield "memory", self.memory
        yield "ephemeral-storage", self.storage
        yield "pods", self.pods
        yield from self.extended


NOTHING = Resources()
_FIELDS = {"cpu": "cpu", "memory": "memory", "ephemeral-storage": "storage", "pods": "pods"}


class PodRecord(NamedTuple):
    """What a cache keeps of a pod that takes room on a node."""

    namespace: str
    name: str
    node: str
    requests: Resources
    ours: bool = False
    """Whether it is an environment that this product launched."""
    passing: bool = False
    """Whether it is a Job of this product: it ends by itself, and then its room is free again."""


def resources(amounts: Json) -> Resources:
    """Return a Kubernetes resource list (``{"cpu": "2", …}``), each amount rounded up.

    Names that the scheduler does not count are left out.

    Raises
    ------
    ValueError
        An amount is no quantity, or below zero.
    """
    return _rounded({name: milli(amount) for name, amount in amounts.items()})


def pod_requests(pod: Json) -> Resources:
    """Return what a pod takes of its node, one pod slot included; nothing if it has ended.

    A pod that is being deleted takes its room until it has ended.

    Parameters
    ----------
    pod
        The pod as the API has it.

    Raises
    ------
    ValueError
        An amount is no quantity, or below zero.
    """
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return NOTHING
    spec = pod["spec"]
    total = _running_together(spec, status)
    for name, amount in _pod_level(spec, status).items():
        total[name] = amount
    _add(total, _amounts(spec.get("overhead")))
    return _rounded(total, pods=1)


def record_of(pod: Json) -> PodRecord | None:
    """Return what to remember of a pod, None if it takes no room on any node."""
    node = pod["spec"].get("nodeName")
    if not node:
        return None
    requests = pod_requests(pod)
    if not requests.pods:
        return None
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    role = labels.get(ROLE) if labels.get(MANAGED_BY) == MANAGER else None
    return PodRecord(
        sys.intern(metadata.get("namespace", "")),
        metadata["name"],
        sys.intern(node),
        _shared(requests),
        role == "environment",
        role == "job",
    )


@lru_cache(maxsize=8192)
def _shared(requests: Resources) -> Resources:
    """One object for equal requests: most pods of a cluster are copies of a few."""
    return requests


# --------------------------------------------------------------------------- parts, in thousandths


def _running_together(spec: Json, status: Json) -> dict[str, int]:
    """The larger of what containers and sidecars need together, and of each start before that."""
    statuses = {
        each["name"]: each
        for kind in ("containerStatuses", "initContainerStatuses")
        for each in status.get(kind) or ()
        if each.get("resources") is not None
    }
    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(total, _of_container(container, statuses, status))
    starting: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            amounts = _of_container(container, statuses, status)
            _add(total, amounts)
            _add(sidecars, amounts)
        else:
            amounts = _defaulted(container)
            _add(amounts, sidecars)
            _raise(starting, amounts)
    _raise(total, starting)
    return total


def _of_container(container: Json, statuses: Mapping[str, Json], status: Json) -> dict[str, int]:
    """What a container that goes on running needs, with what a resize in place makes of it."""
    asked = _defaulted(container)
    seen = statuses.get(container.get("name", ""))
    if seen is None:
        return asked
    return _resized(
        asked, seen["resources"].get("requests"), seen.get("allocatedResources"), status
    )


def _defaulted(container: Json) -> dict[str, int]:
    """A container's requests; a missing one is its limit."""
    given = container.get("resources") or {}
    return {**_amounts(given.get("limits")), **_amounts(given.get("requests"))}


def _pod_level(spec: Json, status: Json) -> dict[str, int]:
    """Requests of the pod as a whole, which go before its containers'."""
    given = spec.get("resources") or {}
    asked = _amounts(given.get("requests"))
    limits = _amounts(given.get("limits"))
    if limits:
        # As the API server fills them in: from the containers, and where they say nothing, the limit.
        aggregate = _running_together(spec, {})
        for name in ("cpu", "memory"):
            if name in aggregate:
                asked.setdefault(name, aggregate[name])
        asked = {**limits, **asked}
    counted = {name: amount for name, amount in asked.items() if _whole_pod(name)}
    if counted and status.get("resources") is not None:
        seen = status["resources"].get("requests")
        effective = _resized(asked, seen, status.get("allocatedResources"), status)
        return {name: effective.get(name, 0) for name in counted}
    return counted


def _resized(
    asked: dict[str, int], actual: Json | None, allocated: Json | None, status: Json
) -> dict[str, int]:
    pending = [
        each.get("reason")
        for each in status.get("conditions") or ()
        if each.get("type") == "PodResizePending"
    ]
    result = {} if pending[:1] == ["Infeasible"] else dict(asked)
    _raise(result, _amounts(actual))
    _raise(result, _amounts(allocated))
    return result


def _whole_pod(name: str) -> bool:
    """Whether a pod as a whole can ask for it."""
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def _amounts(given: Json | None) -> dict[str, int]:
    return {name: milli(amount) for name, amount in given.items()} if given else {}


def _add(total: dict[str, int], amounts: Mapping[str, int]) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: dict[str, int], amounts: Mapping[str, int]) -> None:
    """Raise each amount to at least that one."""
    for name, amount in amounts.items():
        if amount > total.get(name, -1):
            total[name] = amount


def _rounded(amounts: Mapping[str, int], pods: int = 0) -> Resources:
    """Amounts as the scheduler counts them: millicores, and whole units of all else."""
    extended = [
        (name, units(amount))
        for name, amount in amounts.items()
        if amount and ("/" in name or name.startswith(("hugepages-", "attachable-volumes-")))
    ]
    return Resources(
        amounts.get("cpu", 0),
        units(amounts.get("memory", 0)),
        units(amounts.get("ephemeral-storage", 0)),
        pods or units(amounts.get("pods", 0)),
        tuple(sorted(extended)),
    )
