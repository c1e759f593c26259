"""What of a project a build may see: ``.dockerignore``, and what COPY and ADD can reach.

`DockerIgnore` follows moby's ``patternmatcher`` (the one that the docker program and BuildKit use),
not docker-py's copy of it, which loses ``**`` patterns below the second level. `Reach` follows the
builder's own matching of COPY sources (Go's ``filepath.Match`` on every path component).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from .. import errors
from .dockerfile import Copy, Dockerfile

MAX_BACKTRACKING = 2
"""Wildcards in a pattern for which a regular expression is still sure to end soon."""


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
        self._patterns: list[tuple[bool, str, _Matcher]] = []
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
        regexes = [r.pattern for _, _, r in self._patterns if isinstance(r, re.Pattern)]
        self._others = [r for _, _, r in self._patterns if not isinstance(r, re.Pattern)]
        self._any = (
            None
            if exceptions
            else re.compile("|".join(f"(?:{text})" for text in regexes) or r"(?!)", re.DOTALL)
        )
        self._folders: dict[str, tuple[bool, ...]] = {"": tuple(False for _ in self._patterns)}

    def ignores(self, path: str) -> bool:
        """Return whether a path is kept back.

        Where no pattern is an exception, ask only about paths whose folder is not ignored itself.
        """
        if self._any is not None:
            return bool(self._any.fullmatch(path)) or any(
                other.fullmatch(path) for other in self._others
            )
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
        missing = []
        folder = posixpath.dirname(path)
        while folder not in self._folders:
            missing.append(folder)
            folder = posixpath.dirname(folder)
        for name in reversed(missing):
            self._folders[name] = self._with_parents(self._folders[folder], name)
            folder = name
        return self._with_parents(self._folders[folder], path)

    def _with_parents(self, above: Sequence[bool], path: str) -> tuple[bool, ...]:
        return tuple(
            known or bool(matcher.fullmatch(path))
            for known, (_, _, matcher) in zip(above, self._patterns, strict=True)
        )


class Reach:
    """The paths that COPY and ADD instructions can reach.

    Parameters
    ----------
    copies
        The instructions, whose sources are all known.
    """

    def __init__(self, copies: Sequence[Copy]) -> None:
        self._sources: list[list[str | _Matcher]] = []
        for source in (source for copy in copies for source in copy.sources or ()):
            clean = posixpath.normpath(f"/{source}").lstrip("/")
            parts: list[str | _Matcher] = []
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


class _Matcher(Protocol):
    def fullmatch(self, text: str, /) -> object:
        """Return something that is true if all of ``text`` matches."""
        ...


class _Token(NamedTuple):
    """One part of a pattern; ``kind`` is one of those that `_tokens` makes."""

    kind: Literal["char", "class", "any", "star", "all", "folders", "inside"]
    regex: str


def _compile(pattern: str) -> _Matcher:
    """Translate a pattern as moby's ``patternmatcher.Pattern.compile`` does.

    Raises
    ------
    ValueError
        The pattern is malformed.
    """
    tokens = _tokens(pattern)
    if sum(token.kind in ("star", "all", "folders") for token in tokens) <= MAX_BACKTRACKING:
        return re.compile("".join(token.regex for token in tokens), re.DOTALL)
    return _Automaton(tokens)


def _tokens(pattern: str) -> list[_Token]:
    out: list[_Token] = []
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
                if i >= len(pattern):
                    out.append(_Token("all", ".*"))
                else:
                    out += [_Token("folders", "(?:.*/)?"), _Token("inside", "")]
            else:
                out.append(_Token("star", "[^/]*"))
        elif char == "?":
            out.append(_Token("any", "[^/]"))
        elif char == "\\":
            if i >= len(pattern):
                raise ValueError("a pattern ends in its escape character")
            out.append(_Token("char", re.escape(pattern[i])))
            i += 1
        elif char == "[":
            i, text = _class(pattern, i)
            out.append(_Token("class", text))
        else:
            out.append(_Token("char", re.escape(char)))
    return out


def _class(pattern: str, i: int) -> tuple[int, str]:
    """Translate a character class that starts before index ``i``; also return the index after it."""
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
    text = f"[{'^/' if negated else ''}{''.join(inside)}]"
    re.compile(text)
    return i, text


class _Automaton:
    """A matcher that never goes back: its time is linear in the text, whatever the pattern.

    Sets of positions in the pattern are bits of an integer; transitions are remembered as they are
    met. A hostile ``.dockerignore`` could keep a backtracking one busy for years.
    """

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._single = [
            re.compile(token.regex) if token.kind in ("char", "class", "any") else None
            for token in tokens
        ]
        self._known: dict[tuple[int, str], int] = {}
        self._start = self._reached({0})

    def fullmatch(self, text: str, /) -> bool:
        state = self._start
        for char in text:
            after = self._known.get((state, char))
            if after is None:
                after = self._after(state, char)
                if len(self._known) > 50_000:
                    self._known.clear()
                self._known[state, char] = after
            state = after
            if not state:
                return False
        return bool(state >> len(self._tokens) & 1)

    def _after(self, state: int, char: str) -> int:
        found: set[int] = set()
        for i, token in enumerate(self._tokens):
            if not state >> i & 1:
                continue
            single = self._single[i]
            if single is not None:
                if single.fullmatch(char):
                    found.add(i + 1)
            elif token.kind == "all" or (token.kind == "star" and char != "/"):
                found.add(i)
            elif token.kind in ("folders", "inside"):
                inside = i + (token.kind == "folders")
                found.add(inside)
                if char == "/":
                    found.add(inside + 1)
        return self._reached(found)

    def _reached(self, positions: set[int]) -> int:
        """The positions, and those reached from them without reading a character."""
        state = 0
        todo = list(positions)
        while todo:
            i = todo.pop()
            if state >> i & 1:
                continue
            state |= 1 << i
            kind = self._tokens[i].kind if i < len(self._tokens) else None
            if kind in ("star", "all"):
                todo.append(i + 1)
            elif kind == "folders":
                todo.append(i + 2)
        return state
