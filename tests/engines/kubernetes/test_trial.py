"""What would end a share after minutes is said in its plan."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from registries.registry import Registry

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.kubernetes import KubernetesEngine
from jupyter_secxops_migrate.engines.kubernetes.connection import Connection
from jupyter_secxops_migrate.engines.kubernetes.errors import AccountMissing
from jupyter_secxops_migrate.engines.orders import SourcePlace, TrialOrder

from .test_registry import Objects, play

Json = dict[str, Any]
TLS = ("ca.crt", "tls.crt", "tls.key")


class Judging(Objects):
    """Judges pods and Jobs that are tried; ``says`` has its word against a kind, by a word of it."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self.tried: list[Json] = []
        self.got: list[str] = []
        self.says: dict[str, str] = {}
        self.builder: Json | None = {"data": dict.fromkeys(TLS, "")}

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            assert request.query["dryRun"] == "All"
            body = await request.json()
            self.tried.append(body)
            for word, message in self.says.items():
                if word in f"{body['kind']} {body['metadata']['name']}":
                    said = {"kind": "Status", "message": message, "code": 403}
                    return web.json_response(said, status=403)
            return web.json_response(body)
        if "watch" not in request.query:
            self.got.append(request.path)
        if request.path.endswith("/secrets/secxops-builder-client"):
            status = 404 if self.builder is None else 200
            return web.json_response(self.builder or {}, status=status)
        return await super().answer(request)


def order(pushes: bool = True) -> TrialOrder:
    place = SourcePlace("volume", "home", "p")
    return TrialOrder(
        "anne", "p", place, "secxops/a/p", 1, 2**30, terms={"nodeSelector": {}}, pushes=pushes
    )


async def refused(engine: KubernetesEngine, pushes: bool = True) -> list[errors.SecxopsError]:
    return list(await engine.try_out(order(pushes)))


def test_a_folder_of_another_engine_s_host_is_refused_and_nothing_is_tried(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        assert isinstance(objects, Judging)
        [error] = await engine.try_out(replace(order(), place=SourcePlace("bind", "/home/anne/p")))
        assert (error.code, error.params["path"]) == ("not_on_claim", "/home/anne/p")
        assert objects.tried == []

    play(tmp_path, scene, objects=Judging, source_pod="notebook")


def test_what_nothing_stands_against_is_tried_and_not_made(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        assert isinstance(objects, Judging)
        assert await refused(engine) == []
        kinds = sorted(f"{b['kind']} {b['metadata']['name'][-5:]}" for b in objects.tried)
        assert [kind.split()[0] for kind in kinds] == ["Job", "Pod", "Pod", "Pod"]
        claims = [
            volume["persistentVolumeClaim"]["claimName"]
            for body in objects.tried
            if body["kind"] == "Pod"
            for volume in body["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        ]
        assert claims == ["home", "home"]
        # Nothing is asked for twice within one plan.
        assert len(objects.got) == len(set(objects.got)), objects.got

    play(tmp_path, scene, objects=Judging, source_pod="notebook")


@pytest.mark.parametrize(
    ("word", "message", "code"),
    [
        (
            "job-copy",
            'pods "x" is forbidden: violates PodSecurity "restricted:latest"',
            "pod_security",
        ),
        (
            "job-build",
            "pods is forbidden: exceeded quota: team, requested: pods=1",
            "quota_exceeded",
        ),
        (
            "Pod secxops-plan",
            'pods "x" is forbidden: maximum memory usage per Container is 1Gi',
            "cluster_refused",
        ),
        ("Job ", 'jobs.batch is forbidden: User "u" cannot create resource', "cluster_forbidden"),
    ],
)
def test_what_the_api_server_says_of_a_pod_is_said_in_the_plan(
    tmp_path: Path, word: str, message: str, code: str
) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        assert isinstance(objects, Judging)
        objects.says[word] = message
        [error] = await refused(engine)
        assert error.code == code
        assert message in error.message

    play(tmp_path, scene, objects=Judging, source_pod="notebook")


def test_a_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        assert isinstance(objects, Judging)
        objects.builder = None
        objects.configmap = None
        first, second = await refused(engine, pushes=False)
        assert first.params["name"] == "secxops-builder-client"
        assert first.message.endswith("is not there.")
        assert (second.params["kind"], second.params["name"]) == ("configmap", "registry-ca")
        objects.builder = {"data": {"ca.crt": ""}}
        objects.configmap = {"ca.crt": registry.ca}
        [error] = await refused(engine, pushes=False)
        assert error.params["problem"] == "has no tls.crt, tls.key"

    play(tmp_path, scene, objects=Judging, source_pod="notebook")


def test_a_wrong_password_of_the_registry_is_found_before_the_build(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        assert await refused(engine) == []
        asked = len(registry.asked)
        assert await refused(engine) == []
        assert len(registry.asked) == asked  # what is good is not asked again
        await engine.registry()

        # As the next build will have it, whatever this service is signed in with.
        objects.secret = objects.of_docker("wrong")
        [error] = await refused(engine)
        assert error.code == "registry_denied"
        assert error.params["secret"] == "registry"
        assert "wrong" not in str(error.as_dict())
        checks = {check.name: check for check in await engine.doctor()}
        assert checks["registry"].state == "failed"
        # Where nothing is pushed, nobody asks.
        assert await refused(engine, pushes=False) == []

    play(tmp_path, scene, objects=Judging, source_pod="notebook")


def test_a_pod_without_a_token_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")

    async def ask() -> None:
        connection = Connection()
        try:
            await connection.get("/version")
        finally:
            await connection.close()

    with pytest.raises(AccountMissing, match="automountServiceAccountToken: false") as said:
        asyncio.run(ask())
    assert not isinstance(said.value, errors.TemporaryError)


def test_an_image_for_jobs_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        engine.tools_image = f"{registry.address}/tools:1"
        [error] = await refused(engine, pushes=False)
        assert error.code == "tools_image_missing"
        assert f"the registry has no {registry.address}/tools:1" in error.message
        registry.put("tools", "1")
        assert await refused(engine, pushes=False) == []
        asked = len(registry.asked)
        assert await refused(engine, pushes=False) == []
        assert len(registry.asked) == asked, "what is there is not asked for again"
        engine.tools_image = ""
        [error] = await refused(engine, pushes=False)
        assert "KubernetesEngine.tools_image" in error.message

    play(tmp_path, scene, objects=Judging, source_pod="notebook")
