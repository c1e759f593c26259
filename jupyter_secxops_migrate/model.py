"""The nouns: what the service records, and what everyone is shown; `request` has what a client sends.

Plain data, validated by pydantic; no I/O, no engine, no store. The JSON form of `Migration`
is a contract with scripts outside this repository: fields may be added, never changed.
Sizes are bytes, times are UTC and written as RFC 3339, CPUs are cores (2.5), percentages 0-100.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from enum import Enum
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema

from .printable import counted
from .request import Bytes, PodSource, ShareRequest, parse_size

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
    "Subject",
    "VolumeResult",
    "parse_size",
    "utcnow",
]


def utcnow() -> datetime:
    """Return the time now, in UTC, with its zone, to the millisecond."""
    now = datetime.now(timezone.utc)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class _Record(BaseModel):
    """What the service says: a reader of another version ignores what it does not know."""

    model_config = ConfigDict(extra="ignore")


# --------------------------------------------------------------------------- the source


class Folder(_Record):
    """A tree of files at the source: the project's code, or one data folder.

    ``mount`` is where the source has it mounted (None on a host, which has no mount). ``disk`` is how
    many of its bytes take room on a disk (a sparse file has fewer than it is large); None if nobody knows.
    ``transient`` is how many of its files programs make and remove by themselves
    (`environment.arrives.is_transient`); None if nobody knows.
    """

    path: str
    name: str
    mount: str | None = None
    files: int = 0
    bytes: Bytes = 0
    disk: Bytes | None = None
    transient: int | None = None


class ProjectVersion(_Record):
    """Which version of the project is there: its git commit, or nothing but the files.

    ``changes_known`` is False where git's index can't be read here, so that nothing is said of changes.
    """

    commit: str | None = None
    branch: str | None = None
    dirty_files: list[str] = Field(default_factory=list)
    dirty_count: int = 0
    changes_known: bool = True

    @property
    def label(self) -> str:
        """``main @ 3f2c1a9 · 2 files changed``."""
        if self.commit is None:
            return "no git"
        parts = f"{self.branch or 'detached'} @ {self.commit[:7]}"
        if not self.dirty_count:
            return parts
        return f"{parts} · {counted(self.dirty_count, 'file', 'files')} changed"


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
    """A row of *Copied*: ``role`` is ``code``, ``data`` or ``packages``.

    ``transient`` of its files are such as programs make and remove by themselves, in ``.git`` for one; None
    where nobody knows.
    """

    role: Literal["code", "data", "packages"]
    name: str
    source: str
    mount: str | None = None
    files: int | None = None
    bytes: Bytes | None = None
    transient: int | None = None


class NotCopiedItem(_Record):
    """A row of what does not arrive, or arrives changed, with the reason in words.

    ``code`` is empty where only words are known. ``files`` and ``bytes`` are what the row stands for:
    the files below a folder, or those of a row that sums many up; one file where ``files`` is None.
    ``keep`` is the path by which a request's ``keep`` has it copied all the same; None where it can't be.
    """

    name: str
    reason: str
    code: str = ""
    files: int | None = None
    bytes: Bytes | None = None
    keep: str | None = None


class Route(str, Enum):
    """Whether the environment stays on the source's node or moves to another."""

    STAY = "stay"
    MOVE = "move"


class Plan(_Record):
    """What will happen, decided before anything is touched.

    ``not_copied`` has what will not arrive, ``changed`` what will arrive otherwise than it is, and ``kept``
    what may hold credentials and is copied as the request names it. ``node`` is where the environment will be; for a move where it is expected, empty where nobody can
    say. ``placement`` has the numbers of a cluster's nodes by which that was decided, ``terms`` what the
    scheduler is told.
    """

    name: str
    route: Route
    node: str
    reasons: list[Finding] = Field(default_factory=list)
    copied: list[CopiedItem] = Field(default_factory=list)
    not_copied: list[NotCopiedItem] = Field(default_factory=list)
    changed: list[NotCopiedItem] = Field(default_factory=list)
    kept: list[NotCopiedItem] = Field(default_factory=list)
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
    """The state of an operation; the last three are final."""

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
    """The steps of a share, in the order a person sees them."""

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
    """One step of an operation and how far it is.

    Its name is one of `StepName` where a share has it; other kinds have their own. ``done`` and ``total`` are in ``unit`` (``bytes``, ``instructions`` …); ``message`` is one
    line such as ``step 4/9 RUN pip install …``.
    """

    name: Annotated[StepName | str, Field(union_mode="left_to_right")]
    state: StepState = StepState.WAITING
    started: datetime | None = None
    finished: datetime | None = None
    percent: float | None = None
    message: str | None = None
    done: int | None = None
    total: int | None = None
    unit: str | None = None
    files: int | None = None


class Operation(_Record):
    """What the record of every kind of operation has; each kind derives its own, and adds to it.

    Nobody is shown one as such, so it is not among the nouns of the contract (`__all__`).
    """

    kind: ClassVar[str]

    id: str
    owner: str
    name: str
    state: MigrationState
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    attempt: int = 1
    steps: list[Step] = Field(default_factory=list)
    error: Finding | None = None


class Place(_Record):
    """Where the launched environment runs: engine, node, and its container's or pod's name."""

    engine: str
    node: str
    name: str


class ImageResult(_Record):
    """The image that was built. ``digest`` is its id, ``sha256:…``; ``size`` is in bytes.

    ``entrypoint`` says what becomes of its own entrypoint: it ``runs``, with JupyterLab as its argument,
    is ``jupyter`` itself, is ``bypassed``, so that it was not run, or there is ``none``; empty where that is not known. ``command`` is ``replaced``
    where the image's own command starts JupyterLab by way of another program that did not answer.
    """

    reference: str
    digest: str
    size: Bytes
    entrypoint: str = ""
    command: str = ""


