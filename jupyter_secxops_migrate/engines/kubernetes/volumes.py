"""Claims of copies: cloned or filled by a Job, handed over, and read back by a Job that only may read.

Plays the role `Volumes`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...copying.errors import CopyFailed
from ...copying.identity import inode_only
from ...copying.job import WORK
from ..names import Names, labels
from ..orders import (
    CopyOrder,
    CopyResult,
    LogLine,
    Measure,
    OwnOrder,
    Progress,
    VerifyOrder,
    VerifyResult,
    VolumeCheck,
)
from ..report import JobResult, copy_result
from ..streams import side_by_side
from . import objects
from .clone import WHY, NotCloned
from .connection import Json
from .job import COPY_RIGHTS, Job, source_mount
from .jobs import Jobs
from .place import SourcePod
from .recent import STEP_SECONDS
from .shared import Shared
from .source import Source
from .storage import class_of_copy, size_of_copy


class Volumes:
    """Copies of one source's folders, in claims of its namespace."""

    def __init__(self, shared: Shared, source: Source) -> None:
        self._shared = shared
        self._source = source

    async def copy(self, order: CopyOrder) -> AsyncIterator[Progress | CopyResult]:
        """Copy one folder into a new claim, in a Job on the source's node; a clone is its head start."""
        source = await self._source.pinned(STEP_SECONDS)
        volume = Names(order.migration).volume(order.key)
        claims = await self._shared.space.path("claim")
        there = await self._shared.recent.get(f"{claims}/{order.place.source}")
        if there is None:
            raise CopyFailed(
                path=order.place.mount or "", reason=f"the claim {order.place.source} is not there"
            )
        # Each pod may have its own mount of a claim, with another device number.
        order = replace(order, identity=inode_only(order.identity))
        job = self._copy_job(order, volume, source)
        jobs = await self._shared.jobs()
        # Its pod starts beside the copy, and waits for its manifest.
        check = VolumeCheck(volume, order.manifest)
        checking = self._check(order.migration, order.owner, check, source)
        fields: Mapping[str, Any] = {}

        def plain(why: str) -> Json:
            size = size_of_copy(there, order.size, self._shared.settings)
            found = self._claim(order, there, size)
            found["metadata"]["annotations"] = {WHY: why}
            return found

        # A clone has to be as large as its source.
        body = self._claim(order, there)
        made, why = await self._shared.clones.claim(order, there, body, plain)
        if why is None:
            try:
                async for item in self._shared.clones.fill(made, job, checking, jobs):
                    if isinstance(item, JobResult):
                        fields = item.fields
                    else:
                        yield item
            except NotCloned as error:
                why = str(error)
                await self._shared.api.create(claims, plain(why), f"make a claim for {order.key}")
        if why is None:
            yield LogLine(
                f"{order.key}: the storage cloned {order.place.source}; {fields['kept']} of its "
                f"{fields['files']} files were found equal in the clone, the others were copied."
            )
            await jobs.try_to_start(checking)
        else:
            yield LogLine(f"{order.key}: copied file by file and not cloned: {why}.")
            async for item in self._file_by_file(order, job, checking, jobs):
                if isinstance(item, JobResult):
                    fields = item.fields
                else:
                    yield item
        yield copy_result(volume, fields, "clone" if why is None else "copy", why or "")

    async def _file_by_file(
        self, order: CopyOrder, job: Job, checking: Job, jobs: Jobs
    ) -> AsyncIterator[Progress | JobResult]:
        """Copy into a claim that is the copy's own; the Job that checks it starts beside, if it can."""
        if await self._shared.sight.everywhere(order.place.source):
            job = replace(job, place="near")
        # The volume is this copy's alone: nobody has come for the result of what lies there.
        afresh = replace(job, arguments=["--afresh", *job.arguments])
        begun = waits = False
        async for item in jobs.run(afresh):
            if not begun and not isinstance(item, JobResult):
                # The claim is bound to where the copy runs.
                begun = True
                waits = await jobs.try_to_start(checking)
            yield item
        if not waits:
            await jobs.try_to_start(checking)

    def _claim(self, order: CopyOrder, there: Json, size: int | None = None) -> Json:
        """Return the claim of a copy, like that of its source."""
        volume = Names(order.migration).volume(order.key)
        marks = labels(order.owner, order.role, order.migration)
        storage_class = class_of_copy(there, self._shared.settings)
        return objects.claim(volume, marks, there, storage_class, size)

    def _copy_job(self, order: CopyOrder, volume: str, source: SourcePod) -> Job:
        """Return the Job that reads the source's folder, writes the copy, and leaves its manifest."""
        return Job(
            name=Names(order.migration).job(f"copy-{order.key}"),
            labels=labels(order.owner, "job", order.migration),
            module="copying.__main__",
            arguments=[
                *("--manifest", f"{WORK}/manifest", "--json"),
                *order.options(),
                *("--", "/source", "/destination"),
            ],
            volumes=[_volume("source", order.place.source, True), _volume("destination", volume)],
            mounts=[
                source_mount(order.place),
                {"name": "destination", "mountPath": "/destination"},
            ],
            source=source,
            place="here",
            rights=COPY_RIGHTS,
            results={
                "manifest": order.manifest,
                "manifest.meta": order.manifest.with_name(order.manifest.name + ".meta"),
            },
            seconds=self._shared.settings.job_seconds,
        )

    async def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Hand the copied files to the image's user, in the Jobs that wait to check them."""
        jobs = await self._shared.jobs()
        source = await self._source.pinned(STEP_SECONDS)
        arguments = ["--manifest", f"{WORK}/manifest", "--json", *order.options(), "--", "/volume"]
        streams = [
            jobs.run_first(
                self._check(order.migration, order.owner, check, source),
                "copying.own",
                arguments,
                {"manifest.meta": _meta(check)},
            )
            for check in order.volumes
        ]
        async for item in _summed(streams):
            yield item

    async def verify(self, order: VerifyOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Check volumes against their manifests; the claims of those that are equal say so."""
        jobs = await self._shared.jobs()
        source = await self._source.pinned(STEP_SECONDS)
        streams = [
            jobs.run(self._check(order.migration, order.owner, check, source))
            for check in order.volumes
        ]
        async for item in _summed(streams):
            yield item
        for check in order.volumes:
            path = await self._shared.space.path("claim", check.volume)
            told = {"metadata": {"labels": {"secxops.io/state": "verified"}}}
            now = await self._shared.api.call(
                "PATCH", path, told, action="mark a claim as verified"
            )
            if now is not None:
                self._shared.recent.put(path, now)  # where it may be is asked next

    def _check(self, migration: str, owner: str, check: VolumeCheck, source: SourcePod) -> Job:
        """Return the Job that checks a volume by its manifest, read-only at ``/check``.

        It starts while the copy runs, and waits for the manifest. While it does, the files are handed
        over at ``/volume``: so one pod serves both.
        """
        names = Names(migration)
        return Job(
            name=names.job(f"check-{check.volume.removeprefix(names.volume(''))}"),
            labels=labels(owner, "job", migration),
            module="copying.verify",
            arguments=["--manifest", f"{WORK}/manifest", "--json", "--", "/check"],
            volumes=[_volume("volume", check.volume)],
            mounts=[
                {"name": "volume", "mountPath": "/volume"},
                {"name": "volume", "mountPath": "/check", "readOnly": True},
            ],
            source=source,
            place="near",
            rights=COPY_RIGHTS,
            files={"manifest": check.manifest, "manifest.meta": _meta(check)},
            seconds=self._shared.settings.job_seconds,
        )


async def _summed(
    streams: Sequence[AsyncIterator[Progress | JobResult]],
) -> AsyncIterator[Progress | VerifyResult]:
    """Follow Jobs side by side; yield their progress and, last, the sum of what they found."""
    done = [Measure(0, files=0)] * len(streams)
    total = VerifyResult(0, 0)
    async for number, item in side_by_side(streams):
        if isinstance(item, Measure):
            done[number] = item
            yield Measure(sum(m.done for m in done), None, "bytes", sum(m.files or 0 for m in done))
        elif isinstance(item, JobResult):
            files, size = item.fields["files"], item.fields["bytes"]
            total = VerifyResult(total.files + files, total.bytes + size)
        else:
            yield item
    yield total


def _meta(check: VolumeCheck) -> Path:
    """The side file beside a manifest."""
    return check.manifest.with_name(check.manifest.name + ".meta")


def _volume(name: str, claim: str, read_only: bool = False) -> Json:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": read_only}}
