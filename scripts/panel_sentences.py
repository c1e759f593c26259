"""Make the panel's sentences of the service's own, so that each is written once, in English.

Run by ``catalogues.py``. Codes, parameters and words are those of `errors`, of the plan's reasons and of what is not
copied; what only the panel says stays in ``core/sentences.ts``. A sentence becomes a call of the translator with
``%1``, ``%2`` for its parameters; one with ``{count:file|files}`` becomes two, for its translators' plural forms.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from pathlib import Path

from jupyter_secxops_migrate.copying.reasons import REASONS as NOT_COPIED
from jupyter_secxops_migrate.errors import SecxopsError, clicked
from jupyter_secxops_migrate.sharing.reasons import REASONS

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "labextension" / "src" / "core" / "catalogue.ts"
JOINED = {"refused"}
"""Made of other findings' sentences, which the panel shows one by one."""
HEAD = """\
/**
 * The service's sentences by their codes, and its reasons why something is not copied: made of
 * the rooms' `errors.py`, `plan.py` and `copying/reasons.py` by scripts/catalogues.py. Change them there.
 */

import { TranslationBundle } from '@jupyterlab/translation';

/** `p` reads a parameter as text, `n` one by which words are chosen. */
export type Sentences = (
  trans: TranslationBundle,
  p: (name: string) => string,
  n: (name: string) => number
) => [message: string, hint: string];

export const SENTENCES: Record<string, Sentences> = {
"""
MIDDLE = """\
};

export const NOT_COPIED: Record<string, (trans: TranslationBundle) => string> = {
"""


class Stop(Exception):
    """A sentence can't be made for the panel."""


def source() -> str:
    """Return the text of ``catalogue.ts``."""
    entries = [entry(code, *words) for code, words in sorted(sentences().items())]
    rows = [f"  {code}: trans => {call(text)}" for code, text in sorted(NOT_COPIED.items())]
    return f"{HEAD}{_joined(entries)}{MIDDLE}{_joined(rows)}}};\n"


def sentences() -> dict[str, tuple[str, str]]:
    """Return what happened and what to do now, as the panel says it, by code."""
    found = {
        error.code: (error.text, panel_hint(error))
        for error in SecxopsError.catalogue()
        if error.code not in JOINED
    }
    for code, (text, hint, *other) in REASONS.items():
        found[code] = (text, other[0] if other else clicked(hint))
    return found


def panel_hint(error: type[SecxopsError]) -> str:
    """Return an error's hint for the panel: its own one, unless a subclass has another hint altogether."""
    for cls in error.__mro__:
        if (own := vars(cls).get("panel_hint")) is not None:
            return str(own)
        if "hint_text" in vars(cls):
            break
    return clicked(error.hint_text)


def _joined(entries: list[str]) -> str:
    return ",\n".join(entries) + "\n"


def entry(code: str, text: str, hint: str) -> str:
    """Return what the table has for a code: one function that makes both sentences."""
    calls = [call(text), call(hint) if hint else "''"]
    readers = [name for name in "pn" if any(f" {name}(" in call for call in calls)]
    # Whoever reads `n` names `p` before it.
    given = "(trans, p, n)" if "n" in readers else "(trans, p)" if readers else "trans"
    return f"  {code}: {given} => [\n    {calls[0]},\n    {calls[1]}\n  ]"


def call(sentence: str) -> str:
    """Return a sentence as a call of the translator.

    Raises
    ------
    Stop
        It counts two things, for which no catalogue has plural forms.
    """
    parts = list(string.Formatter().parse(sentence))
    names = list(dict.fromkeys(name for _, name, _, _ in parts if name))
    [counted, *more] = [(name, words) for _, name, words, _ in parts if words] or [None]
    if more:
        raise Stop(f"Two counted things in one sentence: {sentence}")
    if counted is None:
        [text] = _texts(parts, {name: n for n, name in enumerate(names, 1)}, ("",))
        return f"trans.__({', '.join([_quoted(text), *_read(names)])})"
    # JupyterLab gives the number itself as %1; people read the one with its commas.
    names.sort(key=lambda name: name != counted[0])
    texts = _texts(parts, {name: n for n, name in enumerate(names, 2)}, counted[1].split("|"))
    words = [*map(_quoted, texts), f"n({_quoted(counted[0])})", *_read(names)]
    return f"trans._n({', '.join(words)})"


def _texts(
    parts: list[tuple[str, str | None, str | None, str | None]],
    numbers: dict[str, int],
    forms: tuple[str, ...] | list[str],
) -> Iterator[str]:
    """Yield the sentence with each form of the word that is counted."""
    for form in forms:
        yield "".join(
            literal + (f"%{numbers[name]}" if name else "") + (f" {form}" if words else "")
            for literal, name, words, _ in parts
        )


def _read(names: list[str]) -> list[str]:
    return [f"p({_quoted(name)})" for name in names]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
