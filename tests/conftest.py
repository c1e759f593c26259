"""Images that tests with a real Docker Engine start from, made once and kept for the next run."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator

import docker
import hypothesis
import pytest
from effort import examples

# Without a deadline: how long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("ours", max_examples=examples(100), deadline=None)
hypothesis.settings.load_profile("ours")

LAB = """\
FROM {base}
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir jupyterlab==4.6.6
RUN useradd --create-home --uid 1000 jovyan
ENV PATH=/opt/venv/bin:$PATH
USER jovyan
WORKDIR /home/jovyan
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only a soak runs, unless it is asked for."""
    if "soak" not in config.option.markexpr:
        items[:] = [item for item in items if item.get_closest_marker("soak") is None]


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=600)
    yield client
    client.close()


@pytest.fixture(scope="session")
def bare_image(docker_client: docker.DockerClient) -> str:
    """An image with Python and no JupyterLab."""
    name = os.environ.get("SECXOPS_TOOLS_BASE", "secxops-base:bookworm")
    try:
        docker_client.images.get(name)
    except docker.errors.ImageNotFound:
        pytest.fail(f"the base image {name} is not there; `make test` makes it")
    return name


@pytest.fixture(scope="session")
def lab_image(docker_client: docker.DockerClient, bare_image: str) -> str:
    """An image with JupyterLab and a user 1000, jovyan."""
    base = docker_client.images.get(bare_image).id
    text = LAB.format(base=bare_image)
    tag = f"secxops-test-lab:{hashlib.sha256(f'{base}{text}'.encode()).hexdigest()[:12]}"
    if not docker_client.images.list(name=tag):
        docker_client.images.build(
            fileobj=io.BytesIO(text.encode()),
            tag=tag,
            network_mode=os.environ.get("SECXOPS_BUILD_NETWORK"),
            rm=True,
        )
    return tag
