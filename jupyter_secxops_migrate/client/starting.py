"""The service of this account is started when a client needs it, once, however many come at once.

Knows the service's process, socket and locks; what is asked of it, it does not know.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import SecxopsError
from ..hosts.errors import LockAbandoned, ServiceStopped, ServiceUnavailable, StoreLocked
from ..processes import Standing, holder, standing
from ..runtime import ERROR_FD, EXIT_LOCKED, Runtime, try_lock, version

# `python -m` without the current folder on the module path would need Python 3.11; the service is
# started in its own data folder instead, so that no project's module is taken for one of ours.
COMMAND = (sys.executable, "-m", "jupyter_secxops_migrate.serve")
# It takes two to three; several times that where the machine is busy.
START_SECONDS = 30.0
REPLACE_SECONDS = 3.0
# For a lock that nobody will give back.
ABANDONED_SECONDS = 3.0
# A debugger stops a process for a moment, now and then.
STOPPED_SECONDS = 0.3
# One error as JSON; a pipe holds as much without a reader.
_TOLD_BYTES = 65536


def ensure_service(
    runtime: Runtime | None = None,
    command: Sequence[str] = COMMAND,
    timeout: float = START_SECONDS,
) -> None:
    """Return once this account's service answers; start it if it does not.

    Clients that do this at the same time start one service. A service of an older version is
    asked to end, and replaced, if it is idle; a busy one goes on and is used as it is.

    Parameters
    ----------
    runtime
        Where it is; this account's where not given.
    command
        What starts it.
    timeout
        Seconds to wait for it.

    Raises
    ------
    ServiceUnavailable
        It did not start; the error names its log file.
    ServiceElsewhere
        The folder is in use by the service of another container.
    ServiceStopped
        It is there, and suspended.
    LockAbandoned
        Its lock is held by a process that is not there any more.
    SecxopsError
        What it said why it can't start: its record is damaged, its settings are wrong.
    """
    runtime = runtime or Runtime.find()
    deadline = time.monotonic() + timeout
    insist_it_runs(runtime)
    if runtime.listener() is not None and not _older(runtime):
        return
    runtime.make()
    lock = runtime.open_lock(runtime.start_lock)
    try:
        if not _our_turn(runtime, lock, deadline):
            return
        if runtime.listener() is not None and not (_older(runtime) and _retire(runtime)):
            return
        _start(runtime, command, deadline)
    finally:
        os.close(lock)


def insist_it_runs(runtime: Runtime) -> None:
    """Return at once, unless the service's process is suspended.

    Raises
    ------
    ServiceStopped
        It is, and that not only for a moment.
    """
    pid = runtime.stopped()
    if pid is None:
        return
    time.sleep(STOPPED_SECONDS)
    if runtime.stopped() == pid:
        raise ServiceStopped(pid=pid)


def _our_turn(runtime: Runtime, lock: int, deadline: float) -> bool:
    """Wait for the lock of who starts the service; whether there is something left to do.

    Nobody waits long for a client that was suspended while it had it, or whose child has it still: the
    service's own lock sees to it that there is one service.
    """
    there_at = time.monotonic()
    while not try_lock(lock):
        now = time.monotonic()
        insist_it_runs(runtime)
        if runtime.listener() is not None and not _older(runtime):
            return False
        if holder(runtime.start_lock)[1] not in (Standing.STOPPED, Standing.ENDED):
            there_at = now
        if now - there_at > ABANDONED_SECONDS:
            return True
        if now > deadline:
            raise ServiceUnavailable("Another client is still starting it.", log=str(runtime.log))
        time.sleep(0.02)
    return True


def _start(runtime: Runtime, command: Sequence[str], deadline: float) -> None:
    if not _wait_for_lock(runtime, deadline):
        return
    started = _Started(runtime, command)
    pause = 0.01
    try:
        while runtime.listener() is None:
            _insist_it_can_start(runtime, started)
            status = started.child.poll()
            if status == EXIT_LOCKED:
                # Somebody else was quicker: one who starts it by hand.
                if not _wait_for_lock(runtime, deadline):
                    return
                started.close()
                started = _Started(runtime, command)
            elif status is not None:
                raise started.error() or ServiceUnavailable(
                    f"It was started and ended with status {status}.", log=str(runtime.start_log)
                )
            if time.monotonic() > deadline:
                raise ServiceUnavailable(
                    "It was started and does not listen yet.", log=str(runtime.log)
                )
            time.sleep(pause)
            pause = min(0.05, 1.5 * pause)
    finally:
        started.close()


def _wait_for_lock(runtime: Runtime, deadline: float) -> bool:
    """Wait while another service has the lock; whether one is to be started then.

    One that has it is still ending, or does not listen yet.
    """
    there_at = time.monotonic()
    while runtime.locked():
        if runtime.listener() is not None:
            return False
        now = time.monotonic()
        runtime.insist_on_own_lock()
        insist_it_runs(runtime)
        pid, found = holder(runtime.lock)
        if found is not Standing.ENDED:
            there_at = now
        if now - there_at > ABANDONED_SECONDS:
            raise LockAbandoned(pid=pid, lock=str(runtime.lock))
        if now > deadline:
            raise StoreLocked(pid=pid)
        time.sleep(0.05)
    return True


def _insist_it_can_start(runtime: Runtime, started: _Started) -> None:
    insist_it_runs(runtime)
    # Until it has the lock, only who started it knows it.
    pid = started.child.pid
    if standing(pid) is Standing.STOPPED:
        time.sleep(STOPPED_SECONDS)
        if standing(pid) is Standing.STOPPED:
            raise ServiceStopped(pid=pid)


class _Started:
    """A service's process that was started, and what it says why it can't serve.

    Raises
    ------
    ServiceUnavailable
        There is no such program.
    """

    def __init__(self, runtime: Runtime, command: Sequence[str]) -> None:
        self._told, telling = os.pipe()
        try:
            with _start_log(runtime) as said:
                self.child = subprocess.Popen(
                    list(command),
                    cwd=runtime.data,
                    env={
                        **os.environ,
                        "SECXOPS_DATA_DIR": os.fspath(runtime.data),
                        ERROR_FD: str(telling),
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    pass_fds=(telling,),
                    start_new_session=True,
                )
        except OSError as error:
            os.close(self._told)
            raise ServiceUnavailable(
                f"It can't be started: {error.strerror}.", log=str(runtime.log)
            ) from None
        finally:
            os.close(telling)
        # A client that lives longer than the service (a Jupyter server) leaves no zombie.
        threading.Thread(target=self.child.wait, name="secxops-service-reaper", daemon=True).start()

    def error(self) -> SecxopsError | None:
        """Return why it could not serve, if it has ended and said so."""
        os.set_blocking(self._told, False)
        try:
            found = json.loads(os.read(self._told, _TOLD_BYTES))
        except (OSError, ValueError):
            return None
        return SecxopsError.from_dict(found) if isinstance(found, dict) else None

    def close(self) -> None:
        """Listen no more; the process goes on."""
        os.close(self._told)


@contextmanager
def _start_log(runtime: Runtime) -> Iterator[int]:
    """Open what the service writes its standard error to; nothing, where no file can be made."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        said = os.open(runtime.start_log, flags, 0o600)
    except OSError:
        said = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield said
    finally:
        os.close(said)


def _older(runtime: Runtime) -> bool:
    said = runtime.described().get("version")
    return isinstance(said, str) and _numbers(said) < _numbers(version())


def _numbers(text: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in text.split(".")[:3]]


def _retire(runtime: Runtime) -> bool:
    """Ask the service that listens to end when idle; say whether it did so at once.

    The process is the one that the kernel names at the socket's other end, so no other process is
    ever signalled.
    """
    listener = runtime.listener()
    if not listener or listener != runtime.described().get("pid"):
        return listener is None
    try:
        os.kill(listener, signal.SIGUSR1)
    except ProcessLookupError:
        return True
    deadline = time.monotonic() + REPLACE_SECONDS
    while time.monotonic() < deadline:
        if runtime.listener() is None:
            return True
        time.sleep(0.05)
    return False
