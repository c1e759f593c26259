"""What a cluster learns from an image: whether its entrypoint runs what it is given, in one pod."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from aiohttp import web

from jupyter_secxops_migrate.engines.errors import ImageWithoutJupyter
from jupyter_secxops_migrate.engines.kubernetes import objects, probe
from jupyter_secxops_migrate.engines.kubernetes.engine import KubernetesEngine
from jupyter_secxops_migrate.engines.kubernetes.place import source_pod
from jupyter_secxops_migrate.engines.kubernetes.settings import KubernetesSettings
from jupyter_secxops_migrate.engines.orders import ImageInfo, ImageProbe, LaunchOrder
from jupyter_secxops_migrate.engines.probing import probe_words

from .apiserver import ApiServer, serving

Json = dict[str, Any]
SOURCE: Json = {
    "metadata": {"name": "alice", "uid": "u", "namespace": "a"},
    "spec": {"nodeName": "n", "containers": [{"name": "notebook"}]},
    "status": {"phase": "Running"},
}
RUNS = '#!/bin/sh\necho activated\nexec "$@"\n'
PRINTS = '#!/bin/sh\necho "$@"\n'
SERVES = ""


class Node(ApiServer):
    """Runs the containers of one pod at once, on this machine; ``entrypoint`` is the image's."""

    def __init__(self, folder: Path, entrypoint: str) -> None:
        super().__init__()
        self.pods: list[Json] = []
        self.log: dict[str, str] = {}
        self.entrypoint = entrypoint
        self.script = folder / "entrypoint"
        self.script.write_text(entrypoint)
        self.script.chmod(0o755)

    async def source(self, _: web.Request) -> web.Response:
        return web.json_response(SOURCE)

    async def all(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            return await self.answer(request)
        body = await request.json()
        self.pods.append(body)
        rows = [self._run(container) for container in body["spec"]["containers"]]
        runs = any("running" in row["state"] for row in rows)
        phase = "Running" if runs else "Succeeded"
        status = {"phase": phase, "startTime": "x", "containerStatuses": rows}
        self.put(name := body["metadata"]["name"], "ADDED", status, **body["spec"])
        return web.json_response(self.objects[name])

    def _run(self, container: Json) -> Json:
        name = container["name"]
        if "command" not in container and self.entrypoint == SERVES:
            self.log[name] = "listening\n"
            return {"name": name, "state": {"running": {}}}
        words = container.get("command") or [str(self.script), *container["args"]]
        words = [word.replace("$$", "$") for word in words]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        self.log[name] = done.stdout
        return {"name": name, "state": {"terminated": {"exitCode": done.returncode}}}

    async def read(self, request: web.Request) -> web.Response:
        return web.Response(text=self.log[request.query["container"]])

    async def pod(self, request: web.Request) -> web.Response:
        found = self.objects.get(request.match_info["name"])
        if request.method == "DELETE":
            self.objects.pop(request.match_info["name"], None)
        return web.json_response(found or {}, status=200 if found else 404)


def looked_into(folder: Path, node: Node, image: ImageInfo) -> ImageProbe:
    async def go() -> ImageProbe:
        pods = "/api/v1/namespaces/a/pods"
        handlers = [
            (f"{pods}/alice", node.source),
            (pods, node.all),
            (f"{pods}/{{name}}", node.pod),
            (f"{pods}/{{name}}/log", node.read),
        ]
        async with serving(folder, handlers):
            engine = KubernetesEngine(
                kubeconfig=str(folder / "kubeconfig"), namespace="a", source_pod="alice"
            )
            try:
                return await engine.probe("mabc", "anne", image, "r.example.org/p:1", {})
            finally:
                await engine.close()

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("entrypoint", "words", "used"),
    [
        (RUNS, ["/entrypoint"], "runs"),
        (PRINTS, ["/entrypoint"], "bypassed"),
        (SERVES, ["/entrypoint"], "bypassed"),
        (RUNS, [], "none"),
        (RUNS, ["jupyter", "lab"], "jupyter"),
    ],
)
def test_an_entrypoint_is_tried_beside_the_look_in_the_same_pod(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    entrypoint: str,
    words: Sequence[str],
    used: str,
) -> None:
    monkeypatch.setattr(probe, "ENTRYPOINT_SECONDS", 0.1)
    node = Node(tmp_path, entrypoint)

    found = looked_into(tmp_path, node, ImageInfo("sha256:1", 0, entrypoint=words))

    assert found.entrypoint == used and found.uid >= 0
    (pod,) = node.pods
    tried = [row for row in pod["spec"]["containers"] if "args" in row]
    assert bool(tried) is (words == ["/entrypoint"])
    assert all("command" not in row for row in tried)
    # Its room is that of a Job, whatever it tries.
    cpus = [row["resources"]["requests"]["cpu"] for row in pod["spec"]["containers"]]
    assert cpus == (["5m", "5m"] if tried else ["10m"])
    assert not node.objects


def test_jupyterlab_is_found_by_the_images_own_command(tmp_path: Path) -> None:
    lab = tmp_path / "odd" / "jupyter-lab"
    lab.parent.mkdir()
    lab.write_text("#!/bin/sh\nexit 0\n")
    lab.chmod(0o755)
    image = ImageInfo("sha256:1", 0, command=[str(lab), "--ip=0.0.0.0"])

    assert looked_into(tmp_path, Node(tmp_path, RUNS), image).jupyter == [str(lab)]


def test_an_image_without_a_shell_is_told_so(tmp_path: Path) -> None:
    node = Node(tmp_path, SERVES)
    node._run = lambda row: {"name": row["name"], "state": {"terminated": {"exitCode": 128}}}  # type: ignore[method-assign]
    node.log = {"job": "", "entrypoint": ""}

    with pytest.raises(ImageWithoutJupyter):
        looked_into(tmp_path, node, ImageInfo("sha256:1", 0, entrypoint=["/entrypoint"]))


@pytest.mark.parametrize(("used", "through"), [("runs", True), ("bypassed", False)])
def test_an_environment_is_started_the_way_that_was_found(used: Any, through: bool) -> None:
    home = PurePosixPath("/home/j")
    jupyter = ImageProbe(1000, 100, home, home, ["jupyter", "lab"], used)
    order = LaunchOrder("mabc", "anne", "p", "sha256:1", "r/p:1", jupyter, [], "/p$(HOME)", "t")

    pod = objects.pod(order, KubernetesSettings(), "r/p@sha256:1", source_pod(SOURCE))

    (container,) = pod["spec"]["containers"]
    assert ("command" not in container) is through
    words = [*container.get("command", ()), *container["args"]]
    assert words[:2] == ["jupyter", "lab"]
    # A kubelet reads no name of a folder.
    assert words[-1] == "--ServerApp.root_dir=/p$$(HOME)"


def test_what_an_image_is_told_to_run_is_left_alone_by_kubelets() -> None:
    words = objects.unread(probe_words(["$(X)"]))
    assert words[-1] == "$$(X)" and "$$((6*7))" in words[2]
