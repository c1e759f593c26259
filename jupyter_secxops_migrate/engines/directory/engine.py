"""A small working engine over directories: what a container engine does, without containers.

Volumes are folders, an image is a file that says what went into it, a Job is a process of the real
`copying` package, an environment is a file that says what is mounted where. All of it lies on disk,
so that another process, or the next one after a kill, finds it again. At the middle of any call it can
be told to fail, to hang, or to kill its own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from ... import errors
from ...building.errors import BuildFailed
from ...copying import inside
from ...copying.manifest import meta_path
from ...copying.own import own_tree
from ...copying.verify import verify_tree
from ...model import Check, EnvironmentStatus, NodeCapacity, Orphan, PodSource, utcnow
from ...placement.policy import GIB, OneNode
from ...threads import ended
from ..errors import LaunchFailed
from ..inside import volume_seen
from ..names import Names, labels, owner_hash
from ..orders import (
    BuildOrder,
    BuildResult,
    BuildTrace,
    CopyOrder,
    CopyResult,
    ImageInfo,
    ImageProbe,
    InsideOrder,
    InsideVolume,
    Launched,
    LaunchOrder,
    LogLine,
    Measure,
    Observation,
    OwnOrder,
    Progress,
    SourceEnvironment,
    SourcePlace,
    TrialOrder,
    VerifyOrder,
    VerifyResult,
    VolumeMount,
    VolumeSeen,
)
from ..report import copy_result
from .files import FOLDERS, read, write
from .trouble import Trouble


class DirectoryEngine(Trouble):
    """An engine whose objects are files below ``root``."""

    name = "directories"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.can: frozenset[str] = frozenset()
        """What `features` says."""
        self.notebook = ""
        """What `identity` says; with it, environments tell of their shares."""
        self.tells = "t" * 24
        """The token that they tell."""
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True, exist_ok=True)

    # ------------------------------------------------------------------ surroundings

    def at(self, source: PodSource | None) -> DirectoryEngine:
        """Return this engine: folders have no pods."""
        if source is not None:
            raise errors.InvalidRequest(reason="source: directories have no pods")
        return self

    async def close(self) -> None:
        """Nothing is open."""

    async def doctor(self) -> list[Check]:
        """Say that folders answer."""
        return [Check(name="engine", state="ok", message="Folders answer.")]

    async def source(self) -> SourceEnvironment:
        """Say that this process runs on the host."""
        return SourceEnvironment(kind="host", node="here")

    async def locate(self, path: Path) -> SourcePlace:
        """Say where a folder is: where this process sees it."""
        return SourcePlace("bind", os.fspath(path))

    def set_memory_available(self, size: int) -> None:
        """Fill the node up, or empty it."""
        write(self.root / "memory", size)

    async def capacity(
        self, volumes: Sequence[str] = (), sizes: Sequence[int | None] = ()
    ) -> OneNode:
        """Say what was set with `set_memory_available`, and plenty of the rest."""
        await self._middle("capacity")
        free = read(self.root / "memory")
        return OneNode(
            NodeCapacity(
                node="here",
                cpu=8,
                memory=32 * GIB,
                memory_available=24 * GIB if free is None else free,
                disk=1000 * GIB,
                disk_available=500 * GIB,
            )
        )

    async def try_out(self, order: TrialOrder) -> Sequence[errors.SecxopsError]:
        """Refuse nothing."""
        return ()

    async def features(self) -> frozenset[str]:
        """Say what was set as ``can``."""
        return self.can

    def arguments(self) -> Mapping[str, str]:
        """Give builds no arguments."""
        return {}

    # ------------------------------------------------------------------ images

    def images(self) -> dict[str, list[str]]:
        """Return the tags of each image by its digest."""
        return {f"sha256:{p.name}": read(p)["tags"] for p in (self.root / "images").iterdir()}

    def untag(self, reference: str) -> None:
        """Take the name off an image."""
        for path in (self.root / "images").iterdir():
            found = read(path)
            write(path, {**found, "tags": [tag for tag in found["tags"] if tag != reference]})

    def image_files(self, reference: str) -> set[str]:
        """Return the names of the files of an image's build context."""
        found = self._image(reference)
        assert found is not None
        return set(found["files"])

    def _image(self, reference: str) -> dict[str, Any] | None:
        for path in (self.root / "images").iterdir():
            found: dict[str, Any] = read(path)
            if reference == found["digest"] or reference in found["tags"]:
                return found
        return None

    async def image(self, reference: str) -> ImageInfo | None:
        """Inspect an image."""
        found = self._image(reference)
        return None if found is None else _info(found)

    async def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        """Unpack the context into an image's file, with a layer that its repository and Dockerfile share."""
        yield LogLine("Step 1/2 : FROM base")
        yield Measure(1, 2, "instructions", message="step 1/2 FROM base")
        made = f"{order.repository} {order.text!r}".encode()
        layer = self.root / "layers" / hashlib.sha256(made).hexdigest()[:12]
        began = time.time()
        await ended(asyncio.to_thread(order.traced, BuildTrace(began=began)))
        seen: dict[str, Any] = {"used" if layer.exists() else "layers": [layer.name]}
        found = BuildTrace(**seen, began=began)
        if not layer.exists():
            layer.touch()
        await self._middle("layer")
        await ended(asyncio.to_thread(order.traced, replace(found, tip=layer.name)))
        await self._middle("build")
        if not layer.exists():
            raise BuildFailed("no layer", line=2, instruction="", id=order.migration)
        files = await asyncio.to_thread(_unpack, order.context())
        yield LogLine("Step 2/2 : COPY . .")
        yield Measure(2, 2, "instructions", message="step 2/2 COPY . .")
        recipe = files[order.dockerfile].decode()
        if "RUN false" in recipe:
            raise BuildFailed(
                "it ended with 1", line=2, instruction="RUN false", id=order.migration
            )
        content = hashlib.sha256()
        for name, data in sorted(files.items()):
            content.update(b"%s\0%d\0%s" % (os.fsencode(name), len(data), data))
        reference = f"{order.repository}:{order.tag.format(digest=order.digest())}"
        await ended(asyncio.to_thread(order.named, reference, False))
        for path in (self.root / "images").iterdir():  # a tag names one image
            other = read(path)
            if reference in other["tags"]:
                other["tags"].remove(reference)
                write(path, other)
        path = self.root / "images" / content.hexdigest()
        image = read(path) or {
            "digest": f"sha256:{content.hexdigest()}",
            "size": sum(len(data) for data in files.values()),
            "tags": [],
            "labels": dict(order.labels),
            "user": next((r.split()[1] for r in recipe.splitlines() if r.startswith("USER ")), ""),
            "jupyter": "jupyterlab" in recipe,
            "volumes": [r.split()[1] for r in recipe.splitlines() if r.startswith("VOLUME ")],
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
            "layer": layer.name,
        }
        image["tags"] = sorted({*image["tags"], reference})
        write(path, image)
        await ended(asyncio.to_thread(order.traced, found))
        yield BuildResult(reference, _info(image))

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
        """Read what the Dockerfile said of user and JupyterLab."""
        await self._middle("probe")
        found = self._image(image.digest)
        if found is None:
            raise LaunchFailed(reason=f"there is no image {image.digest}")
        uid = int(found["user"] or os.getuid())
        gid = int(found["user"] or os.getgid())
        jupyter = ["jupyter", "lab"] if found["jupyter"] else None
        return ImageProbe(uid, gid, PurePosixPath("/home/jovyan"), PurePosixPath("/"), jupyter)

    # ------------------------------------------------------------------ volumes

    def volumes(self, migration: str | None = None) -> list[str]:
        """Return the names of the volumes that are there."""
        return sorted(
            path.name
            for path in (self.root / "volumes").iterdir()
            if migration is None or path.name.startswith(f"secxops-{migration}-")
        )

    def folder(self, volume: str) -> Path:
        """Return where a volume's files are."""
        return self.root / "volumes" / volume / "files"

    async def copy(self, order: CopyOrder) -> AsyncIterator[Progress | CopyResult]:
        """Copy with a process of the real `copying`."""
        await self._middle("begin_copy")
        names = Names(order.migration)
        volume, job = names.volume(order.key), names.job(f"copy-{order.key}")
        home = self.root / "volumes" / volume
        self._end_job(job)
        shutil.rmtree(home, ignore_errors=True)  # what an interrupted Job left is not adopted
        (home / "files").mkdir(parents=True)
        write(home / "labels", labels(order.owner, order.role, order.migration))
        yield Measure(0, None, "bytes")
        command = [sys.executable, "-m", "jupyter_secxops_migrate.copying"]
        command += ["--json", "--workers", "1", "--manifest", os.fspath(order.manifest)]
        command += order.options()
        source = os.fspath(Path(order.place.source) / order.place.subpath)
        command += ["--", source, os.fspath(home / "files")]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        write(
            self.root / "jobs" / job,
            {"pid": process.pid, **labels(order.owner, "job", order.migration)},
        )
        try:
            await self._middle("copy")
            assert process.stdout is not None
            async for line in process.stdout:
                said = json.loads(line)
                if said["type"] == "error":
                    raise errors.SecxopsError.from_dict(said)
                if said["type"] == "progress":
                    yield Measure(said["bytes"], said["total_bytes"], files=said["files"])
                else:
                    yield copy_result(volume, said)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            # Reads the rest, so that nothing of the process stays open in this one.
            await asyncio.shield(process.communicate())
            (self.root / "jobs" / job).unlink(missing_ok=True)

    def _end_job(self, name: str) -> None:
        """End a Job, also one that the killed process before this one started."""
        found = read(self.root / "jobs" / name)
        if found is None:
            return
        with contextlib.suppress(OSError):
            if b"jupyter_secxops_migrate" in Path(f"/proc/{found['pid']}/cmdline").read_bytes():
                os.kill(found["pid"], signal.SIGKILL)
        (self.root / "jobs" / name).unlink(missing_ok=True)

    async def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Hand files over with the real `copying.own`."""
        await self._middle("own")
        files = size = 0
        for check in order.volumes:
            found = await asyncio.to_thread(
                own_tree,
                self.folder(check.volume),
                manifest=check.manifest,
                before=order.before,
                after=order.after,
                everything=order.everything,
            )
            files, size = files + found.files, size + found.bytes
        yield VerifyResult(files, size)

    async def verify(self, order: VerifyOrder) -> AsyncIterator[Progress | VerifyResult]:
        """Compare with the real `copying.verify`."""
        await self._middle("verify")
        files = size = 0
        for check in order.volumes:
            found = await asyncio.to_thread(
                verify_tree, self.folder(check.volume), manifest=check.manifest, workers=1
            )
            files, size = files + found.files, size + found.bytes
            yield Measure(size, files=files)
        yield VerifyResult(files, size)

    def read_volume(self, migration: str, owner: str, volume: str) -> Iterator[bytes]:
        """Read a volume as a tar stream."""
        with tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                archive.add(self.folder(volume), arcname=".")
            file.seek(0)
            yield from iter(lambda: file.read(1 << 20), b"")

    # ------------------------------------------------------------------ environments

    def environments(self) -> list[str]:
        """Return the migrations whose environments are there."""
        return sorted(path.name for path in (self.root / "environments").iterdir())

    async def launch(self, order: LaunchOrder) -> Observation:
        """Write an environment down, as running."""
        await self._middle("launch")
        for mount in order.mounts:
            if not self.folder(mount.volume).is_dir():
                raise LaunchFailed(reason=f"there is no volume {mount.volume}")
        if self._image(order.image) is None:
            raise LaunchFailed(reason=f"there is no image {order.image}")
        if not (self.root / "environments" / order.migration).exists():
            self._run(
                order.migration,
                {
                    "labels": labels(order.owner, "environment", order.migration),
                    "image": order.image,
                    "mounts": {mount.path: mount.volume for mount in order.mounts},
                    "memory": order.memory,
                    "name": order.name,
                    "root": order.root,
                    "reference": order.reference,
                },
            )
        return self._look(order.migration)

    def _run(self, migration: str, environment: dict[str, Any]) -> None:
        starts = self.root / "starts"
        with starts.open("a") as file:
            file.write(f"{migration}\n")
        port = 40_000 + len(starts.read_text().split())  # another one at each start
        write(
            self.root / "environments" / migration,
            {**environment, "status": "running", "port": port},
        )

    def _look(self, migration: str) -> Observation:
        name = Names(migration).environment
        found = read(self.root / "environments" / migration)
        if found is None:
            return Observation(EnvironmentStatus.GONE, name)
        status = EnvironmentStatus(found["status"])
        running = status is EnvironmentStatus.RUNNING
        return Observation(
            status,
            name,
            url=f"http://127.0.0.1:{found['port']}/lab" if running else None,
            image=found["image"],
            mounts=found["mounts"],
        )

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Read an environment."""
        await self._middle("inspect")
        return self._look(migration)

    async def look_inside(self, order: InsideOrder) -> Sequence[VolumeSeen]:
        """Look at the volumes with the real `copying.inside`."""
        await self._middle("look_inside")
        found = read(self.root / "environments" / order.migration)
        mounts = found["mounts"]
        # A volume of the image lies where nothing else was mounted.
        image = self._image(found["image"])
        assert image is not None
        there = [*mounts, *(path for path in image["volumes"] if path not in mounts)]
        return [
            await asyncio.to_thread(_seen, self.folder(mounts[volume.path]), volume, there)
            for volume in order.volumes
        ]

    async def stop(self, migration: str) -> None:
        """Write an environment down as stopped."""
        await self._middle("stop")
        path = self.root / "environments" / migration
        found = read(path)
        if found is not None:
            write(path, {**found, "status": "stopped"})

    async def start(self, migration: str) -> Observation:
        """Write an environment down as running, on another port."""
        found = read(self.root / "environments" / migration)
        if found is not None:
            self._run(migration, found)
            if (self.root / "slow").exists():
                self._becomes(migration, "starting")
        return self._look(migration)

    def start_slowly(self) -> None:
        """Let environments that are started again answer only when told to."""
        (self.root / "slow").touch()

    def answer(self, migration: str) -> None:
        """Let an environment that was started answer."""
        self._becomes(migration, "running")

    def _becomes(self, migration: str, status: str) -> None:
        path = self.root / "environments" / migration
        write(path, {**read(path), "status": status})

    # ------------------------------------------------------------------ removal

    def jobs(self) -> list[str]:
        """Return the names of the Jobs that are there."""
        return sorted(path.name for path in (self.root / "jobs").iterdir())

    async def end_jobs(self, migration: str) -> None:
        """End the processes of a share."""
        for name in self.jobs():
            if name.startswith(Names(migration).job("")):
                self._end_job(name)

    async def delete(self, migration: str) -> None:
        """Remove environment, Jobs and volumes."""
        await self._middle("delete")
        (self.root / "environments" / migration).unlink(missing_ok=True)
        await self.end_jobs(migration)
        for volume in self.volumes(migration):
            shutil.rmtree(self.root / "volumes" / volume)

    async def clear_build(self, trace: BuildTrace, spare: Collection[str] = ()) -> None:
        """Remove layers that are part of no image."""
        for layer in trace.layers:
            path = self.root / "layers" / layer
            ours = layer in self.layers() and layer not in spare
            if ours and path.stat().st_mtime >= trace.began - 0.1:  # the kernel's clock has a tick
                path.unlink()

    def layers(self) -> list[str]:
        """Return the layers that are part of no image."""
        images = [read(path) for path in (self.root / "images").iterdir()]
        used = {image["layer"] for image in images}
        return sorted(p.name for p in (self.root / "layers").iterdir() if p.name not in used)

    async def remove_image(
        self, reference: str, *, pushed: bool = True, layers: bool = True
    ) -> None:
        """Take the name off an image, which goes with its last name if nothing uses it."""
        found = self._image(reference)
        if found is None:
            return
        used = {read(self.root / "environments" / m)["image"] for m in self.environments()}
        if found["digest"] not in used:
            path = self.root / "images" / found["digest"].removeprefix("sha256:")
            found["tags"] = [tag for tag in found["tags"] if tag != reference]
            if found["tags"]:
                write(path, found)
            else:
                path.unlink()
                if layers and found["layer"] in self.layers():
                    (self.root / "layers" / found["layer"]).unlink()

    async def identity(self) -> str:
        """Say what was set as ``notebook``."""
        return self.notebook

    async def launched(self, owner: str) -> Sequence[Launched]:
        """List environments, if this notebook is known."""
        found = []
        for migration in self.environments() if self.notebook else ():
            kept = read(self.root / "environments" / migration)
            if kept["labels"]["secxops.io/owner"] == owner_hash(owner):
                image = {
                    "reference": kept["reference"],
                    "digest": kept["image"],
                    "size": 0,
                    "pushed": False,
                }
                mounts = [VolumeMount(volume, path) for path, volume in kept["mounts"].items()]
                name, root = kept["name"], kept["root"]
                found.append(
                    Launched(migration, name, utcnow(), root, image, mounts, token=self.tells)
                )
        return found

    async def owned(self, owner: str) -> list[Orphan]:
        """List what carries the labels of this owner."""
        found = []
        for path in (self.root / "environments").iterdir():
            marks = read(path)["labels"]
            found.append(("container", Names(path.name).environment, marks))
        for path in (self.root / "volumes").iterdir():
            found.append(("volume", path.name, read(path / "labels")))
        for path in (self.root / "jobs").iterdir():
            found.append(("container", path.name, read(path)))
        for path in (self.root / "images").iterdir():
            image = read(path)
            names = image["tags"] or [image["digest"]]
            found += [("image", name, image["labels"]) for name in names]
        return [
            Orphan.model_validate(
                {
                    "kind": kind,
                    "name": name,
                    "role": marks["secxops.io/role"],
                    "migration": marks.get("secxops.io/migration"),
                }
            )
            for kind, name, marks in found
            if marks["secxops.io/owner"] == owner_hash(owner)
        ]

    async def remove(self, objects: Sequence[Orphan]) -> None:
        """Remove listed objects."""
        for orphan in objects:
            if orphan.kind == "volume":
                shutil.rmtree(self.root / "volumes" / orphan.name, ignore_errors=True)
            elif orphan.kind == "image":
                await self.remove_image(orphan.name)
            elif orphan.name in self.jobs():
                self._end_job(orphan.name)
            elif orphan.migration is not None:
                (self.root / "environments" / orphan.migration).unlink(missing_ok=True)

    def objects(self) -> list[str]:
        """Return all that is there."""
        return [
            *self.environments(),
            *self.volumes(),
            *self.jobs(),
            *self.images(),
            *self.layers(),
        ]


def _info(image: dict[str, Any]) -> ImageInfo:
    return ImageInfo(
        image["digest"], image["size"], user=image["user"], layers=2, volumes=image["volumes"]
    )


def _unpack(chunks: Iterator[bytes]) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        return {
            entry.name.removeprefix("./"): file.read()
            for entry in archive
            if entry.isfile() and (file := archive.extractfile(entry))
        }


def _seen(folder: Path, volume: InsideVolume, mounts: Sequence[str]) -> VolumeSeen:
    def there(path: str) -> bytes:
        return os.fsencode(folder / PurePosixPath(path).relative_to(volume.path))

    below = [there(path) for path in mounts if path.startswith(f"{volume.path}/")]
    mount, own = os.fsencode(folder), map(there, volume.own)
    with Path(meta_path(volume.manifest)).open("rb") as lines:
        found = inside.look(mount, lines, [mount, *below], writes=volume.writes, own=own)
    return volume_seen(found.as_dict())
