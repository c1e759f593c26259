"""What the first-share page and the README tell people to type works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from jupyter_secxops_migrate.model import utcnow

from .conftest import Person

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
# So that the next run finds the layers of the sample's image.
KEPT = "secxops-test-sample:latest"
ELSEWHERE = ("ssh",)
"""Commands for another machine."""


def typed(page: str) -> Iterator[list[str]]:
    """The commands of a page, in order: those at a prompt, and the README's without one."""
    fence = None
    for line in (ROOT / page).read_text("utf-8").splitlines():
        if line.startswith("```"):
            fence = line if fence is None else None
        elif fence is not None and line.startswith(("$ ", "jupyter secxops ")):
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[0] not in ELSEWHERE:
                yield words


class Shell:
    """A person's shell in which the programs of the pages are these ones."""

    def __init__(self, person: Person, base: str, folder: Path) -> None:
        self.base = base
        self.home = person.home
        self.folder = ROOT
        programs = folder / "bin"
        programs.mkdir()
        for name, command in (
            ("python", f'exec {sys.executable} "$@"'),
            ("jupyter", f'shift; exec {sys.executable} -m jupyter_secxops_migrate "$@"'),
        ):
            (programs / name).write_text(f"#!/bin/sh\n{command}\n")
            (programs / name).chmod(0o755)
        author = {
            f"GIT_{who}_{what}": "ada@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        self.env = {**person.env, **author, "PATH": f"{programs}:{os.environ['PATH']}"}

    def type(self, words: list[str]) -> str:
        """Run a command as typed; return what it printed."""
        words = [re.sub(r"^~", str(self.home), word) for word in words]
        # The page was written on one day, for a name that holds the day.
        words = [re.sub(r"\d{4}-\d\d-\d\d$", f"{utcnow():%Y-%m-%d}", word) for word in words]
        if words[0] == "cd":
            self.folder = self.folder / words[1]
            return ""
        if "delete" in words:
            words.append("--yes")  # nobody is there to be asked
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=500,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        if words[0] == "cp":
            recipe = self.home / "dga-detector" / "Dockerfile"
            recipe.write_text(recipe.read_text().replace("python:3.12-slim", self.base))
        return done.stdout


def test_the_pages_are_to_be_typed_as_they_are(
    person: Person, bare_image: str, tmp_path: Path, docker_client: docker.DockerClient
) -> None:
    shell = Shell(person, bare_image, tmp_path)
    first = list(typed("docs/users/first-share.md"))
    assert [words[0] for words in first[:3]] == ["cp", "python", "cd"]
    put_away = next(i for i, words in enumerate(first) if "stop" in words)

    for words in first[:put_away]:
        said = shell.type(words)
    [shared] = person.ok("list")
    assert " · 0 differences" in said  # of the last one, `show`
    docker_client.images.get(shared["result"]["image"]["digest"]).tag(KEPT)

    readme = list(typed("README.md"))
    assert [words[2] for words in readme] == ["check", "plan", "share"]
    for words in readme:
        said = shell.type(words)
    assert " · 0 differences" in said
    assert len(person.ok("list")) == 2

    for words in first[put_away:]:
        shell.type(words)
    assert shared["id"] not in [one["id"] for one in person.ok("list")]
