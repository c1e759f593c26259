"""Somebody else may start environments: a class that a setting names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import pytest
from traitlets.config import Config

from jupyter_secxops_migrate.engines.docker import DockerEngine
from jupyter_secxops_migrate.engines.docker.launcher import ContainerLauncher, Launcher
from jupyter_secxops_migrate.engines.kubernetes import KubernetesEngine
from jupyter_secxops_migrate.engines.kubernetes.launcher import PodLauncher
from jupyter_secxops_migrate.engines.orders import (
    ImageProbe,
    InsideOrder,
    Launched,
    LaunchOrder,
    Observation,
    VolumeSeen,
)
from jupyter_secxops_migrate.model import EnvironmentStatus, utcnow

NOWHERE = "tcp://127.0.0.1:1"
ID = "maaaaaaaaa"


class NamedServers:
    """Runs environments as servers of somebody's hub: here, rows of a table."""

    def __init__(self, place: object, settings: Any) -> None:
        self.settings = settings
        self.servers: dict[str, EnvironmentStatus] = {}

    async def close(self) -> None:
        self.servers.clear()

    async def launch(self, order: LaunchOrder, source: object = None) -> Observation:
        self.servers[order.migration] = EnvironmentStatus.RUNNING
        return await self.inspect(order.migration)

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        status = self.servers.get(migration, EnvironmentStatus.GONE)
        return Observation(status, migration, url=f"https://hub.example/user/ada/{migration}/lab")

    async def look_inside(self, order: InsideOrder) -> Sequence[VolumeSeen]:
        return []

    async def stop(self, migration: str) -> None:
        self.servers[migration] = EnvironmentStatus.STOPPED

    async def start(self, migration: str) -> Observation:
        self.servers[migration] = EnvironmentStatus.RUNNING
        return await self.inspect(migration)

    async def launched(self, owner: str) -> Sequence[Launched]:
        return [Launched(one, "copy", utcnow(), "/", {}, []) for one in self.servers]


def order() -> LaunchOrder:
    probe = ImageProbe(
        uid=1000,
        gid=1000,
        home=PurePosixPath("/home/ada"),
        workdir=PurePosixPath("/"),
        jupyter=["jupyter-lab"],
    )
    return LaunchOrder(ID, "ada", "copy", "sha256:1", "app:1", probe, [], "/", "t" * 24)


def test_another_launcher_runs_the_environments_of_a_docker_host() -> None:
    launcher: type[Launcher] = NamedServers
    config = Config({"DockerEngine": {"launcher_class": f"{__name__}.{launcher.__name__}"}})
    engine = DockerEngine(config=config, endpoint=NOWHERE)

    async def go() -> list[EnvironmentStatus]:
        seen = [(await engine.inspect(ID)).status, (await engine.launch(order())).status]
        await engine.stop(ID)
        seen.append((await engine.inspect(ID, fresh=False)).status)
        seen.append((await engine.start(ID)).status)
        assert await engine.look_inside(InsideOrder(ID, order().probe, [])) == []
        assert [one.migration for one in await engine.launched("ada")] == [ID]
        await engine.close()
        return seen

    assert asyncio.run(go()) == [
        EnvironmentStatus.GONE,
        EnvironmentStatus.RUNNING,
        EnvironmentStatus.STOPPED,
        EnvironmentStatus.RUNNING,
    ]


def test_another_launcher_runs_the_environments_of_a_cluster() -> None:
    config = Config({"KubernetesEngine": {"launcher_class": f"{__name__}.NamedServers"}})
    engine = KubernetesEngine(config=config, kubeconfig="nowhere")

    async def go() -> EnvironmentStatus:
        await engine.start(ID)
        found = await engine.inspect(ID)
        # No pod of ours is asked for either, by a name that a hub's server would not have.
        assert len(await engine.look_inside(InsideOrder(ID, order().probe, []))) == 0
        assert [one.migration for one in await engine.launched("ada")] == [ID]
        await engine.close()
        return found.status

    assert asyncio.run(go()) is EnvironmentStatus.RUNNING


@pytest.mark.parametrize(
    ("engine", "usual"), [(DockerEngine, ContainerLauncher), (KubernetesEngine, PodLauncher)]
)
def test_without_one_they_are_the_engine_s_own(engine: Any, usual: type) -> None:
    assert engine(config=Config()).launcher_class is usual
