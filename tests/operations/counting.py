"""The smallest kind of operation: it counts, and knows no share.

Three steps, the second beside the third: ``first``, then ``left`` and ``right``. What they make are files in
a folder. Each can be told to stand still, to fail or to kill its process, by a file of its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.model import MigrationState, Operation, utcnow
from jupyter_secxops_migrate.operations.kind import Branch, DeclaredStep, Do, WorkStep, fresh_steps
from jupyter_secxops_migrate.operations.record import Document, Draft, Schema
from jupyter_secxops_migrate.operations.records import Records
from jupyter_secxops_migrate.operations.service import Operations
from jupyter_secxops_migrate.sharing.errors import Cancelled

ANNE = "anne"
STEPS = ("first", "left", "right")


class Count(Operation):
    """A record of this kind."""

    kind: ClassVar[str] = "count"
    total: int = 0


class Numbers(Document):
    """What the steps leave for each other."""

    found: dict[str, int] = Field(default_factory=dict)


class Counting:
    """Counting; implements `operations.kind.Kind`."""

    schema = Schema(Count, Numbers)
    steps = (
        DeclaredStep("first"),
        DeclaredStep("left", beside=frozenset({"right"})),
        DeclaredStep("right", beside=frozenset({"left"})),
    )
    cancelled: type[errors.SecxopsError] = Cancelled

    def __init__(self, operations: Operations, folder: Path) -> None:
        self.runner = operations.runner
        self.records: Records[Count, Numbers] = operations.records.of(self.schema)
        self.folder = folder

    async def flow(self, do: Do) -> None:
        much = await do(self.first)
        await do.beside(Branch(self.left, [str(much)]), Branch(self.right))
        await do(self.sum_up)

    @property
    def branches(self) -> Mapping[str, WorkStep]:
        return {"left": self.left, "right": self.right}

    async def first(self, operation: str) -> int:
        await self._count(operation, "first", 1)
        return 10

    async def left(self, operation: str, much: str) -> None:
        await self._count(operation, "left", int(much))

    async def right(self, operation: str) -> None:
        await self._count(operation, "right", 100)

    async def sum_up(self, operation: str) -> None:
        def change(draft: Draft[Count, Numbers]) -> None:
            draft.record.total = sum(draft.document.found.values())

        await self.records.edit(operation, change)

    async def _count(self, operation: str, name: str, number: int) -> None:
        async with self.runner.step(operation, name):
            (self.folder / f"{operation}-{name}").touch()
            await self._trouble(name)

            def change(draft: Draft[Count, Numbers]) -> None:
                draft.document.found[name] = number

            await self.records.edit(operation, change)

    async def _trouble(self, name: str) -> None:
        path = self.folder / f"trouble-{name}"
        while path.exists():
            told = path.read_text()
            if told == "kill":
                path.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            if told.startswith("fail"):
                left = int(told.removeprefix("fail")) - 1
                path.write_text(f"fail{left}") if left else path.unlink()
                raise errors.EngineFailed(action="count", reason="it lost its place")
            (self.folder / f"hangs-{name}").touch()
            await asyncio.sleep(0.01)

    async def remove(self, operation: str) -> None:
        await self._trouble("remove")
        for name in STEPS:
            with contextlib.suppress(FileNotFoundError):
                (self.folder / f"{operation}-{name}").unlink()

    def left_behind(self, operation: str) -> list[str]:
        """The names of what an operation made."""
        return sorted(path.name for path in self.folder.glob(f"{operation}-*"))

    def what_is_left(self, document: Document) -> Document:
        return Numbers()


def open_in(folder: Path, url: str | None = None) -> tuple[Operations, Counting]:
    """Return operations of this kind alone, not yet started."""
    folder.mkdir(exist_ok=True)
    operations = Operations.open_in(folder, url or "", [Counting.schema])
    kind = Counting(operations, folder)
    operations.register(kind)
    return operations, kind


async def _nothing() -> None:
    pass


async def started(operations: Operations) -> None:
    """Start them."""
    await operations.start(_nothing)


async def closed(operations: Operations) -> None:
    """Let go."""
    await operations.close()
    await operations.close_record()


async def add(operations: Operations, kind: Counting, name: str, key: str | None = None) -> Count:
    """Record one, and queue it."""
    record = Count(
        id=f"c{name}",
        owner=ANNE,
        name=name,
        state=MigrationState.QUEUED,
        created=utcnow(),
        steps=fresh_steps(kind),
    )
    return await operations.add(kind.records, record, key, name, named=True)


SECONDS = 30
Body = Callable[[Operations, Counting], Awaitable[None]]


class AtWork:
    """Operations that go on from test to test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loop = asyncio.new_event_loop()
        self.operations, self.kind = self._loop.run_until_complete(_opened(folder))

    def run(self, body: Body) -> None:
        work = asyncio.wait_for(body(self.operations, self.kind), SECONDS)
        self._loop.run_until_complete(work)

    def trouble(self, **told: str) -> None:
        for name, words in told.items():
            (self.folder / f"trouble-{name}").write_text(words)

    def end(self) -> None:
        self._loop.run_until_complete(closed(self.operations))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


async def _opened(folder: Path) -> tuple[Operations, Counting]:
    operations, kind = open_in(folder)
    await started(operations)
    return operations, kind


@contextlib.contextmanager
def working(folder: Path) -> Iterator[AtWork]:
    found = AtWork(folder)
    yield found
    found.end()


async def ended(operations: Operations, kind: Counting, record: Count) -> Count:
    async for _ in operations.events(kind.records, ANNE, record.id, 0):
        pass
    return await kind.records.get(record.id)


async def hangs(folder: Path, name: str) -> None:
    while not (folder / f"hangs-{name}").exists():  # noqa: ASYNC110 - as another process would see it
        await asyncio.sleep(0.01)


async def _live(folder: Path, names: list[str]) -> None:
    operations, kind = open_in(folder)
    await started(operations)
    for name in names:
        await add(operations, kind, name)
    while operations.busy():  # noqa: ASYNC110 - as the host of the real service does
        await asyncio.sleep(0.02)
    await closed(operations)


if __name__ == "__main__":
    asyncio.run(_live(Path(sys.argv[1]), sys.argv[2:]))
