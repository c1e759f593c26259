"""Any command: its help, what it is told wrongly, what nobody foresaw, and what a shell completes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from web.service import command, end, wait_until

from jupyter_secxops_migrate.cli import run
from jupyter_secxops_migrate.commands import Exit
from jupyter_secxops_migrate.runtime import Runtime

from .desk import Desk, Secxops

COMMANDS = (
    *("check", "plan", "share", "list", "show", "logs", "cancel", "retry"),
    *("stop", "start", "delete", "sweep", "doctor", "completion", "serve"),
)


def test_help_names_every_command(secxops: Secxops) -> None:
    said = secxops("--help")
    assert said.status == Exit.DONE
    listed = [
        line.split()[0] for line in said.out.split("Commands:")[1].splitlines() if line.strip()
    ]
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("completion", "serve")])
def test_every_command_speaks_json(command: str, secxops: Secxops) -> None:
    assert "--json" in secxops(command, "--help").out


def test_help_imports_nothing_slow() -> None:
    program = (
        "import sys\nfrom jupyter_secxops_migrate.cli import run\nrun(['--help'])\n"
        "slow = {'pydantic', 'httpx', 'rich', 'tornado', 'docker', 'sqlalchemy', 'dbos'}\n"
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")


@pytest.mark.parametrize(
    "words",
    [
        ["share"],
        ["share", ".", "--memory", "much"],
        ["share", ".", "--cpu", "0"],
        ["share", ".", "--gpu", "-1"],
        ["share", ".", "--name", "a\nb"],
        ["share", ".", "--unknown"],
        ["share", ".", "--pod", "alice"],
        ["share", "/p", "--pod", "alice", "--data", "d"],
        ["share", "/p", "--pod", "../secrets/x"],
        ["share", "/p", "--pod", "alice/"],
        ["check", "--pod", "alice"],
        ["nonsense"],
    ],
)
def test_wrong_usage_is_status_2(words: list[str], secxops: Secxops, desk: Desk) -> None:
    said = secxops(*words)
    assert (said.status, said.out, desk.shares) == (Exit.USAGE, "", {})
    assert "Error" in said.err


def test_a_path_that_is_not_there_is_wrong_usage(secxops: Secxops, tmp_path: Path) -> None:
    said = secxops("plan", tmp_path / "none", "--json")
    assert (said.status, said.document["code"]) == (Exit.USAGE, "no_such_path")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cpu", "nan"), "--cpu has to be a number of CPUs from 0.01 to 4096, such as 2 or 0.5."),
        (("--cpu", "two"), "--cpu has to be a number of CPUs from 0.01 to 4096, such as 2 or 0.5."),
        (("--memory", "-5"), "--memory has to be a size from 64M to 1024T, such as 512M or 2G."),
        (("--memory", "5"), "--memory has to be a size from 64M to 1024T, such as 512M or 2G."),
        (("--gpu", "1.5"), "--gpu has to be a whole number of GPUs from 0 to 64."),
        (("--name", "a\nb"), "--name has to be a name of at most 100 characters in one line."),
        (("--data", "\0"), "--data has to be paths of folders, at most 32."),
    ],
)
def test_a_wrong_option_is_told_what_it_has_to_be(
    words: tuple[str, ...], said: str, secxops: Secxops, project: Path
) -> None:
    assert f"Error: {said}\n" in secxops("plan", project, *words).err


def test_a_wrong_folder_is_named_as_it_was_typed(
    secxops: Secxops, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    for verb in ("plan", "check"):
        said = secxops(verb, ".", "--data", "../none")
        assert f"✕ --data: {project.parent / 'none'} does not exist.\n" in said.err
        assert f"Check the path; a relative one starts at the folder {project}." in said.err
        assert "✕ PROJECT: " in secxops(verb, "nowhere").err


def test_an_unforeseen_error_is_a_sentence(capsys: pytest.CaptureFixture[str], desk: Desk) -> None:
    @asynccontextmanager
    async def broken() -> AsyncIterator[Desk]:
        raise ZeroDivisionError("deep inside")
        yield desk

    assert run(["list"], connect=broken) == Exit.FAILED
    err = capsys.readouterr().err
    assert "deep inside" in err and "Traceback" not in err and "doctor" in err


class TestCompletion:
    @pytest.fixture(autouse=True)
    def program(self, tmp_path: Path) -> None:
        self.executable = tmp_path / "jupyter-secxops"
        self.executable.write_text(
            f'#!/bin/sh\nexec {sys.executable} -m jupyter_secxops_migrate "$@"\n'
        )
        self.executable.chmod(0o755)

    def complete(self, *words: str) -> list[str]:
        """What bash offers after these words, the last one being typed."""
        asked = subprocess.run(
            [self.executable, "completion", "bash"], capture_output=True, text=True, check=True
        )
        script = (
            asked.stdout
            + 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
            + f'_jupyter_secxops_completion "{self.executable}"\n'
            + 'printf "%s\\n" "${COMPREPLY[@]}"\n'
        )
        done = subprocess.run(
            ["bash", "-c", script, "bash", "jupyter-secxops", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    def test_bash_offers_commands_and_options(self) -> None:
        assert self.complete("sh") == ["share", "show"]
        assert "--memory" in self.complete("share", "--m")

    def test_ids_come_from_a_service_that_runs_and_starts_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SECXOPS_DATA_DIR", str(tmp_path / "secxops"))
        runtime = Runtime.find()
        assert self.complete("show", "") == []
        assert runtime.listener() is None

        runtime.make()
        service = subprocess.Popen(command(), start_new_session=True, cwd=tmp_path)
        try:
            wait_until(lambda: runtime.listener() is not None)
            assert run(["share", str(tmp_path), "--name", "one", "--json"]) == Exit.DONE
            assert self.complete("show", "m") == ["m1"]
            assert self.complete("show", "x") == []
        finally:
            end(runtime)
            service.wait(15)
