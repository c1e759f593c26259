"""What a Job said (`copying.report`), as an engine tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .. import errors
from ..copying.errors import CopyFailed
from ..copying.reasons import code_of
from ..model import NotCopiedItem
from .orders import CopyResult, LogLine, Measure, Progress
from .output import LONGEST_LINE

_BY_CODE = {kind.code: kind for kind in errors.SecxopsError.catalogue()}


@dataclass(frozen=True)
class JobResult:
    """The ``result`` line of the Job, its ``error``, or one of a build's ``build`` lines."""

    fields: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What it is."""
        return str(self.fields["type"])


def read_line(line: str) -> Progress | JobResult:
    """Read a line that one of our commands printed; any other is for the log."""
    try:
        found = json.loads(line)
        if found["type"] == "progress":
            total = found.get("total_bytes")
            return Measure(int(found["bytes"]), total, "bytes", files=int(found["files"]))
        return JobResult(found)
    except (ValueError, TypeError, KeyError):
        return LogLine(line[:LONGEST_LINE])


def error_of(said: Mapping[str, Any]) -> errors.SecxopsError:
    """Return the error that a Job reported."""
    kind = _BY_CODE.get(str(said.get("code")), CopyFailed)
    error = kind(**(said.get("params") or {}))
    error.message = str(said.get("message") or error.message)
    return error


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
