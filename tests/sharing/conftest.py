from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .world import World


@pytest.fixture
def asleep(tmp_path: Path) -> Iterator[World]:
    """A project, some data and an engine; the service is not there yet."""
    world = World(tmp_path)
    world.project.mkdir()
    (world.project / "Dockerfile").write_text("FROM base\nRUN pip install jupyterlab\n")
    (world.project / "train.py").write_text("print('training')\n")
    (world.project / "notebooks").mkdir()
    (world.project / "notebooks" / "explore.ipynb").write_text("{}")
    world.data.mkdir()
    for n in range(20):
        (world.data / f"{n}.csv").write_text(f"{n}\n" * 100)
    yield world
    world.end()


@pytest.fixture
def world(asleep: World) -> World:
    """The same with a service at work."""
    asleep.start()
    return asleep
