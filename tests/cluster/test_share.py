"""The white paper's flow on a real cluster, by a person at a notebook in a pod.

The service runs in the notebook's pod with the rights of the operators' guide and no others; what
arrived is compared with what left by other means than the product's own.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from typing import Any

import pytest
from harness import faults
from harness.cluster import Cluster
from playwright.sync_api import expect, sync_playwright
from stage import DATA, PROJECT, Stage, codes, forwarded, nothing, state_of, until

GPU = "nvidia.com/gpu"
MEGABYTES = 300


@pytest.fixture
def files(cluster: Cluster) -> dict[str, str]:
    """A project that is built from an image of the cluster's registry."""
    return {
        "Dockerfile": f"FROM {cluster.images['jupyter']}\nCOPY tools.txt /opt/tools.txt\nRUN wc -l /opt/tools.txt\n",
        "tools.txt": "yara\nsigma\n",
        "detector.ipynb": '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
        "src/detector.py": "print('beacon')\n",
    }


def shared(stage: Stage, *more: str) -> Any:
    """Share the project and its data; return what the command line said."""
    code, said = stage.secxops("share", PROJECT, "--data", DATA, *more)
    assert code == 0, said["error"]
    return said


def check(stage: Stage, said: Any) -> None:
    """What arrived equals what left, and JupyterLab shows it."""
    assert said["state"] == "succeeded"
    evidence = said["result"]["evidence"]
    assert evidence["differences"] == 0
    assert evidence["bytes_equal"] > MEGABYTES * 10**6
    assert evidence["image_running"] == evidence["image_built"]
    pod = said["result"]["place"]["name"]
    for folder in (PROJECT, DATA):
        left = stage.tree("notebook", folder)
        assert len(left) > 1
        assert stage.tree(pod, folder) == left
    with forwarded(stage.cluster, said["result"]["connect"]) as port:
        opened(said["result"]["url"].replace(":8888/", f":{port}/"))
    # Independent: what is written there is not seen here.
    stage.run("sh", "-c", f"echo more >> {PROJECT}/tools.txt", pod=pod)
    assert stage.run("cat", f"{PROJECT}/tools.txt") == "yara\nsigma\n"


def opened(url: str) -> None:
    """Open JupyterLab and see the notebook in it."""
    chromium = os.environ.get("SECXOPS_CHROMIUM") or shutil.which("chromium")
    assert chromium, "no Chromium here; `apt install chromium`"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        page.goto(url)
        expect(page.get_by_role("region", name="File Browser Section")).to_contain_text(
            "detector.ipynb", timeout=60_000
        )
        browser.close()


def test_what_fits_stays_on_its_node_and_leaves_nothing_when_deleted(
    stage: Stage, files: dict[str, str]
) -> None:
    stage.notebook()
    stage.fill(files, MEGABYTES)

    began = time.monotonic()
    said = shared(stage, "--cpu", "0.2", "--memory", "256M")
    print(f"a share that stays took {time.monotonic() - began:.1f} s")

    assert (said["plan"]["route"], said["result"]["place"]["node"]) == ("stay", stage.cluster.here)
    assert codes(said)[0] == "fits_here"
    # These builders have no other way to the node's own store.
    assert state_of(said, "push") == "done"
    check(stage, said)
    pods = stage.get("pods", said["result"]["place"]["name"])
    assert pods["spec"]["nodeSelector"] == {"kubernetes.io/hostname": stage.cluster.here}
    assert pods["spec"]["containers"][0]["image"].endswith(said["result"]["image"]["digest"])
    deleted(stage, said)


def test_what_lacks_memory_moves_to_another_node(
    stage: Stage, files: dict[str, str], anywhere: str
) -> None:
    stage.notebook(anywhere)
    stage.fill(files, MEGABYTES)
    stage.occupy()

    began = time.monotonic()
    said = shared(stage, "--cpu", "0.2", "--memory", "4G")
    print(f"a share that moves took {time.monotonic() - began:.1f} s")

    assert said["plan"]["route"] == "move"
    assert said["result"]["place"]["node"] in stage.cluster.others
    assert codes(said)[:2] == ["node_short", "moves"]
    assert state_of(said, "push") == "done"
    placement = said["plan"]["placement"]
    assert 1 <= placement["fitting"] < placement["total"]
    assert placement["total"] == len(stage.cluster.get("nodes")["items"])
    check(stage, said)


