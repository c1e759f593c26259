"""What a share on a cluster is refused, or fails with, by no fault of the cluster's.

Each time: the code, where the trouble is, what to do now; and nothing of it is left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from harness.cluster import Cluster
from stage import PROJECT, Stage

Staged = Callable[..., Stage]


@pytest.fixture
def staged(cluster: Cluster, clients: Mapping[str, str], notebook_image: str) -> Iterator[Staged]:
    """Make namespaces with settings of their own, each with a notebook at work."""
    made: list[Stage] = []

    def make(user: int | None = 1000, **more: Mapping[str, Any]) -> Stage:
        found = Stage(cluster, clients, notebook_image, more=more)
        made.append(found)
        found.notebook(user=user)
        return found

    yield make
    for found in made:
        found.close()


def dockerfile(stage: Stage, text: str) -> None:
    stage.fill({"Dockerfile": text, "a.py": "1\n"})


def failed(stage: Stage, code: str) -> Any:
    """Share, and return the error; nothing is left of it."""
    status, said = stage.secxops("share", PROJECT)
    assert (status, said["error"]["code"]) == (1, code), said
    assert said["error"]["hint"]
    assert stage.left(said["id"]) == []
    return said["error"]


def checks(stage: Stage) -> dict[str, Any]:
    """What ``doctor`` says, by the name of the check."""
    _, said = stage.secxops("doctor")
    return {row["name"]: row for row in said["checks"]}


def test_a_dockerfile_that_no_builder_may_be_given(staged: Staged, cluster: Cluster) -> None:
    images, _, _ = cluster.images["jupyter"].rpartition("/")
    policy = {"allowed_bases": [f"{images}/*"], "remote_add": "refuse"}
    stage = staged(ResourcePolicy=policy)
    base = f"FROM {cluster.images['jupyter']}\n"
    for line, text in (
        (1, "FROM elsewhere.example.org/python:3.12\n"),
        (1, f"# syntax=docker/dockerfile:1\n{base}"),
        (1, f"# syntax=elsewhere.example.org/frontend\n{base}"),
        (2, f"{base}RUN --mount=type=secret,id=token cat /run/secrets/token\n"),
        (2, f"{base}ADD http://127.0.0.1/tool /usr/local/bin/tool\n"),
        (2, f"{base}COPY --from=elsewhere.example.org/tool /tool /tool\n"),
    ):
        dockerfile(stage, text)

        status, said = stage.secxops("share", PROJECT)

        assert (status, said["error"]["code"]) == (3, "refused"), text
        (refusal,) = said["plan"]["refusals"]
        assert (refusal["code"], refusal["params"]["line"]) == ("bad_dockerfile", line), text
        assert str(line) in refusal["hint"]
        assert stage.left(said["id"]) == []


def test_an_image_that_is_nowhere(staged: Staged, cluster: Cluster) -> None:
    assert cluster.registry is not None
    base = f"{cluster.registry.address}/secxops/nowhere:1"
    stage = staged()
    dockerfile(stage, f"FROM {base}\n")
    assert base in failed(stage, "base_image_missing")["message"]


def test_an_image_that_may_be_roots(staged: Staged, cluster: Cluster) -> None:
    stage = staged(user=None)
    dockerfile(stage, f"FROM {cluster.images['jupyter']}\nUSER root\n")
    assert "root" in failed(stage, "image_user_unknown")["params"]["reason"]
    dockerfile(stage, f"FROM {cluster.images['jupyter']}\nUSER jovyan\n")
    assert "jovyan" in failed(stage, "image_user_unknown")["params"]["reason"]


def test_a_tools_image_that_nodes_cannot_have(staged: Staged, cluster: Cluster) -> None:
    name, _, _ = cluster.images["tools"].partition("@")
    image = f"{name}@sha256:{64 * '0'}"
    stage = staged(KubernetesEngine={"tools_image": image})
    dockerfile(stage, f"FROM {cluster.images['jupyter']}\n")
    assert failed(stage, "image_unpullable")["params"]["image"] == image
    assert checks(stage)["tools image"]["state"] == "failed"


def test_an_account_that_may_not(staged: Staged, cluster: Cluster) -> None:
    stage = staged()
    dockerfile(stage, f"FROM {cluster.images['jupyter']}\n")
    assert {row["state"] for row in checks(stage).values()} == {"ok"}

    rules = stage.get("role", "secxops")["rules"]
    without = [row for row in rules if row["apiGroups"] != ["batch"]]
    without.append({"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list"]})
    patch = json.dumps({"rules": without})
    cluster.call("-n", stage.namespace, "patch", "role", "secxops", "--type=merge", "-p", patch)
    assert "create/delete jobs" in checks(stage)["rights"]["message"]
    assert "jobs" in failed(stage, "cluster_forbidden")["message"]

    cluster.call("-n", stage.namespace, "delete", "rolebinding", "secxops")
    found = checks(stage)
    assert found["engine"]["state"] == "ok"
    assert {found[n]["state"] for n in ("rights", "source", "secrets", "jobs")} == {"failed"}
    status, said = stage.secxops("share", PROJECT)
    assert (status, said["error"]["code"]) == (1, "cluster_forbidden")


def test_a_namespace_that_forbids_what_copies(staged: Staged, cluster: Cluster) -> None:
    stage = staged()
    dockerfile(stage, f"FROM {cluster.images['jupyter']}\n")
    level = "pod-security.kubernetes.io/enforce=restricted"
    cluster.call("label", "namespace", stage.namespace, level, "--overwrite")
    assert failed(stage, "pod_security")["params"]["reason"]
    assert checks(stage)["jobs"]["state"] == "failed"
