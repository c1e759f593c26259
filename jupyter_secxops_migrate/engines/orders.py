"""What engines are asked for, and what they answer: data, and nothing that does anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

from ..model import EnvironmentStatus, NotCopiedItem

T = TypeVar("T")

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


async def result_of(items: AsyncIterator[Progress | T], kind: type[T]) -> T:
    """Drain a long call and return its result; for callers that show no progress."""
    found: T | None = None
    async for item in items:
        if isinstance(item, kind):
            found = item
    if found is None:
        raise RuntimeError("the engine ended a call without a result")
    return found


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
    or None for the files as they are. ``keep`` and ``dockerfile`` are the request's. ``migration`` is None for a plan that nobody carries out.
    """

    owner: str
    project: str
    data: Sequence[str] = ()
    version: str | None = None
    migration: str | None = None
    keep: Sequence[str] = ()
    dockerfile: str | None = None


@dataclass(frozen=True)
class ReadOrder:
    """Read the files of a project where the source runs.

    ``project`` is its absolute path as the source has it, ``identity`` which folder that has to be
    (`copying.identity`), and ``commit`` the full id of the git commit whose files are wanted, None for those
    of the folder.
    """

    owner: str
    project: str
    commit: str | None = None
    identity: str = ""
    migration: str | None = None


@dataclass(frozen=True)
class ImageInfo:
    """An image in the engine's store. ``user``, ``workdir``, ``env``, ``entrypoint``, ``command`` and
    ``volumes`` are as configured in it."""

    digest: str
    size: int
    user: str = ""
    workdir: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    layers: int = 0
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    volumes: Sequence[str] = ()


ALWAYS_BUILDKIT = "always-buildkit"
"""Of `Engine.features`: BuildKit builds also what the classic builder could."""

NESTED = "nested"
"""Of `Engine.features`: a part of a volume can be mounted again (`VolumeMount.part`)."""


@dataclass(frozen=True)
class BuildTrace:
    """What a build has made in the engine so far that carries no labels of ours.

    ``layers`` are ids of untagged images that it made, oldest first, ``used`` those that were there
    already. ``tip`` is the image that it works on now, and ``container`` the container in which it does;
    both are empty once it has ended. ``began`` is when, in seconds since 1970.
    """

    layers: Sequence[str] = ()
    used: Sequence[str] = ()
    tip: str = ""
    container: str = ""
    began: float = 0.0


@dataclass(frozen=True)
class BuildOrder:
    """Build an image from a context.

    ``context`` is called for a fresh iterator of the context's tar bytes (again when a build is
    repeated); ``dockerfile`` is its path inside the context, and
    ``path`` the Dockerfile's in the project. ``place`` is where the project lies, and
    ``commit`` the git commit whose files are wanted: an engine that makes the context itself, beside
    the project, reads it from there if it is the folder of ``identity``, with those files of ``keep`` that may hold credentials. ``repository`` and ``tag`` name the result; in ``tag``,
    ``{digest}`` stands for the context's digest, ``digest`` gives that once the context was read.
    ``push`` says that the image is wanted on another node; without it, a builder that can leaves it in
    its own node's store. ``labels`` go into the image and must be
    the same for equal projects, so that the layer cache holds. ``named`` is told the reference, and
    whether a registry may get it, before anything has that name; ``traced`` what the build
    has made so far, at each change, where that would stay behind without labels. ``text`` is the Dockerfile, ``lines`` has the line in it of each instruction, from 1,
    and ``froms`` the last line of each FROM. ``bases`` are the images that it starts from;
    ``buildkit`` says that only BuildKit can build it. ``named`` and ``traced`` write that down before they
    return: they are called in a thread, never on an event loop.
    """

    migration: str
    context: Callable[[], Iterator[bytes]]
    dockerfile: str
    repository: str
    tag: str
    digest: Callable[[], str]
    labels: Mapping[str, str]
    owner: str = ""
    path: str = "Dockerfile"
    place: SourcePlace | None = None
    commit: str | None = None
    keep: Sequence[str] = ()
    identity: str = ""
    push: bool = False
    text: bytes = b""
    lines: Sequence[int] = ()
    froms: Sequence[int] = ()
    bases: Sequence[str] = ()
    buildkit: bool = False
    named: Callable[[str, bool], None] = lambda _, __: None
    traced: Callable[[BuildTrace], None] = lambda _: None


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
class TrialOrder:
    """A share as a plan has it, before anything of it is made.

    ``place`` is the project's, ``repository`` where its image would be; ``terms`` are the plan's, and
    ``pushes`` says that its image goes to the registry.
    """

    owner: str
    name: str
    place: SourcePlace
    repository: str
    cpu: float | None = None
    memory: int | None = None
    gpu: int = 0
    terms: Mapping[str, Any] = field(default_factory=dict)
    pushes: bool = False