class VolumeResult(_Record):
    """A volume that was copied. ``manifest`` is the BLAKE3 digest of its manifest, in hex.

    ``skipped`` has what of its source is not in it, ``changed`` what is in it otherwise than there.
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
    changed: list[NotCopiedItem] = Field(default_factory=list)
    route: Literal["copy", "clone"] = "copy"
    route_reason: str = ""


class Evidence(_Record):
    """The proof: what was built and runs, what left and arrived, what was seen of the nodes.

    ``files_left`` and ``bytes_left`` are all files that were seen in the folders taken; 0 where an
    earlier version made the share. ``left_out`` and ``changed`` sum up, a row for each reason, which of
    them did not arrive and which arrived otherwise than they were.

    Each decision has its ``observations`` of the source's node, and on a cluster its ``placements``, as
    `Plan.placement` has them: that of the plan first, then that before the launch. ``kept`` are the files
    that may hold credentials and were copied because the request named them. ``owner_map`` has who got
    what of whom, as uid:gid; ``*:*`` stands for everybody else. ``seen_inside`` are the copied files, folders
    and links that the environment's own user sees where they should be; 0 where an earlier version made the
    share.
    """

    files_left: int = 0
    bytes_left: Bytes = 0
    files_equal: int = 0
    bytes_equal: Bytes = 0
    left_out: list[NotCopiedItem] = Field(default_factory=list)
    changed: list[NotCopiedItem] = Field(default_factory=list)
    seen_inside: int = 0
    differences: int = 0
    image_built: str | None = None
    image_running: str | None = None
    manifests: dict[str, str] = Field(default_factory=dict)
    observations: list[NodeCapacity] = Field(default_factory=list)
    placements: list[dict[str, Any]] = Field(default_factory=list)
    owner_map: dict[str, str] = Field(default_factory=dict)
    kept: list[NotCopiedItem] = Field(default_factory=list)
    rebuilt_from_copy: bool = False

    @property
    def files_left_out(self) -> int:
        """How many of the files that left did not arrive."""
        return sum(row.files or 0 for row in self.left_out)

    @property
    def files_changed(self) -> int:
        """How many arrived otherwise than they were."""
        return sum(row.files or 0 for row in self.changed)


class MigrationResult(_Record):
    """What a succeeded share made. ``url`` has a token only where the owner asks for it.

    ``front`` is the document that ``url`` opens, relative to the code; None where it opens none. Where ``connect`` is set, that command, run where the browser is, makes the address reachable.
    """

    url: str | None = None
    connect: str | None = None
    front: str | None = None
    place: Place | None = None
    image: ImageResult | None = None
    volumes: list[VolumeResult] = Field(default_factory=list)
    evidence: Evidence = Field(default_factory=Evidence)


class EnvironmentStatus(str, Enum):
    """The launched environment, observed."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    GONE = "gone"


class LaunchedEnvironment(_Record):
    """What became of the environment that a share launched."""

    status: EnvironmentStatus


class SourceChanges(_Record):
    """What was found changed at a share's source since it was copied, by names, sizes and times.

    ``files`` are those that changed, came or went, ``first`` at most five of them. Without ``complete``
    not all was looked at, and there may be more.
    """

    files: int = 0
    first: list[str] = Field(default_factory=list)
    complete: bool = True


_MIGRATION = (
    *("id", "owner", "name", "state", "created", "started", "finished", "attempt"),
    *("request", "plan", "plans", "steps", "environment", "changes", "result", "error", "adopted"),
)


class Migration(Operation):
    """The durable record of one share.

    ``adopted`` says that the record was lost and made anew of what the engine has: what was proven, and of
    which folders, is not known any more. ``changes`` is only there where it was asked for and can be said.
    """

    kind: ClassVar[str] = "share"

    request: ShareRequest
    plan: Plan | None = None
    plans: list[Plan] = Field(default_factory=list)
    environment: LaunchedEnvironment | None = None
    changes: SourceChanges | None = None
    result: MigrationResult | None = None
    adopted: bool = False

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Have the fields in the order that scripts know, not those of every operation first."""
        schema = handler(source)
        if schema["type"] == "model" and schema["schema"]["type"] == "model-fields":
            fields = schema["schema"]["fields"]
            schema["schema"]["fields"] = {name: fields[name] for name in (*_MIGRATION, *fields)}
        return schema


class Subject(_Record):
    """What an event is about: an operation of a kind, ``share`` or another, and its id."""

    kind: str
    id: str


class Event(_Record):
    """One entry of the global sequence ``id``; ``kind`` says which of the other fields are set.

    ``state`` carries the share's new state, ``step`` a step as it is now, ``log`` one line
    of its log, ``environment`` a change of the launched environment. ``migration`` is the id of
    ``subject``; an event that an earlier version wrote has no subject, and is about a share.
    """

    id: int
    time: datetime
    migration: str
    subject: Subject
    kind: Literal["state", "step", "log", "environment", "deleted"]
    state: MigrationState | None = None
    step: Step | None = None
    line: str | None = None
    status: EnvironmentStatus | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_share(cls, data: Any) -> Any:
        """Say whom an event of an earlier version is about."""
        if isinstance(data, dict) and data.get("subject") is None:
            subject = {"kind": Migration.kind, "id": data.get("migration")}
            return {**data, "subject": subject}
        return data

    @cached_property
    def text(self) -> str:
        """Itself as JSON; made once for all who follow."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True))


# --------------------------------------------------------------------------- housekeeping


class Orphan(_Record):
    """An object of ours in the engine that no share in the store accounts for.

    ``adoptable`` says that its share can be taken into the record again; a sweep leaves it alone.
    """

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
    adoptable: bool = False


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
