"""Whether a node has room for one more environment: pure functions over numbers.

Observes nothing and moves nothing; `decide` answers from the numbers it is given, so the same
numbers give the same answer, before the copy and again after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from traitlets import Enum, Float, Integer, List, Unicode
from traitlets.config import Configurable

from .. import errors
from ..model import NodeCapacity, Route
from ..units import human_size
from .errors import CpuOvercommitted, NoGpu, TooFewCpus, TooLittleDisk, TooLittleMemory

GIB = 1024**3


@dataclass(frozen=True)
class Needs:
    """What the new environment needs: cores, bytes of memory, GPUs, bytes of disk."""

    cpu: float
    memory: int
    gpu: int = 0
    disk: int = 0


@dataclass(frozen=True)
class Decision:
    """What the policy says: refusals stop, warnings do not.

    ``node`` is where the environment will be, or for a move is expected to be, ``""`` where nobody can
    say; ``reasons`` are codes of `migration.plan.REASONS` with their parameters. ``terms`` go into the
    engine's launch, ``record`` has all numbers, as JSON.
    """

    refusals: Sequence[errors.SecxopsError] = ()
    warnings: Sequence[errors.Refusal] = ()
    route: Route = Route.STAY
    node: str = ""
    reasons: Sequence[tuple[str, Mapping[str, Any]]] = ()
    terms: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] | None = None

    @property
    def fits(self) -> bool:
        """Whether nothing stands against it."""
        return not self.refusals


class Capacity(Protocol):
    """What was observed of the places where an environment can run."""

    @property
    def here(self) -> NodeCapacity:
        """The source's node."""
        ...

    def decide(self, needs: Needs, policy: ResourcePolicy, *, stay: bool = True) -> Decision:
        """Decide where an environment runs; ``stay`` is False where it can't stay on the source's node."""
        ...


@dataclass(frozen=True)
class OneNode:
    """A place without others: what does not fit here is refused."""

    here: NodeCapacity

    def decide(self, needs: Needs, policy: ResourcePolicy, *, stay: bool = True) -> Decision:
        """Decide by the policy's numbers."""
        found = policy.decide(needs, self.here)
        reason = (
            "stays_here",
            {
                "node": self.here.node,
                "cpu": f"{free_cpu(self.here):.1f}".removesuffix(".0"),
                "memory": human_size(free_memory(self.here, policy.memory_headroom)),
            },
        )
        return replace(found, node=self.here.node, reasons=[reason] if found.fits else [])


class ResourcePolicy(Configurable):
    """The numbers that an admin can set."""

    default_cpu = Float(2.0, help="CPUs (cores) where neither request nor source says.").tag(
        config=True
    )
    default_memory = Integer(
        2 * GIB, help="Memory in bytes where neither request nor source says."
    ).tag(config=True)
    memory_headroom = Integer(
        256 * 1024**2, help="Bytes of memory that a share leaves free on the node."
    ).tag(config=True)
    disk_headroom_factor = Float(
        1.1, help="A share needs this much disk for every byte of image and volumes."
    ).tag(config=True)
    image_estimate = Integer(
        GIB, help="Bytes of disk that a build is expected to add besides its context."
    ).tag(config=True)
    bake = Enum(
        ("warn", "refuse"),
        "warn",
        help="What to do with a Dockerfile that copies project code or data into the image.",
    ).tag(config=True)
    remote_add = Enum(
        ("warn", "refuse"),
        "warn",
        help="What to do with a Dockerfile whose ADD downloads something from elsewhere.",
    ).tag(config=True)
    strategy = Unicode(
        "spread",
        help="How an environment that moves is placed on a cluster: spread, pack, image-warm, or another "
        "one installed as an entry point of the group jupyter_secxops_migrate.strategies.",
    ).tag(config=True)
    allowed_bases = List(
        Unicode(),
        help="Patterns (fnmatch) of the images a Dockerfile may name: those it starts FROM or copies "
        "from, and that of its syntax line; empty allows all.",
    ).tag(config=True)
    allowed_roots = List(
        Unicode(), help="Folders below which projects and data must lie; empty allows all."
    ).tag(config=True)

    def decide(self, needs: Needs, capacity: NodeCapacity) -> Decision:
        """Decide whether the node has room.

        Parameters
        ----------
        needs
            What the new environment needs; ``disk`` before the headroom factor.
        capacity
            The node as observed.
        """
        return decide(
            needs,
            capacity,
            memory_headroom=self.memory_headroom,
            disk_factor=self.disk_headroom_factor,
        )


def free_cpu(capacity: NodeCapacity) -> float:
    """Return the cores that no limit claims, not below zero."""
    # Limits are sums of decimal fractions: 8 - 4.9 must not be less than 3.1.
    return max(0.0, round(capacity.cpu - capacity.cpu_requested, 6))


def free_memory(capacity: NodeCapacity, headroom: int = 0) -> int:
    """Return the bytes of memory left: neither claimed by a limit nor in use, less the headroom."""
    free = capacity.memory - capacity.memory_requested
    if capacity.memory_available is not None:
        free = min(free, capacity.memory_available)
    return max(0, free - headroom)


def free_gpu(capacity: NodeCapacity) -> int:
    """Return the GPUs that nothing claims."""
    return max(0, capacity.gpu - capacity.gpu_requested)


def decide(
    needs: Needs, capacity: NodeCapacity, *, memory_headroom: int = 0, disk_factor: float = 1.0
) -> Decision:
    """Decide whether a node has room; see `ResourcePolicy` for the meaning of the numbers."""
    refusals: list[errors.Refusal] = []
    warnings: list[errors.Refusal] = []
    node = capacity.node
    memory = free_memory(capacity, memory_headroom)
    if needs.memory > memory:
        refusals.append(
            TooLittleMemory(node=node, free=human_size(memory), asked=human_size(needs.memory))
        )
    disk = int(needs.disk * disk_factor)
    if capacity.disk_available is not None and disk > capacity.disk_available:
        refusals.append(
            TooLittleDisk(
                node=node, free=human_size(capacity.disk_available), needed=human_size(disk)
            )
        )
    if needs.cpu > capacity.cpu:
        refusals.append(TooFewCpus(node=node, total=f"{capacity.cpu:g}", asked=f"{needs.cpu:g}"))
    elif needs.cpu > free_cpu(capacity):
        warnings.append(
            CpuOvercommitted(
                node=node,
                free=f"{free_cpu(capacity):.1f}".removesuffix(".0"),
                asked=f"{needs.cpu:g}",
            )
        )
    if needs.gpu > free_gpu(capacity):
        refusals.append(NoGpu(node=node, free=free_gpu(capacity), asked=needs.gpu))
    return Decision(tuple(refusals), tuple(warnings))
