"""What the suite works with: an engine, a project where its source has it, and a share of that."""

from __future__ import annotations

import asyncio
import io
import secrets
import tarfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ... import errors
from ...model import Orphan
from ..names import Names, images_of, labels
from ..orders import (
    BuildOrder,
    BuildResult,
    BuildTrace,
    CopyOrder,
    CopyResult,
    ImageProbe,
    InsideOrder,
    InsideVolume,
    LaunchOrder,
    VerifyOrder,
    VerifyResult,
    VolumeCheck,
    VolumeMount,
    result_of,
)
from ..roles import Engine

T = TypeVar("T")
PAUSES = (0.5, 1, 2, 4, 8)
"""In seconds, between tries of a call that may succeed later."""
GONE_SECONDS = 60.0
"""Until what was removed has to be gone: an engine may take its time, and has to say so till then."""
FILES: Mapping[str, bytes] = {
    "train.py": b"print('beacon')\n",
    "src/deep/er/empty": b"",
    "name with spaces/and\nlines": b"1\n",
    "-rf": b"2\n",
    "\u62a5\u544a.csv": b"3\n" * 10_000,
}
"""Files of the project beside its Dockerfile, by their paths in it."""


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call again after a temporary error, as operations do."""
    for pause in PAUSES:
        try:
            return await call()
        except errors.TemporaryError:
            await asyncio.sleep(pause)
    return await call()


@dataclass
class Bench:
    """An engine to be tried.

    Parameters
    ----------
    engine
        For the source that has the folders.
    project, data
        Folders as the source has them, absolute. The project has `FILES` and a ``Dockerfile``, data at
        least one file; all belong to the user by whom notebooks run there.
    dockerfile
        The text of that Dockerfile, whose image has JupyterLab.
    folder
        For manifests; empty.
    broken
        A project as the source has it, and the text of its Dockerfile, of which a RUN fails.
    """

    engine: Engine
    project: str
    data: str
    dockerfile: str
    folder: Path
    broken: tuple[str, str]
    owner: str = "tests of engines"
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a call of the engine to its end: all on one loop, as a service does."""
        return self.loop.run_until_complete(call)

    def share(self) -> Share:
        """Begin another share."""
        return Share(self, f"m{secrets.token_hex(5)}")

    def close(self) -> None:
        """Let go of the engine."""
        self.run(self.engine.close())
        self.run(asyncio.sleep(0.25))  # connections over TLS close a moment later
        self.loop.close()


@dataclass
class Share:
    """What is made of one share, step by step."""

    bench: Bench
    id: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    traces: list[BuildTrace] = field(default_factory=list)
    """What its builds said of what they make."""

    @property
    def names(self) -> Names:
        """The names of its objects."""
        return Names(self.id)

    def manifest(self, key: str) -> Path:
        """Return where the manifest of a copy is stored."""
        return self.bench.folder / f"{self.id}-{key}.b3"

    async def build(self, project: str = "", text: str = "") -> BuildResult:
        """Build the project's image, or that of another project with this Dockerfile."""
        place = await self.bench.engine.locate(Path(project or self.bench.project))
        recipe = (text or self.bench.dockerfile).encode()
        lines = recipe.decode().splitlines()
        froms = [n for n, line in enumerate(lines, 1) if line.upper().startswith("FROM ")]
        order = BuildOrder(
            migration=self.id,
            context=lambda: _tar({**FILES, "Dockerfile": recipe}),
            dockerfile="Dockerfile",
            repository=f"{images_of(self.bench.owner)}/conformance",
            tag=self.id,
            digest=lambda: "0" * 64,
            labels=labels(self.bench.owner, "environment"),
            owner=self.bench.owner,
            place=place,
            push="push" in await self.bench.engine.features(),
            text=recipe,
            lines=[n for n, line in enumerate(lines, 1) if line.strip()],
            froms=froms,
            bases=[lines[n - 1].split()[1] for n in froms],
            traced=self.traces.append,
        )
        return await patiently(lambda: result_of(self.bench.engine.build(order), BuildResult))

    async def end(self) -> None:
        """Remove what is left of it."""
        await patiently(lambda: self.bench.engine.delete(self.id))
        for trace in self.traces:
            await self.bench.engine.clear_build(trace)

    async def probe(self, built: BuildResult) -> ImageProbe:
        """Look into the image."""
        probe = self.bench.engine.probe
        told = (self.id, self.bench.owner, built.info, built.reference)
        return await patiently(lambda: probe(*told, {}, pushed=built.pushed))

    async def copy_order(self, key: str = "code", path: str = "") -> CopyOrder:
        """Return the order to copy the project, or another folder."""
        place = await self.bench.engine.locate(Path(path or self.bench.project))
        role: Any = "code" if key == "code" else "data"
        return CopyOrder(self.id, self.bench.owner, key, role, place, self.manifest(key))

    async def copy(self, key: str = "code", path: str = "") -> CopyResult:
        """Copy the project, or another folder, into a volume."""
        order = await self.copy_order(key, path)
        return await patiently(lambda: result_of(self.bench.engine.copy(order), CopyResult))

    async def verify(self, *volumes: tuple[str, Path]) -> VerifyResult:
        """Compare volumes with manifests."""
        checks = [VolumeCheck(volume, manifest) for volume, manifest in volumes]
        order = VerifyOrder(self.id, self.bench.owner, checks)
        return await patiently(lambda: result_of(self.bench.engine.verify(order), VerifyResult))

    async def left(self) -> list[Orphan]:
        """Return what there is of it."""
        owned = await self.bench.engine.owned(self.bench.owner)
        return [found for found in owned if found.migration == self.id]

    async def left_at_last(self) -> list[str]:
        """Return the names of what is still there of it when all that was removed has to be gone."""
        for _ in range(int(GONE_SECONDS)):
            if not await self.left():
                break
            await asyncio.sleep(1)
        return [one.name for one in await self.left()]

    def launch_order(self, built: BuildResult, probe: ImageProbe, at: str) -> LaunchOrder:
        """Return the order to start a copy that has the project's volume at a path."""
        return LaunchOrder(
            self.id,
            self.bench.owner,
            "conformance",
            built.info.digest,
            built.reference,
            probe,
            [VolumeMount(self.names.volume("code"), at)],
            at,
            self.token,
            cpu=0.5,
            memory=512 * 2**20,
            pushed=built.pushed,
        )

    def inside_order(self, probe: ImageProbe, at: str) -> InsideOrder:
        """Return the order to look at that volume from inside."""
        return InsideOrder(self.id, probe, [InsideVolume(at, self.manifest("code"), writes=True)])


def _tar(files: Mapping[str, bytes]) -> Iterator[bytes]:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    yield made.getvalue()
