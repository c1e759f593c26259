"""JupyterLab in a container: the project lies on a mount of the container that we run in."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import docker
import pytest

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
SOCKET = "/var/run/docker.sock"
DEPENDENCIES = """\
FROM {lab}
USER root
COPY run.txt /tmp/run.txt
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/run.txt
"""


@pytest.fixture(scope="module")
def product_image(docker_client: docker.DockerClient, lab_image: str) -> str:
    """JupyterLab with all that the product needs; the product itself is mounted."""
    lock = (ROOT / "requirements" / "run.txt").read_bytes()
    text = DEPENDENCIES.format(lab=lab_image).encode()
    tag = f"secxops-test-product:{hashlib.sha256(lock + text).hexdigest()[:12]}"
    if not docker_client.images.list(name=tag):
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for name, body in (("Dockerfile", text), ("run.txt", lock)):
                entry = tarfile.TarInfo(name)
                entry.size = len(body)
                archive.addfile(entry, io.BytesIO(body))
        docker_client.images.build(
            fileobj=io.BytesIO(context.getvalue()),
            custom_context=True,
            tag=tag,
            network_mode=os.environ.get("SECXOPS_BUILD_NETWORK"),
            rm=True,
        )
    return tag


def metadata() -> Path:
    """The folder that says of this installation what it is."""
    found = distribution("jupyter-secxops-migrate")
    (entry,) = (f for f in found.files or () if f.name == "entry_points.txt")
    return Path(str(found.locate_file(entry))).parent


class Inside:
    """A person at a terminal of JupyterLab in a container."""

    def __init__(self, container: Any) -> None:
        self.container = container

    def run(self, *words: str) -> tuple[int, Any]:
        code, output = self.container.exec_run(
            ["python3", "-m", "jupyter_secxops_migrate", *words, "--json"], user="0", demux=True
        )
        out, err = (part or b"" for part in output)
        assert b"Traceback" not in err, err.decode()
        return code, json.loads(out) if out.strip() else None

    def sh(self, *command: str) -> str:
        code, output = self.container.exec_run(list(command), user="0")
        assert code == 0, output
        return str(output.decode())


@pytest.fixture
def inside(
    docker_client: docker.DockerClient, product_image: str, lab_image: str, tmp_path: Path
) -> Iterator[Inside]:
    on_host = tmp_path / "bound"
    on_host.mkdir()
    volume, data = (docker_client.volumes.create(labels={"secxops-test": "yes"}) for _ in range(2))
    container = docker_client.containers.run(
        product_image,
        ["sleep", "600"],
        detach=True,
        environment={
            "PYTHONPATH": "/product",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SECXOPS_TOOLS_BASE": os.environ.get("SECXOPS_TOOLS_BASE", "secxops-base:bookworm"),
            "SECXOPS_BUILD_NETWORK": os.environ.get("SECXOPS_BUILD_NETWORK", ""),
            "SECXOPS_DATA_DIR": "/srv/secxops",
        },
        nano_cpus=1_500_000_000,
        mem_limit="3g",
        tmpfs={"/scratch": ""},
        volumes={
            SOCKET: {"bind": SOCKET, "mode": "rw"},
            str(ROOT / "jupyter_secxops_migrate"): {
                "bind": "/product/jupyter_secxops_migrate",
                "mode": "ro",
            },
            # So that its entry points are found.
            str(metadata()): {"bind": f"/product/{metadata().name}", "mode": "ro"},
            str(on_host): {"bind": "/home/jovyan/bound", "mode": "rw"},
            volume.name: {"bind": "/home/jovyan/work", "mode": "rw"},
            data.name: {"bind": "/home/jovyan/work/mounted/detector/data", "mode": "rw"},
        },
    )
    try:
        made = Inside(container)
        dockerfile = f"FROM {lab_image}\\nWORKDIR /home/jovyan\\n"
        for folder in ("bound", "work/deep", "work/mounted", "layer"):
            path = f"/home/jovyan/{folder}/detector"
            made.sh("mkdir", "-p", path)
            made.sh("sh", "-c", f"printf '{dockerfile}' > {path}/Dockerfile; echo 1 > {path}/a.py")
        made.sh("cp", "-r", "/home/jovyan/layer/detector", "/scratch/detector")
        yield made
        _, shared = made.run("list")
        for migration in shared or ():
            made.run("delete", migration["id"], "--yes")
    finally:
        container.remove(force=True)
        volume.remove(force=True)
        data.remove(force=True)


@pytest.mark.parametrize("folder", ["/home/jovyan/bound", "/home/jovyan/work/deep"])
def test_a_project_on_a_mount_is_shared_to_where_it_was(
    inside: Inside, folder: str, docker_client: docker.DockerClient
) -> None:
    code, shared = inside.run("share", f"{folder}/detector")

    assert code == 0, shared
    assert shared["result"]["evidence"]["differences"] == 0
    assert [v["mount"] for v in shared["result"]["volumes"]] == [f"{folder}/detector"]
    launched = docker_client.containers.get(shared["result"]["place"]["name"])
    assert launched.exec_run(["cat", f"{folder}/detector/a.py"]).output == b"1\n"


def test_what_another_mount_holds_inside_the_project_is_named_and_taken_as_data(
    inside: Inside, docker_client: docker.DockerClient
) -> None:
    project = "/home/jovyan/work/mounted/detector"
    inside.sh("sh", "-c", f"echo domains > {project}/data/domains.csv")

    code, plan = inside.run("plan", project)
    assert code == 0, plan
    hidden = [w["params"]["path"] for w in plan["warnings"] if w["code"] == "mount_inside"]
    assert hidden == [f"{project}/data"]
    assert f"{project}/data" in [row["name"] for row in plan["not_copied"]]
    assert plan["copied"][0]["files"] == 2

    code, shared = inside.run("share", project, "--data", f"{project}/data")
    assert code == 0, shared
    assert "mount_inside" not in [w["code"] for w in shared["plan"]["warnings"]]
    assert [(v["mount"], v["files"]) for v in shared["result"]["volumes"]] == [
        (project, 2),
        (f"{project}/data", 1),
    ]
    launched = docker_client.containers.get(shared["result"]["place"]["name"])
    assert launched.exec_run(["cat", f"{project}/data/domains.csv"]).output == b"domains\n"


def test_the_environment_is_the_container(inside: Inside) -> None:
    code, seen = inside.run("check", "/home/jovyan/bound/detector")

    assert code == 0, seen
    assert seen["kind"] == "container" and seen["container"] == inside.container.name
    assert seen["cpu"] == 1.5 and seen["memory"] == 3 * 1024**3


@pytest.mark.parametrize("folder", ["/home/jovyan/layer", "/scratch"])
def test_a_project_that_nothing_else_can_reach_is_refused(inside: Inside, folder: str) -> None:
    code, shared = inside.run("share", f"{folder}/detector")

    assert code == 3, shared
    refusal = shared["plan"]["refusals"][0]
    assert refusal["code"] == "on_container_layer"
    assert "/home/jovyan/work" in refusal["hint"]
