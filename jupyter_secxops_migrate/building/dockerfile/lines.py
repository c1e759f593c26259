"""From the text of a Dockerfile to its instructions.

Splits as BuildKit's ``frontend/dockerfile/parser`` does: parser directives, line continuations,
comments inside them, flags, heredocs. (General-purpose grammars were tried: they reject
``WORKDIR /a b`` and take ``<<<`` for a heredoc, and a valid Dockerfile must never be refused for our
parser's sake.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from ...printable import printable
from ..errors import BadDockerfile
from .instructions import Instruction
from .words import BadWord, heredoc, raw_words

MAX_SIZE = 1024 * 1024
"""Bytes; no honest Dockerfile comes near."""

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
_OLD_HEREDOC = re.compile(r"""\d*<<-?(?:'[^']*'|"[^"]*"|[^'"\\\s<]+)""")
"""How heredocs were written before 1.16 of the Dockerfile frontend."""

_JSON = json.JSONDecoder()
_BLANK_TO_FEW = re.compile("[\0\x1c-\x1f\udc85\udca0]|\r(?=\r)")
"""Blanks to Python or some builder, and not to others; and the mark of `words`."""


def text_lines(source: bytes) -> list[str]:
    """Return the lines of a Dockerfile.

    Raises
    ------
    BadDockerfile
        It is too large, or no text.
    """
    if len(source) > MAX_SIZE:
        raise BadDockerfile(reason=f"it is larger than {MAX_SIZE} bytes", line=1)
    if match := _BLANK_TO_FEW.search(source.decode("utf-8", "surrogateescape")):
        code = match[0].encode("utf-8", "surrogateescape")[0]
        raise BadDockerfile(
            reason=f"it holds the control character {code:#04x}",
            line=match.string.count("\n", 0, match.start()) + 1,
        )
    lines = source.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\n")
    return [line.removesuffix("\r") for line in lines]


def directives(lines: Sequence[str]) -> Mapping[str, str]:
    """Return the parser directives, by name in lower case.

    Raises
    ------
    BadDockerfile
        One is there twice, or ``escape`` names another character.
    """
    found: dict[str, str] = {}
    # Only who looks for a frontend steps over such a first line: it ends the other directives.
    script = lines[0].startswith("#!")
    for number, line in enumerate(lines[script:], 1 + script):
        match = _DIRECTIVE.fullmatch(line.strip())
        if not match or match[1].lower() not in ("syntax", "escape", "check"):
            break
        name = match[1].lower()
        if name in found:
            raise BadDockerfile(reason=f"it has the directive {name} twice", line=number)
        if script and name != "syntax":
            continue
        found[name] = match[2]
        if name == "escape" and match[2] not in ("\\", "`"):
            raise BadDockerfile(reason="the escape directive must name \\ or `", line=number)
    return found


