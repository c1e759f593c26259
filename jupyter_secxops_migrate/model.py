"""The nouns: what a client sends, what the service records, what everyone is shown.

Plain data, validated by pydantic; no I/O, no engine, no store. The JSON form of `Migration`
is a contract with scripts outside this repository: fields may be added, never changed.
Sizes are bytes, times are UTC and written as RFC 3339, CPUs are cores (2.5), percentages 0-100.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "Check",
    "CopiedItem",
    "Environment",
    "EnvironmentStatus",
    "Event",
    "Evidence",
    "Finding",
    "Folder",
    "ImageResult",
    "LaunchedEnvironment",
    "Migration",
    "MigrationResult",
    "MigrationState",
    "NodeCapacity",
    "NotCopiedItem",
    "Orphan",
    "Place",
    "Plan",
    "PodSource",
    "ProjectVersion",
    "Route",
    "ServiceReport",
    "ShareRequest",
    "Step",
    "StepName",
    "StepState",
    "VolumeResult",
    "parse_size",
    "utcnow",
]


def utcnow() -> datetime:
    """Return the time now, in UTC, with its zone, to the millisecond."""
    now = datetime.now(timezone.utc)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


def parse_size(value: object) -> object:
    """Read a size such as ``2G``, ``512M``, ``1.5 GiB`` or a number of bytes.

    Units are binary (1G = 1024³ bytes), as Docker reads them. What is no string is returned
    as it is, for pydantic to judge.

    Raises
    ------
    ValueError
        The text is not a size.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if not match:
        raise ValueError(f"{value[:40]!r} is not a size such as 512M or 2G")
    number, unit, _ = match.groups()
    return int(float(number) * 1024 ** " KMGT".index(unit.upper() or " "))


def _no_control_characters(value: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("control characters are not allowed")
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("a path can't hold a NUL character")
    return value


Bytes = Annotated[int, Field(ge=0, le=2**60)]
Memory = Annotated[int, BeforeValidator(parse_size), Field(ge=64 * 1024**2, le=2**50)]
Text = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_no_control_characters)]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_no_control_characters)]
# Names of files may hold any character but this one, which no system call takes.
Path_ = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_no_nul)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Record(BaseModel):
    """What the service says: a reader of another version ignores what it does not know."""

    model_config = ConfigDict(extra="ignore")


# --------------------------------------------------------------------------- requests


class PodSource(_Model):
    """A pod whose environment is meant, by those who are not in it; its default container, or another.

    The grammar is that of Kubernetes, so a name is never more than one part of a path.
    """

    pod: Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
    container: (
        Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None
    ) = None


class ShareRequest(_Model):
    """What a person asks for. Paths are absolute, or relative to the server's root folder.

    ``source`` names the pod in which they are, where that is not the service's own place; they are
    absolute then. ``mounts`` says where a project or data path is to be mounted instead of the planned place
    (keys are the paths as given in ``project`` and ``data``). ``labels``, ``recipient`` and
    ``expiry`` are reserved.
    """

    project: Path_
    data: list[Path_] = Field(default_factory=list, max_length=32)
    name: Name | None = None
    version: Name | None = None
    cpu: Annotated[float, Field(gt=0, le=4096)] | None = None
    memory: Memory | None = None
    gpu: Annotated[int, Field(ge=0, le=64)] = 0
    mounts: dict[str, Path_] = Field(default_factory=dict, max_length=33)
    source: PodSource | None = None
    labels: dict[str, Text] | None = None
    recipient: Name | None = None
    expiry: datetime | None = None


# --------------------------------------------------------------------------- the source


class Folder(_Record):
    """A tree of files at the source: the project's code, or one data folder.

    ``mount`` is where the source has it mounted (None on a host, which has no mount).
    """

    path: str
    name: str
    mount: str | None = None
    files: int = 0
    bytes: Bytes = 0


class ProjectVersion(_Record):
    """Which version of the project is there: its git commit, or nothing but the files."""

    commit: str | None = None
    branch: str | None = None
    dirty_files: list[str] = Field(default_factory=list)
    dirty_count: int = 0

    @property
    def label(self) -> str:
        """``main @ 3f2c1a9 · 2 files changed``."""
        if self.commit is None:
            return "no git"
        parts = f"{self.branch or 'detached'} @ {self.commit[:7]}"
        return f"{parts} · {self.dirty_count} files changed" if self.dirty_count else parts


