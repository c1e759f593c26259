"""The `Engine` of one namespace of a Kubernetes cluster."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ... import errors
from ...copying.identity import inode_only
from ...model import Check, Orphan, PodSource
from ...placement.cluster import Cluster, source_selector
from ...placement.nodes import Node, Volume, needs_of_pod, with_pods
from ...placement.requests import record_of, resources
from ...placement.strategies import full_name
from ...registries import Registry
from ...registries.oci import split
from ...runtime import lasting_name
from ..names import (
    MANAGED_BY,
    MANAGER,
    MIGRATION,
    OWNER,
    ROLE,
    Names,
    images_of,
    labels,
    owner_hash,
)
from ..orders import (
    ALWAYS_BUILDKIT,
    NESTED,
    BuildOrder,
    BuildResult,
    BuildTrace,
    CopyOrder,
    CopyResult,
    ImageInfo,
    ImageProbe,
    InsideOrder,
    Launched,
    LaunchOrder,
    LogLine,
    LookOrder,
    Measure,
    Observation,
    OwnOrder,
    Progress,
    PushOrder,
    PushResult,
    SourceEnvironment,
    SourcePlace,
    TrialOrder,
    VerifyOrder,
    VerifyResult,
    VolumeCheck,
    VolumeSeen,
)
from ..probing import probe_words
from ..report import copy_result
from ..streams import side_by_side
from . import confines, objects
from .adopt import identity_of, is_twin, launched_of, token_of
from .build import (
    CACHE,
    NO_REGISTRY,
    NODE_STORE,
    Builders,
    build_job,
    push_job,
    read_build,
    read_push,
)
from .clone import WHY, Clones, NotCloned
from .connection import Connection, Json
from .doctor import examine
from .inside import look_inside
from .job import COPY_RIGHTS, WORK, Job, source_mount
from .jobs import Jobs
from .launcher import Launcher, by_digest
from .look import FOUND, WHO, look_job, read_user
from .namespace import KINDS, Namespace
from .ours import is_same
from .own import own
from .place import SourcePod, User, environment, locate, source_pod
from .pods import insist_on_node, own_container, wait_for_pod
from .probe import Looks
from .recent import STEP_SECONDS, Recent
from .registry import Registries
from .room import Room
from .said import JobResult
from .settings import KubernetesSettings
from .storage import Sight, class_of_copy, size_of_copy
from .trial import Trial
from .watched import Watched

log = logging.getLogger(__name__)
_USER_SECONDS = 5
_MOST_SAID = 8192


class KubernetesEngine(KubernetesSettings):
    """Pods, claims and Jobs of one namespace.

    Raises what `jupyter_secxops_migrate.errors` has for clusters.
    """

    name = "kubernetes"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._api = Connection(self.kubeconfig, self.context)
        self._asked: PodSource | None = None
        # What follows is shared with the engines of `at`, so it is changed and never set anew.
        self._releasing: set[asyncio.Task[None]] = set()
        self._own = own()
        self._users: dict[tuple[str, str], User | None] = {}
        self._probed: dict[tuple[str, int | None], ImageProbe] = {}
        self._all_nodes = Watched(self._api, "/api/v1/nodes", Node.from_json)
        self._all_pods = Watched(self._api, "/api/v1/pods", record_of)
        self._recent = Recent(self._api)
        self._space = Namespace(self._api, self)
        self._registries = Registries(self._api, self._space, self)
        self._builders = Builders(self._api, self)
        self._room = Room(self._api, self._space, self._all_nodes, self._all_pods, self)
        self._space.room = self._room
        self._trial = Trial(self._api, self._space, self._registries, self)
        self._sight = Sight(self._api, self._recent, self._space, self)
        self._clones = Clones(self._api, self._space, self._sight, self)
        launcher: Any = self.launcher_class
        self._launcher: Launcher = launcher(self._space, self)

    async def close(self) -> None:
        """Release connections."""
        for task in self._releasing:
            task.cancel()
        await asyncio.gather(*self._releasing, return_exceptions=True)
        for watched in (self._all_nodes, self._all_pods, self._space.ours, self._launcher):
            await watched.close()
        await self._registries.close()
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
        if self._asked is not None or not self._own.hostname:
            return True
        return bool(self.source_pod) and not self._own.may_be(self.source_pod)

    # ------------------------------------------------------------------ surroundings

    async def _jobs(self) -> Jobs:
        return Jobs(self._space, await self._space.name(), self._releasing)

    async def doctor(self) -> list[Check]:
        """Check that the cluster answers and has what a share needs; never raises."""
        source = self._source if self.source_pod or self._own.hostname else None
        return await examine(self._api, self._space, self, source, self._registries.fresh)

    async def _source(self, within: float | None = None) -> SourcePod:
        """Return the source, as it was ``within`` so many seconds where a share goes on with what it planned."""
        asked = self._asked
        container = (asked.container or "") if asked else self.source_container
        name = asked.pod if asked else self.source_pod
        if name:
            pod = await self._pod(name, within)
            return source_pod(pod, container, None if self.outside else self._own)
        if not self._own.hostname:
            raise errors.SourceUnusable(
                pod="?", reason="none is named, and this service runs in none itself"
            )
        return source_pod(await self._own_pod(within), container, self._own)

    async def _pod(self, name: str, within: float | None = None) -> Json:
        path = await self._space.path("pod", name)
        pod = await self._recent.get(path, action=f"see the pod {name}", within=within)
        if pod is None:
            space = await self._space.name()
            raise errors.SourceUnusable(pod=name, reason=f"it is not there, in namespace {space}")
        return pod

    async def _own_pod(self, within: float | None = None) -> Json:
        """Return the pod in which this process runs: by its host's name, else by what else is known."""
        name = self._own.hostname
        path = await self._space.path("pod", name)
        there = await self._recent.get(path, action=f"see the pod {name}", within=within)
        if there is not None and self._own.is_pod(there):
            return there
        pods = await self._api.list(await self._space.path("pod"))
        found = [pod for pod in pods if self._own.is_pod(pod)]
        if len(found) != 1:
            space = await self._space.name()
            raise errors.SourceUnusable(
                pod=name,
                reason=f"{len(found)} pods of namespace {space} may be the one with that host name",
            )
        return found[0]

    async def _pinned(self, within: float | None = None) -> SourcePod:
        """Return the source as Jobs are pinned to its node, whose label on some clouds is not its name."""
        source = await self._source(within)
        source = replace(source, found=await self._user(source))
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
        jobs = await self._jobs()
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / FOUND
            job = look_job(order, self, source, results)
            try:
                async for _ in jobs.run(job):
                    pass
            finally:
                self._space.ours.jobs.pop(job.name, None)
                # Should it stay all the same, its time is short.
                with contextlib.suppress(errors.SecxopsError):
                    await self._api.delete(f"{jobs.path}/{job.name}")
            found: Mapping[str, Any] = json.loads(results.read_bytes())
            return found

    async def _user(self, source: SourcePod) -> User | None:
        """Find out who runs the source's programs, None where nothing says it.

        Often only the image says it, which the pod's object does not show: a shell is asked then.
        """
        if source.user is not None and (source.home or not self.outside):
            return None  # the pod's object says all that is needed
        if not self.outside and self._own.container([source.container]) is not None:
            return User(os.getuid(), os.getgid(), os.getgroups())
        key = (source.pod["metadata"]["uid"], source.container["name"])
        if key not in self._users:
            found = None
            with contextlib.suppress(errors.SecxopsError, asyncio.TimeoutError, TimeoutError):
                found = await asyncio.wait_for(self._told(source), _USER_SECONDS)
            self._users[key] = found
        return self._users[key]

    async def _told(self, source: SourcePod) -> User | None:
        command = ["/bin/sh", "-c", WHO]
        said = await self._said(source.name, source.container["name"], command)
        return read_user(said.decode("utf-8", "replace"))

    async def _said(self, pod: str, container: str, command: Sequence[str]) -> bytes:
        """Return what a command in a container prints; nothing where that is far too much."""
        told = self._api.execute(await self._space.name(), pod, container, command)
        said = b""
        async with contextlib.aclosing(told):
            async for chunk in told:
                said += chunk
                if len(said) > _MOST_SAID:
                    return b""
        return said

    async def capacity(self, volumes: Sequence[str], sizes: Sequence[int | None] = ()) -> Cluster:
        """Observe the cluster as far as this account may, as the scheduler counts it."""
        source, nodes, bound = await asyncio.gather(
            self._source(), self._nodes(), self._bound(volumes)
        )
        # Copies that are there already need no new claims, and no Jobs.
        mounted = {claim for claim, _ in source.claims()}
        new = [
            (name, size) for name, size in itertools.zip_longest(volumes, sizes) if name in mounted
        ]
        storage = await self._sight.observe([name for name, _ in new], [size for _, size in new])
        beside = resources({**self.job_requests, "pods": "1"}) if new else None
        keeps, missing = await self._builder_seen(source) if new else (False, None)
        spec = source.pod["spec"]
        return Cluster(
            source.node,
            nodes,
            bound,
            needs_of_pod({"spec": {"tolerations": confines.tolerations(source.pod)}}).tolerations,
            source_selector(spec),
            confines.required_affinity(source.pod),
            resources(spec.get("overhead") or {}),
            gpu_resource=self.gpu_resource,
            storage=storage,
            beside=beside,
            roams=bound is not None
            and len(bound) == len(set(volumes))
            and all(volume.shared for volume in bound),
            registry=self.registry_address,
            keeps_images=keeps,
            builder_missing=missing,
        )

    async def _builder_seen(self, source: SourcePod) -> tuple[bool, errors.BuilderMissing | None]:
        """Say whether the builder of the source's node leaves images there, and what is wrong without one."""
        try:
            marks = await self._builders.labels(source.node)
        except errors.ClusterForbidden:
            return False, None
        except errors.BuilderMissing as error:
            return False, error
        return marks.get(NODE_STORE) == "true", None

    async def try_out(self, order: TrialOrder) -> Sequence[errors.SecxopsError]:
        """Have the API server and the registry judge what a share would make."""
        pinned = await self._pinned()
        return await self._trial.refusals(order, pinned, await self._jobs())

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
                claim = await self._recent.get(await self._space.path("claim", name))
                spec = (claim or {}).get("spec") or {}
                given = str(spec.get("storageClassName") or "")
                if not spec.get("volumeName") or self.storage_classes.get(given, given) != given:
                    continue
                volume = await self._recent.get(f"/api/v1/persistentvolumes/{spec['volumeName']}")
                if volume is not None:
                    found.append(Volume.from_json(volume))
        except errors.ClusterForbidden:
            return None
        return found

    async def features(self) -> frozenset[str]:
        """Say what the builder and the nodes can do."""
        found = frozenset({"buildkit", ALWAYS_BUILDKIT, "syntax-1.4", NESTED})
        return found | {"push"} if self.registry_address else found

    # ------------------------------------------------------------------ images

    async def registry(self) -> Registry:
        """Return the registry that images are pushed to, signed in to as the builds are.

        Raises
        ------
        errors.RegistryFailed
            None is set, or its secret or configmap is not there or unusable.
        """
        return await self._registries.get()

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
            return await self._builders.wait(node)
        except errors.BuilderMissing:
            # Where the node itself is away, it is not the builder that is missing.
            await insist_on_node(self._api, source.pod)
            raise

    async def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        """Build on the source's node, from a Job beside the project.

        The image goes into that node's own store where its builder can do that and the image may stay
        there, else to the registry.
        """
        source = await self._pinned(STEP_SECONDS)
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
            if await self._sight.everywhere(order.place.source if order.place else ""):
                job = replace(job, place="near")
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
                    info = ImageInfo(
                        **{key: item.fields[key] for key in told},
                        # A tools image of an earlier version has no word of them.
                        volumes=tuple(item.fields.get("volumes") or ()),
                        entrypoint=_words(item.fields.get("entrypoint")),
                        command=_words(item.fields.get("command")),
                    )
                yield BuildResult(item.fields["image"], info, item.fields["pushed"], sent)

    async def push(self, order: PushOrder) -> AsyncIterator[Progress | PushResult]:
        """Push from the store of the node that has the image, by the builder there."""
        registry = await self.registry()
        repository = order.reference.rpartition(":")[0]
        await registry.prepare(repository)
        source = await self._source(STEP_SECONDS)
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
            volumes=tuple(config.get("Volumes") or ()),
            entrypoint=_words(config.get("Entrypoint")),
            command=_words(config.get("Cmd")),
        )

    async def probe(
        self,
        migration: str,
        owner: str,
        image: ImageInfo,
        reference: str,
        terms: Mapping[str, Any],
        *,
        pushed: bool = True,
    ) -> ImageProbe:
        """Run the image once, without rights, to learn its user and its JupyterLab.

        One digest always answers the same, so it is not asked again.
        """
        source = await self._source(STEP_SECONDS)
        known = self._probed.get((image.digest, source.user))
        if known is not None:
            return known
        name = Names(migration).job("probe")
        path = await self._space.path("pod")
        looks = Looks(image)
        body = objects.probe(
            name,
            labels(owner, "job", migration),
            by_digest(reference, image.digest),
            probe_words(looks.named),
            self,
            pushed=pushed,
            terms=terms,
            source=source,
            through=looks.through,
        )
        make = partial(self._api.make, path, body, "run the image once")
        made = await self._room.within_quota(make)
        if made is None:
            await self._space.remove_pod(name)  # what a killed service left
            made = await self._room.within_quota(partial(self._api.create, *make.args))
        try:
            async for pod in wait_for_pod(self._space, partial(is_same, made), name):
                if pod["status"].get("phase") in ("Succeeded", "Failed"):
                    break
            found = await looks.read(self._api, await self._space.name(), path, name)
            self._probed[image.digest, source.user] = found
            return found
        finally:
            await self._api.delete(f"{path}/{name}", grace=0)

    # ------------------------------------------------------------------ volumes

    async def copy(self, order: CopyOrder) -> AsyncIterator[Progress | CopyResult]:
        """Copy one folder into a new claim, in a Job on the source's node; a clone is its head start."""
        source = await self._pinned(STEP_SECONDS)
        names = Names(order.migration)
        marks = labels(order.owner, order.role, order.migration)
        volume = names.volume(order.key)
        claims = await self._space.path("claim")
        there = await self._recent.get(f"{claims}/{order.place.source}")
        if there is None:
            raise errors.CopyFailed(
                path=order.place.mount or "", reason=f"the claim {order.place.source} is not there"
            )
        storage_class = class_of_copy(there, self)
        # Each pod may have its own mount of a claim, with another device number.
        order = replace(order, identity=inode_only(order.identity))
        arguments = ["--manifest", f"{WORK}/manifest", "--json", *order.options()]
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
            source=source,
            place="here",
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
        waits = False

        def plain(why: str) -> Json:
            size = size_of_copy(there, order.size, self)
            found = objects.claim(volume, marks, there, storage_class, size)
            found["metadata"]["annotations"] = {WHY: why}
            return found

        # A clone has to be as large as its source.
        body = objects.claim(volume, marks, there, storage_class)
        made, why = await self._clones.claim(order, there, body, plain)
        if why is None:
            try:
                async for item in self._clones.fill(made, job, checking, jobs):
                    if isinstance(item, JobResult):
                        fields = item.fields
                    else:
                        yield item
            except NotCloned as error:
                why = str(error)
                await self._api.create(claims, plain(why), f"make a claim for {order.key}")
        if why is None:
            yield LogLine(
                f"{order.key}: the storage cloned {order.place.source}; {fields['kept']} of its "
                f"{fields['files']} files were found equal in the clone, the others were copied."
            )
        else:
            yield LogLine(f"{order.key}: copied file by file and not cloned: {why}.")
            if await self._sight.everywhere(order.place.source):
                job = replace(job, place="near")
            # The volume is this copy's alone: nobody has come for the result of what lies there.
            afresh = replace(job, arguments=["--afresh", *job.arguments])
            begun = False
            async for item in jobs.run(afresh):
                if isinstance(item, JobResult):
                    fields = item.fields
                    continue
                if not begun:  # the claim is bound to where the copy runs
                    begun = True
                    waits = await jobs.try_to_start(checking)
                yield item
        if not waits:
            await jobs.try_to_start(checking)
        yield copy_result(volume, fields, "clone" if why is None else "copy", why or "")

    async def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Hand the copied files to the image's user, in the Jobs that wait to check them."""
        jobs = await self._jobs()
        source = await self._pinned(STEP_SECONDS)
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
        jobs = await self._jobs()
        source = await self._pinned(STEP_SECONDS)
        streams = [
            jobs.run(self._check(order.migration, order.owner, check, source))
            for check in order.volumes
        ]
        async for item in _summed(streams):
            yield item
        for check in order.volumes:
            path = await self._space.path("claim", check.volume)
            told = {"metadata": {"labels": {"secxops.io/state": "verified"}}}
            now = await self._api.call("PATCH", path, told, action="mark a claim as verified")
            if now is not None:
                self._recent.put(path, now)  # where it may be is asked next

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
            seconds=self.job_seconds,
        )

    # ------------------------------------------------------------------ the environment

    async def launch(self, order: LaunchOrder) -> Observation:
        """Start the environment and wait until JupyterLab answers."""
        return await self._launcher.launch(order, await self._source(STEP_SECONDS))

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at the launched environment; without ``fresh`` as the last change told."""
        return await self._launcher.inspect(migration, fresh=fresh)

    async def look_inside(self, order: InsideOrder) -> Sequence[VolumeSeen]:
        """Look from inside the environment, as its own user, at what was copied."""
        return await look_inside(self._space, order)

    async def stop(self, migration: str) -> None:
        """Stop the environment; absent is success."""
        await self._launcher.stop(migration)

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment again."""
        return await self._launcher.start(migration)

    async def end_jobs(self, migration: str) -> None:
        """End and remove the migration's Jobs."""
        await (await self._jobs()).end(migration)

    async def delete(self, migration: str) -> None:
        """Remove environment, Jobs and claims."""
        self._space.ours.forget(migration)
        await self._space.remove_all(f"{MIGRATION}={migration}", KINDS)

    async def remove_image(
        self, reference: str, *, pushed: bool = True, layers: bool = True
    ) -> None:
        """Remove an image from the registry.

        What only a node has, its kubelet removes when it needs the room: nobody else can.
        """
        if pushed and self.registry_address:
            await self._forget(reference)

    async def clear_build(self, trace: BuildTrace, spare: Collection[str] = ()) -> None:
        """Nothing: BuildKit makes no images on the way, and takes its Job's end for the build's."""

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
        host, repository, _ = split(image)
        repository = f"{host}/{repository}"
        if set(await registry.tags(repository)) == {CACHE}:
            await registry.delete(f"{repository}:{CACHE}")

    async def identity(self) -> str:
        """Return what stands for this notebook on the cluster; empty outside of pods, unless it is set."""
        namespace = await self._space.name()
        if self.notebook:
            return identity_of(namespace, self.notebook, "")
        if not self._own.hostname:
            return ""
        own = source_pod(await self._own_pod(), own=self._own)
        mounted = sorted((claim, str(m.get("subPath") or "")) for claim, m in own.claims())
        with contextlib.suppress(errors.NotOnClaim):
            place = locate(own, PurePosixPath(Path.home()))
            mounted = [(place.source, place.subpath)]
        told = []
        for name, folder in mounted:
            claim = await self._api.get(await self._space.path("claim", name))
            told += [((claim or {}).get("metadata") or {}).get("uid", ""), folder]
        return identity_of(namespace, lasting_name(own.name), "\n".join(told))

    async def _insist_on_no_twin(self) -> None:
        """Make sure that what is this notebook's is no other running pod's.

        Raises
        ------
        errors.SourceUnusable
            Another pod of the same Deployment, say, has made some of it, and knows it.
        """
        if self.notebook or not self._own.hostname:
            return
        own = await self._own_pod()
        name = own["metadata"]["name"]
        if lasting_name(name) == name:
            return
        for pod in await self._api.list(await self._space.path("pod")):
            if is_twin(pod, own):
                raise errors.SourceUnusable(
                    pod=name,
                    reason=f"{pod['metadata']['name']} is another pod of the same notebook, and what either "
                    "made can't be told apart (set KubernetesEngine.notebook in each)",
                )

    async def launched(self, owner: str) -> Sequence[Launched]:
        """List this owner's environments, by what their Services keep of them."""
        await self._insist_on_no_twin()
        mine = f"{MANAGED_BY}={MANAGER},{OWNER}={owner_hash(owner)},{ROLE}=environment"
        found = []
        for service in await self._api.list(await self._space.path("service"), labelSelector=mine):
            path = await self._space.path("pod", service["metadata"]["name"])
            pod = await self._api.get(path)
            one = launched_of(service, pod, images_of(owner))
            if one is not None:
                found.append(replace(one, token=await self._token(pod)))
        return found

    async def _token(self, pod: Json | None) -> str:
        """Ask an environment for its token: nobody else may read its Secret. Empty if it does not tell."""
        if pod is None:
            return ""
        command = ["cat", f"{objects.TOKEN_FOLDER}/token"]
        name = pod["metadata"]["name"]
        with contextlib.suppress(errors.SecxopsError, asyncio.TimeoutError, TimeoutError):
            said = self._said(name, own_container(pod), command)
            return token_of(await asyncio.wait_for(said, _USER_SECONDS))
        return ""

    async def owned(self, owner: str) -> list[Orphan]:
        """List all objects of this owner that carry our labels."""
        await self._insist_on_no_twin()
        mine = f"{MANAGED_BY}={MANAGER},{OWNER}={owner_hash(owner)}"
        found = []
        for kind in KINDS:
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
        for found in sorted(objects, key=lambda o: KINDS.index(o.kind)):
            await self._api.delete(await self._space.path(found.kind, found.name))


def _words(told: object) -> list[str]:
    """Return a command of an image's configuration, whatever that has there."""
    return [str(word) for word in told] if isinstance(told, list) else []


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
