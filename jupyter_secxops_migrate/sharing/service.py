"""The service: who may do what to which migration, and what became of the environments.

`MigrationService` is shared by all owners; `MigrationService.for_owner` gives one owner's view, which
is the `MigrationApi` that routes call. Ownership is checked here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from datetime import timedelta
from pathlib import Path, PurePath, PurePosixPath
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from .. import errors
from ..engines.orders import Launched, Observation
from ..engines.roles import Ends, distant
from ..environment.survey import asked_for, survey
from ..model import (
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
    SourceChanges,
    utcnow,
)
from ..operations.errors import StoreUnwritable
from ..operations.kind import fresh_steps
from ..operations.record import finding
from ..operations.service import Operations
from ..operations.store import UNDER_WAY
from ..operations.tenant import Surroundings
from ..project.project import find_project
from ..runtime import version
from ..threads import Threads
from .checks import record_check
from .document import Image, ShareDocument, names_and_ids
from .flow import Sharing
from .front import opening
from .plan import default_name
from .record import taken_back
from .refusals import no_dockerfile
from .since import changes_since

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_LOOK_AGAIN_SECONDS = 1.0
_LIST_AGAIN_SECONDS = 5.0
_LOOKS_AT_ONCE = 16
_LOOK_SECONDS = 30.0
_GLIMPSE_SECONDS = 0.5
_COMPARE_SECONDS = 5.0
_START_SECONDS = 120.0
_START_LOOK_SECONDS = 0.5

log = logging.getLogger(__name__)


def new_id() -> str:
    """Return a fresh migration id: a letter and nine letters or digits."""
    return "m" + "".join(secrets.choice(_ALPHABET) for _ in range(9))


_BEING_MADE = timedelta(minutes=15)
"""For how long what nobody accounts for may be of a plan, or of a build, that is under way."""


class MigrationService:
    """Everything behind the API; implements `operations.tenant.KindService`.

    Parameters
    ----------
    operations
        Of all kinds; it registers its own.
    around
        Where each migration's files are, where containers run, and what may run there.
    """

    def __init__(self, operations: Operations, around: Surroundings) -> None:
        self.data_dir = around.folder
        self.engine = around.engine
        self._ends = Ends(around.source or around.engine, around.engine)
        self.operations = operations
        self.store = operations.store
        folder = around.folder / "migrations"
        self.sharing = Sharing(operations, self._ends, around.policy, folder)
        operations.register(self.sharing)
        self.kit = self.sharing.kit
        self.records = self.kit.records
        self._seen: dict[str, tuple[float, Observation]] = {}
        self._looking: dict[str, asyncio.Task[Observation | None]] = {}
        self.sources = Threads("sources", 2)
        """What looks at sources once more; one that stands still is not waited for."""
        self._comparing: dict[str, asyncio.Task[SourceChanges | None]] = {}
        self._looks = asyncio.Semaphore(_LOOKS_AT_ONCE)
        self._untold: set[str] = set()
        self._stopping: set[str] = set()
        """Environments that are being stopped: an engine says of these that they run."""
        self._following: dict[str, asyncio.Task[None]] = {}

    async def opened(self) -> None:
        """Take from the record what is needed of it, before anything goes on."""
        self.kit.tag = await self.records.identity()

    async def leave(self) -> None:
        """End what looks at environments and sources."""
        following: list[asyncio.Task[Any]] = [*self._following.values(), *self._looking.values()]
        following += self._comparing.values()
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)

    async def left(self) -> None:
        """Let go of the engine, once nothing is under way any more."""
        await self._ends.close()
        self.kit.files.close()
        self.sources.close()

    def for_owner(self, owner: str) -> OwnerApi:
        """Return one owner's view."""
        return OwnerApi(self, owner)

    async def seen(self, migration_id: str, *, fresh: bool = False) -> Observation:
        """Look at a launched environment, at most once a second."""
        at, observation = self._seen.get(migration_id, (0.0, None))
        if fresh or observation is None or time.monotonic() - at > _LOOK_AGAIN_SECONDS:
            observation = await self.engine.inspect(migration_id, fresh=fresh)
            self._seen[migration_id] = (time.monotonic(), observation)
        return observation

    async def glimpse(self, migration: Migration, *, in_list: bool = False) -> Observation | None:
        """Return what a launched environment was like when it was last looked at, None if unknown.

        If that was a while ago it is looked at again, and waited for only a moment, in a list where it
        was seen before not even that: a list of a thousand must not wait for a thousand answers, nor
        anybody for an image that answers a byte a second. What is seen later is said as an event.
        """
        at, before = self._seen.get(migration.id, (0.0, None))
        good_for = _LIST_AGAIN_SECONDS if in_list else _LOOK_AGAIN_SECONDS
        if before is not None and time.monotonic() - at <= good_for:
            return before
        looking = self._looking.get(migration.id)
        if looking is None:
            looking = asyncio.create_task(self._look_again(migration, before))
            self._looking[migration.id] = looking
            looking.add_done_callback(lambda _: self._looking.pop(migration.id, None))
        if in_list and before is not None:
            return before
        await asyncio.wait([looking], timeout=_GLIMPSE_SECONDS)
        if looking.done():
            return None if looking.cancelled() else looking.result()
        self._untold.add(migration.id)
        return before

    async def _look_again(
        self, migration: Migration, before: Observation | None
    ) -> Observation | None:
        try:
            async with self._looks:
                seen = await asyncio.wait_for(self.seen(migration.id), _LOOK_SECONDS)
        except (errors.SecxopsError, asyncio.TimeoutError):
            return None  # the engine is away: what is recorded is still true
        changed = before is not None and seen.status is not before.status
        if (changed or migration.id in self._untold) and not self.stops(migration.id):
            await self.say(migration, seen)
        self._untold.discard(migration.id)
        return seen

    async def changes(self, migration: Migration) -> SourceChanges | None:
        """Return what changed at a share's source; None where that can't be said in some seconds."""
        if migration.state is not MigrationState.SUCCEEDED:
            return None
        looking = self._comparing.get(migration.id)
        if looking is None:
            looking = asyncio.create_task(self._compare(migration))
            self._comparing[migration.id] = looking
            looking.add_done_callback(lambda _: self._comparing.pop(migration.id, None))
        await asyncio.wait([looking], timeout=_COMPARE_SECONDS)
        return looking.result() if looking.done() and not looking.cancelled() else None

    async def _compare(self, migration: Migration) -> SourceChanges | None:
        folders = await self.sharing.copying.copied_from(migration)
        return None if folders is None else await self.sources.run(changes_since, folders)

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
                await self.say(migration, seen)
                return

    def stops(self, migration_id: str) -> bool:
        """Whether an environment is being stopped."""
        return migration_id in self._stopping

    @contextlib.asynccontextmanager
    async def stopping(self, migration: Migration) -> AsyncIterator[None]:
        """Show an environment as being stopped, and as it was before if that fails."""
        self._stopping.add(migration.id)
        await self.say(migration, LaunchedEnvironment(status=EnvironmentStatus.STOPPING))
        try:
            yield
        except BaseException:
            _, before = self._seen.get(migration.id, (0.0, None))
            status = before.status if before else EnvironmentStatus.RUNNING
            await self.say(migration, LaunchedEnvironment(status=status))
            raise
        finally:
            self._stopping.discard(migration.id)

    async def say(self, migration: Migration, seen: LaunchedEnvironment | Observation) -> None:
        """Say what an environment is like; where the record is full, only whoever looks sees it."""
        with contextlib.suppress(StoreUnwritable):
            await self.records.say(migration, "environment", {"status": seen.status.value})

    def forget(self, migration_id: str) -> None:
        """Drop what was seen, and look no more."""
        self.unfollow(migration_id)
        if (looking := self._looking.get(migration_id)) is not None:
            looking.cancel()
        self._untold.discard(migration_id)
        self._seen.pop(migration_id, None)


