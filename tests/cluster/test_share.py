"""The white paper's flow on a real cluster, by a person at the sidebar of a notebook in a pod.

The service runs in the notebook's pod with the rights of the operators' guide and no others; what
arrived is compared with what left by other means than the product's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import panel
import pytest
from harness import faults
from harness.cluster import Cluster
from playwright.sync_api import expect
from stage import DATA, PROJECT, Stage, codes, forwarded, nothing, state_of, until

GPU = "nvidia.com/gpu"
# Once as much as it takes a while to copy.
MANY_MEGABYTES, MEGABYTES = 300, 30


@pytest.fixture(scope="module")
def near(cluster: Cluster, clients: Mapping[str, str], notebook_image: str) -> Iterator[Stage]:
    """A notebook on volumes that only its node reaches."""
    found = Stage(cluster, clients, notebook_image)
    try:
        found.notebook()
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def far(
    cluster: Cluster, clients: Mapping[str, str], notebook_image: str, anywhere: str
) -> Iterator[Stage]:
    """A notebook on volumes that all nodes reach."""
    found = Stage(cluster, clients, notebook_image)
    try:
        found.notebook(anywhere)
        found.fill({}, MEGABYTES)
        yield found
    finally:
        found.close()


@pytest.fixture(autouse=True)
def gone(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test shared makes room for that of the next."""
    yield
    for name in ("near", "far"):
        if name in request.fixturenames:
            request.getfixturevalue(name).clear()


@pytest.fixture
def files(cluster: Cluster) -> dict[str, str]:
    """A project that is built from an image of the cluster's registry.

    Its image would have volumes over a part of the project and above the data.
    """
    return {
        "Dockerfile": f"FROM {cluster.images['jupyter']}\nCOPY tools.txt /opt/tools.txt\nRUN wc -l /opt/tools.txt\n"
        f'VOLUME ["{PROJECT}/src", "/data"]\n'
        'COPY activate.sh /opt/activate.sh\nENTRYPOINT ["/bin/sh", "/opt/activate.sh"]\n',
        "activate.sh": 'ACTIVATED=yes exec "$@"\n',
        "tools.txt": "yara\nsigma\n",
        "detector.ipynb": json.dumps(panel.NOTEBOOK),
        "src/detector.py": "print('beacon')\n",
    }


def check(stage: Stage, said: Any, megabytes: int = MEGABYTES) -> None:
    """What arrived equals what left, and JupyterLab shows it."""
    assert said["state"] == "succeeded"
    evidence = said["result"]["evidence"]
    assert evidence["differences"] == 0
    assert evidence["bytes_equal"] > megabytes * 10**6
    assert evidence["image_running"] == evidence["image_built"]
    pod = said["result"]["place"]["name"]
    assert said["result"]["image"]["entrypoint"] == "runs"
    assert "ACTIVATED=yes" in stage.run("cat", "/proc/1/environ", pod=pod).split("\0")
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
    with panel.chromium() as browser:
        page = browser.new_page()
        page.goto(url)
        expect(page.get_by_role("region", name="File Browser Section")).to_contain_text(
            "detector.ipynb", timeout=60_000
        )
        # It says that it is a copy.
        expect(page.get_by_role("region", name=re.compile("^Copy of "))).to_be_visible()


def taken_back(stage: Stage, said: Any) -> None:
    """A pod that is made anew has lost the record in its container's layer; the cluster has not."""
    _, told = stage.secxops("doctor")
    (store,) = (row for row in told["checks"] if row["name"] == "store")
    assert store["state"] == "warning" and "container's own layer" in store["message"]
    stage.cluster.call("-n", stage.namespace, "delete", "pod", "notebook", "--grace-period=1")
    stage.notebook()
    assert stage.secxops("list") == (0, [])
    code, removed = stage.secxops("sweep", "--remove")
    assert (code, removed) == (0, [])

    code, (back,) = stage.secxops("sweep", "--adopt")

    assert code == 0 and back["adopted"] and back["result"]["evidence"]["files_equal"] == 0
    shown = stage.show(said["id"])
    assert shown["name"] == said["name"] and shown["environment"]["status"] == "running"
    # The environment itself has told its token; which document was in front nobody knows any more.
    token, before = (found["result"]["url"].partition("?")[2] for found in (shown, said))
    assert token and token == before
    assert {v["mount"] for v in shown["result"]["volumes"]} == {PROJECT, DATA}


def test_what_fits_stays_on_its_node_and_leaves_nothing_when_deleted(
    near: Stage, files: dict[str, str]
) -> None:
    here = near.cluster.here
    near.fill(files, MANY_MEGABYTES)

    reasons = [f"Here, on node {here}"]
    said = panel.shared(near, "stay", ("0.25", "0"), f"Stays on node {here}", reasons)

    assert (said["plan"]["route"], said["result"]["place"]["node"]) == ("stay", here)
    assert codes(said)[0] == "fits_here"
    # These builders have no other way to the node's own store.
    assert state_of(said, "push") == "done"
    check(near, said, MANY_MEGABYTES)
    pods = near.get("pods", said["result"]["place"]["name"])
    assert pods["spec"]["nodeSelector"] == {"kubernetes.io/hostname": here}
    assert pods["spec"]["containers"][0]["image"].endswith(said["result"]["image"]["digest"])
    taken_back(near, said)
    deleted(near, said)


