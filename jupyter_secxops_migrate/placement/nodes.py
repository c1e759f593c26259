"""Nodes, what is free on them, and whether a pod fits, as the scheduler's filters judge it.

After the filter plugins of kube-scheduler v1.36 (``pkg/scheduler/framework/plugins``):
NodeUnschedulable, TaintToleration, NodeAffinity (with ``nodeSelector``), NodeResourcesFit, and of
VolumeBinding the node affinity of bound volumes. The scheduler ends at a node's first reason; here
all are told.

Left out, as the pods launched here do not meet them or nothing can be known of them beforehand:
NodePorts, NodeVolumeLimits, VolumeRestrictions, VolumeZone (labels of volumes from before CSI),
the topology of volumes that are not bound yet, required (anti-)affinity between pods, dynamic
resource allocation, and the Lt and Gt of tolerations (alpha).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from .requests import NOTHING, Extended, Json, PodRecord, Resources, pod_requests, resources

HOSTNAME = "kubernetes.io/hostname"
AWAY = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
"""The taints of a node whose kubelet is away or just coming back: they go by themselves.

The API server lets every pod bear them for five minutes.
"""
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]+")
_INT64 = 2**63


class Taint(NamedTuple):
    """A taint of a node."""

    key: str
    value: str
    effect: str


class Toleration(NamedTuple):
    """A toleration of a pod; an empty key or effect stands for all."""

    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        """Tell whether it tolerates a taint (``ToleratesTaint`` in ``k8s.io/api/core/v1``)."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator in ("", "Equal"):
            return self.value == taint.value
        return self.operator == "Exists"


