"""A share's volumes: copied, compared with the image and with the plan, given away, read back."""

from __future__ import annotations

import json
from pathlib import Path

from ..copying.errors import CopyFailed, SourceReplaced
from ..copying.manifest import read_manifest, to_text
from ..engines.orders import (
    CopyOrder,
    CopyResult,
    OwnOrder,
    SourcePlace,
    VerifyOrder,
    VerifyResult,
    VolumeCheck,
)
from ..engines.roles import distant
from ..environment.survey import kept_in
from ..model import Finding, Folder, Migration, StepName, StepState, utcnow
from ..operations.recorder import Recorder
from .account import lost, told_to_leave_out, transient_of
from .document import Copied, ShareDocument, ShareDraft
from .errors import ImageAndCodeDiffer
from .kit import Kit
from .look import Looking, Source, folders_of, keys_of, size_of
from .since import Before

COMPARING = "comparing the copies with what left"
"""What the copy's step says while the volumes are read back."""


class Copying:
    """What copies folders into volumes, and proves them."""

    def __init__(self, kit: Kit, looking: Looking) -> None:
        self._kit = kit
        self._looking = looking

    async def copied_from(self, share: Migration) -> list[Before] | None:
        """Return the folders of a share, to be looked at again; None where they are not here."""
        if distant(self._kit.roles(share.request.source).source):
            return None
        copies = (await self._kit.records.document(share.id)).copies
        if "code" not in copies:
            return None
        project = Path(copies["code"].source)
        version = share.request.version is not None
        return [
            Before(
                source=Path(copied.source),
                manifest=self._kit.manifest(share.id, key),
                data=key != "code",
                keep=kept_in(share.request.keep, project, Path(copied.source)),
                apart=copied.apart,
            )
            for key, copied in sorted(copies.items(), key=lambda item: (item[0] != "code", item[0]))
            if not (version and key == "code")  # a commit does not change
        ]

    async def copy(self, share: str, key: str) -> None:
        """Copy one folder into a new volume, verified on the way."""
        kit = self._kit
        source = await self._looking.source(share)
        found = source.survey
        folder = dict(zip(keys_of(found), folders_of(found), strict=True))[key]
        order = await self._order(share, key, source, folder)
        total = sum(f.bytes for f in folders_of(found))
        await kit.runner.begin_step(share, StepName.COPY)
        parts = kit.memory(share).parts
        recorder = Recorder(kit.records, share, StepName.COPY, key, total, parts)
        try:
            volumes = (await kit.roles_of(share)).volumes
            copied = await recorder.follow(volumes.copy(order), CopyResult)
        except SourceReplaced:
            raise SourceReplaced(path=folder.path) from None  # not as the Job calls it
        finally:
            await recorder.flush()
        transient = await kit.files.run(transient_of, order.manifest)
        kept = Copied(
            volume=copied.volume,
            source=folder.path,
            name=folder.name,
            files=copied.files,
            bytes=copied.bytes,
            manifest=copied.digest,
            transient=transient,
            owner=copied.owner,
            apart=list(order.mount_points),
            skipped=told_to_leave_out(copied.skipped),
            changed=list(copied.changed),
            chosen=list(copied.chosen),
            route=copied.route,
            route_reason=copied.why,
        )

        def change(draft: ShareDraft) -> None:
            draft.document.copies = {**draft.document.copies, key: kept}

        await kit.records.edit(share, change)

    async def _order(self, share: str, key: str, source: Source, folder: Folder) -> CopyOrder:
        found, place = source.survey, source.places[folder.path]
        if isinstance(place, Finding):
            raise CopyFailed(path=folder.path, reason="it can't be reached")
        assert isinstance(place, SourcePlace)
        is_code = key == "code"
        return CopyOrder(
            migration=share,
            owner=await self._kit.owner_of(share),
            key=key,
            role="code" if is_code else "data",
            place=place,
            manifest=self._kit.manifest(share, key),
            exclude=sorted(found.elsewhere[folder.path]),
            mount_points=sorted(found.inside.values()) if is_code else (),
            commit=found.commit if is_code else None,
            keep=await self._kit.keep(share, found.project.path, folder.path),
            identity=found.identities.get(folder.path, ""),
            size=size_of(found, folder),
        )

    # ------------------------------------------------------------------ proving

    async def image_and_code_agree(self, share: str) -> bool:
        """Whether files that are in both the build context and the code's manifest are equal."""
        return not await self._kit.files.run(self._differing, share)

    def _differing(self, share: str) -> list[str]:
        sent = json.loads(self._kit.path(share, "context.json").read_text())
        with self._kit.manifest(share, "code").open("rb") as file:
            copied = {to_text(path): digest for path, digest in read_manifest(file)}
        return sorted(p for p, digest in sent.items() if copied.get(p, digest) != digest)

    async def insist_on_agreement(self, share: str) -> None:
        """Fail if image and code differ even after the second build."""
        differing = await self._kit.files.run(self._differing, share)
        if differing:
            raise ImageAndCodeDiffer(count=len(differing), first=differing[0])

    async def hand_over(self, share: str) -> None:
        """Give the owner's files to the image's user, once it is clear that none was lost."""
        kit = self._kit
        draft = await kit.records.read(share)
        record, document = draft.record, draft.document
        if record.plan is not None and (
            error := lost(record.plan, document.volumes(), document.transient())
        ):
            raise error
        _, probe = document.made()
        after = (probe.uid, probe.gid)
        everything = not record.request.keep_owners
        others = (await self._looking.source(share)).survey.others if everything else {}
        by_owner: dict[tuple[int, int], list[VolumeCheck]] = {}
        for key, copied in document.copies.items():
            if copied.owner != after or copied.source in others:
                check = VolumeCheck(copied.volume, kit.manifest(share, key))
                by_owner.setdefault(copied.owner, []).append(check)
        for before, checks in by_owner.items():
            owner = await kit.owner_of(share)
            order = OwnOrder(share, owner, checks, before, after, everything)
            volumes = (await kit.roles_of(share)).volumes
            await Recorder(kit.records, share, None).follow(volumes.own(order), VerifyResult)

        def change(draft: ShareDraft) -> None:
            draft.document.gave_all = bool(others)

        await kit.records.edit(share, change)

    async def verify_volumes(self, share: str) -> None:
        """Read the volumes back, read-only, and compare them with their manifests."""
        kit = self._kit
        document: ShareDocument = await kit.records.document(share)
        checks = [
            VolumeCheck(copied.volume, kit.manifest(share, key))
            for key, copied in document.copies.items()
        ]
        size = sum(copied.bytes for copied in document.copies.values())
        # It is a part of the copy, and shown as one; it may be cancelled, or end badly, as such.
        await kit.runner.begin_step(share, StepName.COPY, message=COMPARING, percent=0.0, done=0)
        recorder = Recorder(kit.records, share, StepName.COPY, "", size)
        order = VerifyOrder(share, await kit.owner_of(share), checks)
        try:
            volumes = (await kit.roles_of(share)).volumes
            verified = await recorder.follow(volumes.verify(order), VerifyResult)
        finally:
            await recorder.flush()

        def change(draft: ShareDraft) -> None:
            draft.document.verified = (verified.files, verified.bytes)
            step = draft.step(StepName.COPY)
            step.state, step.finished, step.percent = StepState.DONE, utcnow(), 100.0
            step.message, step.done, step.total, step.files = None, size, size, verified.files

        await kit.records.edit(share, change)
