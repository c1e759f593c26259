"""What of a project a build may see: ``.dockerignore``, and what COPY and ADD can reach.

`DockerIgnore` follows moby's ``patternmatcher`` (the one that the docker program and BuildKit use),
not docker-py's copy of it, which loses ``**`` patterns below the second level. The two builders walk
a folder that is ignored in different ways: BuildKit looks into it for any exception that it may
hold, the classic builder only where an exception begins with the folder's very name. `Reach` follows
the builder's own matching of COPY sources (Go's ``filepath.Match`` on every path component).

https://github.com/moby/patternmatcher, https://github.com/tonistiigi/fsutil (``filter.go``)
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from .dockerfile import Copy, Dockerfile
from .errors import BadDockerfile

MAX_BACKTRACKING = 2
"""Wildcards in a pattern for which a regular expression is still sure to end soon."""


_WILD = re.compile(r"[*?\[\]^\\]")
_AMBIGUOUS = re.compile(r"(?<!\\)(?:\||\{\d+(?:,\d*)?\}|\[[^\]]*[*?\[])|\\[A-Za-z0-9]")
"""What builders hand on to their regular expressions unchanged, each release a bit differently."""


class DockerIgnore:
    """The patterns of a ``.dockerignore``.

    Parameters
    ----------
    content
        The file's bytes; empty for none.
    buildkit
        Walk as BuildKit does, not as the classic builder.
    name
        What the file is called.

    Raises
    ------
    BadDockerfile
        A pattern is malformed, or means something else to each builder; leaving it out could send
        what it was to keep back.
    """

    def __init__(
        self, content: bytes = b"", *, buildkit: bool = False, name: str = ".dockerignore"
    ) -> None:
        self._patterns: list[tuple[bool, str, _Matcher]] = []
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        for number, line in enumerate(text.split("\n"), 1):
            if line.startswith("#"):
                continue
            pattern = line.strip()
            exception = pattern.startswith("!")
            if exception:
                pattern = pattern[1:].strip()
            if not pattern and not exception:
                continue
            try:
                pattern = _clean(pattern)
                if pattern != ".":
                    self._patterns.append((exception, pattern, _compile(pattern)))
            except (re.error, ValueError):
                raise BadDockerfile(
                    reason=f"{name} has a malformed pattern in line {number}", line=1
                ) from None
        exceptions = [pattern for exception, pattern, _ in self._patterns if exception]
        if buildkit:
            exceptions = [re.sub(r"/\*$", "", re.sub(r"/\*\*$", "", p)) for p in exceptions]
        self._enter_all = buildkit and any(map(_WILD.search, exceptions))
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
        self._folders: dict[str, Sequence[bool]] = {"": [False] * len(self._patterns)}

    def ignores(self, path: str) -> bool:
        """Return whether a path is kept back.

        Where no pattern is an exception, ask only about paths whose folder is not ignored itself.
        """
        if self._any is not None:
            return bool(self._any.fullmatch(path)) or any(
                other.fullmatch(path) for other in self._others
            )
        return self._judge(path)[0]

    def may_enter(self, folder: str) -> bool:
        """Return whether the builder looks for something to send below a folder."""
        if not self.ignores(folder):
            return True
        return self._enter_all or any(
            pattern.startswith(f"{folder}/") for pattern in self._exceptions
        )

    def _judge(self, path: str) -> tuple[bool, Sequence[bool]]:
        """Whether a path is kept back, and which patterns decided so far.

        As ``MatchesUsingParentResults`` does: an exception is only tried on what is ignored so far.
        ``!data`` after ``data/*`` does not match the folder, then, and keeps nothing that lies in it.
        """
        ignored = False
        matches = []
        above = self._decided(posixpath.dirname(path))
        for known, (exception, _, matcher) in zip(above, self._patterns, strict=True):
            match = known or (exception == ignored and bool(matcher.fullmatch(path)))
            matches.append(match)
            if match:
                ignored = not exception
        return ignored, matches

    def _decided(self, folder: str) -> Sequence[bool]:
        """Which patterns decided about a folder or one that it lies in."""
        missing = []
        while folder not in self._folders:
            missing.append(folder)
            folder = posixpath.dirname(folder)
        for name in reversed(missing):
            self._folders[name] = self._judge(name)[1]
        return self._folders[missing[0] if missing else folder]


def _clean(pattern: str) -> str:
    """Return a pattern as moby reads it: the shortest path, relative to the context.

    Raises
    ------
    ValueError
        It is empty, or builders read it in different ways.
    """
    if not pattern:
        raise ValueError("an exception of nothing")
    pattern = posixpath.normpath(pattern).lstrip("/") or "."
    if _WILD.search(pattern) and _AMBIGUOUS.search(pattern):
        raise ValueError("a pattern that builders read in different ways")
    return pattern


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
                i += 1
                # What a pattern begins with, and no wildcard follows, is any start of the path.
                suffix = i == 2 and not _WILD.search(pattern, i)
                if pattern[i : i + 1] == "/":
                    i += 1
                    suffix = False
                if suffix or i >= len(pattern):
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
    """Translate a character class that starts before index ``i``; also return the index after it.

    What Go's ``filepath.Match`` refuses is refused: a ``-`` or ``]`` that is not escaped.
    """
    negated = pattern[i : i + 1] == "^"
    i += negated
    inside: list[str] = []
    while pattern[i : i + 1] != "]" or not inside:
        i, text = _class_char(pattern, i)
        if pattern[i : i + 1] == "-":
            i, end = _class_char(pattern, i + 1)
            text = f"{text}-{end}"
        inside.append(text)
    text = f"[{'^' if negated else ''}{''.join(inside)}]"
    re.compile(text)
    return i + 1, text


def _class_char(pattern: str, i: int) -> tuple[int, str]:
    """Read one character of a class; return the index after it, and it escaped."""
    if pattern[i : i + 1] in ("", "-", "]"):
        raise ValueError("a character class is malformed")
    if pattern[i] == "\\":
        i += 1
    if i + 1 >= len(pattern):
        raise ValueError("a character class has no end")
    return i + 1, re.escape(pattern[i])


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
