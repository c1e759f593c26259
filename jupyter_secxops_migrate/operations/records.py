"""The record, asked from an event loop: the one way to the store that does not hold the loop up.

Looks run side by side on a few threads; changes one after another on a thread of their own, in the order
in which they were asked for, except that what a person asks for goes before what a step tells (see `writing`).
A change is a function of a draft; whoever is cancelled while one is made waits for its end, so that nothing is
half known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, cast

from ..model import Event, MigrationState
from ..threads import Threads, ended
from .editing import Edit
from .record import Document, Draft, Operation, Schema
from .store import CONNECTIONS, Store
from .writing import Writing

P = ParamSpec("P")
R = TypeVar("R", bound=Operation)
D = TypeVar("D", bound=Document)
R2 = TypeVar("R2", bound=Operation)
D2 = TypeVar("D2", bound=Document)
T = TypeVar("T")

_LOOKS_AT_ONCE = CONNECTIONS - 2  # one is for changes, one for who asks the store itself


class Records(Generic[R, D]):
    """The operations of one kind, or of all kinds, as a coroutine sees them.

    Parameters
    ----------
    store
        The tables. Threads other than an event loop's may use them as well.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.schema: Schema[R, D] | None = None
        self._looks = Threads("record-looks", _LOOKS_AT_ONCE)
        self._changes = Writing(store)

    def of(self, schema: Schema[R2, D2]) -> Records[R2, D2]:
        """Return the records of one kind: of others it knows nothing."""
        found = cast("Records[R2, D2]", object.__new__(Records))
        found.__dict__.update(self.__dict__)
        found.schema = schema
        return found

    def close(self) -> None:
        """End the threads, once what was to be written is written (blocking)."""
        self._changes.close()
        self._looks.close(wait=True)

    @property
    def _kind(self) -> str | None:
        return None if self.schema is None else self.schema.kind

    @property
    def _one(self) -> str:
        assert self.schema is not None
        return self.schema.kind

    async def look(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Have the store asked something."""
        return await self._looks.run(function, *args, **kwargs)

    async def change(self, function: Callable[[], T], *, urgent: bool = False) -> T:
        """Have the store changed; cancelled, it ends after that."""
        return await ended(asyncio.wrap_future(self._changes.run(function, urgent=urgent)))

    # ------------------------------------------------------------------ looks

    async def get(self, operation: str, owner: str | None = None) -> R:
        """Return an operation; ``errors.NotFound`` if there is none, or it is somebody else's."""
        return cast("R", await self.look(self.store.get, operation, owner, self._kind))

    async def read(self, operation: str, owner: str | None = None) -> Draft[R, D]:
        """Return an operation with its document; changes to them are not kept."""
        return await self.look(self.store.read, operation, owner, self._kind)

    async def document(self, operation: str) -> D:
        """Return an operation's document; changes to it are not kept."""
        return (await self.read(operation)).document

    async def list(
        self, owner: str | None = None, limit: int | None = None, before: str | None = None
    ) -> Sequence[R]:
        """Return operations, newest first; see `Store.list`."""
        found = await self.look(self.store.list, self._one, owner, limit, before)
        return cast("Sequence[R]", found)

    async def ids(self, *states: MigrationState, owner: str | None = None) -> Sequence[str]:
        """Return the ids of operations in these states, or of all, oldest first."""
        return await self.look(self.store.ids, *states, owner=owner, kind=self._kind)

    async def documents(self, *, but: str | None = None) -> Mapping[str, D]:
        """Return the documents of those that have not ended badly, by id."""
        return await self.look(self.store.documents, self._one, but=but)

    async def free_name(self, owner: str, name: str) -> str:
        """Return the name of one that is not given one, where ``name`` is its default."""
        return await self.look(self.store.free_name, self._one, owner, name)

    async def insist_not_under_way(self, owner: str, name: str) -> None:
        """Fail, with `Schema.under_way`, where one of that name is under way."""
        await self.look(self.store.insist_not_under_way, self._one, owner, name)

    async def log_text(self, operation: str, owner: str | None = None) -> str:
        """Return an operation's log; ``errors.NotFound`` as for `get`."""
        return await self.look(self.store.log_text, operation, owner, self._kind)

    async def last_event(self) -> int:
        """Return the sequence number of the newest event, 0 without any."""
        return await self.look(self.store.last_event)

    async def owned_events(
        self, owner: str | None, after: int, operation: str | None = None
    ) -> Sequence[tuple[str, Event]]:
        """Return events past a sequence number with their owners, oldest first, some hundred at most."""
        return await self.look(self.store.owned_events, owner, after, operation)

    # ------------------------------------------------------------------ changes

    async def edit(
        self,
        operation: str,
        change: Callable[[Draft[R, D]], T],
        *,
        owner: str | None = None,
        lines: Sequence[str] = (),
        urgent: bool = False,
    ) -> T:
        """Change an operation, and return what ``change`` does; what it raises leaves all as it was.

        ``change`` runs in another thread: it looks at nothing but the draft, and does nothing else.
        """
        edit = Edit(operation, change, owner, self._kind, lines)
        made = self._changes.edit(edit, urgent=urgent)
        return cast("T", await ended(asyncio.wrap_future(made)))

    def edit_now(
        self,
        operation: str,
        change: Callable[[Draft[R, D]], T],
        owner: str | None = None,
        lines: Sequence[str] = (),
    ) -> T:
        """Do what `edit` does from a thread that may wait (blocking)."""
        with self.store.edit(operation, owner, self._kind, lines) as draft:
            return change(draft)

    async def add(self, record: R, key: str | None, body: str, *, named: bool) -> R:
        """Record a new operation; see `Store.add`."""
        found = await self.change(
            lambda: self.store.add(self._one, record, key, body, named=named), urgent=True
        )
        return cast("R", found)

    async def take_back(self, record: R, document: D) -> R:
        """Record an operation whose record was lost; see `Store.take_back`."""
        found = await self.change(
            lambda: self.store.take_back(self._one, record, document), urgent=True
        )
        return cast("R", found)

    async def take_turn(self, operation: str, workers: int) -> bool:
        """Let an operation begin if it is its turn; return whether it is not queued any more."""
        record = await self.get(operation)
        if record.state is MigrationState.QUEUED:
            if await self.look(self.store.next_in_line, workers) != operation:
                return False
        elif record.started is not None:
            return True
        return await self.change(lambda: self.store.take_turn(operation, workers))

    async def remove(self, operation: str) -> None:
        """Forget an operation; absent is success."""
        await self.change(lambda: self.store.remove(operation), urgent=True)

    async def log(self, record: Operation, lines: Sequence[str]) -> None:
        """Add lines to an operation's log."""
        if lines:
            await self.change(lambda: self.store.log(record, lines))

    async def say(self, record: Operation, kind: str, body: Mapping[str, Any]) -> None:
        """Say something of an operation that its record does not hold."""
        await self.change(lambda: self.store.say(record, kind, body), urgent=True)

    async def identity(self, fresh: str = "") -> str:
        """Return what tells this store from others; ``fresh`` is kept the first time, if it is given."""
        return await self.change(lambda: self.store.identity(fresh))
