"""One share on Podman, through its Docker-compatible API, from the plan to the end of the copy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from .conftest import LABEL, Person, Project
from .private_podman import private_podman
from .test_share import api, fetch

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def endpoint(bare_image: str, lab_image: str) -> Iterator[str]:
    if shutil.which("podman") is None:
        pytest.fail("podman is not here; `make soak` installs it")
    with private_podman([bare_image, lab_image]) as found:
        yield found


@pytest.mark.timeout(600)
def test_a_share_from_plan_to_delete(
    endpoint: str, person: Person, project: Project, data: Path
) -> None:
    person.env["DOCKER_HOST"] = endpoint
    engine = docker.DockerClient(base_url=endpoint, timeout=60)

    checks = {it["name"]: it for it in person.ok("doctor")["checks"]}
    assert checks["engine"]["message"].startswith("Podman ")
    plan = person.ok("plan", str(project.path), "--data", str(data))
    assert (plan["route"], plan["refusals"]) == ("stay", [])

    shared = person.ok("share", str(project.path), "--data", str(data), timeout=400)
    evidence = shared["result"]["evidence"]
    assert (shared["state"], evidence["differences"]) == ("succeeded", 0)
    assert evidence["image_built"] == evidence["image_running"]
    assert shared["result"]["volumes"][1]["files"] == 204
    found = person.ok("show", shared["id"])
    listing = json.loads(fetch(api(found["result"]["url"], "/api/contents/")))
    assert {"train.py", "notebooks"} <= {entry["name"] for entry in listing["content"]}
    host = engine.containers.get(shared["result"]["place"]["name"]).attrs["HostConfig"]
    assert host["PidsLimit"] == 4096 and not host["Privileged"]

    assert person.ok("stop", shared["id"])["environment"]["status"] == "stopped"
    assert person.ok("start", shared["id"])["environment"]["status"] in ("starting", "running")
    person.ok("delete", shared["id"], "--yes")
    left = engine.containers.list(all=True, filters={"label": LABEL})
    assert (left, engine.volumes.list(filters={"label": LABEL})) == ([], [])
    engine.close()


@pytest.mark.timeout(600)
def test_a_build_that_fails_names_its_line(
    endpoint: str, person: Person, project: Project, lab_image: str
) -> None:
    person.env["DOCKER_HOST"] = endpoint
    project.write(
        "Dockerfile",
        f"FROM {lab_image} AS a\nCOPY . /secret\nFROM {lab_image}\nCOPY --from=a /secret /x\nRUN false\n",
    )
    engine = docker.DockerClient(base_url=endpoint, timeout=60)
    before = {row["Id"] for row in engine.api.images(all=True)}

    failed = person.run("share", str(project.path), "--json", timeout=300).json

    assert (failed["error"]["code"], failed["error"]["params"]["line"]) == ("build_failed", 5)
    # Podman labels every layer.
    ours = engine.api.images(all=True, filters={"label": [LABEL, "secxops.io/role=environment"]})
    assert {row["Id"] for row in ours} <= before
    engine.close()
