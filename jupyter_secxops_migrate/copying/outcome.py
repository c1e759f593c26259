"""What becomes of the entries of a batch: lines of the manifest and the side file, messages to the parent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .entries import Options
from .manifest import changed_line, skipped_line

__all__ = ["Changing", "Outcome", "Short", "Skip"]


class Changing(Exception):
    """The file did not hold still."""


class Short(Exception):
    """The clone has not what was there before it."""


class Skip(Exception):
    """The entry is left out; the arguments say why, and how many bytes it has."""


class Outcome:
    """Of the batch at work; ``send`` takes messages to the parent."""

    def __init__(self, options: Options, send: Callable[[Any], None]) -> None:
        self.manifest: list[bytes] = []
        self.meta: list[bytes] = []
        self._send = send
        self._options = options

    def begin(self) -> None:
        """Forget the lines of the batch before."""
        self.manifest, self.meta = [], []

    def judged(self, path: bytes, name: bytes, size: int, start: bytes) -> bool:
        """Skip a file whose content says that it stays; return whether it was asked for all the same."""
        found = self._options.selection.by_content(path, name, size, start)
        if found is None:
            return False
        if not found.kept:
            self._send(("stays", path))
            raise Skip(found.reason, size)
        self._send(("chosen", path, found.reason))
        return True

    def skip(self, path: bytes, reason: str, size: int = 0) -> None:
        """Say that an entry is left out."""
        self.meta.append(skipped_line(path, reason))
        self._send(("skipped", path, reason, 1, size))

    def change(self, path: bytes, reason: str) -> None:
        """Say that something arrives otherwise than it is."""
        self.meta.append(changed_line(path, reason))
        self._send(("changed", path, reason))
