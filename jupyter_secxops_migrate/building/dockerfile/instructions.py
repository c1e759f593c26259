"""The parts that a Dockerfile consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Flags = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    ``line`` and ``end_line`` count from 1. ``args`` is what follows keyword and flags, continuations joined; ``flags`` are ``(name, value)`` pairs in
    order, without the quotes and escapes that they were written with. ``heredocs`` are the names of its heredocs, ``stage`` the index of its stage, -1 before
    the first FROM. ``onbuild`` marks the instruction inside an ONBUILD.
    """

    line: int
    end_line: int
    keyword: str
    args: str
    flags: Flags = ()
    heredocs: Sequence[str] = ()
    stage: int = -1
    onbuild: bool = False

    def flag(self, name: str) -> str | None:
        """Return the last value of a flag, ``""`` for one without a value, None without it."""
        return next((v for k, v in reversed(self.flags) if k == name), None)


@dataclass(frozen=True)
class Stage:
    """A build stage.

    ``base`` is the FROM image with its variables substituted; where one of them is known to the
    builder only, it stands there as written, with its ``$``.
    """

    index: int
    line: int
    base: str
    name: str | None = None


@dataclass(frozen=True)
class Copy:
    """One COPY or ADD that takes files from the build context.

    ``sources`` are patterns relative to the context, None where a variable in them keeps them
    from being known before the build.
    """

    line: int
    sources: Sequence[str] | None
