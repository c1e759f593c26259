"""Builds that trust a CA bundle of the admin's, on a real engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from jupyter_secxops_migrate.building.context import BuildContext
from jupyter_secxops_migrate.building.dockerfile import parse
from jupyter_secxops_migrate.building.errors import BuildFailed
from jupyter_secxops_migrate.engines.docker import DockerEngine
from jupyter_secxops_migrate.engines.errors import CertificatesUnreadable
from jupyter_secxops_migrate.engines.orders import BuildOrder, BuildResult, LogLine

pytestmark = pytest.mark.docker

BUNDLE = "-----BEGIN CERTIFICATE-----\nof our own\n-----END CERTIFICATE-----\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text(BUNDLE)
    return path


def order_of(folder: Path, text: str) -> BuildOrder:
    folder.mkdir()
    (folder / ".dockerignore").write_text("**\n")
    dockerfile = parse(text)
    return BuildOrder(
        migration="mcerts0000",
        context=BuildContext(folder, dockerfile.source).chunks,
        dockerfile="Dockerfile",
        repository="secxops-test-certificates",
        tag="1",
        digest=lambda: "",
        labels={"secxops-test": "yes"},
        text=dockerfile.source,
        lines=[i.line for i in dockerfile.instructions],
        froms=[i.end_line for i in dockerfile.instructions if i.keyword == "FROM"],
    )


async def build(bundle: Path, order: BuildOrder) -> tuple[str, list[str]]:
    engine = DockerEngine(ca_bundle=str(bundle))
    said, made = [], ""
    try:
        async for item in engine.build(order):
            if isinstance(item, LogLine):
                said.append(item.text)
            elif isinstance(item, BuildResult):
                made = item.info.digest
        return made, said
    finally:
        await engine.close()


@pytest.fixture(autouse=True)
def _clean(docker_client: docker.DockerClient) -> Iterator[None]:
    yield
    for image in docker_client.images.list(name="secxops-test-certificates"):
        docker_client.images.remove(image.id, force=True)


def test_every_stage_trusts_it_while_it_is_built_and_not_after(
    bundle: Path, tmp_path: Path, bare_image: str, docker_client: docker.DockerClient
) -> None:
    # never the same, so that no layer of an earlier run is taken
    look = f'RUN : {uuid4()}; echo "seen $REQUESTS_CA_BUNDLE" && sed -n 2p "$SSL_CERT_FILE"'
    text = f"FROM {bare_image} AS first\n{look}\n\nFROM \\\n  first\n{look}\n"

    made, said = asyncio.run(build(bundle, order_of(tmp_path / "project", text)))

    where = "/etc/ssl/certs/secxops-ca.pem"
    assert said.count(f"seen {where}") == 2
    assert said.count("of our own") == 2
    config = docker_client.api.inspect_image(made)["Config"]
    assert not [row for row in config["Env"] if "secxops-ca" in row]


def test_an_error_names_the_line_of_the_projects_own_dockerfile(
    bundle: Path, tmp_path: Path, bare_image: str
) -> None:
    text = f"ARG A=1\nFROM {bare_image} AS first\nRUN true\nFROM first\nRUN true\nRUN exit 3\n"

    with pytest.raises(BuildFailed) as failed:
        asyncio.run(build(bundle, order_of(tmp_path / "project", text)))

    assert failed.value.params["line"] == 6


def test_a_bundle_that_is_not_there_is_said(tmp_path: Path, bare_image: str) -> None:
    with pytest.raises(CertificatesUnreadable):
        asyncio.run(
            build(tmp_path / "none.pem", order_of(tmp_path / "project", f"FROM {bare_image}\n"))
        )
