"""A command of this package as a Job whose files are brought and fetched from outside.

``run`` runs a module's command in ``/work``: with ``--wait`` once ``put --begin`` was called, and with
``--hold`` it stays for its results to be fetched until ``end`` is called. The others are run beside
it, in its container, by whoever ordered it: their input has no end, so its size is told. ``get --end`` is
an ``end`` as well, once whoever has all files says so by one more byte. ``first`` takes files, runs another
module's command while the Job still waits, and gives files when it ended well, one at a time: a
connection that broke leaves the one before at work.

    python -m jupyter_secxops_migrate.copying.job run --hold 600 copying SOURCE DESTINATION …
    python -m jupyter_secxops_migrate.copying.job put NAME=SIZE … < FILES
    python -m jupyter_secxops_migrate.copying.job get NAME … > SIZE, FILE, SIZE, FILE …
    python -m jupyter_secxops_migrate.copying.job first --put NAME=SIZE --get NAME … MODULE … < FILES > …
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence

PLACE = "SECXOPS_WORK"
"""An environment variable: the folder for files that are brought and fetched."""

WORK = "/work"
"""That folder, where the variable names none."""

FOUND = "survey.json"
"""The file in which `environment.look` leaves what it found, to be fetched."""

BEGIN, END, FIRST = ".begin", ".end", ".first"
LOOK_SECONDS = 0.02
PACKAGE = (__package__ or "").rpartition(".")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m jupyter_secxops_migrate.copying.job")
    what = parser.add_subparsers(dest="what", required=True)
    run = what.add_parser("run")
    run.add_argument("--wait", type=float, default=0, metavar="SECONDS")
    run.add_argument("--hold", type=float, default=0, metavar="SECONDS")
    run.add_argument("module")
    run.add_argument("rest", nargs=argparse.REMAINDER)
    put = what.add_parser("put")
    put.add_argument("files", nargs="+", metavar="NAME=SIZE")
    put.add_argument("--begin", action="store_true", help="then let the command begin")
    get = what.add_parser("get")
    get.add_argument("names", nargs="+", metavar="NAME")
    get.add_argument(
        "--end", action="store_true", help="let the command end once these have arrived"
    )
    first = what.add_parser("first")
    first.add_argument("--put", action="append", default=[], metavar="NAME=SIZE")
    first.add_argument("--get", action="append", default=[], metavar="NAME")
    first.add_argument("module")
    first.add_argument("rest", nargs=argparse.REMAINDER)
    what.add_parser("end")
    given = parser.parse_args(arguments)
    if given.what == "run":
        return _run(given.module, given.rest, given.wait, given.hold)
    if given.what == "first":
        with _alone():
            status = _take(given.put) or _main(given.module, given.rest)
            return status or _get(given.get)
    if given.what == "get":
        _get(given.names)
        if given.end and os.read(sys.stdin.fileno(), 1):
            _note(END)
        return 0
    if given.what == "put":
        with _alone():
            if status := _take(given.files):
                return status
        if given.begin:
            _note(BEGIN)
    if given.what == "end":
        _note(END)
    return 0


def _run(module: str, rest: Sequence[str], wait: float, hold: float) -> int:
    if wait and not _appears(BEGIN, wait):
        return 1
    status = _main(module, rest)
    if hold and status == 0 and not _appears(END, hold):
        print("nobody came for the results", file=sys.stderr)
        return 1
    return status


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait until no command of an earlier connection is at work on the files."""
    with open(_path(FIRST), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _main(module: str, rest: Sequence[str]) -> int:
    return int(importlib.import_module(f"{PACKAGE}.{module}").main(rest))


def _appears(name: str, seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while not os.path.exists(_path(name)):
        if time.monotonic() > ends:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _note(name: str) -> None:
    with open(_path(name), "wb"):
        pass


def _take(files: Sequence[str]) -> int:
    for told in files:
        name, _, size = told.rpartition("=")
        if status := _put(name, int(size)):
            return status
    return 0


def _put(name: str, size: int) -> int:
    if os.path.exists(_path(BEGIN)):
        # Whoever is back after a broken connection: it works with what it was given.
        return 0
    fresh = _path(f"{name}.new")
    with open(fresh, "wb") as file:
        while size > 0:
            chunk = os.read(sys.stdin.fileno(), min(size, 1 << 20))
            if not chunk:
                return 1
            file.write(chunk)
            size -= len(chunk)
    os.replace(fresh, _path(name))
    return 0


def _get(names: Sequence[str]) -> int:
    """Print each file behind a line with its size."""
    sys.stdout.flush()
    for name in names:
        with open(_path(name), "rb") as file:
            sys.stdout.buffer.write(b"%d\n" % os.fstat(file.fileno()).st_size)
            shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
    sys.stdout.flush()
    return 0


def _path(name: str) -> str:
    return os.path.join(os.environ.get(PLACE, WORK), os.path.basename(name))


if __name__ == "__main__":
    sys.exit(main())
