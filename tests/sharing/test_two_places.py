"""A share whose source is in one place, and whose copy is made in another."""

from __future__ import annotations

from pathlib import Path

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.directory import DirectoryEngine
from jupyter_secxops_migrate.engines.orders import SourceEnvironment, SourcePlace
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
