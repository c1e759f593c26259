"""What an engine must be able to do for a migration, and the data it exchanges with one.

An engine runs containers: it knows nothing of HTTP clients, of the store, or of the order in
which a migration calls it. Contract for all implementations:

* Every object's name derives from the migration's id (`Names`), and every object carries the
  `labels`; so a repeated call *adopts* what an interrupted one left.
* Deleting what is absent is success.
* A long call is an async iterator: it yields `LogLine` and `Measure` items while it works, and
  its last item is the result. Cancelling the task that iterates ends the work in the engine.
* Errors are those of `jupyter_secxops_migrate.errors`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol, TypeVar

from .. import errors
from ..model import Check, EnvironmentStatus, NotCopiedItem, Orphan, PodSource
from ..placement.policy import Capacity

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "secxops-migrate"
MIGRATION = "secxops.io/migration"
OWNER = "secxops.io/owner"
ROLE = "secxops.io/role"
Role = Literal["code", "data", "environment", "job"]


def owner_hash(owner: str) -> str:
    """Return the 16 hex digits that stand for an owner in labels and image names."""
    return hashlib.sha256(owner.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def slug(text: str, limit: int = 40) -> str:
    """Return a name that DNS labels, Docker names and image repositories all accept.

    Lower-case letters, digits and inner dashes, never empty; text that had to change or was cut
    ends in a hash of the original, so that two texts do not share a slug. After kubespawner's
    ``slugs.py``.
    """
    safe = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if safe and safe == text and len(safe) <= limit:
        return safe
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{safe[: limit - 9].strip('-')}-{digest}".strip("-") if safe else f"x-{digest}"


def labels(owner: str, role: Role, migration: str | None = None) -> dict[str, str]:
    """Return the labels that every object of ours carries."""
    found = {MANAGED_BY: MANAGER, OWNER: owner_hash(owner), ROLE: role}
    if migration is not None:
        found[MIGRATION] = migration
    return found


@dataclass(frozen=True)
class Names:
    """The names of a migration's objects in the engine.

    ``migration`` is the migration's id: lower-case letters and digits, starting with a letter.
    """

    migration: str

    @property
    def environment(self) -> str:
        """The launched container or pod."""
        return f"secxops-{self.migration}"

    def volume(self, key: str) -> str:
        """The volume of one source: ``key`` is ``code``, ``data-1``, ``data-2`` …"""
        return f"secxops-{self.migration}-{key}"

    def job(self, key: str) -> str:
        """The Job for one purpose: ``copy-code``, ``check-code``, ``build`` …"""
        return f"secxops-{self.migration}-job-{key}"


# --------------------------------------------------------------------------- progress


@dataclass(frozen=True)
class LogLine:
    """One line of a build's or Job's output, without its newline."""

    text: str


@dataclass(frozen=True)
class Measure:
    """How far a long call is: ``done`` of ``total`` ``unit`` (``bytes``, ``instructions``)."""

    done: int
    total: int | None = None
    unit: str = "bytes"
    files: int | None = None
    message: str | None = None


Progress = LogLine | Measure


# --------------------------------------------------------------------------- the source


@dataclass(frozen=True)
class SourcePlace:
    """What a Job mounts to see one folder of the source.

    ``kind`` is ``bind`` (``source`` is a path on the engine's host) or ``volume`` (``source`` is a
    volume or PVC name); ``subpath`` is the folder inside it. ``mount`` is where the *running
    source* has the folder, None for a source on the host. ``covered`` lists relative paths in the
    folder at which the running source has other mounts: a Job that mounts the folder does not see
    what lies there.
    """

    kind: Literal["bind", "volume"]
    source: str
    subpath: str = ""
    mount: str | None = None
    covered: Sequence[str] = ()


@dataclass(frozen=True)
class SourceEnvironment:
    """Where the notebooks run: on the host, or in a container of the engine.

    ``mounts`` lists the container's volume mounts as absolute paths; ``cpu`` in cores, ``memory``
    in bytes, None without a limit. ``outside`` is the engine's (`Engine.outside`).
    """

    kind: Literal["host", "container", "pod"]
    node: str
    container: str | None = None
    image: str | None = None
    cpu: float | None = None
    memory: int | None = None
    gpu: int = 0
    mounts: Sequence[str] = ()
    outside: bool = False


# --------------------------------------------------------------------------- orders


@dataclass(frozen=True)
class LookOrder:
    """Look at a project and its data where the source runs.

    ``project`` and ``data`` are absolute paths as the source has them; ``version`` is a git reference
    or None for the files as they are. ``migration`` is None for a plan that nobody carries out.
    """

    owner: str
    project: str
    data: Sequence[str] = ()
    version: str | None = None
    migration: str | None = None


@dataclass(frozen=True)
class ImageInfo:
    """An image in the engine's store. ``user``, ``workdir``, ``env`` are as configured in it."""

    digest: str
    size: int
    user: str = ""
    workdir: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    layers: int = 0


