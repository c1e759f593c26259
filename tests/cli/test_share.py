"""`share`: its options, its proof, and how it ends."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jupyter_secxops_migrate.commands import Exit
from jupyter_secxops_migrate.hosts.errors import ServiceUnavailable
from jupyter_secxops_migrate.model import (
    MigrationState,
    StepName,
)
from jupyter_secxops_migrate.printable import printable

from .desk import Desk, Secxops


def test_a_share_ends_with_the_proof_and_the_address(secxops: Secxops, project: Path) -> None:
    said = secxops("share", project)
    assert said.status == Exit.DONE
    assert "2 files equal · image sha256:3f…9c · 0 differences" in said.out
    assert "http://127.0.0.1:49153/lab?token=t0ken" in said.out
    assert "Copied" in said.err and "Not copied" in said.err and ".ssh" in said.err


def test_a_pipe_gets_plain_lines(secxops: Secxops, project: Path) -> None:
    said = secxops("share", project)
    assert "\x1b" not in said.out + said.err
    steps = [
        line.split()[0]
        for line in said.err.splitlines()
        if line.split("  ")[0] in ("Check", "Build", "Copy", "Launch") and "done" in line
    ]
    assert steps == ["Check", "Build", "Copy", "Launch"]


def test_json_is_one_document_with_the_token(secxops: Secxops, project: Path) -> None:
    said = secxops("share", project, "--json")
    assert said.status == Exit.DONE
    assert said.document["state"] == "succeeded"
    assert said.document["result"]["url"].endswith("?token=t0ken")
    assert "t0ken" not in said.err


def test_no_wait_returns_the_queued_share(secxops: Secxops, project: Path, desk: Desk) -> None:
    said = secxops("share", project, "--no-wait", "--json")
    assert (said.status, said.document["state"]) == (Exit.DONE, "queued")
    assert not any(desk.store.iterdir())


def test_options_reach_the_request(
    secxops: Secxops, project: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent)
    said = secxops(
        *("share", project.name, "--data", "a", "--data", "../b", "--cpu", "0.5", "--memory", "2G"),
        *("--keep-owners", "--gpu", "1", "--name", "n", "--version", "v1", "--no-wait"),
    )
    assert said.status == Exit.DONE
    (made,) = desk.shares.values()
    request = made.request
    assert request.project == str(project)
    assert request.data == [str(project.parent / "a"), str(project.parent.parent / "b")]
    assert (request.cpu, request.memory, request.gpu) == (0.5, 2 * 1024**3, 1)
    assert (request.name, request.version, request.keep_owners) == ("n", "v1", True)


@pytest.mark.parametrize(
    ("words", "mounts"),
    [
        (["--mount", "p=/srv/p"], {"p": "/srv/p"}),
        (["--mount", "./a=/b=c", "--mount", "p/=/w"], {"a": "/b=c", "p": "/w"}),
        (["--mount", "x=1=/sets"], {"x=1": "/sets"}),
    ],
)
def test_a_mount_is_named_by_the_path_that_was_given(
    secxops: Secxops,
    tmp_path: Path,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    mounts: dict[str, str],
) -> None:
    monkeypatch.chdir(tmp_path)
    said = secxops("share", "p", "--data", "a", "--data", "x=1", *words, "--no-wait")
    assert said.status == Exit.DONE
    (made,) = desk.shares.values()
    assert made.request.mounts == {str(tmp_path / path): mount for path, mount in mounts.items()}


@pytest.mark.parametrize("word", ["p", "other=/x", "=/x", "x=/sets"])
def test_a_mount_of_something_else_is_no_command(secxops: Secxops, desk: Desk, word: str) -> None:
    said = secxops("share", "p", "--data", "x=1", "--mount", word)
    assert said.status == 2
    assert "PATH=MOUNT" in said.err
    assert not desk.shares


def test_each_share_has_a_key_of_its_own(secxops: Secxops, project: Path, desk: Desk) -> None:
    for _ in range(2):
        secxops("share", project, "--no-wait")
    assert None not in desk.keys and len(set(desk.keys)) == 2


@pytest.mark.parametrize("name", ["--privileged", "$(touch x)", "a\nb", "[red]x"])
def test_a_hostile_project_name_is_only_a_name(
    name: str, secxops: Secxops, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent)
    project.rename(project.parent / name)
    said = secxops("share", "--", name)
    assert said.status == Exit.DONE
    assert printable(name) in said.out
    assert not (project.parent / "x").exists()


def test_a_refusal_is_status_3_and_says_what_to_do(secxops: Secxops, project: Path) -> None:
    (project / "Dockerfile").unlink()
    said = secxops("share", project)
    assert said.status == Exit.REFUSED
    assert "has no Dockerfile" in said.err and "Write a file named Dockerfile" in said.err
    assert said.out == ""


def test_a_refusal_in_json_is_the_migration(secxops: Secxops, project: Path) -> None:
    (project / "Dockerfile").unlink()
    said = secxops("share", project, "--json")
    assert (said.status, said.document["error"]["code"]) == (Exit.REFUSED, "refused")


def test_a_failure_shows_the_last_lines(secxops: Secxops, project: Path, desk: Desk) -> None:
    desk.fails_at = StepName.BUILD
    desk.says = [f"line {i} of the build" for i in range(50)]
    said = secxops("share", project)
    assert said.status == Exit.FAILED
    assert "failed at line 7 of the Dockerfile" in said.err
    shown = [line for line in said.err.splitlines() if "of the build" in line]
    assert (len(shown), shown[-1].strip()) == (20, "line 49 of the build")


def test_verbose_shows_every_line_once(secxops: Secxops, project: Path, desk: Desk) -> None:
    desk.fails_at = StepName.BUILD
    desk.says = [f"line {i} of the build" for i in range(50)]
    said = secxops("share", project, "--verbose")
    assert len([line for line in said.err.splitlines() if "of the build" in line]) == 50


def test_a_service_that_stays_away_is_an_error(secxops: Secxops, project: Path, desk: Desk) -> None:
    @asynccontextmanager
    async def nobody() -> AsyncIterator[Desk]:
        raise ServiceUnavailable(log="service.log")
        yield desk

    desk.connect = nobody  # type: ignore[method-assign]
    said = secxops("share", project, "--json")
    assert (said.status, said.document["code"]) == (Exit.FAILED, "service_unavailable")
    assert "service.log" in said.err


def test_interrupting_ends_only_the_watching(secxops: Secxops, project: Path, desk: Desk) -> None:
    def interrupt(step: StepName) -> None:
        if step is StepName.COPY:
            signal.raise_signal(signal.SIGINT)  # to this thread, before the next line

    desk.before_step = interrupt
    # As in a process of its own; a server that another test ran here may have left its handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        said = secxops("share", project)
    finally:
        signal.signal(signal.SIGINT, before)
    assert said.status == Exit.INTERRUPTED
    assert "the share goes on" in said.err and "jupyter secxops cancel m001x" in said.err
    assert desk.shares["m001x"].state is MigrationState.RUNNING
