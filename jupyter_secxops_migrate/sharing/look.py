"""A share's first step: the source is looked at, and a plan made of what was seen."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import errors
from ..engines.names import images_of, slug
from ..engines.orders import ALWAYS_BUILDKIT, NESTED, LookOrder, SourcePlace, TrialOrder
from ..engines.roles import Distant, Roles, builds_from, distant
from ..environment.look import survey_of
from ..environment.survey import Survey, survey
from ..model import (
    Finding,
    Folder,
    Migration,
    MigrationState,
    Plan,
    Route,
    ShareRequest,
    StepName,
    StepState,
)
from ..operations.record import finding
from ..operations.runner import StillAway
from ..project.covered import what_is_at
from ..project.project import documents_in, existing_folder, find_project
from .document import Decided, ShareDraft
from .errors import AlreadySharing, ImageVolumeHides, ProjectOutOfReach
from .kit import Kit
from .mounts import image_volumes, lie_over
from .plan import default_name, make_plan, with_refusals
from .refusals import refused, refused_by, would_hide

EARLIER = 20
"""How many of an owner's shares are looked through for those of the same project."""

_BYTES_A_FILE = 4608
"""What a file takes besides its bytes: the unused part of its last block, and its inode."""

Places = Mapping[str, "SourcePlace | Finding"]
"""By the path of each folder where it is, or why it is nowhere."""
Surveyed = tuple[Survey, Places]
"""What is in a source, and where its folders are."""


@dataclass(frozen=True)
class Source:
    """What was found out about a share's source."""

    survey: Survey
    places: Places
    plan: Plan