def frontends(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield line and image of every ``# syntax=`` that some release of a builder may follow.

    Older ones step over other ``# name=value`` lines before it.
    """
    for number, line in enumerate(lines, 1):
        if number == 1 and line.startswith("#!"):
            continue
        match = _DIRECTIVE.fullmatch(line.strip())
        if not match:
            return
        if match[1].lower() == "syntax":
            yield number, match[2].split(" ", 1)[0]


def instructions(lines: Sequence[str], escape: str, *, old: bool = False) -> Iterator[Instruction]:
    """Yield every instruction; what an ONBUILD holds follows it. Stages are not told apart yet.

    Parameters
    ----------
    lines
        What `text_lines` gave.
    escape
        The escape character.
    old
        Know only heredocs that each release of BuildKit knows.

    Raises
    ------
    BadDockerfile
        An instruction is unknown or has no argument, or a heredoc has no end.
    """
    for first, last, joined, heredocs in _logical_lines(lines, escape, old=old):
        item = _instruction(joined, first, last, heredocs, escape)
        yield item
        if item.keyword == "ONBUILD":
            inner = _instruction(item.args, first, last, heredocs, escape, onbuild=True)
            if inner.keyword in ("ONBUILD", "FROM", "MAINTAINER"):
                raise BadDockerfile(reason=f"ONBUILD {inner.keyword} is not allowed", line=first)
            yield inner


def json_words(args: str, *, old: bool = False) -> list[str] | None:
    """Return the words of the JSON form of an instruction, None for another form.

    Parameters
    ----------
    args
        What follows keyword and flags.
    old
        Overlook what stands behind the list, as older builders do.
    """
    if not args.startswith("["):
        return None
    try:
        words, end = _JSON.raw_decode(args)
    except (ValueError, RecursionError):
        return None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    return words if old or not args[end:].strip() else None


def short(text: str) -> str:
    """A word of a hostile file, as a sentence may hold it."""
    return printable(text) if len(text) <= 40 else f"{printable(text[:40])}…"


def _logical_lines(
    lines: Sequence[str], escape: str, *, old: bool
) -> Iterator[tuple[int, int, str, list[str]]]:
    """Yield ``(first line, last line, joined text, heredoc names)`` of every instruction."""
    e = re.escape(escape)
    continuation = re.compile(rf"(?:(?<!{e})|^){e}[ \t]*$")
    i = 0
    while i < len(lines):
        first = i + 1
        text = lines[i].lstrip()  # what ends a line may keep it from going on: ``\\`` and U+00A0
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
            text = lines[i]
            i += 1
        joined = "".join(parts)
        heredocs: list[str] = []
        for word, (name, chomp) in _heredocs(joined, first, escape, old=old):
            end = i
            while end < len(lines) and name != (lines[end].lstrip("\t") if chomp else lines[end]):
                end += 1
            is_old = _OLD_HEREDOC.fullmatch(word) is not None
            if end < len(lines) and (is_old or not old):
                heredocs.append(name)
                i = end + 1
            elif is_old:
                raise BadDockerfile(reason=f"the heredoc {short(name)} has no end", line=first)
            # Else a shift, to all but the newest: ``$((1 << 3))``.
        yield first, i, joined, heredocs


def _heredocs(
    joined: str, line: int, escape: str, *, old: bool
) -> list[tuple[str, tuple[str, bool]]]:
    if "<<" not in joined:
        return []
    item = _instruction(joined, line, line, (), escape)
    if item.keyword == "ONBUILD":
        item = _instruction(item.args, line, line, (), escape)
    if item.keyword not in ("RUN", "COPY", "ADD") or json_words(item.args, old=old) is not None:
        return []
    try:
        return [(word, found) for word in raw_words(joined) if (found := heredoc(word)) is not None]
    except BadWord:
        raise BadDockerfile(reason="a heredoc's name can't be read", line=line) from None


def _instruction(
    joined: str,
    first: int,
    last: int,
    heredocs: Sequence[str],
    escape: str,
    *,
    onbuild: bool = False,
) -> Instruction:
    parts = re.split(r"[\t\v\f\r ]+", joined.strip(), maxsplit=1)
    keyword = parts[0].upper()
    rest = parts[1] if len(parts) > 1 else ""
    if keyword not in KEYWORDS:
        raise BadDockerfile(reason=f"{short(keyword)} is not an instruction", line=first)
    found, rest = _flags(rest, escape)
    flags = [(name, value) for name, _, value in (flag.partition("=") for flag in found)]
    rest = rest.strip()
    if not rest and keyword != "RUN":
        raise BadDockerfile(reason=f"{keyword} needs an argument", line=first)
    if keyword in ("ADD", "COPY", "VOLUME") and json_words(rest) != json_words(rest, old=True):
        raise BadDockerfile(
            reason=f"builders read this {keyword} in different ways; remove what follows the ]",
            line=first,
        )
    return Instruction(first, last, keyword, rest, tuple(flags), tuple(heredocs), onbuild=onbuild)


def _flags(text: str, escape: str) -> tuple[list[str], str]:
    """Split flags off: they end at a word that does not begin with ``--``, or is that alone.

    Quotes and escapes fall away here, also inside a name: ``--fr\\om=x`` is ``--from=x``. As in
    BuildKit each byte is a character: the second one of ``à`` is a blank.
    """
    text = text.encode().decode("latin-1")
    found: list[str] = []
    i = 0
    while True:
        while i < len(text) and text[i].isspace():
            i += 1
        if not text.startswith("--", i):
            return found, text[i:].encode("latin-1").decode("utf-8", "replace")
        word: list[str] = []
        quote = ""
        while i < len(text) and (quote or not text[i].isspace()):
            char = text[i]
            i += 1
            if char == quote:
                quote = ""
            elif not quote and char in "'\"":
                quote = char
            elif char == escape:
                word.append(text[i : i + 1])
                i += 1
            else:
                word.append(char)
        if "".join(word) == "--":
            return found, text[i:].encode("latin-1").decode("utf-8", "replace")
        found.append("".join(word)[2:])
