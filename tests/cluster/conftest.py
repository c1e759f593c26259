"""The cluster that the tests here share: one of our own, or the one that ``KUBECONFIG`` names."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

import stage as stage_module
from harness import cluster as clusters
from harness import components
from harness.cluster import Cluster
from steps import Stop, is_root

# Its first start builds everything; later ones take seconds.
SECONDS_FOR_A_TEST = 2400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the cluster, by its using it."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(SECONDS_FOR_A_TEST))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster which is up; taken away at the end unless it was up before."""
    if kubeconfig := os.environ.get("KUBECONFIG"):
        yield clusters.given(kubeconfig)
        return
    if reason := _why_not():
        # Continuous integration never skips: there it is a mistake of its set-up.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    try:
        with clusters.shared(os.environ.get("SECXOPS_CLUSTER", "main")) as found:
            yield found
    except Stop as stop:
        pytest.fail(stop.sentence)


@pytest.fixture
def own(cluster: Cluster) -> Cluster:
    """A cluster whose parts may be broken, and whose registry is known."""
    if not cluster.own:
        pytest.skip("breaks or needs parts of a cluster of our own; KUBECONFIG names another")
    return cluster


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own, where pods may pull from the registry by the secret ``pull``."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.call("create", "namespace", name)
    if cluster.registry is not None:
        file = f"--from-file=.dockerconfigjson={cluster.registry.dockerconfigjson}"
        kind = "--type=kubernetes.io/dockerconfigjson"
        cluster.call("-n", name, "create", "secret", "generic", "pull", kind, file)
    cluster.call("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield name
    cluster.call("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def clients(cluster: Cluster) -> Mapping[str, str]:
    """The builders of the operators' guide, ready; the certificates of their clients."""
    if not cluster.own:
        pytest.skip("needs the registry and the images of a cluster of our own")
    return stage_module.builders(cluster)


@pytest.fixture(scope="session")
def notebook_image(cluster: Cluster) -> str:
    """A notebook's image with the product in it, in the cluster's registry."""
    return clusters.notebook(cluster)


@pytest.fixture
def stage(
    cluster: Cluster, clients: Mapping[str, str], notebook_image: str
) -> Iterator[stage_module.Stage]:
    """A namespace of notebooks as the operators' guide makes them."""
    found = stage_module.Stage(cluster, clients, notebook_image)
    yield found
    found.close()


def _why_not() -> str:
    if not is_root():
        return "a cluster of our own needs root (or KUBECONFIG names another)"
    if components.go_version() is None:
        return "a cluster of our own is built with Go, which is not here"
    return ""
