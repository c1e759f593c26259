"""Takes the progress of a long call into the record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from .. import errors
from ..engines.orders import LogLine, Measure, Progress
from ..model import StepState
from .record import Draft
from .records import Records

T = TypeVar("T")

MEASURES_PER_SECOND = 4


class Recorder:
    """Takes an engine's progress into the record: not too often, and the log in batches.

    The engine is followed while that is written: a slow record makes progress coarser, and no call slower.

    Parameters
    ----------
    records, operation
        Where to write.
    step
        Whose measures these are; None keeps only the log.
    part
        Names one of several branches that share a step.
    total
        The whole step's, where the branches know only their own.
    parts
        What the branches share it in.
    """

    def __init__(
        self,
        records: Records[Any, Any],
        operation: str,
        step: str | None,
        part: str = "",
        total: int | None = None,
        parts: dict[str, Measure] | None = None,
    ) -> None:
        self.records = records
        self.operation = operation
        self.step = step
        self.part = part
        self.parts = {} if parts is None else parts
        self.total = total
        self._lines: list[str] = []
        self._measure: Measure | None = None
        self._written = 0.0
        self._writing: asyncio.Task[None] | None = None

    async def follow(self, items: AsyncIterator[Progress | T], kind: type[T]) -> T:
        """Follow a long call to its end and return its result.

        Raises
        ------
        errors.EngineFailed
            It ended without one.
        errors.SecxopsError
            The record can't be written.
        """
        found: T | None = None
        async for item in items:
            if isinstance(item, LogLine):
                self._lines.append(item.text)
            elif isinstance(item, Measure):
                self._measure = item
            elif isinstance(item, kind):
                found = item
            now = time.monotonic()
            if now - self._written >= 1 / MEASURES_PER_SECOND and self._has_written():
                self._written = now
                self._writing = asyncio.create_task(self._write())
        await self.flush()
        if found is None:
            raise errors.EngineFailed(action="finish", reason="it ended without a result")
        return found

    async def flush(self) -> None:
        """Write what is new."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._has_written()
        await self._write()

    def _has_written(self) -> bool:
        """Whether nothing is being written; raises what the last writing did."""
        if self._writing is None:
            return True
        if not self._writing.done():
            return False
        done, self._writing = self._writing, None
        done.result()
        return True

    async def _write(self) -> None:
        lines, self._lines = self._lines, []
        measure, self._measure = self._measure, None
        if measure is not None and self.step is not None:
            self.parts[self.part] = measure
            change = self._progress(measure)
            await self.records.edit(self.operation, change, lines=lines)
        elif lines:
            await self.records.edit(self.operation, lambda _: None, lines=lines)

    def _progress(self, measure: Measure) -> Any:
        done = sum(m.done for m in self.parts.values())
        files = sum(m.files or 0 for m in self.parts.values()) or None
        total = self.total if self.total is not None else measure.total
        name = self.step
        assert name is not None

        def change(draft: Draft[Any, Any]) -> None:
            step = draft.step(name)
            if step.state is not StepState.RUNNING:
                return
            step.done, step.total, step.unit = done, total, measure.unit
            step.message = measure.message or step.message
            step.files = files
            if total:
                step.percent = round(min(100.0, 100.0 * done / total), 1)

        return change
