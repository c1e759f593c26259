"""Runs the steps of operations: their turn, their retries, their end, whoever's they are.

What it does for every kind: a queue, tries by the error's own type, patience with who is away, an end within
a second for whoever cancels, an end of what runs beside a step that failed, the first error kept, and the
removal of what a failed attempt made, later if it can't be done now. `workflow` calls it; it knows no DBOS.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .. import errors
from ..model import Finding, MigrationState, StepState, utcnow
from .database import meaning
from .errors import StoreFull, StoreReadOnly, StoreUnwritable
from .kind import Kind, WorkStep, name_of
from .record import Draft, finding
from .recorder import Recorder
from .records import Records

T = TypeVar("T")
log = logging.getLogger(__name__)

TRIES = 3
PATIENCE_SECONDS = 60.0
_LONGEST_PAUSE = 5
# A call that lasted as long before it failed has seen its engine: the outage is a new one.
_LONG_SECONDS = 120
_CLEAR_AGAIN_SECONDS = (5, 10, 20, 40, 60)
_WRITE_AGAIN_SECONDS = 1.0
_SUSPEND_SECONDS = 1.5


class Abandoned(Exception):
    """This branch ends because another one failed or the owner cancelled."""


class StillAway(Exception):
    """A step found out in the end that somebody is away: however long it took, the outage is no new one."""

    def __init__(self, error: errors.TemporaryError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass
class Attempt:
    """What this process knows of an operation that it works on.

    ``unwritten`` is why it ends, where the record could not take that; ``clearing`` removes what could not
    be removed when it ended; ``memory`` is the kind's own: no kill may matter to it.
    """

    branches: set[asyncio.Task[Any]] = field(default_factory=set)
    memory: Any = None
    unwritten: Finding | None = None
    clearing: asyncio.Task[None] | None = None


class Runner:
    """The work of operations of all kinds.

    Parameters
    ----------
    records
        Of all kinds.
    workers
        How many operations are under way at once; others are queued in order.
    patience
        How long to wait for somebody who is away, in seconds.
    """

    def __init__(
        self,
        records: Records[Any, Any],
        workers: int = 2,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.records = records
        self.kinds: dict[str, Kind] = {}
        self.workers = workers
        self.patience = patience
        self.under_way: set[str] = set()
        """The operations that have not ended, as this process knows."""
        self._attempts: dict[str, Attempt] = {}
        self._kinds: dict[str, Kind] = {}
        self._closing = False

    def register(self, kind: Kind) -> None:
        """Take on a kind of operation."""
        self.kinds[kind.schema.kind] = kind

    async def kind_of(self, operation: str) -> Kind:
        """Return the kind of an operation."""
        if operation not in self._kinds:
            store = self.records.store
            self._kinds[operation] = self.kinds[await self.records.look(store.kind, operation)]
        return self._kinds[operation]

    def attempt(self, operation: str) -> Attempt:
        """Return what is known of an operation, begun with the first who asks."""
        return self._attempts.setdefault(operation, Attempt())

    # ------------------------------------------------------------------ running and ending

    async def run(self, step: WorkStep, operation: str, *more: str) -> Any:
        """Run a step so that cancelling, and the failure of another branch, end it at once.

        Temporary errors are tried again. The first error of an operation is kept in its record.

        Raises
        ------
        errors.SecxopsError
            What went wrong.
        Abandoned
            Somebody else's trouble ended it.
        """
        attempt = self.attempt(operation)
        name = name_of(step)
        # Among the branches before anything is looked at: whoever ends them now ends this one, too.
        task = asyncio.ensure_future(self._unless_ended(step, operation, *more))
        attempt.branches.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if not task.cancelled():
                task.cancel()
                raise
            raise Abandoned from None
        except errors.SecxopsError as error:
            if not self._closing:
                await self._fail(operation, error, name)
            raise
        except Abandoned:
            raise
        except Exception as error:
            if self._closing:
                raise  # an engine that let go in the middle; the next start does it again
            known = meaning(error, self.records.store.place)
            if known is None:
                log.exception("step %s of %s", name, operation)
            await self._fail(operation, known or errors.SecxopsError(), name)
            raise
        finally:
            attempt.branches.discard(task)

    async def _unless_ended(self, step: WorkStep, operation: str, *more: str) -> Any:
        record = await self.records.get(operation)
        # A branch that starts after another one failed has nothing to do any more.
        if record.state is MigrationState.CANCELLING or record.error is not None or self._closing:
            raise Abandoned
        return await self.tried(step, operation, *more)

    async def tried(self, step: WorkStep, operation: str, *more: str) -> Any:
        """Try a step as its errors say: a few times, or as long as the patience lasts."""
        clock = asyncio.get_running_loop().time
        tries, pause = 0, 0
        away_since: float | None = None
        while True:
            began = clock()
            try:
                return await step(operation, *more)
            except (errors.TemporaryError, StillAway) as raised:
                error = raised.error if isinstance(raised, StillAway) else raised
                now = clock()
                if now - began > _LONG_SECONDS and error is raised:
                    away_since = None
                if error.retry is errors.Retry.NEVER:
                    raise error from None
                if error.retry is errors.Retry.WHILE_AWAY:
                    first = away_since is None
                    away_since = now if away_since is None else away_since
                    if now - away_since >= self.patience:
                        raise error from None
                    pause = 1 if first else min(2 * pause, _LONGEST_PAUSE)
                else:
                    first = True
                    tries += 1
                    if tries >= TRIES:
                        raise error from None
                    pause = tries
                if first:
                    log.warning("%s: %s; trying again", operation, error.code)
                    record = await self.records.get(operation)
                    await self.records.log(record, [f"{error.message} Trying again."])
                await asyncio.sleep(pause)

    def abort(self, operation: str) -> None:
        """End what is running for an operation."""
        attempt = self._attempts.get(operation)
        for task in list(attempt.branches) if attempt else ():
            task.cancel()

    async def suspend(self) -> None:
        """End what is running without a word in the record; the next start goes on."""
        self._closing = True
        running: list[asyncio.Task[Any]] = []
        for attempt in self._attempts.values():
            running += attempt.branches
            if attempt.clearing is not None:
                running.append(attempt.clearing)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_SUSPEND_SECONDS)

    async def _fail(self, operation: str, error: errors.SecxopsError, in_: str) -> None:
        """Keep why it ends, and end what runs beside."""
        try:
            await self._keep_error(operation, error, in_)
        except StoreUnwritable:
            self.unwritten(operation, error)
        finally:
            self.abort(operation)

    def unwritten(self, operation: str, error: errors.SecxopsError) -> None:
        """Keep why an operation ends until its record takes that; the first reason counts."""
        attempt = self.attempt(operation)
        attempt.unwritten = attempt.unwritten or finding(error)

    async def _keep_error(self, operation: str, error: errors.SecxopsError, in_: str) -> None:
        """Keep the first error, and show the step that it happened in as failed.

        What ran beside has not failed: it was ended before its end.
        """
        beside: Collection[str] = ()
        for declared in (await self.kind_of(operation)).steps:
            if declared.name == in_:
                beside = declared.beside

        def change(draft: Draft[Any, Any]) -> None:
            if draft.record.error is None:
                draft.record.error = finding(error)
            running = [s for s in draft.record.steps if s.state is StepState.RUNNING]
            for step in running:
                if step.name in beside and len(running) > 1:
                    step.state = StepState.WAITING
                else:
                    step.state, step.finished = StepState.FAILED, utcnow()

        await self.records.edit(operation, change)

    # ------------------------------------------------------------------ what steps record

    @asynccontextmanager
    async def step(self, operation: str, name: str) -> AsyncIterator[Recorder]:
        """Record a step's start, its progress and its end."""
        await self.begin_step(operation, name)
        recorder = Recorder(self.records, operation, name)
        try:
            yield recorder
        finally:
            await recorder.flush()

        def ended(draft: Draft[Any, Any]) -> None:
            step = draft.step(name)
            step.state, step.finished, step.percent = StepState.DONE, utcnow(), 100.0

        await self.records.edit(operation, ended)

    async def begin_step(self, operation: str, name: str, **shown: Any) -> None:
        """Show a step as running; ``shown`` are fields of it."""

        def begun(draft: Draft[Any, Any]) -> None:
            step = draft.step(name)
            step.state, step.started = StepState.RUNNING, step.started or utcnow()
            for field_, value in shown.items():
                setattr(step, field_, value)

        await self.records.edit(operation, begun)

    # ------------------------------------------------------------------ its turn and its end

    async def begin(self, operation: str) -> None:
        """Wait for its turn, and take it. One that had it before a restart has it still."""
        kind = await self.kind_of(operation)
        attempt = self.attempt(operation)
        if attempt.clearing is not None:
            # What an earlier attempt left is removed below, once it is this one's turn.
            attempt.clearing.cancel()
            await asyncio.wait([attempt.clearing])
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake(told: Collection[str]) -> None:
            if "state" in told or "deleted" in told:
                loop.call_soon_threadsafe(changed.set)

        unlisten = self.records.store.listen(wake)
        try:
            while True:
                changed.clear()
                if await self.records.take_turn(operation, self.workers):
                    break
                await changed.wait()
        finally:
            unlisten()
        if (await self.records.document(operation)).left:
            await kind.remove(operation)
            await self._clean(operation, kind)

    async def _clean(self, operation: str, kind: Kind) -> None:
        """Forget what an attempt left for the next step."""

        def change(draft: Draft[Any, Any]) -> None:
            draft.document = kind.schema.document()

        await self.records.edit(operation, change)

    async def succeed(self, operation: str) -> None:
        """Say that it is done."""

        def change(draft: Draft[Any, Any]) -> None:
            draft.record.state = MigrationState.SUCCEEDED
            draft.record.finished = utcnow()

        await self.records.edit(operation, change)
        self.forget(operation)

    async def give_up(self, operation: str) -> bool:
        """Remove all that a failed or cancelled operation made, and say how it ended.

        Returns whether all is gone; what is not is left to `clear_up`.

        Raises
        ------
        StoreFull, StoreReadOnly
            The record can't take that: nothing is said, and it can be done again.
        """
        if (await self.records.get(operation)).state.final:
            # Killed between writing its end here and in DBOS.
            return not await self._leaves(operation)
        kind = await self.kind_of(operation)
        # The others end their work in the engine first, or it would come back after the removal.
        gone = True
        try:
            await self.tried(kind.remove, operation)
        except (StoreFull, StoreReadOnly):
            raise  # what had to be noted was not, so that what is left would not be known
        except Exception:
            gone = False
            # The operation's own error is what matters now.
            log.exception("%s: could not clean up", operation)
        unwritten = self.attempt(operation).unwritten

        def change(draft: Draft[Any, Any]) -> None:
            _end(draft, kind, unwritten)
            document = kind.schema.document() if gone else kind.what_is_left(draft.document)
            document.left = not gone
            draft.document = document

        await self.records.edit(operation, change)
        self.forget(operation)
        return gone

    async def give_up_when_it_can(self, operation: str) -> bool:
        """Give up as soon as the record takes that; until then look again and again."""
        self.unwritten(operation, StoreFull(store=self.records.store.place))
        told = False
        while True:
            try:
                return await self.give_up(operation)
            except errors.NotFound:
                return True  # deleted meanwhile
            except (errors.SecxopsError, OSError) as error:
                if not told:
                    log.warning("%s can't be ended: %s", operation, error)
                    told = True
            await asyncio.sleep(_WRITE_AGAIN_SECONDS)

    async def clear_up(self, operation: str) -> None:
        """Remove what could not be removed when it ended, once that can be done again.

        Ends without that if the operation is tried again, which begins with it, or deleted.
        """
        attempt = self.attempt(operation)
        attempt.clearing = task = asyncio.create_task(self._clear(operation))
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            attempt.clearing = None
            if not attempt.branches:  # else it is tried again
                self.forget(operation)
        if self._closing:
            raise Abandoned  # the next start goes on
        if not task.cancelled():
            task.result()

    async def _clear(self, operation: str) -> None:
        for pause in itertools.chain(
            _CLEAR_AGAIN_SECONDS, itertools.repeat(_CLEAR_AGAIN_SECONDS[-1])
        ):
            await asyncio.sleep(pause)
            if not await self._leaves(operation):
                return
            kind = await self.kind_of(operation)
            try:
                await kind.remove(operation)
                await self._clean(operation, kind)
            except errors.NotFound:
                return  # deleted meanwhile
            except errors.SecxopsError as error:
                log.warning("%s: still could not clean up: %s", operation, error.code)
                continue
            except Exception:
                log.exception("%s: still could not clean up", operation)
                continue
            log.info("%s: cleaned up", operation)
            return

    async def _leaves(self, operation: str) -> bool:
        """Whether an ended operation left something in the engine."""
        try:
            draft = await self.records.read(operation)
        except errors.NotFound:
            return False  # deleted, with what it left
        return bool(draft.record.state.final and draft.document.left)

    def forget(self, operation: str) -> None:
        """Forget what this process knows of an operation that has ended."""
        self.under_way.discard(operation)
        self._kinds.pop(operation, None)
        attempt = self._attempts.get(operation)
        if attempt is not None and attempt.clearing is None:
            del self._attempts[operation]


def _end(draft: Draft[Any, Any], kind: Kind, unwritten: Finding | None) -> None:
    """Show an operation as cancelled, if its owner asked for that, or as failed."""
    record = draft.record
    cancelled = record.state is MigrationState.CANCELLING
    record.state = MigrationState.CANCELLED if cancelled else MigrationState.FAILED
    record.finished = utcnow()
    if cancelled:
        record.error = finding(kind.cancelled())
    elif record.error is None:
        record.error = unwritten or finding(errors.SecxopsError())
    for step in record.steps:
        if step.state is StepState.RUNNING:
            # Whoever cancels has seen no failure.
            step.state = StepState.WAITING if cancelled else StepState.FAILED
            step.finished = None if cancelled else utcnow()
