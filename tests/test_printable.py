"""What strangers wrote commands no screen, and can still be recognised."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.copying.errors import FileUnreadable, VerifyFailed
from jupyter_secxops_migrate.model import ProjectVersion
from jupyter_secxops_migrate.printable import one_line, printable, without_colours
from jupyter_secxops_migrate.sharing.reasons import REASONS, reason

DIRECTION = {"RLE", "LRE", "RLO", "LRO", "PDF", "RLI", "LRI", "FSI", "PDI"}


def commands(text: str) -> list[str]:
    """The characters of a text that a screen would obey."""
    return [
        char
        for char in text
        if (unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") and char != "\t")
        or unicodedata.bidirectional(char) in DIRECTION
    ]


@given(st.text() | st.binary())
def test_it_commands_no_screen(text: str | bytes) -> None:
    shown = printable(text)

    assert not commands(shown)
    assert printable(shown) == shown
    shown.encode()


@given(st.text(st.characters(categories=("L", "M", "N", "P", "S", "Zs"))))
def test_what_people_write_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[2Jmodel.pkl", "\\x1b[2Jmodel.pkl"),
        ("\x1b]52;c;ZXZpbA==\x07a", "\\x1b]52;c;ZXZpbA==\\x07a"),
        ("\x1b]8;;http://evil\x1b\\\\a", "\\x1b]8;;http://evil\\x1b\\\\a"),
        ("\x9b31mred", "\\x9b31mred"),
        ("done\rfailed", "done\\rfailed"),
        ("a\n✓ proven", "a\\n✓ proven"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("\u2066a\u2069", "\\u2066a\\u2069"),
        ("a\u200bb", "a\\u200bb"),
        (b"caf\xe9", "caf\\xe9"),
        ("caf\udce9", "caf\\xe9"),
        ("👩\u200d💻 数据", "👩\u200d💻 数据"),
    ],
)
def test_names_are_still_recognised(name: str | bytes, shown: str) -> None:
    assert printable(name) == shown


def test_colours_of_a_log_go_and_other_escapes_are_seen() -> None:
    assert printable(without_colours("\x1b[1;31mred\x1b[0m \x1b[2J")) == "red \\x1b[2J"


def test_lines_of_what_a_machine_said_become_one() -> None:
    assert (
        one_line("failed to solve:\n\n  process \x1b[31m\r\n")
        == "failed to solve: process \\x1b[31m"
    )


@pytest.mark.parametrize("error", list(errors.SecxopsError.catalogue()), ids=lambda e: e.code)
def test_no_error_says_what_commands_a_screen(error: type[errors.SecxopsError]) -> None:
    class Everything(dict[str, str]):
        def __missing__(self, key: str) -> str:
            self[key] = "\x1b]52;c;a\x07\u202e\n"
            return self[key]

    wanted = Everything()
    for text in (error.text, error.hint_text):
        text.format_map(_Any(wanted))
    made = error("cause\x9b\n", **dict(wanted))

    assert not commands(made.message + made.hint)
    assert made.params == dict(wanted)


class _Any(dict[str, object]):
    """Learns the names of a sentence's parameters."""

    def __init__(self, seen: dict[str, str]) -> None:
        super().__init__()
        self.seen = seen

    def __missing__(self, key: str) -> object:
        _ = self.seen[key]

        class Whatever:
            def __format__(self, words: str) -> str:
                return ""

        return Whatever()


def test_one_is_not_several() -> None:
    assert ProjectVersion(commit="a" * 40, dirty_count=1).label.endswith("· 1 file changed")
    assert ProjectVersion(commit="a" * 40, dirty_count=1200).label.endswith("· 1,200 files changed")
    said = FileUnreadable(count=1, path="/data", first="a").message
    assert said == "1 file under /data can't be read; the first is a."
    said = VerifyFailed(count=1, path="/data", first="a", node="n").message
    assert said.startswith("1 file of the copy differs from")
    said = VerifyFailed(count=5024, path="/data", first="a", node="n").message
    assert said.startswith("5,024 files of the copy differ from")
    moves = reason("moves", fitting=1, total=1, strategy="cpu", forecast="n")
    assert "fits on 1 of 1 node," in moves.message
    cpus = [reason("defaults_used", cpu=cpu, memory="2 GB").message for cpu in ("1", "0.5", "2")]
    assert [said.partition(" and")[0] for said in cpus] == ["1 CPU", "0.5 CPUs", "2 CPUs"]


@pytest.mark.parametrize("error", list(errors.SecxopsError.catalogue()), ids=lambda e: e.code)
def test_no_sentence_has_one_files(error: type[errors.SecxopsError]) -> None:
    """A number before a word that only fits several has the word for one, too."""
    _insist_on_both(error.text + error.hint_text)


@pytest.mark.parametrize("code", REASONS)
def test_no_reason_has_one_files(code: str) -> None:
    _insist_on_both("".join(REASONS[code]))


def _insist_on_both(text: str) -> None:
    numbers = ("count", "files", "total", "free", "asked", "fitting", "bytes")
    for several in (" files", " nodes", " CPUs", " GPUs", " folders", " are "):
        assert not [name for name in numbers if f"{{{name}}}{several}" in text], text
