"""Which way a share takes on a cluster, from what was observed of it.

An environment that fits on its source's node and asks for no GPU stays there: it is built there, its
image never leaves the node, and so the pod is pinned to it. Any other moves: its image is pushed, and
the cluster's scheduler chooses among the nodes by a strategy's terms; what is said here of the node
is a forecast. What fits nowhere is refused, with the node that comes closest.

What may not be listed is not guessed: the choice says what it can't see and leaves the rest to the
scheduler, whose refusal leads to a second choice with ``stay=False``.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from ..model import Route
from ..units import human_size
from .nodes import AWAY, HOSTNAME, Node, PodNeeds, Reason, Volume, fits, free
from .quantity import format_milli
from .requests import Resources
from .strategies import Strategy, Terms

MOST_CONSIDERED = 20
"""Nodes whose numbers are kept in the record."""


@dataclass(frozen=True, slots=True)
class Considered:
    """One node's numbers as they were: what was free, and why the pod does not fit.

    ``free`` is None where pods can't be listed.
    """

    node: str
    free: Resources | None
    allocatable: Resources
    environments: int
    ready: bool
    reasons: tuple[Reason, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON, amounts in millicores, bytes and counts."""
        return {
            "node": self.node,
            "free": dict(self.free.items()) if self.free is not None else None,
            "allocatable": dict(self.allocatable.items()),
            "environments": self.environments,
            "ready": self.ready,
            "reasons": [_reason(each) for each in self.reasons],
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """Where the environment will run, and why.

    Attributes
    ----------
    route
        Whether it stays on the source's node. Where ``refusal`` is set, neither.
    node
        The node it is pinned to; None where the scheduler chooses.
    forecast
        The node that the strategy ranks first, of those where it fits; None where none is known.
    selector
        What the pod's ``nodeSelector`` must have on top.
    terms
        The pod's affinity and spread terms.
    fitting, total
        How many nodes it fits on, of how many; None where nodes can't be listed.
    considered
        Numbers of at most `MOST_CONSIDERED` nodes: the source's first, then the best, or where it
        fits nowhere the closest.
    reasons
        ``stays_on_node``, ``gpu_asked``, ``stay_failed``, ``node_gone``, ``node_short`` (``node
        lacks``), ``moves`` (``strategy fitting total forecast``), ``unseen`` (``what``).
    refusal
        ``no_node_fits`` (``node lacks total``); ``node_away`` (``node closest lacks total``) where it would
        fit on one that is not ready; None if there is a way.
    """

    route: Route
    node: str | None = None
    forecast: str | None = None
    selector: dict[str, str] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)
    fitting: int | None = None
    total: int | None = None
    considered: tuple[Considered, ...] = ()
    reasons: tuple[Reason, ...] = ()
    refusal: Reason | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON, for the plan and the evidence."""
        return {
            "route": self.route.value,
            "node": self.node,
            "forecast": self.forecast,
            "selector": self.selector,
            "affinity": self.terms.affinity,
            "topology_spread": self.terms.topology_spread,
            "fitting": self.fitting,
            "total": self.total,
            "considered": [each.as_dict() for each in self.considered],
            "reasons": [_reason(each) for each in self.reasons],
            "refusal": _reason(self.refusal) if self.refusal else None,
        }


def choose(
    needs: PodNeeds,
    source: str,
    nodes: Sequence[Node] | None,
    volumes: Sequence[Volume] | None,
    strategy: Strategy,
    *,
    gpu: bool,
    stay: bool = True,
) -> Choice:
    """Choose the route and, as far as it can be seen, the node.

    Parameters
    ----------
    needs
        What the pod asks of its node, GPUs included; without a pin to any node.
    source
        The name of the node where the source runs.
    nodes
        All nodes with the sums of their pods (`nodes.with_pods`); None where they can't be listed.
    volumes
        The bound volumes that the pod mounts; None where they can't be read.
    gpu
        Whether a GPU is asked for.
    stay
        Whether it may stay; False after the scheduler found no place for it there.
    """
    limits = _limits(nodes, volumes)
    why_not = [Reason("gpu_asked")] if gpu else []
    if not stay:
        why_not.append(Reason("stay_failed", {"node": source}))
    if nodes is None:
        return _unseen(needs, source, strategy, why_not, limits)

    mounted = volumes or ()
    fitting = [node for node in nodes if not fits(needs, node, mounted)]
    here = next(((node, fits(needs, node, mounted)) for node in nodes if node.name == source), None)
    if here is None:
        why_not.append(Reason("node_gone", {"node": source}))
    elif here[1]:
        why_not.append(Reason("node_short", {"node": source, "lacks": lacks(here[1])}))
    elif not why_not:
        return Choice(
            Route.STAY,
            node=source,
            forecast=source,
            selector={HOSTNAME: here[0].hostname},
            fitting=len(fitting),
            total=len(nodes),
            considered=_considered(here, []),
            reasons=(Reason("stays_on_node", {"node": source}), *limits),
        )

    if not fitting:
        return _fits_nowhere(needs, source, nodes, mounted, here, why_not, limits)
    ranked = strategy.rank(needs, fitting)
    moves = {
        "strategy": strategy.name,
        "fitting": len(fitting),
        "total": len(nodes),
        "forecast": ranked[0].name,
    }
    return Choice(
        Route.MOVE,
        forecast=ranked[0].name,
        terms=strategy.terms(needs, ranked),
        fitting=len(fitting),
        total=len(nodes),
        considered=_considered(here, [(node, []) for node in ranked[:MOST_CONSIDERED]]),
        reasons=(*why_not, Reason("moves", moves), *limits),
    )


def lacks(reasons: Iterable[Reason]) -> list[str]:
    """Return reasons in Kubernetes' own words: ``memory: 4 GB asked, 1 GB free``."""
    return [_phrase(reason.code, reason.params) for reason in reasons]


