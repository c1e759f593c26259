"""Objects of the directory engine: files of JSON, each replaced as a whole."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

FOLDERS = ("volumes", "images", "layers", "environments", "jobs", "trouble")
_LISTED = ("images", "environments", "jobs", "trouble")
_fresh = itertools.count()


def write(path: Path, value: Any) -> None:
    """Write an object; whoever reads it finds the old one or the new one."""
    new = path.with_name(f".{path.name}.{os.getpid()}.{next(_fresh)}")
    new = path.parent.parent / new.name if path.parent.name in _LISTED else new
    new.write_text(json.dumps(value))
    new.replace(path)


def read(path: Path) -> Any:
    """Read an object; None where there is none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
