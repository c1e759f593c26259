"""What is known of launched environments, and what it costs the API server to say so."""

from __future__ import annotations

import asyncio
from pathlib import Path

from jupyter_secxops_migrate.engines.base import Names
from jupyter_secxops_migrate.engines.kubernetes.launcher import PodLauncher
from jupyter_secxops_migrate.engines.kubernetes.namespace import Namespace
from jupyter_secxops_migrate.engines.kubernetes.settings import KubernetesSettings
from jupyter_secxops_migrate.model import EnvironmentStatus

from .apiserver import ApiServer, serving


def test_a_thousand_environments_cost_one_list_of_each_kind(tmp_path: Path) -> None:
    async def go() -> None:
        pods, services = ApiServer(), ApiServer()
        for number in range(1000):
            name = Names(f"m{number:09}").environment
            if number % 2:  # every second one is stopped
                container = {"volumeMounts": []}
                pods.put(name, status={"phase": "Running"}, containers=[container])
            services.put(name)
        handlers = [
            ("/api/v1/namespaces/a/pods", pods.answer),
            ("/api/v1/namespaces/a/services", services.answer),
        ]
        async with serving(tmp_path, handlers) as connection:
            settings = KubernetesSettings(namespace="a")
            launcher = PodLauncher(Namespace(connection, settings), settings)
            seen = [await launcher.inspect(f"m{n:09}", fresh=False) for n in range(1001)]
            await asyncio.sleep(0.2)
            for server in (pods, services):
                assert (server.asked["list"], server.asked["watch"]) == (1, 1)
                server.disconnect()
            await launcher.close()

        stopped, starting, gone = (
            EnvironmentStatus.STOPPED,
            EnvironmentStatus.STARTING,
            EnvironmentStatus.GONE,
        )
        assert [found.status for found in seen] == [*([stopped, starting] * 500), gone]

    asyncio.run(go())
