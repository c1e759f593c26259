"""A cluster as a place where environments can run: what was observed of it, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import errors
from ..engines.kubernetes.errors import NodeUnreachable
from ..model import NodeCapacity, Route
from ..units import human_size
from . import strategies
from .choose import Choice, choose, is_away, lacks
from .errors import NoNodeFits, NoRoomForJobs, StrategyUnknown, VolumeBound
from .nodes import HOSTNAME, Node, PodNeeds, Reason, Toleration, Volume, fits, free, node_terms
from .policy import Decision, Needs, ResourcePolicy
from .requests import NOTHING, Resources
from .storage import Storage

_MOST_NAMED = 3


@dataclass(frozen=True)
class Cluster:
    """What was observed of a cluster.

    Attributes
    ----------
    source
        The node of the source.
    nodes
        All nodes with the sums of their pods; None where they can't be listed.
    volumes
        Bound volumes that the new pod will mount, or whose copies it will; None where they can't be
        read.
    tolerations, selector
        The source pod's, which the new pod gets too; with a GPU it tolerates more (`gpu_tolerations`).
    affinity
        What the source pod's affinity requires of nodes and other pods, as in its spec; so does the new
        pod's.
    overhead
        What the source pod's runtime takes besides its containers; so does the new pod's.
    images
        What the image starts from.
    gpu_resource
        The extended resource that a GPU is.
    storage
        What the copies' claims meet; nothing once they are made.
    beside
        What one Job takes of the source's node. They run one after the other where room is short. None
        once everything is copied.
    roams
        Whether Jobs may run on other nodes, as all nodes reach what they mount.
    registry
        Where images are pushed to; empty for nowhere.
    keeps_images
        Whether the builder of the source's node leaves images there that stay.
    builder_missing
        What is told where that node has no builder; None where it has one, or nobody may look.
    """

    source: str
    nodes: Sequence[Node] | None
    volumes: Sequence[Volume] | None = ()
    tolerations: Sequence[Toleration] = ()
    selector: Mapping[str, str] = field(default_factory=dict)
    affinity: Mapping[str, Any] = field(default_factory=dict)
    overhead: Resources = NOTHING
    images: frozenset[str] = frozenset()
    gpu_resource: str = "nvidia.com/gpu"
    storage: Storage = field(default_factory=Storage)
    beside: Resources | None = None
    roams: bool = False
    registry: str = ""
    keeps_images: bool = False
    builder_missing: errors.SecxopsError | None = None

    @property
    def here(self) -> NodeCapacity:
        """The source's node; of what can't be seen, nothing but that."""
        node = next((n for n in self.nodes or () if n.name == self.source), None)
        if node is None:
            return NodeCapacity(node=self.source, cpu=0, memory=0, unseen="node")
        used = node.used or Resources()
        return NodeCapacity(
            node=node.name,
            cpu=node.allocatable.cpu / 1000,
            cpu_requested=used.cpu / 1000,
            memory=node.allocatable.memory,
            memory_requested=used.memory,
            gpu=node.allocatable.of(self.gpu_resource),
            gpu_requested=used.of(self.gpu_resource),
            unseen="pods" if node.used is None else "",
        )

    def needs(self, needs: Needs) -> PodNeeds:
        """Return what the new pod will ask of its node."""
        extended = ((self.gpu_resource, needs.gpu),) if needs.gpu else ()
        tolerations = [*self.tolerations, *gpu_tolerations(needs.gpu, self.gpu_resource)]
        return PodNeeds(
            Resources(round(needs.cpu * 1000), needs.memory, 0, 1, extended).plus(self.overhead),
            tuple(tolerations),
            tuple(self.selector.items()),
            node_terms(self.affinity),
            self.images,
        )

    def decide(self, needs: Needs, policy: ResourcePolicy, *, stay: bool = True) -> Decision:
        """Decide as the scheduler counts; the policy says by which strategy to move.

        Raises
        ------
        StrategyUnknown
            There is no such strategy.
        """
        try:
            strategy = strategies.load(policy.strategy)
        except (ValueError, TypeError) as error:
            raise StrategyUnknown(reason=str(error)) from None
        choice = choose(
            self.needs(needs),
            self.source,
            self.nodes,
            self.volumes,
            strategy,
            gpu=bool(needs.gpu),
            stay=stay,
        )
        refusals: list[errors.SecxopsError] = []
        if choice.refusal is not None:
            refusals.append(_refusal(choice.refusal))
            refusals += self._bound(self.needs(needs))
        refusals += self._against_jobs()
        refusals += self.storage.judge(needs, self.gpu_resource)
        reasons = [self._said(reason, choice) for reason in choice.reasons]
        if choice.refusal is None:
            reasons += self._image(choice.route)
        if self.storage.unseen:
            reasons.append(("storage_unseen", {"what": ", ".join(self.storage.unseen)}))
        terms: dict[str, Any] = {"nodeSelector": {**self.selector, **choice.selector}}
        if affinity := _joined(self.affinity, choice.terms.affinity):
            terms["affinity"] = affinity
        if choice.terms.topology_spread:
            terms["topologySpreadConstraints"] = choice.terms.topology_spread
        return Decision(
            refusals,
            route=choice.route,
            node=choice.node or choice.forecast or "",
            reasons=reasons,
            terms=terms,
            record=choice.as_dict(),
        )

    def _bound(self, needs: PodNeeds) -> list[errors.SecxopsError]:
        """Name the volumes that alone keep the environment from nodes that have room."""
        nodes, claims = [], set()
        for node in self.nodes or ():
            against = fits(needs, node, self.volumes or ())
            if against and all(reason.code == "volume_elsewhere" for reason in against):
                nodes.append(node.name)
                claims |= {str(r.params.get("claim") or r.params["volume"]) for r in against}
        if not nodes:
            return []
        named = ", ".join(nodes[:_MOST_NAMED]) + (", …" if len(nodes) > _MOST_NAMED else "")
        return [VolumeBound(nodes=named, claim=", ".join(sorted(claims)))]

    def _against_jobs(self) -> list[errors.SecxopsError]:
        """Return what stands against the Jobs of a share, of which at least one has to run at a time."""
        if self.beside is None:
            return []
        found = [] if self.builder_missing is None else [self.builder_missing]
        if self.nodes is None:
            return found
        one = PodNeeds(self.beside, tuple(self.tolerations))
        if self.roams:
            wide = replace(
                one, selector=tuple(self.selector.items()), affinity=node_terms(self.affinity)
            )
            if any(not fits(wide, node) for node in self.nodes):
                return found
        here = next((node for node in self.nodes if node.name == self.source), None)
        against = [] if here is None else fits(one, here)
        if here is None:
            said = "it is not there"
        elif not against:
            return found
        elif all(is_away(reason) for reason in against):
            why = "it is not ready, and the copy has to run there"
            return [*found, NodeUnreachable(node=self.source, reason=why)]
        else:
            said = ", ".join(lacks(against))
        return [*found, NoRoomForJobs(node=self.source, lacks=said)]

    def _image(self, route: Route) -> list[tuple[str, dict[str, Any]]]:
        """Say whether the image is pushed, and where to."""
        if self.beside is None:
            return []
        if route is Route.STAY and self.keeps_images:
            return [("image_kept", {"node": self.source})]
        return [("image_pushed", {"registry": self.registry})] if self.registry else []

    def _said(self, reason: Reason, choice: Choice) -> tuple[str, dict[str, Any]]:
        """Return a choice's reason as the plan says it."""
        params = dict(reason.params)
        if reason.code == "stays_on_node":
            node = next((n for n in self.nodes or () if n.name == self.source), None)
            if node is None or node.used is None:
                return "here_unseen", params
            left = free(node)
            cpu = f"{max(0, left.cpu) / 1000:.1f}".removesuffix(".0")
            return "fits_here", {**params, "cpu": cpu, "memory": human_size(max(0, left.memory))}
        if reason.code == "moves" and params["forecast"] is None:
            return "moves_unseen", {"strategy": params["strategy"]}
        if reason.code in ("unseen", "node_short"):
            key = "what" if reason.code == "unseen" else "lacks"
            params[key] = ", ".join(params[key])
        return reason.code, params


