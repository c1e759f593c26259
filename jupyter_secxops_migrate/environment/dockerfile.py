"""What a Dockerfile says, without running any of it.

Splits the text into instructions exactly as BuildKit's ``frontend/dockerfile/parser`` does:
parser directives, line continuations, comments inside them, heredocs. (General-purpose
grammars were tried: they reject ``WORKDIR /a b`` and take ``<<<`` for a heredoc, and a valid
Dockerfile must never be refused for our parser's sake.) It does not check an instruction's
meaning: that is the builder's business, and its message is better than ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .. import errors

MAX_SIZE = 1024 * 1024
"""Bytes; no honest Dockerfile comes near."""

MAX_VALUE = 64 * 1024
"""Characters of a value with its variables substituted: each may double the one before it."""

KEYWORDS = frozenset(
    [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+)")
_HEREDOC = re.compile(r"(\d*)<<(-?)([^<]*)")
_FLAG = re.compile(r"--([a-z][a-z-]*)(?:=(.*))?", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REMOTE = re.compile(r"(?:https?|ftp)://|git@|git://|ssh://", re.IGNORECASE)
_GIT = re.compile(r"git@|git://|ssh://|https?://.*\.git(?:#.*)?$", re.IGNORECASE)

Flags = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    ``line`` and ``end_line`` count from 1. ``raw`` is the text as written; ``args`` is what
    follows keyword and flags, continuations joined; ``flags`` are ``(name, value)`` pairs in
    order. ``heredocs`` are the names of its heredocs, ``stage`` the index of its stage, -1 before
    the first FROM. ``onbuild`` marks the instruction inside an ONBUILD.
    """

    line: int
    end_line: int
    keyword: str
    raw: str
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

    ``base`` is the FROM image with ARG defaults substituted; where a variable in it has none, it
    stands there as written, with its ``$``.
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
    keyword: str
    sources: Sequence[str] | None
    destination: str


