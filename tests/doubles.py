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
import itertools
import json
import os
import shutil
import signal
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.copying.own import own_tree
from jupyter_secxops_migrate.copying.verify import verify_tree
from jupyter_secxops_migrate.engines.base import (
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
    labels,
    owner_hash,
)
from jupyter_secxops_migrate.model import (
    Check,
    EnvironmentStatus,
    NodeCapacity,
    NotCopiedItem,
    Orphan,
    PodSource,
)
from jupyter_secxops_migrate.placement.policy import OneNode

GIB = 1024**3
CALLS = ("build", "probe", "copy", "own", "verify", "launch", "inspect", "delete", "capacity")
"""The calls that can be told to fail, to hang or to kill."""


class DirectoryEngine:
    """An engine whose objects are files below ``root``."""

    name = "directories"
    reads_projects = False
    outside = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hanging: Counter[str] = Counter()
        """How many calls of this process stand still, by name."""
        for folder in ("volumes", "images", "environments", "jobs", "trouble"):
            (root / folder).mkdir(parents=True, exist_ok=True)

    # ------------------------------------------------------------------ trouble, by order of a test

    def fail_next(self, call: str, error: errors.SecxopsError, times: int = 1) -> None:
        """Let the next calls end in an error."""
        assert call in CALLS
        _write(self.root / "trouble" / call, {"error": error.as_dict(), "times": times})

    def hang(self, call: str) -> None:
        """Let calls stop in their middle until `release`."""
        assert call in CALLS
        _write(self.root / "trouble" / call, {"hang": True})

    def kill_next(self, call: str) -> None:
        """Let the next call kill the process that it runs in."""
        assert call in CALLS
        _write(self.root / "trouble" / call, {"kill": True})

    def release(self, call: str) -> None:
        """Let calls go on again."""
        (self.root / "trouble" / call).unlink(missing_ok=True)

    def calls(self, call: str) -> int:
        """Return how many calls have reached their middle, in all processes."""
        with contextlib.suppress(FileNotFoundError):
            return (self.root / "calls").read_text().split().count(call)
        return 0

    async def _middle(self, call: str) -> None:
        with (self.root / "calls").open("a") as file:
            file.write(f"{call}\n")
        path = self.root / "trouble" / call
        while (trouble := _read(path)) is not None:
            if "error" in trouble:
                left = trouble["times"] - 1
                if left:
                    _write(path, {**trouble, "times": left})
                else:
                    path.unlink()
                raise errors.SecxopsError.from_dict(trouble["error"])
            if "kill" in trouble:
                path.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            self.hanging[call] += 1
            try:
                await asyncio.sleep(0.01)
            finally:
                self.hanging[call] -= 1

    # ------------------------------------------------------------------ surroundings

    def at(self, source: PodSource | None) -> DirectoryEngine:
        if source is not None:
            raise errors.InvalidRequest(reason="source: directories have no pods")
        return self

    async def look(self, order: LookOrder) -> Mapping[str, Any]:
        raise NotImplementedError

    async def close(self) -> None:
        pass

    async def doctor(self) -> list[Check]:
        return [Check(name="engine", state="ok", message="Folders answer.")]

    async def source(self) -> SourceEnvironment:
        return SourceEnvironment(kind="host", node="here")

    async def locate(self, path: Path) -> SourcePlace:
        return SourcePlace("bind", os.fspath(path))

    def set_memory_available(self, size: int) -> None:
        """Fill the node up, or empty it."""
        _write(self.root / "memory", size)

    async def capacity(self, volumes: Sequence[str] = ()) -> OneNode:
        await self._middle("capacity")
        free = _read(self.root / "memory")
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

    async def features(self) -> frozenset[str]:
        return frozenset()

    def arguments(self) -> Mapping[str, str]:
        return {}

    # ------------------------------------------------------------------ images

    def images(self) -> dict[str, list[str]]:
        """Return the tags of each image by its digest."""
        return {f"sha256:{p.name}": _read(p)["tags"] for p in (self.root / "images").iterdir()}

    def _image(self, reference: str) -> dict[str, Any] | None:
        for path in (self.root / "images").iterdir():
            found: dict[str, Any] = _read(path)
            if reference == found["digest"] or reference in found["tags"]:
                return found
        return None

    async def image(self, reference: str) -> ImageInfo | None:
        found = self._image(reference)
        return None if found is None else _info(found)

    async def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        yield LogLine("Step 1/2 : FROM base")
        yield Measure(1, 2, "instructions", message="step 1/2 FROM base")
        await self._middle("build")
        files = await asyncio.to_thread(_unpack, order.context())
        yield LogLine("Step 2/2 : COPY . .")
        yield Measure(2, 2, "instructions", message="step 2/2 COPY . .")
        recipe = files[order.dockerfile].decode()
        content = hashlib.sha256()
        for name, data in sorted(files.items()):
            content.update(b"%s\0%d\0%s" % (os.fsencode(name), len(data), data))
        reference = f"{order.repository}:{order.tag.format(digest=order.digest())}"
        for path in (self.root / "images").iterdir():  # a tag names one image
            other = _read(path)
            if reference in other["tags"]:
                other["tags"].remove(reference)
                _write(path, other)
        path = self.root / "images" / content.hexdigest()
        image = _read(path) or {
            "digest": f"sha256:{content.hexdigest()}",
            "size": sum(len(data) for data in files.values()),
            "tags": [],
            "labels": dict(order.labels),
            "user": next((r.split()[1] for r in recipe.splitlines() if r.startswith("USER ")), ""),
            "jupyter": "jupyterlab" in recipe,
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        }
        image["tags"] = sorted({*image["tags"], reference})
        _write(path, image)
        yield BuildResult(reference, _info(image))

    def push(self, order: PushOrder) -> AsyncIterator[Progress | PushResult]:
        raise NotImplementedError

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
        await self._middle("probe")
        found = self._image(image)
        if found is None:
            raise errors.LaunchFailed(reason=f"there is no image {image}")
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
        names = Names(order.migration)
        volume, job = names.volume(order.key), names.job(f"copy-{order.key}")
        home = self.root / "volumes" / volume
        self._end_job(job)
        shutil.rmtree(home, ignore_errors=True)  # what an interrupted Job left is not adopted
        (home / "files").mkdir(parents=True)
        _write(home / "labels", labels(order.owner, order.role, order.migration))
        yield Measure(0, None, "bytes")
        command = [sys.executable, "-m", "jupyter_secxops_migrate.copying"]
        command += ["--json", "--workers", "1", "--manifest", os.fspath(order.manifest)]
        command += [f"--exclude={path}" for path in order.exclude]
        command += [] if order.commit is None else [f"--commit={order.commit}"]
        source = os.path.join(order.place.source, order.place.subpath)
        command += ["--", source, os.fspath(home / "files")]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        _write(
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
                    uid, gid = said["owner"]
                    skipped = [NotCopiedItem.model_validate(row) for row in said["skipped"]]
                    yield CopyResult(
                        volume, said["files"], said["bytes"], said["digest"], (uid, gid), skipped
                    )
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            # Reads the rest, so that nothing of the process stays open in this one.
            await asyncio.shield(process.communicate())
            (self.root / "jobs" / job).unlink(missing_ok=True)

    def _end_job(self, name: str) -> None:
        """End a Job, also one that the killed process before this one started."""
        found = _read(self.root / "jobs" / name)
        if found is None:
            return
        with contextlib.suppress(OSError):
            if b"jupyter_secxops_migrate" in Path(f"/proc/{found['pid']}/cmdline").read_bytes():
                os.kill(found["pid"], signal.SIGKILL)
        (self.root / "jobs" / name).unlink(missing_ok=True)

    async def own(self, order: OwnOrder) -> AsyncIterator[Progress | VerifyResult]:
        await self._middle("own")
        files = size = 0
        for check in order.volumes:
            found = await asyncio.to_thread(
                own_tree,
                self.folder(check.volume),
                manifest=check.manifest,
                before=order.before,
                after=order.after,
            )
            files, size = files + found.files, size + found.bytes
        yield VerifyResult(files, size)

    async def verify(self, order: VerifyOrder) -> AsyncIterator[Progress | VerifyResult]:
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
        await self._middle("launch")
        for mount in order.mounts:
            if not self.folder(mount.volume).is_dir():
                raise errors.LaunchFailed(reason=f"there is no volume {mount.volume}")
        if self._image(order.image) is None:
            raise errors.LaunchFailed(reason=f"there is no image {order.image}")
        if not (self.root / "environments" / order.migration).exists():
            self._run(
                order.migration,
                {
                    "labels": labels(order.owner, "environment", order.migration),
                    "image": order.image,
                    "mounts": {mount.path: mount.volume for mount in order.mounts},
                    "memory": order.memory,
                },
            )
        return self._look(order.migration)

    def _run(self, migration: str, environment: dict[str, Any]) -> None:
        starts = self.root / "starts"
        with starts.open("a") as file:
            file.write(f"{migration}\n")
        port = 40_000 + len(starts.read_text().split())  # another one at each start
        _write(
            self.root / "environments" / migration,
            {**environment, "status": "running", "port": port},
        )

    def _look(self, migration: str) -> Observation:
        name = Names(migration).environment
        found = _read(self.root / "environments" / migration)
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
        await self._middle("inspect")
        return self._look(migration)

    async def stop(self, migration: str) -> None:
        path = self.root / "environments" / migration
        found = _read(path)
        if found is not None:
            _write(path, {**found, "status": "stopped"})

    async def start(self, migration: str) -> Observation:
        found = _read(self.root / "environments" / migration)
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
        _write(path, {**_read(path), "status": status})

    # ------------------------------------------------------------------ removal

    def jobs(self) -> list[str]:
        """Return the names of the Jobs that are there."""
        return sorted(path.name for path in (self.root / "jobs").iterdir())

    async def end_jobs(self, migration: str) -> None:
        for name in self.jobs():
            if name.startswith(Names(migration).job("")):
                self._end_job(name)

    async def delete(
        self, migration: str, image: str | None = None, *, pushed: bool = True
    ) -> None:
        await self._middle("delete")
        (self.root / "environments" / migration).unlink(missing_ok=True)
        await self.end_jobs(migration)
        for volume in self.volumes(migration):
            shutil.rmtree(self.root / "volumes" / volume)
        found = None if image is None else self._image(image)
        if found is None:
            return
        used = {_read(self.root / "environments" / m)["image"] for m in self.environments()}
        if found["digest"] not in used:
            path = self.root / "images" / found["digest"].removeprefix("sha256:")
            found["tags"] = [tag for tag in found["tags"] if tag != image]
            if found["tags"]:
                _write(path, found)
            else:
                path.unlink()

    async def owned(self, owner: str) -> list[Orphan]:
        found = []
        for path in (self.root / "environments").iterdir():
            marks = _read(path)["labels"]
            found.append(("container", Names(path.name).environment, marks))
        for path in (self.root / "volumes").iterdir():
            found.append(("volume", path.name, _read(path / "labels")))
        for path in (self.root / "jobs").iterdir():
            found.append(("container", path.name, _read(path)))
        return [
            Orphan.model_validate(
                {
                    "kind": kind,
                    "name": name,
                    "role": marks["secxops.io/role"],
                    "migration": marks["secxops.io/migration"],
                }
            )
            for kind, name, marks in found
            if marks["secxops.io/owner"] == owner_hash(owner)
        ]

    async def remove(self, objects: Sequence[Orphan]) -> None:
        for orphan in objects:
            if orphan.kind == "volume":
                shutil.rmtree(self.root / "volumes" / orphan.name, ignore_errors=True)
            elif orphan.name in self.jobs():
                self._end_job(orphan.name)
            elif orphan.migration is not None:
                (self.root / "environments" / orphan.migration).unlink(missing_ok=True)

    def objects(self) -> list[str]:
        """Return all that is there."""
        return [*self.environments(), *self.volumes(), *self.jobs(), *self.images()]


_fresh = itertools.count()


def _write(path: Path, value: Any) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}.{next(_fresh)}")
    new = path.parent.parent / new.name if path.parent.name in _LISTED else new
    new.write_text(json.dumps(value))
    new.replace(path)


_LISTED = ("images", "environments", "jobs", "trouble")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def _info(image: dict[str, Any]) -> ImageInfo:
    return ImageInfo(image["digest"], image["size"], user=image["user"], layers=2)


def _unpack(chunks: Iterator[bytes]) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        return {
            entry.name.removeprefix("./"): archive.extractfile(entry).read()  # type: ignore[union-attr]
            for entry in archive
            if entry.isfile()
        }
