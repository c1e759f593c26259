"""What the commands of this package print, and how they end.

With ``--json`` standard output carries one JSON object a line: ``progress`` up to five times a
second, then one ``result`` or ``error``. Without, sentences. Exit status: 0 done, 1 failed, 2 wrong
usage.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from ..errors import EngineFailed, SecxopsError
from ..printable import counted

__all__ = ["MEMORY", "Ended", "Report", "run"]

MEMORY = "SECXOPS_JOB_MEMORY"
"""An environment variable: how many bytes each process may allocate (RLIMIT_DATA of setrlimit(2))."""


class Ended(BaseException):
    """Somebody asked us to end."""


class Report:
    """Says things in the one form or the other."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._line = False

    def progress(self, files: int, size: int, total_files: int, total_bytes: int) -> None:
        """Say how far it is."""
        if self.as_json:
            self._json(
                type="progress",
                files=files,
                bytes=size,
                total_files=total_files,
                total_bytes=total_bytes,
            )
        elif sys.stderr.isatty():
            self._line = True
            print(
                f"\r{files:,} of {counted(total_files, 'file', 'files')}, {size / 1e6:.0f} of {total_bytes / 1e6:.0f} MB ",
                end="",
                file=sys.stderr,
                flush=True,
            )

    def pass_on(self, kind: str, **fields: Any) -> None:
        """Say something in JSON that has no sentence."""
        self._json(type=kind, **fields)

    def result(self, sentence: str, **fields: Any) -> None:
        """Say how it ended well."""
        if self.as_json:
            self._json(type="result", **fields)
            return
        self._end_line()
        print(sentence)
        for row in fields.get("skipped", ()):
            print(f"  not copied: {row['name']}: {row['reason']}")
        for row in fields.get("changed", ()):
            print(f"  changed: {row['name']}: {row['reason']}")

    def error(self, error: SecxopsError) -> None:
        """Say how it failed."""
        if self.as_json:
            self._json(type="error", **error.as_dict())
            return
        self._end_line()
        print(f"{error.message}\n{error.hint}", file=sys.stderr)

    def _end_line(self) -> None:
        if self._line:
            print(file=sys.stderr)

    def _json(self, **fields: Any) -> None:
        print(json.dumps(fields), flush=True)


def run(as_json: bool, work: Callable[[Report], None]) -> int:
    """Do the work of a command and return its exit status; SIGTERM and SIGINT end it at once."""

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise Ended(number)

    # As process 1 of a container, a signal without a handler would not reach us at all.
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    report = Report(as_json)
    if memory := os.environ.get(MEMORY):
        resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
    try:
        work(report)
    except SecxopsError as error:
        report.error(error)
        return 1
    except MemoryError:
        report.error(EngineFailed(action="copy and compare", reason="it ran out of memory"))
        return 1
    except Ended as ended:
        return 128 + int(ended.args[0])
    return 0
