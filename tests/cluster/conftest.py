"""The cluster that the tests here share: one of our own, or the one that ``KUBECONFIG`` names.

What there is for tests on that one is said by the file that ``SECXOPS_TEST_CLUSTER`` names.
"""

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
DESCRIPTION = "SECXOPS_TEST_CLUSTER"


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
        yield _given(kubeconfig)
        return
    if reason := _why_not():
        # Continuous integration never skips: there it is a mistake of its set-up.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    try:
        with clusters.shared(os.environ.get("SECXOPS_CLUSTER", "main")) as found:
            yield found
    except Stop as stop:
        pytest.fail(stop.sentence)


@pytest.fixture(scope="session")
def own(cluster: Cluster) -> Cluster:
    """A cluster whose parts may be broken, and of which all is known."""
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
def stocked(cluster: Cluster) -> Cluster:
    """A cluster with a registry that has the tests' images."""
    if not cluster.images:
        pytest.skip(
            f"needs images in a registry: {DESCRIPTION} names no file that says where they are for "
            "the cluster of KUBECONFIG (docs/developers/testing.md)"
        )
    return cluster


@pytest.fixture(scope="session")
def anywhere(stocked: Cluster) -> str:
    """The storage class of volumes that all nodes reach, where there is another node to move to."""
    if len(stocked.nodes) < 2 or len(stocked.storage_classes) < 2:
        pytest.skip("needs a second node, and a storage class whose volumes both nodes reach")
    return stocked.storage_classes[1]


@pytest.fixture(scope="session")
def clients(stocked: Cluster) -> Iterator[Mapping[str, str]]:
    """The builders of the operators' guide, ready; the certificates of their clients."""
    namespace = stage_module.builders_of(stocked)
    try:
        yield stage_module.builders(stocked, namespace=namespace)
    finally:
        # Our own has them ready for the next tests.
        if not stocked.own:
            stocked.call("delete", "namespace", namespace, "--ignore-not-found")


@pytest.fixture(scope="session")
def notebook_image(stocked: Cluster) -> str:
    """A notebook's image with the product in it, in the cluster's registry."""
    return clusters.notebook(stocked)


@pytest.fixture
def stage(
    cluster: Cluster, clients: Mapping[str, str], notebook_image: str
) -> Iterator[stage_module.Stage]:
    """A namespace of notebooks as the operators' guide makes them."""
    found = stage_module.Stage(cluster, clients, notebook_image)
    yield found
    found.close()


def _given(kubeconfig: str) -> Cluster:
    try:
        return clusters.given(kubeconfig, os.environ.get(DESCRIPTION, ""))
    except Stop as stop:
        pytest.fail(stop.sentence)


def _why_not() -> str:
    if not is_root():
        return "a cluster of our own needs root (or KUBECONFIG names another)"
    if components.go_version() is None:
        return "a cluster of our own is built with Go, which is not here"
    return ""
