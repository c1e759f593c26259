"""The panel has a sentence for each code; those of the service are made of its own (`panel_sentences`)."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import jupyter_secxops_migrate
from jupyter_secxops_migrate.copying import reasons
from jupyter_secxops_migrate.errors import SecxopsError, clicked
from jupyter_secxops_migrate.fields import WANTED

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "labextension" / "src" / "core" / "sentences.ts"
sys.path.insert(0, str(ROOT / "scripts"))

import panel_sentences  # noqa: E402 - a script, in no package


def test_an_error_is_written_once() -> None:
    """Its text and its hint are all that the panel's sentences are made of."""

    class Torn(SecxopsError):
        text = 'Of {path}, {count:page|pages} are "torn".'
        hint_text = "Glue {path} (`jupyter secxops glue {path}`), or ask for less (--pages)."

    assert panel_sentences.entry("torn", Torn.text, panel_sentences.panel_hint(Torn)) == (
        "  torn: (trans, p, n) => [\n"
        r'    trans._n("Of %3, %2 page are \"torn\".", "Of %3, %2 pages are \"torn\".", n("count"),'
        ' p("count"), p("path")),\n'
        '    trans.__("Glue %1, or ask for less.", p("path"))\n'
        "  ]"
    )
    assert set(panel_sentences.sentences()) >= {"file_unreadable", "defaults_used"}


def test_a_hint_for_those_who_click_names_no_command_or_option() -> None:
    """What only a terminal takes is in parentheses, or the panel has another hint."""
    for code, (_, hint) in panel_sentences.sentences().items():
        # Admins have a terminal.
        assert not re.search("jupyter secxops (?!doctor|serve)", hint), code
        assert not re.search(r"(?<![\w-])--(?:cpu|memory|gpu|data|keep|mount|name)\b", hint), code


def test_what_else_is_in_parentheses_stays() -> None:
    said = "Let others read them (`chmod -R o+rX`), or ask (KubernetesEngine.storage_classes)."
    assert clicked(said) == said


def test_a_subclass_with_a_hint_of_its_own_has_it_in_the_panel() -> None:
    class Parent(SecxopsError):
        hint_text = "Type this."
        panel_hint = "Click this."

    class Child(Parent):
        hint_text = "Type that."

    class Same(Parent):
        pass

    said = [panel_sentences.panel_hint(error) for error in (Parent, Child, Same)]
    assert said == ["Click this.", "Type that.", "Click this."]


def test_what_counts_two_things_is_said_in_two_sentences() -> None:
    """No catalogue has plural forms for two numbers."""
    with pytest.raises(panel_sentences.Stop):
        panel_sentences.call("{cpu:CPU|CPUs} and {gpu:GPU|GPUs}.")


def test_what_a_field_of_the_form_has_to_be_has_its_words() -> None:
    text = SOURCE.read_text()
    for field in ("cpu", "memory", "gpu", "name", "version"):
        assert f"'{field} has to be {WANTED[field]}': trans =>" in text


def test_every_row_that_is_not_copied_has_its_words() -> None:
    """Whoever makes such a row gives it a code, and each code is known here."""
    package = Path(jupyter_secxops_migrate.__file__).parent
    codes = {reasons.code_of(f"its attribute {n} is lost") for n in "ab"}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("NotCopiedItem"):
                [code] = [word.value for word in node.keywords if word.arg == "code"]
                if isinstance(code, ast.Constant):
                    codes.add(str(code.value))
    text = SOURCE.read_text()
    tables = text[text.index("const ROWS") : text.index("const OWN")]
    known = set(re.findall(r"^  (\w+): ", tables, re.M)) | set(reasons.REASONS)
    assert codes - known == set()
