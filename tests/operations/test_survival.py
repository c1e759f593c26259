"""Operations of any kind outlive the process that runs them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from jupyter_secxops_migrate.model import MigrationState
from jupyter_secxops_migrate.operations.service import Operations

from .counting import SECONDS, STEPS, Counting, add, ended, hangs, working


def test_one_that_is_killed_in_each_of_its_steps_goes_on(tmp_path: Path) -> None:
    names = ["one"]
    for step in STEPS:
        (tmp_path / f"trouble-{step}").write_text("kill")
        killed = subprocess.run(
            [sys.executable, "-m", "operations.counting", str(tmp_path), *names],
            cwd=Path(__file__).parents[1],
            timeout=SECONDS,
        )
        assert killed.returncode == -signal.SIGKILL
        names = []

    async def body(operations: Operations, kind: Counting) -> None:
        assert operations.busy()
        done = await ended(operations, kind, await kind.records.get("cone"))
        assert done.state is MigrationState.SUCCEEDED and done.total == 111 and done.attempt == 1

    with working(tmp_path) as found:
        found.run(body)


def test_an_orderly_end_leaves_it_to_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "trouble-left").write_text("hang")

    async def begin(operations: Operations, kind: Counting) -> None:
        await add(operations, kind, "one")
        await hangs(tmp_path, "left")

    async def go_on(operations: Operations, kind: Counting) -> None:
        done = await ended(operations, kind, await kind.records.get("cone"))
        assert done.state is MigrationState.SUCCEEDED and done.total == 111 and done.error is None

    with working(tmp_path) as found:
        found.run(begin)
    (tmp_path / "trouble-left").unlink()
    with working(tmp_path) as found:
        found.run(go_on)
