"""Where a user's own service keeps its things, and how its clients find it.

A data folder that only its owner can enter holds the store, the lock, the log and, where its path
is short enough, the Unix socket. Service and clients look here, so that they agree; neither starts
nor stops anything here.
"""

from __future__ import annotations

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

from .errors import ServiceUnavailable, StoreLocked

API = "secxops/api/v1"

# SQLite's locks, and flock, can't be trusted on these; a socket does not cross machines.
NETWORK = re.compile(
    r"nfs\d*|cifs|smb\d*|smbfs|9p|afs|ceph|glusterfs|lustre|beegfs|gpfs|ocfs2|gfs2|davfs"
    r"|fuse\.(sshfs|s3fs|glusterfs|ceph|ceph-fuse|rclone|gcsfuse|goofys|juicefs|mount\.davfs|davfs)"
)
# `sun_path` holds 108 bytes with its closing NUL (unix(7)).
SOCKET_PATH_BYTES = 107


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
        directory, or local state of this machine where that lies on a network file system.
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
        return cls(data, _socket_for(data))

    @property
    def lock(self) -> Path:
        """Held by the service that works on the store; has its process id inside."""
        return self.data / "service.lock"

    @property
    def start_lock(self) -> Path:
        """Held by the client that is starting the service."""
        return self.data / "start.lock"

    @property
    def description(self) -> Path:
        """JSON: process id, version and socket of the service that listens."""
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
        ServiceUnavailable
            One can't be made, or is not this user's own.
        """
        for folder in {self.data: None, self.socket.parent: None}:
            try:
                own_folder(folder)
            except OSError as error:
                raise ServiceUnavailable(
                    f"{folder} can't be used: {error.strerror or error}.", log=str(self.log)
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

        The id is 0 where it is in another process namespace.

        Raises
        ------
        ServiceUnavailable
            What listens there is not this user's.
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
        return int(pid)

    @contextmanager
    def store_lock(self) -> Iterator[None]:
        """Hold the lock of the store.

        Raises
        ------
        StoreLocked
            Another process holds it.
        """
        descriptor = os.open(
            self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            if not try_lock(descriptor):
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
                raise StoreLocked(pid=int(holder) if holder.isdigit() else None)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take an open file's lock if nobody has it; it ends with the descriptor, or the process."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
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
    real = path.resolve()
    found, depth = "", -1
    for line in mounts.splitlines():
        fields, _, source = line.partition(" - ")
        columns = fields.split(" ")
        if len(columns) < 5 or not source:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), columns[4]))
        # The last one wins among equals: it was mounted over the others.
        if real.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = source.split(" ")[0], len(point.parts)
    return found


def on_network(path: Path) -> bool:
    """Whether a path lies on a network file system, as far as this machine can tell."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return False
    return NETWORK.fullmatch(file_system(path, mounts)) is not None
