"""`check`, `plan`, `list`, `show` and `logs` touch nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_secxops_migrate.commands import Exit
from jupyter_secxops_migrate.model import (
    MigrationState,
    PodSource,
    StepName,
)

from .desk import IMAGE, Desk, Secxops


def test_check_shows_what_is_there(secxops: Secxops, project: Path) -> None:
    said = secxops("check", project)
    assert "main @ 3f2c1a9 · 2 files changed" in said.out
    assert "✓ found" in said.out and "2 files" in said.out


def test_folders_of_a_pod_are_not_looked_for_here(
    secxops: Secxops, desk: Desk, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.chdir(project)
    words = ("--pod", "alice/notebook", "/p/a//../b", "--data", "/d", "--no-wait")
    assert secxops("share", *words).status == Exit.DONE
    (share,) = desk.shares.values()
    assert (share.request.project, share.request.data) == ("/p/b", ["/d"])
    assert share.request.source == PodSource(pod="alice", container="notebook")


def test_check_is_for_here_by_default(
    secxops: Secxops, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert secxops("check", "--json").document["project"]["path"] == str(project)


def test_plan_shows_both_tables_and_touches_nothing(
    secxops: Secxops, project: Path, desk: Desk
) -> None:
    said = secxops("plan", project)
    assert said.status == Exit.DONE
    assert "/home/analyst/project" in said.out and "keys stay where they are" in said.out
    assert "2 CPU are free" in said.out
    assert desk.shares == {}


def test_a_plan_that_refuses_is_status_3(secxops: Secxops, project: Path) -> None:
    (project / "Dockerfile").unlink()
    said = secxops("plan", project, "--json")
    assert (said.status, said.document["refusals"][0]["code"]) == (Exit.REFUSED, "no_dockerfile")


def test_list_is_an_array_newest_first(secxops: Secxops, project: Path) -> None:
    assert secxops("list", "--json").document == []
    secxops("share", project, "--name", "one", "--no-wait")
    secxops("share", project, "--name", "two", "--no-wait")
    assert [m["name"] for m in secxops("list", "--json").document] == ["two", "one"]
    shown = secxops("list").out
    assert shown.index("two") < shown.index("one") and "Waiting" in shown


def test_an_empty_list_says_what_to_do(secxops: Secxops) -> None:
    assert "No shares yet" in secxops("list").out


@pytest.mark.parametrize("wanted", ["m001x", "m001", "first"])
def test_a_share_is_named_by_id_prefix_or_name(
    wanted: str, secxops: Secxops, project: Path
) -> None:
    secxops("share", project, "--name", "first", "--no-wait")
    secxops("share", project, "--name", "second", "--no-wait")
    assert secxops("show", wanted, "--json").document["id"] == "m001x"


def test_an_ambiguous_prefix_names_the_candidates(secxops: Secxops, project: Path) -> None:
    for _ in range(2):
        secxops("share", project, "--no-wait")
    said = secxops("show", "m00")
    assert said.status == Exit.USAGE
    assert "m001x" in said.err and "m002x" in said.err


def test_an_unknown_share_is_an_error_document(secxops: Secxops) -> None:
    said = secxops("show", "nothing", "--json")
    assert (said.status, said.document["code"]) == (Exit.FAILED, "not_found")


def test_show_prints_place_image_and_manifest(secxops: Secxops, project: Path) -> None:
    secxops("share", project)
    said = secxops("show", "m001x")
    for part in ("secxops-m001x on lab-3", IMAGE, "abababab", "0 differences", "?token=t0ken"):
        assert part in said.out
    for part in (str(project), "main @ 3f2c1a9", "2 CPU", "2 GB of memory"):
        assert part in said.out
    assert "The source has changed since: 1 file, project/train.py" in said.out


@pytest.mark.parametrize("state", ["failed", "under way"])
def test_show_says_of_what_also_without_a_result(
    secxops: Secxops, project: Path, desk: Desk, state: str
) -> None:
    desk.fails_at = StepName.BUILD
    secxops("share", project)
    if state == "under way":
        desk.shares["m001x"].state, desk.shares["m001x"].error = MigrationState.RUNNING, None
    said = secxops("show", "m001x")
    for part in (f"Source     {project}", "main @ 3f2c1a9", "2 CPU · 2 GB of memory"):
        assert part in said.out


def test_logs_never_command_the_terminal(secxops: Secxops, project: Path, desk: Desk) -> None:
    desk.says = ["\x1b]0;owned\x07\x1b[2Jhello\x9b31m\u202e", "plain"]
    secxops("share", project)
    assert secxops("logs", "m001x").out == "\\x1b]0;owned\\x07\\x1b[2Jhello\\x9b31m\\u202e\nplain\n"
    assert secxops("logs", "m001x", "--json").document == {"id": "m001x", "lines": desk.says}


def test_logs_can_be_followed_to_the_end(secxops: Secxops, project: Path) -> None:
    secxops("share", project, "--no-wait")
    said = secxops("logs", "--follow", "m001x")
    assert said.out == "Step 1/2 : FROM base\nStep 2/2 : RUN true\n"
