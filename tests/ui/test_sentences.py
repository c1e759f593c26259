"""The browser makes the sentences; here is looked whether it has one for each code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import jupyter_secxops_migrate
from jupyter_secxops_migrate.copying import reasons
from jupyter_secxops_migrate.errors import SecxopsError
from jupyter_secxops_migrate.migration.plan import REASONS

SOURCE = Path(__file__).parents[2] / "labextension" / "src" / "sentences.ts"
ENTRY = re.compile(r"^  (\w+): (?:trans|\(trans, p\)) => \[\n(.*?)^  \]", re.M | re.S)


def test_every_code_has_its_sentence_with_its_parameters() -> None:
    """A code of the service is known here, and its sentence says all that the service's says."""
    entries = dict(ENTRY.findall(SOURCE.read_text()))
    sentences = {error.code: error.text for error in SecxopsError.catalogue()}
    sentences |= {code: text for code, (text, _) in REASONS.items()}
    # Made of other findings' sentences, which stand beside it.
    del sentences["refused"]
    assert set(sentences) <= set(entries)
    for code, text in sentences.items():
        named = set(re.findall(r"p\(\s*'(\w+)'\s*\)", entries[code]))
        assert set(re.findall(r"\{(\w+)\}", text)) <= named, code


def test_every_row_that_is_not_copied_has_its_words() -> None:
    """Whoever makes such a row gives it a code, and each code is known here."""
    package = Path(jupyter_secxops_migrate.__file__).parent
    codes = set(reasons.REASONS) | {reasons.code_of(f"its attribute {n} is lost") for n in "ab"}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("NotCopiedItem"):
                [code] = [word.value for word in node.keywords if word.arg == "code"]
                if isinstance(code, ast.Constant):
                    codes.add(str(code.value))
    text = SOURCE.read_text()
    tables = text[text.index("const ROWS") : text.index("const SENTENCES")]
    assert codes - set(re.findall(r"^  (\w+): ", tables, re.M)) == set()
