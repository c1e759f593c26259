"""A user's service of one's own: a private data folder, the memory service, its real process."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from jupyter_secxops_migrate.runtime import Runtime

TESTS = Path(__file__).parent.parent


def command(*options: str) -> Sequence[str]:
    """The words that start the memory service; it finds itself wherever it is started."""
    program = (
        f"import sys; sys.path[:0] = [{str(TESTS)!r}, {str(TESTS.parent)!r}]; "
        "from web.memory_serve import MemoryHost; "
        "from jupyter_secxops_migrate.hosts.user import main; main(application=MemoryHost)"
    )
    return (sys.executable, "-c", program, *options)


def wait_until(happened: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def end(runtime: Runtime) -> None:
    """End the service that listens, if one does."""
    listener = runtime.listener()
    if listener:
        os.kill(listener, signal.SIGTERM)
        wait_until(lambda: runtime.listener() is None)
        wait_until(lambda: not runtime.described())


def started(runtime: Runtime) -> list[int]:
    """The process ids of all services that ever listened here, from their log."""
    text = runtime.log.read_text("utf-8") if runtime.log.exists() else ""
    return [
        int(line.split("listening, process ")[1].split(",")[0])
        for line in text.splitlines()
        if "listening, process " in line
    ]
