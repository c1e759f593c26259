"""Where a user's own service keeps its things, and how its clients find it.

A data folder that only its owner can enter holds the store, the lock, the log and, where its path
is short enough, the Unix socket. Service and clients look here, so that they agree; neither starts
nor stops anything here.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import json
import os
import re
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from .errors import SecxopsError
from .hosts.errors import ServiceElsewhere, ServiceUnavailable, StoreLocked
from .operations.errors import StoreFull, StoreReadOnly
from .processes import Standing, holder

ERROR_FD = "SECXOPS_ERROR_FD"
"""Names the open file that a client gives the service it starts, to write there why it can't serve."""
EXIT_LOCKED = 75
"""With this a service ends whose store another one has: "try again later" of sysexits.h, no failure."""

# SQLite's locks, and flock, can't be trusted on these; a socket does not cross machines.
NETWORK = re.compile(
    r"nfs\d*|cifs|smb\d*|smbfs|9p|afs|ceph|glusterfs|lustre|beegfs|gpfs|ocfs2|gfs2|davfs"
    r"|fuse\.(sshfs|s3fs|glusterfs|ceph|ceph-fuse|rclone|gcsfuse|goofys|juicefs|mount\.davfs|davfs)"
)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_RIGHT = (errno.EROFS, errno.EACCES, errno.EPERM)
# `sun_path` holds 108 bytes with its closing NUL (unix(7)).
SOCKET_PATH_BYTES = 107
_POD = re.compile(r"/pods/[0-9a-f-]{36}/etc-hosts /etc/hosts ")
# What controllers append to a pod's name is of these letters (apimachinery, SafeEncodeString).
_GIVEN = re.compile(r"(?:-[b-df-hj-np-tv-xz2456789]{6,10})?-[b-df-hj-np-tv-xz2456789]{5}$")
_EMPTY_DIR = "/kubernetes.io~empty-dir/"


@functools.cache
def version() -> str:
    """Return this package's version; ``0`` where it runs from its sources, uninstalled."""
    try:
        return metadata.version("jupyter-secxops-migrate")
    except metadata.PackageNotFoundError:
        return "0"


