"""The browser makes the sentences; here is looked whether it has one for each code."""

from __future__ import annotations

import re
from pathlib import Path

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
