"""Make what is made of elsewhere: the REST contract of its parts (`contract`), and of the Lab extension its
types (`panel_model`), sentences (`panel_sentences`) and catalogues of words.

Run it after a change of a word, then translate; and after a change of a part of the contract.

English is extracted from the sources (``.pot``), each language's catalogue (``.po``) takes over what is
new, and JupyterLab's own form of it (``.json``) is written, which is all that is shipped. What is new in
a language stands in its ``.po`` with an empty translation, what changed is marked *fuzzy*.

A new language: make its folder beside ``zh_CN``, run this.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import contract
import panel_model
import panel_sentences
from babel.messages import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "labextension" / "src"
DOMAIN = "jupyter_secxops_migrate"
FOLDER = ROOT / DOMAIN / "locale"
POT = FOLDER / f"{DOMAIN}.pot"
KEYWORDS = {"__": None, "_n": (1, 2), "_p": ((1, "c"), 2), "_np": ((1, "c"), 2, 3)}
CALL = re.compile(r"\btrans\.(?:__|_n|_p|_np)\(")
# Dates would make each run a change, and nobody's name stands in the others.
NOISE = re.compile(
    r'^"(?:POT-Creation-Date|PO-Revision-Date|Generated-By|Report-Msgid-Bugs-To|Last-Translator'
    r"|Language-Team): .*\n",
    re.MULTILINE,
)


class Stop(Exception):
    """Something in the sources can't be translated."""


def extracted(made_now: Mapping[Path, str]) -> Catalog:
    """Return the English catalogue, as the sources have it now, and those that are made of others will."""
    catalog = Catalog(project=DOMAIN, version="1", charset="utf-8", fuzzy=False)
    catalog.header_comment = "# The words of the Lab extension; made by scripts/catalogues.py."
    for path in sorted({*SOURCES.rglob("*.ts*"), *made_now}):
        text = made_now.get(path) or path.read_text()
        found = list(extract("javascript", io.BytesIO(text.encode()), keywords=KEYWORDS))
        if len(found) != len(CALL.findall(text)):
            raise Stop(f"{path}: a call of the translator takes something other than plain text")
        for _, message, _, context in found:
            catalog.add(message, context=context)
    return catalog


def po_text(catalog: Catalog) -> str:
    """Return a catalogue as its file holds it."""
    out = io.BytesIO()
    # Without places: a word that moves is no change of a word.
    write_po(out, catalog, width=100, sort_output=True, no_location=True)
    return NOISE.sub("", out.getvalue().decode())


def languages() -> Iterator[Path]:
    """Yield each language's catalogue, where it is or is to be."""
    for folder in sorted(FOLDER.iterdir()):
        if folder.is_dir():
            yield folder / "LC_MESSAGES" / f"{DOMAIN}.po"


def updated(path: Path, english: Catalog) -> Catalog:
    """Return a language's catalogue with what is new and without what is gone."""
    if path.exists():
        with path.open("rb") as file:
            catalog = read_po(file)
    else:
        catalog = Catalog(charset="utf-8")
    catalog.update(english)
    catalog.obsolete.clear()
    catalog.fuzzy = False
    catalog.project, catalog.version = english.project, english.version
    # As a text: Babel would make zh_Hans_CN of zh_CN, which is not what JupyterLab looks for.
    catalog.locale = path.parents[1].name
    return catalog


def lab_json(catalog: Catalog) -> str:
    """Return a catalogue as JupyterLab reads it."""
    head = {
        "domain": DOMAIN,
        "language": str(catalog.locale_identifier).replace("_", "-"),
        "plural_forms": catalog.plural_forms,
    }
    messages: dict[str, object] = {"": head}
    for message in catalog:
        if message.id and not message.fuzzy:
            key, *_ = message.id if isinstance(message.id, tuple) else (message.id,)
            key = f"{message.context}\4{key}" if message.context else key
            strings = list(_strings(message.string))
            if isinstance(message.id, tuple) and len(strings) == 1:
                # JupyterLab takes an entry with one form for one that knows no plural, and drops it.
                strings *= 2
            if all(strings):
                messages[key] = strings
    return json.dumps(messages, ensure_ascii=False, indent=0, sort_keys=True) + "\n"


def made() -> dict[Path, str]:
    """Return every file that this script writes, with its text."""
    texts = {part.TARGET: part.source() for part in (panel_model, panel_sentences)}
    english = extracted(texts)
    texts[contract.TARGET] = contract.source()
    texts[POT] = po_text(english)
    for path in languages():
        catalog = updated(path, english)
        texts[path] = po_text(catalog)
        texts[path.with_suffix(".json")] = lab_json(catalog)
    return texts


def main() -> None:
    """Write them, and say what is to be translated."""
    for path, text in made().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in languages():
        with path.open("rb") as file:
            catalog = read_po(file)
        open_ = [m for m in catalog if m.id and (m.fuzzy or not all(_strings(m.string)))]
        print(f"{path.relative_to(ROOT)}: {len(catalog)} messages, {len(open_)} to translate")
        for message in open_:
            print(f"  {message.id!r}")


def _strings(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


if __name__ == "__main__":
    try:
        main()
    except (Stop, contract.Stop, panel_sentences.Stop) as stop:
        sys.exit(str(stop))
