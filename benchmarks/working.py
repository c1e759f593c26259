"""Operations that are at work for ever and tell of it, as builds and copies do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import ClassVar

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.orders import LogLine, Measure, Progress
from jupyter_secxops_migrate.model import MigrationState, Operation, utcnow
from jupyter_secxops_migrate.operations.kind import DeclaredStep, Do, WorkStep, fresh_steps
from jupyter_secxops_migrate.operations.record import Document, Schema
from jupyter_secxops_migrate.operations.records import Records
from jupyter_secxops_migrate.operations.service import Operations
from jupyter_secxops_migrate.sharing.errors import Cancelled


class Work(Operation):
    """A record of this kind."""

    kind: ClassVar[str] = "work"


class Working:
    """Work without end; implements `operations.kind.Kind`."""

    schema = Schema(Work, Document)
    steps = (DeclaredStep("work"),)
    branches: Mapping[str, WorkStep] = {}
    cancelled: type[errors.SecxopsError] = Cancelled

    def __init__(self, operations: Operations) -> None:
        self.runner = operations.runner
        self.records: Records[Work, Document] = operations.records.of(self.schema)
        self.at_work: set[str] = set()

    def record(self, number: int, owner: str) -> Work:
        return Work(
            id=f"w{number:04}",
            owner=owner,
            name=f"work-{number}",
            state=MigrationState.QUEUED,
            created=utcnow(),
            steps=fresh_steps(self),
        )

    async def flow(self, do: Do) -> None:
        await do(self.work)

    async def work(self, operation: str) -> None:
        async with self.runner.step(operation, "work") as recorder:
            self.at_work.add(operation)
            await recorder.follow(_telling(), str)

    async def remove(self, operation: str) -> None:
        pass

    def what_is_left(self, document: Document) -> Document:
        return Document()


async def _telling() -> AsyncIterator[Progress | str]:
    done = 0
    while True:
        yield LogLine(f"{done >> 20} MB are there")
        for _ in range(20):
            await asyncio.sleep(0.05)
            done += 1 << 20
            yield Measure(done, 1 << 40)
