"""The check of sizes finds what is too long, counts what it says, and lets the list only get shorter."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import sizes

LONG = "jupyter_secxops_migrate/room/long.py"
FUNCTION = "jupyter_secxops_migrate/deep.py::Outer.method.within"


def body(lines: int, indent: str = "    ") -> str:
    return f"{indent}pass\n" * lines


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    package = tmp_path / "jupyter_secxops_migrate"
    (package / "room").mkdir(parents=True)
    (package / "room" / "long.py").write_text("x = 1\n" * 601)
    (package / "room" / "just.py").write_text("x = 1\n" * 600)
    # Outer.method is 60 lines without its docstring, and 62 with it.
    (package / "deep.py").write_text(
        "class Outer:\n"
        '    async def method(self):\n        """Do it.\n\n        At length.\n        """\n'
        + body(59, " " * 8)
    )
    panel = tmp_path / "labextension" / "src"
    panel.mkdir(parents=True)
    (panel / "model.ts").write_text("// made\n" * 700)
    (package / "labextension").mkdir()
    (package / "labextension" / "package.css").write_text("a {}\n" * 700)
    return tmp_path


def test_a_file_of_601_lines_is_found(tree: Path) -> None:
    """And none of 600, none that a program writes, none that is built from the sources."""
    assert sizes.problems(tree, {}) == [f"{LONG}: 601 lines; at most 600"]


def test_a_function_of_61_lines_is_found_wherever_it_is(tree: Path) -> None:
    path = tree / "jupyter_secxops_migrate" / "deep.py"
    path.write_text(
        "class Outer:\n    def method(self):\n        async def within():\n" + body(60, " " * 12)
    )
    assert f"{FUNCTION}: 61 lines; at most 60" in sizes.problems(tree, {})


def test_lines_of_a_docstring_and_decorators_are_not_counted() -> None:
    text = '@decorated\ndef f(\n    a: int,\n) -> None:\n    """Say.\n\n    More.\n    """\n    return\n'
    assert list(sizes.functions(ast.parse(text))) == [("f", 4)]


def test_what_is_in_the_list_may_not_grow(tree: Path) -> None:
    assert sizes.problems(tree, {LONG: 601}) == []
    assert sizes.problems(tree, {LONG: 700}) == []
    (tree / LONG).write_text("x = 1\n" * 602)
    assert sizes.problems(tree, {LONG: 601}) == [f"{LONG}: 602 lines; at most 601"]


def test_what_needs_no_line_in_the_list_any_more_fails(tree: Path) -> None:
    (tree / LONG).write_text("x = 1\n" * 600)
    found = sizes.problems(tree, {LONG: 601, "jupyter_secxops_migrate/gone.py": 700})
    assert [line.split(":")[0] for line in found] == ["jupyter_secxops_migrate/gone.py", LONG]


def test_the_list_is_sorted() -> None:
    """So that two people who shorten it at the same time touch different lines."""
    assert list(sizes.ALLOWED) == sorted(sizes.ALLOWED)
