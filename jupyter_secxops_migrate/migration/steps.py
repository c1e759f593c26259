"""What each step of a migration does.

Every step finds what it needs in the store and leaves there what the next one needs, so that it can
be repeated at any time: after a kill, or by a retry. The order of the steps is `workflow`'s.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import posixpath
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from .. import errors
from ..copying.manifest import read_manifest, to_text
from ..engines.base import (
    BuildOrder,
    BuildResult,
    CopyOrder,
    CopyResult,
    Engine,
    ImageProbe,
    LaunchOrder,
    LogLine,
    LookOrder,
    Measure,
    Names,
    Observation,
    OwnOrder,
    Progress,
    PushOrder,
    PushResult,
    SourcePlace,
    VerifyOrder,
    VerifyResult,
    VolumeCheck,
    VolumeMount,
    labels,
    owner_hash,
    slug,
)
from ..environment.context import BuildContext
from ..environment.look import survey_of
from ..environment.project import existing_folder, find_project
from ..environment.survey import Survey, survey
from ..model import (
    EnvironmentStatus,
    Evidence,
    Finding,
    ImageResult,
    MigrationResult,
    MigrationState,
    NodeCapacity,
    Place,
    Plan,
    Route,
    ShareRequest,
    StepName,
    StepState,
    VolumeResult,
    utcnow,
)
from ..placement.policy import ResourcePolicy
from .plan import finding, make_plan, mounts, observe_again, refused, refused_by
from .store import Draft, Store, in_registry

T = TypeVar("T")
log = logging.getLogger(__name__)

MEASURES_PER_SECOND = 4
TRIES = 3
PATIENCE_SECONDS = 60.0
_LONGEST_PAUSE = 5
# A call that lasted as long before it failed has seen its engine: the outage is a new one.
_LONG_SECONDS = 120
_CLEAR_AGAIN_SECONDS = (5, 10, 20, 40, 60)
_SUSPEND_SECONDS = 5


_OF_IMAGES = ("image", "images")
"""Facts that tell which images are to be removed: the last one, and those of builds before."""


class Given(Exception):
    """This branch ends because another one failed or the owner cancelled."""


@dataclass(frozen=True)
class Source:
    """What was found out about a share's source."""

    survey: Survey
    places: Mapping[str, SourcePlace | Finding]
    plan: Plan


