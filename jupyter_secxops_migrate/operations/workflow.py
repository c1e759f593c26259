"""What makes operations durable: what was done is not done again after a kill.

A kind's flow is run as a DBOS workflow, each of its steps as one of DBOS's, and what runs beside as child
workflows. Only this module knows DBOS. What DBOS records is ids and the names of steps that ended; what
people see is in our own store. Facts that this rests on: a step whose end was recorded is not run again, one
killed before that is, so every step can be repeated; what is pending is taken up again at launch, so only
the holder of the store's lock launches; a failed workflow can't go on, so a retry is a new attempt with an
id of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from dbos import (
    DBOS,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    SetWorkflowID,
    WorkflowHandleAsync,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from .. import errors
from .database import meaning, place
from .kind import Branch, WorkStep, name_of
from .runner import Abandoned, Runner

T = TypeVar("T")
Handle: TypeAlias = WorkflowHandleAsync[None]

VERSION = "3"
"""Raised with the steps of any kind: what is in flight then starts anew and adopts what is there."""

_END_SECONDS = 3.0
UNDER_WAY = ("PENDING", "ENQUEUED", "DELAYED")

_current: Flow | None = None


@DBOS.workflow(name="operation")
async def operate(kind: str, operation: str, attempt: int) -> None:
    """Run one attempt of an operation."""
    with _flow().under_way():
        await _operate(kind, operation, attempt)


async def _operate(kind: str, operation: str, attempt: int) -> None:
    runner, do = _flow().runner, Doing(kind, operation, attempt)
    try:
        await do(runner.begin)
        await runner.kinds[kind].flow(do)
        await do(runner.succeed)
    except Exception as error:  # whatever it was: the step left it in the record
        _flow().note(operation, error)
        try:
            gone = await DBOS.run_step_async(
                {"name": "give_up"}, _flow().on_loop, runner.give_up, operation
            )
        except Exception:
            # Nothing can be written, here or there. DBOS would leave it as it is until the next start.
            gone = await _flow().on_loop(runner.give_up_when_it_can, operation)
        if not gone:
            await DBOS.run_step_async(
                {"name": "clear_up"}, _flow().on_loop, runner.clear_up, operation
            )


@DBOS.workflow(name="branch")
async def run_branch(kind: str, operation: str, step: str, more: list[str]) -> None:
    """Run one of the steps that run side by side."""
    with _flow().under_way():
        await _run(operation, _flow().runner.kinds[kind].branches[step], more)


def workflow_id(operation: str, attempt: int) -> str:
    """Return the id of an attempt: one more for each version, as DBOS goes on only with its own's."""
    return f"{operation}/{attempt}/v{VERSION}"


class Doing:
    """Runs the steps of one attempt; implements `kind.Do`."""

    def __init__(self, kind: str, operation: str, attempt: int) -> None:
        self._kind = kind
        self._operation = operation
        self._id = workflow_id(operation, attempt)

    def __call__(self, step: WorkStep, *more: str) -> Awaitable[Any]:
        """Run a step, and record that it ended."""
        return _run(self._operation, step, more)

    async def beside(self, *branches: Branch) -> None:
        """Run steps side by side, and raise what the first one that failed raised."""
        handles = [await self._start(branch) for branch in branches]
        ended = await asyncio.gather(*(h.get_result() for h in handles), return_exceptions=True)
        for result in ended:
            if isinstance(result, BaseException):
                raise result

    async def _start(self, branch: Branch) -> Handle:
        name = "-".join((branch.name, *branch.more))
        with _flow().beginning(f"{self._id}/{name}"):
            return await DBOS.start_workflow_async(
                run_branch, self._kind, self._operation, branch.name, list(branch.more)
            )


def _run(operation: str, step: WorkStep, more: Any) -> Awaitable[Any]:
    """Run a step on the service's loop, as one of DBOS's."""
    flow = _flow()
    return DBOS.run_step_async(
        {"name": name_of(step)}, flow.on_loop, flow.runner.run, step, operation, *more
    )