@dataclass(frozen=True)
class BuildOrder:
    """Build an image from a context.

    ``context`` is called for a fresh iterator of the context's tar bytes (again when a build is
    repeated); ``dockerfile`` is its path inside the context. ``place`` is where the project lies, and
    ``commit`` the git commit whose files are wanted: an engine that makes the context itself, beside
    the project, reads it from there. ``repository`` and ``tag`` name the result; in ``tag``,
    ``{digest}`` stands for the context's digest, ``digest`` gives that once the context was read.
    ``push`` says that the image is wanted on another node; without it, a builder that can leaves it in
    its own node's store. ``labels`` go into the image and must be
    the same for equal projects, so that the layer cache holds. ``named`` is told the reference before
    anything of it is pushed. ``text`` is the Dockerfile, ``lines`` has the line in it of each instruction, from 1,
    and ``froms`` the last line of each FROM. ``bases`` are the images that it starts from;
    ``buildkit`` says that only BuildKit can build it.
    """

    migration: str
    context: Callable[[], Iterator[bytes]]
    dockerfile: str
    repository: str
    tag: str
    digest: Callable[[], str]
    labels: Mapping[str, str]
    owner: str = ""
    place: SourcePlace | None = None
    commit: str | None = None
    push: bool = False
    text: bytes = b""
    lines: Sequence[int] = ()
    froms: Sequence[int] = ()
    bases: Sequence[str] = ()
    buildkit: bool = False
    named: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class BuildResult:
    """``reference`` is repository:tag; ``info`` describes the image; ``pushed`` says that a registry
    has it. ``sent`` has the BLAKE3 digest of each file of the context, by path, where the engine made
    the context itself."""

    reference: str
    info: ImageInfo
    pushed: bool = False
    sent: Mapping[str, str] | None = None


@dataclass(frozen=True)
class PushOrder:
    """Push an image that was built without `BuildOrder.push`: ``reference`` and ``digest`` as in the
    `BuildResult`, ``node`` is where it was built."""

    migration: str
    owner: str
    reference: str
    digest: str
    node: str


@dataclass(frozen=True)
class PushResult:
    """The image is in the registry, with this digest."""

    digest: str


@dataclass(frozen=True)
class CopyOrder:
    """Copy one folder into a new volume with a verified copy, in a Job.

    ``key`` is ``code``, ``data-1`` …; ``exclude`` lists subfolders of the source (relative paths)
    that travel in a volume of their own; ``commit`` asks for the files of that git commit (full hex
    id) instead of the work tree's. ``manifest`` is where the manifest is to be stored here; its
    metadata side file lies beside it with ``.meta`` appended.
    """

    migration: str
    owner: str
    key: str
    role: Literal["code", "data"]
    place: SourcePlace
    manifest: Path
    exclude: Sequence[str] = ()
    commit: str | None = None


@dataclass(frozen=True)
class CopyResult:
    """What was copied. ``digest`` is the BLAKE3 of the manifest file, hex. ``owner`` is the source
    root's numeric uid and gid. ``route`` says whether the storage cloned the volume before it was
    compared, ``why`` why it did not; an engine without clones says nothing."""

    volume: str
    files: int
    bytes: int
    digest: str
    owner: tuple[int, int]
    skipped: Sequence[NotCopiedItem] = ()
    route: Literal["copy", "clone"] = "copy"
    why: str = ""


