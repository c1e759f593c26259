"""Operations of all kinds, as the services of their kinds use them.

Opens the record, goes on with what was under way, and does for every kind what an owner asks of an
operation: record one, cancel, retry, follow its events, read its log. What is the kind's alone (what it
plans, what becomes of what it made) its own service does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .. import errors
from ..model import Event, MigrationState
from .errors import StoreUnwritable
from .events import Tail
from .kind import Kind, fresh_steps
from .record import Document, Draft, Operation, Schema
from .records import Records
from .runner import PATIENCE_SECONDS, Runner
from .store import UNDER_WAY, Store
from .workflow import Flow

R = TypeVar("R", bound=Operation)
log = logging.getLogger(__name__)

_BEGIN_AGAIN_SECONDS = 2.0


class Operations:
    """The record, what runs what is in it, and what makes that durable.

    Parameters
    ----------
    store
        The record, with the schemas of all ``kinds``.
    records
        The same for event loops.
    workflow_url
        SQLAlchemy URL of the database in which DBOS keeps its own.
    workers
        How many operations are under way at once.
    patience
        How long an operation waits for somebody who is away, in seconds.
    """

    def __init__(
        self,
        store: Store,
        workflow_url: str,
        workers: int = 2,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.store = store
        self.records: Records[Operation, Document] = Records(store)
        self.runner = Runner(self.records, workers, patience)
        self.flow = Flow(self.runner, workflow_url)
        self.tail = Tail(self.records)
        self._starting = 0
        self._closing = False
        self._later: set[asyncio.Task[None]] = set()

    @classmethod
    def open_in(
        cls,
        folder: Path,
        store_url: str,
        schemas: Sequence[Schema[Any, Any]],
        workers: int = 2,
        patience: float = PATIENCE_SECONDS,
    ) -> Operations:
        """Return operations of these kinds: in a database, or in files in a folder where there is no URL."""
        store = Store(store_url or f"sqlite:///{folder / 'store.sqlite'}", schemas)
        workflows = store_url or f"sqlite:///{folder / 'dbos.sqlite'}"
        return cls(store, workflows, workers, patience)

    def register(self, kind: Kind) -> None:
        """Take on a kind of operation, before `start`."""
        self.runner.register(kind)

    async def start(self, opened: Callable[[], Awaitable[None]]) -> None:
        """Open the record, let kinds look at it, and go on with what was under way."""
        await self.records.change(self.store.open)
        await opened()
        await self.flow.launch()
        for operation in await self.records.ids(*UNDER_WAY):
            self.runner.under_way.add(operation)
            record = await self.records.get(operation)
            # Recorded, and killed before the workflow was: started now. Others are left alone.
            kind = await self.runner.kind_of(operation)
            await self.flow.start(kind.schema.kind, operation, record.attempt)

    async def close(self) -> None:
        """Let go; what is under way is taken up by the next start."""
        self._closing = True
        later = list(self._later)
        for task in later:
            task.cancel()
        await asyncio.gather(*later, return_exceptions=True)
        await self.flow.close()

    async def close_record(self) -> None:
        """Let go of the record, once nobody asks it any more."""
        await asyncio.to_thread(self.records.close)
        self.store.close()

    def busy(self) -> bool:
        """Whether something is queued or under way."""
        return bool(self._starting or self.runner.under_way)

    # ------------------------------------------------------------------ what an owner asks

    async def add(
        self, records: Records[R, Any], record: R, key: str | None, body: str, *, named: bool
    ) -> R:
        """Record an operation and queue it; the same key and body give the one that is there.

        Raises
        ------
        IdempotencyConflict
            The key came with another body before.
        """
        recorded = await records.add(record, key, body, named=named)
        if recorded.id == record.id:
            await self._begin(recorded)
        return recorded

    async def _begin(self, record: Operation) -> None:
        """Start an operation's current attempt; it is on record, so what hinders that is waited out."""
        self._starting += 1
        self.runner.under_way.add(record.id)
        try:
            await self._start(record)
        except Exception:
            if self._closing:
                return  # the next start does
            log.exception("%s: could not start yet", record.id)
            task = asyncio.create_task(self._begin_later(record))
            self._later.add(task)
            task.add_done_callback(self._later.discard)
        finally:
            self._starting -= 1

    async def _start(self, record: Operation) -> None:
        kind = await self.runner.kind_of(record.id)
        await self.flow.start(kind.schema.kind, record.id, record.attempt)

    async def _begin_later(self, record: Operation) -> None:
        while True:
            await asyncio.sleep(_BEGIN_AGAIN_SECONDS)
            with contextlib.suppress(Exception):
                await self._start(record)
                return

    async def cancel(self, records: Records[R, Any], operation: str, owner: str) -> R:
        """Ask an operation to end.

        Raises
        ------
        errors.WrongState
            It has succeeded or failed.
        """

        def change(draft: Draft[R, Any]) -> R:
            state = draft.record.state
            if state in (MigrationState.SUCCEEDED, MigrationState.FAILED):
                raise errors.WrongState(state=state.value, wanted="queued or running")
            if not state.final:
                draft.record.state = MigrationState.CANCELLING
            return draft.record

        try:
            asked = await records.edit(operation, change, owner=owner, urgent=True)
        except StoreUnwritable:
            self.runner.abort(operation)  # it ends though it can't be noted why
            raise
        self.runner.abort(operation)
        return asked

    async def retry(self, records: Records[R, Any], operation: str, owner: str) -> R:
        """Run a failed or cancelled operation again as its next attempt.

        Raises
        ------
        errors.WrongState
            It is neither.
        """
        kind = await self.runner.kind_of(operation)

        def change(draft: Draft[R, Any]) -> R:
            record = draft.record
            if record.state not in (MigrationState.FAILED, MigrationState.CANCELLED):
                raise errors.WrongState(state=record.state.value, wanted="failed or cancelled")
            record.state = MigrationState.QUEUED
            record.attempt += 1
            record.started = record.finished = record.error = None
            record.steps = fresh_steps(kind)
            if not draft.document.left:  # what could not be removed when it ended goes first
                draft.document = kind.schema.document()
            return record

        queued = await records.edit(operation, change, owner=owner, urgent=True)
        await self._begin(queued)
        return queued

    async def end(self, records: Records[R, Any], operation: str, owner: str) -> None:
        """Cancel an operation that is under way, and wait until that is done."""
        if (await records.get(operation, owner)).state.final:
            return
        with contextlib.suppress(errors.WrongState):  # it ended just now
            await self.cancel(records, operation, owner)
        async for _ in self.tail.follow(owner, operation):
            pass  # ends when the cancelling has

    async def remove(self, operation: str) -> None:
        """Forget an operation that has ended and been removed."""
        await self.records.remove(operation)
        self.runner.forget(operation)

    async def events(
        self, records: Records[R, Any], owner: str, operation: str | None, after: int | None
    ) -> AsyncGenerator[Event]:
        """Yield an owner's events as they happen, after replaying those past ``after``; see `Tail.follow`.

        Raises
        ------
        errors.NotFound
            There is no such operation of that owner.
        """
        if operation is not None:
            await records.get(operation, owner)
        following = self.tail.follow(owner, operation, after)
        try:
            async for event in following:
                yield event
        finally:
            await following.aclose()

    async def log(self, records: Records[R, Any], operation: str, owner: str) -> str:
        """Return an operation's log so far."""
        return await records.log_text(operation, owner)
