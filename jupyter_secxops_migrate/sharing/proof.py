"""A share's last step: what runs is compared with what was built and copied, and the evidence written."""

from __future__ import annotations

from collections.abc import Sequence

from ..engines.errors import LaunchFailed
from ..engines.orders import InsideOrder, InsideVolume, Observation, VolumeSeen
from ..engines.roles import distant
from ..model import (
    EnvironmentStatus,
    Evidence,
    ImageResult,
    MigrationResult,
    Place,
    StepName,
    VolumeResult,
)
from .account import account, unusable, with_limits, with_missing, with_warned
from .document import ShareDocument, ShareDraft
from .errors import ImageMismatch
from .front import Copied, front_of, opening
from .kit import Kit


class Proving:
    """What proves that an environment is what it should be."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def verify(self, share: str) -> None:
        """Compare what runs with what was built and copied, and write the evidence."""
        kit = self._kit
        async with kit.runner.step(share, StepName.VERIFY):
            seen = await kit.engine.inspect(share)
            draft = await kit.records.read(share)
            _insist_on_what_runs(draft, seen)
            inside = await self._look_inside(draft)
            here = distant((await kit.roles_of(share)).source) is None
            front = await kit.files.run(self._front, draft, here)

            def change(draft: ShareDraft) -> None:
                draft.record.result = _result(draft, kit.engine.name, seen, inside, front)

            await kit.records.edit(share, change)

    async def _look_inside(self, draft: ShareDraft) -> Sequence[VolumeSeen]:
        """Look from inside, as the environment's user, at all that was copied; fail if it can't be used."""
        document, record = draft.document, draft.record
        assert record.plan is not None
        volumes = document.volumes()
        _, probe = document.made()
        order = InsideOrder(
            record.id,
            probe,
            [
                InsideVolume(
                    volume.mount,
                    self._kit.manifest(record.id, key),
                    key == "code",
                    [path for path, name in document.nested.items() if name == volume.name],
                )
                for key, volume in zip(sorted(document.copies), volumes, strict=True)
            ],
        )
        seen = await self._kit.engine.look_inside(order)
        error = unusable(record.plan, volumes, seen, f"{probe.uid}:{probe.gid}")
        if error is not None:
            raise error
        return seen

    def _front(self, draft: ShareDraft, here: bool) -> str | None:
        """Return where the copy has the document that was in front, relative to its code; None if nowhere."""
        document, record = draft.document, draft.record
        if record.request.front is None:
            return None
        copied = {
            key: Copied(one.source, document.mounts[one.volume], self._kit.manifest(record.id, key))
            for key, one in document.copies.items()
        }
        code = copied.pop("code")
        return front_of(record.request.front, code, list(copied.values()), here=here)


def _insist_on_what_runs(draft: ShareDraft, seen: Observation) -> None:
    """Fail where another image runs, or volumes are not mounted where they should be."""
    document, plan = draft.document, draft.record.plan
    image, _ = document.made()
    if seen.image != image.digest:
        raise ImageMismatch(
            running=str(seen.image), built=image.digest, node=plan.node if plan else ""
        )
    wanted = {path: volume for volume, path in document.mounts.items()} | document.nested
    if seen.status is not EnvironmentStatus.RUNNING or dict(seen.mounts) != wanted:
        raise LaunchFailed(
            reason="its volumes are not mounted where they should be", id=draft.record.id
        )


def _result(
    draft: ShareDraft,
    engine: str,
    seen: Observation,
    inside: Sequence[VolumeSeen],
    front: str | None,
) -> MigrationResult:
    document, plan = draft.document, draft.record.plan
    assert plan is not None
    image, probe = document.made()
    volumes = with_limits(document.volumes(), inside)
    volumes = with_missing(plan, volumes, document.transient())
    volumes = with_warned(plan, volumes)
    return MigrationResult(
        url=opening(seen.url, front),
        connect=seen.connect,
        front=front,
        place=Place(engine=engine, node=seen.node or plan.node, name=seen.name),
        image=ImageResult(
            reference=image.reference,
            digest=image.digest,
            size=image.size,
            entrypoint=probe.entrypoint,
            command="replaced" if probe.replaced else "",
        ),
        volumes=volumes,
        evidence=_evidence(document, volumes, inside),
    )


def _evidence(
    document: ShareDocument, volumes: Sequence[VolumeResult], inside: Sequence[VolumeSeen]
) -> Evidence:
    image, probe = document.made()
    left = account(volumes)
    assert document.verified is not None
    files, size = document.verified
    user = f"{probe.uid}:{probe.gid}"
    owners = {copied.owner for copied in document.copies.values()}
    given = {f"{uid}:{gid}": user for uid, gid in owners if (uid, gid) != (probe.uid, probe.gid)}
    return Evidence(
        files_left=left.files_left,
        bytes_left=left.bytes_left,
        files_equal=files - left.altered,
        bytes_equal=size,
        left_out=list(left.left_out),
        changed=list(left.changed),
        seen_inside=sum(found.paths for found in inside),
        differences=0,
        image_built=image.digest,
        image_running=image.digest,
        manifests={v.name: v.manifest for v in volumes},
        # A share that an earlier version began may lack some.
        observations=[row.observation for row in document.decided if row.observation],
        placements=[row.placement for row in document.decided if row.placement],
        owner_map=given | ({"*:*": user} if document.gave_all else {}),
        kept=[row for copied in document.copies.values() for row in copied.chosen],
        rebuilt_from_copy=document.rebuilt,
    )