@dataclass(frozen=True)
class Runtime:
    """The files of one user's service.

    Parameters
    ----------
    data
        The data folder, absolute.
    socket
        Where the service listens.
    """

    data: Path
    socket: Path

    @classmethod
    def find(cls) -> Runtime:
        """Return this user's; makes nothing.

        ``SECXOPS_DATA_DIR`` names the data folder; else it is ``secxops`` in the Jupyter data
        directory, or local state of this machine where that lies on a network file system. In a pod
        it has a part of its own for each notebook, as several may have one home.
        """
        named = os.environ.get("SECXOPS_DATA_DIR")
        if named:
            data = Path(named).absolute()
        else:
            from jupyter_core.paths import jupyter_data_dir

            data = Path(jupyter_data_dir()).absolute() / "secxops"
            if on_network(data):
                state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
                data = Path(state).absolute() / "jupyter-secxops"
            if on_network(data):
                data = Path(f"/var/tmp/secxops-{os.geteuid()}")  # noqa: S108 - made safely below
            elif pod := pod_name():
                own = data / "pods" / lasting_name(pod)
                # An earlier version had one record for all.
                data = data if (data / "store.sqlite").exists() and not own.exists() else own
        return cls(data, _socket_for(data))

    @property
    def lock(self) -> Path:
        """Held by the service that works on the store; has its process id inside."""
        return self.data / "service.lock"

    @property
    def start_lock(self) -> Path:
        """Held by the client that is starting the service; has its process id inside."""
        return self.data / "start.lock"

    @property
    def description(self) -> Path:
        """JSON: process id, version, socket, container and host of the service that listens."""
        return self.data / "service.json"

    @property
    def log(self) -> Path:
        """The service's log file."""
        return self.data / "service.log"

    @property
    def start_log(self) -> Path:
        """What the service's process wrote to standard error, since it was started last."""
        return self.data / "service.err"

    def make(self) -> None:
        """Make the folders of data and socket, owner-only.

        Raises
        ------
        StoreReadOnly, StoreFull
            One can't be made, as the disk or its rights are.
        ServiceUnavailable
            One is not this user's own.
        """
        for folder in {self.data: None, self.socket.parent: None}:
            with self.usable(folder):
                own_folder(folder)

    @contextmanager
    def usable(self, path: Path) -> Iterator[None]:
        """Say in our words why a file or folder of the service's own can't be used."""
        try:
            yield
        except OSError as error:
            raise refusal(error, path) or ServiceUnavailable(
                f"{path} can't be used: {error.strerror or error}.", log=str(self.log)
            ) from None

    def described(self) -> dict[str, Any]:
        """Return what the service that listens wrote about itself, ``{}`` for nothing."""
        try:
            found = json.loads(self.description.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def address(self) -> Path:
        """Return where the service listens: as it says itself, else where one would."""
        said = self.described().get("socket")
        return Path(said) if isinstance(said, str) else self.socket

    def listener(self) -> int | None:
        """Return the process id of the service that listens, None when none does.

        Raises
        ------
        ServiceUnavailable
            What listens there is not this user's.
        ServiceElsewhere
            It is in another container, which has the same folder: it would answer for that one's files.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                probe.connect(os.fspath(self.address()))
            except OSError:
                return None
            size = struct.calcsize("3i")
            peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            pid, uid, _ = struct.unpack("3i", peer)
        if uid != os.geteuid():
            raise ServiceUnavailable("Another account listens on its socket.", log=str(self.log))
        said = self.described()
        if is_elsewhere(said.get("container")) or pid == 0:
            raise ServiceElsewhere(host=said.get("host") or "?", data=str(self.data))
        return int(pid)

    def insist_on_own_lock(self) -> None:
        """Make sure that whoever holds the store's lock is in this container.

        Raises
        ------
        ServiceElsewhere
            It is in another one.
        """
        with suppress(OSError):
            _, container, host = _holder(self.lock.read_bytes())
            if is_elsewhere(container):
                raise ServiceElsewhere(host=host, data=str(self.data))

    @contextmanager
    def store_lock(self) -> Iterator[None]:
        """Hold the lock of the store.

        Raises
        ------
        StoreLocked
            Another process holds it.
        ServiceElsewhere
            That is in another container.
        StoreReadOnly, StoreFull
            Its file can't be made.
        """
        descriptor = self.open_lock(self.lock)
        try:
            if not try_lock(descriptor):
                self.insist_on_own_lock()
                raise StoreLocked(pid=holder(self.lock)[0])
            yield
        finally:
            os.close(descriptor)

    def open_lock(self, lock: Path) -> int:
        """Open a lock's file, made where it is not there; see `try_lock`.

        Raises
        ------
        StoreReadOnly, StoreFull
            It can't be made.
        """
        with self.usable(lock):
            return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def locked(self) -> bool:
        """Whether a process holds the lock of the store."""
        descriptor = self.open_lock(self.lock)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def stopped(self) -> int | None:
        """Return the process id of the service if it is stopped, and so answers nobody."""
        pid, found = holder(self.lock)
        return pid if found is Standing.STOPPED else None


def refusal(error: OSError, path: Path) -> SecxopsError | None:
    """Return what it means that a file of the service's can't be made or written, if that is known."""
    if error.errno in NO_ROOM:
        return StoreFull(store=str(path))
    return StoreReadOnly(store=str(path)) if error.errno in _NO_RIGHT else None


_HOLDER_BYTES = 512


def _holder(written: bytes) -> tuple[str, str, str]:
    """Return process id, container and host that stand in a lock; empty what does not."""
    lines = written[:_HOLDER_BYTES].decode("utf-8", "replace").splitlines()
    pid, container, host = [*lines, "", "", ""][:3]
    return pid, container, host


@functools.cache
def this_container() -> str:
    """Return what tells this container, or the host, from others: empty if nothing does.

    Two pods that mount one home see the same locks and sockets, but not the same processes.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def is_elsewhere(container: object) -> bool:
    """Whether a process that said so is in another container; False where nobody knows."""
    here = this_container()
    return isinstance(container, str) and bool(container and here) and container != here


def pod_name() -> str:
    """Return the name of the pod that this process runs in, as its host name has it; else empty."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ and not _POD.search(_mounts()):
        return ""
    return socket.gethostname().partition(".")[0]


def lasting_name(pod: str) -> str:
    """Return the part of a pod's name that stays when its controller makes it anew.

    >>> lasting_name("ada-0"), lasting_name("jupyter-ada"), lasting_name("ada-6b7f9d5c4d-x2x7z")
    ('ada-0', 'jupyter-ada', 'ada')
    """
    return _GIVEN.sub("", pod) or pod


def try_lock(descriptor: int) -> bool:
    """Take an open file's lock if nobody has it, and write there who has it now.

    It ends with the descriptor, or the process.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    with suppress(OSError):  # on a full disk nobody learns who it is
        os.ftruncate(descriptor, 0)
        written = f"{os.getpid()}\n{this_container()}\n{socket.gethostname()}\n"
        os.pwrite(descriptor, written.encode(), 0)
    return True


def _socket_for(data: Path) -> Path:
    beside = data / "service.sock"
    if len(os.fsencode(beside)) <= SOCKET_PATH_BYTES:
        return beside
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:16] + ".sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    short = Path(runtime) / "jupyter-secxops" / name if runtime else None
    if short is not None and short.is_absolute() and len(os.fsencode(short)) <= SOCKET_PATH_BYTES:
        return short
    return Path(f"/tmp/secxops-{os.geteuid()}") / name  # noqa: S108 - made safely


