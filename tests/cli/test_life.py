"""`cancel`, `retry`, `stop`, `start` and `delete`: what becomes of a share."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest

from jupyter_secxops_migrate.commands import Exit
from jupyter_secxops_migrate.model import (
    StepName,
)

from .desk import Desk, Secxops


def test_cancel_waits_until_it_has_ended(secxops: Secxops, project: Path) -> None:
    secxops("share", project, "--no-wait")
    said = secxops("cancel", "m001x", "--json")
    assert (said.status, said.document["state"]) == (Exit.DONE, "cancelled")


def test_what_has_ended_cannot_be_cancelled(secxops: Secxops, project: Path) -> None:
    secxops("share", project)
    said = secxops("cancel", "m001x", "--json")
    assert (said.status, said.document["code"]) == (Exit.FAILED, "wrong_state")


def test_retry_shows_only_the_new_attempt(secxops: Secxops, project: Path, desk: Desk) -> None:
    desk.fails_at = StepName.BUILD
    desk.says = ["from the first attempt"]
    assert secxops("share", project).status == Exit.FAILED
    desk.fails_at, desk.says = None, ["from the second"]
    said = secxops("retry", "m001x", "--verbose")
    assert said.status == Exit.DONE
    assert "from the second" in said.err and "from the first attempt" not in said.err


def test_stop_and_start(secxops: Secxops, project: Path) -> None:
    secxops("share", project)
    assert secxops("stop", "m001x", "--json").document["environment"] == {"status": "stopped"}
    assert "Running" in secxops("start", "m001x").out


def test_delete_needs_yes_where_nobody_can_be_asked(
    secxops: Secxops, project: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    secxops("share", project)
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        said = secxops("delete", "m001x")
    assert (said.status, list(desk.shares)) == (Exit.USAGE, ["m001x"])


@pytest.mark.parametrize(("answer", "left"), [("n", ["m001x"]), ("y", [])])
def test_delete_asks_once_with_the_name(
    answer: str,
    left: list[str],
    secxops: Secxops,
    project: Path,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secxops("share", project, "--name", "mine")
    person, terminal = pty.openpty()
    os.write(person, f"{answer}\n".encode())
    with open(terminal) as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        said = secxops("delete", "mine")
    os.close(person)
    assert said.err.count("Delete mine (m001x)") == 1
    assert list(desk.shares) == left


def test_delete_removes_the_copy(secxops: Secxops, project: Path, desk: Desk) -> None:
    secxops("share", project)
    said = secxops("delete", "m001x", "--yes", "--json")
    assert (said.status, said.document["deleted"]) == (Exit.DONE, True)
    assert not any(desk.store.iterdir())
