"""What BuildKit tells while it builds, as progress, log lines and errors.

Its client protocols carry the same facts: the Docker Engine's API in messages of its own wire format,
``buildctl`` in JSON. Both are read into `BuildKitOutput`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .. import errors
from ..building.errors import BaseImageMissing, BaseTriggerFailed, BuildFailed
from ..copying.errors import DiskFull
from .orders import BuildOrder, LogLine, Measure, Progress
from .output import DISK_FULL, LONGEST_LINE, Output, without_passwords

_STEP = re.compile(r"\[(?P<stage>.*?) ?(?P<step>\d+)/(?P<steps>\d+)\] (?P<text>.*)", re.DOTALL)
_METADATA = re.compile(r"\[internal\] load metadata for (\S+)")
_PARSE_ERROR = re.compile(r"(?:parse error (?:on )?line|Dockerfile:) ?(\d+)")
_TRIGGER = re.compile(r"(?i)(?:RUN|COPY|ADD|WORKDIR)\b")
"""What a base image may have for builds that start from it, and that can fail."""
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
        self._triggers: dict[str, str] = {}
        self._vertices: dict[bytes, Vertex] = {}
        self._outputs: dict[bytes, Output] = {}
        self._told: set[bytes] = set()
        self._full = False

    def brings(self, image: str, instructions: Iterable[str]) -> None:
        """Take what a base image has for builds that start from it (ONBUILD), shown like the project's."""
        self._triggers.update({_squeezed(text): image for text in instructions})

    def vertex(self, key: bytes, vertex: Vertex) -> Iterator[Progress]:
        """Take a piece of work as it is now."""
        self._vertices[key] = vertex
        if not vertex.started or key in self._told:
            return
        self._told.add(key)
        yield LogLine(vertex.name[:LONGEST_LINE] + (" (unchanged)" if vertex.cached else ""))
        step = _STEP.match(vertex.name)
        if step:
            self._full = False
            steps = [v for v in self._vertices.values() if _STEP.match(v.name)]
            yield Measure(
                sum(v.completed for v in steps),
                len(steps),
                "instructions",
                message=f"step {step['step']}/{step['steps']} {step['text'][:LONGEST_LINE]}",
            )

    def output(self, of: bytes, text: bytes) -> Iterator[Progress]:
        """Take what a piece of work printed."""
        for line in self._outputs.setdefault(of, Output()).feed(text):
            yield from self._line(line)

    def rest(self) -> Iterator[Progress]:
        """Yield what was printed last."""
        for output in self._outputs.values():
            for line in output.rest():
                yield from self._line(line)
        self._outputs.clear()

    def _line(self, text: str) -> Iterator[Progress]:
        # What a command says of a full disk is lost in its exit status.
        self._full = self._full or DISK_FULL in text.lower()
        if text:
            yield LogLine(text)

    def failure(self, reason: str) -> errors.SecxopsError:
        """Return what BuildKit's error means."""
        reason = without_passwords(reason)
        if self._full or DISK_FULL in reason.lower():
            return DiskFull(step="build")
        failed = next((v for v in self._vertices.values() if v.error), Vertex())
        if base := _METADATA.match(failed.name):
            return BaseImageMissing(image=base[1].removeprefix(_HUB))
        step = _STEP.match(failed.name)
        text = step["text"] if step else ""
        if image := self._triggers.get(_squeezed(text)):
            return BaseTriggerFailed(
                image=image,
                instruction=without_passwords(text)[:300],
                id=self.order.migration,
            )
        instruction = without_passwords(text)[:300]
        named = _PARSE_ERROR.search(reason)
        line = int(named[1]) if named else self._line_of(text)
        if line is None and self.order.bases and _TRIGGER.match(text):
            # Only a base image has steps that the Dockerfile has not, also one that was not asked.
            return BaseTriggerFailed(
                image=", ".join(self.order.bases), instruction=instruction, id=self.order.migration
            )
        return BuildFailed(reason, line=line or 1, instruction=instruction, id=self.order.migration)

    def _line_of(self, text: str) -> int | None:
        """Return the line of the instruction that BuildKit shows as ``text``, None if none is like it.

        BuildKit shows variables' values, and of a heredoc its content: what is before these is compared.
        ONBUILD lines are looked at as well: a later stage may start from the one that has them.
        """
        rows = self.order.text.decode("utf-8", "replace").split("\n")
        begin = _bare(text)
        found: dict[int, int] = {}
        for line, row in enumerate(rows, 1):
            words = _bare(re.split(r"\$|<<", row)[0])
            trigger = words.startswith("onbuild")
            words = words.removeprefix("onbuild")
            if words and begin.startswith(words) and (trigger or line in self.order.lines):
                found[line] = len(words)
        return max(found, key=found.__getitem__, default=None)


def _bare(text: str) -> str:
    """Return text as it can be compared: some releases show it without its quotes and escapes."""
    return re.sub(r"""["'\\`]""", "", _squeezed(text))


def _squeezed(text: str) -> str:
    return "".join(text.split()).lower()
