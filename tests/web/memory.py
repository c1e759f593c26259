"""A small working service that keeps shares in memory: the API without engine and store.

A share goes through its steps by itself, quickly, unless its name says otherwise: ``slow-…`` stays
in its build until it is cancelled, ``fail-…`` fails there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from jupyter_secxops_migrate.building.errors import BuildFailed
from jupyter_secxops_migrate.errors import NoSuchPath, NotFound, WrongState
from jupyter_secxops_migrate.model import (
    Check,
    CopiedItem,
    Environment,
    EnvironmentStatus,
    Event,
    Finding,
    Folder,
    LaunchedEnvironment,
    Migration,
    MigrationResult,
    MigrationState,
    NotCopiedItem,
    Orphan,
    Plan,
    PodSource,
    ProjectVersion,
    Route,
    ServiceReport,
    ShareRequest,
    SourceChanges,
    Step,
    StepName,
    StepState,
    utcnow,
)
from jupyter_secxops_migrate.operations.errors import IdempotencyConflict

TOKEN = "token-of-the-environment"

STRANGE = "<img src=x onerror=alert(1)> [red]$x_1$ \x1b[31m\u202etxt.exe"
"""A file's name that is read as HTML, markup, mathematics, a terminal's colours and backwards, or as text."""


def full_plan(plan: Plan) -> Plan:
    """Return a plan with something in each part."""
    long = f"/home/jovyan/{'deep/' * 30}end.csv"
    return plan.model_copy(
        update={
            "version": ProjectVersion(commit="3f2c1a9" * 5, branch="main"),
            "reasons": [Finding(code="fits", message="Here, on node here: 2 CPUs are free.")],
            "copied": [
                CopiedItem(role="code", name="project", source="/p", mount="/work/p", files=312, bytes=5000),
                CopiedItem(role="data", name=STRANGE, source=long, mount=long, files=1, bytes=7),
            ],
            "not_copied": [NotCopiedItem(name=STRANGE, reason="keys of its owner", files=2, bytes=9)],
            "changed": [NotCopiedItem(name=long, reason="without its set-user-id bit")],
            "warnings": [Finding(code="w", message=f"Mind {STRANGE}", hint="Look at it.")],
            "refusals": [Finding(code="r", message="There is no room.", hint="Ask for less.")],
        }
    )  # fmt: skip


class MemoryService:
    """Everybody's shares and the one sequence of events."""

    def __init__(self) -> None:
        self.migrations: dict[str, Migration] = {}
        self.keys: dict[tuple[str, str], tuple[ShareRequest, str]] = {}
        self.recorded: list[Event] = []
        self.news = asyncio.Condition()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.orphans: dict[str, list[Orphan]] = {}
        self.made = 0

    def for_owner(self, owner: str, room: str = "sharing") -> MemoryApi:
        return MemoryApi(self, owner)

    def busy(self) -> bool:
        return any(not m.state.final for m in self.migrations.values())

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    async def record(self, migration: str, **fields: object) -> None:
        kind = next(k for k in ("state", "step", "line", "status", "kind") if k in fields)
        async with self.news:
            if kind == "state":
                # With its event, so that nobody sees the end before it is told.
                self.migrations[migration].state = MigrationState(fields["state"])
            event = Event.model_validate(
                {
                    "id": len(self.recorded) + 1,
                    "time": utcnow(),
                    "migration": migration,
                    "kind": {"line": "log", "status": "environment"}.get(kind, kind),
                    **fields,
                }
            )
            self.recorded.append(event)
            self.news.notify_all()

    async def run(self, migration: Migration) -> None:
        async def become(state: MigrationState) -> None:
            await self.record(migration.id, state=state)

        await become(MigrationState.RUNNING)
        migration.started = utcnow()
        try:
            for step in migration.steps:
                step.state, step.started = StepState.RUNNING, utcnow()
                await self.record(migration.id, step=step.model_copy())
                await self.record(migration.id, line=f"{step.name.value}: Zeile \u2028 één")
                if step.name is StepName.BUILD and migration.name.startswith("slow-"):
                    await asyncio.sleep(3600)
                if step.name is StepName.BUILD and migration.name.startswith("fail-"):
                    error = BuildFailed(line=7, instruction="RUN false", id=migration.id)
                    migration.error = Finding.model_validate(error.as_dict())
                    step.state = StepState.FAILED
                    await become(MigrationState.FAILED)
                    return
                await asyncio.sleep(0.01)
                step.state, step.finished, step.percent = StepState.DONE, utcnow(), 100
                await self.record(migration.id, step=step.model_copy())
        except asyncio.CancelledError:
            migration.finished = utcnow()
            await become(MigrationState.CANCELLED)
            raise
        migration.result = MigrationResult(url="http://127.0.0.1:9999/lab")
        migration.environment = LaunchedEnvironment(status=EnvironmentStatus.RUNNING)
        migration.finished = utcnow()
        await become(MigrationState.SUCCEEDED)

    def launch(self, migration: Migration) -> None:
        self.tasks[migration.id] = asyncio.get_running_loop().create_task(self.run(migration))