@dataclass(frozen=True)
class CopyOrder:
    """Copy one folder into a new volume with a verified copy, in a Job.

    ``key`` is ``code``, ``data-1`` …; ``exclude`` lists subfolders of the source (relative paths)
    that are left out, and ``mount_points`` those that travel in a volume of their own: they are made
    empty, for that to be mounted there; ``commit`` asks for the files of that git commit (full hex
    id) instead of the work tree's. ``identity`` is which folder it has to be
    (`copying.identity`). ``manifest`` is where the manifest is to be stored here; its
    metadata side file lies beside it with ``.meta`` appended. ``keep`` lists relative paths that are
    copied although they may hold credentials. ``size`` is the bytes on disk that the copy will hold, None
    where that is not known.
    """

    migration: str
    owner: str
    key: str
    role: Literal["code", "data"]
    place: SourcePlace
    manifest: Path
    exclude: Sequence[str] = ()
    mount_points: Sequence[str] = ()
    commit: str | None = None
    keep: Sequence[str] = ()
    identity: str = ""
    size: int | None = None

    def options(self) -> list[str]:
        """Return the options of `copying` that say what of the folder is copied."""
        return [
            *(f"--exclude={path}" for path in self.exclude),
            *(f"--mount-point={path}" for path in self.mount_points),
            *([f"--commit={self.commit}"] if self.commit else []),
            *(f"--keep={path}" for path in self.keep),
            *(["--data"] if self.role == "data" and self.keep else []),
            *([f"--identity={self.identity}"] if self.identity else []),
        ]


@dataclass(frozen=True)
class CopyResult:
    """What was copied. ``digest`` is the BLAKE3 of the manifest file, hex. ``owner`` is the source
    root's numeric uid and gid. ``skipped`` is what of the source is not in the copy, ``changed`` what
    is in it otherwise than there. ``route`` says whether the storage cloned the volume before it was
    compared, ``why`` why it did not; an engine without clones says nothing. ``chosen`` may hold
    credentials and was copied as it was asked for."""

    volume: str
    files: int
    bytes: int
    digest: str
    owner: tuple[int, int]
    skipped: Sequence[NotCopiedItem] = ()
    route: Literal["copy", "clone"] = "copy"
    why: str = ""
    changed: Sequence[NotCopiedItem] = ()
    chosen: Sequence[NotCopiedItem] = ()


@dataclass(frozen=True)
class VolumeCheck:
    """A volume and the manifest that it must equal."""

    volume: str
    manifest: Path


@dataclass(frozen=True)
class OwnOrder:
    """Give all that belongs to uid/gid ``before`` in the volumes to ``after``, and with ``everything``
    also what belongs to others; their manifests are rewritten to record both."""

    migration: str
    owner: str
    volumes: Sequence[VolumeCheck]
    before: tuple[int, int]
    after: tuple[int, int]
    everything: bool = False

    def options(self) -> list[str]:
        """Return the options of `copying.own` that say what changes hands."""
        before, after = (f"{uid}:{gid}" for uid, gid in (self.before, self.after))
        every = ["--everything"] if self.everything else []
        return ["--before", before, "--after", after, *every]


