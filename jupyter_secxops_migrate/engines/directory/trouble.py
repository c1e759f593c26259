"""Trouble by order of a test: calls that fail, stand still, or kill the process in which they run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from pathlib import Path

from ... import errors
from .files import read, write

CALLS = (
    "layer",
    "build",
    "probe",
    "begin_copy",
    "copy",
    "own",
    "verify",
    "launch",
    "inspect",
    "look_inside",
    "stop",
    "delete",
    "capacity",
)
"""The calls that can be told to fail, to hang or to kill."""


class Trouble:
    """What is wrong with the engine below ``root``, in all processes that use it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hanging: Counter[str] = Counter()
        """How many calls of this process stand still, by name."""

    def fail_next(self, call: str, error: errors.SecxopsError, times: int = 1) -> None:
        """Let the next calls end in an error."""
        assert call in CALLS
        write(self.root / "trouble" / call, {"error": error.as_dict(), "times": times})

    def hang(self, call: str) -> None:
        """Let calls stop in their middle until `release`."""
        assert call in CALLS
        write(self.root / "trouble" / call, {"hang": True})

    def kill_next(self, call: str) -> None:
        """Let the next call kill the process that it runs in."""
        assert call in CALLS
        write(self.root / "trouble" / call, {"kill": True})

    def release(self, call: str) -> None:
        """Let calls go on again."""
        (self.root / "trouble" / call).unlink(missing_ok=True)

    def calls(self, call: str) -> int:
        """Return how many calls have reached their middle, in all processes."""
        with contextlib.suppress(FileNotFoundError):
            return (self.root / "calls").read_text().split().count(call)
        return 0

    async def _middle(self, call: str) -> None:
        with (self.root / "calls").open("a") as file:
            file.write(f"{call}\n")
        path = self.root / "trouble" / call
        while (trouble := read(path)) is not None:
            if "error" in trouble:
                left = trouble["times"] - 1
                if left:
                    write(path, {**trouble, "times": left})
                else:
                    path.unlink()
                raise errors.SecxopsError.from_dict(trouble["error"])
            if "kill" in trouble:
                path.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            self.hanging[call] += 1
            try:
                await asyncio.sleep(0.01)
            finally:
                self.hanging[call] -= 1
