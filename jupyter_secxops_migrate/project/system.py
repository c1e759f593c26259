"""Folders of the system: nobody's project, and nobody's data."""

from __future__ import annotations

from pathlib import Path, PurePath, PurePosixPath

from .errors import DataOutsidePolicy

_IMAGE = ("/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/opt/conda", "/proc", "/run", "/sbin", "/sys",
          "/usr")  # fmt: skip

_WITH_ALL = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/lost+found",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/include",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/sbin",
    "/var/cache",
    "/var/lib/apt",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/dpkg",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/lib/rancher",
    "/var/lib/rpm",
    "/var/lib/snapd",
    "/var/lib/systemd",
    "/var/log",
    "/var/run",
    "/var/spool",
)
_ITSELF = (
    "/home",
    "/opt",
    "/tmp",  # noqa: S108 - only compared
    "/usr",
    "/usr/local",
    "/usr/share",
    "/usr/src",
    "/var",
    "/var/lib",
    "/var/tmp",  # noqa: S108 - only compared
)
"""What people's folders lie in."""


def in_image(path: str) -> bool:
    """Return whether every image has an absolute path of its own.

    A virtual environment's link to its Python is the image's matter.
    """
    return _below(PurePosixPath(path), _IMAGE)


def insist_not_system(folder: Path) -> None:
    """Refuse a folder (absolute, without links) of the system, before anybody walks it.

    Raises
    ------
    DataOutsidePolicy
        It is one.
    """
    if folder == Path("/") or folder.samefile("/"):
        raise DataOutsidePolicy(path=str(folder), reason="it is the whole machine")
    if str(folder) in _ITSELF or _below(folder, _WITH_ALL):
        raise DataOutsidePolicy(path=str(folder), reason="it belongs to the system")


def _below(path: PurePath, folders: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
