"""What of a project a build may see: ``.dockerignore``, and what COPY and ADD can reach.

`DockerIgnore` follows moby's ``patternmatcher`` (the one that the docker program and BuildKit use),
not docker-py's copy of it, which loses ``**`` patterns below the second level. `Reach` follows the
builder's own matching of COPY sources (Go's ``filepath.Match`` on every path component).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Literal

from .. import errors
from .dockerfile import Copy, Dockerfile


class DockerIgnore:
    """The patterns of a ``.dockerignore``.

    Parameters
    ----------
    content
        The file's bytes; empty for none.

    Raises
    ------
    errors.BadDockerfile
        A pattern is malformed; leaving it out could send what it was to keep back.
    """

    def __init__(self, content: bytes = b"") -> None:
        self._patterns: list[tuple[bool, str, re.Pattern[str]]] = []
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        for number, line in enumerate(text.split("\n"), 1):
            if line.startswith("#"):
                continue
            pattern = line.strip()
            exception = pattern.startswith("!")
            if exception:
                pattern = pattern[1:].strip()
            if not pattern:
                continue
            pattern = posixpath.normpath(pattern)
            if len(pattern) > 1:
                pattern = pattern.lstrip("/")
            if pattern in (".", "/", ""):
                continue
            try:
                self._patterns.append((exception, pattern, _compile(pattern)))
            except (re.error, ValueError):
                raise errors.BadDockerfile(
                    reason=f".dockerignore has a malformed pattern in line {number}", line=1
                ) from None
        exceptions = [pattern for exception, pattern, _ in self._patterns if exception]
        self._exceptions = [f"{pattern}/" for pattern in exceptions]
        # Without exceptions a folder that matches is never entered, so what is asked about has no
        # matching parent, and one expression for all patterns answers.
        self._any = (
            None
            if exceptions
            else re.compile(
                "|".join(f"(?:{r.pattern})" for _, _, r in self._patterns) or r"(?!)", re.DOTALL
            )
        )
        self._folders: dict[str, tuple[bool, ...]] = {"": tuple(False for _ in self._patterns)}

    def ignores(self, path: str) -> bool:
        """Return whether a path is kept back.

        Where no pattern is an exception, ask only about paths whose folder is not ignored itself.
        """
        if self._any is not None:
            return self._any.fullmatch(path) is not None
        return self._judge(self._matches(path))

    def may_enter(self, folder: str) -> bool:
        """Return whether something below a folder may be sent."""
        if not self.ignores(folder):
            return True
        return any(pattern.startswith(f"{folder}/") for pattern in self._exceptions)

    def _judge(self, matches: Sequence[bool]) -> bool:
        ignored = False
        for (exception, _, _), match in zip(self._patterns, matches, strict=True):
            if match:
                ignored = not exception
        return ignored

    def _matches(self, path: str) -> tuple[bool, ...]:
        """Which patterns match the path or one of the folders it lies in."""
        above = self._folder(posixpath.dirname(path))
        return tuple(
            known or regex.fullmatch(path) is not None
            for known, (_, _, regex) in zip(above, self._patterns, strict=True)
        )

    def _folder(self, folder: str) -> tuple[bool, ...]:
        found = self._folders.get(folder)
        if found is None:
            found = self._folders[folder] = self._matches(folder)
        return found


class Reach:
    """The paths that COPY and ADD instructions can reach.

    Parameters
    ----------
    copies
        The instructions, whose sources are all known.
    """

    def __init__(self, copies: Sequence[Copy]) -> None:
        self._sources: list[list[str | re.Pattern[str]]] = []
        for source in (source for copy in copies for source in copy.sources or ()):
            clean = posixpath.normpath(f"/{source}").lstrip("/")
            parts: list[str | re.Pattern[str]] = []
            for part in clean.split("/") if clean else ():
                parts.append(_compile(part) if re.search(r"[*?\[\\]", part) else part)
            if parts not in self._sources:
                self._sources.append(parts)

    @classmethod
    def of(cls, dockerfile: Dockerfile) -> Reach | None:
        """Return what a Dockerfile can reach, None where it can't be known without building."""
        if dockerfile.binds_context():
            return None
        copies = dockerfile.copies()
        for copy in copies:
            if copy.sources is None or any("**" in source for source in copy.sources):
                return None
        try:
            return cls(copies)
        except (re.error, ValueError):
            return None

    def relation(self, path: str) -> Literal["is", "below", "above"] | None:
        """Say how a path stands to the sources: is one, lies below one, or above one."""
        parts = path.split("/")
        best: Literal["is", "below", "above"] | None = None
        for source in self._sources:
            if all(
                want == part if isinstance(want, str) else want.fullmatch(part)
                for want, part in zip(source, parts, strict=False)
            ):
                if len(parts) == len(source):
                    return "is"
                if len(parts) > len(source):
                    best = "below"
                elif best is None:
                    best = "above"
        return best


def _compile(pattern: str) -> re.Pattern[str]:
    """Translate a pattern as moby's ``patternmatcher.Pattern.compile`` does.

    Raises
    ------
    ValueError
        The pattern is malformed.
    """
    out: list[str] = []
    i = 0
    while i < len(pattern):
        char = pattern[i]
        i += 1
        if char == "*":
            if pattern[i : i + 1] == "*":
                while pattern[i : i + 1] == "*":
                    i += 1
                if pattern[i : i + 1] == "/":
                    i += 1
                out.append(".*" if i >= len(pattern) else "(?:.*/)?")
            else:
                out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "\\":
            if i >= len(pattern):
                raise ValueError("a pattern ends in its escape character")
            out.append(re.escape(pattern[i]))
            i += 1
        elif char == "[":
            i = _class(pattern, i, out)
        else:
            out.append(re.escape(char))
    return re.compile("".join(out), re.DOTALL)


def _class(pattern: str, i: int, out: list[str]) -> int:
    """Translate a character class that starts before index ``i``; return the index after it."""
    negated = pattern[i : i + 1] == "^"
    i += negated
    inside: list[str] = []
    while True:
        if i >= len(pattern):
            raise ValueError("a character class has no end")
        char = pattern[i]
        i += 1
        if char == "]" and inside:
            break
        if char == "\\":
            if i >= len(pattern):
                raise ValueError("a pattern ends in its escape character")
            inside.append(re.escape(pattern[i]))
            i += 1
        elif char == "-" and inside and pattern[i : i + 1] not in ("]", ""):
            inside.append("-")
        else:
            inside.append(re.escape(char))
    out.append(f"[{'^/' if negated else ''}{''.join(inside)}]")
    return i
