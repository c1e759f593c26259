"""Quotes, escapes and variables in the words of a Dockerfile, as BuildKit's shell lexer has them.

Source: ``frontend/dockerfile/shell/lex.go`` of https://github.com/moby/buildkit. What only the
builder knows (the variables of a base image, the platform that it builds for) stands in a result as
a mark, so that nobody takes a guess for the truth.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

UNKNOWN = "\0"
"""Stands for text that only the builder knows. No Dockerfile holds this character."""

PLATFORM = "\ud800"
"""Stands for the value of a predefined platform argument: some letters, digits, ``/`` and ``.``"""

MAX_VALUE = 64 * 1024
"""Characters of a value with its variables substituted: each may double the one before it."""

MAX_DEPTH = 100
"""Substitutions in each other."""

_NAME = re.compile(r"\d+|[@*#?\-$!]|[^\W\d]\w*")
_BLANKS = re.compile(r"[\t\v\f\r ]+")


class BadWord(ValueError):
    """The builder refuses this word, too."""


class _NotKnown(Exception):
    """What comes out is known to the builder only."""


class Scope:
    """The variables at one place of a Dockerfile.

    Parameters
    ----------
    values
        Those that are set.
    others
        What all others are: None for not set, or `UNKNOWN`.
    """

    def __init__(self, values: Mapping[str, str], others: str | None) -> None:
        self.values = dict(values)
        self.others = others
        self.fixed: set[str] = set()
        """Set by ENV, not by ARG."""

    def get(self, name: str) -> str | None:
        """Return a variable's value, with marks in it, or None if it is not set."""
        return self.values.get(name, self.others)

    def forget(self) -> None:
        """Take nothing for known any more."""
        self.values, self.others = {}, UNKNOWN

    def below(self) -> Scope:
        """Return what a stage starts with that rests on this one.

        BuildKit passes ARG on to it and the classic builder does not.
        """
        found = Scope(
            {k: v if k in self.fixed else UNKNOWN for k, v in self.values.items()}, self.others
        )
        found.fixed = set(self.fixed)
        return found


def is_known(text: str) -> bool:
    """Return whether nothing in an evaluated word is left to the builder."""
    return UNKNOWN not in text and PLATFORM not in text


def expand(word: str, scope: Scope, escape: str = "\\") -> str:
    """Return a word without its quotes and escapes, its variables substituted.

    Raises
    ------
    BadWord
        The builder refuses it.
    """
    try:
        return _Lexer(word, scope, escape).all()[0]
    except _NotKnown:
        return UNKNOWN


def heredoc(word: str) -> tuple[str, bool] | None:
    """Return the name of a heredoc, and whether tabs before it are dropped; None for other words.

    Raises
    ------
    BadWord
        The builder refuses it.
    """
    match = re.fullmatch(r"\d*<<(-?)\s*([^<]*)", word)
    if not match or not match[2]:
        return None
    words = _Lexer(match[2], None, "\\").all()[1]
    return (words[0], bool(match[1])) if len(words) == 1 else None


def raw_words(line: str) -> Sequence[str]:
    """Split a line as BuildKit does to find heredocs: quotes and escapes stay; none if it can't."""
    try:
        return _Lexer(line, None, "\\", raw=True).all()[1]
    except (BadWord, _NotKnown):
        return ()


def split(text: str) -> list[str]:
    """Split at blanks, whatever is quoted: so does the builder with COPY, ADD and FROM."""
    return [word for word in _BLANKS.split(text) if word]


