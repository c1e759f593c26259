"""The `Engine` of one Docker host."""

from __future__ import annotations

import asyncio
import contextlib
import http
import http.client
import io
import os
import re
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import docker
from docker.types import DeviceRequest, Mount
from docker.utils import version_gte, version_lt

from ... import errors
from ...copying.reasons import code_of
from ...model import Check, EnvironmentStatus, NodeCapacity, NotCopiedItem, Orphan, PodSource
from ...placement.policy import Capacity, OneNode
from ..base import (
    MANAGED_BY,
    MANAGER,
    MIGRATION,
    OWNER,
    PROBE,
    ROLE,
    BuildOrder,
    BuildResult,
    CopyOrder,
    CopyResult,
    ImageInfo,
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
    SourceEnvironment,
    SourcePlace,
    VerifyOrder,
    VerifyResult,
    VolumeCheck,
    labels,
    owner_hash,
    probe_of,
    without_passwords,
)
from ..streams import side_by_side
from . import place, tools
from .build import run_build
from .buildkit import run_buildkit
from .certificates import trusting
from .connection import Connection, StreamingClient, default_endpoint
from .jobs import WORK, Job, JobResult, adopt, remove, run_job
from .settings import DockerSettings

# never through a proxy: it is this machine
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
PORT = 8888
ANSWER_SECONDS = 2.0
_NAMELESS = re.compile(r"[0-9a-f]{64}")
TOKEN_FOLDER = "/run/secxops"  # noqa: S105 - a folder
# FSETID: without it, chmod quietly takes the set-group-id bit off a folder of another group.
_COPY_CAPS = ("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID")
_OWN_CAPS = _COPY_CAPS
_READ_CAPS = ("DAC_READ_SEARCH", "DAC_OVERRIDE")


