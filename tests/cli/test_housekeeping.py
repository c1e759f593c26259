"""`sweep` and `doctor`, which belong to no share."""

from __future__ import annotations

from pathlib import Path

from jupyter_secxops_migrate.commands import Exit
from jupyter_secxops_migrate.model import (
    Check,
    Orphan,
)

from .desk import Desk, Secxops


def test_sweep_takes_lost_shares_back_and_never_shows_them_as_proven(
    secxops: Secxops, project: Path, desk: Desk
) -> None:
    secxops("share", project)
    desk.shares["m001x"].adopted = True
    desk.lost = [desk.shares["m001x"]]
    mine = Orphan(kind="pod", name="secxops-m001x", role="environment", migration="m001x")
    desk.orphaned = [mine.model_copy(update={"adoptable": True})]
    said = secxops("sweep")
    assert "1 share is not on record" in said.out and "--adopt" in said.out
    assert "secxops-m001x" not in said.out
    said = secxops("sweep", "--adopt")
    assert "Taken back" in said.out and "● dga-detector" in " ".join(said.out.split())
    assert "proof lost" in said.out and "✓" not in said.out
    assert "no longer known" in secxops("show", "m001x").out
    assert secxops("sweep", "--adopt", "--remove").status == Exit.USAGE
    assert "No share was found" in secxops("sweep", "--adopt").out


def test_sweep_lists_and_removes_on_request(secxops: Secxops, desk: Desk) -> None:
    desk.orphaned = [Orphan(kind="volume", name="secxops-old-code", role="code", bytes=10)]
    said = secxops("sweep")
    assert "secxops-old-code" in said.out and "--remove" in said.out
    assert [o["name"] for o in secxops("sweep", "--remove", "--json").document] == [
        "secxops-old-code"
    ]
    assert "Nothing is left over" in secxops("sweep").out


def test_doctor_fails_with_a_failed_check(secxops: Secxops, desk: Desk) -> None:
    desk.checks = [Check(name="engine", state="ok", message="Docker answers")]
    assert secxops("doctor").status == Exit.DONE
    desk.checks.append(Check(name="disk", state="failed", message="full", hint="free some"))
    said = secxops("doctor")
    assert said.status == Exit.FAILED and "free some" in said.out