def split_quoted(text: str, escape: str) -> list[str]:
    """Split at blanks outside of quotes, which stay: so does the builder with ARG and ENV."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    i = 0
    while i < len(text):
        char = text[i]
        i += 1
        if char == escape and quote != "'":
            if i == len(text):
                break  # an escape character at the end of a line is nothing
            word.append(char + text[i])
            i += 1
        elif not quote and char.isspace():
            if word:
                words.append("".join(word))
            word = []
        else:
            if not quote and char in "'\"":
                quote = char
            elif char == quote:
                quote = ""
            word.append(char)
    return [*words, "".join(word)] if word else words


class _Lexer:
    """One word, or a line of them.

    Parameters
    ----------
    text
        What is read.
    scope
        The variables; None to leave them as written.
    escape
        The escape character.
    raw
        Keep quotes and escapes.
    """

    def __init__(self, text: str, scope: Scope | None, escape: str, *, raw: bool = False) -> None:
        self._text = text
        self._scope = scope
        self._escape = escape
        self._raw = raw
        self._at = 0
        self._depth = 0
        self._word: list[str] = []

    def all(self) -> tuple[str, Sequence[str]]:
        """Return everything as one word, and as words."""
        return self._until("", self._raw)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _until(self, stop: str, raw_escapes: bool) -> tuple[str, Sequence[str]]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _NotKnown
        out: list[str] = []
        words: list[str] = []
        # One buffer for all depths, as BuildKit has it: a substitution ends the word before it.
        self._word.clear()
        while char := self._peek():
            if char == stop:
                self._at += 1
                break
            if char in "$<'\"":
                out.append(self._special(char, raw_escapes))
                if char == "$":
                    for part in re.split(r"(\s+)", out[-1]):
                        self._add(part, words, blank=part.isspace())
                else:
                    self._word.append(out[-1])
            elif char == self._escape:
                self._at += 1
                escaped = self._next()
                if not escaped and not raw_escapes:
                    break
                out.append(char + escaped if raw_escapes else escaped)
                self._word.append(out[-1])
            else:
                out.append(self._next())
                self._add(char, words, blank=char.isspace())
        else:
            if stop:
                raise BadWord(f"{stop} is missing")
        self._add("", words, blank=True)
        self._depth -= 1
        return self._sized(out), words

    def _add(self, text: str, words: list[str], *, blank: bool) -> None:
        if not blank:
            self._word.append(text)
        elif word := "".join(self._word):
            words.append(word)
            self._word.clear()

    @staticmethod
    def _sized(parts: Sequence[str]) -> str:
        if sum(map(len, parts)) > MAX_VALUE:
            raise _NotKnown
        return "".join(parts)

    def _special(self, char: str, raw_escapes: bool) -> str:
        if char == "$":
            return self._dollar()
        self._at += 1
        if char == "'":
            return self._single()
        if char == '"':
            return self._double(raw_escapes)
        if self._peek() != "<":
            return "<"
        start = self._at - 1
        self._at += 1
        while self._peek() and self._peek() in "\t\r ":
            self._at += 1
        return self._text[start : self._at]

    def _single(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise BadWord("' is missing")
        inside = self._text[self._at : end]
        self._at = end + 1
        return f"'{inside}'" if self._raw else inside

    def _double(self, raw_escapes: bool) -> str:
        out: list[str] = []
        while (char := self._peek()) != '"':
            if not char:
                raise BadWord('" is missing')
            if char == "$":
                out.append(self._dollar())
                continue
            self._at += 1
            if char == self._escape:
                following = self._peek()
                if not following:
                    continue
                if following in ('"', "$", self._escape):
                    self._at += 1
                    out.append(char + following if raw_escapes else following)
                    continue
                if raw_escapes:
                    out.append(char)
            out.append(char)
        self._at += 1
        inside = self._sized(out)
        return f'"{inside}"' if self._raw else inside

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        name = match[0] if match else ""
        self._at += len(name)
        return name

    def _dollar(self) -> str:
        start = self._at
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            return "$" if not name else self._value(name, start)
        self._at += 1
        if not self._peek() or self._peek() in "{}:":
            raise BadWord("bad substitution")
        name = self._name()
        operator = self._next()
        if operator == "}":
            return self._value(name, start)
        if operator == ":":
            operator += self._next()
        everywhere = operator == "/" and self._peek() == "/"
        self._at += everywhere
        pattern = self._until("/", True)[0] if operator == "/" else ""
        if operator not in ("-", "+", "?", ":-", ":+", ":?", "#", "%", "/"):
            raise BadWord("unsupported modifier")
        word = self._until("}", operator in "#%/")[0]
        if self._scope is None:
            return self._text[start : self._at]
        value = self._scope.get(name)
        if operator == "/":
            return self._replaced(value or "", pattern, word, everywhere=everywhere)
        if operator in "#%":
            return self._trimmed(value or "", operator, word)
        return self._alternative(name, value, operator, word)

    def _value(self, name: str, start: int) -> str:
        """A variable's value; left as written where there are no variables."""
        if self._scope is None:
            return self._text[start : self._at]
        return self._scope.get(name) or ""

    @staticmethod
    def _alternative(name: str, value: str | None, operator: str, word: str) -> str:
        if value and not value.strip(UNKNOWN + PLATFORM):
            return UNKNOWN if operator[-1] != "?" else value
        missing = value is None or (value == "" and operator[0] == ":")
        if operator[-1] == "?":
            if missing:
                raise BadWord(f"{name} is not set")
            return value or ""
        if operator[-1] == "-":
            return word if missing else value or ""
        return "" if missing else word

    @staticmethod
    def _trimmed(value: str, operator: str, pattern: str) -> str:
        greedy = pattern.startswith(operator)
        pattern = pattern[greedy:]
        if operator == "#":
            match = _shell_pattern(pattern, value, greedy).match(value)
            return value[match.end() :] if match else value
        # The shortest match at the end is the first one from behind.
        back = value[::-1]
        match = _shell_pattern(_reversed(pattern), back, greedy).match(back)
        return back[match.end() :][::-1] if match else value

    def _replaced(self, value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
        regex = _shell_pattern(pattern, value, True)
        if everywhere and replacement.count("$"):
            raise _NotKnown  # a reference to a group, to Go
        return self._sized([regex.sub(lambda _: replacement, value, count=0 if everywhere else 1)])


def _reversed(pattern: str) -> str:
    """A pattern from behind, each escape still before what it escapes."""
    return "".join(reversed(re.findall(r"\\.|.", pattern, re.DOTALL)))


def _shell_pattern(pattern: str, value: str, greedy: bool) -> re.Pattern[str]:
    """Translate a pattern of ``${NAME#pattern}``."""
    stars = pattern.count("*")
    if not is_known(pattern + value) or stars > 2 or (stars and len(value) > 500):
        raise _NotKnown  # it could take ages, too
    out: list[str] = []
    i = 0
    while i < len(pattern):
        char = pattern[i]
        i += 1
        if char == "*":
            out.append(".*" if greedy else ".*?")
        elif char == "?":
            out.append(".")
        elif char == "\\":
            following = pattern[i : i + 1]
            if following in ("}", "/") and following:
                continue
            if following not in ("*", "?", "\\") or not following:
                raise BadWord("invalid escape")
            i += 1
            out.append(re.escape(following))
        else:
            out.append(re.escape(char))
    return re.compile("".join(out))
