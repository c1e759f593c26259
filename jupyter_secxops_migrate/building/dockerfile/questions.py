"""What plan and build want to know of a Dockerfile.

Every word is evaluated at its own place, with what is set there: what a later line sets, or another
stage, does not count.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ...proxies import PROXIES
from ..errors import BadDockerfile
from .instructions import Copy, Instruction, Stage
from .lines import directives, frontends, instructions, json_words, short, text_lines
from .words import (
    PLATFORM,
    UNKNOWN,
    BadWord,
    Scope,
    expand,
    heredoc,
    is_known,
    split,
    split_quoted,
)

_SCHEMES = ("http://", "https://", "ftp://", "git://", "ssh://")
_REMOTE = re.compile(r"(?:https?|ftp|git|ssh)://|[\w-]+@[\w.-]+:", re.IGNORECASE)
_GIT = re.compile(r"(?:git|ssh)://|[\w-]+@[\w.-]+:|https?://[^?#]*\.git(?:[?#]|$)", re.IGNORECASE)
_PREDEFINED = [
    "TARGETSTAGE",
    *(
        f"{side}{what}"
        for side in ("BUILD", "TARGET")
        for what in ("PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT")
    ),
]
"""Set by BuildKit, not by the classic builder."""

_BUILDKIT_FLAGS = {
    "RUN": frozenset({"mount", "network", "security", "device"}),
    "COPY": frozenset({"link", "chmod", "parents", "exclude"}),
    "ADD": frozenset({"link", "chmod", "checksum", "keep-git-dir", "exclude", "unpack"}),
}


@dataclass(frozen=True)
class Dockerfile:
    """A parsed Dockerfile.

    ``source`` is its bytes, ``directives`` its parser directives, ``frontends`` line and image of
    every ``# syntax=`` that some builder may follow. ``build_args`` are the arguments that go before
    the defaults of ARG; ``outside`` the variables that hold for FROM.
    """

    source: bytes
    instructions: Sequence[Instruction]
    stages: Sequence[Stage]
    directives: Mapping[str, str] = field(default_factory=dict)
    frontends: Sequence[tuple[int, str]] = ()
    build_args: Mapping[str, str] = field(default_factory=dict)
    outside: Mapping[str, str] = field(default_factory=dict)

    @property
    def escape(self) -> str:
        """The escape character."""
        return self.directives.get("escape", "\\")

    @property
    def syntax(self) -> str | None:
        """The frontend image that ``# syntax=`` asks for."""
        line = self.directives.get("syntax")
        return None if line is None else line.split(" ", 1)[0]

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
        stands there as written. So does the name of a stage that is not finished there: the
        classic builder pulls an image of this name.
        """
        found = self._external(self.stages)
        named: dict[str, int] = {}
        for stage in self.stages:
            named.setdefault((stage.name or "").lower(), stage.index)
        known_to_copy = {str(stage.index): stage.index for stage in self.stages} | named
        for item in self.instructions:
            for name, value in item.flags:
                image, known = value, named
                if name == "from":
                    known = known_to_copy
                elif name == "mount":
                    image = _mount_options(value).get("from", "")
                else:
                    continue
                if image and known.get(image.lower(), item.stage) >= item.stage:
                    found.append((item.line, image))
        first: dict[str, int] = {}
        for line, image in found:
            first.setdefault(image, line)
        return [(line, image) for image, line in first.items()]

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
        """The final stage's USER, variables substituted; None if the base decides."""
        for stage in self._lineage:
            for index in reversed(self._by_stage.get(stage.index, ())):
                if self.instructions[index].keyword == "USER":
                    return self._known(index)
        return None

    @property
    def workdir(self) -> str | None:
        """The final stage's working directory, as far as this file sets it.

        Relative WORKDIRs are joined; None if the base decides all or part of it, or a variable
        in it has no value here.
        """
        found: str | None = None
        for stage in reversed(self._lineage):
            for index in self._by_stage.get(stage.index, ()):
                if self.instructions[index].keyword != "WORKDIR":
                    continue
                text = self._known(index)
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
            self.instructions[index].keyword == "WORKDIR"
            for stage in self._lineage
            for index in self._by_stage.get(stage.index, ())
        )

    def volumes(self) -> list[str]:
        """Return the final stage's VOLUMEs, with those of the stages that it rests on, as far as known."""
        return [
            path.strip()
            for stage in reversed(self._lineage)
            for index in self._by_stage.get(stage.index, ())
            if self.instructions[index].keyword == "VOLUME"
            for path in self._evaluated[index]
            if is_known(path)
        ]

    def copies(self) -> list[Copy]:
        """Return every COPY and ADD that takes files from the context, in order.

        Instructions with ``--from``, remote sources and heredocs are not among them.
        """
        found = []
        for index, item in enumerate(self.instructions):
            if item.keyword not in ("COPY", "ADD") or item.flag("from") is not None:
                continue
            words = self._evaluated[index]
            sources = [
                text
                for written, text in zip(_words_of(item)[:-1], words[:-1], strict=True)
                if not (item.heredocs and _is_heredoc(written))
                and not (item.keyword == "ADD" and _REMOTE.match(text))
            ]
            if sources:
                known = sources if all(map(is_known, sources)) else None
                found.append(Copy(item.line, known))
        return found

    def remote_adds(self) -> list[tuple[int, str]]:
        """Return ``(line, URL)`` of every ADD from elsewhere, and of what only the build knows."""
        return [
            (item.line, text if is_known(text) else written)
            for item, written, text in self._added()
            if _may_be(_REMOTE, text)
        ]

    def binds_context(self) -> bool:
        """Return whether a RUN mounts the build context itself (``--mount=type=bind``)."""
        return any(
            (kind == "bind" or not is_known(kind)) and not options.get("from")
            for _, kind, options in self._run_mounts()
        )

    def secret_mounts(self) -> list[tuple[int, str]]:
        """Return ``(line, type)`` of every RUN that mounts a ``secret`` or an ``ssh`` agent.

        And of every one whose type only the build knows.
        """
        return [
            (line, kind if is_known(kind) else options["type"].lower())
            for line, kind, options in self._run_mounts()
            if kind in ("secret", "ssh") or not is_known(kind)
        ]

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
            if item.heredocs:
                found.append((item.line, f"{item.keyword} <<{item.heredocs[0]}"))
        found += [
            (line, "ADD of a git repository")
            for line in dict.fromkeys(
                item.line for item, _, text in self._added() if _GIT.match(text)
            )
        ]
        return sorted(found, key=lambda pair: pair[0])

    def _added(self) -> Iterator[tuple[Instruction, str, str]]:
        """Yield every source of an ADD: as written, and evaluated."""
        for index, item in enumerate(self.instructions):
            if item.keyword == "ADD":
                words = zip(_words_of(item)[:-1], self._evaluated[index][:-1], strict=True)
                for written, text in words:
                    yield item, written, text

    def _run_mounts(self) -> Iterator[tuple[int, str, dict[str, str]]]:
        """Yield the line, the type and the options of every ``RUN --mount``."""
        for index, item in enumerate(self.instructions):
            if item.keyword == "RUN":
                mounts = [value for name, value in item.flags if name == "mount"]
                for value, kind in zip(mounts, self._evaluated[index], strict=True):
                    yield item.line, kind.lower(), _mount_options(value)

    def _known(self, index: int) -> str | None:
        """The evaluated argument of an instruction, None where only the builder knows it."""
        text = self._evaluated[index][0]
        return text if is_known(text) else None

    @cached_property
    def _by_stage(self) -> Mapping[int, Sequence[int]]:
        """What each stage does itself, without what it leaves to others (ONBUILD)."""
        found: dict[int, list[int]] = {}
        for index, item in enumerate(self.instructions):
            if not item.onbuild:
                found.setdefault(item.stage, []).append(index)
        return found

    @cached_property
    def _below(self) -> Sequence[Stage | None]:
        """The stage that each stage rests on."""
        named: dict[str, Stage] = {}
        below: list[Stage | None] = []
        for stage in self.stages:
            below.append(named.get(stage.base.lower()))
            if stage.name is not None:
                named[stage.name.lower()] = stage
        return below

    @cached_property
    def _lineage(self) -> Sequence[Stage]:
        """The final stage and those that it rests on, last first."""
        lineage = [self.stages[-1]]
        while (next_below := self._below[lineage[-1].index]) is not None:
            lineage.append(next_below)
        return lineage

    @cached_property
    def _evaluated(self) -> Sequence[Sequence[str]]:
        """The words of each instruction that matter here, evaluated where they stand."""
        found: list[Sequence[str]] = []
        scopes: dict[int, Scope] = {}
        triggers: dict[int, list[Instruction]] = {}
        for item in self.instructions:
            if item.stage < 0:
                found.append(())
                continue
            scope = scopes.get(item.stage)
            if scope is None:
                scope = scopes[item.stage] = Scope({}, UNKNOWN)
                below = self._below[item.stage]
                if below is not None:
                    scope = scopes[item.stage] = scopes[below.index].below()
                    for trigger in triggers.get(below.index, ()):
                        self._set(trigger, scope)
            if item.onbuild:
                # It runs in another stage, with what is set there.
                found.append(self._words(item, Scope({}, UNKNOWN)))
                if item.keyword in ("ARG", "ENV"):
                    triggers.setdefault(item.stage, []).append(item)
            else:
                found.append(self._words(item, scope))
                self._set(item, scope)
        return found

    def _words(self, item: Instruction, scope: Scope) -> Sequence[str]:
        words: Sequence[str] = ()
        if item.keyword in ("ADD", "COPY") or item.keyword == "VOLUME":
            words = _words_of(item)
        elif item.keyword in ("USER", "WORKDIR"):
            words = [item.args]
        elif item.keyword == "RUN":
            mounts = (value for name, value in item.flags if name == "mount")
            words = [_mount_options(value).get("type", "bind") for value in mounts]
        return [self._expand(word, scope) for word in words]

    def _expand(self, word: str, scope: Scope) -> str:
        try:
            return expand(word, scope, self.escape)
        except BadWord:
            return UNKNOWN  # it ends the build

    def _set(self, item: Instruction, scope: Scope) -> None:
        """Do what an ARG or ENV does to the variables."""
        if item.keyword == "ARG":
            for name, value in _pairs(item, self.escape):
                text = _given(name, self.build_args)
                if text is None and value is None:
                    text = self.outside.get(name)
                elif text is None and value is not None:
                    text = self._expand(value, scope)
                if text is not None:
                    # Of an ENV before it and the ARG, each builder prefers another.
                    clear = name not in scope.fixed or scope.get(name) == text
                    scope.values[name] = text if clear else UNKNOWN
        elif item.keyword == "ENV":
            pairs = [
                (self._expand(name, scope), self._expand(value or "", scope))
                for name, value in _pairs(item, self.escape)
            ]
            for name, text in pairs:
                if not is_known(name):
                    scope.forget()
                scope.values[name] = text
                scope.fixed.add(name)


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
    BadDockerfile
        It is too large, has an unknown instruction, an instruction before FROM, an unterminated
        heredoc, or nothing to build; or builders read it in different ways. With the line.
    """
    source = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    lines = text_lines(source)
    found = directives(lines)
    escape = found.get("escape", "\\")
    items: list[Instruction] = []
    stages: list[Stage] = []
    outside = Scope(
        dict.fromkeys(_PREDEFINED, PLATFORM)
        | dict.fromkeys(set(PROXIES) - set(build_args or {}), UNKNOWN),
        None,
    )
    read = list(instructions(lines, escape))
    _refuse_two_readings(lines, escape, read)
    for item in read:
        if item.keyword == "ARG":
            _refuse_odd_names(item, escape)
        if item.keyword == "FROM":
            stages.append(_stage(item, len(stages), outside, escape))
        elif not stages and item.keyword != "ARG":
            raise BadDockerfile(
                reason=f"{item.keyword} comes before the first FROM", line=item.line
            )
        elif not stages:
            _set_outside(item, outside, build_args or {}, escape)
        items.append(replace(item, stage=len(stages) - 1))
    if not stages:
        raise BadDockerfile(reason="it has no FROM", line=max(1, len(lines)))
    return Dockerfile(
        source,
        tuple(items),
        tuple(stages),
        found,
        tuple(frontends(lines)),
        build_args or {},
        outside.values,
    )


def _refuse_two_readings(lines: Sequence[str], escape: str, read: Sequence[Instruction]) -> None:
    """Refuse what an older builder would read as other instructions: it may be the one that builds."""
    if not any("<<" in line for line in lines):
        return
    try:
        old = list(instructions(lines, escape, old=True))
    except BadDockerfile:
        return
    for item, other in zip(read, old, strict=False):
        if item != other:
            raise BadDockerfile(
                reason=f"older builders don't see this heredoc; write it as {item.keyword} <<NAME",
                line=item.line,
            )


def _refuse_odd_names(item: Instruction, escape: str) -> None:
    """Refuse an ARG whose name older builders evaluate, and newer ones don't."""
    for name, _ in _pairs(item, escape):
        try:
            same = expand(name, Scope({}, UNKNOWN), escape) == name
        except BadWord:
            continue  # it ends the build of the older ones, and is never used by the newer
        if not same:
            raise BadDockerfile(
                reason=f"the argument name {short(name)} has quotes, escapes or variables in it",
                line=item.line,
            )


