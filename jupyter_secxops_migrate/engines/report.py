"""What a copying Job said (`copying.report`), as an engine tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ..copying.reasons import code_of
from ..model import NotCopiedItem
from .orders import CopyResult

__all__ = ["copy_result"]


def copy_result(
    volume: str,
    said: Mapping[str, Any],
    route: Literal["copy", "clone"] = "copy",
    why: str = "",
) -> CopyResult:
    """Return a Job's report about the volume that it made; its sentences get their codes."""
    uid, gid = said["owner"]

    def rows(name: str) -> list[NotCopiedItem]:
        # A tools image of an earlier version has no word of what it changed.
        return [NotCopiedItem(**row, code=code_of(row["reason"])) for row in said.get(name, ())]

    return CopyResult(
        volume,
        said["files"],
        said["bytes"],
        said["digest"],
        (uid, gid),
        rows("skipped"),
        route,
        why,
        rows("changed"),
        rows("chosen"),
    )
