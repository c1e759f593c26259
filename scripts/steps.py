"""How the scripts here speak and run things: each step says what it does and how long it took.

Standard library only, because it runs before anything is installed. No shell: commands are lists.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("SECXOPS_SCRIPTS_CACHE", ROOT / ".cache"))


class Stop(SystemExit):
    """Ends a script with a sentence for the person and exit status 1."""

    def __init__(self, sentence: str) -> None:
        super().__init__(1)
        self.sentence = sentence
        say(f"✕ {sentence}")


def say(sentence: str) -> None:
    """Tell the person something; standard output stays free for results."""
    print(sentence, file=sys.stderr, flush=True)


@contextmanager
def step(sentence: str) -> Iterator[None]:
    """Say what is being done, and at its end how long it took."""
    say(f"▸ {sentence}")
    started = time.monotonic()
    yield
    say(f"  {time.monotonic() - started:.1f} s")


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 900,
) -> str:
    """Run a command quietly and return its standard output; on failure show its last lines.

    Parameters
    ----------
    command
        Program and arguments.
    env
        Variables on top of this process's own.
    cwd
        Its current folder.
    seconds
        After which it is ended.

    Raises
    ------
    Stop
        It can't be run, fails, or takes too long.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise Stop(f"{words[0]} is not installed.") from None
    except subprocess.TimeoutExpired:
        raise Stop(f"{' '.join(words[:3])} … did not end within {seconds:.0f} s.") from None
    if done.returncode:
        for line in (done.stdout + done.stderr).splitlines()[-20:]:
            say(f"    {line}")
        raise Stop(f"{' '.join(words[:4])} … failed with status {done.returncode}.")
    return done.stdout


def is_root() -> bool:
    """Say whether this process may install packages and start daemons."""
    return os.geteuid() == 0


def apt_install(*packages: str) -> None:
    """Install distribution packages, as root on Debian and its relatives.

    Raises
    ------
    Stop
        Not root, or no ``apt-get`` here.
    """
    names = " ".join(packages)
    if not is_root() or shutil.which("apt-get") is None:
        raise Stop(f"Missing here: {names}. Install it, or run this as root on Debian.")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"Installing {names} with apt-get"):
        run(["apt-get", "update", "-q"], env=quiet)
        run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages], env=quiet)


def need(programs: Mapping[str, str]) -> None:
    """Install the packages (values) of the programs (keys) that are not on the path."""
    where = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [
        package for program, package in programs.items() if not shutil.which(program, path=where)
    ]
    if missing:
        apt_install(*dict.fromkeys(missing))