class NodeCapacity(_Record):
    """What a node has and what is left, as the resource policy counts it.

    ``requested`` sums the limits of what runs there; ``memory_available`` and
    ``disk_available`` are measured, None where they can't be. ``unseen`` says what of it this account
    can't see: of ``pods`` nothing is summed, of a ``node`` no number is known; such numbers are 0.
    """

    node: str
    cpu: float
    cpu_requested: float = 0
    memory: Bytes
    memory_requested: Bytes = 0
    memory_available: Bytes | None = None
    disk: Bytes | None = None
    disk_available: Bytes | None = None
    gpu: int = 0
    gpu_requested: int = 0
    unseen: Literal["", "pods", "node"] = ""
    observed: datetime = Field(default_factory=utcnow)


class Environment(_Record):
    """The running source environment of a project, as far as it can be seen from here."""

    project: Folder
    version: ProjectVersion
    dockerfile: str | None = None
    data: list[Folder] = Field(default_factory=list)
    engine: str | None = None
    kind: Literal["host", "container", "pod"] = "host"
    container: str | None = None
    image: str | None = None
    cpu: float | None = None
    memory: Bytes | None = None
    gpu: int = 0
    node: NodeCapacity | None = None
    problems: list[Finding] = Field(default_factory=list)


# --------------------------------------------------------------------------- the plan


class Finding(_Record):
    """A warning, refusal or reason: a stable code, its sentence, and what to do."""

    code: str
    message: str
    hint: str = ""
    params: dict[str, Any] = Field(default_factory=dict)


class CopiedItem(_Record):
    """A row of *Copied*: ``role`` is ``code``, ``data`` or ``packages``."""

    role: Literal["code", "data", "packages"]
    name: str
    source: str
    mount: str | None = None
    files: int | None = None
    bytes: Bytes | None = None


class NotCopiedItem(_Record):
    """A row of *Not copied*, with the reason in words; ``code`` is empty where only words are known."""

    name: str
    reason: str
    code: str = ""
    files: int | None = None
    bytes: Bytes | None = None


class Route(str, Enum):
    """Whether the environment stays on the source's node or moves to another."""

    STAY = "stay"
    MOVE = "move"


class Plan(_Record):
    """What will happen, decided before anything is touched.

    ``node`` is where the environment will be; for a move where it is expected, empty where nobody can
    say. ``placement`` has the numbers of a cluster's nodes by which that was decided, ``terms`` what the
    scheduler is told.
    """

    name: str
    route: Route
    node: str
    reasons: list[Finding] = Field(default_factory=list)
    copied: list[CopiedItem] = Field(default_factory=list)
    not_copied: list[NotCopiedItem] = Field(default_factory=list)
    warnings: list[Finding] = Field(default_factory=list)
    refusals: list[Finding] = Field(default_factory=list)
    version: ProjectVersion = Field(default_factory=ProjectVersion)
    cpu: float | None = None
    memory: Bytes | None = None
    gpu: int = 0
    observation: NodeCapacity | None = None
    terms: dict[str, Any] = Field(default_factory=dict)
    placement: dict[str, Any] | None = None
    estimate_seconds: float | None = None
    created: datetime = Field(default_factory=utcnow)


# --------------------------------------------------------------------------- the record


class MigrationState(str, Enum):
    """The state of a migration; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FAILED = "failed"
    SUCCEEDED = "succeeded"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen unless someone asks for it."""
        return self in (self.CANCELLED, self.FAILED, self.SUCCEEDED)


class StepName(str, Enum):
    """The steps, in the order a person sees them."""

    CHECK = "check"
    BUILD = "build"
    PUSH = "push"
    COPY = "copy"
    LAUNCH = "launch"
    VERIFY = "verify"


