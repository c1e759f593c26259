"""Processes that outlive the script that started them, and are ended by another run of it.

A process id alone says nothing: it is used again. So the record of one has its time of birth too, and
what another process has by then is left alone. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from steps import step

SECONDS_TO_END = 30


def start(
    command: Sequence[str | Path], record: Path, log: Path, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, and note it in ``record``."""
    record.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as said:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env=dict(env),
        )
    record.write_text(json.dumps({"pid": process.pid, "born": _stat(process.pid, 19)}))
    return process


def stop(record: Path, what: str) -> None:
    """End the process that is noted in ``record``, if it is still that one."""
    if not record.exists():
        return
    noted = json.loads(record.read_text())
    pid = int(noted["pid"])
    if noted["born"] is not None and _stat(pid, 19) == noted["born"]:
        with step(f"Stopping {what} (process {pid})"):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + SECONDS_TO_END
            while _stat(pid, 19) == noted["born"] and time.monotonic() < deadline:
                if _stat(pid, 0) == "Z":
                    break
                time.sleep(0.2)
    record.unlink()


def _stat(pid: int, field: int) -> str | None:
    """Return a field after the program's name (proc_pid_stat(5)): 0 is its state, 19 its birth."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[field]
    except OSError:
        return None