def test_what_lacks_memory_moves_to_another_node(far: Stage, files: dict[str, str]) -> None:
    far.fill(files)
    reasons = [f"It does not fit on node {far.cluster.here}: memory", "It moves: it fits on "]
    with far.occupied():
        said = panel.shared(far, "memory", ("4", "0"), panel.moves_to(far), reasons)

    assert said["plan"]["route"] == "move"
    assert said["result"]["place"]["node"] in far.cluster.others
    assert codes(said)[:2] == ["node_short", "moves"]
    assert state_of(said, "push") == "done"
    placement = said["plan"]["placement"]
    assert 1 <= placement["fitting"] < placement["total"]
    assert placement["total"] == len(far.cluster.get("nodes")["items"])
    check(far, said)


def test_what_needs_a_gpu_moves_to_where_one_is(
    own: Cluster, far: Stage, files: dict[str, str]
) -> None:
    far.fill(files)
    reasons = ["It asks for a GPU", "It moves: it fits on 1 of 2 nodes"]
    faults.advertise(own, "node-2", GPU, 1)
    try:
        said = panel.shared(far, "gpu", ("0.25", "1"), panel.moves_to(far), reasons)

        assert (said["plan"]["route"], said["result"]["place"]["node"]) == ("move", "node-2")
        assert codes(said)[0] == "gpu_asked"
        pod = far.get("pods", said["result"]["place"]["name"])
        assert pod["spec"]["containers"][0]["resources"]["limits"][GPU] == "1"
        check(far, said)
        # There was one: the next has to be told so.
        code, refused = far.secxops("share", PROJECT, "--gpu", "1")
        assert (code, refused["error"]["code"]) == (3, "refused")
        assert "no_node_fits" in refused["error"]["params"]["codes"]
    finally:
        faults.advertise(own, "node-2", GPU, 0)


def test_a_node_that_fills_up_meanwhile_makes_a_second_plan(
    far: Stage, files: dict[str, str]
) -> None:
    far.fill(files)
    words = ("share", PROJECT, "--data", DATA, "--cpu", "0.2", "--memory", "4G", "--no-wait")
    code, queued = far.secxops(*words)
    assert code == 0

    until(lambda: far.step(queued["id"], "copy") != "waiting")
    with far.occupied():
        said = far.end(queued["id"])

    assert said["state"] == "succeeded", said["error"]
    assert [plan["route"] for plan in said["plans"]] == ["stay", "move"]
    assert said["result"]["place"]["node"] in far.cluster.others
    assert codes(said)[:2] == ["node_short", "moves"]


def test_a_pod_that_finds_no_room_here_moves_even_where_nodes_cannot_be_seen(
    far: Stage, files: dict[str, str]
) -> None:
    far.fill(files)
    with far.unseen(), far.occupied():
        code, said = far.secxops("share", PROJECT, "--cpu", "0.2", "--memory", "4G")

    assert code == 0, said["error"]
    assert [plan["route"] for plan in said["plans"]] == ["stay", "move"]
    assert [r["code"] for r in said["plans"][0]["reasons"]][:2] == ["here_unseen", "unseen"]
    assert codes(said)[0] == "stay_failed"
    assert said["result"]["place"]["node"] in far.cluster.others


def test_data_that_only_its_node_reaches_does_not_move(near: Stage, files: dict[str, str]) -> None:
    near.fill(files)
    with near.occupied():
        code, said = near.secxops("share", PROJECT, "--data", DATA, "--memory", "4G")

    assert (code, said["error"]["code"]) == (3, "refused")
    assert "volume" in said["error"]["message"] or "memory" in said["error"]["message"]
    assert near.left(said["id"]) == []


def test_what_lies_on_no_claim_is_refused_with_the_reason(near: Stage) -> None:
    near.run(
        "sh", "-c", "mkdir -p /home/jovyan/loose && echo FROM x > /home/jovyan/loose/Dockerfile"
    )

    code, said = near.secxops("share", "/home/jovyan/loose")

    assert (code, said["error"]["params"]["codes"]) == (3, ["not_on_claim"])
    assert PROJECT in said["error"]["params"]["hints"]


def test_a_version_is_what_image_and_code_get(near: Stage, files: dict[str, str]) -> None:
    near.fill(files)
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    git = ("git", "-C", PROJECT, *who, "-c", "safe.directory=*")
    near.run(*git, "init", "-q")
    try:
        near.run(*git, "add", ".")
        near.run(*git, "commit", "-q", "-m", "one")
        near.run("sh", "-c", f"echo later >> {PROJECT}/tools.txt")

        code, said = near.secxops("share", PROJECT, "--version", "HEAD", "--memory", "256M")

        assert code == 0, said["error"]
        pod = said["result"]["place"]["name"]
        for path in (f"{PROJECT}/tools.txt", "/opt/tools.txt"):
            assert near.run("cat", path, pod=pod) == files["tools.txt"]
    finally:
        near.run("rm", "-rf", f"{PROJECT}/.git")


def deleted(stage: Stage, said: Any) -> None:
    """Delete a share: within a minute nothing of it is left, and no tag in the registry."""
    assert len(stage.left(said["id"])) > 4
    stage.secxops("delete", said["id"], "--yes")
    nothing(lambda: stage.left(said["id"]))