@dataclass(frozen=True)
class Dockerfile:
    """A parsed Dockerfile. ``source`` is its bytes, ``directives`` its parser directives."""

    source: bytes
    instructions: Sequence[Instruction]
    stages: Sequence[Stage]
    directives: Mapping[str, str] = field(default_factory=dict)

    def bases(self) -> list[str]:
        """Return the external FROM images, each once, in order.

        Never ``scratch`` or a stage, nor one that only the build knows.
        """
        return list(
            dict.fromkeys(base for _, base in self._external(self.stages) if "$" not in base)
        )

    def images(self) -> list[tuple[int, str]]:
        """Return ``(line, image)`` of every external image, each once.

        Those of FROM, of ``COPY --from`` and ``RUN --mount=from``; one that only the build knows
        stands there as written.
        """
        found = self._external(self.stages)
        names = {name for stage in self.stages for name in (stage.name or "", str(stage.index))}
        lowered = {name.lower() for name in names}
        for item in self.instructions:
            for name, value in item.flags:
                image = value
                if name == "mount":
                    image = _mount_options(value).get("from", "")
                elif name != "from":
                    continue
                if image and image.lower() not in lowered:
                    found.append((item.line, image))
        first: dict[str, int] = {}
        for line, image in found:
            first.setdefault(image, line)
        return [(line, image) for image, line in first.items()]

    @property
    def syntax(self) -> str | None:
        """The frontend image that ``# syntax=`` asks for."""
        return self.directives.get("syntax")

    def _external(self, stages: Sequence[Stage]) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        names = {"scratch"}
        for stage in stages:
            if stage.base.lower() not in names:
                found.append((stage.line, stage.base))
            if stage.name:
                names.add(stage.name.lower())
        return found

    def final_base(self) -> str | None:
        """Return the external image that the final stage rests on, None for ``scratch``."""
        stage = self._lineage[-1]
        return None if stage.base.lower() == "scratch" else stage.base

    @property
    def user(self) -> str | None:
        """The final stage's USER as written, defaults substituted; None if the base decides."""
        return self._final("USER")

    @property
    def workdir(self) -> str | None:
        """The final stage's working directory, as far as this file sets it.

        Relative WORKDIRs are joined; None if the base decides all or part of it, or a variable
        in it has no value here.
        """
        found: str | None = None
        for stage in reversed(self._lineage):
            values = self._values(stage.index)
            for item in self._by_stage.get(stage.index, ()):
                if item.keyword != "WORKDIR":
                    continue
                text = substitute(_unquote(item.args), values)
                if text is None:
                    found = None
                elif text.startswith("/"):
                    found = text
                else:
                    found = f"{found.rstrip('/')}/{text}" if found is not None else None
        return found

    @property
    def sets_workdir(self) -> bool:
        """Whether the final stage, or one it rests on, has a WORKDIR at all."""
        return any(
            item.keyword == "WORKDIR"
            for stage in self._lineage
            for item in self._by_stage.get(stage.index, ())
        )

    def copies(self) -> list[Copy]:
        """Return every COPY and ADD that takes files from the context, in order.

        Instructions with ``--from``, remote sources and heredocs are not among them.
        """
        found = []
        for item in self.instructions:
            if item.keyword not in ("COPY", "ADD") or item.flag("from") is not None:
                continue
            words = _copy_words(item)
            if len(words) < 2:
                continue
            sources = [
                word
                for word in words[:-1]
                if not (item.heredocs and _HEREDOC.fullmatch(word))
                and not (item.keyword == "ADD" and _REMOTE.match(word))
            ]
            if not sources:
                continue
            known = None if any("$" in word for word in sources) else sources
            found.append(Copy(item.line, item.keyword, known, words[-1]))
        return found

    def remote_adds(self) -> list[tuple[int, str]]:
        """Return ``(line, URL)`` of every ADD from elsewhere, and of what only the build knows."""
        found = []
        for item in self.instructions:
            if item.keyword != "ADD" or item.flag("from") is not None:
                continue
            values = self._values(item.stage)
            for word in _copy_words(item)[:-1]:
                known = substitute(word, values)
                if _REMOTE.match(known or word) or (known is None and word.startswith("$")):
                    found.append((item.line, known or word))
        return found

    def binds_context(self) -> bool:
        """Return whether a RUN mounts the build context itself (``--mount=type=bind``)."""
        return any(
            kind == "bind" and "from" not in options for _, kind, options in self._run_mounts()
        )

    def secret_mounts(self) -> list[tuple[int, str]]:
        """Return ``(line, type)`` of every RUN that mounts a ``secret`` or an ``ssh`` agent.

        And of every one whose type only the build knows.
        """
        return [
            (line, kind)
            for line, kind, _ in self._run_mounts()
            if kind in ("secret", "ssh") or "$" in kind
        ]

    def _run_mounts(self) -> Iterator[tuple[int, str, dict[str, str]]]:
        """Yield the line, the type and the options of every ``RUN --mount``."""
        for item in self.instructions:
            for name, value in item.flags:
                if item.keyword == "RUN" and name == "mount":
                    options = _mount_options(value)
                    written = options.get("type", "bind")
                    known = substitute(written, self._values(item.stage))
                    yield item.line, (known or written).lower(), options

    def needs_buildkit(self) -> list[tuple[int, str]]:
        """Return ``(line, feature)`` of everything that the classic builder does not know.

        Not of a ``# syntax=`` line, which is a comment to it.
        """
        found: list[tuple[int, str]] = []
        for item in self.instructions:
            features = _BUILDKIT_FLAGS.get(item.keyword, frozenset())
            found += [
                (item.line, f"{item.keyword} --{name}")
                for name in dict.fromkeys(name for name, _ in item.flags)
                if name in features
            ]
            if item.keyword == "ADD" and any(map(_GIT.match, _copy_words(item)[:-1])):
                found.append((item.line, "ADD of a git repository"))
            if item.heredocs:
                found.append((item.line, f"{item.keyword} <<{item.heredocs[0]}"))
        return sorted(found, key=lambda pair: pair[0])

    @cached_property
    def _by_stage(self) -> Mapping[int, Sequence[Instruction]]:
        """What each stage does itself, without what it leaves to others (ONBUILD)."""
        found: dict[int, list[Instruction]] = {}
        for item in self.instructions:
            if not item.onbuild:
                found.setdefault(item.stage, []).append(item)
        return found

    @cached_property
    def _lineage(self) -> Sequence[Stage]:
        """The final stage and those that it rests on, last first."""
        named: dict[str, Stage] = {}
        below: list[Stage | None] = []
        for stage in self.stages:
            below.append(named.get(stage.base.lower()))
            if stage.name is not None:
                named[stage.name.lower()] = stage
        lineage = [self.stages[-1]]
        while (next_below := below[lineage[-1].index]) is not None:
            lineage.append(next_below)
        return lineage

    @cached_property
    def _outside(self) -> Mapping[str, str]:
        """Defaults of the ARGs before the first FROM."""
        return {
            name: value
            for item in self._by_stage.get(-1, ())
            if item.keyword == "ARG"
            for name, value in _pairs(item)
            if value is not None
        }

    def _values(self, stage: int) -> dict[str, str]:
        """ARG defaults and ENV values of one stage (all of it: order matters rarely)."""
        values: dict[str, str] = {}
        for item in self._by_stage.get(stage, ()):
            if item.keyword in ("ARG", "ENV"):
                for name, value in _pairs(item):
                    text = self._outside.get(name) if value is None else substitute(value, values)
                    if text is not None:
                        values[name] = text
        return values

    def _final(self, keyword: str) -> str | None:
        for stage in self._lineage:
            for item in reversed(self._by_stage.get(stage.index, ())):
                if item.keyword == keyword:
                    return substitute(_unquote(item.args), self._values(stage.index))
        return None