def _given(name: str, build_args: Mapping[str, str]) -> str | None:
    """The value that a build gets for an ARG, None if it has its default."""
    return build_args.get(name, UNKNOWN if name in PROXIES else None)


def _set_outside(
    item: Instruction, outside: Scope, build_args: Mapping[str, str], escape: str
) -> None:
    """Do what an ARG before the first FROM does."""
    for name, value in _pairs(item, escape):
        known = _given(name, build_args)
        if known is None and value is not None:
            try:
                known = expand(value, outside, escape)
            except BadWord:
                raise BadDockerfile(
                    reason=f"the default of {short(name)} can't be read", line=item.line
                ) from None
        if known is not None:
            outside.values[name] = known


def _stage(item: Instruction, index: int, outside: Scope, escape: str) -> Stage:
    words = split(item.args)
    if not (len(words) == 1 or (len(words) == 3 and words[1].lower() == "as")):
        raise BadDockerfile(
            reason="FROM takes one image, and AS with a name after it", line=item.line
        )
    try:
        base = expand(words[0], outside, escape)
    except BadWord:
        base = ""
    if not base:
        raise BadDockerfile(reason=f"FROM {short(words[0])} names no image", line=item.line)
    name = words[2] if len(words) == 3 else None
    return Stage(index, item.line, base if is_known(base) else words[0], name)


