"""Find files and functions that have grown past what one person can hold: 600 and 60 lines.

A file is counted whole; a function from its ``def`` to its end, without its docstring. What was too
long when this check came stands in `ALLOWED` with the size it had then: it may shrink, not grow, and
its line goes when it is short enough. This counts lines; whether a split has a meaning, it can't say.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("jupyter_secxops_migrate", "labextension/src", "scripts")
KINDS = {".css", ".html", ".py", ".ts", ".tsx", ".yaml"}
# Written by a program, or one document by its nature.
EXEMPT = {"catalogue.ts", "model.ts", "openapi.yaml"}
# What the panel's sources are made into lies in the package.
BUILT = "jupyter_secxops_migrate/labextension/"
FILE_LINES = 600
FUNCTION_LINES = 60

# Sorted, an entry a line: several people shorten it at the same time. Keep it empty.
ALLOWED: dict[str, int] = {}


def main() -> int:
    """Print what is too long, and say whether there was any."""
    found = problems(ROOT, ALLOWED)
    print("\n".join(found) or "No file and no function is too long.")
    return 1 if found else 0


def problems(root: Path, allowed: Mapping[str, int]) -> list[str]:
    """Return what is too long under `root`, and which entries of `allowed` nothing needs any more."""
    long = {name: (lines, most) for name, lines, most in sizes(root) if lines > most}
    found = [
        f"{name}: {lines} lines; at most {allowed.get(name, most)}"
        for name, (lines, most) in sorted(long.items())
        if lines > allowed.get(name, most)
    ]
    done = [
        f"{name}: no longer too long; take its line out of scripts/sizes.py"
        for name in sorted(allowed)
        if name not in long
    ]
    return found + done


def sizes(root: Path) -> Iterator[tuple[str, int, int]]:
    """Yield the name, the lines and the most lines of each file and each Python function."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix not in KINDS or path.name in EXEMPT or name.startswith(BUILT):
                continue
            text = path.read_text("utf-8")
            yield name, len(text.splitlines()), FILE_LINES
            if path.suffix == ".py":
                for function, lines in functions(ast.parse(text)):
                    yield f"{name}::{function}", lines, FUNCTION_LINES


def functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, int]]:
    """Yield the dotted name and the lines of each function in `tree`, with those inside others."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{inside}{node.name}", _lines(node)
        is_scope = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        yield from functions(node, f"{inside}{node.name}." if is_scope else inside)


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = _length(function)
    return lines - _length(function.body[0]) if ast.get_docstring(function) is not None else lines


def _length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


if __name__ == "__main__":
    sys.exit(main())