class StepState(str, Enum):
    """The state of one step; ``skipped`` is a step that this route does not need."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class Step(_Record):
    """One step of a migration and how far it is.

    ``done`` and ``total`` are in ``unit`` (``bytes``, ``instructions`` …); ``message`` is one
    line such as ``step 4/9 RUN pip install …``.
    """

    name: StepName
    state: StepState = StepState.WAITING
    started: datetime | None = None
    finished: datetime | None = None
    percent: float | None = None
    message: str | None = None
    done: int | None = None
    total: int | None = None
    unit: str | None = None
    files: int | None = None


class Place(_Record):
    """Where the launched environment runs: engine, node, and its container's or pod's name."""

    engine: str
    node: str
    name: str


class ImageResult(_Record):
    """The image that was built. ``digest`` is its id, ``sha256:…``; ``size`` is in bytes."""

    reference: str
    digest: str
    size: Bytes


class VolumeResult(_Record):
    """A volume that was copied. ``manifest`` is the BLAKE3 digest of its manifest, in hex.

    ``route`` is ``clone`` where the storage made it and it was then compared, as every copy is;
    ``route_reason`` says why a cluster's volume was not cloned.
    """

    role: Literal["code", "data"]
    name: str
    mount: str
    files: int
    bytes: Bytes
    manifest: str
    source: str | None = None
    skipped: list[NotCopiedItem] = Field(default_factory=list)
    route: Literal["copy", "clone"] = "copy"
    route_reason: str = ""


class Evidence(_Record):
    """The proof: what was built and runs, what left and arrived, what was seen of the nodes.

    Each decision has its ``observations`` of the source's node, and on a cluster its ``placements``, as
    `Plan.placement` has them: that of the plan first, then that before the launch.
    """

    files_equal: int = 0
    bytes_equal: Bytes = 0
    differences: int = 0
    image_built: str | None = None
    image_running: str | None = None
    manifests: dict[str, str] = Field(default_factory=dict)
    observations: list[NodeCapacity] = Field(default_factory=list)
    placements: list[dict[str, Any]] = Field(default_factory=list)
    owner_map: dict[str, str] = Field(default_factory=dict)
    rebuilt_from_copy: bool = False


class MigrationResult(_Record):
    """What a succeeded migration made. ``url`` has a token only where the owner asks for it.

    Where ``connect`` is set, that command, run where the browser is, makes the address reachable.
    """

    url: str | None = None
    connect: str | None = None
    place: Place | None = None
    image: ImageResult | None = None
    volumes: list[VolumeResult] = Field(default_factory=list)
    evidence: Evidence = Field(default_factory=Evidence)


class EnvironmentStatus(str, Enum):
    """The launched environment, observed."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    GONE = "gone"


class LaunchedEnvironment(_Record):
    """What became of the environment that a migration launched."""

    status: EnvironmentStatus


class Migration(_Record):
    """The durable record of one share."""

    id: str
    owner: str
    name: str
    state: MigrationState
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    attempt: int = 1
    request: ShareRequest
    plan: Plan | None = None
    plans: list[Plan] = Field(default_factory=list)
    steps: list[Step] = Field(default_factory=list)
    environment: LaunchedEnvironment | None = None
    result: MigrationResult | None = None
    error: Finding | None = None


class Event(_Record):
    """One entry of the global sequence ``id``; ``kind`` says which of the other fields are set.

    ``state`` carries the migration's new state, ``step`` a step as it is now, ``log`` one line
    of its log, ``environment`` a change of the launched environment.
    """

    id: int
    time: datetime
    migration: str
    kind: Literal["state", "step", "log", "environment", "deleted"]
    state: MigrationState | None = None
    step: Step | None = None
    line: str | None = None
    status: EnvironmentStatus | None = None


# --------------------------------------------------------------------------- housekeeping


class Orphan(_Record):
    """An object of ours in the engine that no migration in the store accounts for."""

    kind: Literal[
        "container",
        "volume",
        "image",
        "network",
        "pod",
        "job",
        "claim",
        "service",
        "secret",
        "policy",
        "ingress",
    ]
    name: str
    role: str
    migration: str | None = None
    created: datetime | None = None
    bytes: Bytes | None = None


class Check(_Record):
    """One line of ``doctor``."""

    name: str
    state: Literal["ok", "warning", "failed"]
    message: str
    hint: str = ""


class ServiceReport(_Record):
    """What ``doctor`` says: the service's own process, and each check."""

    service: dict[str, Any]
    checks: list[Check]


Environment.model_rebuild()