def _words_of(item: Instruction) -> list[str]:
    """The words of a COPY, ADD or VOLUME, as written in its JSON or its plain form."""
    words = json_words(item.args)
    return split(item.args) if words is None else words


def _is_heredoc(word: str) -> bool:
    try:
        return heredoc(word) is not None
    except BadWord:
        return False


def _may_be(pattern: re.Pattern[str], text: str) -> bool:
    """Whether an evaluated word is, or with what only the builder knows may be, a URL."""
    if pattern.match(text):
        return True
    start, mark, _ = text.partition(UNKNOWN)
    return bool(mark) and (
        any(scheme.startswith(start.lower()) for scheme in _SCHEMES)
        or re.fullmatch(r"[\w-]*(?:@[\w.-]*)?", start) is not None
    )


def _mount_options(value: str) -> dict[str, str]:
    """Read a ``--mount``: comma-separated values with quotes, keys in lower case."""
    try:
        parts = next(csv.reader([value]), [])
    except csv.Error:
        parts = value.split(",")
    pairs = (part.partition("=") for part in parts)
    return {key.lower(): text for key, eq, text in pairs if eq}


def _pairs(item: Instruction, escape: str) -> list[tuple[str, str | None]]:
    """``(name, default)`` of ARG, or ``(name, value)`` of ENV in both of its forms, as written."""
    words = split_quoted(item.args, escape)
    if item.keyword == "ENV" and words and "=" not in words[0]:
        name, *value = re.split(r"[\t\v\f\r ]+", item.args, maxsplit=1)
        return [(name, "".join(value))]
    found: list[tuple[str, str | None]] = []
    for word in words:
        name, eq, value_ = word.partition("=")
        found.append((name, value_ if eq else None))
    return found