class Looking:
    """What looks at sources, and decides plans."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def check(self, share: str) -> None:
        """Plan the share; a refusal ends it."""
        kit = self._kit
        async with kit.runner.step(share, StepName.CHECK):
            record = await kit.records.get(share)
            try:
                source = await self.look(record.request, record.owner, record.name, share)
            except errors.Refusal as refusal:
                # Without a look there is no plan that could say so.
                raise refused_by([finding(refusal)]) from None
            no = refused(source.plan)
            if isinstance(no, errors.TemporaryError):
                raise StillAway(no)  # and look again, for another plan
            kit.memory(share).source = source

            def planned(draft: ShareDraft) -> None:
                draft.record.plan = source.plan
                draft.record.plans = [*draft.record.plans, source.plan]
                draft.document.keys = keys_of(source.survey)
                draft.document.identities = dict(source.survey.identities)
                draft.document.decided = [Decided.by(source.plan)]
                if source.plan.route is Route.STAY:
                    draft.step(StepName.PUSH).state = StepState.SKIPPED

            await kit.records.edit(share, planned)
            if no is not None:
                raise no

    async def keys(self, share: str) -> list[str]:
        """Return the keys of the folders to copy: ``code``, ``data-1`` …"""
        return (await self._kit.records.document(share)).keys

    async def source(self, share: str) -> Source:
        """Return what `check` found; looked at again after a restart."""
        kit, memory = self._kit, self._kit.memory(share)
        async with memory.looking:
            if memory.source is None:
                draft = await kit.records.read(share)
                record = draft.record
                found = await self.look(record.request, record.owner, record.name, share)
                # The plan stays, and so do the folders that it was made of.
                seen = replace(found.survey, identities=draft.document.identities)
                memory.source = Source(seen, found.places, record.plan or found.plan)
            return memory.source

    # ------------------------------------------------------------------ looking

    async def survey(
        self, roles: Roles, request: ShareRequest, owner: str, share: str | None = None
    ) -> Surveyed:
        """Look at the source, here or from outside; return it with what a Job mounts of it."""
        await self._kit.identify()
        if (there := distant(roles.source)) is not None:
            return await self._from_outside(roles, there, request, owner, share)
        root = find_project(Path(request.project))
        folders = [existing_folder(Path(d)) for d in request.data]
        places, features = await asyncio.gather(
            self._places(roles, [root, *folders]), roles.images.features()
        )
        found = await self._kit.files.run(
            survey,
            root,
            [Path(path) for path in request.data],
            request.version,
            build_args=roles.images.arguments(),
            always_buildkit=ALWAYS_BUILDKIT in features,
            covered={k: p.covered for k, p in places.items() if isinstance(p, SourcePlace)},
            keep=request.keep,
            dockerfile_path=request.dockerfile,
        )
        return found, places

    async def _from_outside(
        self,
        roles: Roles,
        there: Distant,
        request: ShareRequest,
        owner: str,
        share: str | None,
    ) -> Surveyed:
        project, *data = (posixpath.normpath(path) for path in (request.project, *request.data))
        order = LookOrder(
            self._kit.engine_owner(owner),
            project,
            data,
            request.version,
            share,
            request.keep,
            request.dockerfile,
        )
        found = survey_of(await there.look(order), roles.images.arguments())
        return found, await self._places(roles, [Path(f.path) for f in folders_of(found)])

    async def _places(self, roles: Roles, paths: Sequence[Path]) -> Places:
        places: dict[str, SourcePlace | Finding] = {}
        for path in paths:
            try:
                places[str(path)] = await roles.source.locate(path)
            except errors.Refusal as refusal:
                places[str(path)] = finding(refusal)
        return places

    async def look(
        self, request: ShareRequest, owner: str, name: str | None = None, share: str | None = None
    ) -> Source:
        """Observe the source and decide a plan; touches nothing."""
        kit = self._kit
        roles = kit.roles(request.source)
        found, places = await self.survey(roles, request, owner, share)
        seen = [
            (place.source, size_of(found, folder))
            for folder in folders_of(found)
            if isinstance(place := places.get(folder.path), SourcePlace)
        ]
        source, capacity, features = await asyncio.gather(
            roles.source.source(),
            roles.housekeeping.capacity([name for name, _ in seen], [size for _, size in seen]),
            roles.images.features(),
        )
        bases = {}
        for base in found.dockerfile.bases() if found.dockerfile else ():
            bases[base] = await roles.images.image(base)
        plan = make_plan(
            request,
            found,
            source,
            capacity,
            features=features,
            bases=bases,
            policy=kit.policy,
            places=places,
            name_default=name
            or await kit.records.free_name(owner, default_name(found.project.name)),
            earlier=await self._earlier(owner, request, found),
            unsaved=await self._unsaved(roles, request, found),
        )
        if builds_from(roles) == "nowhere":
            away = {"source": source.container or source.node, "engine": kit.engine.name}
            plan = with_refusals(plan, [ProjectOutOfReach(project=found.project.path, **away)])
        if found.dockerfile is not None:
            volumes = image_volumes(found.dockerfile, bases)
            where = {row.source: row.mount for row in plan.copied}
            plan = with_refusals(plan, await self.hidden(roles, found, where, volumes))
        plan = await self._tried(roles, owner, found, places, plan)
        if share is None and request.name is not None:
            try:
                await kit.records.insist_not_under_way(owner, request.name)
            except AlreadySharing as refusal:
                plan = with_refusals(plan, [refusal])
        return Source(found, places, plan)

    async def _tried(
        self, roles: Roles, owner: str, found: Survey, places: Places, plan: Plan
    ) -> Plan:
        """Have the engine try what can be tried without touching anything."""
        place = places.get(found.project.path)
        if plan.refusals or not isinstance(place, SourcePlace):
            return plan
        order = TrialOrder(
            owner=self._kit.engine_owner(owner),
            name=plan.name,
            place=place,
            repository=repository_of(self._kit.engine_owner(owner), found),
            cpu=plan.cpu,
            memory=plan.memory,
            gpu=plan.gpu,
            terms=plan.terms,
            pushes=any(item.code == "image_pushed" for item in plan.reasons),
        )
        return with_refusals(plan, await roles.housekeeping.try_out(order))

    async def hidden(
        self,
        roles: Roles,
        found: Survey,
        where: Mapping[str, str | None],
        volumes: Sequence[str],
    ) -> list[ImageVolumeHides]:
        """Return what volumes of the image would hide of the copy, so far as the source is seen from here."""
        over = [] if distant(roles.source) else list(lie_over(volumes, where, found))
        nested = bool(over) and NESTED in await roles.images.features()
        hidden = []
        for one in over:
            commit = found.commit if one.folder == found.project.path else None
            there = await self._kit.files.run(what_is_at, Path(one.folder), one.path, commit)
            if there == "other" or (there == "folder" and not nested):
                hidden.append(would_hide(one))
        return hidden

    async def _unsaved(
        self, roles: Roles, request: ShareRequest, found: Survey
    ) -> Mapping[int, str]:
        """Return which documents are shared otherwise than an editor shows them."""
        # A commit has nothing of what is edited now.
        folders = found.data if found.commit else folders_of(found)
        paths = [Path(folder.path) for folder in folders]
        if not request.unsaved:
            return {}
        return await self._kit.files.run(
            documents_in, paths, request.unsaved, here=distant(roles.source) is None
        )

    async def _earlier(self, owner: str, request: ShareRequest, found: Survey) -> list[Migration]:
        """Return the owner's shares of this project that ended well, newest first."""
        return [
            one
            for one in await self._kit.records.list(owner, EARLIER)
            if one.state is MigrationState.SUCCEEDED
            and one.result is not None
            and one.request.source == request.source
            and any(volume.source == found.project.path for volume in one.result.volumes)
        ]


def folders_of(found: Survey) -> Sequence[Folder]:
    """Return the folders of a source: the project, and each of the data."""
    return (found.project, *found.data)


def keys_of(found: Survey) -> list[str]:
    """Return the keys of `folders_of`."""
    return ["code", *(f"data-{n}" for n in range(1, len(found.data) + 1))]


def repository_of(owner: str, found: Survey) -> str:
    """Return the name of the images of one owner's project."""
    return f"{images_of(owner)}/{slug(found.project.name)}"


def size_of(found: Survey, folder: Folder) -> int | None:
    """Return about how many bytes a folder's copy takes on disk, None where that is not known.

    Of a version only the files of that commit were counted, and not the history that goes along.
    """
    if folder is found.project and found.commit is not None:
        return None
    return folder.bytes + folder.files * _BYTES_A_FILE
