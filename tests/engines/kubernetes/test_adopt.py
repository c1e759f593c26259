"""Shares that only the cluster knows: whose they are, and what is believed of what it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from jupyter_secxops_migrate.engines.kubernetes import KubernetesEngine
from jupyter_secxops_migrate.engines.kubernetes import source as source_module
from jupyter_secxops_migrate.engines.kubernetes.adopt import launched_of, token_of
from jupyter_secxops_migrate.engines.kubernetes.errors import SourceUnusable
from jupyter_secxops_migrate.engines.kubernetes.own import Own
from jupyter_secxops_migrate.engines.names import images_of

from .apiserver import serving

Json = dict[str, Any]
ID = "mabcdefg23"
OWN_IMAGE = f"registry.example.org/shares/{images_of('ada@1')}/detector@sha256:12"


class Namespace:
    """Pods, claims and Services of a namespace."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Json]] = {
            "pods": [],
            "services": [],
            "persistentvolumeclaims": [],
        }

    async def answer(self, request: web.Request) -> web.Response:
        kind, name = request.match_info["kind"], request.match_info.get("name")
        rows = self.rows[kind]
        if name is None:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": rows})
        found = next((row for row in rows if row["metadata"]["name"] == name), None)
        return web.json_response(found or {}, status=200 if found else 404)

    def notebook(self, name: str, *, claim: str = "home-ada", uid: str = "c-1") -> None:
        container = {"name": "notebook", "volumeMounts": [{"name": "h", "mountPath": "/home/ada"}]}
        volume = {"name": "h", "persistentVolumeClaim": {"claimName": claim}}
        self.rows["pods"].append(
            {
                "metadata": {"name": name, "uid": f"uid-of-{name}"},
                "spec": {"containers": [container], "volumes": [volume], "nodeName": "n"},
                "status": {"phase": "Running"},
            }
        )
        self.rows["persistentvolumeclaims"] = [{"metadata": {"name": claim, "uid": uid}}]


def as_pod(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    space: Namespace,
    pod: str,
    work: Callable[[KubernetesEngine], Coroutine[Any, Any, Any]],
    **settings: Any,
) -> Any:
    monkeypatch.setattr(source_module, "own", lambda: Own(pod))
    monkeypatch.setenv("HOME", "/home/ada")

    async def go() -> Any:
        paths = ["/api/v1/namespaces/a/{kind}", "/api/v1/namespaces/a/{kind}/{name}"]
        async with serving(folder, [(path, space.answer) for path in paths]):
            engine = KubernetesEngine(
                kubeconfig=str(folder / "kubeconfig"), namespace="a", **settings
            )
            try:
                return await work(engine)
            finally:
                await engine.close()

    return asyncio.run(go())


def test_a_notebook_is_known_by_its_name_and_home_and_by_nothing_that_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def identity(pod: str, **told: str) -> str:
        space = Namespace()
        space.notebook(pod, **told)
        return str(as_pod(tmp_path, monkeypatch, space, pod, KubernetesEngine.identity))

    ada = identity("ada-6b7f9d5c4d-x2x7z")
    assert identity("ada-7f8c6d9b5-kq4wd") == ada
    assert identity("ada-6b7f9d5c4d-x2x7z", uid="c-2") != ada  # somebody else's, of that name
    assert identity("ada--gpu") != ada  # the same home, beside it
    space = Namespace()
    said = as_pod(tmp_path, monkeypatch, space, "x", KubernetesEngine.identity, notebook="mine")
    assert len(said) == 16 and said != ada
    assert as_pod(tmp_path, monkeypatch, space, "", KubernetesEngine.identity) == ""


def test_what_two_pods_of_one_notebook_made_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Namespace()
    space.notebook("ada-6b7f9d5c4d-x2x7z")
    space.notebook("ada-6b7f9d5c4d-kq4wd")

    async def look(engine: KubernetesEngine) -> None:
        with pytest.raises(SourceUnusable, match="ada-6b7f9d5c4d-kq4wd is another pod"):
            await engine.owned("ada@1")
        space.rows["pods"][1]["metadata"]["deletionTimestamp"] = "now"
        assert await engine.launched("ada@1") == []

    as_pod(tmp_path, monkeypatch, space, "ada-6b7f9d5c4d-x2x7z", look)


def service(**changes: Any) -> Json:
    container = {
        "name": "notebook",
        "image": OWN_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "workingDir": "/home/ada/detector",
        "volumeMounts": [
            {"name": "token", "mountPath": "/run/secxops"},
            {"name": "volume-0", "mountPath": "/home/ada/detector"},
            {"name": "volume-0", "mountPath": "/home/ada/detector/src", "subPath": "src"},
        ],
        **changes.pop("container", {}),
    }
    claim = {"claimName": f"secxops-{ID}-code"}
    volumes = [
        {"name": "token", "secret": {}},
        {"name": "volume-0", "persistentVolumeClaim": claim},
    ]
    pod = {"metadata": {}, "spec": {"containers": [container], "volumes": volumes}}
    annotations = {"secxops.io/title": "detector", "secxops.io/pod": json.dumps(pod)}
    metadata = {
        "name": f"secxops-{ID}",
        "creationTimestamp": "2026-11-24T12:00:00Z",
        "labels": {"secxops.io/migration": ID},
        "annotations": annotations,
        **changes,
    }
    return {"metadata": metadata}


def test_a_service_tells_of_its_share() -> None:
    found = launched_of(service(), None, images_of("ada@1"))

    assert found is not None and found.name == "detector"
    assert [(m.volume, m.path) for m in found.mounts] == [
        (f"secxops-{ID}-code", "/home/ada/detector")
    ]
    assert found.image == {
        "reference": OWN_IMAGE,
        "digest": "sha256:12",
        "size": 0,
        "pushed": True,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"annotations": {}},
        {"annotations": {"secxops.io/title": "x", "secxops.io/pod": "{"}},
        {"annotations": {"secxops.io/title": "x", "secxops.io/pod": "[]"}},
        {"labels": {"secxops.io/migration": "../../etc"}, "name": "secxops-../../etc"},
        {"name": "secxops-mother2222"},
        {"creationTimestamp": "soon"},
        {"container": {"volumeMounts": None}},
    ],
)
def test_a_service_that_says_anything_else_is_no_share(changes: Json) -> None:
    assert launched_of(service(**changes), None, images_of("ada@1")) is None


@pytest.mark.parametrize(
    "image",
    [
        "registry.example.org/tools@sha256:12",
        f"registry.example.org/shares/{images_of('bob@1')}/x@sha256:12",
    ],
)
def test_somebody_elses_image_is_not_deleted_whatever_a_service_says(image: str) -> None:
    found = launched_of(service(container={"image": image}), None, images_of("ada@1"))
    assert found is not None and not found.image["pushed"]


@pytest.mark.parametrize(
    ("said", "token"), [(b"a" * 43 + b"\n", "a" * 43), (b"no such file", ""), (b"\xff" * 30, "")]
)
def test_only_a_token_is_taken_for_one(said: bytes, token: str) -> None:
    assert token_of(said) == token
