"""Objects that a share asks for again and again, as they were a moment ago: one request for many looks."""

from __future__ import annotations

import asyncio

from .connection import Connection, Json

SECONDS = 3.0
"""What changes meanwhile is seen by the next look: a plan takes about as long."""
STEP_SECONDS = 30.0
"""For the steps of a share, of what stays as it is as long as it is there."""


class Recent:
    """Objects by their paths, each asked for once in some seconds; what is absent, each time.

    Parameters
    ----------
    seconds
        How old an answer may be.
    """

    def __init__(self, api: Connection, seconds: float = SECONDS) -> None:
        self._api = api
        self._seconds = seconds
        self._found: dict[str, tuple[float, Json]] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def get(self, path: str, *, action: str = "", within: float | None = None) -> Json | None:
        """Return an object, None when it is absent; not to be changed. ``action`` as in `Connection.call`.

        ``within`` is how many seconds old it may be, other than as usual.

        Raises
        ------
        errors.SecxopsError
            As `Connection.get` does; it is asked again the next time.
        """
        clock = asyncio.get_running_loop().time
        async with self._asking.setdefault(path, asyncio.Lock()):
            self._forget(clock() - max(self._seconds, STEP_SECONDS))
            when, found = self._found.get(path, (0.0, None))
            oldest = clock() - (self._seconds if within is None else within)
            if found is not None and when >= oldest:
                return found
            found = await self._api.get(path, action=action)
            if found is None:
                self._found.pop(path, None)
            else:
                self.put(path, found)
            return found

    def put(self, path: str, found: Json) -> None:
        """Know of an object, which the API server has just told otherwise."""
        self._found[path] = asyncio.get_running_loop().time(), found

    def _forget(self, before: float) -> None:
        for path, (when, _) in list(self._found.items()):
            if when < before:
                del self._found[path]
        for path, lock in list(self._asking.items()):
            if path not in self._found and not lock.locked():
                del self._asking[path]