def own_folder(path: Path) -> None:
    """Make a folder that only this user can enter, or check that it is one.

    In a folder that everybody may write to, another account may have been there first: so its last
    part must be a real folder of this user's.

    Raises
    ------
    OSError
        It can't be made, or is a link, no folder, or somebody else's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(0, "it is a link or no folder")
    if found.st_uid != os.geteuid():
        raise PermissionError(0, "it belongs to another account")
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(0o700)


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that a path lies on.

    Parameters
    ----------
    path
        Absolute; need not exist.
    mounts
        The text of ``/proc/self/mountinfo`` (proc_pid_mountinfo(5)).
    """
    return _mount_of(path, mounts)[0]


def _mount_of(path: Path, mounts: str) -> tuple[str, str, Path]:
    """Return the type, the root and the place of the mount that a path lies on."""
    real = path.resolve()
    found, depth = ("", "", Path("/")), -1
    for line in mounts.splitlines():
        fields, _, source = line.partition(" - ")
        columns = fields.split(" ")
        if len(columns) < 5 or not source:
            continue
        root, place = (
            re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), column) for column in columns[3:5]
        )
        point = Path(place)
        # The last one wins among equals: it was mounted over the others.
        if real.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = (source.split(" ")[0], root, point), len(point.parts)
    return found


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def on_network(path: Path) -> bool:
    """Whether a path lies on a network file system, as far as this machine can tell."""
    return NETWORK.fullmatch(file_system(path, _mounts())) is not None


def lost_with(path: Path, mounts: str | None = None, contained: bool | None = None) -> str:
    """Return with what the files at a path are lost, empty where they stay.

    Parameters
    ----------
    path
        Absolute.
    mounts
        The text of ``/proc/self/mountinfo``; this process's where not given.
    contained
        Whether this is a container; found out where not given.

    Returns
    -------
    str
        ``container``: they lie in its own layer. ``pod``: in an ``emptyDir``. ``memory``: in a tmpfs.
    """
    kind, root, point = _mount_of(path, _mounts() if mounts is None else mounts)
    if _EMPTY_DIR in root:
        return "pod"
    if kind == "tmpfs":
        return "memory"
    return (
        "container"
        if point == Path("/") and (_contained() if contained is None else contained)
        else ""
    )


def _contained() -> bool:
    marks = (Path("/.dockerenv"), Path("/run/.containerenv"))
    return bool(pod_name()) or any(mark.exists() for mark in marks)
