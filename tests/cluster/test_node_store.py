"""Images that stay where they are built: builders that share the image store of their nodes.

All on node-1, whose kubelet asks as kubelets do by default for the password of an image that it
finds there. The other way, by the registry, is what `test_share` goes.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import stage as stage_module
from harness import faults
from harness.cluster import Cluster
from harness.node import STRICT
from stage import DATA, PROJECT, Stage, state_of, until

BUILDERS = "secxops-build-store"
KUBELET = 10248
"""The port of every kubelet on its node's loopback address."""


@pytest.fixture(scope="module")
def store_clients(cluster: Cluster) -> Iterator[Mapping[str, str]]:
    """The guide's builders with the containerd worker, in a namespace of their own."""
    if not cluster.own:
        pytest.skip(
            "gives builders the containerd of their nodes; KUBECONFIG names a cluster not ours"
        )
    yield stage_module.builders(cluster, "builder-containerd", BUILDERS)
    cluster.call("delete", "namespace", BUILDERS, "--wait=false")


@pytest.fixture(scope="module")
def stage(
    cluster: Cluster, store_clients: Mapping[str, str], notebook_image: str
) -> Iterator[Stage]:
    found = Stage(cluster, store_clients, notebook_image, builders=BUILDERS)
    try:
        found.notebook("shared", node=STRICT)
        found.fill({}, 50)
        yield found
    finally:
        found.close()


@pytest.fixture
def project(cluster: Cluster) -> dict[str, str]:
    """One whose image has no layer in common with another test's but its base."""
    mark = str(time.time_ns())
    return {
        "Dockerfile": f"FROM {cluster.images['jupyter']}\nCOPY mark.txt /opt/mark.txt\n"
        f"RUN {to('127.0.0.1', KUBELET)} && exit 1; {to(*registry_of(cluster))}\n"
        'ENTRYPOINT ["/usr/bin/env", "--"]\n',
        "mark.txt": mark,
        "detector.ipynb": '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    }


def to(host: str, port: int) -> str:
    """A command that succeeds where this can be reached."""
    return f"python3 -c \"import socket; socket.create_connection(('{host}', {port}), 5)\""


def registry_of(cluster: Cluster) -> tuple[str, int]:
    assert cluster.registry is not None
    host, _, port = cluster.registry.address.rpartition(":")
    return host, int(port)


def registry(cluster: Cluster, path: str) -> Any:
    """Ask the registry by its own API; None where it knows nothing of it."""
    assert cluster.registry is not None
    there = cluster.registry
    password = b64encode(f"{there.user}:{there.password}".encode()).decode()
    request = urllib.request.Request(
        f"https://{there.address}/v2/{path}", headers={"Authorization": f"Basic {password}"}
    )
    context = ssl.create_default_context(cafile=there.ca)
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def in_registry(cluster: Cluster, reference: str) -> list[str]:
    """The tags of an image's repository, the layer cache's too."""
    repository = reference.partition("/")[2].rpartition(":")[0]
    found = registry(cluster, f"{repository}/tags/list")
    return sorted((found or {}).get("tags") or ())


def runs_what_was_built(stage: Stage, said: Any, project: Mapping[str, str]) -> None:
    """The pod runs the image that was built, and none that is called the same."""
    digest = said["result"]["image"]["digest"]
    pod = stage.get("pod", said["result"]["place"]["name"])
    assert pod["spec"]["containers"][0]["image"].endswith(f"@{digest}")
    assert pod["status"]["containerStatuses"][0]["imageID"].endswith(f"@{digest}")
    evidence = said["result"]["evidence"]
    assert evidence["image_running"] == evidence["image_built"] == digest
    name = said["result"]["place"]["name"]
    assert stage.run("cat", "/opt/mark.txt", pod=name) == project["mark.txt"]
    assert said["result"]["image"]["size"] > 10**7
    assert said["result"]["image"]["entrypoint"] == "runs"


def test_what_stays_is_in_its_nodes_store_and_in_no_registry(
    stage: Stage, project: dict[str, str], cluster: Cluster
) -> None:
    stage.fill(project)
    # What the build must not reach is there.
    (holder,) = (str(node.pid) for node in cluster.nodes if node.name == STRICT)
    inside = ["nsenter", "-t", holder, "-n", "sh", "-c", to("127.0.0.1", KUBELET)]
    subprocess.run(inside, check=True)

    code, said = stage.secxops("share", PROJECT, "--data", DATA, "--memory", "256M")

    assert code == 0, said["error"]
    assert (said["plan"]["route"], said["result"]["place"]["node"]) == ("stay", STRICT)
    assert state_of(said, "push") == "skipped"
    runs_what_was_built(stage, said, project)
    pod = stage.get("pod", said["result"]["place"]["name"])
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "Never"
    reference = said["result"]["image"]["reference"]
    assert in_registry(cluster, reference) == []

    # Another of the same name, size and time, as far as a builder can see.
    project["mark.txt"] = project["mark.txt"][::-1]
    stage.fill(project)
    code, second = stage.secxops("share", PROJECT, "--memory", "256M", "--name", "second")
    assert code == 0, second["error"]
    runs_what_was_built(stage, second, project)

    stage.clear()


def test_what_has_to_move_after_all_is_pushed_then(
    stage: Stage, project: dict[str, str], cluster: Cluster
) -> None:
    stage.fill(project)
    words = ("share", PROJECT, "--data", DATA, "--cpu", "0.2", "--memory", "4G", "--no-wait")
    code, queued = stage.secxops(*words)
    assert code == 0, queued

    until(lambda: stage.step(queued["id"], "copy") != "waiting")
    with stage.occupied(STRICT):
        # A push goes on, too, when the service is killed meanwhile.
        job = f"secxops-{queued['id']}-job-push"
        program = "jupyter_secxops_migrate.copying.job run"
        held = faults.freeze(cluster, stage.namespace, job, program)
        stage.kill_service()
        held.thaw()
        said = stage.end(queued["id"], seconds=180)

    assert said["state"] == "succeeded", said["error"]
    assert [plan["route"] for plan in said["plans"]] == ["stay", "move"]
    assert said["result"]["place"]["node"] == "node-2"
    assert state_of(said, "push") == "done"
    runs_what_was_built(stage, said, project)
    reference = said["result"]["image"]["reference"]
    assert in_registry(cluster, reference) == [reference.rpartition(":")[2]]

    code, gone = stage.secxops("delete", said["id"], "--yes")
    assert code == 0, gone
    assert in_registry(cluster, reference) == []


def test_without_a_registry_what_fits_stays_and_what_does_not_is_refused(
    cluster: Cluster,
    store_clients: Mapping[str, str],
    notebook_image: str,
    project: dict[str, str],
) -> None:
    stage = Stage(
        cluster,
        store_clients,
        notebook_image,
        builders=BUILDERS,
        more={"Registries": {"named": {}}},
    )
    try:
        stage.notebook("shared", node=STRICT)
        stage.fill(project)
        code, said = stage.secxops("share", PROJECT, "--memory", "256M")
        assert code == 0, said["error"]
        assert (state_of(said, "push"), said["result"]["place"]["node"]) == ("skipped", STRICT)
        runs_what_was_built(stage, said, project)
        code, gone = stage.secxops("delete", said["id"], "--yes")
        assert code == 0, gone

        with stage.occupied(STRICT):
            code, said = stage.secxops("share", PROJECT, "--memory", "4G")
        assert (code, said["error"]["params"]["codes"]) == (3, ["registry_missing"])
    finally:
        stage.close()
