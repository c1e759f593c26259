"""Put together the REST contract, ``web/openapi.yaml``, of the service's own part and each room's.

Run by ``catalogues.py``. A part is OpenAPI of its own form: ``paths``, and ``components`` by their kinds; what it refers
to may be in another. The text of each path and component is taken as it is written.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jupyter_secxops_migrate"
TARGET = PACKAGE / "web" / "openapi.yaml"
BASE = PACKAGE / "web" / "openapi.base.yaml"
HEAD = "# Made of openapi.base.yaml and of the openapi.yaml of each room, by scripts/catalogues.py. Change them there.\n"


class Stop(Exception):
    """Two parts say the same thing."""


def source() -> str:
    """Return the contract's text."""
    return merged([*fragments(), BASE.read_text()])


def fragments() -> Iterator[str]:
    """Yield each room's part."""
    sys.path.insert(0, str(ROOT))
    from jupyter_secxops_migrate import rooms

    for room in rooms.KINDS:
        path = PACKAGE / room / "openapi.yaml"
        if path.exists():
            yield path.read_text()


def merged(parts: Sequence[str]) -> str:
    """Return one document of several; what is only said once is the last one's."""
    base = blocks(parts[-1], 0)
    every = [blocks(part, 0) for part in parts]
    kinds: dict[str, list[dict[str, str]]] = {
        kind: [] for part in every for kind in blocks(part.get("components", ""), 2)
    }
    for part in every:
        for kind, text in blocks(part.get("components", ""), 2).items():
            kinds[kind].append(blocks(text, 4))
    base["paths"] = "paths:\n" + _joined([blocks(part.get("paths", ""), 2) for part in every])
    base["components"] = "components:\n" + "".join(
        f"  {kind}:\n{_joined(found, ordered=kind == 'schemas')}" for kind, found in kinds.items()
    )
    version, _, rest = "".join(base.values()).partition("\n")
    return f"{version}\n{HEAD}{rest}"


def blocks(text: str, indent: int) -> dict[str, str]:
    """Return the text of each entry at this depth, by its name."""
    start = re.compile(rf"^ {{{indent}}}(?=[^\s#-])(.+?):(?:\s|$)", re.MULTILINE)
    found = list(start.finditer(text))
    ends = [*(one.start() for one in found[1:]), len(text)]
    return {one[1]: text[one.start() : end] for one, end in zip(found, ends, strict=True)}


def _joined(parts: Sequence[dict[str, str]], ordered: bool = False) -> str:
    names = [name for part in parts for name in part]
    if len(set(names)) < len(names):
        raise Stop(f"two parts have {sorted({name for name in names if names.count(name) > 1})}")
    every = {name: text for part in parts for name, text in part.items()}
    return "".join(every[name] for name in (sorted(every) if ordered else every))
