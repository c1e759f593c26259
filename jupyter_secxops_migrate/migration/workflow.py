"""The flow of a migration, durable: what was done is not done again after a kill.

The white paper's flow is `migrate`; what each step does stands in `steps`. Only this module knows
DBOS. What DBOS records is ids and the names of steps that ended; what people see is in our own
store. Facts that this rests on: a step whose end was recorded is not run again, one killed before
that is, so every step can be repeated; what is pending is taken up again at launch, so only the
holder of the store's lock launches; a failed workflow can't go on, so a retry is a new attempt with
an id of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from dbos import (
    DBOS,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    SetWorkflowID,
    WorkflowHandleAsync,
)

from .. import errors
from .steps import Given, Steps

T = TypeVar("T")
Handle: TypeAlias = WorkflowHandleAsync[None]

VERSION = "2"
"""Raised with the list of steps: what is in flight then starts anew and adopts what is there."""

UNDER_WAY = ("PENDING", "ENQUEUED", "DELAYED")

_current: Flow | None = None


@DBOS.workflow(name="migrate")
async def migrate(migration: str, attempt: int) -> None:
    """Share one environment: the white paper's flow."""
    do, steps = _do(migration), _flow().steps
    try:
        await do(steps.begin)
        await do(steps.check)
        await all_of(
            await start(build, migration, attempt, "build"),
            *[await start(copy, migration, attempt, key) for key in await do(steps.keys)],
        )
        if not await do(steps.image_and_code_agree):
            await do(steps.rebuild)
            await do(steps.insist_on_agreement)
        await do(steps.hand_over)
        await do(steps.verify_volumes)
        await do(steps.observe_again)
        await do(steps.launch)
        await do(steps.verify)
        await do(steps.succeed)
    except Exception:  # whatever it was: the step left it in the record
        gone = await DBOS.run_step_async(
            {"name": "give_up"}, _flow().on_loop, steps.give_up, migration
        )
        if not gone:
            await DBOS.run_step_async(
                {"name": "clear_up"}, _flow().on_loop, steps.clear_up, migration
            )


@DBOS.workflow(name="build")
async def build(migration: str, _: str) -> None:
    """Build the image on the current node."""
    await _do(migration)(_flow().steps.build)


@DBOS.workflow(name="copy")
async def copy(migration: str, key: str) -> None:
    """Copy one folder into a volume of its own."""
    await _do(migration)(_flow().steps.copy, key)


def workflow_id(migration: str, attempt: int) -> str:
    """Return the id of an attempt: one more for each version, as DBOS goes on only with its own's."""
    return f"{migration}/{attempt}/v{VERSION}"


Branch = Callable[[str, str], Coroutine[Any, Any, None]]


async def start(branch: Branch, migration: str, attempt: int, key: str) -> Handle:
    """Start a branch that runs beside others, as a child workflow."""
    with SetWorkflowID(f"{workflow_id(migration, attempt)}/{key}"):
        return await DBOS.start_workflow_async(branch, migration, key)


async def all_of(*branches: Handle) -> None:
    """Wait until every branch has ended, and raise what the first one that failed raised."""
    ended = await asyncio.gather(*(b.get_result() for b in branches), return_exceptions=True)
    for result in ended:
        if isinstance(result, BaseException):
            raise result


def _do(migration: str) -> Callable[..., Awaitable[Any]]:
    """Return what runs one of the steps for this migration and records that it ended."""
    flow = _flow()

    def run(step: Callable[..., Awaitable[Any]], *more: str) -> Awaitable[Any]:
        name = getattr(step, "__name__", "step")
        return DBOS.run_step_async(
            {"name": name}, flow.on_loop, flow.steps.run, step, migration, *more
        )

    return run


class Flow:
    """DBOS at work for one service.

    Steps run on the service's own event loop, so that they share the engine's connections and can
    be cancelled from there; workflows run on DBOS's.

    Parameters
    ----------
    steps
        The work.
    url
        SQLAlchemy URL of the database in which DBOS keeps its records.
    """

    def __init__(self, steps: Steps, url: str) -> None:
        self.steps = steps
        self.url = url
        self._closing = False

    async def launch(self) -> None:
        """Take up what was pending; only for the holder of the store's lock."""
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
        }
        DBOS(config=config)
        await asyncio.to_thread(DBOS.launch)

    async def close(self) -> None:
        """End without a trace in the record: the next launch goes on."""
        global _current
        self._closing = True
        logging.getLogger("dbos").setLevel(logging.CRITICAL)  # it tells whom it cancelled
        await self.steps.suspend()
        await asyncio.to_thread(DBOS.destroy)
        _current = None

    async def start(self, migration: str, attempt: int) -> None:
        """Start an attempt; one that is under way already is left alone.

        One whose workflow has ended while its record says that it has not (a service that was told
        to end leaves such a one) is run once more; it adopts what is there.
        """

        def go() -> None:
            name = workflow_id(migration, attempt)
            for run in itertools.count(1):
                found = DBOS.get_workflow_status(f"{name}/run-{run}")
                if found is not None and found.status in UNDER_WAY:
                    return
                if found is None:
                    with SetWorkflowID(f"{name}/run-{run}"):
                        DBOS.start_workflow(migrate, migration, attempt)
                    return

        await asyncio.to_thread(go)

    async def on_loop(self, step: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Run a coroutine function on the service's loop, from DBOS's."""

        async def go() -> T:
            return await step(*arguments)

        if self._closing:
            await asyncio.Event().wait()
        future = asyncio.run_coroutine_threadsafe(go(), self._loop)
        try:
            return await asyncio.wrap_future(future)
        except Exception:
            if self._closing:
                # The next start goes on; until then nothing may be recorded. DBOS's loop, as it ends,
                # cancels this.
                await asyncio.Event().wait()
            raise


def _not_in_the_record(entry: logging.LogRecord) -> bool:
    """Leave out of the log the end of a migration, which its own record tells."""
    error = entry.exc_info[1] if entry.exc_info else None
    return not isinstance(error, (Given, errors.SecxopsError))


def _flow() -> Flow:
    if _current is None:
        raise RuntimeError("no service is running")
    return _current
