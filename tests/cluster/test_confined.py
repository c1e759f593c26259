"""Shares on a real cluster whose nodes are full, and of notebooks that an admin confined."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from harness.cluster import Cluster
from stage import DATA, PROJECT, Stage, codes

PRIORITY = "secxops-test-users"


@pytest.fixture(scope="module")
def busy(
    cluster: Cluster, clients: Mapping[str, str], notebook_image: str, anywhere: str
) -> Iterator[Stage]:
    """A notebook on volumes that all nodes reach, whose service has ten shares under way at once."""
    service = {"SecxopsService": {"engine": "kubernetes", "workers": 10}}
    stage = Stage(cluster, clients, notebook_image, more=service)
    try:
        stage.notebook(anywhere)
        dockerfile = f"FROM {cluster.images['jupyter']}\n"
        stage.fill({"Dockerfile": dockerfile, "a.py": "1\n"}, 10)
        yield stage
    finally:
        stage.close()


@pytest.fixture(autouse=True)
def room(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test shared makes room for that of the next."""
    yield
    if "busy" in request.fixturenames:
        request.getfixturevalue("busy").clear()


def test_a_full_node_gives_an_environment_away(busy: Stage) -> None:
    with busy.occupied(cpu=15):
        code, said = busy.secxops("share", PROJECT, "--data", DATA, "--cpu", "0.2")

        assert (code, said["state"]) == (0, "succeeded"), said
        assert said["plan"]["route"] == "move"
        assert said["result"]["place"]["node"] in busy.cluster.others
        assert "image_pushed" in codes(said)


@pytest.mark.parametrize("count", [5, pytest.param(10, marks=pytest.mark.soak)])
def test_shares_at_once_from_a_node_that_is_nearly_full_all_end_well(
    busy: Stage, count: int
) -> None:
    with busy.occupied(cpu=50):
        made = []
        for number in range(count):
            words = ("--data", DATA, "--cpu", "0.1", "--memory", "256M", f"--name=n{number}")
            code, said = busy.secxops("share", PROJECT, *words, "--no-wait")
            assert code == 0, said
            made.append(said["id"])

        found = [busy.end(migration, 600) for migration in made]
        assert [(row["state"], row["error"]) for row in found] == [("succeeded", None)] * count
        assert {row["plan"]["route"] for row in found} == {"move"}
        assert {row["result"]["place"]["node"] for row in found} <= set(busy.cluster.others)


def test_a_node_without_room_for_one_job_is_told_of_in_the_plan(busy: Stage) -> None:
    with busy.occupied(cpu=5):
        code, said = busy.secxops("plan", PROJECT, "--cpu", "0.2")
        assert [row["code"] for row in said["refusals"]] == ["no_room_for_jobs"]
        assert code == 3


@pytest.fixture
def priority(cluster: Cluster) -> Iterator[str]:
    body: dict[str, Any] = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": PRIORITY},
        "value": 10,
    }
    cluster.call("apply", "-f", "-", given=[body])
    yield PRIORITY
    cluster.call("delete", "priorityclass", PRIORITY, "--ignore-not-found")


def test_a_confined_notebook_has_a_copy_that_is_confined_alike(stage: Stage, priority: str) -> None:
    here = {"key": "kubernetes.io/hostname", "operator": "Exists"}
    required = {"nodeSelectorTerms": [{"matchExpressions": [here]}]}
    confined: dict[str, Any] = {
        "priorityClassName": priority,
        "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["packages.example.org"]}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
    }
    groups = {"runAsGroup": 1234, "supplementalGroups": [2345]}
    stage.notebook(spec=confined, security=groups)
    dockerfile = f"FROM {stage.cluster.images['jupyter']}\n"
    stage.fill({"Dockerfile": dockerfile, "a.py": "1\n"})
    stage.run("chmod", "g-rwx,o-rwx", f"{PROJECT}/a.py")

    code, said = stage.secxops("share", PROJECT, "--cpu", "0.2", "--memory", "256M")

    assert (code, said["state"]) == (0, "succeeded"), json.dumps(said)[:2000]
    name = said["result"]["place"]["name"]
    spec = stage.get("pods", name)["spec"]
    assert spec["priorityClassName"] == priority
    assert spec["hostAliases"] == confined["hostAliases"]
    nodes = spec["affinity"]["nodeAffinity"]
    assert nodes["requiredDuringSchedulingIgnoredDuringExecution"] == required
    assert spec["securityContext"]["supplementalGroups"] == [2345, 100]
    assert stage.run("id", "-g", pod=name).strip() == "1234"
    assert stage.run("cat", f"{PROJECT}/a.py", pod=name) == "1\n"
