"""A list of objects that keeps itself current: one list, then one watch, as the API server wants it.

Each object is reduced to what is needed as it comes in, so that a large cluster fits into little
memory. Nothing is watched that nobody asked about for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from ... import errors
from .connection import Connection, Gone, Json

T = TypeVar("T")
log = logging.getLogger(__name__)

LINGER_SECONDS = 120.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# Where somebody waits for what is watched.
LONGEST_AWAITED = 2.0
MANY = 10_000


class Watched(Generic[T]):
    """The objects of one path.

    Parameters
    ----------
    reduce
        What is kept of an object; None to leave it out.
    linger
        Seconds without a question after which it lets go.
    insistent
        Whether it goes on by itself after an error; else the next question is the next try.
    query
        ``labelSelector`` or ``fieldSelector``.
    """

    def __init__(
        self,
        api: Connection,
        path: str,
        reduce: Callable[[Json], T | None],
        *,
        linger: float = LINGER_SECONDS,
        insistent: bool = True,
        **query: Any,
    ) -> None:
        self.api = api
        self.path = path
        self.turn = 0
        """Becomes another one with each change."""
        self._turned = asyncio.Event()
        self._reduce = reduce
        self._linger = linger
        self._insistent = insistent
        self._query = query
        self._found: dict[tuple[str, str], T] = {}
        self._listed = asyncio.Event()
        self._failure: Exception | None = None
        self._failed = -FIRST_PAUSE
        self._task: asyncio.Task[None] | None = None
        self._asked = 0.0

    async def items(self) -> Iterable[T]:
        """Return all objects as they are now, as far as the API server told.

        Raises
        ------
        ClusterForbidden
            They may not be listed.
        ClusterUnavailable
            The API server does not answer.
        """
        await self._current()
        return self._found.values()

    async def get(self, name: str, namespace: str = "") -> T | None:
        """Return one object, None when it is not there."""
        await self._current()
        return self._found.get((namespace, name))

    async def changed(self, since: int, seconds: float) -> None:
        """Wait until something changes after the turn ``since``, at most for some seconds."""
        if self.turn == since:
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(self._turned.wait(), seconds)

    def _turn(self) -> None:
        self.turn += 1
        self._turned.set()
        self._turned = asyncio.Event()

    async def close(self) -> None:
        """Let go."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._listed.clear()
        self._found = {}

    async def _current(self) -> None:
        self._asked = asyncio.get_running_loop().time()
        if not self._insistent and self._asked - self._failed < FIRST_PAUSE:
            assert self._failure is not None
            raise self._failure
        if self._task is None or self._task.done():
            self._failure = None
            self._listed.clear()
            self._task = asyncio.create_task(self._keep())
        await self._listed.wait()
        if self._failure is not None:
            raise self._failure

    async def _keep(self) -> None:
        """List, then watch; list again only where the API server has forgotten where we were."""
        loop = asyncio.get_running_loop()
        version = ""
        pause = FIRST_PAUSE
        while loop.time() - self._asked < self._linger:
            try:
                if not version:
                    version = await self._list()
                    self._failure = None
                    self._listed.set()
                began = loop.time()
                async with contextlib.aclosing(
                    self.api.watch(self.path, version, **self._query)
                ) as changes:
                    async for kind, found in changes:
                        version = found["metadata"]["resourceVersion"]
                        self._failure, pause = None, FIRST_PAUSE
                        if kind != "BOOKMARK":
                            self._take(kind, found)
                        if loop.time() - self._asked > self._linger:
                            break
                if loop.time() - began > pause:
                    continue  # it ends by itself from time to time
            except Gone:
                version = ""
                continue
            except Exception as error:
                # Whoever asks is told; what was seen last may be long ago.
                self._failure, self._failed = error, loop.time()
                self._listed.set()
                self._turn()
                if not isinstance(error, errors.SecxopsError):
                    log.exception("watching %s", self.path)
                    version = ""  # what made it fail would be left out
                elif not self._insistent or not isinstance(error, errors.TemporaryError):
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE if self._insistent else LONGEST_AWAITED)
        self._found = {}

    async def _list(self) -> str:
        found: dict[tuple[str, str], T] = {}
        version = ""
        async for page in self.api.pages(self.path, **self._query):
            version = version or page["metadata"]["resourceVersion"]
            for row in page["items"]:
                kept = self._reduce(row)
                if kept is not None:
                    found[_key(row)] = kept
            await asyncio.sleep(0)
        self._found = found
        self._turn()
        if len(found) > MANY:
            # They stay: the collector need not walk through them again and again.
            gc.collect()
            gc.freeze()
        return version

    def _take(self, kind: str, found: Json) -> None:
        kept = None if kind == "DELETED" else self._reduce(found)
        if kept is None:
            self._found.pop(_key(found), None)
        else:
            self._found[_key(found)] = kept
        self._turn()


def _key(found: Json) -> tuple[str, str]:
    metadata = found["metadata"]
    return metadata.get("namespace") or "", metadata["name"]
