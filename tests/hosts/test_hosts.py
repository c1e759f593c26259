"""The service does not know who hosts it: a second host needs one file."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from web.service import TESTS, wait_until

from jupyter_secxops_migrate.client import MigrationClient
from jupyter_secxops_migrate.errors import NotFound, SecxopsError
from jupyter_secxops_migrate.model import ShareRequest


@contextmanager
def hosted(folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the second host as a process of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent))),
        "JUPYTER_NO_CONFIG": "1",
    }
    command = [sys.executable, "-m", "hosts.loopback", f"--LoopbackHost.folder={folder}"]
    with subprocess.Popen(
        [*command, *options], cwd=folder, env=environment, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_another_host_serves_the_same_api_to_its_own_people(tmp_path: Path) -> None:
    tokens = ("--LoopbackHost.tokens=a=alice", "--LoopbackHost.tokens=b=bob")

    async def use(url: str) -> None:
        async with MigrationClient(url, "a") as alice, MigrationClient(url, "b") as bob:
            made = await alice.share(ShareRequest(project="/home/alice/detector"))
            assert [share.id for share in await alice.list()] == [made.id]
            assert made.owner == "alice"
            assert await bob.list() == []
            with pytest.raises(NotFound):
                await bob.get(made.id)
        async with MigrationClient(url, "c") as nobody:
            with pytest.raises(SecxopsError):
                await nobody.list()

    with hosted(tmp_path, *tokens, "--LoopbackHost.workers=5") as process:
        wait_until((tmp_path / "said").exists)
        said = json.loads((tmp_path / "said").read_text())
        # The settings of every host are this one's too.
        assert said["workers"] == 5
        asyncio.run(use(said["url"]))
        process.terminate()
        assert process.wait(15) == 0


def test_what_every_host_is_told_wrongly_ends_it_with_a_sentence(tmp_path: Path) -> None:
    with hosted(tmp_path, "--LoopbackHost.workers=0") as process:
        assert process.stderr is not None
        said = process.stderr.read().decode()
        assert process.wait(15) == 1
    assert "workers" in said
    assert "Traceback" not in said
