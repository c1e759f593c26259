"""A share's image: built, probed, given its name, and pushed where it moves."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .. import errors
from ..building.context import SENT_AS, BuildContext
from ..building.dockerfile import Dockerfile
from ..engines.errors import ImageWithoutJupyter
from ..engines.names import Names, labels
from ..engines.orders import (
    ALWAYS_BUILDKIT,
    BuildOrder,
    BuildResult,
    ImageInfo,
    PushOrder,
    PushResult,
    ReadOrder,
    SourcePlace,
)
from ..engines.roles import Pushes, ReadsProjects, ReadsVolumes, Roles, builds_from
from ..environment.survey import Survey
from ..model import Route, StepName, StepState, utcnow
from .document import Image, Probe, ShareDraft
from .errors import ProjectOutOfReach
from .kit import Kit
from .look import Looking, Source, repository_of
from .mounts import mounts
from .removal import Removing

_ENTRYPOINT = {
    "runs": "JupyterLab is started by the image's own entrypoint, as its argument.",
    "jupyter": "The image's own entrypoint is JupyterLab, and is started with options of an environment.",
    "bypassed": "JupyterLab is started directly, and the image's own entrypoint is not run: it did not run what "
    "it was given within 20 seconds, without network.",
}

_REPLACED = (
    "JupyterLab is the first one on the PATH: the image's own command, which starts it by way of another program, "
    "did not answer --version within 10 seconds, without network."
)


class Imaging:
    """What builds and pushes images."""

    def __init__(self, kit: Kit, looking: Looking, removing: Removing) -> None:
        self._kit = kit
        self._looking = looking
        self._removing = removing

    async def build(self, share: str) -> None:
        """Build the image from the project's Dockerfile."""
        source = await self._looking.source(share)
        found = source.survey
        assert found.dockerfile is not None
        context = await self._context(share, found, found.dockerfile)
        identity = found.identities.get(found.project.path, "")
        place = source.places[found.project.path]
        assert isinstance(place, SourcePlace)
        await self._build(share, context, source, place, found.commit, identity)

    async def _context(
        self, share: str, found: Survey, dockerfile: Dockerfile
    ) -> BuildContext | None:
        """Return what an engine is given to build from; None where it reads the project itself."""
        kit, project = self._kit, found.project.path
        roles = await kit.roles_of(share)
        comes_from = builds_from(roles)
        if comes_from == "place":
            return None
        identity = found.identities.get(project, "")
        make: Callable[..., BuildContext] = partial(
            BuildContext, Path(project), dockerfile.source, found.commit, identity=identity
        )
        if comes_from != "here":
            if not isinstance(roles.source, ReadsProjects):
                # A plan of an earlier version, which did not refuse it.
                place = await roles.source.source()
                where = place.container or place.node
                raise ProjectOutOfReach(project=project, source=where, engine=kit.engine.name)
            order = ReadOrder(await kit.owner_of(share), project, found.commit, identity, share)
            read = partial(roles.source.read_project, order)
            make = partial(BuildContext.from_tar, read, dockerfile.source)
        return await kit.files.run(
            make,
            buildkit=await self._takes_buildkit(share, dockerfile),
            keep=await self._keep(share, found),
            path=found.dockerfile_path,
        )

    async def rebuild(self, share: str) -> None:
        """Build again from the copied code, as files changed between build and copy."""
        source = await self._looking.source(share)
        owner = await self._kit.owner_of(share)
        volume = Names(share).volume("code")
        found = source.survey
        assert found.dockerfile is not None
        context = None
        volumes = (await self._kit.roles_of(share)).volumes
        if isinstance(volumes, ReadsVolumes):
            context = await self._kit.files.run(
                BuildContext.from_tar,
                partial(volumes.read_volume, share, owner, volume),
                found.dockerfile.source,
                buildkit=await self._takes_buildkit(share, found.dockerfile),
                keep=await self._keep(share, found),
                path=found.dockerfile_path,
            )
        await self._build(share, context, source, SourcePlace("volume", volume))

        def rebuilt(draft: ShareDraft) -> None:
            draft.document.rebuilt = True

        await self._kit.records.edit(share, rebuilt)

    async def _keep(self, share: str, found: Survey) -> list[str]:
        return await self._kit.keep(share, found.project.path, found.project.path)

    async def _takes_buildkit(self, share: str, dockerfile: Dockerfile) -> bool:
        """Whether BuildKit is to build it: the classic builder sees another part of a project."""
        features = await (await self._kit.roles_of(share)).images.features()
        return ALWAYS_BUILDKIT in features or bool(dockerfile.needs_buildkit())

    async def _build(
        self,
        share: str,
        context: BuildContext | None,
        found: Source,
        place: SourcePlace,
        commit: str | None = None,
        identity: str = "",
    ) -> None:
        """Build, and keep what was built before anything else can fail."""
        kit = self._kit
        order = await self._order(share, context, found, place, commit, identity)
        async with kit.runner.step(share, StepName.BUILD) as recorder:
            roles = await kit.roles_of(share)
            built = await recorder.follow(roles.images.build(order), BuildResult)
            sent = context.digests if context else built.sent or {}
            kit.write(share, "context.json", json.dumps(dict(sent)))
            if await kit.records.edit(share, _built(built, found.plan.node)):
                with contextlib.suppress(errors.SecxopsError):
                    # It goes with the share at the latest.
                    await self._removing.remove_images(share, but_last=True)
            await self._probe(share, roles, built, found)

    async def _order(
        self,
        share: str,
        context: BuildContext | None,
        found: Source,
        place: SourcePlace,
        commit: str | None,
        identity: str,
    ) -> BuildOrder:
        source = found.survey
        assert source.dockerfile is not None
        owner = await self._kit.owner_of(share)
        instructions = [i for i in source.dockerfile.instructions if not i.onbuild]
        tag = "{digest:.12}"
        version = source.version
        if version.commit and version.changes_known and not version.dirty_count:
            tag = version.commit[:7] + "-{digest:.8}"
        return BuildOrder(
            migration=share,
            context=context.chunks if context else lambda: iter(()),
            dockerfile=SENT_AS,
            path=source.dockerfile_path,
            repository=repository_of(owner, source),
            tag=tag,
            digest=lambda: context.digest if context else "",
            labels=labels(owner, "environment"),
            owner=owner,
            place=place,
            commit=commit,
            keep=await self._keep(share, source),
            identity=identity,
            push=found.plan.route is Route.MOVE,
            text=source.dockerfile.source,
            lines=[i.line for i in instructions],
            froms=[i.end_line for i in instructions if i.keyword == "FROM"],
            bases=source.dockerfile.bases(),
            buildkit=bool(source.dockerfile.needs_buildkit()),
            named=lambda reference, pushed: self._name(share, reference, pushed),
            traced=await self._removing.tracing(share),
        )

    def _name(self, share: str, reference: str, pushed: bool) -> None:
        """Note what the image will be called, for what cleans up after an interruption (blocking)."""

        def change(draft: ShareDraft) -> None:
            document = draft.document
            before = document.image
            if before is None or before.reference != reference:
                document.image = Image(reference=reference, pushed=pushed)
                if before is not None:  # of a build that was done again
                    document.images = [*document.images, before]

        self._kit.records.edit_now(share, change)

    async def _probe(self, share: str, roles: Roles, built: BuildResult, found: Source) -> None:
        """Find out what the image is like; fail if no environment can be made of it."""
        kit = self._kit
        probe = await roles.images.probe(
            share,
            await kit.owner_of(share),
            built.info,
            built.reference,
            found.plan.terms,
            pushed=built.pushed,
        )
        said = [_REPLACED] if probe.replaced else []
        if probe.entrypoint in _ENTRYPOINT:
            said.insert(0, _ENTRYPOINT[probe.entrypoint])
        info: ImageInfo = built.info

        def probed(draft: ShareDraft) -> None:
            draft.document.probe = Probe.of(probe)
            draft.document.image_volumes = list(info.volumes)

        await kit.records.edit(share, probed, lines=said)
        if not probe.jupyter:
            raise ImageWithoutJupyter()
        request = (await kit.records.get(share)).request
        where = mounts(request, found.survey, probe, found.places)
        for error in await self._looking.hidden(roles, found.survey, where, info.volumes):
            raise error

    async def push(self, share: str) -> None:
        """Push the image, unless the build did."""
        kit = self._kit

        def pushing(draft: ShareDraft) -> Image:
            image = draft.document.image
            assert image is not None
            # Noted before it is: whatever becomes of this, what cleans up must ask the registry.
            image.pushing = image.pushing or not image.pushed
            return image

        image = await kit.records.edit(share, pushing)
        if image.pushed:
            return
        order = PushOrder(
            share, await kit.owner_of(share), image.reference, image.digest, image.node
        )
        async with kit.runner.step(share, StepName.PUSH) as recorder:
            images = (await kit.roles_of(share)).images
            assert isinstance(images, Pushes)
            pushed = await recorder.follow(images.push(order), PushResult)
            if pushed.digest != image.digest:
                raise errors.EngineFailed(
                    action="push the image", reason=f"{pushed.digest} is not {image.digest}"
                )

            def is_there(draft: ShareDraft) -> None:
                assert draft.document.image is not None
                draft.document.image.pushed = True
                draft.step(StepName.PUSH).message = image.reference

            await kit.records.edit(share, is_there)


def _built(built: BuildResult, node: str) -> Callable[[ShareDraft], bool]:
    """Return what keeps a built image, and says whether something of a build before it is there."""

    def change(draft: ShareDraft) -> bool:
        document, before = draft.document, draft.document.image
        if before is not None and before.reference != built.reference:
            document.images = [*document.images, before]
        document.image = Image(
            reference=built.reference,
            digest=built.info.digest,
            size=built.info.size,
            pushed=built.pushed,
            node=node,
        )
        if built.pushed:
            step = draft.step(StepName.PUSH)
            step.state, step.percent = StepState.DONE, 100.0
            step.started = step.finished = utcnow()
            step.message = built.reference
        return bool(document.images) or len(document.builds) > 1

    return change