class Flow:
    """DBOS at work for one service.

    Steps run on the service's own event loop, so that they share the engine's connections and can
    be cancelled from there; workflows run on DBOS's.

    Parameters
    ----------
    runner
        Runs the steps.
    url
        SQLAlchemy URL of the database in which DBOS keeps its records.
    """

    def __init__(self, runner: Runner, url: str) -> None:
        self.runner = runner
        self.url = url
        self._closing = False
        self._begun: set[str] = set()
        self._ended: set[str] = set()
        self._end = threading.Condition()

    async def launch(self) -> None:
        """Take up what was pending; only for the holder of the store's lock.

        Raises
        ------
        StoreCorrupt, StoreReadOnly, StoreFull, StoreFailed
            DBOS's database can't be used.
        """
        global _current
        if _current is not None:
            raise RuntimeError("one process hosts one service")
        _current = self
        self._loop = asyncio.get_running_loop()
        logger = logging.getLogger("dbos")
        logger.setLevel(logging.ERROR)
        logger.addFilter(_not_in_the_record)
        config: DBOSConfig = {
            "name": "secxops",
            "system_database_url": self.url,
            "application_version": VERSION,
            "executor_id": "secxops",
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "ERROR",
            "console_log_level": "CRITICAL",
            # Its end waits for a thread that sleeps that long, usually a second, between two looks.
            "notification_listener_polling_interval_sec": 0.1,
        }
        DBOS(config=config)
        try:
            await asyncio.to_thread(DBOS.launch)
        except Exception as error:
            raise self._meaning(error) or error from error
        # Not its asynchronous form, which gives this loop DBOS's own threads.
        pending = await asyncio.to_thread(
            DBOS.list_workflows,
            status=list(UNDER_WAY),
            app_version=VERSION,
            load_input=False,
            load_output=False,
        )
        self._begun.update(found.workflow_id for found in pending)

    async def close(self) -> None:
        """End without a trace in the record: the next launch goes on."""
        global _current
        self._closing = True
        logging.getLogger("dbos").setLevel(logging.CRITICAL)  # it tells whom it cancelled
        await self.runner.suspend()
        # DBOS cancels what it finds on its loop and then stops that: a workflow that comes to it in
        # between would be waited for by its thread, and so by this process, for ever.
        await asyncio.to_thread(self._wait)
        await asyncio.to_thread(DBOS.destroy)
        _current = None

    def note(self, operation: str, error: Exception) -> None:
        """Keep why an operation ends where it is DBOS that can't write its records."""
        found = self._meaning(error)
        if found is not None:
            self.runner.unwritten(operation, found)

    def _meaning(self, error: BaseException) -> errors.SecxopsError | None:
        """Return what is the matter with DBOS's database, where that is the cause of an error."""
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, (errors.SecxopsError, Abandoned)):
            if isinstance(cause, DBAPIError):
                return meaning(cause, place(make_url(self.url)))
            cause = cause.__cause__ or cause.__context__
        return None

    def _wait(self) -> None:
        """Wait until every workflow that began has ended, but not for ever."""
        with self._end:
            self._end.wait_for(lambda: self._begun <= self._ended, timeout=_END_SECONDS)

    @contextmanager
    def beginning(self, workflow: str) -> Iterator[None]:
        """Give the workflow that is started inside this id, and wait for its end when closing."""
        self._begun.add(workflow)
        with SetWorkflowID(workflow):
            yield

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Run the workflow that is inside, and note its end."""
        try:
            yield
        finally:
            with self._end:
                self._ended.add(str(DBOS.workflow_id))
                self._end.notify_all()

    async def start(self, kind: str, operation: str, attempt: int) -> None:
        """Start an attempt; one that is under way already is left alone.

        One whose workflow has ended while its record says that it has not (a service that was told
        to end leaves such a one) is run once more; it adopts what is there.
        """

        def go() -> None:
            name = workflow_id(operation, attempt)
            for run in itertools.count(1):
                found = DBOS.get_workflow_status(f"{name}/run-{run}")
                if found is not None and found.status in UNDER_WAY:
                    return
                if found is None:
                    with self.beginning(f"{name}/run-{run}"):
                        DBOS.start_workflow(operate, kind, operation, attempt)
                    return

        await asyncio.to_thread(go)

    async def on_loop(self, step: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Run a coroutine function on the service's loop, from DBOS's."""

        async def go() -> T:
            return await step(*arguments)

        if self._closing:
            raise asyncio.CancelledError
        future = asyncio.run_coroutine_threadsafe(go(), self._loop)
        try:
            return await asyncio.wrap_future(future)
        except Exception:
            if self._closing:
                # The next start goes on; until then nothing may be recorded.
                raise asyncio.CancelledError from None
            raise


def _not_in_the_record(entry: logging.LogRecord) -> bool:
    """Leave out of the log the end of an operation, which its own record tells."""
    error = entry.exc_info[1] if entry.exc_info else None
    return not isinstance(error, (Abandoned, errors.SecxopsError))


def _flow() -> Flow:
    if _current is None:
        raise RuntimeError("no service is running")
    return _current