def _mount_options(value: str) -> dict[str, str]:
    """Read a ``--mount`` as BuildKit does: without quotes, keys in lower case."""
    parts = value.replace('"', "").replace("'", "").split(",")
    return {key.strip().lower(): text for key, _, text in (part.partition("=") for part in parts)}


_BUILDKIT_FLAGS = {
    "RUN": frozenset({"mount", "network", "security", "device"}),
    "COPY": frozenset({"link", "chmod", "parents", "exclude"}),
    "ADD": frozenset({"link", "chmod", "checksum", "keep-git-dir", "exclude", "unpack"}),
}


def parse(text: bytes | str, build_args: Mapping[str, str] | None = None) -> Dockerfile:
    """Read a Dockerfile.

    Parameters
    ----------
    text
        Its content, at most `MAX_SIZE` bytes.
    build_args
        Build arguments; they go before the defaults of ARG.

    Raises
    ------
    errors.BadDockerfile
        It is too large, has an unknown instruction, an instruction before FROM, an unterminated
        heredoc, or nothing to build; with the line.
    """
    source = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    if len(source) > MAX_SIZE:
        raise errors.BadDockerfile(reason=f"it is larger than {MAX_SIZE} bytes", line=1)
    if b"\0" in source:
        line = source[: source.index(b"\0")].count(b"\n") + 1
        raise errors.BadDockerfile(reason="it holds a zero byte", line=line)
    lines = source.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\n")
    lines = [line.removesuffix("\r") for line in lines]
    directives = _directives(lines)
    escape = directives.get("escape", "\\")
    if escape not in ("\\", "`"):
        raise errors.BadDockerfile(
            reason="the escape directive must name \\ or `", line=int(directives["escape.line"])
        )
    instructions: list[Instruction] = []
    stages: list[Stage] = []
    outside: dict[str, str] = {}
    for first, last, joined, heredocs in _logical_lines(lines, escape):
        item = _instruction(
            joined, first, last, "\n".join(lines[first - 1 : last]), heredocs, escape
        )
        if item.keyword == "FROM":
            stages.append(_stage(item, len(stages), outside))
        elif not stages and item.keyword != "ARG":
            raise errors.BadDockerfile(
                reason=f"{item.keyword} comes before the first FROM", line=item.line
            )
        elif not stages:
            for name, value in _pairs(item):
                known = substitute(value, outside) if value is not None else None
                known = (build_args or {}).get(name, known)
                if known is not None:
                    outside[name] = known
        stage = len(stages) - 1
        if item.keyword == "ONBUILD":
            instructions.append(_placed(item, stage))
            inner = _instruction(item.args, first, last, item.raw, heredocs, escape)
            if inner.keyword in ("ONBUILD", "FROM", "MAINTAINER"):
                raise errors.BadDockerfile(
                    reason=f"ONBUILD {inner.keyword} is not allowed", line=first
                )
            instructions.append(_placed(inner, stage, onbuild=True))
        else:
            instructions.append(_placed(item, stage))
    if not stages:
        raise errors.BadDockerfile(reason="it has no FROM", line=max(1, len(lines)))
    return Dockerfile(source, tuple(instructions), tuple(stages), directives)


