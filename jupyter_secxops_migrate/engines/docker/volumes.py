"""Volumes of copies: Jobs fill them, hand them over and check them.

Plays the roles `Volumes` and `ReadsVolumes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import docker
from docker.types import Mount

from ... import errors
from ...copying.job import WORK
from ..names import Names, labels
from ..orders import (
    CopyOrder,
    CopyResult,
    Measure,
    OwnOrder,
    Progress,
    VerifyOrder,
    VerifyResult,
    VolumeCheck,
)
from ..report import JobResult, copy_result
from ..streams import side_by_side
from .connection import Connection, StreamingClient
from .images import Images
from .jobs import Job, adopt, remove, run_job
from .settings import DockerSettings

# FSETID: without it, chmod quietly takes the set-group-id bit off a folder of another group.
_COPY_CAPS = ("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID")
_OWN_CAPS = _COPY_CAPS
_READ_CAPS = ("DAC_READ_SEARCH", "DAC_OVERRIDE")


class Volumes:
    """The volumes that copies are in, and the Jobs that work on them."""

    def __init__(self, connection: Connection, settings: DockerSettings, images: Images) -> None:
        self._connection = connection
        self._settings = settings
        self._images = images

    async def copy(self, order: CopyOrder) -> AsyncIterator[Progress | CopyResult]:
        """Copy one folder into a new volume, in a Job."""
        names = Names(order.migration)
        volume, job_name = names.volume(order.key), names.job(f"copy-{order.key}")
        await self._make_volume(volume, job_name, labels(order.owner, order.role, order.migration))
        source, command = _source_of(order)
        job = Job(
            name=job_name,
            command=command,
            mounts=[source, Mount("/destination", volume, type="volume", no_copy=True)],
            capabilities=_COPY_CAPS,
            labels=labels(order.owner, "job", order.migration),
            files={},
            results={
                "manifest": order.manifest,
                "manifest.meta": order.manifest.with_name(order.manifest.name + ".meta"),
            },
        )
        async for item in self._run(job):
            if isinstance(item, JobResult):
                yield copy_result(volume, item.fields)
            else:
                yield item

    async def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Hand the copied files to the image's user."""
        async for item in self._each(
            order.migration,
            order.owner,
            order.volumes,
            "own",
            order.options(),
            _OWN_CAPS,
            read_only=False,
        ):
            yield item

    async def verify(self, order: VerifyOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Check volumes, mounted read-only, against their manifests."""
        async for item in self._each(
            order.migration, order.owner, order.volumes, "verify", (), _READ_CAPS, read_only=True
        ):
            yield item

    async def _each(
        self,
        migration: str,
        owner: str,
        volumes: Sequence[VolumeCheck],
        verb: str,
        arguments: Sequence[str],
        capabilities: Sequence[str],
        *,
        read_only: bool,
    ) -> AsyncIterator[Progress | VerifyResult]:
        jobs = [
            self._job_on(
                check, migration, owner, verb, arguments, capabilities, read_only=read_only
            )
            for check in volumes
        ]
        await self._images.prepare()
        measures: dict[int, Measure] = {}
        results: list[Mapping[str, Any]] = []
        async for number, item in side_by_side([self._run(job) for job in jobs]):
            if isinstance(item, Measure):
                measures[number] = item
                yield Measure(
                    sum(m.done for m in measures.values()),
                    sum(m.total or 0 for m in measures.values()),
                    "bytes",
                    files=sum(m.files or 0 for m in measures.values()),
                )
            elif isinstance(item, JobResult):
                results.append(item.fields)
            else:
                yield item
        await asyncio.gather(*(self._remove_container(job.name) for job in jobs))
        yield VerifyResult(sum(r["files"] for r in results), sum(r["bytes"] for r in results))

    def _job_on(
        self,
        check: VolumeCheck,
        migration: str,
        owner: str,
        verb: str,
        arguments: Sequence[str],
        capabilities: Sequence[str],
        *,
        read_only: bool,
    ) -> Job:
        """Return the Job that does one thing to one volume that was copied."""
        key = check.volume.removeprefix(Names(migration).volume(""))
        meta = check.manifest.with_name(check.manifest.name + ".meta")
        return Job(
            name=Names(migration).job(f"{verb}-{key}"),
            command=[
                *("python3", "-m", f"jupyter_secxops_migrate.copying.{verb}", "/destination"),
                *("--manifest", f"{WORK}/manifest", *arguments, "--json"),
            ],
            mounts=[
                Mount(
                    "/destination", check.volume, type="volume", read_only=read_only, no_copy=True
                )
            ],
            capabilities=capabilities,
            labels=labels(owner, "job", migration),
            files={"manifest": check.manifest, "manifest.meta": meta},
            results={} if read_only else {"manifest": check.manifest, "manifest.meta": meta},
        )

    async def _run(self, job: Job) -> AsyncIterator[Progress | JobResult]:
        image = await self._images.prepare()
        done = False
        try:
            async for item in self._connection.stream(
                "copy" if "copy" in job.name else "verify",
                lambda client: run_job(
                    client,
                    image,
                    job,
                    memory=self._settings.job_memory,
                    pids=self._settings.pids_limit,
                ),
            ):
                yield item
            done = True
        finally:
            if not done:
                await asyncio.shield(self._remove_container(job.name))

    async def _make_volume(self, name: str, job: str, marks: Mapping[str, str]) -> None:
        """Make the volume; an empty one, unless a Job is there whose work in it goes on."""

        def make(api: docker.APIClient) -> None:
            if adopt(api, job) is None:
                with contextlib.suppress(docker.errors.NotFound):
                    if api.inspect_volume(name)["Labels"] == marks:
                        api.remove_volume(name)
            api.create_volume(name, labels=dict(marks))

        await self._connection.call("make a volume", make)

    async def _remove_container(self, name: str) -> None:
        await self._connection.call("remove a container", lambda api: remove(api, name))

    def read_volume(self, migration: str, owner: str, volume: str) -> Iterator[bytes]:
        """Read a volume as a tar stream (blocking)."""
        if not self._images.tools:
            raise errors.EngineFailed(action="read a volume", reason="nothing was copied yet")
        with self._connection.translated("read a volume"):
            api = StreamingClient(base_url=self._connection.endpoint, version="auto", timeout=60)
            name = Names(migration).job("read")
            try:
                remove(api, name)
                container = api.create_container(
                    self._images.tools,
                    command=["true"],
                    name=name,
                    labels=labels(owner, "job", migration),
                    host_config=api.create_host_config(
                        network_mode="none",
                        mounts=[
                            Mount("/code", volume, type="volume", read_only=True, no_copy=True)
                        ],
                    ),
                )["Id"]
                chunks, _ = api.get_archive(container, "/code/.", chunk_size=1 << 18)
                yield from chunks
            finally:
                remove(api, name)
                api.close()


def _source_of(order: CopyOrder) -> tuple[Mount, list[str]]:
    """Return the source's mount and the command that copies it."""
    folder = "/source"
    if order.place.kind == "bind":
        path = os.fspath(PurePosixPath(order.place.source) / order.place.subpath)
        mount = Mount(folder, path, type="bind", read_only=True)
    else:
        mount = Mount(folder, order.place.source, type="volume", read_only=True, no_copy=True)
        if order.place.subpath:
            folder = f"{folder}/{order.place.subpath}"
    command = [
        *("python3", "-m", "jupyter_secxops_migrate.copying"),
        *("--manifest", f"{WORK}/manifest", "--json"),
        *order.options(),
    ]
    return mount, [*command, "--", folder, "/destination"]
