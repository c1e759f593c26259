"""A share's environment: where it goes now that all is copied, and its start."""

from __future__ import annotations

from collections.abc import Mapping

from .. import errors
from ..copying.manifest import holds_folder
from ..engines.errors import LaunchFailed
from ..engines.kubernetes.errors import Unschedulable
from ..engines.orders import NESTED, LaunchOrder, VolumeMount
from ..environment.survey import Survey
from ..model import Plan, Route, StepName
from ..operations.runner import StillAway
from .banner import banner
from .document import Decided, ShareDraft
from .image import Imaging
from .kit import Kit
from .look import Looking
from .mounts import lie_over, mountable, mounts
from .plan import observe_again
from .refusals import refused


class Launching:
    """What launches environments."""

    def __init__(self, kit: Kit, looking: Looking, imaging: Imaging) -> None:
        self._kit = kit
        self._looking = looking
        self._imaging = imaging

    async def observe_again(self, share: str) -> None:
        """Look at the places once more; if one filled up meanwhile there is a second plan."""
        await self._plan_again(share)

    async def _plan_again(self, share: str, *, stay: bool = True) -> Plan:
        """Plan once more, and push the image if it moves now and only its node has it."""
        kit = self._kit
        copies = (await kit.records.document(share)).copies
        roles = await kit.roles_of(share)
        capacity = await roles.housekeeping.capacity([copied.volume for copied in copies.values()])
        features = await roles.images.features()

        def change(draft: ShareDraft) -> Plan:
            record = draft.record
            assert record.plan is not None
            second = observe_again(record.plan, capacity, kit.policy, stay=stay, features=features)
            no = refused(second)
            if isinstance(no, errors.TemporaryError):
                raise StillAway(no)  # and observe again, for another plan
            # What was decided counts as proof even where nothing has changed.
            draft.document.decided = [*draft.document.decided, Decided.by(second)]
            if second.refusals or second.route is not record.plan.route:
                record.plans = [*record.plans, second]
                record.plan = second
            return second

        second = await kit.records.edit(share, change)
        if (no := refused(second)) is not None:
            raise no
        plan = (await kit.records.get(share)).plan
        assert plan is not None
        if plan.route is Route.MOVE:
            await self._imaging.push(share)
        return plan

    async def launch(self, share: str) -> None:
        """Start the environment with its volumes and wait until JupyterLab answers."""
        kit = self._kit
        source = await self._looking.source(share)
        draft = await kit.records.read(share)
        record, document = draft.record, draft.document
        _, probe = document.made()
        where = mounts(record.request, source.survey, probe, source.places)
        if record.plan is not None and record.plan.route is Route.MOVE:
            await self._imaging.push(share)  # where a kill came between the plan and this
        async with kit.runner.step(share, StepName.LAUNCH):
            volumes = {
                copied.volume: where[copied.source] or str(probe.home / copied.name)
                for copied in document.copies.values()
            }
            nested = await self._nested(share, volumes, source.survey)
            assert record.plan is not None
            try:
                await self._launch(share, record.plan, volumes, nested)
            except LaunchFailed as error:
                await kit.records.log(record, [*error.said, error.message])
                raise

            def change(draft: ShareDraft) -> None:
                draft.document.mounts = volumes
                draft.document.nested = {mount.path: mount.volume for mount in nested}

            await kit.records.edit(share, change)

    async def _launch(
        self, share: str, plan: Plan, volumes: Mapping[str, str], nested: list[VolumeMount]
    ) -> None:
        """Launch where the plan says; elsewhere, if no node takes it after all."""
        environments = (await self._kit.roles_of(share)).environments
        try:
            await environments.launch(await self._order(share, plan, volumes, nested))
        except Unschedulable:
            if plan.route is Route.MOVE:
                raise
            # First: a call that is repeated from here on must not find the old pod.
            await environments.stop(share)
            second = await self._plan_again(share, stay=False)
            await environments.launch(await self._order(share, second, volumes, nested))

    async def _order(
        self, share: str, plan: Plan, volumes: Mapping[str, str], nested: list[VolumeMount]
    ) -> LaunchOrder:
        kit = self._kit
        # As it is now: a second plan may have had the image pushed.
        draft = await kit.records.read(share)
        image, probe = draft.document.made()
        project = (await self._looking.source(share)).survey.project.name
        return LaunchOrder(
            migration=share,
            owner=kit.engine_owner(draft.record.owner),
            name=draft.record.name,
            image=image.digest,
            reference=image.reference,
            pushed=image.pushed,
            extensions=banner(draft.record, project),
            probe=probe,
            mounts=[*(VolumeMount(v, path) for v, path in volumes.items()), *nested],
            root=volumes[draft.document.copies["code"].volume],
            token=kit.token(share),
            cpu=plan.cpu,
            memory=plan.memory,
            gpu=plan.gpu,
            terms=plan.terms,
        )

    async def _nested(
        self, share: str, volumes: Mapping[str, str], found: Survey
    ) -> list[VolumeMount]:
        """Return what has to be mounted so that volumes of the image lie over nothing that was copied."""
        kit = self._kit
        document = await kit.records.document(share)
        if NESTED not in await (await kit.roles_of(share)).images.features():
            return []
        keys = {copied.source: key for key, copied in document.copies.items()}
        where = {c.source: volumes[c.volume] for c in document.copies.values()}
        mounted = []
        for one in lie_over(document.image_volumes, where, found):
            key = keys[one.folder]
            manifest = kit.manifest(share, key)
            if mountable(one.mount) is None and await kit.files.run(
                holds_folder, manifest, one.path
            ):
                mounted.append(VolumeMount(document.copies[key].volume, one.mount, one.path))
        return mounted
