"""Where pods beside a source go: to its node, by the label that it has and not by its name."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from jupyter_secxops_migrate.engines.kubernetes.engine import KubernetesEngine
from jupyter_secxops_migrate.engines.kubernetes.errors import ClusterForbidden
from jupyter_secxops_migrate.engines.names import Names
from jupyter_secxops_migrate.engines.orders import ImageInfo, LookOrder, VerifyOrder, VolumeCheck
from jupyter_secxops_migrate.placement.nodes import HOSTNAME

from .apiserver import serving

Json = dict[str, Any]
SOURCE = {
    "metadata": {"name": "alice", "uid": "u"},
    "spec": {
        "nodeName": "node-1",
        "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}],
        "containers": [
            {
                "name": "notebook",
                "env": [{"name": "HOME", "value": "/home/j"}],
                "volumeMounts": [{"name": "home", "mountPath": "/home/j"}],
            }
        ],
    },
    "status": {"phase": "Running"},
}
FORBIDDEN = {"kind": "Status", "message": "it is forbidden", "code": 403}


class Server:
    """Has a source and its node; takes note of the pods that are to be, and lets none be."""

    def __init__(self, labels: Json | None) -> None:
        self.node = {"metadata": {"name": "node-1", "resourceVersion": "1", "labels": labels}}
        self.lists = 0
        self.pods: list[Json] = []

    async def source(self, request: web.Request) -> web.Response:
        return web.json_response(SOURCE)

    async def nodes(self, request: web.Request) -> web.Response:
        if self.node["metadata"]["labels"] is None:
            return web.json_response(FORBIDDEN, status=403)
        if request.query.get("watch") == "true":
            await asyncio.sleep(60)
        self.lists += 1
        metadata = {"resourceVersion": "1"}
        return web.json_response({"metadata": metadata, "items": [self.node]})

    async def pod(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            spec = (await request.json())["spec"]
            self.pods.append(spec["template"]["spec"] if "template" in spec else spec)
        return web.json_response(FORBIDDEN, status=403)


def asked(folder: Path, server: Server, *calls: Callable[[KubernetesEngine], Awaitable[Any]]):
    """The specs of the pods that the calls want to have."""

    async def go() -> list[Json]:
        handlers = [
            ("/api/v1/nodes", server.nodes),
            ("/api/v1/namespaces/team/pods/alice", server.source),
            ("/api/v1/namespaces/team/pods", server.pod),
            ("/apis/batch/v1/namespaces/team/jobs", server.pod),
        ]
        async with serving(folder, handlers):
            engine = KubernetesEngine(
                kubeconfig=str(folder / "kubeconfig"), namespace="team", source_pod="alice"
            )
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_callback(engine.close)
                for call in calls:
                    with pytest.raises(ClusterForbidden):
                        await asyncio.wait_for(call(engine), 20)
        return server.pods

    return asyncio.run(go())


async def look(engine: KubernetesEngine) -> None:
    await engine.look(LookOrder("anne", "/home/j/p"))


async def verify(engine: KubernetesEngine) -> None:
    check = VolumeCheck(Names("mabc").volume("code"), Path("code.b3"))
    async for _ in engine.verify(VerifyOrder("mabc", "anne", [check])):
        pass


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({HOSTNAME: "node-1.example.org"}, "node-1.example.org"),
        ({}, "node-1"),
        (None, "node-1"),  # nodes can't be seen
    ],
)
def test_jobs_go_by_the_label_of_the_sources_node(
    tmp_path: Path, labels: Json | None, expected: str
) -> None:
    server = Server(labels)
    looking, checking = asked(tmp_path, server, look, verify)
    assert looking["nodeSelector"] == {HOSTNAME: expected}
    [wish] = checking["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    [here] = wish["preference"]["matchExpressions"]
    assert (here["key"], here["values"]) == (HOSTNAME, [expected])
    assert server.lists == (labels is not None)


@pytest.mark.parametrize("selector", [{HOSTNAME: "node-1.example.org"}, {"arch": "arm64"}, {}])
def test_an_image_is_tried_where_its_environment_may_be(tmp_path: Path, selector: Json) -> None:
    async def probe(engine: KubernetesEngine) -> None:
        terms = {"nodeSelector": selector, "affinity": {"podAntiAffinity": {}}}
        await engine.probe("mabc", "anne", ImageInfo("sha256:1", 0), "r/p:1", terms)

    [trying] = asked(tmp_path, Server({}), probe)
    assert trying.get("nodeSelector", {}) == selector
