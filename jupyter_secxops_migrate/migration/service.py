"""The service: who may do what to which migration, and what became of the environments.

`MigrationService` is shared by all owners; `MigrationService.for_owner` gives one owner's view, which
is the `MigrationApi` that routes call. Ownership is checked here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from .. import errors
from ..engines.base import Engine, Observation
from ..environment.project import find_project
from ..environment.survey import survey
from ..model import (
    Check,
    Environment,
    EnvironmentStatus,
    Event,
    LaunchedEnvironment,
    Migration,
    MigrationState,
    Orphan,
    Plan,
    PodSource,
    ServiceReport,
    ShareRequest,
    Step,
    StepName,
    utcnow,
)
from ..placement.policy import ResourcePolicy
from ..runtime import version
from .plan import default_name, finding
from .steps import PATIENCE_SECONDS, Steps
from .store import Store
from .workflow import Flow

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_LOOK_AGAIN_SECONDS = 1.0
_LIST_AGAIN_SECONDS = 5.0
_LOOKS_AT_ONCE = 4
_WAIT_SECONDS = 5.0
_START_SECONDS = 120.0
_START_LOOK_SECONDS = 0.5


def new_id() -> str:
    """Return a fresh migration id: a letter and nine letters or digits."""
    return "m" + "".join(secrets.choice(_ALPHABET) for _ in range(9))


_PLAN_TAKES = timedelta(minutes=15)


class MigrationService:
    """Everything behind the API.

    Parameters
    ----------
    data_dir
        Where the store and each migration's files are; only its owner may enter.
    engine, policy
        Where containers run, and what may run there.
    store_url
        SQLAlchemy URL of the record; a SQLite file in ``data_dir`` by default.
    workers
        How many migrations are under way at once.
    patience
        How long a migration waits for an engine that is away, in seconds.
    """

    def __init__(
        self,
        data_dir: Path,
        engine: Engine,
        policy: ResourcePolicy,
        store_url: str | None = None,
        workers: int = 2,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.data_dir = data_dir
        self.engine = engine
        self.store = Store(store_url or f"sqlite:///{data_dir / 'store.sqlite'}")
        self.steps = Steps(self.store, engine, policy, data_dir / "migrations", workers, patience)
        self.flow = Flow(self.steps, store_url or f"sqlite:///{data_dir / 'dbos.sqlite'}")
        self._seen: dict[str, tuple[float, Observation]] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._looks = asyncio.Semaphore(_LOOKS_AT_ONCE)
        self._starting = 0
        self._following: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Open the record and go on with what was under way."""
        await asyncio.to_thread(self.store.open)
        self.steps.tag = self.store.identity(secrets.token_hex(8))
        await self.flow.launch()
        for migration_id in self.store.ids(
            MigrationState.QUEUED, MigrationState.RUNNING, MigrationState.CANCELLING
        ):
            # Recorded, and killed before the workflow was: started now. Others are left alone.
            await self.flow.start(migration_id, self.store.get(migration_id).attempt)

    async def close(self) -> None:
        """Let go; what is under way is taken up by the next start."""
        following = [*self._following.values(), *self._looking.values()]
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        await self.flow.close()
        await self.engine.close()
        self.store.close()

    def busy(self) -> bool:
        """Whether something is queued or under way."""
        return bool(self._starting) or bool(
            self.store.ids(MigrationState.QUEUED, MigrationState.RUNNING, MigrationState.CANCELLING)
        )

    def for_owner(self, owner: str) -> OwnerApi:
        """Return one owner's view."""
        return OwnerApi(self, owner)

    async def begin(self, migration: Migration) -> None:
        """Start a migration's current attempt."""
        self._starting += 1
        try:
            await self.flow.start(migration.id, migration.attempt)
        finally:
            self._starting -= 1

    async def seen(self, migration_id: str, *, fresh: bool = False) -> Observation:
        """Look at a launched environment, at most once a second."""
        at, observation = self._seen.get(migration_id, (0.0, None))
        if fresh or observation is None or time.monotonic() - at > _LOOK_AGAIN_SECONDS:
            observation = await self.engine.inspect(migration_id, fresh=fresh)
            self._seen[migration_id] = (time.monotonic(), observation)
        return observation

    def seen_before(self, migration: Migration) -> Observation | None:
        """Return what a launched environment was like when it was last looked at.

        If that was long ago it is looked at again, beside; a change is said as an event. A list of
        a thousand must not wait for a thousand answers of the engine.
        """
        at, observation = self._seen.get(migration.id, (0.0, None))
        if (
            observation is not None
            and migration.id not in self._looking
            and time.monotonic() - at > _LIST_AGAIN_SECONDS
        ):
            task = asyncio.create_task(self._look_again(migration, observation))
            self._looking[migration.id] = task
            task.add_done_callback(lambda _: self._looking.pop(migration.id, None))
        return observation

    async def _look_again(self, migration: Migration, before: Observation) -> None:
        with contextlib.suppress(errors.SecxopsError):
            async with self._looks:
                seen = await self.seen(migration.id)
            if seen.status is not before.status:
                self.store.say_environment(migration, seen.status.value)

    def follow(self, migration: Migration) -> None:
        """Say it when an environment that is being started answers, or ends."""
        self.unfollow(migration.id)
        self._following[migration.id] = asyncio.create_task(self._until_started(migration))

    def unfollow(self, migration_id: str) -> None:
        """Leave what comes next to whoever stops or deletes it: they say so themselves."""
        task = self._following.pop(migration_id, None)
        if task is not None:
            task.cancel()

    async def _until_started(self, migration: Migration) -> None:
        for _ in range(int(_START_SECONDS / _START_LOOK_SECONDS)):
            await asyncio.sleep(_START_LOOK_SECONDS)
            try:
                seen = await self.seen(migration.id, fresh=True)
            except errors.SecxopsError:
                continue
            if seen.status is not EnvironmentStatus.STARTING:
                self.store.say_environment(migration, seen.status.value)
                return

    def forget(self, migration_id: str) -> None:
        """Drop what was seen, and look no more."""
        self.unfollow(migration_id)
        self._seen.pop(migration_id, None)