def source_selector(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return a pod's node selector without a pin to one host."""
    return {k: v for k, v in (spec.get("nodeSelector") or {}).items() if k != HOSTNAME}


def _joined(required: Mapping[str, Any], wished: Mapping[str, Any]) -> dict[str, Any]:
    """Return an affinity with what one requires and the other wishes."""
    kinds = dict.fromkeys([*required, *wished])
    return {kind: {**required.get(kind, {}), **wished.get(kind, {})} for kind in kinds}


def gpu_tolerations(gpu: int, resource: str) -> list[Toleration]:
    """Return what a pod tolerates because it asks for GPUs.

    Nodes with GPUs are kept free for such pods by a taint whose key is the resource's name. Many clusters
    add the toleration at admission (``ExtendedResourceToleration``), others expect it in the pod.
    """
    return [Toleration(resource, "Exists", "", "")] if gpu else []


def _refusal(reason: Reason) -> errors.SecxopsError:
    lacks = ", ".join(reason.params["lacks"]) or "no node is there"
    if reason.code == "node_away":
        why = "it is not ready, and no other node can take the environment"
        if closest := reason.params["closest"]:
            why += f" (the closest is {closest}, {lacks})"
        return NodeUnreachable(node=reason.params["node"], reason=why)
    return NoNodeFits(
        node=reason.params["node"] or "none", lacks=lacks, total=reason.params["total"]
    )
