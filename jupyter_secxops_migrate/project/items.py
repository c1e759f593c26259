"""What the build context and the survey read: files, folders and links, wherever they come from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..building.errors import BadDockerfile
from .tree import Kind

MAX_IGNORE = 1024 * 1024


class Content(Protocol):
    """A file's content: ``size`` is in bytes, as it was when the file was opened."""

    size: int

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """One file, folder or link of the context.

    ``size`` is in bytes; ``open`` gives a file's content, or None if it went away meanwhile.
    ``target`` is what a link points to. ``lacks`` is ``lfs`` for a pointer whose content is not here,
    ``submodule`` for the folder of a submodule that is not. ``where`` is where in a git directory its
    folder is, None if in none. ``filtered`` says that git would change a commit's file on checkout.
    """

    path: str
    kind: Kind
    executable: bool
    size: int
    target: str
    open: Callable[[], Content | None]
    lacks: str = ""
    where: bytes | None = None
    filtered: bool = False

    @property
    def name(self) -> bytes:
        """The last component of its path."""
        return os.fsencode(self.path.rpartition("/")[2])

    @property
    def hook(self) -> bool:
        """Whether it lies in the ``hooks`` of a git directory."""
        return self.where == b"hooks"


def not_plain(name: str) -> BadDockerfile:
    """Say of a file that steers the build that it can't be relied on."""
    return BadDockerfile(
        reason=f"{name} is a link, or no file that can be read; a plain file is needed", line=1
    )


def too_large(name: str, limit: int) -> BadDockerfile:
    """Say of such a file that it is larger than ``limit`` bytes."""
    return BadDockerfile(reason=f"{name} is larger than {limit} bytes", line=1)