class OwnerApi:
    """What one owner can do; implements `jupyter_secxops_migrate.api.MigrationApi`."""

    def __init__(self, service: MigrationService, owner: str) -> None:
        self._service = service
        self._store = service.store
        self._steps = service.steps
        self.owner = owner

    # ------------------------------------------------------------------ before

    async def environment(
        self, project: str, data: Sequence[str] = (), source: PodSource | None = None
    ) -> Environment:
        """Observe the running environment of a project."""
        engine = self._service.engine.at(source)
        if engine.outside:
            asked = ShareRequest(project=project, data=list(data), source=source)
            found, _ = await self._steps.survey(engine, asked, self.owner)
        else:
            root = find_project(Path(project))
            found = await asyncio.to_thread(survey, root, [Path(d) for d in data], None)
        environment = Environment(
            project=found.project,
            version=found.version,
            dockerfile=found.dockerfile_path if found.dockerfile else None,
            data=list(found.data),
        )
        if found.dockerfile_error is not None:
            environment.problems.append(finding(found.dockerfile_error))
        elif found.dockerfile is None:
            environment.problems.append(finding(errors.NoDockerfile(project=found.project.name)))
        try:
            place, capacity = await asyncio.gather(engine.source(), engine.capacity(()))
        except errors.SecxopsError as error:
            environment.problems.append(finding(error))
            return environment
        environment.engine, environment.kind = engine.name, place.kind
        environment.container, environment.image = place.container, place.image
        environment.cpu, environment.memory, environment.gpu = place.cpu, place.memory, place.gpu
        environment.node = capacity.here
        for folder in (environment.project, *environment.data):
            try:
                folder.mount = (await engine.locate(Path(folder.path))).mount
            except errors.Refusal as refusal:
                environment.problems.append(finding(refusal))
        return environment

    async def plan(self, request: ShareRequest) -> Plan:
        """Decide what a share would do; touches nothing."""
        return (await self._steps.look(request, self.owner)).plan

    # ------------------------------------------------------------------ a share

    async def share(self, request: ShareRequest, idempotency_key: str | None = None) -> Migration:
        """Record a migration and queue it."""
        outside = self._service.engine.at(request.source).outside
        # From outside, only its check can look there.
        project = PurePosixPath(request.project) if outside else find_project(Path(request.project))
        body = json.dumps(request.model_dump(mode="json"), sort_keys=True)
        migration = Migration(
            id=new_id(),
            owner=self.owner,
            name=request.name or default_name(project.name),
            state=MigrationState.QUEUED,
            created=utcnow(),
            request=request,
            steps=[Step(name=name) for name in StepName],
        )
        digest = hashlib.sha256(body.encode()).hexdigest()
        recorded = await asyncio.to_thread(self._store.add, migration, idempotency_key, digest)
        if recorded.id == migration.id:
            await self._service.begin(recorded)
        return recorded

    async def get(self, migration_id: str, *, token: bool = False) -> Migration:
        """Return one migration; with ``token``, ``result.url`` carries its token."""
        migration = await asyncio.to_thread(self._store.get, migration_id, self.owner)
        migration = await self._observed(migration)
        if token and migration.result is not None and migration.result.url is not None:
            secret = quote(self._steps.token(migration_id), safe="")
            migration.result.url = f"{migration.result.url}?token={secret}"
        return migration

    async def list(
        self, limit: int | None = None, before: str | None = None
    ) -> Sequence[Migration]:
        """Return the owner's migrations, newest first."""
        found = await asyncio.to_thread(self._store.list, self.owner, limit, before)
        return await asyncio.gather(*(self._observed(m, in_list=True) for m in found))

    async def _observed(
        self, migration: Migration, *, fresh: bool = False, in_list: bool = False
    ) -> Migration:
        """Add what became of the environment."""
        if migration.state is not MigrationState.SUCCEEDED or migration.result is None:
            return migration
        try:
            seen = self._service.seen_before(migration) if in_list else None
            if seen is None:
                seen = await self._service.seen(migration.id, fresh=fresh)
        except errors.SecxopsError:
            return migration  # the engine is away: what is recorded is still true
        migration.environment = LaunchedEnvironment(status=seen.status)
        # The port changes when it is started again.
        migration.result.url = seen.url
        return migration

    async def events(
        self, migration_id: str | None = None, after: int | None = None
    ) -> AsyncIterator[Event]:
        """Yield events as they happen, after replaying those past ``after``."""
        if migration_id is not None:
            await asyncio.to_thread(self._store.get, migration_id, self.owner)
        last = self._store.last_event() if after is None else after
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(news.set)

        unlisten = self._store.listen(wake)
        try:
            while True:
                news.clear()
                # Asked first, or the events of its end could slip in between.
                ended = migration_id is not None and await self._ended(migration_id)
                found = await asyncio.to_thread(
                    self._store.events_after, self.owner, last, migration_id
                )
                for event in found:
                    last = event.id
                    yield event
                if found:
                    continue
                if ended:
                    return
                try:
                    # Another process may write to a shared database: looked for now and then.
                    await asyncio.wait_for(
                        news.wait(), _WAIT_SECONDS if self._store.shared else None
                    )
                except asyncio.TimeoutError:
                    continue
        finally:
            unlisten()

    async def _ended(self, migration_id: str) -> bool:
        try:
            return (await asyncio.to_thread(self._store.get, migration_id)).state.final
        except errors.NotFound:
            return True

    async def log(self, migration_id: str) -> str:
        """Return the migration's log so far."""
        await asyncio.to_thread(self._store.get, migration_id, self.owner)
        return await asyncio.to_thread(self._store.log_text, migration_id)

    async def cancel(self, migration_id: str) -> Migration:
        """Ask it to end."""
        with self._store.edit(migration_id, self.owner) as draft:
            state = draft.migration.state
            if state in (MigrationState.SUCCEEDED, MigrationState.FAILED):
                raise errors.WrongState(state=state.value, wanted="queued or running")
            if not state.final:
                draft.migration.state = MigrationState.CANCELLING
        self._steps.abort(migration_id)
        return self._store.get(migration_id, self.owner)

    async def retry(self, migration_id: str) -> Migration:
        """Run a failed or cancelled one again as its next attempt."""
        with self._store.edit(migration_id, self.owner) as draft:
            migration = draft.migration
            if migration.state not in (MigrationState.FAILED, MigrationState.CANCELLED):
                raise errors.WrongState(state=migration.state.value, wanted="failed or cancelled")
            migration.state = MigrationState.QUEUED
            migration.attempt += 1
            migration.started = migration.finished = migration.error = None
            migration.steps = [Step(name=name) for name in StepName]
            # What could not be removed when it ended goes first.
            draft.facts = draft.facts if draft.facts.get("left") else {}
        queued = self._store.get(migration_id, self.owner)
        await self._service.begin(queued)
        return queued

    # ------------------------------------------------------------------ life after

    async def stop(self, migration_id: str) -> Migration:
        """Stop the launched environment; its volumes and image stay."""
        migration = self._launched(migration_id)
        self._service.unfollow(migration_id)
        await self._service.engine.stop(migration_id)
        return await self._changed(migration)

    async def start(self, migration_id: str) -> Migration:
        """Start a stopped environment again."""
        migration = self._launched(migration_id)
        seen = await self._service.seen(migration_id, fresh=True)
        if seen.status is EnvironmentStatus.GONE:
            raise errors.WrongState(state="gone", wanted="stopped")
        await self._service.engine.start(migration_id)
        migration = await self._changed(migration)
        now = migration.environment
        if now is not None and now.status is EnvironmentStatus.STARTING:
            self._service.follow(migration)
        return migration

    def _launched(self, migration_id: str) -> Migration:
        migration = self._store.get(migration_id, self.owner)
        if migration.state is not MigrationState.SUCCEEDED:
            raise errors.WrongState(state=migration.state.value, wanted="succeeded")
        return migration

    async def _changed(self, migration: Migration) -> Migration:
        migration = await self._observed(migration, fresh=True)
        if migration.environment is not None:
            self._store.say_environment(migration, migration.environment.status.value)
        return migration

    async def delete(self, migration_id: str) -> None:
        """Remove container, volumes, image if unused, and the record."""
        migration = self._store.get(migration_id, self.owner)
        if not migration.state.final:
            with contextlib.suppress(errors.WrongState):  # it ended just now
                await self.cancel(migration_id)
            async for _ in self.events(migration_id, after=0):
                pass  # ends when the cancelling has
        # First: an event after that of the deletion would be about nothing.
        self._service.forget(migration_id)
        await self._steps.delete(migration_id)
        self._steps.forget_files(migration_id)
        self._service.forget(migration_id)
        self._store.remove(migration_id)

    async def orphans(self) -> Sequence[Orphan]:
        """List the owner's objects in the engine that no migration accounts for."""
        owned = await self._service.engine.owned(self._steps.engine_owner(self.owner))
        known = set(self._store.ids())
        under_way = set(
            self._store.ids(
                MigrationState.QUEUED,
                MigrationState.RUNNING,
                MigrationState.CANCELLING,
                MigrationState.SUCCEEDED,
            )
        )
        return [
            o
            for o in owned
            if (o.migration not in known and not _of_a_plan(o))
            or (o.migration in known and o.migration not in under_way)  # those keep nothing
        ]

    async def sweep(self) -> Sequence[Orphan]:
        """Remove the orphans; return what was removed."""
        found = await self.orphans()
        await self._service.engine.remove(found)
        return found

    async def doctor(self) -> ServiceReport:
        """Check the service, its engine and its surroundings."""
        checks = await self._service.engine.doctor()
        found = await asyncio.to_thread(self._store.ids)
        checks.append(
            Check(name="store", state="ok", message=f"{len(found)} shares are on record.")
        )
        return ServiceReport(
            service={
                "pid": os.getpid(),
                "version": version(),
                "data": str(self._service.data_dir),
                "log": str(self._service.data_dir / "service.log"),
            },
            checks=checks,
        )


def _of_a_plan(found: Orphan) -> bool:
    """Whether a Job that belongs to no migration may be that of a plan which is being made."""
    young = found.created is not None and utcnow() - found.created < _PLAN_TAKES
    return found.role == "job" and found.migration is None and young
