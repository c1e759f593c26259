"""Files reach a Job's command, and its results come out, through pipes that have no end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = [sys.executable, "-m", "jupyter_secxops_migrate.copying.job"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "SECXOPS_WORK": str(tmp_path)}


def test_files_are_put_by_their_sizes_and_read_again(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    first, second = os.urandom(3_000_000), b""
    command = [*RUNNER, "put", "--begin", f"a={len(first)}", "b=0", "c=4"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        process.stdin.write(first + second + b"more")
        process.stdin.flush()
        # The input stays open, as that of a WebSocket does.
        assert process.wait(30) == 0
    assert (tmp_path / "a").read_bytes() == first
    assert (tmp_path / "b").read_bytes() == second
    assert (tmp_path / ".begin").exists() and not (tmp_path / ".end").exists()

    said = subprocess.run([*RUNNER, "get", "c", "b", "a"], env=environment, capture_output=True)
    assert said.stdout == b"4\nmore0\n3000000\n" + first


def test_what_comes_short_lets_nothing_begin(tmp_path: Path, environment: dict[str, str]) -> None:
    done = subprocess.run([*RUNNER, "put", "--begin", "a=9"], input=b"short", env=environment)
    assert done.returncode == 1
    assert not (tmp_path / ".begin").exists()


def test_names_stay_in_the_jobs_folder(tmp_path: Path, environment: dict[str, str]) -> None:
    subprocess.run([*RUNNER, "put", "../outside=1"], input=b"x", env=environment, check=True)
    assert (tmp_path / "outside").exists() and not (tmp_path.parent / "outside").exists()


def test_a_command_may_end_once_its_files_have_arrived(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "a").write_bytes(b"12")
    command = [*RUNNER, "get", "--end", "a"]
    # A connection that breaks says nothing.
    done = subprocess.run(command, input=b"", env=environment, capture_output=True, check=True)
    assert done.stdout == b"2\n12"
    assert not (tmp_path / ".end").exists()

    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.read(4) == b"2\n12"
        assert not (tmp_path / ".end").exists()
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait(30) == 0
    assert (tmp_path / ".end").exists()


def test_a_first_command_gives_no_files_where_it_failed(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    first = [*RUNNER, "first", "--put", "manifest=3", "--get", "manifest"]
    verify = ["copying.verify", "--manifest", str(tmp_path / "manifest"), "--json", "--"]
    done = subprocess.run(
        [*first, *verify, str(tmp_path)], input=b"bad", env=environment, capture_output=True
    )
    assert done.returncode != 0
    assert (tmp_path / "manifest").read_bytes() == b"bad"
    assert not done.stdout.endswith(b"3\nbad")
