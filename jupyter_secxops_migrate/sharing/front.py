"""Where a copy opens: at the document that was in front when it was shared, if it arrived."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..copying.manifest import read_manifest

__all__ = ["Copied", "front_of", "opening"]


@dataclass(frozen=True)
class Copied:
    """A folder that was copied: where it was, where the copy has it, and the manifest of what arrived."""

    source: str
    mount: str
    manifest: Path


def front_of(document: str, code: Copied, data: Sequence[Copied], *, here: bool) -> str | None:
    """Return where the copy has a document, relative to its code.

    None where it did not arrive, or is not below the code, so that JupyterLab does not show it.

    Parameters
    ----------
    document
        Its absolute path at the source.
    here
        Whether that is a path of this machine, whose links can be followed.
    """
    try:
        path = Path(os.path.realpath(document) if here else os.path.normpath(document))
        str(path).encode()
    except (OSError, ValueError):
        return None
    around = [one for one in (code, *data) if path.is_relative_to(one.source)]
    if not around:
        return None
    copied = max(around, key=lambda one: len(one.source))
    inside = path.relative_to(copied.source).as_posix()
    with copied.manifest.open("rb") as file:
        if not any(name == inside.encode() for name, _ in read_manifest(file)):
            return None
    found = posixpath.relpath(posixpath.join(copied.mount, inside), code.mount)
    return None if found.split("/")[0] == ".." else found


def opening(url: str | None, front: str | None) -> str | None:
    """Return the address that opens a document; ``url`` is JupyterLab's own, ending in ``/lab``."""
    return url if url is None or front is None else f"{url}/tree/{quote(front)}"