@dataclass(frozen=True)
class VerifyOrder:
    """Read the volumes, read-only, and compare them with their manifests."""

    migration: str
    owner: str
    volumes: Sequence[VolumeCheck]


@dataclass(frozen=True)
class VerifyResult:
    """How many files and bytes were found equal. A difference raises `VerifyFailed`."""

    files: int
    bytes: int


EntrypointUse = Literal["none", "runs", "jupyter", "bypassed"]


@dataclass(frozen=True)
class ImageProbe:
    """What running the image (without network, as its own user) showed.

    ``jupyter`` is the command that starts JupyterLab, None without one. ``entrypoint`` says how the
    image's own entrypoint is used: it ``runs``, with that command as its arguments, starts ``jupyter``
    itself, as that command does, or is ``bypassed``, as it did not pass on what it was given. ``replaced``
    says that the image's own command starts JupyterLab by way of another program, which did not answer.
    """

    uid: int
    gid: int
    home: PurePosixPath
    workdir: PurePosixPath
    jupyter: Sequence[str] | None
    entrypoint: EntrypointUse = "none"
    replaced: bool = False


@dataclass(frozen=True)
class VolumeMount:
    """A volume and where the environment has it.

    ``part`` is a folder in it that is mounted instead of the whole: over what the image would mount there.
    """

    volume: str
    path: str
    part: str = ""


@dataclass(frozen=True)
class LaunchOrder:
    """Create and start the environment; ``token`` goes to JupyterLab through a file.

    ``image`` is the digest, ``reference`` the name under which nodes find it; ``pushed`` says that a
    registry has it, else only the node does where it was built. ``terms`` are the plan's: where it has
    to be and would best be, in the engine's own words. ``extensions`` are files of JupyterLab extensions that are
    no part of the image, by their paths in a folder of such; an engine that can't bring them leaves them out.
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
    extensions: Mapping[str, bytes] = field(default_factory=dict)


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


@dataclass(frozen=True)
class InsideVolume:
    """A volume as the environment has it at ``path``, and the manifest of what has to be seen there.

    ``writes`` says that what its owner could write at the source has to be writable, too; ``own`` are
    mounts below ``path`` that show the volume itself.
    """

    path: str
    manifest: Path
    writes: bool = False
    own: Sequence[str] = ()


@dataclass(frozen=True)
class InsideOrder:
    """Look from inside a running environment, as its own user, at what was copied."""

    migration: str
    probe: ImageProbe
    volumes: Sequence[InsideVolume]


@dataclass(frozen=True)
class VolumeSeen:
    """What was seen of a volume's ``paths`` from inside: how many are not there or lie below another
    mount (``covers``), can't be read, or can't be written; how many are ``locked`` by their modes, so that
    only root can read them anywhere; and the first of each, relative to the volume."""

    paths: int
    hidden: int = 0
    unreadable: int = 0
    unwritable: int = 0
    locked: int = 0
    covers: Sequence[str] = ()
    first_hidden: Sequence[str] = ()
    first_unreadable: Sequence[str] = ()
    first_unwritable: Sequence[str] = ()
    first_locked: Sequence[str] = ()


@dataclass(frozen=True)
class Launched:
    """What the engine itself says of a share that was launched: all that is left where its record was lost.

    ``name``, ``cpu``, ``memory`` and ``gpu`` are the order's, ``image`` has the facts of the image as a
    migration keeps them. ``token`` is empty where the environment does not tell it.
    """

    migration: str
    name: str
    created: datetime
    root: str
    image: Mapping[str, Any]
    mounts: Sequence[VolumeMount]
    node: str = ""
    token: str = field(default="", repr=False)