def _phrase(code: str, params: Any) -> str:
    if code == "resource_short":
        name = params["resource"]
        asked, left = _amount(name, params["asked"]), _amount(name, max(0, params["free"]))
        return f"{name}: {asked} asked, {left} free"
    if code == "node_tainted":
        value = f"={params['value']}" if params["value"] else ""
        return f"taint {params['key']}{value}:{params['effect']}"
    if code == "volume_elsewhere":
        claim = f" (claim {params['claim']})" if "claim" in params else ""
        return f"volume {params['volume']}{claim}"
    return {"node_cordoned": "cordoned", "node_not_selected": "node selector"}[code]


def _amount(resource: str, amount: int) -> str:
    if resource == "cpu":
        return format_milli(amount)
    if resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-"):
        return human_size(amount)
    return str(amount)


def _limits(nodes: Sequence[Node] | None, volumes: Sequence[Volume] | None) -> list[Reason]:
    """Return what can't be seen, as a reason; none where all can."""
    unseen = [
        what
        for what, hidden in (
            ("nodes", nodes is None),
            ("pods", nodes is None or any(node.used is None for node in nodes)),
            ("volumes", volumes is None),
        )
        if hidden
    ]
    return [Reason("unseen", {"what": unseen})] if unseen else []


def _unseen(
    needs: PodNeeds,
    source: str,
    strategy: Strategy,
    why_not: list[Reason],
    limits: list[Reason],
) -> Choice:
    """Choose without sight: stay if nothing speaks against it, and let the scheduler judge."""
    if why_not:
        moves = {"strategy": strategy.name, "fitting": None, "total": None, "forecast": None}
        return Choice(
            Route.MOVE,
            terms=strategy.terms(needs, ()),
            reasons=(*why_not, Reason("moves", moves), *limits),
        )
    return Choice(
        Route.STAY,
        node=source,
        # The label is the node's name unless a cloud sets another; one that is not there leaves the
        # pod unschedulable, which leads to a second choice.
        selector={HOSTNAME: source},
        reasons=(Reason("stays_on_node", {"node": source}), *limits),
    )


def _fits_nowhere(
    needs: PodNeeds,
    source: str,
    nodes: Sequence[Node],
    mounted: Sequence[Volume],
    here: tuple[Node, list[Reason]] | None,
    why_not: list[Reason],
    limits: list[Reason],
) -> Choice:
    """Refuse what fits nowhere, with the nodes that come closest."""
    # Judged once more, so that the reasons of thousands of nodes are never held at a time.
    judged = ((node, fits(needs, node, mounted)) for node in nodes)
    closest = heapq.nsmallest(MOST_CONSIDERED, judged, key=_distance)
    away = {
        node.name
        for node in nodes
        if any(taint.key in AWAY for taint in node.taints)
        and all(is_away(reason) for reason in fits(needs, node, mounted))
    }
    return Choice(
        Route.MOVE,
        fitting=0,
        total=len(nodes),
        considered=_considered(here, closest),
        reasons=(*why_not, *limits),
        refusal=_refusal(source, away, closest, len(nodes)),
    )


def _refusal(
    source: str,
    away: Set[str],
    closest: Sequence[tuple[Node, list[Reason]]],
    total: int,
) -> Reason:
    """Say what the closest node lacks that is not ``away``, and for which of those it is worth waiting."""
    others = ((node.name, against) for node, against in closest if node.name not in away)
    nearest, against = next(others, (None, []))
    said = {"lacks": lacks(against), "total": total}
    if not away:
        return Reason("no_node_fits", {"node": nearest, **said})
    waits = source if source in away else min(away)
    return Reason("node_away", {"node": waits, "closest": nearest, **said})


def is_away(reason: Reason) -> bool:
    """Tell whether what stands against a node is only that it is not ready, which passes by itself."""
    return reason.code == "node_tainted" and reason.params["key"] in AWAY


def _distance(judged: tuple[Node, list[Reason]]) -> tuple[int, float, str]:
    """How far a pod is from fitting: first what no freed room would change, then the room."""
    node, reasons = judged
    short = [each.params for each in reasons if each.code == "resource_short"]
    missing = sum((each["asked"] - each["free"]) / each["asked"] for each in short)
    return len(reasons) - len(short), missing, node.name


def _considered(
    here: tuple[Node, list[Reason]] | None, others: Sequence[tuple[Node, list[Reason]]]
) -> tuple[Considered, ...]:
    """The source's node first; no node twice."""
    chosen = [here] if here else []
    chosen += [pair for pair in others if here is None or pair[0].name != here[0].name]
    return tuple(
        Considered(
            node.name,
            free(node) if node.used is not None else None,
            node.allocatable,
            node.ours,
            node.ready,
            tuple(against),
        )
        for node, against in chosen[:MOST_CONSIDERED]
    )


def _reason(reason: Reason) -> dict[str, Any]:
    return {"code": reason.code, "params": dict(reason.params)}
