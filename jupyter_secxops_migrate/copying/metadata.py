"""What an entry has besides its content: owner, mode, times and extended attributes, read and given.

What gives a program privileges does not travel, and the host's own labels neither.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

__all__ = [
    "ANY_MODE",
    "apply_metadata",
    "attributes_of",
    "privilege",
    "read_attributes",
    "runs_as_another",
]

UNSUPPORTED = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.E2BIG, errno.ERANGE})
LABELS = ("security.selinux", "security.ima", "security.evm", "system.nfs4_acl", "trusted.")
OURSELVES = (os.geteuid(), os.getegid())
ANY_MODE = -1
"""Of what was there before: its mode and owner are set in any case."""


def runs_as_another(mode: int) -> bool:
    """Say whether a file's mode has it run as its owner or group, which no copy may do."""
    return bool(mode & (stat.S_ISUID | stat.S_ISGID))


def attributes_of(descriptor: int) -> list[tuple[str, bytes]]:
    """Return the extended attributes that travel, in order."""
    return sorted(read_attributes(descriptor, lambda reason: None))


def privilege(name: str) -> str | None:
    """Return why an extended attribute does not travel that gives a program privileges; None for others."""
    if name.startswith("security.") and not name.startswith(LABELS):
        return f"its attribute {name} (a privilege) does not travel"
    return None


def read_attributes(descriptor: int, lost: Callable[[str], None]) -> list[tuple[str, bytes]]:
    """Return the extended attributes that travel; ``lost`` is told about those that do not."""
    try:
        names = os.listxattr(descriptor)
    except OSError:
        return []
    found = []
    for name in names:
        if name.startswith(LABELS):
            continue  # the host's own labels: they are not the project's, and belong to where it lies
        if (reason := privilege(name)) is not None:
            lost(reason)
            continue
        try:
            found.append((name, os.getxattr(descriptor, name)))
        except OSError:
            lost(f"its attribute {name} can't be read")
    return found


def apply_metadata(
    made: int,
    owner: tuple[int, int] | None,
    mode: int,
    times: tuple[int, int],
    attributes: list[tuple[str, bytes]],
    lost: Callable[[str], None],
    made_mode: int = 0o600,
) -> None:
    """Give what was made its owner, mode, attributes and times, in the order that keeps them."""
    if owner is not None and (owner != OURSELVES or made_mode == ANY_MODE):
        os.chown(made, *owner)
    if not attributes:
        if mode != made_mode:
            os.chmod(made, mode)
        os.utime(made, ns=times)
        return
    # Without privileges, attributes want a file that may be written; an ACL outlives only a chmod
    # that comes before it, because it keeps its mask in the group's bits.
    _set(made, attributes, lost, acl=False)
    if mode != made_mode:
        os.chmod(made, mode)
    _set(made, attributes, lost, acl=True)
    os.utime(made, ns=times)


def _set(
    made: int, attributes: list[tuple[str, bytes]], lost: Callable[[str], None], *, acl: bool
) -> None:
    for pair in [pair for pair in attributes if pair[0].startswith("system.") == acl]:
        try:
            os.setxattr(made, *pair)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            attributes.remove(pair)
            lost(f"its attribute {pair[0]} can't be kept there")
