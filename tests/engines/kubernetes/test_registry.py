"""What the engine of a cluster leaves in the registry, and how it gets in there."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from registries import registry as registries
from registries.registry import Registry

from jupyter_secxops_migrate.engines.kubernetes import KubernetesEngine
from jupyter_secxops_migrate.engines.kubernetes.job import Job
from jupyter_secxops_migrate.engines.kubernetes.jobs import Jobs
from jupyter_secxops_migrate.engines.orders import BuildOrder, Progress, PushOrder, PushResult
from jupyter_secxops_migrate.engines.report import JobResult
from jupyter_secxops_migrate.model import Check
from jupyter_secxops_migrate.registries import OciRegistry
from jupyter_secxops_migrate.registries.errors import RegistryFailed

from .apiserver import serving

PROJECT = "shares/secxops/a/project"


POD = {
    "metadata": {"name": "notebook", "uid": "1"},
    "spec": {"nodeName": "a", "containers": [{"name": "notebook", "image": "i"}]},
    "status": {"phase": "Running"},
}


BUILDER = {
    "metadata": {"name": "builder"},
    "spec": {"nodeName": "a"},
    "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
}


class FullRegistry(OciRegistry):
    """Has no room for anything."""

    async def prepare(self, repository: str) -> None:
        raise RegistryFailed(registry=self.address, action="take it", reason="quota")


class Scanning(OciRegistry):
    """Lets nothing run."""

    async def admit(self, reference: str) -> None:
        raise RegistryFailed(registry=self.address, action="admit it", reason="a finding")


class Done(Jobs):
    """Jobs that have ended well before anybody asks."""

    async def run(self, job: Job) -> AsyncIterator[Progress | JobResult]:
        yield JobResult({})


class Pushing(KubernetesEngine):
    """Has pushed what it is asked to push."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        shared = self._shared

        async def jobs() -> Jobs:
            return Done(shared.space, "a", set())

        shared.jobs = jobs  # type: ignore[method-assign]


