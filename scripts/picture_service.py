"""The service that `screenshots.py` takes pictures of: the real one, on an engine without containers.

The engine and the clock say the same at each run, so that the pictures differ only where the product
does. Sizes and names are the sample project's own.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timezone, tzinfo
from pathlib import Path, PurePosixPath
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests")]

from ui.held import HeldHost

from jupyter_secxops_migrate import model
from jupyter_secxops_migrate.engines.directory import DirectoryEngine
from jupyter_secxops_migrate.engines.orders import (
    BuildOrder,
    BuildResult,
    CopyOrder,
    CopyResult,
    ImageProbe,
    LogLine,
    Measure,
    Progress,
)
from jupyter_secxops_migrate.hosts.user import main
from jupyter_secxops_migrate.placement.policy import OneNode

MIB = 1024**2
INSTRUCTIONS = [
    "ARG BASE_IMAGE=python:3.12-slim",
    "FROM python:3.12-slim",
    "RUN python3 -m venv /opt/venv",
    "ENV PATH=/opt/venv/bin:$PATH",
    "RUN pip install --no-cache-dir jupyterlab==4.6.6 scikit-learn==1.9.1",
    "RUN useradd --create-home --shell /bin/bash --uid 1000 analyst",
    "USER analyst",
    "WORKDIR /home/analyst/dga-detector",
]
COPYING_SECONDS = 4
"""What half of the copy took, by the clock of the pictures."""


class Clock(datetime):
    """Tells the time that stands in a file."""

    file: Path

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Clock:
        """Return the time of the pictures."""
        return cls.fromtimestamp(float(cls.file.read_text()), tz or timezone.utc)


class PictureEngine(DirectoryEngine):
    """Builds and copies up to a point that makes a good picture, and waits there when told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._code_is_copied = asyncio.Event()

    async def capacity(
        self, volumes: Sequence[str] = (), sizes: Sequence[int | None] = ()
    ) -> OneNode:
        """Return that of a workstation on which others work too."""
        found = (await super().capacity(volumes, sizes)).here
        return OneNode(found.model_copy(update={"node": "lab-3", "cpu_requested": 3.5}))

    async def build(self, order: BuildOrder) -> AsyncIterator[Progress | BuildResult]:
        """Build, with the sample's instructions in the log."""
        for number, instruction in enumerate(INSTRUCTIONS[:5], 1):
            yield LogLine(f"Step {number}/{len(INSTRUCTIONS)} : {instruction}")
        yield LogLine("Collecting jupyterlab==4.6.6")
        yield LogLine("Collecting scikit-learn==1.9.1")
        yield Measure(4, len(INSTRUCTIONS), "instructions", message=f"step 5/8 {INSTRUCTIONS[4]}")
        # So that what follows is written at once and not with the next measure.
        await asyncio.sleep(0.3)
        yield LogLine("  Downloading scikit_learn-1.9.1-cp312-manylinux_2_28_x86_64.whl (9.5 MB)")
        await self._middle("build")
        async for item in super().build(order):
            if not isinstance(item, (LogLine, Measure)):
                yield item

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
        """Return the sample's user, whose files need no other owner here."""
        await self._middle("probe")
        home = PurePosixPath("/home/analyst")
        lab = ["jupyter", "lab"]
        return ImageProbe(os.getuid(), os.getgid(), home, home / "dga-detector", lab)

    async def copy(self, order: CopyOrder) -> AsyncIterator[Progress | CopyResult]:
        """Copy; of data, more than half is told before the middle."""
        if order.key == "code":
            async for item in super().copy(order):
                yield item
            self._code_is_copied.set()
            return
        await self._code_is_copied.wait()
        yield Measure(0, files=0)
        await asyncio.sleep(0.3)
        Clock.file.write_text(str(float(Clock.file.read_text()) + COPYING_SECONDS))
        yield Measure(117 * MIB, files=3110)
        await asyncio.sleep(0.3)
        await self._middle("data")
        async for item in super().copy(order):
            yield item


class PictureHost(HeldHost):
    """The service of the pictures."""

    def make_engine(self) -> DirectoryEngine:
        """Return the engine, and have the clock stand beside it."""
        root = Path(self.engine_root)
        Clock.file = root / "clock"
        model.datetime = Clock  # type: ignore[attr-defined]
        return PictureEngine(root)


if __name__ == "__main__":
    main(application=PictureHost)