class Requirement(NamedTuple):
    """One expression of a node selector."""

    key: str
    operator: str
    values: tuple[str, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels satisfy it (``Requirement.Matches`` in ``apimachinery/pkg/labels``)."""
        value = labels.get(self.key)
        operator = self.operator
        if operator == "In":
            return value is not None and value in self.values
        if operator == "NotIn":
            # Values that no label can have make it an error, and then it matches nothing.
            valid = self.values and all(map(_LABEL_VALUE.fullmatch, self.values))
            return bool(valid) and (value is None or value not in self.values)
        if operator == "Exists":
            return value is not None
        if operator == "DoesNotExist":
            return value is None
        if operator in ("Gt", "Lt") and value is not None and len(self.values) == 1:
            left, right = _integer(value), _integer(self.values[0])
            if left is not None and right is not None:
                return left > right if operator == "Gt" else left < right
        return False


class Term(NamedTuple):
    """One term of a node selector: all of its expressions and fields must match."""

    expressions: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str], name: str | None) -> bool:
        """Tell whether a node matches; a term of nothing matches none (``nodeaffinity.go``)."""
        if not self.expressions and not self.fields:
            return False
        for requirement in self.expressions:
            if not requirement.matches(labels):
                return False
        if name is None:
            return True
        for requirement in self.fields:
            if len(requirement.values) != 1 or requirement.operator not in ("In", "NotIn"):
                return False
            same = requirement.values[0] == (name if requirement.key == "metadata.name" else "")
            if same != (requirement.operator == "In"):
                return False
        return True


class Reason(NamedTuple):
    """Why a pod does not fit, or why a place was chosen: a stable code and its numbers.

    Codes of this module: ``node_cordoned``; ``node_tainted`` (``key value effect``);
    ``node_not_selected``; ``resource_short`` (``resource asked free allocatable``, in millicores,
    bytes or counts); ``volume_elsewhere`` (``volume``, and its ``claim`` where it is known).
    """

    code: str
    params: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Node:
    """A node, as far as placement needs it.

    ``used`` sums what its pods take (their number is ``used.pods``), None where pods can't be
    listed; ``ours`` counts the environments of this product among them. ``images`` are the names
    that the kubelet reports, by default of its 50 largest images. The scheduler does not ask
    whether a node is ``ready``: taints say it.
    """

    name: str
    allocatable: Resources
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    ready: bool = True
    images: frozenset[str] = frozenset()
    used: Resources | None = NOTHING
    ours: int = 0

    @classmethod
    def from_json(cls, node: Json) -> Node:
        """Return a node as the API has it, without its pods (see `with_pods`).

        Raises
        ------
        ValueError
            An amount is no quantity, or below zero.
        """
        metadata, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
        ready = [
            each.get("status") == "True"
            for each in status.get("conditions") or ()
            if each.get("type") == "Ready"
        ]
        return cls(
            name=metadata["name"],
            allocatable=resources(status.get("allocatable") or {}),
            # Names recur on thousands of nodes.
            labels={
                sys.intern(key): sys.intern(value)
                for key, value in (metadata.get("labels") or {}).items()
            },
            taints=tuple(
                Taint(each["key"], each.get("value", ""), each["effect"])
                for each in spec.get("taints") or ()
            ),
            unschedulable=bool(spec.get("unschedulable")),
            ready=ready == [True],
            images=frozenset(
                sys.intern(name)
                for image in status.get("images") or ()
                for name in image.get("names") or ()
            ),
        )

    @property
    def hostname(self) -> str:
        """The value of its hostname label, which a pod is pinned by; on some clouds not its name."""
        return self.labels.get(HOSTNAME, self.name)


@dataclass(frozen=True, slots=True)
class Volume:
    """A bound persistent volume, and which nodes reach it (``affinity`` None: all)."""

    name: str
    affinity: tuple[Term, ...] | None = None
    claim: str = ""
    many: bool = False
    """Whether several nodes may mount it at once."""

    @classmethod
    def from_json(cls, volume: Json) -> Volume:
        """Return a PersistentVolume as the API has it."""
        affinity = volume["spec"].get("nodeAffinity") or {}
        many = "ReadWriteMany" in (volume["spec"].get("accessModes") or ())
        claim = str((volume["spec"].get("claimRef") or {}).get("name") or "")
        return cls(volume["metadata"]["name"], _terms(affinity.get("required")), claim, many)

    @property
    def shared(self) -> bool:
        """Whether all nodes may mount it at once."""
        return self.affinity is None and self.many

    def reaches(self, node: Node) -> bool:
        """Tell whether a node reaches it; only labels count (``volume.CheckNodeAffinity``)."""
        return self.affinity is None or any(
            term.matches(node.labels, None) for term in self.affinity
        )


@dataclass(frozen=True, slots=True)
class PodNeeds:
    """What a pod asks of its node.

    ``images`` has no part in whether it fits: names of images which, where a node has them, make
    the pull short (see `strategies.ImageWarm`).
    """

    requests: Resources
    tolerations: tuple[Toleration, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    affinity: tuple[Term, ...] | None = None
    images: frozenset[str] = frozenset()


def needs_of_pod(pod: Json, images: Iterable[str] = ()) -> PodNeeds:
    """Return what a pod asks of its node.

    Parameters
    ----------
    pod
        The pod as the API has it, or as it is to be created.
    images
        Images whose layers its own image shares.

    Raises
    ------
    ValueError
        An amount is no quantity, or below zero.
    """
    spec = pod["spec"]
    return PodNeeds(
        requests=pod_requests(pod),
        tolerations=tuple(
            Toleration(
                each.get("key") or "",
                each.get("operator") or "",
                each.get("value") or "",
                each.get("effect") or "",
            )
            for each in spec.get("tolerations") or ()
        ),
        selector=tuple((spec.get("nodeSelector") or {}).items()),
        affinity=node_terms(spec.get("affinity")),
        images=frozenset(images),
    )


def node_terms(affinity: Json | None) -> tuple[Term, ...] | None:
    """Return the terms of which a node must match one by a pod's affinity; None where it may be any."""
    of_nodes = (affinity or {}).get("nodeAffinity") or {}
    return _terms(of_nodes.get("requiredDuringSchedulingIgnoredDuringExecution"))


def with_pods(nodes: Iterable[Node], pods: Iterable[PodRecord] | None) -> list[Node]:
    """Return the nodes with the sums of what their pods take, without Jobs of this product.

    What those take is waited for: it is free again when they have ended.

    Parameters
    ----------
    pods
        All pods of the cluster that take room (`requests.record_of`); those of other nodes are
        passed over. None where they can't be listed.
    """
    if pods is None:
        return [replace(node, used=None, ours=0) for node in nodes]
    sums: dict[str, list[int]] = {}
    others: dict[str, dict[str, int]] = {}
    for _, _, name, (cpu, memory, storage, slots, extended), ours, passing in pods:
        if passing:
            continue
        total = sums.get(name)
        if total is None:
            sums[name] = [cpu, memory, storage, slots, int(ours)]
        else:
            total[0] += cpu
            total[1] += memory
            total[2] += storage
            total[3] += slots
            total[4] += ours
        if extended:
            _count(others.setdefault(name, {}), extended)
    found = []
    for node in nodes:
        cpu, memory, storage, slots, count = sums.get(node.name, (0, 0, 0, 0, 0))
        extended = tuple(sorted(others.get(node.name, {}).items()))
        used = Resources(cpu, memory, storage, slots, extended)
        found.append(replace(node, used=used, ours=count))
    return found


def free(node: Node) -> Resources:
    """Return what is left on a node: allocatable less what its pods take.

    Below zero where more was promised than there is. Where pods can't be listed, all of
    allocatable: more can't be left.
    """
    return node.allocatable if node.used is None else node.allocatable.minus(node.used)


def fits(needs: PodNeeds, node: Node, volumes: Sequence[Volume] = ()) -> list[Reason]:
    """Return why a pod does not fit on a node; nothing if it does.

    Parameters
    ----------
    volumes
        The bound volumes that the pod mounts.
    """
    reasons: list[Reason] = []
    if node.unschedulable and not _tolerated(_UNSCHEDULABLE, needs.tolerations):
        reasons.append(Reason("node_cordoned"))
    for taint in node.taints:
        if taint.effect in ("NoSchedule", "NoExecute") and not _tolerated(taint, needs.tolerations):
            reasons.append(Reason("node_tainted", taint._asdict()))
    if not selected(needs, node):
        reasons.append(Reason("node_not_selected"))
    asked, there, used = needs.requests, node.allocatable, node.used or NOTHING
    if (
        asked.cpu > there.cpu - used.cpu
        or asked.memory > there.memory - used.memory
        or asked.storage > there.storage - used.storage
        or asked.pods > there.pods - used.pods
        or asked.extended
    ):
        reasons.extend(_short(asked, node))
    for volume in volumes:
        if not volume.reaches(node):
            named = {"volume": volume.name, **({"claim": volume.claim} if volume.claim else {})}
            reasons.append(Reason("volume_elsewhere", named))
    return reasons


def selected(needs: PodNeeds, node: Node) -> bool:
    """Tell whether a pod's node selector and required node affinity let it onto a node."""
    labels = node.labels
    for key, value in needs.selector:
        if labels.get(key) != value:
            return False
    affinity = needs.affinity
    return affinity is None or any(term.matches(labels, node.name) for term in affinity)


_UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")


def _short(asked: Resources, node: Node) -> list[Reason]:
    """Each resource of which less is free than asked for; what is not asked for is never short."""
    there, used = node.allocatable, node.used or NOTHING
    reasons = []
    for name, amount, allocatable, taken in (
        ("cpu", asked.cpu, there.cpu, used.cpu),
        ("memory", asked.memory, there.memory, used.memory),
        ("ephemeral-storage", asked.storage, there.storage, used.storage),
        ("pods", asked.pods, there.pods, used.pods),
        *((name, amount, there.of(name), used.of(name)) for name, amount in asked.extended),
    ):
        if amount > 0 and amount > allocatable - taken:
            numbers = {
                "resource": name,
                "asked": amount,
                "free": allocatable - taken,
                "allocatable": allocatable,
            }
            reasons.append(Reason("resource_short", numbers))
    return reasons


def _tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    return any(toleration.tolerates(taint) for toleration in tolerations)


def _terms(selector: Json | None) -> tuple[Term, ...] | None:
    """The terms of a node selector, of which one must match; None where there is no selector."""
    if selector is None:
        return None
    return tuple(
        Term(_requirements(each.get("matchExpressions")), _requirements(each.get("matchFields")))
        for each in selector.get("nodeSelectorTerms") or ()
    )


def _requirements(given: Iterable[Json] | None) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(each["key"], each["operator"], tuple(each.get("values") or ()))
        for each in given or ()
    )


def _integer(text: str) -> int | None:
    """A number as Go's ``ParseInt`` reads it, None if it is none."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -_INT64 <= number < _INT64 else None


def _count(total: dict[str, int], extended: Extended) -> None:
    for name, amount in extended:
        total[name] = total.get(name, 0) + amount
