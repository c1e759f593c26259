"""What BuildKit tells while it builds, as progress, log lines and errors.

Its client protocols carry the same facts: the Docker Engine's API in messages of its own wire format,
``buildctl`` in JSON. Both are read into `BuildKitOutput`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .. import errors
from .base import DISK_FULL, BuildOrder, LogLine, Measure, Progress, without_passwords

_STEP = re.compile(r"\[(?P<stage>.*?) ?(?P<step>\d+)/(?P<steps>\d+)\] (?P<text>.*)", re.DOTALL)
_METADATA = re.compile(r"\[internal\] load metadata for (\S+)")
_PARSE_ERROR = re.compile(r"(?:parse error (?:on )?line|Dockerfile:) ?(\d+)")
_HUB = "docker.io/library/"


@dataclass
class Vertex:
    """One piece of work as BuildKit names it: ``[stage-0 2/3] RUN …``."""

    name: str = ""
    started: bool = False
    completed: bool = False
    cached: bool = False
    error: str = ""


class BuildKitOutput:
    """Reads what BuildKit says: progress out, and what a failure means."""

    def __init__(self, order: BuildOrder) -> None:
        self.order = order
        self._vertices: dict[bytes, Vertex] = {}
        self._pending: dict[bytes, bytes] = {}
        self._told: set[bytes] = set()
        self._full = False

    def vertex(self, key: bytes, vertex: Vertex) -> Iterator[Progress]:
        """Take a piece of work as it is now."""
        self._vertices[key] = vertex
        if not vertex.started or key in self._told:
            return
        self._told.add(key)
        yield LogLine(vertex.name + (" (unchanged)" if vertex.cached else ""))
        step = _STEP.match(vertex.name)
        if step:
            self._full = False
            steps = [v for v in self._vertices.values() if _STEP.match(v.name)]
            yield Measure(
                sum(v.completed for v in steps),
                len(steps),
                "instructions",
                message=f"step {step['step']}/{step['steps']} {step['text']}",
            )

    def output(self, of: bytes, text: bytes) -> Iterator[Progress]:
        """Take what a piece of work printed."""
        *lines, self._pending[of] = (
            (self._pending.get(of, b"") + text).replace(b"\r", b"\n").split(b"\n")
        )
        for line in lines:
            yield from self._line(line)

    def rest(self) -> Iterator[Progress]:
        """Yield the lines that were not ended."""
        for rest in self._pending.values():
            yield from self._line(rest)
        self._pending.clear()

    def _line(self, line: bytes) -> Iterator[Progress]:
        text = line.decode("utf-8", "replace")
        # What a command says of a full disk is lost in its exit status.
        self._full = self._full or DISK_FULL in text.lower()
        if text:
            yield LogLine(text)

    def failure(self, reason: str) -> errors.SecxopsError:
        """Return what BuildKit's error means."""
        reason = without_passwords(reason)
        if self._full or DISK_FULL in reason.lower():
            return errors.DiskFull(step="build")
        failed = next((v for v in self._vertices.values() if v.error), Vertex())
        if base := _METADATA.match(failed.name):
            return errors.BaseImageMissing(image=base[1].removeprefix(_HUB))
        step = _STEP.match(failed.name)
        text = step["text"] if step else ""
        named = _PARSE_ERROR.search(reason)
        line = int(named[1]) if named else self._line_of(text)
        return errors.BuildFailed(
            reason, line=line, instruction=without_passwords(text)[:300], id=self.order.migration
        )

    def _line_of(self, text: str) -> int:
        """Return the line of the instruction that BuildKit shows as ``text``; 1 if none is like it."""
        rows = self.order.text.decode("utf-8", "replace").splitlines()
        begin = "".join(text.split()).lower()
        for line in self.order.lines:
            row = "".join(rows[line - 1].split()).rstrip("\\`").lower() if line <= len(rows) else ""
            if row and begin.startswith(row):
                return line
        return 1