def test_what_needs_a_gpu_moves_to_where_one_is(
    own: Cluster, stage: Stage, files: dict[str, str]
) -> None:
    faults.advertise(own, "node-2", GPU, 1)
    try:
        stage.notebook("shared")
        stage.fill(files, MEGABYTES)

        said = shared(stage, "--cpu", "0.2", "--memory", "256M", "--gpu", "1")

        assert (said["plan"]["route"], said["result"]["place"]["node"]) == ("move", "node-2")
        assert codes(said)[0] == "gpu_asked"
        pod = stage.get("pods", said["result"]["place"]["name"])
        assert pod["spec"]["containers"][0]["resources"]["limits"][GPU] == "1"
        check(stage, said)
        # There was one: the next has to be told so.
        code, refused = stage.secxops("share", PROJECT, "--gpu", "1")
        assert (code, refused["error"]["code"]) == (3, "refused")
        assert "no_node_fits" in refused["error"]["params"]["codes"]
    finally:
        faults.advertise(own, "node-2", GPU, 0)


def test_data_that_only_its_node_reaches_does_not_move(stage: Stage, files: dict[str, str]) -> None:
    stage.notebook()
    stage.fill(files)
    stage.occupy()

    code, said = stage.secxops("share", PROJECT, "--data", DATA, "--memory", "4G")

    assert (code, said["error"]["code"]) == (3, "refused")
    assert "volume" in said["error"]["message"] or "memory" in said["error"]["message"]
    assert stage.left(said["id"]) == []


def test_what_lies_on_no_claim_is_refused_with_the_reason(
    stage: Stage, files: dict[str, str]
) -> None:
    stage.notebook()
    stage.run(
        "sh", "-c", "mkdir -p /home/jovyan/loose && echo FROM x > /home/jovyan/loose/Dockerfile"
    )

    code, said = stage.secxops("share", "/home/jovyan/loose")

    assert (code, said["error"]["params"]["codes"]) == (3, ["not_on_claim"])
    assert PROJECT in said["error"]["params"]["hints"]


def test_a_node_that_fills_up_meanwhile_makes_a_second_plan(
    stage: Stage, files: dict[str, str], anywhere: str
) -> None:
    stage.notebook(anywhere)
    stage.fill(files, MEGABYTES)
    words = ("share", PROJECT, "--data", DATA, "--cpu", "0.2", "--memory", "4G", "--no-wait")
    code, queued = stage.secxops(*words)
    assert code == 0

    until(lambda: stage.step(queued["id"], "copy") != "waiting")
    stage.occupy()
    said = stage.end(queued["id"])

    assert said["state"] == "succeeded", said["error"]
    assert [plan["route"] for plan in said["plans"]] == ["stay", "move"]
    assert said["result"]["place"]["node"] in stage.cluster.others
    assert codes(said)[:2] == ["node_short", "moves"]


def test_a_pod_that_finds_no_room_here_moves_even_where_nodes_cannot_be_seen(
    cluster: Cluster,
    clients: Mapping[str, str],
    notebook_image: str,
    files: dict[str, str],
    anywhere: str,
) -> None:
    stage = Stage(cluster, clients, notebook_image, sight=False)
    try:
        stage.notebook(anywhere)
        stage.fill(files)
        stage.occupy()

        code, said = stage.secxops("share", PROJECT, "--cpu", "0.2", "--memory", "4G")

        assert code == 0, said["error"]
        assert [plan["route"] for plan in said["plans"]] == ["stay", "move"]
        assert [r["code"] for r in said["plans"][0]["reasons"]][:2] == ["here_unseen", "unseen"]
        assert codes(said)[0] == "stay_failed"
        assert said["result"]["place"]["node"] in stage.cluster.others
    finally:
        stage.close()


def test_a_version_is_what_image_and_code_get(stage: Stage, files: dict[str, str]) -> None:
    stage.notebook()
    stage.fill(files)
    git = (
        "git",
        "-C",
        PROJECT,
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "-c",
        "safe.directory=*",
    )
    stage.run(*git, "init", "-q")
    stage.run(*git, "add", ".")
    stage.run(*git, "commit", "-q", "-m", "one")
    stage.run("sh", "-c", f"echo later >> {PROJECT}/tools.txt")

    code, said = stage.secxops("share", PROJECT, "--version", "HEAD", "--memory", "256M")

    assert code == 0, said["error"]
    pod = said["result"]["place"]["name"]
    for path in (f"{PROJECT}/tools.txt", "/opt/tools.txt"):
        assert stage.run("cat", path, pod=pod) == files["tools.txt"]


def deleted(stage: Stage, said: Any) -> None:
    """Delete a share: within a minute nothing of it is left, and no tag in the registry."""
    assert len(stage.left(said["id"])) > 4
    stage.secxops("delete", said["id"], "--yes")
    nothing(lambda: stage.left(said["id"]))