def substitute(text: str, values: Mapping[str, str]) -> str | None:
    """Substitute ``$NAME``, ``${NAME}``, ``${NAME:-word}`` and ``${NAME:+word}``.

    Returns None where a name has no value, the form is another one, or the result is longer than
    `MAX_VALUE`.
    """
    out: list[str] = []
    length = 0
    i = 0
    while i < len(text):
        char = text[i]
        if char == "\\" and i + 1 < len(text):
            out.append(text[i + 1])
            i += 2
            continue
        if char != "$":
            out.append(char)
            i += 1
            continue
        if text[i + 1 : i + 2] == "{":
            end = _closing(text, i + 1)
            if end < 0:
                return None
            found = _expand(text[i + 2 : end], values)
            i = end + 1
        else:
            match = _NAME.match(text, i + 1)
            if not match:
                return None
            found = values.get(match[0])
            i = match.end()
        length += len(found or "")
        if found is None or length > MAX_VALUE:
            return None
        out.append(found)
    return "".join(out)


def _closing(text: str, start: int) -> int:
    depth = 0
    for i in range(start, len(text)):
        if text[i] == "{":
            depth += 1
        elif text[i] == "}":
            depth -= 1
            if depth == 0:
                return i
    return -1


def _expand(inner: str, values: Mapping[str, str]) -> str | None:
    match = _NAME.match(inner)
    if not match:
        return None
    name, rest = match[0], inner[match.end() :]
    if not rest:
        return values.get(name)
    if len(rest) > 200:  # nested a thousand times, it would only exhaust the stack
        return None
    if rest.startswith((":-", "-")):
        value = values.get(name)
        if value or (value is not None and rest[0] == "-"):
            return value
        return substitute(rest.lstrip(":")[1:], values)
    if rest.startswith((":+", "+")):
        value = values.get(name)
        if value or (value is not None and rest[0] == "+"):
            return substitute(rest.lstrip(":")[1:], values)
        return ""
    return None