class OwnerApi:
    """What one owner can do; implements `jupyter_secxops_migrate.api.MigrationApi`."""

    def __init__(self, service: MigrationService, owner: str) -> None:
        self._service = service
        self._operations = service.operations
        self._records = service.records
        self._kit = service.kit
        self._looking = service.sharing.looking
        self.owner = owner

    # ------------------------------------------------------------------ before

    async def environment(
        self, project: str, data: Sequence[str] = (), source: PodSource | None = None
    ) -> Environment:
        """Observe the running environment of a project."""
        roles = self._kit.roles(source)
        if distant(roles.source):
            asked = ShareRequest(project=project, data=list(data), source=source)
            found, _ = await self._looking.survey(roles, asked, self.owner)
        else:
            root = find_project(Path(project))
            found = await self._kit.files.run(survey, root, [Path(d) for d in data], None)
        environment = Environment(
            project=found.project,
            version=found.version,
            dockerfile=found.dockerfile_path if found.dockerfile else None,
            data=list(found.data),
        )
        if found.dockerfile_error is not None:
            environment.problems.append(finding(found.dockerfile_error))
        elif found.dockerfile is None:
            environment.problems.append(finding(no_dockerfile(found, found.project.name)))
        try:
            place, capacity = await asyncio.gather(
                roles.source.source(), roles.housekeeping.capacity(())
            )
        except errors.SecxopsError as error:
            environment.problems.append(finding(error))
            return environment
        environment.engine, environment.kind = self._service.engine.name, place.kind
        environment.container, environment.image = place.container, place.image
        environment.cpu, environment.memory, environment.gpu = place.cpu, place.memory, place.gpu
        environment.node = capacity.here
        for folder in (environment.project, *environment.data):
            try:
                folder.mount = (await roles.source.locate(Path(folder.path))).mount
            except errors.Refusal as refusal:
                environment.problems.append(finding(refusal))
        return environment

    async def plan(self, request: ShareRequest) -> Plan:
        """Decide what a share would do; touches nothing."""
        return (await self._looking.look(request, self.owner)).plan

    # ------------------------------------------------------------------ a share

    async def share(self, request: ShareRequest, idempotency_key: str | None = None) -> Migration:
        """Record a share and queue it."""
        roles = self._kit.roles(request.source)
        if distant(roles.source) is None:
            project: PurePath = await self._kit.files.run(_asked_for, request)
        else:
            project = PurePosixPath(request.project)
            # What is mistyped is no share there either; what else is wrong its check says.
            with contextlib.suppress(errors.Refusal, errors.TemporaryError):
                await self._looking.survey(roles, request, self.owner)
        body = json.dumps(request.model_dump(mode="json"), sort_keys=True)
        migration = Migration(
            id=new_id(),
            owner=self.owner,
            name=request.name or default_name(project.name),
            state=MigrationState.QUEUED,
            created=utcnow(),
            request=request,
            steps=fresh_steps(self._service.sharing),
        )
        digest = hashlib.sha256(body.encode()).hexdigest()
        return await self._operations.add(
            self._records, migration, idempotency_key, digest, named=request.name is not None
        )

    async def get(
        self, migration_id: str, *, token: bool = False, changes: bool = False
    ) -> Migration:
        """Return one migration; with ``token``, ``result.url`` carries its token."""
        migration = await self._records.get(migration_id, self.owner)
        migration = await self._observed(migration)
        if changes:
            migration.changes = await self._service.changes(migration)
        # One that was taken back may keep its token to itself.
        known = not migration.adopted or self._kit.has_token(migration_id)
        if token and known and migration.result is not None and migration.result.url is not None:
            secret = quote(self._kit.token(migration_id), safe="")
            migration.result.url = f"{migration.result.url}?token={secret}"
        return migration

    async def list(
        self, limit: int | None = None, before: str | None = None
    ) -> Sequence[Migration]:
        """Return the owner's migrations, newest first."""
        found = await self._records.list(self.owner, limit, before)
        return await asyncio.gather(*(self._observed(m, in_list=True) for m in found))

    async def _observed(
        self, migration: Migration, *, fresh: bool = False, in_list: bool = False
    ) -> Migration:
        """Add what became of the environment."""
        if migration.state is not MigrationState.SUCCEEDED or migration.result is None:
            return migration
        if self._service.stops(migration.id):
            migration.environment = LaunchedEnvironment(status=EnvironmentStatus.STOPPING)
            migration.result.url = None
            return migration
        if fresh:
            try:
                seen: Observation | None = await self._service.seen(migration.id, fresh=True)
            except errors.SecxopsError:
                return migration
        else:
            seen = await self._service.glimpse(migration, in_list=in_list)
        if seen is None:
            return migration  # what is recorded is still true
        migration.environment = LaunchedEnvironment(status=seen.status)
        # The port changes when it is started again.
        migration.result.url = opening(seen.url, migration.result.front)
        return migration

    def events(
        self, migration_id: str | None = None, after: int | None = None
    ) -> AsyncGenerator[Event]:
        """Yield events as they happen, after replaying those past ``after``."""
        return self._operations.events(self._records, self.owner, migration_id, after)

    async def log(self, migration_id: str) -> str:
        """Return the share's log so far."""
        return await self._operations.log(self._records, migration_id, self.owner)

    async def cancel(self, migration_id: str) -> Migration:
        """Ask it to end."""
        return await self._operations.cancel(self._records, migration_id, self.owner)

    async def retry(self, migration_id: str) -> Migration:
        """Run a failed or cancelled one again as its next attempt."""
        return await self._operations.retry(self._records, migration_id, self.owner)

    # ------------------------------------------------------------------ life after

    async def stop(self, migration_id: str) -> Migration:
        """Stop the launched environment; its volumes and image stay."""
        migration = await self._launched(migration_id)
        self._service.unfollow(migration_id)
        async with self._service.stopping(migration):
            await self._service.engine.stop(migration_id)
        return await self._changed(migration)

    async def start(self, migration_id: str) -> Migration:
        """Start a stopped environment again."""
        migration = await self._launched(migration_id)
        if self._service.stops(migration_id):
            raise errors.WrongState(state="stopping", wanted="stopped")
        seen = await self._service.seen(migration_id, fresh=True)
        if seen.status is EnvironmentStatus.GONE:
            raise errors.WrongState(state="gone", wanted="stopped")
        await self._service.engine.start(migration_id)
        migration = await self._changed(migration)
        now = migration.environment
        if now is not None and now.status is EnvironmentStatus.STARTING:
            self._service.follow(migration)
        return migration

    async def _launched(self, migration_id: str) -> Migration:
        migration = await self._records.get(migration_id, self.owner)
        if migration.state is not MigrationState.SUCCEEDED:
            raise errors.WrongState(state=migration.state.value, wanted="succeeded")
        return migration

    async def _changed(self, migration: Migration) -> Migration:
        migration = await self._observed(migration, fresh=True)
        if migration.environment is not None:
            await self._service.say(migration, migration.environment)
        return migration

    async def delete(self, migration_id: str) -> None:
        """Remove container, volumes, image if unused, and the record."""
        await self._operations.end(self._records, migration_id, self.owner)
        # First: an event after that of the deletion would be about nothing.
        self._service.forget(migration_id)
        await self._service.sharing.remove(migration_id)
        self._kit.forget_files(migration_id)
        self._service.forget(migration_id)
        await self._operations.remove(migration_id)

    async def orphans(self) -> Sequence[Orphan]:
        """List the owner's objects in the engine that no share accounts for."""
        await self._kit.identify()
        owner = self._kit.engine_owner(self.owner)
        owned = await self._service.engine.owned(owner)
        known = set(await self._records.ids())
        unknown = any(o.migration is not None and o.migration not in known for o in owned)
        launched = [one for one, _ in await self._lost()] if unknown else []
        lost = {one.migration for one in launched}
        under_way = set(await self._records.ids(*UNDER_WAY, MigrationState.SUCCEEDED))
        names, ids = names_and_ids(
            [*(await self._records.documents()).values()],
            [Image.model_validate(one.image) for one in launched],
        )
        return [
            o.model_copy(update={"adoptable": o.migration in lost})
            for o in owned
            if (
                not _has_image(o, names, ids)
                if o.kind == "image"
                else (o.migration not in known and not _of_a_plan(o))
                or (o.migration in known and o.migration not in under_way)  # those keep nothing
            )
        ]

    async def sweep(self) -> Sequence[Orphan]:
        """Remove the orphans, but no shares that can be adopted; return what was removed."""
        found = [orphan for orphan in await self.orphans() if not orphan.adoptable]
        await self._service.engine.remove(found)
        left = {(o.kind, o.name) for o in await self.orphans()}
        return [o for o in found if (o.kind, o.name) not in left]

    async def _lost(self) -> Sequence[tuple[Launched, Migration]]:
        """Return what was launched and is not on record any more, with the record that it would have."""
        engine, known = self._service.engine, set(await self._records.ids())
        found = []
        for one in await engine.launched(self._kit.engine_owner(self.owner)):
            if one.migration in known:
                continue
            try:
                Image.model_validate(one.image)
                found.append((one, taken_back(one, self.owner, engine.name)))
            except ValidationError:
                log.warning("%s: what the engine says of it is no share", one.migration)
        return found

    async def adopt(self) -> Sequence[Migration]:
        """Take launched shares that only the engine knows into the record; return them."""
        await self._kit.identify()
        found = []
        for one, record in await self._lost():
            self._kit.keep_token(one.migration, one.token)
            document = ShareDocument(image=Image.model_validate(one.image))
            found.append(await self._records.take_back(record, document))
        return found

    async def doctor(self) -> ServiceReport:
        """Check the service, its engine and its surroundings."""
        checks = await self._service.engine.doctor()
        checks.append(await self._records.look(record_check, self._service.store))
        return ServiceReport(
            service={
                "pid": os.getpid(),
                "version": version(),
                "data": str(self._service.data_dir),
                "log": str(self._service.data_dir / "service.log"),
            },
            checks=checks,
        )


def _asked_for(request: ShareRequest) -> Path:
    """Return the project of a request whose folders and version are there: what is mistyped is no share."""
    root = find_project(Path(request.project))
    asked_for(root, [Path(folder) for folder in request.data], request.version)
    return root


def _of_a_plan(found: Orphan) -> bool:
    """Whether a Job that belongs to no migration may be that of a plan which is being made."""
    return found.role == "job" and found.migration is None and _young(found)


def _has_image(found: Orphan, names: Collection[str], ids: Collection[str]) -> bool:
    """Whether a migration has an image, or may be about to give it its name."""
    digits = found.name.removeprefix("sha256:")
    if digits == found.name:
        return found.name in names
    return _young(found) or any(digits.startswith(i.removeprefix("sha256:")) for i in ids)


def _young(found: Orphan) -> bool:
    return found.created is not None and utcnow() - found.created < _BEING_MADE