@dataclass(frozen=True)
class VolumeCheck:
    """A volume and the manifest that it must equal."""

    volume: str
    manifest: Path


@dataclass(frozen=True)
class OwnOrder:
    """Give all that belongs to uid/gid ``before`` in the volumes to ``after``; their manifests are
    rewritten to record both."""

    migration: str
    owner: str
    volumes: Sequence[VolumeCheck]
    before: tuple[int, int]
    after: tuple[int, int]


@dataclass(frozen=True)
class VerifyOrder:
    """Read the volumes, read-only, and compare them with their manifests."""

    migration: str
    owner: str
    volumes: Sequence[VolumeCheck]


@dataclass(frozen=True)
class VerifyResult:
    """How many files and bytes were found equal. A difference raises `errors.VerifyFailed`."""

    files: int
    bytes: int


@dataclass(frozen=True)
class ImageProbe:
    """What running the image (without network, as its own user) showed.

    ``jupyter`` is the command that starts JupyterLab, None without one.
    """

    uid: int
    gid: int
    home: PurePosixPath
    workdir: PurePosixPath
    jupyter: Sequence[str] | None


PROBE = (
    'echo "secxops $(id -u) $(id -g)"; echo "home $HOME"; echo "workdir $(pwd)"; '
    'for c in jupyter-lab jupyter; do p=$(command -v $c) && echo "command $p"; done; exit 0'
)
"""What a shell of the image runs for `ImageProbe`. Fixed text; nothing of a project is put into it."""


def probe_of(output: str) -> ImageProbe:
    """Read what `PROBE` printed.

    Raises
    ------
    errors.ImageWithoutJupyter
        It printed nothing: there is no shell in the image, so no JupyterLab either.
    """
    said = dict(line.split(" ", 1) for line in reversed(output.splitlines()) if " " in line)
    if "secxops" not in said:
        raise errors.ImageWithoutJupyter()
    uid, gid = said["secxops"].split()
    command = said.get("command")
    jupyter = None
    if command:
        jupyter = [command] if command.endswith("jupyter-lab") else [command, "lab"]
    return ImageProbe(
        int(uid),
        int(gid),
        PurePosixPath(said.get("home", "/")),
        PurePosixPath(said.get("workdir", "/")),
        jupyter,
    )


@dataclass(frozen=True)
class VolumeMount:
    """A volume and where the environment has it."""

    volume: str
    path: str


@dataclass(frozen=True)
class LaunchOrder:
    """Create and start the environment; ``token`` goes to JupyterLab through a file.

    ``image`` is the digest, ``reference`` the name under which nodes find it; ``pushed`` says that a
    registry has it, else only the node does where it was built. ``terms`` are the plan's: where it has
    to be and would best be, in the engine's own words.
    """

    migration: str
    owner: str
    name: str
    image: str
    reference: str
    probe: ImageProbe
    mounts: Sequence[VolumeMount]
    root: str
    token: str = field(repr=False)
    cpu: float | None = None
    memory: int | None = None
    gpu: int = 0
    terms: Mapping[str, Any] = field(default_factory=dict)
    pushed: bool = True


@dataclass(frozen=True)
class Observation:
    """The launched environment as the engine sees it. ``url`` is where it answers, without a token, once the command ``connect`` runs there if there is one;
    ``node`` is where it runs, ``image`` the digest that really does; ``mounts`` maps path to volume; ``log`` has the last lines
    of one that does not run well; ``restarts`` counts how often it had to be started again."""

    status: EnvironmentStatus
    name: str
    url: str | None = None
    connect: str | None = None
    node: str = ""
    image: str | None = None
    mounts: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    restarts: int = 0


T = TypeVar("T")
DISK_FULL = "no space left on device"
_USER_OF_URL = re.compile(r"(?<=://)[^/\s@]+@")


def without_passwords(text: str) -> str:
    """Return text without what stands before the ``@`` of a URL's host: user and password."""
    return _USER_OF_URL.sub("…@", text)


async def result_of(items: AsyncIterator[Progress | T], kind: type[T]) -> T:
    """Drain a long call and return its result; for callers that show no progress."""
    found: T | None = None
    async for item in items:
        if isinstance(item, kind):
            found = item
    if found is None:
        raise RuntimeError("the engine ended a call without a result")
    return found