class Objects:
    """An API server with a notebook, a builder, the secret and the configmap of a registry, and nothing else."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.secret = self.of_docker(registry.password)
        self.configmap: dict[str, str] | None = {"ca.crt": registry.ca}

    def of_docker(self, password: str) -> dict[str, str]:
        row = {"username": "me", "password": password}
        config = {"auths": {self.registry.address: row}}
        return {".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode()}

    async def answer(self, request: web.Request) -> web.Response:
        known = {"/secrets/registry": self.secret, "/configmaps/registry-ca": self.configmap}
        if request.path.endswith("/pods/notebook"):
            return web.json_response(POD)
        for end, data in known.items():
            if request.path.endswith(end) and data is not None:
                return web.json_response({"data": data})
        if request.path.endswith(tuple(known)):
            return web.json_response({"kind": "Status", "code": 404}, status=404)
        items = [BUILDER] if request.path.endswith("/secxops-build/pods") else []
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})


Scene = Callable[[Registry, Objects, KubernetesEngine], Awaitable[None]]


def play(
    folder: Path,
    scene: Scene,
    kind: type[KubernetesEngine] = KubernetesEngine,
    *,
    objects: type[Objects] | None = None,
    **settings: Any,
) -> None:
    async def go() -> None:
        async with registries.serving(Registry(), folder / "registry") as registry:
            there = (objects or Objects)(registry)
            async with serving(folder, [("/{path:.*}", there.answer)]):
                engine = kind(
                    kubeconfig=str(folder / "kubeconfig"),
                    namespace="a",
                    pull_secret="registry",
                    registry_ca="registry-ca",
                    **{
                        "registry_address": f"{registry.address}/shares",
                        "tools_image": "elsewhere.example/tools:1",
                        **settings,
                    },
                )
                try:
                    await asyncio.wait_for(scene(registry, there, engine), 20)
                finally:
                    await engine.close()

    asyncio.run(go())


def test_the_layer_cache_goes_with_the_last_image_of_its_repository(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        for tag in ("one", "two", "cache"):
            registry.put(PROJECT, tag)
        repository = f"{registry.address}/{PROJECT}"

        await engine.remove_image(f"{repository}:one")
        assert registry.tags(PROJECT) == ["cache", "two"]
        await engine.remove_image(f"{repository}:two")
        assert registry.tags(PROJECT) == []
        await engine.remove_image(f"{repository}:two")  # again, after a service was killed

    play(tmp_path, scene)


def test_a_layer_cache_whose_image_never_arrived_goes_too(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        registry.put(PROJECT, "cache")

        await engine.remove_image(f"{registry.address}/{PROJECT}:one")

        assert registry.tags(PROJECT) == []

    play(tmp_path, scene)


def test_what_was_never_pushed_is_not_looked_for(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        registry.put(PROJECT, "cache")

        await engine.remove_image(f"{registry.address}/{PROJECT}:one", pushed=False)

        assert registry.asked == []
        assert registry.tags(PROJECT) == ["cache"]

    play(tmp_path, scene)


def test_a_password_is_read_again_when_it_was_changed(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        registry.put(PROJECT, "one")
        await engine.registry()

        registry.password = "changed"
        with pytest.raises(RegistryFailed, match="401"):
            await engine.remove_image(f"{registry.address}/{PROJECT}:one")
        objects.secret = objects.of_docker("changed")
        await engine.remove_image(f"{registry.address}/{PROJECT}:one")

        assert registry.tags(PROJECT) == []

    play(tmp_path, scene)


def test_an_image_in_an_earlier_registry_is_left_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        registry.put(PROJECT, "one")

        await engine.remove_image(f"{registry.address}/{PROJECT}:one")

        assert registry.asked == []

    play(tmp_path, scene, registry_address="registry.example.org/shares")
    assert "is left there" in caplog.text


@pytest.mark.parametrize(
    ("configmap", "reason"),
    [(None, "no configmap registry-ca"), ({}, "has no ca.crt"), ({"ca.crt": "x"}, "PEM")],
)
def test_an_authority_that_is_not_there_is_told(
    tmp_path: Path, configmap: dict[str, str] | None, reason: str
) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        objects.configmap = configmap

        with pytest.raises(RegistryFailed, match=reason):
            await engine.registry()

    play(tmp_path, scene)


def test_a_registry_without_room_is_told_before_anything_is_built(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        reference = f"{registry.address}/{PROJECT}:one"
        build = BuildOrder(
            "m1", lambda: iter(()), "Dockerfile", "secxops/a/project", "one", str, {}
        )
        push = PushOrder("m1", "me", reference, "sha256:1", "a")

        for work in (engine.build(build), engine.push(push)):
            with pytest.raises(RegistryFailed, match="quota"):
                async for _ in work:
                    pass

    play(tmp_path, scene, registry_class=FullRegistry, source_pod="notebook")


def pushing(engine: KubernetesEngine, registry: Registry, digest: str) -> Any:
    order = PushOrder("m1", "me", f"{registry.address}/{PROJECT}:one", digest, "a")
    return engine.push(order)


def test_what_was_pushed_is_read_back(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        digest = registry.put(PROJECT, "one")

        found = [item async for item in pushing(engine, registry, digest)]

        assert found == [PushResult(digest)]
        with pytest.raises(RegistryFailed, match="after the push"):
            async for _ in pushing(engine, registry, registries.digest_of(b"")):
                pass

    play(tmp_path, scene, Pushing, source_pod="notebook")


def test_what_the_registry_does_not_admit_is_not_used(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        with pytest.raises(RegistryFailed, match="a finding"):
            async for _ in pushing(engine, registry, registry.put(PROJECT, "one")):
                pass

    play(tmp_path, scene, Pushing, source_pod="notebook", registry_class=Scanning)


def of_registry(checks: Sequence[Check]) -> tuple[str, str]:
    """State and message of the doctor's last line."""
    assert checks[-1].name == "registry"
    return checks[-1].state, checks[-1].message


def test_the_doctor_tries_to_push(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        state, message = of_registry(await engine.doctor())
        assert state == "ok" and "lets us push" in message
        assert registry.uploads == set()

        registry.readable, registry.password = True, "changed"
        state, message = of_registry(await engine.doctor())
        assert state == "failed" and "401" in message

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("configmap", "reason"), [(None, "no configmap registry-ca"), ({"ca.crt": "x"}, "PEM")]
)
def test_the_doctor_tells_of_an_authority_that_is_not_there(
    tmp_path: Path, configmap: dict[str, str] | None, reason: str
) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        objects.configmap = configmap

        state, message = of_registry(await engine.doctor())

        assert state == "failed" and reason in message

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "content", ["{", '{"auths": "sesame"}', '{"auths": {"%s": {"auth": "sesame"}}}']
)
def test_a_malformed_secret_is_named_without_its_content(tmp_path: Path, content: str) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        said = content.replace("%s", registry.address).encode()
        objects.secret = {".dockerconfigjson": base64.b64encode(said).decode()}

        with pytest.raises(RegistryFailed, match="of the secret registry") as caught:
            await engine.registry()

        assert "sesame" not in caught.value.message

    play(tmp_path, scene)


def test_a_secret_that_only_names_a_program_is_told_when_it_is_refused(tmp_path: Path) -> None:
    async def scene(registry: Registry, objects: Objects, engine: KubernetesEngine) -> None:
        config = json.dumps({"auths": {registry.address: {}}, "credsStore": "desktop"})
        objects.secret = {".dockerconfigjson": base64.b64encode(config.encode()).decode()}

        state, message = of_registry(await engine.doctor())

        assert state == "failed" and "credential helper (desktop)" in message
        assert "kubectl create secret docker-registry" in message

    play(tmp_path, scene)