class DockerEngine(DockerSettings):
    """Containers, images and volumes of one Docker host, through its API.

    Raises what `jupyter_secxops_migrate.errors` has for engines: `errors.EngineUnavailable`,
    `errors.EngineForbidden`, `errors.EngineFailed`.
    """

    name = "docker"
    reads_projects = False
    outside = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._connection = Connection(default_endpoint(self.endpoint))
        self._tools_lock = asyncio.Lock()
        self._tools = ""

    async def close(self) -> None:
        """Release the connection."""
        self._connection.close()

    def at(self, source: PodSource | None) -> DockerEngine:
        """Return this engine: its source is where this process runs."""
        if source is not None:
            raise errors.InvalidRequest(reason="source: Docker has no pods")
        return self

    # ------------------------------------------------------------------ surroundings

    async def doctor(self) -> list[Check]:
        """Check that Docker answers and has what a share needs; never raises."""
        try:
            info = await self._connection.call("answer", lambda api: api.info())
        except errors.SecxopsError as error:
            return [Check(name="engine", state="failed", message=error.message, hint=error.hint)]
        found = [
            Check(
                name="engine",
                state="ok",
                message=f"Docker {info['ServerVersion']} answers.",
            )
        ]
        image = self.tools_image or self.tools_base
        if await self.image(image) is None:
            hint = errors.ToolsImageMissing(reason="").hint
            found.append(
                Check(
                    name="tools image",
                    state="warning",
                    message=f"{image} is not there yet; the first share will try to pull it.",
                    hint=hint,
                )
            )
        else:
            found.append(Check(name="tools image", state="ok", message=f"{image} is there."))
        if self.index_has_password:
            found.append(
                Check(
                    name="package index",
                    state="warning",
                    message="PIP_INDEX_URL holds a password and is not passed to image builds: "
                    "the image's history would show it.",
                    hint="Use an index without a password for builds (DockerEngine.package_index).",
                )
            )
        return found

    async def _own(self) -> Mapping[str, Any]:
        return await self._connection.call(
            "find out where this process runs", lambda api: place.own_container(api) or {}
        )

    async def source(self) -> SourceEnvironment:
        """Find out where this process runs."""
        node = await self._node()
        own = await self._own()
        if not own:
            return SourceEnvironment("host", node)
        cpu, memory, gpu = place.limits_of(own)
        return SourceEnvironment(
            "container",
            node,
            container=own["Name"].lstrip("/"),
            image=own["Image"],
            cpu=cpu,
            memory=memory,
            gpu=gpu,
            mounts=place.mounts_of(own),
        )

    async def _node(self) -> str:
        info = await self._connection.call("answer", lambda api: api.info())
        return str(info.get("Name") or "docker")

    async def locate(self, path: Path) -> SourcePlace:
        """Say what a Job must mount to see ``path``."""
        return place.locate(await self._own() or None, path)

    async def look(self, order: LookOrder) -> Mapping[str, Any]:
        """Not needed: this process sees the files."""
        raise NotImplementedError

    async def capacity(self, volumes: Sequence[str]) -> Capacity:
        """Observe the host: what it has, what the limits of running containers ask of it."""

        def look(api: docker.APIClient) -> NodeCapacity:
            info = api.info()
            cpu = memory = 0.0
            gpu = 0
            for row in api.containers():
                with contextlib.suppress(docker.errors.NotFound):
                    limits = place.limits_of(api.inspect_container(row["Id"]))
                    cpu += limits[0] or 0
                    memory += limits[1] or 0
                    gpu += limits[2]
            disk = _disk(info["DockerRootDir"])
            return NodeCapacity(
                node=str(info.get("Name") or "docker"),
                cpu=info["NCPU"],
                cpu_requested=cpu,
                memory=info["MemTotal"],
                memory_requested=int(memory),
                memory_available=_memory_available(info["MemTotal"]),
                disk=disk[0] if disk else None,
                disk_available=disk[1] if disk else None,
                gpu=_gpus() if "nvidia" in (info.get("Runtimes") or {}) else 0,
                gpu_requested=gpu,
            )

        return OneNode(await self._connection.call("report its resources", look))

    async def features(self) -> frozenset[str]:
        """Say what the builder can do."""
        found, _ = await self._buildkit()
        return frozenset() if self.builder == "classic" else found

    async def _buildkit(self) -> tuple[frozenset[str], bool]:
        """What the engine's BuildKit can do, and whether ``docker build`` uses it there."""

        def ask(api: docker.APIClient) -> tuple[frozenset[str], bool]:
            parts = api.version().get("Components") or ()
            docker_itself = any(part.get("Name") == "Engine" for part in parts)
            if not docker_itself or version_lt(api.api_version, "1.39"):
                return frozenset(), False
            # Docker 23 was the first with the Dockerfile syntax 1.4 built in.
            new = version_gte(api.api_version, "1.42")
            usual = api.get(f"{api.base_url}/_ping").headers.get("Builder-Version") == "2"
            return frozenset({"buildkit", "syntax-1.4"} if new else {"buildkit"}), usual

        return await self._connection.call("say what it builds with", ask)

    # ------------------------------------------------------------------ images

    async def image(self, reference: str) -> ImageInfo | None:
        """Inspect an image; None when it is not there."""

        def look(api: docker.APIClient) -> ImageInfo | None:
            try:
                return _image_info(_inspect_image(api, reference))
            except docker.errors.NotFound:
                return None

        return await self._connection.call("inspect an image", look)

    async def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        """Build, then tag."""
        built = ""
        if self.ca_bundle:
            order = trusting(order, self.certificates())
        build = run_buildkit if await self._takes_buildkit(order) else run_build
        async for item in self._connection.stream(
            "build",
            lambda client: build(
                client, order, arguments=self.arguments(), network=self.build_network or None
            ),
        ):
            if isinstance(item, str):
                built = item
            elif isinstance(item, LogLine):
                yield LogLine(without_passwords(item.text))
            else:
                yield item

        def tag(api: docker.APIClient) -> BuildResult:
            name = order.tag.format(digest=order.digest())
            api.tag(built, order.repository, name, force=True)
            return BuildResult(
                f"{order.repository}:{name}", _image_info(_inspect_image(api, built))
            )

        yield await self._connection.call("tag the image", tag)

    def push(self, order: PushOrder) -> AsyncIterator[Progress | PushResult]:
        """Not needed: there is one node."""
        raise NotImplementedError

    async def _takes_buildkit(self, order: BuildOrder) -> bool:
        """Build with what ``docker build`` uses there, for its layer cache; else with what can."""
        found, usual = await self._buildkit()
        wanted = usual or order.buildkit if self.builder == "auto" else self.builder == "buildkit"
        return bool(found) and wanted

    async def probe(
        self,
        migration: str,
        owner: str,
        image: str,
        reference: str,
        terms: Mapping[str, Any],
        *,
        pushed: bool = True,
    ) -> ImageProbe:
        """Run the image once, without network or rights, to learn its user and its JupyterLab."""

        name = Names(migration).job("probe")

        def look(api: docker.APIClient) -> str:
            remove(api, name)  # what a killed service left
            try:
                container = api.create_container(
                    image,
                    name=name,
                    entrypoint=["/bin/sh"],
                    command=["-c", PROBE],
                    labels=labels(owner, "job", migration),
                    host_config=api.create_host_config(
                        network_mode="none",
                        cap_drop=["ALL"],
                        security_opt=["no-new-privileges"],
                        pids_limit=64,
                        mem_limit="256m",
                    ),
                )["Id"]
                api.start(container)
                api.wait(container, timeout=int(self.probe_timeout))
                return str(
                    api.logs(container, stdout=True, stderr=False).decode("utf-8", "replace")
                )
            except docker.errors.APIError as error:
                if "exec" in str(error.explanation) or "no such file" in str(error.explanation):
                    return ""  # no shell in it, so no JupyterLab either
                raise
            finally:
                remove(api, name)

        return probe_of(await self._connection.call("run the image", look))

    async def prepare(self) -> str:
        """Return the tools image, made on first use.

        Raises
        ------
        errors.ToolsImageMissing
            It can't be made.
        """
        if self.tools_image:
            return self.tools_image
        async with self._tools_lock:
            if self._tools and await self.image(self._tools) is not None:
                return self._tools
            order = tools.order(self.tools_base)
            reference = f"{order.repository}:{order.tag}"
            if await self.image(reference) is None:
                last = ""
                try:
                    async for item in self.build(order):
                        last = getattr(item, "text", last)
                except errors.SecxopsError as error:
                    raise errors.ToolsImageMissing(
                        reason=f"{error.message} {last}".strip()
                    ) from error
            self._tools = reference
            return reference

    # ------------------------------------------------------------------ volumes

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
                fields = item.fields
                uid, gid = fields["owner"]
                yield CopyResult(
                    volume,
                    fields["files"],
                    fields["bytes"],
                    fields["digest"],
                    (uid, gid),
                    [
                        NotCopiedItem(**row, code=code_of(row["reason"]))
                        for row in fields["skipped"]
                    ],
                )
            else:
                yield item

    async def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Hand the copied files to the image's user."""
        before, after = (f"{u}:{g}" for u, g in (order.before, order.after))
        async for item in self._each(
            order.migration,
            order.owner,
            order.volumes,
            "own",
            ("--before", before, "--after", after),
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
        await self.prepare()
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
        image = await self.prepare()
        done = False
        try:
            async for item in self._connection.stream(
                "copy" if "copy" in job.name else "verify",
                lambda client: run_job(
                    client, image, job, memory=self.job_memory, pids=self.pids_limit
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
        if not self._tools and not self.tools_image:
            raise errors.EngineFailed(action="read a volume", reason="nothing was copied yet")
        with self._connection.translated("read a volume"):
            api = StreamingClient(base_url=self._connection.endpoint, version="auto", timeout=60)
            name = Names(migration).job("read")
            try:
                remove(api, name)
                container = api.create_container(
                    self.tools_image or self._tools,
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

    # ------------------------------------------------------------------ the environment

    async def launch(self, order: LaunchOrder) -> Observation:
        """Create and start the environment, or adopt the one that is there, and wait for it."""
        name = Names(order.migration).environment

        def go(api: docker.APIClient) -> None:
            with contextlib.suppress(docker.errors.NotFound):
                found = api.inspect_container(name)
                # One that was never started may have no token yet.
                started = found["State"]["Status"] != "created"
                wanted = {m.path: m.volume for m in order.mounts}
                if started and found["Image"] == order.image and _mounts(found) == wanted:
                    api.start(found["Id"])
                    return
                remove(api, name)
            container = self._create(api, order, name)
            api.put_archive(container, "/", _token_archive(order))
            api.start(container)

        await self._connection.call("start the environment", go)
        return await self._wait_until_answers(order)

    def _create(self, api: docker.APIClient, order: LaunchOrder, name: str) -> str:
        command = [
            *(order.probe.jupyter or ()),
            "--ServerApp.ip=0.0.0.0",
            f"--ServerApp.port={PORT}",
            "--ServerApp.port_retries=0",
            "--ServerApp.open_browser=False",
            f"--ServerApp.root_dir={order.root}",
        ]
        if order.probe.uid == 0:
            command.append("--ServerApp.allow_root=True")
        gpus = [DeviceRequest(count=order.gpu, capabilities=[["gpu"]])] if order.gpu else None
        return str(
            api.create_container(
                order.image,
                entrypoint=command[:1],
                command=command[1:],
                name=name,
                # An image's own JUPYTER_TOKEN would go before the file.
                environment={"JUPYTER_TOKEN_FILE": f"{TOKEN_FOLDER}/token", "JUPYTER_TOKEN": ""},
                labels=labels(order.owner, "environment", order.migration),
                ports=[PORT],
                working_dir=order.root,
                host_config=api.create_host_config(
                    port_bindings={PORT: ("127.0.0.1", None)},
                    cap_drop=["ALL"],
                    security_opt=["no-new-privileges"],
                    pids_limit=self.pids_limit,
                    nano_cpus=int(order.cpu * 1e9) if order.cpu else None,
                    mem_limit=order.memory,
                    device_requests=gpus,
                    init=True,
                    restart_policy={"Name": "unless-stopped"},
                    mounts=[
                        Mount(m.path, m.volume, type="volume", no_copy=True) for m in order.mounts
                    ],
                ),
            )["Id"]
        )

    async def _wait_until_answers(self, order: LaunchOrder) -> Observation:
        deadline = time.monotonic() + self.launch_timeout
        while True:
            seen = await self.inspect(order.migration)
            if seen.status in (EnvironmentStatus.STOPPED, EnvironmentStatus.GONE) or seen.restarts:
                last = seen.log.replace(order.token, "…").strip().splitlines()[-5:]
                raise errors.LaunchFailed(
                    reason=" / ".join(last) or "it ended at once", id=order.migration
                )
            if seen.status is EnvironmentStatus.RUNNING:
                await self._insist_on_token(order)
                return seen
            if time.monotonic() > deadline:
                raise errors.LaunchFailed(
                    reason=f"JupyterLab did not answer within {self.launch_timeout:.0f} seconds",
                    id=order.migration,
                )
            await asyncio.sleep(0.1)

    async def _insist_on_token(self, order: LaunchOrder) -> None:
        """Fail unless JupyterLab lets in who has the token, and nobody else.

        An image may bring a Jupyter configuration that switches tokens off, or sets its own.
        """

        def ask(api: docker.APIClient) -> bool:
            found = api.inspect_container(Names(order.migration).environment)
            ports = (found["NetworkSettings"]["Ports"] or {}).get(f"{PORT}/tcp") or []
            return any(
                _status(address, order.token) == http.HTTPStatus.OK
                and _status(address) == http.HTTPStatus.FORBIDDEN
                for address in _addresses(found, ports)
            )

        if not await self._connection.call("ask the environment", ask):
            raise errors.LaunchFailed(
                reason="its JupyterLab does not go by the environment's own token: remove the token "
                "from the image's Jupyter configuration",
                id=order.migration,
            )

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at the launched environment."""
        name = Names(migration).environment

        def look(api: docker.APIClient) -> Observation:
            try:
                found = api.inspect_container(name)
            except docker.errors.NotFound:
                return Observation(EnvironmentStatus.GONE, name)
            state = found["State"]
            ports = (found["NetworkSettings"]["Ports"] or {}).get(f"{PORT}/tcp") or []
            status = EnvironmentStatus.STOPPED
            if state["Running"]:
                answers = any(_answers(address) for address in _addresses(found, ports))
                status = EnvironmentStatus.RUNNING if answers else EnvironmentStatus.STARTING
            elif state["Status"] == "created":
                status = EnvironmentStatus.STARTING
            restarts = int(found.get("RestartCount") or 0)
            log = ""
            if not state["Running"] or restarts:
                log = api.logs(name, tail=20).decode("utf-8", "replace")
            return Observation(
                status,
                name,
                url=f"http://127.0.0.1:{ports[0]['HostPort']}/lab" if ports else None,
                image=found["Image"],
                mounts=_mounts(found),
                log=log,
                restarts=restarts,
            )

        return await self._connection.call("look at the environment", look)

    async def stop(self, migration: str) -> None:
        """Stop the environment; absent is success."""

        def go(api: docker.APIClient) -> None:
            with contextlib.suppress(docker.errors.NotFound):
                api.stop(Names(migration).environment, timeout=5)

        await self._connection.call("stop the environment", go)

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment again."""
        await self._connection.call(
            "start the environment", lambda api: api.start(Names(migration).environment)
        )
        return await self.inspect(migration)

    async def end_jobs(self, migration: str) -> None:
        """End and remove the migration's Jobs."""

        def go(api: docker.APIClient) -> None:
            for row in api.containers(
                all=True, filters=_filter({MIGRATION: migration, ROLE: "job"})
            ):
                remove(api, row["Id"])

        await self._connection.call("end the Jobs", go)

    async def delete(
        self, migration: str, image: str | None = None, *, pushed: bool = True
    ) -> None:
        """Remove environment, Jobs and volumes; and ``image`` if nothing uses it."""

        def go(api: docker.APIClient) -> None:
            mine = _filter({MIGRATION: migration})
            for row in api.containers(all=True, filters=mine):
                remove(api, row["Id"])
            for volume in api.volumes(filters=mine)["Volumes"] or ():
                with contextlib.suppress(docker.errors.NotFound):
                    api.remove_volume(volume["Name"])
            if image:
                _remove_unused_image(api, image)

        await self._connection.call("remove the environment", go)

    async def owned(self, owner: str) -> list[Orphan]:
        """List all objects of this owner that carry our labels."""

        def look(api: docker.APIClient) -> list[Orphan]:
            mine = _filter({MANAGED_BY: MANAGER, OWNER: owner_hash(owner)})
            found = []
            for row in api.containers(all=True, filters=mine):
                marks = row["Labels"]
                if MIGRATION not in marks:
                    continue  # a container that somebody made of a shared image has its labels
                found.append(
                    Orphan(
                        kind="container",
                        name=row["Names"][0].lstrip("/"),
                        role=marks.get(ROLE, ""),
                        migration=marks.get(MIGRATION),
                        created=datetime.fromtimestamp(row["Created"]).astimezone(),
                    )
                )
            for volume in api.volumes(filters=mine)["Volumes"] or ():
                marks = volume["Labels"] or {}
                found.append(
                    Orphan(
                        kind="volume",
                        name=volume["Name"],
                        role=marks.get(ROLE, ""),
                        migration=marks.get(MIGRATION),
                        created=volume.get("CreatedAt"),
                    )
                )
            return found

        return await self._connection.call("list what is yours", look)

    async def remove(self, objects: Sequence[Orphan]) -> None:
        """Remove listed objects; absent is success."""

        def go(api: docker.APIClient) -> None:
            for found in sorted(objects, key=lambda o: o.kind != "container"):
                with contextlib.suppress(docker.errors.NotFound):
                    if found.kind == "container":
                        remove(api, found.name)
                    elif found.kind == "volume":
                        api.remove_volume(found.name)
                    elif found.kind == "image":
                        _remove_unused_image(api, found.name)

        await self._connection.call("remove what is left over", go)


def _filter(marks: Mapping[str, str]) -> dict[str, list[str]]:
    return {"label": [f"{k}={v}" for k, v in marks.items()]}


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
        *(f"--exclude={path}" for path in order.exclude),
    ]
    if order.commit:
        command.append(f"--commit={order.commit}")
    return mount, [*command, "--", folder, "/destination"]


def _inspect_image(api: docker.APIClient, reference: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = api.inspect_image(reference)  # type: ignore[no-untyped-call]
    return found


def _image_info(found: Mapping[str, Any]) -> ImageInfo:
    config = found.get("Config") or {}
    return ImageInfo(
        digest=found["Id"],
        size=found["Size"],
        user=config.get("User") or "",
        workdir=config.get("WorkingDir") or "",
        env=dict(e.split("=", 1) for e in config.get("Env") or () if "=" in e),
        layers=len((found.get("RootFS") or {}).get("Layers") or ()),
    )


def _remove_unused_image(api: docker.APIClient, reference: str) -> None:
    """Take the name off; Docker removes the image itself when it has no other and nothing runs it."""
    with contextlib.suppress(docker.errors.NotFound):
        try:
            api.remove_image(reference, force=False)
        except docker.errors.APIError as error:
            if error.response is None or error.response.status_code != 409:
                raise


def _mounts(container: Mapping[str, Any]) -> dict[str, str]:
    """Return path and name of its volumes, without the nameless ones of the image's VOLUME lines."""
    return {
        m["Destination"]: m["Name"]
        for m in container["Mounts"]
        if m["Type"] == "volume" and not _NAMELESS.fullmatch(m["Name"])
    }


def _token_archive(order: LaunchOrder) -> bytes:
    """Return a tar with the token's file, readable by the image's user alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo(TOKEN_FOLDER.lstrip("/"))
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        folder.uid, folder.gid = order.probe.uid, order.probe.gid
        archive.addfile(folder)
        content = order.token.encode()
        entry = tarfile.TarInfo(f"{TOKEN_FOLDER}/token".lstrip("/"))
        entry.size, entry.mode = len(content), 0o400
        entry.uid, entry.gid = order.probe.uid, order.probe.gid
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _addresses(container: Mapping[str, Any], ports: Sequence[Mapping[str, str]]) -> list[str]:
    """Return where JupyterLab may answer: the published port, and the container's own address.

    The published port is on the loopback of the engine's host, which is another than ours when we
    run in a container ourselves; then we are neighbours on a network of Docker's.
    """
    found = [f"127.0.0.1:{row['HostPort']}" for row in ports]
    networks = container["NetworkSettings"].get("Networks") or {}
    return [*found, *(f"{n['IPAddress']}:{PORT}" for n in networks.values() if n.get("IPAddress"))]


def _answers(address: str) -> bool:
    """Whether a Jupyter server answers there; its version needs no token."""
    try:
        with _OPENER.open(f"http://{address}/api", timeout=ANSWER_SECONDS) as answer:
            return bool(answer.status == http.HTTPStatus.OK)
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _status(address: str, token: str | None = None) -> int:
    """Return how a Jupyter server answers a question that needs its token; 0 for no answer."""
    request = urllib.request.Request(f"http://{address}/api/status")
    if token is not None:
        request.add_header("Authorization", f"token {token}")
    try:
        with _OPENER.open(request, timeout=ANSWER_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code
    except (OSError, ValueError, http.client.HTTPException):
        return 0


def _memory_available(total: int) -> int | None:
    """Return this machine's available memory in bytes, None if the engine is on another."""
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        here = int(rows["MemTotal"].split()[0]) * 1024
        available = int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    return available if abs(here - total) < 1024**2 else None


def _disk(root: str) -> tuple[int, int] | None:
    """Return the size and the free bytes of the engine's disk, None where it can't be seen."""
    try:
        found = os.statvfs(root)
    except OSError:
        return None
    return found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail


def _gpus() -> int:
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
