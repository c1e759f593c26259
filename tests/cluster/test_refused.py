"""What a share on a cluster is refused, or fails with, by no fault of the cluster's.

Each time: the code, where the trouble is, what to do now; and nothing of it is left.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from harness.cluster import Cluster
from stage import PROJECT, Stage, until

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


@pytest.fixture(scope="module")
def stage(cluster: Cluster, clients: Mapping[str, str], notebook_image: str) -> Iterator[Stage]:
    """A namespace whose admin holds Dockerfiles to some rules; tests give back what they take from it."""
    images, _, _ = cluster.images["jupyter"].rpartition("/")
    policy = {"allowed_bases": [f"{images}/*"], "remote_add": "refuse"}
    found = Stage(cluster, clients, notebook_image, more={"ResourcePolicy": policy})
    try:
        found.notebook()
        yield found
    finally:
        found.close()


@contextmanager
def without(stage: Stage, kind: str, name: str) -> Iterator[None]:
    """Have an object of the namespace changed or gone for a while."""
    before = stage.get(kind, name)
    for mark in ("resourceVersion", "uid", "creationTimestamp", "managedFields", "ownerReferences"):
        before["metadata"].pop(mark, None)
    try:
        yield
    finally:
        own = ("-n", stage.namespace)
        stage.cluster.call(*own, "delete", kind, name, "--ignore-not-found")
        stage.cluster.call(*own, "create", "-f", "-", given=before)


def dockerfile(stage: Stage, text: str) -> None:
    stage.fill({"Dockerfile": text, "a.py": "1\n"})


def failed(stage: Stage, code: str) -> Any:
    """Share, and return the error; nothing is left of it."""
    status, said = stage.secxops("share", PROJECT)
    assert (status, said["error"]["code"]) == (1, code), said
    assert said["error"]["hint"]
    assert stage.left(said["id"]) == []
    return said["error"]


def refused(stage: Stage, code: str) -> Any:
    """Share, and return the plan's refusal of that code, which is the only one; nothing was made."""
    status, said = stage.secxops("share", PROJECT)
    assert (status, said["error"]["code"]) == (3, "refused"), said
    [found] = said["plan"]["refusals"]
    assert found["code"] == code, found
    assert found["hint"]
    assert stage.left(said["id"]) == []
    return found


def checks(stage: Stage) -> dict[str, Any]:
    """What ``doctor`` says, by the name of the check."""
    _, said = stage.secxops("doctor")
    return {row["name"]: row for row in said["checks"]}


def test_a_dockerfile_that_no_builder_may_be_given(stage: Stage, cluster: Cluster) -> None:
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


def test_an_image_that_is_nowhere(stage: Stage, cluster: Cluster) -> None:
    images, _, _ = cluster.images["jupyter"].rpartition("/")
    base = f"{images}/nowhere:1"
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
    assert image in refused(stage, "tools_image_missing")["message"]
    assert checks(stage)["tools image"]["state"] == "failed"


def test_an_account_that_may_not(stage: Stage, cluster: Cluster) -> None:
    dockerfile(stage, f"FROM {cluster.images['jupyter']}\n")
    # The record of this notebook goes with its container.
    assert {n: row for n, row in checks(stage).items() if row["state"] != "ok"}.keys() == {"store"}

    with without(stage, "role", "secxops"):
        rules = stage.get("role", "secxops")["rules"]
        fewer = [row for row in rules if row["apiGroups"] != ["batch"]]
        fewer.append({"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list"]})
        patch = json.dumps({"rules": fewer})
        cluster.call("-n", stage.namespace, "patch", "role", "secxops", "--type=merge", "-p", patch)
        assert "create/delete/deletecollection jobs" in checks(stage)["rights"]["message"]
        assert "jobs" in refused(stage, "cluster_forbidden")["message"]

    with without(stage, "rolebinding", "secxops"):
        cluster.call("-n", stage.namespace, "delete", "rolebinding", "secxops")
        assert checks(stage)["engine"]["state"] == "ok"
        shut = {"rights", "source", "secrets", "jobs"}
        # What was seen a few seconds ago is not asked for again.
        until(lambda: shut <= {n for n, row in checks(stage).items() if row["state"] == "failed"})
        status, said = stage.secxops("share", PROJECT)
        assert (status, said["error"]["code"]) == (1, "cluster_forbidden")


def test_a_namespace_that_forbids_what_copies(stage: Stage, cluster: Cluster) -> None:
    dockerfile(stage, f"FROM {cluster.images['jupyter']}\n")
    level = "pod-security.kubernetes.io/enforce"
    before = cluster.get("namespace", stage.namespace)["metadata"]["labels"][level]

    def enforce(what: str) -> None:
        cluster.call("label", "namespace", stage.namespace, f"{level}={what}", "--overwrite")

    enforce("restricted")
    try:
        assert refused(stage, "pod_security")["params"]["reason"]
        assert checks(stage)["jobs"]["state"] == "failed"
    finally:
        enforce(before)


def test_what_would_end_a_share_after_minutes(stage: Stage, cluster: Cluster) -> None:
    dockerfile(stage, f"FROM {cluster.images['jupyter']}\n")
    own = ("-n", stage.namespace)
    limits = {"limits": [{"type": "Container", "max": {"memory": "200Mi"}}]}
    stage.apply(stage.like("LimitRange", "small", spec=limits))
    try:
        said = refused(stage, "cluster_refused")
    finally:
        cluster.call(*own, "delete", "limitrange", "small")
    assert "maximum memory usage" in said["message"]

    with without(stage, "secret", "secxops-builder-client"):
        cluster.call(*own, "delete", "secret", "secxops-builder-client")
        assert refused(stage, "secret_missing")["params"]["name"] == "secxops-builder-client"

    assert cluster.registry is not None
    host, _, _ = cluster.registry.address.partition("/")
    config = json.dumps({"auths": {host: {"username": "x", "password": "wrong"}}})
    wrong = base64.b64encode(config.encode()).decode()
    patch = json.dumps({"data": {".dockerconfigjson": wrong}})
    with without(stage, "secret", "registry"):
        cluster.call(*own, "patch", "secret", "registry", "--type=merge", "-p", patch)
        said = refused(stage, "registry_denied")
        assert said["params"]["secret"] == "registry"
        assert checks(stage)["registry"]["state"] == "failed"