class Steps:
    """The work of migrations, on one engine.

    Parameters
    ----------
    store, engine, policy
        What to work with.
    folder
        Where each migration keeps its manifests and its token, in a folder named by its id.
    workers
        How many migrations are under way at once; others are queued in order.
    patience
        How long to wait for an engine, or a part of it, that is away, in seconds.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        policy: ResourcePolicy,
        folder: Path,
        workers: int = 2,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.store = store
        self.engine = engine
        self.policy = policy
        self.folder = folder
        self.workers = workers
        self.patience = patience
        self.tag = ""
        """Tells the engine's objects of this store from those of another store of the same owner."""
        self._running: dict[str, set[asyncio.Task[Any]]] = {}
        self._sources: dict[tuple[str, int], Source] = {}
        self._looking: dict[str, asyncio.Lock] = {}
        self._copying: dict[str, dict[str, Measure]] = {}
        self._clearing: dict[str, asyncio.Task[Any]] = {}
        self._closing = False

    # ------------------------------------------------------------------ running and ending

    async def run(self, step: Callable[..., Awaitable[T]], migration: str, *more: str) -> T:
        """Run a step so that cancelling, and the failure of another branch, end it at once.

        Temporary errors are tried again. The first error of a migration is kept in its record.

        Raises
        ------
        errors.SecxopsError
            What went wrong.
        Given
            Somebody else's trouble ended it.
        """
        record = self.store.get(migration)
        # A branch that starts after another one failed has nothing to do any more.
        if record.state is MigrationState.CANCELLING or record.error is not None or self._closing:
            raise Given
        name = getattr(step, "__name__", "step")
        task: asyncio.Task[T] = asyncio.ensure_future(self._tried(step, migration, *more))
        branches = self._running.setdefault(migration, set())
        branches.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if not task.cancelled():
                task.cancel()
                raise
            raise Given from None
        except errors.SecxopsError as error:
            if not self._closing:
                self._keep_error(migration, error, name)
                self.abort(migration)
            raise
        except Exception:
            if self._closing:
                raise  # an engine that let go in the middle; the next start does it again
            log.exception("step %s of %s", name, migration)
            self._keep_error(migration, errors.SecxopsError(), name)
            self.abort(migration)
            raise
        finally:
            branches.discard(task)

    async def _tried(self, step: Callable[..., Awaitable[T]], migration: str, *more: str) -> T:
        """Try a few times; as long as the patience lasts where somebody is only away."""
        clock = asyncio.get_running_loop().time
        tries, pause = 0, 0
        away_since: float | None = None
        while True:
            began = clock()
            try:
                return await step(migration, *more)
            except errors.TemporaryError as error:
                now = clock()
                if now - began > _LONG_SECONDS and not error.planned:
                    away_since = None
                if not error.again:
                    raise
                if error.outage:
                    first = away_since is None
                    away_since = now if away_since is None else away_since
                    if now - away_since >= self.patience:
                        raise
                    pause = 1 if first else min(2 * pause, _LONGEST_PAUSE)
                else:
                    first = True
                    tries += 1
                    if tries >= TRIES:
                        raise
                    pause = tries
                if first:
                    log.warning("%s: %s; trying again", migration, error.code)
                    self.store.log(self.store.get(migration), [f"{error.message} Trying again."])
                await asyncio.sleep(pause)

    def abort(self, migration: str) -> None:
        """End what is running for a migration."""
        for task in list(self._running.get(migration, ())):
            task.cancel()

    async def suspend(self) -> None:
        """End what is running without a word in the record; the next start goes on."""
        self._closing = True
        running = [task for tasks in self._running.values() for task in tasks]
        running += self._clearing.values()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_SUSPEND_SECONDS)

    def _keep_error(self, migration: str, error: errors.SecxopsError, in_: str) -> None:
        """Keep the first error, and show the step that it happened in as failed.

        What ran beside has not failed: it was ended before its end.
        """
        with self.store.edit(migration) as draft:
            if draft.migration.error is None:
                draft.migration.error = finding(error)
            running = [s for s in draft.migration.steps if s.state is StepState.RUNNING]
            beside = {"build": StepName.COPY, "copy": StepName.BUILD}.get(in_)
            for step in running:
                if step.name is beside and len(running) > 1:
                    step.state = StepState.WAITING
                else:
                    step.state, step.finished = StepState.FAILED, utcnow()

    @asynccontextmanager
    async def _step(self, migration: str, name: StepName) -> AsyncIterator[Recorder]:
        """Record a step's start, its progress and its end."""
        with self.store.edit(migration) as draft:
            step = draft.step(name)
            step.state = StepState.RUNNING
            step.started = step.started or utcnow()
        recorder = Recorder(self.store, migration, name)
        try:
            yield recorder
        finally:
            recorder.flush()
        with self.store.edit(migration) as draft:
            step = draft.step(name)
            step.state, step.finished, step.percent = StepState.DONE, utcnow(), 100.0

    # ------------------------------------------------------------------ check

    async def survey(
        self, engine: Engine, request: ShareRequest, owner: str, migration: str | None = None
    ) -> tuple[Survey, Mapping[str, SourcePlace | Finding]]:
        """Look at the source, here or from outside; return it with what a Job mounts of it."""
        if engine.outside:
            project, *data = (posixpath.normpath(path) for path in (request.project, *request.data))
            owner = self.engine_owner(owner)
            said = await engine.look(LookOrder(owner, project, data, request.version, migration))
            found = survey_of(said, engine.arguments())
            return found, await self._places(engine, [Path(f.path) for f in _folders(found)])
        root = find_project(Path(request.project))
        folders = [existing_folder(Path(d)) for d in request.data]
        places = await self._places(engine, [root, *folders])
        found = await asyncio.to_thread(
            survey,
            root,
            folders,
            request.version,
            build_args=engine.arguments(),
            covered={k: p.covered for k, p in places.items() if isinstance(p, SourcePlace)},
        )
        return found, places

    async def _places(
        self, engine: Engine, paths: Sequence[Path]
    ) -> Mapping[str, SourcePlace | Finding]:
        places: dict[str, SourcePlace | Finding] = {}
        for path in paths:
            try:
                places[str(path)] = await engine.locate(path)
            except errors.Refusal as refusal:
                places[str(path)] = finding(refusal)
        return places

    async def look(
        self,
        request: ShareRequest,
        owner: str,
        name: str | None = None,
        migration: str | None = None,
    ) -> Source:
        """Observe the source and decide a plan; touches nothing."""
        engine = self.engine.at(request.source)
        found, places = await self.survey(engine, request, owner, migration)
        volumes = [p.source for p in places.values() if isinstance(p, SourcePlace)]
        source, capacity, features = await asyncio.gather(
            engine.source(), engine.capacity(volumes), engine.features()
        )
        bases = {}
        for base in found.dockerfile.bases() if found.dockerfile else ():
            bases[base] = await engine.image(base)
        plan = make_plan(
            request,
            found,
            source,
            capacity,
            features=features,
            bases=bases,
            policy=self.policy,
            places=places,
            name_default=name,
        )
        return Source(found, places, plan)

    async def begin(self, migration: str) -> None:
        """Wait for its turn, and take it. One that had it before a restart has it still."""
        if (clearing := self._clearing.get(migration)) is not None:
            # What an earlier attempt left is removed below, once it is this one's turn.
            clearing.cancel()
            await asyncio.wait([clearing])
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        unlisten = self.store.listen(wake)
        try:
            # Nothing else on this loop comes between the look and the change.
            while self.store.get(migration).state is MigrationState.QUEUED:
                changed.clear()
                if self.store.next_in_line(self.workers) == migration:
                    break
                await changed.wait()
        finally:
            unlisten()
        with self.store.edit(migration) as draft:
            if draft.migration.state is MigrationState.QUEUED:
                draft.migration.state = MigrationState.RUNNING
            draft.migration.started = draft.migration.started or utcnow()
        if self.store.read(migration).facts.get("left"):
            await self.delete(migration)
            with self.store.edit(migration) as draft:
                draft.facts = {}

    async def check(self, migration: str) -> None:
        """Plan the migration; a refusal ends it."""
        async with self._step(migration, StepName.CHECK):
            record = self.store.get(migration)
            try:
                source = await self.look(record.request, record.owner, record.name, migration)
            except errors.Refusal as refusal:
                # Without a look there is no plan that could say so.
                raise refused_by([finding(refusal)]) from None
            no = refused(source.plan)
            if isinstance(no, errors.TemporaryError):
                raise no  # and look again, for another plan
            self._sources[migration, record.attempt] = source
            with self.store.edit(migration) as draft:
                draft.migration.plan = source.plan
                draft.migration.plans = [*draft.migration.plans, source.plan]
                draft.facts["keys"] = _keys(source.survey)
                draft.facts["moves"] = source.plan.route.value == "move"
                draft.facts["decided"] = [_decided(source.plan)]
                if source.plan.route is Route.STAY:
                    draft.step(StepName.PUSH).state = StepState.SKIPPED
            if no is not None:
                raise no

    async def keys(self, migration: str) -> list[str]:
        """Return the keys of the folders to copy: ``code``, ``data-1`` …"""
        return list(self.store.read(migration).facts["keys"])

    async def _source(self, migration: str) -> Source:
        """Return what `check` found; looked at again after a restart."""
        record = self.store.get(migration)
        async with self._looking.setdefault(migration, asyncio.Lock()):
            found = self._sources.get((migration, record.attempt))
            if found is None:
                found = await self.look(record.request, record.owner, record.name, migration)
                if record.plan is not None:
                    found = Source(found.survey, found.places, record.plan)
                self._sources[migration, record.attempt] = found
            return found

    def _engine(self, migration: str) -> Engine:
        """Return the engine as it is for a migration's source."""
        return self.engine.at(self.store.get(migration).request.source)

    # ------------------------------------------------------------------ build

    async def build(self, migration: str) -> None:
        """Build the image from the project's Dockerfile."""
        source = await self._source(migration)
        found = source.survey
        assert found.dockerfile is not None
        context = None
        if not self.engine.reads_projects:
            context = await asyncio.to_thread(
                BuildContext, Path(found.project.path), found.dockerfile.source, found.commit
            )
        place = source.places[found.project.path]
        assert isinstance(place, SourcePlace)
        await self._build(migration, context, source, place, found.commit)

    async def rebuild(self, migration: str) -> None:
        """Build again from the copied code, as files changed between build and copy."""
        source = await self._source(migration)
        owner = self._owner(migration)
        volume = Names(migration).volume("code")
        assert source.survey.dockerfile is not None
        context = None
        if not self.engine.reads_projects:
            context = await asyncio.to_thread(
                BuildContext.from_tar,
                lambda: self.engine.read_volume(migration, owner, volume),
                source.survey.dockerfile.source,
            )
        await self._build(migration, context, source, SourcePlace("volume", volume))
        with self.store.edit(migration) as draft:
            draft.facts["rebuilt"] = True

    async def _build(
        self,
        migration: str,
        context: BuildContext | None,
        found: Source,
        place: SourcePlace,
        commit: str | None = None,
    ) -> None:
        source = found.survey
        assert source.dockerfile is not None
        owner = self._owner(migration)
        instructions = [i for i in source.dockerfile.instructions if not i.onbuild]

        tag = "{digest:.12}"
        if source.version.commit and not source.version.dirty_count:
            tag = source.version.commit[:7] + "-{digest:.8}"
        order = BuildOrder(
            migration=migration,
            context=context.chunks if context else lambda: iter(()),
            dockerfile="Dockerfile",
            repository=f"secxops/{owner_hash(owner)}/{slug(source.project.name)}",
            tag=tag,
            digest=lambda: context.digest if context else "",
            labels=labels(owner, "environment"),
            owner=owner,
            place=place,
            commit=commit,
            push=found.plan.route is Route.MOVE,
            text=source.dockerfile.source,
            lines=[i.line for i in instructions],
            froms=[i.end_line for i in instructions if i.keyword == "FROM"],
            bases=source.dockerfile.bases(),
            buildkit=bool(source.dockerfile.needs_buildkit()),
            named=lambda reference: self._name_image(migration, reference),
        )
        async with self._step(migration, StepName.BUILD) as recorder:
            engine = self._engine(migration)
            built = await recorder.follow(engine.build(order), BuildResult)
            sent = context.digests if context else built.sent or {}
            self._write(migration, "context.json", json.dumps(dict(sent)))
            with self.store.edit(migration) as draft:
                # Kept before anything else can fail: what cleans up must know of it.
                draft.facts["image"] = {
                    "reference": built.reference,
                    "digest": built.info.digest,
                    "size": built.info.size,
                    "pushed": built.pushed,
                    "node": found.plan.node,
                }
            if built.pushed:
                with self.store.edit(migration) as draft:
                    step = draft.step(StepName.PUSH)
                    step.state, step.percent = StepState.DONE, 100.0
                    step.started = step.finished = utcnow()
                    step.message = built.reference
            probe = await engine.probe(
                migration,
                owner,
                built.info.digest,
                built.reference,
                found.plan.terms,
                pushed=built.pushed,
            )
            with self.store.edit(migration) as draft:
                draft.facts["probe"] = {
                    "uid": probe.uid,
                    "gid": probe.gid,
                    "home": str(probe.home),
                    "workdir": str(probe.workdir),
                    "jupyter": list(probe.jupyter or ()),
                }
            if not probe.jupyter:
                raise errors.ImageWithoutJupyter()

    def _name_image(self, migration: str, reference: str) -> None:
        """Note what the image will be called: what cleans up after an interrupted push must know."""
        with self.store.edit(migration) as draft:
            before = draft.facts.get("image")
            if before is None or before["reference"] != reference:
                draft.facts["image"] = {"reference": reference, "digest": "", "size": 0}
                if before is not None:  # of a build that was done again
                    draft.facts.setdefault("images", []).append(before)

    # ------------------------------------------------------------------ copy

    async def copy(self, migration: str, key: str) -> None:
        """Copy one folder into a new volume, verified on the way."""
        source = await self._source(migration)
        folder = dict(zip(_keys(source.survey), _folders(source.survey), strict=True))[key]
        place = source.places[folder.path]
        if isinstance(place, Finding):
            raise errors.CopyFailed(path=folder.path, reason="it can't be reached")
        is_code = key == "code"
        without = {*source.survey.elsewhere[folder.path]}
        if is_code:
            without.update(source.survey.inside.values())
        order = CopyOrder(
            migration=migration,
            owner=self._owner(migration),
            key=key,
            role="code" if is_code else "data",
            place=place,
            manifest=self._path(migration, f"{key}.b3"),
            exclude=sorted(without),
            commit=source.survey.commit if is_code else None,
        )
        plan_bytes = sum(f.bytes for f in _folders(source.survey))
        with self.store.edit(migration) as draft:
            step = draft.step(StepName.COPY)
            step.state, step.started = StepState.RUNNING, step.started or utcnow()
        parts = self._copying.setdefault(migration, {})
        recorder = Recorder(self.store, migration, StepName.COPY, key, plan_bytes, parts)
        try:
            copied = await recorder.follow(self._engine(migration).copy(order), CopyResult)
        finally:
            recorder.flush()
        with self.store.edit(migration) as draft:
            draft.facts.setdefault("copies", {})[key] = {
                "volume": copied.volume,
                "source": folder.path,
                "name": folder.name,
                "files": copied.files,
                "bytes": copied.bytes,
                "manifest": copied.digest,
                "owner": list(copied.owner),
                "skipped": [item.model_dump() for item in copied.skipped],
                "route": copied.route,
                "route_reason": copied.why,
            }

    async def image_and_code_agree(self, migration: str) -> bool:
        """Whether files that are in both the build context and the code's manifest are equal."""
        return not await asyncio.to_thread(self._differing, migration)

    def _differing(self, migration: str) -> list[str]:
        sent = json.loads(self._path(migration, "context.json").read_text())
        with self._path(migration, "code.b3").open("rb") as file:
            copied = {to_text(path): digest for path, digest in read_manifest(file)}
        return sorted(p for p, digest in sent.items() if copied.get(p, digest) != digest)

    async def insist_on_agreement(self, migration: str) -> None:
        """Fail if image and code differ even after the second build."""
        differing = await asyncio.to_thread(self._differing, migration)
        if differing:
            raise errors.ImageAndCodeDiffer(count=len(differing), first=differing[0])

    async def hand_over(self, migration: str) -> None:
        """Give the owner's files to the image's user."""
        facts = self.store.read(migration).facts
        probe = facts["probe"]
        after = (probe["uid"], probe["gid"])
        by_owner: dict[tuple[int, int], list[VolumeCheck]] = {}
        for key, copied in facts["copies"].items():
            before = (copied["owner"][0], copied["owner"][1])
            if before != after:
                check = VolumeCheck(copied["volume"], self._path(migration, f"{key}.b3"))
                by_owner.setdefault(before, []).append(check)
        for before, checks in by_owner.items():
            order = OwnOrder(migration, self._owner(migration), checks, before, after)
            recorder = Recorder(self.store, migration, None)
            await recorder.follow(self._engine(migration).own(order), VerifyResult)
        with self.store.edit(migration) as draft:
            step = draft.step(StepName.COPY)
            step.state, step.finished, step.percent = StepState.DONE, utcnow(), 100.0

    # ------------------------------------------------------------------ verify and launch

    async def verify_volumes(self, migration: str) -> None:
        """Read the volumes back, read-only, and compare them with their manifests."""
        facts = self.store.read(migration).facts
        checks = [
            VolumeCheck(copied["volume"], self._path(migration, f"{key}.b3"))
            for key, copied in facts["copies"].items()
        ]
        with self.store.edit(migration) as draft:
            step = draft.step(StepName.VERIFY)
            step.state, step.started = StepState.RUNNING, step.started or utcnow()
            total = sum(copied["bytes"] for copied in facts["copies"].values())
        recorder = Recorder(self.store, migration, StepName.VERIFY, "", total)
        order = VerifyOrder(migration, self._owner(migration), checks)
        try:
            verified = await recorder.follow(self._engine(migration).verify(order), VerifyResult)
        finally:
            recorder.flush()
        with self.store.edit(migration) as draft:
            draft.facts["verified"] = [verified.files, verified.bytes]

    async def observe_again(self, migration: str) -> None:
        """Look at the places once more; if one filled up meanwhile there is a second plan."""
        await self._plan_again(migration)

    async def _plan_again(self, migration: str, *, stay: bool = True) -> Plan:
        """Plan once more, and push the image if it moves now and only its node has it."""
        copies = self.store.read(migration).facts["copies"]
        engine = self._engine(migration)
        capacity = await engine.capacity([copied["volume"] for copied in copies.values()])
        features = await engine.features()
        with self.store.edit(migration) as draft:
            record = draft.migration
            assert record.plan is not None
            second = observe_again(record.plan, capacity, self.policy, stay=stay, features=features)
            no = refused(second)
            if isinstance(no, errors.TemporaryError):
                raise no  # and observe again, for another plan
            # What was decided counts as proof even where nothing has changed.
            draft.facts.setdefault("decided", []).append(_decided(second))
            if second.refusals or second.route is not record.plan.route:
                record.plans = [*record.plans, second]
                record.plan = second
            plan = record.plan
        if no is not None:
            raise no
        if plan.route is Route.MOVE:
            await self._push(migration)
        return plan

    async def _push(self, migration: str) -> None:
        """Push the image, unless the build did."""
        image = self.store.read(migration).facts["image"]
        if image.get("pushed", True):
            return
        with self.store.edit(migration) as draft:
            # Before it is: whatever becomes of this, what cleans up must ask the registry.
            draft.facts["image"]["pushing"] = True
        order = PushOrder(
            migration, self._owner(migration), image["reference"], image["digest"], image["node"]
        )
        async with self._step(migration, StepName.PUSH) as recorder:
            pushed = await recorder.follow(self._engine(migration).push(order), PushResult)
            if pushed.digest != image["digest"]:
                raise errors.EngineFailed(
                    action="push the image", reason=f"{pushed.digest} is not {image['digest']}"
                )
            with self.store.edit(migration) as draft:
                draft.facts["image"]["pushed"] = True
                draft.step(StepName.PUSH).message = image["reference"]

    async def launch(self, migration: str) -> None:
        """Start the environment with its volumes and wait until JupyterLab answers."""
        source = await self._source(migration)
        draft = self.store.read(migration)
        record, facts = draft.migration, draft.facts
        probe = _probe(facts)
        where = mounts(record.request, source.survey, probe, source.places)
        if record.plan is not None and record.plan.route is Route.MOVE:
            await self._push(migration)  # where a kill came between the plan and this
        async with self._step(migration, StepName.LAUNCH):
            volumes = {
                copied["volume"]: where[copied["source"]] or str(probe.home / copied["name"])
                for copied in facts["copies"].values()
            }

            def order(plan: Plan) -> LaunchOrder:
                # As it is now: a second plan may have had it pushed.
                image = self.store.read(migration).facts["image"]
                return LaunchOrder(
                    migration=migration,
                    owner=self._owner(migration),
                    name=record.name,
                    image=image["digest"],
                    reference=image["reference"],
                    pushed=image.get("pushed", True),
                    probe=probe,
                    mounts=[VolumeMount(v, path) for v, path in volumes.items()],
                    root=volumes[facts["copies"]["code"]["volume"]],
                    token=self.token(migration),
                    cpu=plan.cpu,
                    memory=plan.memory,
                    gpu=plan.gpu,
                    terms=plan.terms,
                )

            assert record.plan is not None
            engine = self._engine(migration)
            try:
                try:
                    await engine.launch(order(record.plan))
                except errors.Unschedulable:
                    if record.plan.route is Route.MOVE:
                        raise
                    # First: a call that is repeated from here on must not find the old pod.
                    await self.engine.stop(migration)
                    second = await self._plan_again(migration, stay=False)
                    await engine.launch(order(second))
            except errors.LaunchFailed as error:
                self.store.log(record, error.message.splitlines())
                raise
            with self.store.edit(migration) as draft:
                draft.facts["mounts"] = volumes

    async def verify(self, migration: str) -> None:
        """Compare what runs with what was built and copied, and write the evidence."""
        seen = await self.engine.inspect(migration)
        with self.store.edit(migration) as draft:
            facts, record = draft.facts, draft.migration
            built = facts["image"]["digest"]
            wanted = {path: volume for volume, path in facts["mounts"].items()}
            if seen.image != built:
                raise errors.ImageMismatch(
                    running=str(seen.image),
                    built=built,
                    node=record.plan.node if record.plan else "",
                )
            if seen.status is not EnvironmentStatus.RUNNING or dict(seen.mounts) != wanted:
                raise errors.LaunchFailed(
                    reason="its volumes are not mounted where they should be", id=migration
                )
            record.result = self._result(draft, seen)
            step = draft.step(StepName.VERIFY)
            step.state, step.finished, step.percent = StepState.DONE, utcnow(), 100.0

    def _result(self, draft: Draft, seen: Observation) -> MigrationResult:
        facts, record = draft.facts, draft.migration
        assert record.plan is not None
        probe = _probe(facts)
        # A share that an earlier version began may lack some.
        decided = facts.get("decided", [])
        volumes = [
            VolumeResult(
                role="code" if key == "code" else "data",
                name=copied["volume"],
                mount=facts["mounts"][copied["volume"]],
                files=copied["files"],
                bytes=copied["bytes"],
                manifest=copied["manifest"],
                source=copied["source"],
                skipped=copied["skipped"],
                # A share that an earlier version began does not say.
                route=copied.get("route", "copy"),
                route_reason=copied.get("route_reason", ""),
            )
            for key, copied in sorted(facts["copies"].items(), key=lambda row: row[0])
        ]
        owners = {tuple(copied["owner"]) for copied in facts["copies"].values()}
        files, size = facts["verified"]
        return MigrationResult(
            url=seen.url,
            connect=seen.connect,
            place=Place(
                engine=self.engine.name, node=seen.node or record.plan.node, name=seen.name
            ),
            image=ImageResult(**facts["image"]),
            volumes=volumes,
            evidence=Evidence(
                files_equal=files,
                bytes_equal=size,
                differences=0,
                image_built=facts["image"]["digest"],
                image_running=facts["image"]["digest"],
                manifests={v.name: v.manifest for v in volumes},
                observations=[
                    NodeCapacity.model_validate(row["observation"])
                    for row in decided
                    if row["observation"]
                ],
                placements=[row["placement"] for row in decided if row["placement"]],
                owner_map={
                    f"{uid}:{gid}": f"{probe.uid}:{probe.gid}"
                    for uid, gid in owners
                    if (uid, gid) != (probe.uid, probe.gid)
                },
                rebuilt_from_copy=bool(facts.get("rebuilt")),
            ),
        )

    async def succeed(self, migration: str) -> None:
        """Take the Jobs away; it is done."""
        await self.engine.end_jobs(migration)
        with self.store.edit(migration) as draft:
            draft.migration.state = MigrationState.SUCCEEDED
            draft.migration.finished = utcnow()
        self._forget(migration)

    async def give_up(self, migration: str) -> bool:
        """Remove all that a failed or cancelled migration made, and say how it ended.

        Returns whether all is gone; what is not is left to `clear_up`.
        """
        if self.store.get(migration).state.final:
            return not self._leaves(migration)  # killed between writing its end here and in DBOS
        # The others end their work in the engine first, or it would come back after the removal.
        gone = True
        try:
            await self._tried(self.delete, migration)
        except Exception:
            gone = False
            # The migration's own error is what matters now.
            log.exception("%s: could not clean up", migration)
        with self.store.edit(migration) as draft:
            record = draft.migration
            cancelled = record.state is MigrationState.CANCELLING
            record.state = MigrationState.CANCELLED if cancelled else MigrationState.FAILED
            record.finished = utcnow()
            if cancelled:
                record.error = finding(errors.Cancelled())
            elif record.error is None:
                record.error = finding(errors.SecxopsError())
            for step in record.steps:
                if step.state is StepState.RUNNING:
                    # Whoever cancels has seen no failure.
                    step.state = StepState.WAITING if cancelled else StepState.FAILED
                    step.finished = None if cancelled else utcnow()
            left = {key: draft.facts[key] for key in _OF_IMAGES if key in draft.facts}
            draft.facts = {} if gone else {"left": True, **left}
        self._forget(migration)
        return gone

    async def clear_up(self, migration: str) -> None:
        """Remove what could not be removed when it ended, once that can be done again.

        Ends without that if the migration is tried again, which begins with it, or deleted.
        """
        task = asyncio.ensure_future(self._clear(migration))
        self._clearing[migration] = task
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            del self._clearing[migration]
        if self._closing:
            raise Given  # the next start goes on
        if not task.cancelled():
            task.result()

    async def _clear(self, migration: str) -> None:
        for pause in itertools.chain(
            _CLEAR_AGAIN_SECONDS, itertools.repeat(_CLEAR_AGAIN_SECONDS[-1])
        ):
            await asyncio.sleep(pause)
            if not self._leaves(migration):
                return
            try:
                await self.delete(migration)
                with self.store.edit(migration) as draft:
                    draft.facts = {}
            except errors.NotFound:
                return  # deleted meanwhile
            except errors.SecxopsError as error:
                log.warning("%s: still could not clean up: %s", migration, error.code)
                continue
            except Exception:
                log.exception("%s: still could not clean up", migration)
                continue
            log.info("%s: cleaned up", migration)
            return

    def _leaves(self, migration: str) -> bool:
        """Whether an ended migration left something in the engine."""
        try:
            draft = self.store.read(migration)
        except errors.NotFound:
            return False  # deleted, with what it left
        return draft.migration.state.final and bool(draft.facts.get("left"))

    async def delete(self, migration: str) -> None:
        """Remove all that it has in the engine, and the image if nothing else needs it."""
        await self.engine.delete(migration)
        # Only now: whoever has it after us must not find it in use by us.
        for image in self._own_images(migration):
            reference, pushed = str(image["reference"]), in_registry(image)
            await self.engine.delete(migration, reference, pushed=pushed)

    def _own_images(self, migration: str) -> Sequence[Mapping[str, Any]]:
        """Return the images that go with a migration, and leave those that others have to them.

        Of two that are deleted at once, only the second one finds that nobody else has the image.
        """
        with self.store.edit(migration) as draft:
            facts = draft.facts
            images = [*facts.pop("images", ()), facts.pop("image", None)]
            own = [i for i in images if i is not None and not self.store.shares_image(migration, i)]
            if own:
                facts["images"] = own
        return own

    def _forget(self, migration: str) -> None:
        self._running.pop(migration, None)
        self._copying.pop(migration, None)
        self._looking.pop(migration, None)
        for key in [k for k in self._sources if k[0] == migration]:
            del self._sources[key]

    # ------------------------------------------------------------------ files

    def _owner(self, migration: str) -> str:
        return self.engine_owner(self.store.get(migration).owner)

    def engine_owner(self, owner: str) -> str:
        """Return whose an object is in the engine: the owner's, in this store.

        Two stores of one person on one engine (two machines' states, a demo) do not take each
        other's objects for orphans.
        """
        return f"{owner}@{self.tag}"

    def token(self, migration: str) -> str:
        """Return the launched environment's token, made on first use; only the owner's eyes."""
        path = self._path(migration, "token")
        try:
            return path.read_text()
        except FileNotFoundError:
            self._write(migration, "token", secrets.token_urlsafe(32))
            return path.read_text()

    def forget_files(self, migration: str) -> None:
        """Remove a migration's folder."""
        shutil.rmtree(self.folder / migration, ignore_errors=True)

    def _path(self, migration: str, name: str) -> Path:
        folder = self.folder / migration
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder / name

    def _write(self, migration: str, name: str, text: str) -> None:
        path = self._path(migration, name)
        fresh = path.with_name(f"{name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        fresh.replace(path)


class Recorder:
    """Takes an engine's progress into the record: not too often, and the log in batches.

    ``part`` names one of several branches that share a step, ``parts`` what they share it in;
    ``total`` is the whole step's.
    """

    def __init__(
        self,
        store: Store,
        migration: str,
        step: StepName | None,
        part: str = "",
        total: int | None = None,
        parts: dict[str, Measure] | None = None,
    ) -> None:
        self.store = store
        self.migration = store.get(migration)
        self.step = step
        self.part = part
        self.parts = {} if parts is None else parts
        self.total = total
        self._lines: list[str] = []
        self._measure: Measure | None = None
        self._written = 0.0

    async def follow(self, items: AsyncIterator[Progress | T], kind: type[T]) -> T:
        """Follow a long call to its end and return its result."""
        found: T | None = None
        async for item in items:
            if isinstance(item, LogLine):
                self._lines.append(item.text)
            elif isinstance(item, Measure):
                self._measure = item
            elif isinstance(item, kind):
                found = item
            now = time.monotonic()
            if now - self._written >= 1 / MEASURES_PER_SECOND:
                self._written = now
                self.flush()
        self.flush()
        if found is None:
            raise errors.EngineFailed(action="finish", reason="it ended without a result")
        return found

    def flush(self) -> None:
        """Write what is new."""
        lines, self._lines = self._lines, []
        self.store.log(self.migration, lines)
        measure, self._measure = self._measure, None
        if measure is None or self.step is None:
            return
        self.parts[self.part] = measure
        done = sum(m.done for m in self.parts.values())
        total = self.total if self.total is not None else measure.total
        with self.store.edit(self.migration.id) as draft:
            step = draft.step(self.step)
            if step.state is not StepState.RUNNING:
                return
            step.done, step.total, step.unit = done, total, measure.unit
            step.message = measure.message or step.message
            step.files = sum(m.files or 0 for m in self.parts.values()) or None
            if total:
                step.percent = round(min(100.0, 100.0 * done / total), 1)


def _folders(found: Survey) -> Sequence[Any]:
    return (found.project, *found.data)


def _keys(found: Survey) -> list[str]:
    return ["code", *(f"data-{n}" for n in range(1, len(found.data) + 1))]


def _decided(plan: Plan) -> dict[str, Any]:
    """Return by what a plan's place was decided, as JSON."""
    return plan.model_dump(mode="json", include={"observation", "placement"})


def _probe(facts: Mapping[str, Any]) -> ImageProbe:
    probe = facts["probe"]
    return ImageProbe(
        probe["uid"],
        probe["gid"],
        PurePosixPath(probe["home"]),
        PurePosixPath(probe["workdir"]),
        probe["jupyter"] or None,
    )
