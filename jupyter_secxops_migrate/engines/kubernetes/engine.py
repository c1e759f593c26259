"""The `Engine` of one namespace of a Kubernetes cluster."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from ... import errors
from ...copying.reasons import code_of
from ...model import Check, NotCopiedItem, Orphan, PodSource
from ...placement.cluster import Cluster, source_selector
from ...placement.nodes import Node, Volume, needs_of_pod, with_pods
from ...placement.requests import record_of
from ...placement.strategies import full_name
from ...registries import Registry
from ...registries.oci import credentials, split
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
)
from ..streams import side_by_side
from . import objects
from .build import CACHE, NO_REGISTRY, Builders, build_job, push_job, read_build, read_push
from .clone import WHY, Clones, NotCloned
from .connection import Connection, Json
from .doctor import examine
from .jobs import (
    COPY_RIGHTS,
    WORK,
    Job,
    JobResult,
    Jobs,
    insist_on_node,
    source_mount,
    wait_for_pod,
)
from .launcher import Launcher, by_digest
from .look import FOUND, HOME, look_job
from .namespace import KINDS, Namespace
from .place import SourcePod, environment, locate, source_pod
from .settings import KubernetesSettings
from .storage import Sight, class_of_copy
from .watched import Watched

log = logging.getLogger(__name__)
_HOME_SECONDS = 5
_PATH_BYTES = 4096


class KubernetesEngine(KubernetesSettings):
    """Pods, claims and Jobs of one namespace.

    Raises what `jupyter_secxops_migrate.errors` has for clusters.
    """

    name = "kubernetes"
    reads_projects = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._api = Connection(self.kubeconfig, self.context)
        self._asked: PodSource | None = None
        # What follows is shared with the engines of `at`, so it is changed and never set anew.
        self._releasing: set[asyncio.Task[None]] = set()
        self._registries: dict[str, Registry] = {}
        self._homes: dict[tuple[str, str], str] = {}
        self._probed: dict[tuple[str, int | None], ImageProbe] = {}
        self._all_nodes = Watched(self._api, "/api/v1/nodes", Node.from_json)
        self._all_pods = Watched(self._api, "/api/v1/pods", record_of)
        self._space = Namespace(self._api, self)
        self._sight = Sight(self._api, self._space, self)
        self._clones = Clones(self._api, self._space, self._sight, self)
        launcher: Any = self.launcher_class
        self._launcher: Launcher = launcher(self._space, self)

    async def close(self) -> None:
        """Release connections."""
        for task in self._releasing:
            task.cancel()
        await asyncio.gather(*self._releasing, return_exceptions=True)
        for watched in (self._all_nodes, self._all_pods, self._launcher):
            await watched.close()
        for registry in self._registries.values():
            await registry.close()
        await self._api.close()

    def at(self, source: PodSource | None) -> KubernetesEngine:
        """Return this engine for another pod of its namespace; the rest is shared."""
        if source is None:
            return self
        found = copy.copy(self)
        found._asked = source
        return found

    @property
    def outside(self) -> bool:
        """Whether the source is another pod than the one in which the service runs."""
        own = _own_pod()
        return (
            self._asked is not None or not own or bool(self.source_pod and self.source_pod != own)
        )

    # ------------------------------------------------------------------ surroundings

    async def _jobs(self) -> Jobs:
        return Jobs(self._api, self, await self._space.name(), self._releasing)

    async def doctor(self) -> list[Check]:
        """Check that the cluster answers and has what a share needs; never raises."""
        source = self._source if self.source_pod or _own_pod() else None
        return await examine(self._api, self._space, self, source, self.registry)

    async def _source(self) -> SourcePod:
        asked = self._asked
        name = asked.pod if asked else self.source_pod or _own_pod()
        if not name:
            raise errors.SourceUnusable(
                pod="?", reason="none is named, and this service runs in none itself"
            )
        path = await self._space.path("pod", name)
        pod = await self._api.get(path, action=f"see the pod {name}")
        if pod is None:
            space = await self._space.name()
            raise errors.SourceUnusable(pod=name, reason=f"it is not there, in namespace {space}")
        return source_pod(pod, (asked.container or "") if asked else self.source_container)

    async def _pinned(self) -> SourcePod:
        """Return the source as Jobs are pinned to its node, whose label on some clouds is not its name."""
        source = await self._source()
        try:
            node = await self._all_nodes.get(source.node)
        except errors.ClusterForbidden:
            return source
        return source if node is None else replace(source, hostname=node.hostname)

    async def source(self) -> SourceEnvironment:
        """Find out where the source runs."""
        return environment(await self._source(), self.gpu_resource, outside=self.outside)

    async def locate(self, path: Path) -> SourcePlace:
        """Say which claim, and which folder in it, the source has at ``path``."""
        return locate(await self._source(), PurePosixPath(path))

    async def look(self, order: LookOrder) -> Mapping[str, Any]:
        """Survey a project from a Job on the source's node; nothing of it stays."""
        source = await self._pinned()
        for path in (order.project, *order.data):
            locate(source, PurePosixPath(path))
        home, jobs = await asyncio.gather(self._home(source), self._jobs())
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / FOUND
            job = look_job(order, self, source, home, results)
            try:
                async for _ in jobs.run(job):
                    pass
            finally:
                # Should it stay all the same, its time is short.
                with contextlib.suppress(errors.SecxopsError):
                    await self._api.delete(f"{jobs.path}/{job.name}")
            found: Mapping[str, Any] = json.loads(results.read_bytes())
            return found

    async def _home(self, source: SourcePod) -> str:
        """Return the home folder of the source's user, ``/`` where nothing says it.

        Often only the image says it, which the pod's object does not show: a shell is asked then.
        """
        key = (source.pod["metadata"]["uid"], source.container["name"])
        if key not in self._homes:
            told = source.home
            if not told:
                with contextlib.suppress(errors.SecxopsError, asyncio.TimeoutError, TimeoutError):
                    told = await asyncio.wait_for(self._told_home(source), _HOME_SECONDS)
            self._homes[key] = told if _is_path(told) else "/"
        return self._homes[key]

    async def _told_home(self, source: SourcePod) -> str:
        command = ["/bin/sh", "-c", HOME]
        told = self._api.execute(
            await self._space.name(), source.name, source.container["name"], command
        )
        said = b""
        async with contextlib.aclosing(told):
            async for chunk in told:
                said += chunk
                if len(said) > _PATH_BYTES:
                    return ""
        return said.decode("utf-8", "replace")

    async def capacity(self, volumes: Sequence[str]) -> Cluster:
        """Observe the cluster as far as this account may, as the scheduler counts it."""
        source, nodes, bound = await asyncio.gather(
            self._source(), self._nodes(), self._bound(volumes)
        )
        # Copies that are there already need no new claims.
        mounted = {claim for claim, _ in source.claims()}
        storage = await self._sight.observe([name for name in volumes if name in mounted])
        spec = source.pod["spec"]
        return Cluster(
            source.node,
            nodes,
            bound,
            needs_of_pod({"spec": {**spec, "tolerations": source.tolerations}}).tolerations,
            source_selector(spec),
            gpu_resource=self.gpu_resource,
            storage=storage,
        )

    async def _nodes(self) -> Sequence[Node] | None:
        """Return all nodes with the sums of their pods, None if they may not be listed."""
        try:
            nodes = await self._all_nodes.items()
        except errors.ClusterForbidden:
            return None
        try:
            return with_pods(nodes, await self._all_pods.items())
        except errors.ClusterForbidden:
            return with_pods(nodes, None)

    async def _bound(self, claims: Sequence[str]) -> Sequence[Volume] | None:
        """Return the volumes behind claims whose copies will be reached from the same nodes only."""
        found = []
        try:
            for name in dict.fromkeys(claims):
                claim = await self._api.get(await self._space.path("claim", name))
                spec = (claim or {}).get("spec") or {}
                given = str(spec.get("storageClassName") or "")
                if not spec.get("volumeName") or self.storage_classes.get(given, given) != given:
                    continue
                volume = await self._api.get(f"/api/v1/persistentvolumes/{spec['volumeName']}")
                if volume is not None:
                    found.append(Volume.from_json(volume))
        except errors.ClusterForbidden:
            return None
        return found

    async def features(self) -> frozenset[str]:
        """Say what the builder can do."""
        found = frozenset({"buildkit", "syntax-1.4"})
        return found | {"push"} if self.registry_address else found

    # ------------------------------------------------------------------ images

    async def registry(self) -> Registry:
        """Return the registry that images are pushed to, signed in to as the builds are.

        Raises
        ------
        errors.RegistryFailed
            None is set, or its secret or configmap is not there or unusable.
        """
        address = self.registry_address
        if address not in self._registries:
            if not address:
                raise self._registry_unusable("none is set (KubernetesEngine.registry_address)")
            user, password = await self._credentials()
            ca = await self._registry_authority()
            make: Any = self.registry_class
            self._registries[address] = make(address, user, password, ca, self._credentials)
        return self._registries[address]

    async def _credentials(self) -> tuple[str, str]:
        """Return user and password for the registry as its secret has them now; empty without one."""
        secret = self.registry_secret or self.pull_secret
        if not secret:
            return "", ""
        found = await self._api.get(await self._space.path("secret", secret))
        if found is None:
            raise self._registry_unusable(f"there is no secret {secret}")
        try:
            config = json.loads(base64.b64decode(found["data"][".dockerconfigjson"]))
            return credentials(config, split(self.registry_address)[0])
        except (KeyError, ValueError, AttributeError):
            raise self._registry_unusable(
                f"the secret {secret} has no Docker configuration with auths"
            ) from None

    async def _registry_authority(self) -> str:
        """Return the certificates that the registry's is signed with; empty for a public one."""
        name = self.registry_ca
        if not name:
            return ""
        namespace = await self._space.name()
        found = await self._api.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        ca = str(((found or {}).get("data") or {}).get("ca.crt") or "")
        if not ca:
            what = f"there is no configmap {name}" if found is None else f"{name} has no ca.crt"
            raise self._registry_unusable(what)
        return ca

    def _registry_unusable(self, reason: str) -> errors.RegistryFailed:
        found = errors.RegistryFailed(
            registry=self.registry_address or "the registry", action="be used", reason=reason
        )
        found.again = False
        return found

    async def image(self, reference: str) -> ImageInfo | None:
        """Say whether the source's node has an image; more than that a node does not tell."""
        source = await self._source()
        try:
            node = await self._all_nodes.get(source.node)
        except errors.ClusterForbidden:
            return None  # it will be pulled if need be
        there = node is not None and not node.images.isdisjoint({reference, full_name(reference)})
        return ImageInfo("", 0) if there else None

    async def _builder(self, source: SourcePod, node: str) -> str:
        """Return where a node's builder listens."""
        try:
            return await Builders(self._api, self).wait(node)
        except errors.BuilderMissing:
            # Where the node itself is away, it is not the builder that is missing.
            await insist_on_node(self._api, source.pod)
            raise

    async def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        """Build on the source's node, from a Job beside the project.

        The image goes into that node's own store where its builder can do that and the image may stay
        there, else to the registry.
        """
        source = await self._pinned()
        registry = None
        repository = f"{NO_REGISTRY}/{order.repository}"
        if order.push or self.registry_address:
            registry = await self.registry()
            repository = registry.reference(order.repository)
            await registry.prepare(repository)
        address = await self._builder(source, source.node)
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            (work / "Dockerfile").write_bytes(order.text)
            job = build_job(order, self, source, address, repository, work)
            jobs = await self._jobs()
            async for item in read_build(order, jobs.run(job), self.registry_address):
                if not isinstance(item, JobResult):
                    yield item
                    continue
                sent = json.loads((work / "context.json").read_text())
                if item.fields["pushed"] and registry is not None:
                    info = await self._pushed(registry, f"{repository}@{item.fields['digest']}")
                else:
                    told = ("digest", "size", "user", "workdir", "layers")
                    info = ImageInfo(**{key: item.fields[key] for key in told})
                yield BuildResult(item.fields["image"], info, item.fields["pushed"], sent)

    async def push(self, order: PushOrder) -> AsyncIterator[Progress | PushResult]:
        """Push from the store of the node that has the image, by the builder there."""
        registry = await self.registry()
        repository = order.reference.rpartition(":")[0]
        await registry.prepare(repository)
        source = await self._source()
        address = await self._builder(source, order.node)
        job = push_job(order, self, source, address)
        jobs = await self._jobs()
        async for item in read_push(jobs.run(job), self.registry_address):
            if not isinstance(item, JobResult):
                yield item
                continue
            info = await self._pushed(registry, f"{repository}@{order.digest}")
            yield PushResult(info.digest)

    async def _pushed(self, registry: Registry, reference: str) -> ImageInfo:
        """Read an image back from the registry, once that lets it run.

        Raises
        ------
        errors.RegistryFailed
            It is not there, or may not run.
        """
        found = await registry.find(reference)
        if found is None:
            raise errors.RegistryFailed(
                registry=self.registry_address,
                action="keep the image",
                reason=f"it has no {reference.rpartition('@')[2]} after the push",
            )
        await registry.admit(reference)
        config = found.config.get("config") or {}
        return ImageInfo(
            found.digest,
            found.size,
            user=config.get("User") or "",
            workdir=config.get("WorkingDir") or "",
            layers=found.layers,
        )

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
        """Run the image once, without rights, to learn its user and its JupyterLab.

        One digest always answers the same, so it is not asked again.
        """
        source = await self._source()
        known = self._probed.get((image, source.user))
        if known is not None:
            return known
        name = Names(migration).job("probe")
        path = await self._space.path("pod")
        body = objects.probe(
            name,
            labels(owner, "job", migration),
            by_digest(reference, image),
            PROBE,
            self,
            pushed=pushed,
            terms=terms,
            user=source.user,
            tolerations=source.tolerations,
        )
        await self._space.remove_pod(name)  # what a killed service left
        await self._api.create(path, body, "run the image once")
        try:
            async for pod in wait_for_pod(
                self._api, path, f"{MIGRATION}={migration},{ROLE}=job", self, name
            ):
                if pod["status"].get("phase") in ("Succeeded", "Failed"):
                    break
            found = probe_of(await self._api.tail(await self._space.name(), name, "job"))
            self._probed[image, source.user] = found
            return found
        finally:
            await self._api.delete(f"{path}/{name}", grace=0)

    # ------------------------------------------------------------------ volumes

    async def copy(self, order: CopyOrder) -> AsyncIterator[Progress | CopyResult]:
        """Copy one folder into a new claim, in a Job on the source's node; a clone is its head start."""
        source = await self._pinned()
        names = Names(order.migration)
        marks = labels(order.owner, order.role, order.migration)
        volume = names.volume(order.key)
        claims = await self._space.path("claim")
        there = await self._api.get(f"{claims}/{order.place.source}")
        if there is None:
            raise errors.CopyFailed(
                path=order.place.mount or "", reason=f"the claim {order.place.source} is not there"
            )
        body = objects.claim(volume, marks, there, class_of_copy(there, self))
        arguments = [
            *("--manifest", f"{WORK}/manifest", "--json"),
            *(f"--exclude={path}" for path in order.exclude),
        ]
        if order.commit:
            arguments.append(f"--commit={order.commit}")
        job = Job(
            name=names.job(f"copy-{order.key}"),
            labels=labels(order.owner, "job", order.migration),
            module="copying.__main__",
            arguments=[*arguments, "--", "/source", "/destination"],
            volumes=[_volume("source", order.place.source, True), _volume("destination", volume)],
            mounts=[
                source_mount(order.place),
                {"name": "destination", "mountPath": "/destination"},
            ],
            node=source.hostname,
            tolerations=source.tolerations,
            rights=COPY_RIGHTS,
            results={
                "manifest": order.manifest,
                "manifest.meta": order.manifest.with_name(order.manifest.name + ".meta"),
            },
            seconds=self.job_seconds,
        )
        jobs = await self._jobs()
        # Its pod starts beside the copy, and waits for its manifest.
        check = VolumeCheck(volume, order.manifest)
        checking = self._check(order.migration, order.owner, check, source)
        fields: Mapping[str, Any] = {}
        why = await self._clones.why_not(order, there, volume)
        if why is None:
            try:
                async for item in self._clones.fill(body, order.place.source, job, checking, jobs):
                    if isinstance(item, JobResult):
                        fields = item.fields
                    else:
                        yield item
            except NotCloned as error:
                why = str(error)
        if why is None:
            yield LogLine(
                f"{order.key}: the storage cloned {order.place.source}; {fields['kept']} of its "
                f"{fields['files']} files were found equal in the clone, the others were copied."
            )
        else:
            yield LogLine(f"{order.key}: copied file by file and not cloned: {why}.")
            body["metadata"]["annotations"] = {WHY: why}
            await self._api.create(claims, body, f"make a claim for {order.key}")
            # The volume is this copy's alone: nobody has come for the result of what lies there.
            afresh = replace(job, arguments=["--afresh", *job.arguments])
            waiting = False
            async for item in jobs.run(afresh):
                if isinstance(item, JobResult):
                    fields = item.fields
                    continue
                if not waiting:  # the claim is bound to where the copy runs
                    waiting = await jobs.try_to_start(checking)
                yield item
        await jobs.try_to_start(checking)
        uid, gid = fields["owner"]
        yield CopyResult(
            volume,
            fields["files"],
            fields["bytes"],
            fields["digest"],
            (uid, gid),
            [NotCopiedItem(**row, code=code_of(row["reason"])) for row in fields["skipped"]],
            "clone" if why is None else "copy",
            why or "",
        )

    async def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Hand the copied files to the image's user, in the Jobs that wait to check them."""
        jobs = await self._jobs()
        source = await self._pinned()
        before, after = (f"{u}:{g}" for u, g in (order.before, order.after))
        arguments = [*("--manifest", f"{WORK}/manifest", "--json"), "--before", before]
        arguments += ["--after", after, "--", "/volume"]
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
        jobs = await self._jobs()
        source = await self._pinned()
        streams = [
            jobs.run(self._check(order.migration, order.owner, check, source))
            for check in order.volumes
        ]
        async for item in _summed(streams):
            yield item
        for check in order.volumes:
            await self._api.call(
                "PATCH",
                await self._space.path("claim", check.volume),
                {"metadata": {"labels": {"secxops.io/state": "verified"}}},
                action="mark a claim as verified",
            )

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
            near=source.hostname,
            tolerations=source.tolerations,
            rights=COPY_RIGHTS,
            files={"manifest": check.manifest, "manifest.meta": _meta(check)},
            seconds=self.job_seconds,
        )

    def read_volume(self, migration: str, owner: str, volume: str) -> Iterator[bytes]:
        """Not needed: builds read the volume themselves (`BuildOrder.place`)."""
        raise NotImplementedError

    # ------------------------------------------------------------------ the environment

    async def launch(self, order: LaunchOrder) -> Observation:
        """Start the environment and wait until JupyterLab answers."""
        return await self._launcher.launch(order, await self._source())

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at the launched environment; without ``fresh`` as the last change told."""
        return await self._launcher.inspect(migration, fresh=fresh)

    async def stop(self, migration: str) -> None:
        """Stop the environment; absent is success."""
        await self._launcher.stop(migration)

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment again."""
        return await self._launcher.start(migration)

    async def end_jobs(self, migration: str) -> None:
        """End and remove the migration's Jobs."""
        marks = f"{MIGRATION}={migration},{ROLE}=job"
        await self._space.remove_all(marks, ("job", "pod"), wait=False)

    async def delete(
        self, migration: str, image: str | None = None, *, pushed: bool = True
    ) -> None:
        """Remove environment, Jobs and claims; and ``image`` from the registry.

        What only a node has, its kubelet removes when it needs the room: nobody else can.
        """
        await self._space.remove_all(f"{MIGRATION}={migration}", self._space.kinds)
        if image and pushed and self.registry_address:
            await self._forget(image)

    async def _forget(self, image: str) -> None:
        """Remove an image from the registry, and the layer cache with its repository's last image.

        BuildKit pushes both side by side: the cache may be there where the image never arrived. A build
        that is just reading it only loses its head start: BuildKit warns, and builds without.
        """
        if split(image)[0] != split(self.registry_address)[0]:
            # A share must end all the same, and that other host is not to be told our password.
            log.warning("%s is not in %s and is left there", image, self.registry_address)
            return
        registry = await self.registry()
        await registry.delete(image)
        repository = image.rpartition(":")[0]
        if set(await registry.tags(repository)) == {CACHE}:
            await registry.delete(f"{repository}:{CACHE}")

    async def owned(self, owner: str) -> list[Orphan]:
        """List all objects of this owner that carry our labels."""
        mine = f"{MANAGED_BY}={MANAGER},{OWNER}={owner_hash(owner)}"
        found = []
        for kind in self._space.kinds:
            for row in await self._api.list(await self._space.path(kind), labelSelector=mine):
                marks = row["metadata"]["labels"]
                found.append(
                    Orphan(
                        kind=kind,  # type: ignore[arg-type]
                        name=row["metadata"]["name"],
                        role=marks.get(ROLE, ""),
                        migration=marks.get(MIGRATION),
                        created=row["metadata"]["creationTimestamp"],
                    )
                )
        return found

    async def remove(self, objects: Sequence[Orphan]) -> None:
        """Remove listed objects; absent is success."""
        for found in sorted(objects, key=lambda o: list(KINDS).index(o.kind)):
            await self._api.delete(await self._space.path(found.kind, found.name))


def _own_pod() -> str:
    """Return the name of the pod in which this process runs, empty outside of pods."""
    return os.environ.get("HOSTNAME", "") if "KUBERNETES_SERVICE_HOST" in os.environ else ""


def _is_path(text: str) -> bool:
    """Whether a home that a pod told of is an absolute path, and not one that it refers to."""
    return text.startswith("/") and text.isprintable() and "$(" not in text


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
