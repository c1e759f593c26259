"""A person's own service: what ``jupyter secxops serve`` runs.

One process for each user, on a Unix socket that only the user can reach, working on the user's
store under a lock, gone when it is idle. Clients start it when they need it. This file knows how to
listen, how long to stay and how to leave; what the service is made of is said in `application`, and
what a share is, neither knows.
"""

from __future__ import annotations

import asyncio
import json
import logging
import logging.handlers
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from traitlets import Float

from ..errors import SecxopsError
from ..runtime import ERROR_FD, Runtime, this_container, version
from .application import HostedService, ServiceApp, run

LOG_BYTES = 2 * 1024 * 1024
LOG_FILES = 5
GRACE_SECONDS = 1.5
# Whatever hangs, on the way out it is left behind: the next start takes it up as after a kill.
LEAVE_SECONDS = 4.0
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
PACKAGE = "jupyter_secxops_migrate"
log = logging.getLogger(__name__)


class SecxopsService(ServiceApp):
    """The service of one user: it does the work that the sidebar and the command line ask for."""

    name = "jupyter-secxops-serve"
    description = "Run the secxops service of this account in the foreground."
    examples = "jupyter secxops serve --SecxopsService.idle_seconds=3600"

    idle_seconds = Float(
        900.0,
        help="The service ends after this many seconds without a request, an open event stream, "
        "or a share that is queued or under way.",
    ).tag(config=True)

    def start(self) -> None:
        """Serve until idle or told to end.

        Raises
        ------
        SecxopsError
            It can't serve.
        """
        super().start()
        asyncio.run(self._host())

    async def _host(self) -> None:
        os.umask(0o077)
        runtime = Runtime.find()
        runtime.make()
        with runtime.store_lock():
            with runtime.usable(runtime.log):
                log_to(runtime.log, self.log.getEffectiveLevel())
            async with self.serving(runtime.data) as service:
                await Host(runtime, service, self.idle_seconds).run()


class Host:
    """Listens for one service.

    Parameters
    ----------
    runtime
        Where.
    service
        For what; started already.
    idle_seconds
        How long to stay while nothing happens.
    """

    def __init__(self, runtime: Runtime, service: HostedService, idle_seconds: float) -> None:
        self.runtime = runtime
        self.service = service
        self.idle_seconds = idle_seconds

    async def run(self) -> None:
        """Listen until idle, or until a signal.

        SIGTERM and SIGINT end it at once: what is under way is taken up again by the next start.
        SIGUSR1 ends it as soon as it is idle; a client of a newer version asks so.
        """
        from tornado.netutil import bind_unix_socket

        from ..web.application import ServiceApplication, serve_application
        from ..web.identity import PeerIdentity

        self._ending = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._ending.set)
        loop.add_signal_handler(signal.SIGINT, self._ending.set)
        loop.add_signal_handler(signal.SIGUSR1, self._leave_when_idle)
        application = ServiceApplication(self.service, PeerIdentity())
        self.activity = application.activity
        server = serve_application(application)
        listening = bind_unix_socket(os.fspath(self.runtime.socket), mode=0o600, backlog=128)
        server.add_socket(listening)
        self._describe()
        log.info("listening, process %d, version %s", os.getpid(), version())
        try:
            await self._stay()
        finally:
            _leave_within(LEAVE_SECONDS)
            # Whoever connects from here on finds nobody, and starts the next one.
            self.runtime.description.unlink(missing_ok=True)
            self.runtime.socket.unlink(missing_ok=True)
            server.stop()
            self.activity.end_streams()
            await self.activity.calm(GRACE_SECONDS)
            await server.close_all_connections()
            log.info("ended")

    def _leave_when_idle(self) -> None:
        self.idle_seconds = 0.0

    async def _stay(self) -> None:
        busy_at = time.monotonic()
        while True:
            # SIGUSR1 can shorten the wait at any time, so it is looked for often.
            pause = min(0.25, max(0.02, self.idle_seconds / 4))
            try:
                await asyncio.wait_for(self._ending.wait(), pause)
                return
            except asyncio.TimeoutError:
                pass
            if self.service.busy():
                busy_at = time.monotonic()
                continue
            quiet = min(self.activity.idle_seconds, time.monotonic() - busy_at)
            if self.activity.quiet and quiet >= self.idle_seconds:
                return

    def _describe(self) -> None:
        described = {
            "pid": os.getpid(),
            "version": version(),
            "socket": os.fspath(self.runtime.socket),
            "container": this_container(),
            "host": socket.gethostname(),
        }
        fresh = self.runtime.description.with_suffix(".new")
        fresh.write_text(json.dumps(described), encoding="utf-8")
        fresh.replace(self.runtime.description)


def _leave_within(seconds: float) -> None:
    """End this process, and with it its hold of the lock, even where a call never comes back."""

    def leave() -> None:
        log.warning("left behind what did not end")
        logging.shutdown()
        os._exit(0)

    watch = threading.Timer(seconds, leave)
    watch.daemon = True
    watch.start()


def log_to(path: Path, level: int) -> None:
    """Send the log of this process to a file of limited size that only its owner reads."""
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(PACKAGE).setLevel(level)


def _starter() -> int | None:
    """Return the open file of the client that starts this, which waits to hear why it can't serve."""
    named = os.environ.pop(ERROR_FD, "")
    try:
        descriptor = int(named)
        os.set_inheritable(descriptor, False)
    except (ValueError, OverflowError, OSError):
        return None
    return descriptor


def main(
    arguments: Sequence[str] | None = None, application: type[SecxopsService] = SecxopsService
) -> None:
    """Run the service and exit with its status."""
    starter = _starter()

    def tell(error: SecxopsError) -> None:
        if starter is not None:
            with suppress(OSError):  # he waits no longer
                os.write(starter, json.dumps(error.as_dict()).encode())

    run(application, sys.argv[1:] if arguments is None else arguments, tell)
