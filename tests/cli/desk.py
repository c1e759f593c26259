"""A small desk that works, for the command line: it copies folders and keeps records."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.building.errors import BuildFailed, NoDockerfile
from jupyter_secxops_migrate.model import (
    Check,
    CopiedItem,
    Environment,
    EnvironmentStatus,
    Event,
    Evidence,
    Finding,
    Folder,
    ImageResult,
    LaunchedEnvironment,
    Migration,
    MigrationResult,
    MigrationState,
    NotCopiedItem,
    Orphan,
    Place,
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
    VolumeResult,
    utcnow,
)

IMAGE = "sha256:" + "3f" + "0" * 60 + "9c"


def files_of(folder: str) -> list[Path]:
    return [path for path in Path(folder).rglob("*") if path.is_file()]


@dataclass
class Desk:
    """A `MigrationApi` whose shares are folders: whoever reads the events does the work.

    ``fails_at`` ends a share with a build error; ``before_step`` is called as a step begins; ``says`` are the build's lines.
    """

    store: Path
    fails_at: StepName | None = None
    says: Sequence[str] = ("Step 1/2 : FROM base", "Step 2/2 : RUN true")
    before_step: Callable[[StepName], None] | None = None
    shares: dict[str, Migration] = field(default_factory=dict)
    history: list[Event] = field(default_factory=list)
    orphaned: list[Orphan] = field(default_factory=list)
    lost: list[Migration] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Desk]:
        yield self

    def _find(self, migration_id: str) -> Migration:
        try:
            return self.shares[migration_id]
        except KeyError:
            raise errors.NotFound(id=migration_id) from None

    def _tell(self, migration: Migration, **what: Any) -> Event:
        kind = "log" if "line" in what else "step" if "step" in what else "state"
        event = Event(
            id=len(self.history) + 1, time=utcnow(), migration=migration.id, kind=kind, **what
        )
        self.history.append(event)
        return event

    async def environment(
        self, project: str, data: Sequence[str] = (), source: PodSource | None = None
    ) -> Environment:
        for folder in (project, *data):
            if not os.path.isdir(folder):  # noqa: ASYNC240 - a test's folder
                raise errors.NoSuchPath(path=folder, problem="does not exist")
        found = files_of(project)
        return Environment(
            project=Folder(
                path=project,
                name=Path(project).name,
                files=len(found),
                bytes=sum(p.stat().st_size for p in found),
            ),
            version=ProjectVersion(commit="3f2c1a9" + "0" * 33, branch="main", dirty_count=2),
            dockerfile="Dockerfile" if (Path(project) / "Dockerfile").exists() else None,
            data=[Folder(path=p, name=Path(p).name) for p in data],
        )

    async def plan(self, request: ShareRequest) -> Plan:
        environment = await self.environment(request.project, request.data)
        plan = Plan(
            name=request.name or f"{environment.project.name}-2026-11-23",
            route=Route.STAY,
            node="lab-3",
            reasons=[Finding(code="fits", message="Here, on node lab-3: 2 CPU are free.")],
            copied=[
                CopiedItem(
                    role="code",
                    name=environment.project.name,
                    source=request.project,
                    mount="/home/analyst/project",
                    files=environment.project.files,
                    bytes=environment.project.bytes,
                )
            ],
            not_copied=[NotCopiedItem(name=".ssh", reason="keys stay where they are")],
            version=environment.version,
            cpu=request.cpu or 2,
            memory=request.memory or 2 * 1024**3,
        )
        if environment.dockerfile is None:
            error = NoDockerfile(project=environment.project.name)
            plan.refusals.append(Finding(code=error.code, message=error.message, hint=error.hint))
        return plan

    async def share(self, request: ShareRequest, idempotency_key: str | None = None) -> Migration:
        self.keys.append(idempotency_key)
        migration = Migration(
            id=f"m{len(self.shares) + 1:03}x",
            owner="me",
            name=request.name or Path(request.project).name,
            state=MigrationState.QUEUED,
            created=utcnow(),
            request=request,
        )
        self.shares[migration.id] = migration
        return migration

    async def get(
        self, migration_id: str, *, token: bool = False, changes: bool = False
    ) -> Migration:
        migration = self._find(migration_id).model_copy(deep=True)
        if token and migration.result and migration.result.url:
            migration.result.url += "?token=t0ken"
        if changes:
            migration.changes = SourceChanges(files=1, first=["project/train.py"])
        return migration

    async def list(
        self, limit: int | None = None, before: str | None = None
    ) -> Sequence[Migration]:
        return list(reversed(self.shares.values()))

    async def events(
        self, migration_id: str | None = None, after: int | None = None
    ) -> AsyncIterator[Event]:
        assert migration_id is not None
        for event in [e for e in self.history if e.migration == migration_id]:
            if event.id > (after or 0):
                yield event
        migration = self._find(migration_id)
        if not migration.state.final:
            async for event in self._work(migration):
                yield event

    async def _work(self, migration: Migration) -> AsyncIterator[Event]:
        if migration.state is MigrationState.CANCELLING:
            migration.state = MigrationState.CANCELLED
            yield self._tell(migration, state=migration.state)
            return
        migration.plan = await self.plan(migration.request)
        if migration.plan.refusals:
            migration.state = MigrationState.FAILED
            migration.error = Finding(code="refused", message="The share was refused.")
            yield self._tell(migration, state=migration.state)
            return
        migration.state = MigrationState.RUNNING
        for name in (StepName.CHECK, StepName.BUILD, StepName.COPY, StepName.LAUNCH):
            if self.before_step:
                self.before_step(name)
                await asyncio.sleep(0)
            step = Step(name=name, state=StepState.RUNNING, started=utcnow(), percent=0)
            yield self._tell(migration, step=step)
            if name is StepName.BUILD:
                for line in self.says:
                    yield self._tell(migration, line=line)
            if name is self.fails_at:
                migration.state = MigrationState.FAILED
                error = BuildFailed(line=7, instruction="RUN false", id=migration.id)
                migration.error = Finding(code=error.code, message=error.message, hint=error.hint)
                yield self._tell(
                    migration, step=step.model_copy(update={"state": StepState.FAILED})
                )
                yield self._tell(migration, state=migration.state)
                return
            if name is StepName.COPY:
                volume = self.store / migration.id
                shutil.copytree(migration.request.project, volume, dirs_exist_ok=True)
            done = step.model_copy(update={"state": StepState.DONE, "finished": utcnow()})
            migration.steps.append(done)
            yield self._tell(migration, step=done)
        copied = len(files_of(str(self.store / migration.id)))
        migration.state = MigrationState.SUCCEEDED
        migration.finished = utcnow()
        migration.environment = LaunchedEnvironment(status=EnvironmentStatus.RUNNING)
        migration.result = MigrationResult(
            url="http://127.0.0.1:49153/lab",
            place=Place(engine="docker", node="lab-3", name=f"secxops-{migration.id}"),
            image=ImageResult(reference="p:1", digest=IMAGE, size=10),
            volumes=[
                VolumeResult(
                    role="code", name="v", mount="/home", files=copied, bytes=1, manifest="ab" * 32
                )
            ],
            evidence=Evidence(files_equal=copied, image_running=IMAGE, image_built=IMAGE),
        )
        yield self._tell(migration, state=migration.state)

    async def log(self, migration_id: str) -> str:
        self._find(migration_id)
        lines = [e.line for e in self.history if e.migration == migration_id and e.line is not None]
        return "".join(f"{line}\n" for line in lines)

    async def cancel(self, migration_id: str) -> Migration:
        migration = self._find(migration_id)
        if migration.state in (MigrationState.SUCCEEDED, MigrationState.FAILED):
            raise errors.WrongState(state=migration.state.value, wanted="running")
        migration.state = MigrationState.CANCELLING
        return migration

    async def retry(self, migration_id: str) -> Migration:
        migration = self._find(migration_id)
        migration.state, migration.error = MigrationState.QUEUED, None
        migration.attempt += 1
        return migration

    async def stop(self, migration_id: str) -> Migration:
        migration = self._find(migration_id)
        migration.environment = LaunchedEnvironment(status=EnvironmentStatus.STOPPED)
        return migration

    async def start(self, migration_id: str) -> Migration:
        migration = self._find(migration_id)
        migration.environment = LaunchedEnvironment(status=EnvironmentStatus.RUNNING)
        return migration

    async def delete(self, migration_id: str) -> None:
        self.shares.pop(migration_id, None)
        shutil.rmtree(self.store / migration_id, ignore_errors=True)

    async def orphans(self) -> Sequence[Orphan]:
        return list(self.orphaned)

    async def adopt(self) -> Sequence[Migration]:
        found, self.lost = self.lost, []
        return found

    async def sweep(self) -> Sequence[Orphan]:
        found, self.orphaned = self.orphaned, []
        return found

    async def doctor(self) -> ServiceReport:
        return ServiceReport(service={"pid": 1, "version": "0.1.0"}, checks=self.checks)


@dataclass
class Said:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Secxops = Callable[..., Said]
