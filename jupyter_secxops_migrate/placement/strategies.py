"""Where an environment that moves would best run: wishes that the cluster's scheduler reads.

A strategy binds nothing. It gives affinity and spread terms for the pod, all of them preferences,
and ranks the nodes to forecast what the scheduler will do, which has preferences of its own (by
default the emptier node). Others are found by the entry-point group
``jupyter_secxops_migrate.strategies``: a class that is made without arguments.

Terms that count pods count those of the new pod's namespace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

from .nodes import HOSTNAME, Node, PodNeeds, free
from .requests import MANAGED_BY, MANAGER, ROLE

GROUP = "jupyter_secxops_migrate.strategies"
MOST_HOSTNAMES = 50
"""Host names in a term of `ImageWarm`: each pod carries them, and the scheduler reads them."""


@dataclass(frozen=True, slots=True)
class Terms:
    """A pod's ``spec.affinity`` and ``spec.topologySpreadConstraints``."""

    affinity: dict[str, Any] = field(default_factory=dict)
    topology_spread: list[dict[str, Any]] = field(default_factory=list)


@runtime_checkable
class Strategy(Protocol):
    """What a strategy does; ``name`` is what an admin sets."""

    name: str

    def terms(self, needs: PodNeeds, nodes: Sequence[Node]) -> Terms:
        """Return the terms for the pod.

        Parameters
        ----------
        nodes
            The nodes where it fits, best first; empty where nodes can't be listed.
        """

    def rank(self, needs: PodNeeds, nodes: Sequence[Node]) -> Sequence[Node]:
        """Return all of the nodes, the best first. The order of equals is that of the names."""


class Spread:
    """Few environments on each node."""

    name = "spread"

    def terms(self, needs: PodNeeds, nodes: Sequence[Node]) -> Terms:
        """Spread over host names, as far as it goes."""
        return Terms(
            topology_spread=[
                {
                    "maxSkew": 1,
                    "topologyKey": HOSTNAME,
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": _ours(),
                }
            ]
        )

    def rank(self, needs: PodNeeds, nodes: Sequence[Node]) -> Sequence[Node]:
        """Fewest environments first, then the emptiest."""
        return sorted(nodes, key=lambda node: (node.ours, -_left(needs, node), node.name))


class Pack:
    """Environments together, so that nodes stay free for what is large.

    Filling nodes up is a profile of the scheduler (``MostAllocated``), which a pod can't ask for:
    so this only draws environments to nodes that have some already.
    """

    name = "pack"

    def terms(self, needs: PodNeeds, nodes: Sequence[Node]) -> Terms:
        """Prefer host names where environments run."""
        return Terms(
            affinity={
                "podAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 100,
                            "podAffinityTerm": {"topologyKey": HOSTNAME, "labelSelector": _ours()},
                        }
                    ]
                }
            }
        )

    def rank(self, needs: PodNeeds, nodes: Sequence[Node]) -> Sequence[Node]:
        """Most environments first, then the fullest."""
        return sorted(nodes, key=lambda node: (-node.ours, _left(needs, node), node.name))


class ImageWarm:
    """Nodes that have layers of the image already, so that the pull is short.

    Known are the images that kubelets report (by default the 50 largest of each node), by name.
    """

    name = "image-warm"

    def terms(self, needs: PodNeeds, nodes: Sequence[Node]) -> Terms:
        """Prefer the host names of the first nodes that have one of the images."""
        wanted = _images(needs)
        warm = [node.hostname for node in nodes if not wanted.isdisjoint(node.images)]
        if not warm:
            return Terms()
        hostnames = {"key": HOSTNAME, "operator": "In", "values": warm[:MOST_HOSTNAMES]}
        return Terms(
            affinity={
                "nodeAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 100, "preference": {"matchExpressions": [hostnames]}}
                    ]
                }
            }
        )

    def rank(self, needs: PodNeeds, nodes: Sequence[Node]) -> Sequence[Node]:
        """Those with most of the images first, then the emptiest."""
        wanted = _images(needs)
        return sorted(
            nodes,
            key=lambda node: (-len(wanted & node.images), -_left(needs, node), node.name),
        )


def load(name: str) -> Strategy:
    """Return the strategy of a name.

    Raises
    ------
    ValueError
        None has this name; the text lists those there are.
    TypeError
        What has this name is no strategy.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        there = ", ".join(sorted(found)) or "none (is the package installed?)"
        raise ValueError(f"There is no placement strategy {name!r}; there are: {there}")
    strategy = found[name].load()()
    if not isinstance(strategy, Strategy):
        raise TypeError(
            f"{found[name].value} is no placement strategy: it needs name, terms and rank"
        )
    return strategy


def full_name(image: str) -> str:
    """Return an image's name as containerd and kubelets report it.

    ``python:3.12`` is ``docker.io/library/python:3.12``; no tag and no digest means ``latest``.
    """
    registry, slash, rest = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif registry in ("docker.io", "index.docker.io"):  # the second is its old address
        image = f"docker.io/{rest}" if "/" in rest else f"docker.io/library/{rest}"
    elif not (set(".:") & set(registry) or registry == "localhost" or registry.lower() != registry):
        image = f"docker.io/{image}"
    return image if "@" in image or ":" in image.rpartition("/")[2] else f"{image}:latest"


def _ours() -> dict[str, Any]:
    """Select the environments that this product launched, and not its Jobs."""
    return {"matchLabels": {MANAGED_BY: MANAGER, ROLE: "environment"}}


def _images(needs: PodNeeds) -> frozenset[str]:
    """The images as kubelets may name them."""
    return frozenset(needs.images | {full_name(image) for image in needs.images})


def _left(needs: PodNeeds, node: Node) -> float:
    """The part of a node (0 to 1) that stays free beside the pod, of what is scarcer of CPU and memory."""
    left, whole, asked = free(node), node.allocatable, needs.requests
    return min(
        (left.cpu - asked.cpu) / whole.cpu if whole.cpu else 0.0,
        (left.memory - asked.memory) / whole.memory if whole.memory else 0.0,
    )
