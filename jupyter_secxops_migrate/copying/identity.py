"""Which folder a path meant when it was looked at.

Who mounts or opens by path gets what is there by then: somebody who may write to a folder above can
have put a link to other people's files there. So whoever looked passes on which folder it was, and
whoever copies compares it on the descriptor that it reads from.

In words, because it goes through command lines: ``INODE:DEVICE@KERNEL``, or ``INODE`` alone where the
same folder may be mounted as another device. A device number means nothing in another kernel (a
virtual machine's, a sandbox's): there nothing is compared.
"""

from __future__ import annotations

import os

from .errors import SourceReplaced

__all__ = ["identity_of", "inode_only", "insist_same"]

UNSTABLE = ("fuse", "9p", "virtiofs")
"""File systems that may number the same folder in another way in each mount."""

STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
KERNEL = "/proc/sys/kernel/random/boot_id"
MOUNTS = "/proc/self/mountinfo"


def identity_of(path: str | os.PathLike[str]) -> str:
    """Return the identity of a folder; empty where its file system gives none that lasts.

    Parameters
    ----------
    path
        Absolute and without links: a link on the way is refused.

    Raises
    ------
    OSError
        It is not there, or not without links any more.
    """
    descriptor = os.open("/", STEP)
    try:
        for name in os.fspath(path).split("/"):
            if name:
                below = os.open(name, STEP, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
        state = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if _file_system(state.st_dev).startswith(UNSTABLE):
        return ""
    return f"{state.st_ino}:{state.st_dev}@{_kernel()}"


def inode_only(identity: str) -> str:
    """Return an identity without the device, for mounts of one file system that differ in it."""
    return identity.partition(":")[0]


def insist_same(descriptor: int, identity: str, path: str) -> None:
    """Fail unless an open folder is the one of an identity; an empty one is every folder's.

    Raises
    ------
    SourceReplaced
        It is another one. ``path`` names it.
    """
    inode, _, rest = identity.partition(":")
    device, _, kernel = rest.partition("@")
    if not inode or (kernel and kernel != _kernel()):
        return
    state = os.fstat(descriptor)
    if str(state.st_ino) != inode or (device and str(state.st_dev) != device):
        raise SourceReplaced(path=path)


def _kernel() -> str:
    with open(KERNEL) as file:
        return file.read().strip()


def _file_system(device: int) -> str:
    number = f"{os.major(device)}:{os.minor(device)}".encode()
    with open(MOUNTS, "rb") as table:
        for line in table:
            mount, _, about = line.partition(b" - ")
            if mount.split()[2] == number:
                return about.split()[0].decode("ascii", "replace")
    return ""  # such as a subvolume