class Engine(Protocol):
    """A place where containers run."""

    name: str

    reads_projects: bool
    """Whether it makes build contexts itself, beside the project (`BuildOrder.place`)."""

    outside: bool
    """Whether the source's files are elsewhere than this process's, so that `look` has to be asked."""

    def at(self, source: PodSource | None) -> Engine:
        """Return this engine as it is for another source than its own; itself for None.

        Raises `errors.InvalidRequest` where sources have no pods. A service that has more rights
        than those who ask it names the pod itself, and takes no name from a request.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...

    async def doctor(self) -> list[Check]:
        """Check that the engine answers and has what a share needs; never raises."""
        ...

    async def source(self) -> SourceEnvironment:
        """Find out where this process runs, as the engine sees it."""
        ...

    async def locate(self, path: Path) -> SourcePlace:
        """Say what a Job must mount to see ``path`` (absolute, resolved, as this process sees it).

        Raises `errors.ContainerLayer` for a path on a container's own writable layer.
        """
        ...

    async def look(self, order: LookOrder) -> Mapping[str, Any]:
        """Return what `environment.look` says of a project, run where the source's files are.

        Not asked of an engine that is never outside. Raises what surveying raises, and what `locate`
        raises for the paths of the order.
        """
        ...

    async def capacity(self, volumes: Sequence[str]) -> Capacity:
        """Observe the places where an environment can run that mounts copies of these volumes."""
        ...

    async def features(self) -> frozenset[str]:
        """Say what can be done with builds: ``buildkit``, and ``syntax-1.4`` if without help; and
        ``push`` where another node can have the image."""
        ...

    def arguments(self) -> Mapping[str, str]:
        """Return the build arguments that every build gets."""
        ...

    async def image(self, reference: str) -> ImageInfo | None:
        """Inspect an image in the engine's store; None when it is not there."""
        ...

    def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        """Build, then tag; push where that is wanted, or where nodes can have it in no other way."""
        ...

    def push(self, order: PushOrder) -> AsyncIterator[Progress | PushResult]:
        """Push an image that only its node has. Not asked of an engine that has one node."""
        ...

    async def probe(
        self,
        migration: str,
        owner: str,
        image: str,
        reference: str,
        terms: Mapping[str, Any],
        *,
        pushed: bool = True,
    ) -> ImageProbe:
        """Run the image once to learn its user, folders and JupyterLab.

        ``image`` is its digest; ``terms`` are the plan's, so that it runs where the environment may;
        ``pushed`` says that a registry has it.
        """
        ...

    def copy(self, order: CopyOrder) -> AsyncIterator[Progress | CopyResult]:
        """Copy one folder into a new volume."""
        ...

    def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Hand the copied files to the image's user."""
        ...

    def verify(self, order: VerifyOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Check volumes against their manifests."""
        ...

    def read_volume(self, migration: str, owner: str, volume: str) -> Iterator[bytes]:
        """Read a volume of ours as a tar stream (blocking; entries are named from ``./``).

        Not asked of an engine that makes build contexts itself.
        """
        ...

    async def launch(self, order: LaunchOrder) -> Observation:
        """Create and start the environment, or adopt the one that is there."""
        ...

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at the launched environment; status ``gone`` when there is none.

        Without ``fresh`` an engine that is told of changes answers from what it was told.
        """
        ...

    async def stop(self, migration: str) -> None:
        """Stop the environment; volumes stay."""
        ...

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment."""
        ...

    async def end_jobs(self, migration: str) -> None:
        """End and remove the migration's Jobs."""
        ...

    async def delete(
        self, migration: str, image: str | None = None, *, pushed: bool = True
    ) -> None:
        """Remove environment, Jobs and volumes; and ``image`` (a reference) if nothing uses it.

        ``pushed`` says that a registry may have the image.
        """
        ...

    async def owned(self, owner: str) -> list[Orphan]:
        """List all objects of this owner that carry our labels."""
        ...

    async def remove(self, objects: Sequence[Orphan]) -> None:
        """Remove listed objects."""
        ...