def _directives(lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.fullmatch(line.strip())
        if not match or match[1].lower() not in ("syntax", "escape", "check"):
            break
        found[match[1].lower()] = match[2]
        found[match[1].lower() + ".line"] = str(number)
    return found


def _logical_lines(lines: Sequence[str], escape: str) -> Iterator[tuple[int, int, str, list[str]]]:
    """Yield ``(first line, last line, joined text, heredoc names)`` of every instruction."""
    e = re.escape(escape)
    continuation = re.compile(rf"(?:(?<!{e})|^){e}[ \t]*$")
    i = 0
    while i < len(lines):
        first = i + 1
        text = lines[i].strip()
        i += 1
        if not text or text.startswith("#"):
            continue
        parts: list[str] = []
        while True:
            match = continuation.search(text)
            parts.append(text[: match.start()] if match else text)
            if not match:
                break
            while i < len(lines) and (not lines[i].strip() or lines[i].lstrip().startswith("#")):
                i += 1
            if i >= len(lines):
                break
            text = lines[i].rstrip()
            i += 1
        joined = "".join(parts)
        heredocs: list[str] = []
        for name, chomp in _heredocs(joined, escape):
            heredocs.append(name)
            while i < len(lines):
                line = lines[i].lstrip("\t") if chomp else lines[i]
                i += 1
                if line == name:
                    break
            else:
                raise errors.BadDockerfile(reason=f"the heredoc {name} has no end", line=first)
        yield first, i, joined, heredocs


def _heredocs(joined: str, escape: str) -> list[tuple[str, bool]]:
    keyword, _, rest = joined.partition(" ")
    if keyword.upper() == "ONBUILD":
        keyword, _, rest = rest.strip().partition(" ")
    if keyword.upper() not in ("RUN", "COPY", "ADD") or "<<" not in rest:
        return []
    found = []
    for word in _words(rest, escape, keep_quotes=True):
        match = _HEREDOC.fullmatch(word)
        if match and match[3]:
            name = match[3]
            if name[0] in "'\"":
                if len(name) < 3 or name[-1] != name[0]:
                    continue
                name = name[1:-1]
            found.append((name, bool(match[2])))
    return found


def _instruction(
    joined: str, first: int, last: int, raw: str, heredocs: Sequence[str], escape: str
) -> Instruction:
    parts = joined.strip().split(None, 1)
    keyword = parts[0].upper() if parts else ""
    rest = parts[1] if len(parts) > 1 else ""
    if keyword not in KEYWORDS:
        raise errors.BadDockerfile(reason=f"{_short(keyword)} is not an instruction", line=first)
    flags: list[tuple[str, str]] = []
    while keyword in ("ADD", "COPY", "FROM", "HEALTHCHECK", "RUN") and rest.startswith("--"):
        word = rest.split(None, 1)[0]
        match = _FLAG.fullmatch(word)
        if not match:
            break
        flags.append((match[1], match[2] or ""))
        rest = rest[len(word) :].lstrip()
    if not rest.strip() and keyword != "RUN":
        raise errors.BadDockerfile(reason=f"{keyword} needs an argument", line=first)
    return Instruction(first, last, keyword, raw, rest.strip(), tuple(flags), tuple(heredocs))


def _placed(item: Instruction, stage: int, *, onbuild: bool = False) -> Instruction:
    return Instruction(
        item.line,
        item.end_line,
        item.keyword,
        item.raw,
        item.args,
        item.flags,
        item.heredocs,
        stage,
        onbuild,
    )


def _stage(item: Instruction, index: int, values: Mapping[str, str]) -> Stage:
    words = item.args.split()
    if not (len(words) == 1 or (len(words) == 3 and words[1].lower() == "as")):
        raise errors.BadDockerfile(
            reason="FROM takes one image, and AS with a name after it", line=item.line
        )
    base = substitute(_unquote(words[0]), values)
    if base == "":
        raise errors.BadDockerfile(reason=f"FROM {_short(words[0])} names no image", line=item.line)
    if base is None:
        base = words[0]
    return Stage(index, item.line, base, words[2] if len(words) == 3 else None)


def _copy_words(item: Instruction) -> list[str]:
    """Sources and destination of a COPY or ADD, from its JSON or its plain form."""
    if item.args.startswith("["):
        try:
            words = json.loads(item.args)
        except (ValueError, RecursionError):
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
    return [_unquote(word) for word in _words(item.args, "\\", keep_quotes=True)]


def _pairs(item: Instruction) -> list[tuple[str, str | None]]:
    """``(name, default)`` of ARG, or ``(name, value)`` of ENV in both of its forms."""
    words = _words(item.args, "\\", keep_quotes=True)
    if item.keyword == "ENV" and words and "=" not in words[0]:
        name, _, value = item.args.partition(" ")
        return [(name, _unquote(value.strip()))]
    found: list[tuple[str, str | None]] = []
    for word in words:
        name, eq, value = (
            _unquote(word).partition("=") if word[:1] in "'\"" else word.partition("=")
        )
        found.append((name, _unquote(value) if eq else None))
    return found


def _words(text: str, escape: str, *, keep_quotes: bool) -> list[str]:
    """Split at blanks outside quotes; an escaped blank does not split."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    i = 0
    while i < len(text):
        char = text[i]
        if char == escape and i + 1 < len(text) and quote != "'":
            word.append(text[i : i + 2])
            i += 2
            continue
        if quote:
            quote = "" if char == quote else quote
            word.append(char)
        elif char in "'\"":
            quote = char
            word.append(char)
        elif char.isspace():
            if word:
                words.append("".join(word))
                word = []
        else:
            word.append(char)
        i += 1
    if word:
        words.append("".join(word))
    return words if keep_quotes else [_unquote(w) for w in words]


def _unquote(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return re.sub(r"\\(\s)", r"\1", text)


def _short(text: str) -> str:
    """A word of a hostile file, as a sentence may hold it."""
    shown = "".join(char if char.isprintable() else "?" for char in text[:41])
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
