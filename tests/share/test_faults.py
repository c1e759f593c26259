"""What goes wrong around a share: a full disk, an engine that may not be used."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_secxops_migrate.building.context import BuildContext
from jupyter_secxops_migrate.copying.errors import DiskFull
from jupyter_secxops_migrate.engines.docker import DockerEngine
from jupyter_secxops_migrate.engines.orders import (
    BuildOrder,
    BuildResult,
    CopyOrder,
    CopyResult,
    SourcePlace,
    result_of,
)

from .conftest import Person, Project
from .private_engine import PrivateEngine, private_engine

pytestmark = [
    pytest.mark.docker,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="an engine of one's own needs root"),
    pytest.mark.skipif(not shutil.which("dockerd"), reason="dockerd is not on this machine"),
]

MB = 1024 * 1024


@pytest.fixture(scope="module")
def own_engine(
    tmp_path_factory: pytest.TempPathFactory, lab_image: str, bare_image: str
) -> Iterator[PrivateEngine]:
    tools = asyncio.run(tools_image(bare_image))
    folder = tmp_path_factory.mktemp("engine")
    with private_engine(folder, 2500 * MB, [lab_image, bare_image, tools]) as made:
        yield made


async def tools_image(base: str) -> str:
    """Have the usual engine make the tools image, as a share would."""
    engine = DockerEngine(tools_base=base)
    try:
        return await engine.prepare()
    finally:
        await engine.close()


@pytest.fixture
def far(person: Person, own_engine: PrivateEngine) -> Person:
    """A person whose engine is the private one."""
    person.env["DOCKER_HOST"] = own_engine.endpoint
    person.env["SECXOPS_BUILD_NETWORK"] = "host"
    return person


def left(engine: PrivateEngine, migration: str) -> list[Any]:
    client = engine.client()
    try:
        label = {"label": f"secxops.io/migration={migration}"}
        containers = client.containers.list(all=True, filters=label)
        stopped = client.containers.list(all=True, filters={"status": "exited"})
        return [*containers, *stopped, *client.volumes.list(filters=label)]
    finally:
        client.close()


def test_a_disk_that_becomes_full_in_the_build(
    far: Person, project: Project, own_engine: PrivateEngine
) -> None:
    dockerfile = (project.path / "Dockerfile").read_text()
    project.write(
        "Dockerfile", f"{dockerfile}RUN dd if=/dev/zero of=/home/jovyan/big bs=1M count=4000\n"
    )

    done = far.run("share", str(project.path), "--json")

    assert done.code == 1, done.err
    assert done.json["error"]["code"] == "disk_full"
    assert done.json["error"]["params"]["step"] == "build"
    assert "jupyter secxops list" in done.json["error"]["hint"]
    assert left(own_engine, done.json["id"]) == []


def test_a_disk_that_becomes_full_while_the_context_is_sent(
    own_engine: PrivateEngine, tmp_path: Path, bare_image: str
) -> None:
    dockerfile = f"FROM {bare_image}\nCOPY . /project\n".encode()
    folder = tmp_path / "project"
    folder.mkdir()
    for n in range(5):
        (folder / f"{n}.bin").write_bytes(os.urandom(40 * MB))
    context = BuildContext(folder, dockerfile)
    order = BuildOrder("mfull11111", context.chunks, "Dockerfile", "full", "1", lambda: "", {})

    async def build() -> None:
        engine = DockerEngine(endpoint=own_engine.endpoint)
        try:
            await result_of(engine.build(order), BuildResult)
        finally:
            await engine.close()

    ballast = own_engine.leave_free(100 * MB)
    try:
        with pytest.raises(DiskFull) as full:
            asyncio.run(build())
    finally:
        ballast.unlink()
    assert full.value.params["step"] == "build"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "domains"
    folder.mkdir()
    for n in range(8):
        (folder / f"{n}.bin").write_bytes(os.urandom(25 * MB))
    return folder


def test_a_disk_that_is_too_small_for_the_copy(
    far: Person, project: Project, own_engine: PrivateEngine, data: Path
) -> None:
    ballast = own_engine.leave_free(100 * MB)
    try:
        refused = far.run("share", str(project.path), "--data", str(data), "--json")
    finally:
        ballast.unlink()

    assert refused.code == 3, refused.err
    assert [r["code"] for r in refused.json["plan"]["refusals"]] == ["disk_short"]
    assert left(own_engine, refused.json["id"]) == []


def test_a_disk_that_becomes_full_in_the_copy(
    own_engine: PrivateEngine, data: Path, tmp_path: Path, bare_image: str
) -> None:
    """As when it fills up after the plan found it large enough."""

    async def copy() -> list[Any]:
        engine = DockerEngine(endpoint=own_engine.endpoint, tools_base=bare_image)
        place = SourcePlace("bind", str(data))
        order = CopyOrder("mfull00000", "me", "data-1", "data", place, tmp_path / "manifest")
        try:
            with pytest.raises(DiskFull) as full:
                await result_of(engine.copy(order), CopyResult)
            assert full.value.params["step"] == "copy"
            await engine.delete("mfull00000")
            return await engine.owned("me")
        finally:
            await engine.close()

    ballast = own_engine.leave_free(100 * MB)
    try:
        assert asyncio.run(copy()) == []
    finally:
        ballast.unlink()


def test_an_engine_that_this_account_may_not_use(person: Person, project: Project) -> None:
    """Root may use every socket; what a socket without rights says is tried as nobody."""
    script = (
        "import asyncio, os\n"
        "from jupyter_secxops_migrate.engines.docker import DockerEngine\n"
        "def look(endpoint):\n"
        "    engine = DockerEngine(endpoint=endpoint)\n"
        "    return asyncio.run(engine.doctor())\n"
        "look('unix:///nowhere')  # loads what nobody may not read\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "for check in look('unix:///var/run/docker.sock'): print(check.state, check.message, check.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=person.env
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("failed Your account may not use the container engine"), (
        done.stdout
    )
    assert "usermod -aG docker" in done.stdout
