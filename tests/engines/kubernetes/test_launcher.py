"""What is known of launched environments, and what it costs the API server to say so."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.kubernetes import objects
from jupyter_secxops_migrate.engines.kubernetes.launcher import PodLauncher
from jupyter_secxops_migrate.engines.kubernetes.namespace import Namespace
from jupyter_secxops_migrate.engines.kubernetes.settings import KubernetesSettings
from jupyter_secxops_migrate.engines.names import Names
from jupyter_secxops_migrate.model import EnvironmentStatus

from .apiserver import ApiServer, serving

ENVIRONMENT = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "secxops-m1", "labels": {}, "annotations": {"secxops.io/title": "p"}},
    "spec": {"containers": [{"name": "notebook"}]},
}


class Objects:
    """Keeps the objects that it is sent; secrets are never given out."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            body = await request.json()
            path = f"{request.path}/{body['metadata']['name']}"
            if path in self.kept:
                return web.json_response({"reason": "AlreadyExists", "code": 409}, status=409)
            body["metadata"]["uid"] = "u-1"
            self.kept[path] = body
            return web.json_response(body)
        found = self.kept.get(request.path)
        if "/secrets" in request.path:
            return web.json_response({"message": "secrets is forbidden", "code": 403}, status=403)
        if request.method == "PATCH" and found:
            found["metadata"]["annotations"] |= (await request.json())["metadata"]["annotations"]
        return web.json_response(found or {}, status=200 if found else 404)

    def at(self, kind: str) -> Any:
        return self.kept[f"/api/v1/namespaces/a/{kind}/secxops-m1"]


def launcher_on(connection: Any) -> PodLauncher:
    settings = KubernetesSettings(namespace="a")
    return PodLauncher(Namespace(connection, settings), settings)


def test_a_stopped_environment_starts_again_without_a_right_to_read_secrets(tmp_path: Path) -> None:
    async def go() -> None:
        kept = Objects()
        async with serving(tmp_path, [("/api/v1/namespaces/a/{rest:.*}", kept.answer)]) as api:
            launcher = launcher_on(api)
            with pytest.raises(errors.EngineFailed, match="it is gone"):
                await launcher.start("m1")
            await launcher._serve(ENVIRONMENT)
            # What an interrupted launch left gets the pod of this one.
            other = {**ENVIRONMENT, "spec": {"containers": [{"name": "other"}]}}
            service = await launcher._serve(other)
            assert len(kept.kept) == 1
            await api.create("/api/v1/namespaces/a/secrets", secret(service), read=False)
            await api.create("/api/v1/namespaces/a/secrets", secret(service), read=False)
            made = kept.at("services")["metadata"]["annotations"]
            assert json.loads(made[objects.POD]) == other

    asyncio.run(go())


def secret(service: Any) -> Any:
    return {"kind": "Secret", **objects.policy(ENVIRONMENT, service)}


def test_what_only_an_environment_needs_goes_with_its_service() -> None:
    service = objects.service(ENVIRONMENT)
    service["metadata"]["uid"] = "u-1"
    for made in (
        objects.policy(ENVIRONMENT, service),
        objects.ingress(ENVIRONMENT, "host", "", service),
    ):
        [owner] = made["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Service", "secxops-m1", "u-1")
        assert owner["blockOwnerDeletion"]
        assert objects.POD not in made["metadata"]["annotations"]


def test_a_thousand_environments_cost_one_list_of_each_kind(tmp_path: Path) -> None:
    async def go() -> None:
        pods, services = ApiServer(), ApiServer()
        for number in range(1000):
            name = Names(f"m{number:09}").environment
            if number % 2:  # every second one is stopped
                container = {"name": "notebook", "volumeMounts": []}
                pods.put(name, status={"phase": "Running"}, containers=[container])
            services.put(name)
        handlers = [
            ("/api/v1/namespaces/a/pods", pods.answer),
            ("/api/v1/namespaces/a/services", services.answer),
        ]
        async with serving(tmp_path, handlers) as connection:
            settings = KubernetesSettings(namespace="a")
            space = Namespace(connection, settings)
            launcher = PodLauncher(space, settings)
            seen = [await launcher.inspect(f"m{n:09}", fresh=False) for n in range(1001)]
            while not (pods.asked["watch"] and services.asked["watch"]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            for server in (pods, services):
                assert (server.asked["list"], server.asked["watch"]) == (1, 1)
                server.disconnect()
            await launcher.close()
            await space.ours.close()

        stopped, starting, gone = (
            EnvironmentStatus.STOPPED,
            EnvironmentStatus.STARTING,
            EnvironmentStatus.GONE,
        )
        assert [found.status for found in seen] == [*([stopped, starting] * 500), gone]

    asyncio.run(go())
