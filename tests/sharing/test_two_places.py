"""A share whose source is in one place, and whose copy is made in another."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.directory import DirectoryEngine
from jupyter_secxops_migrate.engines.orders import (
    LookOrder,
    ReadOrder,
    SourceEnvironment,
    SourcePlace,
)
from jupyter_secxops_migrate.model import EnvironmentStatus, MigrationState

from .world import World


class Notebooks(DirectoryEngine):
    """A place that only has notebooks: it says where they run, and nothing is made there."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.located: set[str] = set()

    async def source(self) -> SourceEnvironment:
        return SourceEnvironment(kind="container", node="here", container="notebook-of-anne")

    async def locate(self, path: Path) -> SourcePlace:
        self.located.add(str(path))
        return await super().locate(path)

    async def _middle(self, call: str) -> None:
        raise errors.EngineFailed(action=call, reason="only sources are here")


def test_a_share_of_a_source_in_another_place_is_a_whole_share(world: World) -> None:
    world.stop()
    source = world.source = Notebooks(world.folder / "notebooks")
    world.start()

    shared = world.ended(world.share().id)

    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert shared.result is not None and shared.result.place is not None
    assert shared.result.place.engine == world.engine.name
    code, data = (world.engine.folder(volume.name) for volume in shared.result.volumes)
    assert (code / "train.py").read_text() == "print('training')\n"
    assert (data / "7.csv").read_text() == "7\n" * 100
    assert source.located == {str(world.project), str(world.data)}
    assert source.objects() == []

    stopped = world.run(world.api().stop(shared.id))
    assert stopped.environment is not None
    assert stopped.environment.status is EnvironmentStatus.STOPPED
    world.run(world.api().delete(shared.id))
    assert world.engine.objects() == []


class Hub(Notebooks):
    """Notebooks in a folder of their own: a path is one there, and here is something else at it."""

    outside = True

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.inside = root / "inside"

    def there(self, path: str | Path) -> Path:
        return self.inside / Path(path).relative_to("/")

    async def source(self) -> SourceEnvironment:
        return replace(await super().source(), outside=True)

    async def locate(self, path: Path) -> SourcePlace:
        return SourcePlace("bind", str(self.there(path)), "", str(path))

    async def look(self, order: LookOrder) -> Mapping[str, Any]:
        """Survey what is there, and say of it what its own people would."""
        folders = [self.there(path) for path in (order.project, *order.data)]
        with tempfile.TemporaryDirectory() as work:
            words = [sys.executable, "-m", "jupyter_secxops_migrate.environment.look"]
            process = await asyncio.create_subprocess_exec(
                *words, "--work", work, "--", *map(str, folders), stdout=asyncio.subprocess.PIPE
            )
            await process.communicate()
            said = (Path(work) / "survey.json").read_text()
        found: Mapping[str, Any] = json.loads(said.replace(f"{self.inside}/", "/"))
        return found


class GivingHub(Hub):
    """One that gives out the files of projects, too."""

    def read_project(self, order: ReadOrder) -> Iterator[bytes]:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as archive:
            archive.add(self.there(order.project), arcname=".")
        yield made.getvalue()


def notebooks_of(world: World, kind: type[Hub]) -> Hub:
    """Have the world's project in notebooks, and another one with its path here."""
    recipe = "FROM base\nRUN pip install jupyterlab\nCOPY . /opt/detector\n"
    (world.project / "Dockerfile").write_text(recipe)
    world.stop()
    source = world.source = kind(world.folder / "notebooks")
    for path in (world.project, world.data):
        there = source.there(path)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(path, there, symlinks=True)
    (world.project / "Dockerfile").write_text("FROM another\nRUN pip install jupyterlab\n")
    (world.project / "train.py").write_text("print('somebody else')\n")
    (world.project / "only-here.py").touch()
    world.start()
    return source


def test_an_image_is_built_of_the_source_s_files_not_of_what_lies_here(world: World) -> None:
    source = notebooks_of(world, GivingHub)

    shared = world.ended(world.share().id)

    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert shared.result is not None
    code = world.engine.folder(shared.result.volumes[0].name)
    there = source.there(world.project)
    assert (code / "train.py").read_text() == (there / "train.py").read_text()
    assert not shared.result.evidence.rebuilt_from_copy
    sent = world.engine.image_files(shared.result.image.reference)
    assert "train.py" in sent and "only-here.py" not in sent
    world.run(world.api().delete(shared.id))


def test_where_nobody_gives_out_the_files_it_is_refused_and_nothing_is_made(world: World) -> None:
    notebooks_of(world, Hub)

    plan = world.run(world.api().plan(world.request()))
    [refusal] = [r for r in plan.refusals if r.code == "project_out_of_reach"]
    assert refusal.params["source"] == "notebook-of-anne"
    assert refusal.params["engine"] == world.engine.name

    ended = world.ended(world.share().id)
    assert ended.error is not None and ended.error.code == "refused"
    assert world.engine.objects() == []