class MemoryApi:
    """One owner's view of it."""

    def __init__(self, service: MemoryService, owner: str) -> None:
        self.service = service
        self.owner = owner

    def _own(self, migration_id: str) -> Migration:
        found = self.service.migrations.get(migration_id)
        if found is None or found.owner != self.owner:
            raise NotFound(id=migration_id)
        return found

    async def environment(
        self, project: str, data: Sequence[str] = (), source: PodSource | None = None
    ) -> Environment:
        if project.startswith("/crash"):
            raise RuntimeError(f"a secret: {project}")
        if not project.startswith("/") or "missing" in project:
            raise NoSuchPath(path=project)
        return Environment(
            project=Folder(path=project, name=Path(project).name),
            version=ProjectVersion(branch="main"),
            data=[Folder(path=path, name=Path(path).name) for path in data],
            kind="host" if source is None else "pod",
            container=None if source is None else f"{source.pod}/{source.container or ''}",
        )

    async def plan(self, request: ShareRequest) -> Plan:
        warnings = [
            Finding(code="unsaved_documents", message=f"{path} is shared as saved.")
            for path in request.unsaved
        ]
        found = Plan(name=request.name or "share", route=Route.STAY, node="here", warnings=warnings)
        return full_plan(found) if found.name.startswith("full-") else found

    async def share(self, request: ShareRequest, idempotency_key: str | None = None) -> Migration:
        service = self.service
        if idempotency_key is not None:
            before = service.keys.get((self.owner, idempotency_key))
            if before is not None:
                if before[0] != request:
                    raise IdempotencyConflict()
                return service.migrations[before[1]]
        service.made += 1
        migration = Migration(
            id=f"m{service.made}",
            owner=self.owner,
            name=request.name or f"share-{service.made}",
            state=MigrationState.QUEUED,
            created=utcnow(),
            request=request,
            steps=[Step(name=name) for name in StepName if name is not StepName.PUSH],
        )
        service.migrations[migration.id] = migration
        if idempotency_key is not None:
            service.keys[self.owner, idempotency_key] = (request, migration.id)
        service.launch(migration)
        return migration

    async def get(
        self, migration_id: str, *, token: bool = False, changes: bool = False
    ) -> Migration:
        found = self._own(migration_id)
        if token and found.result is not None and found.result.url is not None:
            found = found.model_copy(deep=True)
            assert found.result is not None
            found.result.url = f"{found.result.url}?token={TOKEN}"
        if changes and found.result is not None:
            changed = SourceChanges(files=3, first=["project/train.py"])
            found = found.model_copy(update={"changes": changed})
        return found

    async def list(
        self, limit: int | None = None, before: str | None = None
    ) -> Sequence[Migration]:
        own = [m for m in self.service.migrations.values() if m.owner == self.owner]
        own = own[::-1]
        if before is not None:
            own = own[own.index(self._own(before)) + 1 :]
        return own[:limit]

    async def events(
        self, migration_id: str | None = None, after: int | None = None
    ) -> AsyncIterator[Event]:
        service = self.service
        seen = len(service.recorded) if after is None else after
        while True:
            # Asked first, or the events of its end could slip in between.
            ended = migration_id is not None and self._own(migration_id).state.final
            for event in service.recorded[seen:]:
                seen = event.id
                owner = service.migrations[event.migration].owner
                if owner == self.owner and migration_id in (None, event.migration):
                    yield event
            if ended:
                return
            async with service.news:
                while len(service.recorded) <= seen:
                    await service.news.wait()

    async def log(self, migration_id: str) -> str:
        self._own(migration_id)
        lines = [e.line for e in self.service.recorded if e.migration == migration_id and e.line]
        return "".join(f"{line}\n" for line in lines)

    async def cancel(self, migration_id: str) -> Migration:
        found = self._own(migration_id)
        if found.state in (MigrationState.SUCCEEDED, MigrationState.FAILED):
            raise WrongState(state=found.state.value, wanted="running")
        if not found.state.final:
            found.state = MigrationState.CANCELLING
            self.service.tasks[migration_id].cancel()
        return found

    async def retry(self, migration_id: str) -> Migration:
        found = self._own(migration_id)
        if found.state not in (MigrationState.CANCELLED, MigrationState.FAILED):
            raise WrongState(state=found.state.value, wanted="failed or cancelled")
        found.attempt += 1
        found.state = MigrationState.QUEUED
        found.error = None
        found.steps = [Step(name=step.name) for step in found.steps]
        self.service.launch(found)
        return found

    async def _become(self, migration_id: str, status: EnvironmentStatus) -> Migration:
        found = self._own(migration_id)
        if found.environment is None:
            raise WrongState(state=found.state.value, wanted="succeeded")
        found.environment.status = status
        await self.service.record(migration_id, status=status)
        return found

    async def stop(self, migration_id: str) -> Migration:
        return await self._become(migration_id, EnvironmentStatus.STOPPED)

    async def start(self, migration_id: str) -> Migration:
        return await self._become(migration_id, EnvironmentStatus.RUNNING)

    async def delete(self, migration_id: str) -> None:
        found = self._own(migration_id)
        task = self.service.tasks.get(migration_id)
        if task is not None and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        # Events stay in the sequence; the record is nobody's any more.
        found.owner = ""

    async def orphans(self) -> Sequence[Orphan]:
        return list(self.service.orphans.get(self.owner, []))

    async def adopt(self) -> Sequence[Migration]:
        return []

    async def sweep(self) -> Sequence[Orphan]:
        return self.service.orphans.pop(self.owner, [])

    async def doctor(self) -> ServiceReport:
        return ServiceReport(
            service={"pid": os.getpid(), "version": "0"},
            checks=[Check(name="memory", state="ok", message="There is some.")],
        )
