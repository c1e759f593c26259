"""``jupyter secxops serve``: the host of one user's own service.

One process for each user, on a Unix socket that only the user can reach, working on the user's
store under a lock, gone when it is idle. Clients start it when they need it. It knows how to
listen, how long to stay and how to leave; what a share is, it does not know.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import logging.handlers
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from jupyter_core.application import JupyterApp, NoStart
from traitlets import Float, Integer, TraitError, Unicode, default
from traitlets.config.loader import ArgumentError

from .errors import EngineUnknown, SecxopsError, ServiceElsewhere, SettingsUnusable, StoreLocked
from .runtime import ERROR_FD, Runtime, this_container, version

if TYPE_CHECKING:
    from .api import MigrationApi
    from .engines.roles import Engine

# "Try again later" of sysexits.h: the store is another service's, which is no failure.
EXIT_LOCKED = 75
ENGINES = "jupyter_secxops_migrate.engines"
LOG_BYTES = 2 * 1024 * 1024
LOG_FILES = 5
GRACE_SECONDS = 1.5
# Whatever hangs, on the way out it is left behind: the next start takes it up as after a kill.
LEAVE_SECONDS = 4.0
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class HostedService(Protocol):
    """What this host runs."""

    def for_owner(self, owner: str) -> MigrationApi:
        """Return the API bound to one owner."""
        ...

    async def start(self) -> None:
        """Open the store and go on with what was under way."""
        ...

    async def close(self) -> None:
        """Let go of everything; what is under way is taken up again by the next start."""
        ...

    def busy(self) -> bool:
        """Whether something is queued or under way."""
        ...


class SecxopsService(JupyterApp):
    """The service of one user: it does the work that the sidebar and the command line ask for."""

    name = "jupyter-secxops-serve"
    description = "Run the migration service of this account in the foreground."
    examples = "jupyter secxops serve --SecxopsService.idle_seconds=3600"

    idle_seconds = Float(
        900.0,
        help="The service ends after this many seconds without a request, an open event stream, "
        "or a share that is queued or under way.",
    ).tag(config=True)
    workers = Integer(2, min=1, help="How many shares may be under way at once.").tag(config=True)
    patience_seconds = Float(
        60.0,
        min=0.0,
        help="How long a share that is under way waits for a cluster's API server or node that does "
        "not answer, in seconds, before it fails.",
    ).tag(config=True)
    store_url = Unicode(
        "",
        help="SQLAlchemy URL of the database that holds the record of shares. Empty: a SQLite "
        "file in the data folder.",
    ).tag(config=True)

    engine = Unicode(
        help="Where containers run: docker, kubernetes, or another one installed as an entry point of the "
        "group jupyter_secxops_migrate.engines. Default: the environment variable SECXOPS_ENGINE, else "
        "docker."
    ).tag(config=True)

    @default("engine")
    def _engine_default(self) -> str:
        return os.environ.get("SECXOPS_ENGINE") or "docker"

    @default("log_level")
    def _log_level_default(self) -> int:
        return logging.INFO

    @default("config_file_name")
    def _config_file_name_default(self) -> str:
        return "jupyter_secxops_config"

    @property
    def config_file_paths(self) -> list[str]:
        """The Jupyter configuration path, without the current folder.

        A service may be started from within a project, and a project is not to be trusted.
        """
        here = os.getcwd()  # noqa: PTH109 - what Jupyter itself puts there
        return [path for path in super().config_file_paths if path != here]

    @default("raise_config_file_errors")
    def _raise_config_file_errors_default(self) -> bool:
        # What limits shares may stand in the file: without it there must be none.
        return True

    def migrate_config(self) -> None:
        """Leave the files of other Jupyter versions alone."""

    def load_config_file(self, suppress_errors: bool = True) -> None:  # type: ignore[override]
        """Read the files of settings.

        Raises
        ------
        SettingsUnusable
            One is no Python or JSON, or ends with an error.
        """
        try:
            super().load_config_file(suppress_errors)
        except SecxopsError:
            raise
        except Exception as error:
            raise SettingsUnusable(reason=_where(error)) from None

    def exit(self, exit_status: int | str | None = 0) -> None:
        """End; what is wrong with a setting is told as an error of ours.

        Raises
        ------
        SettingsUnusable
            It ends because of one.
        """
        error = sys.exc_info()[1]
        if isinstance(error, (TraitError, ArgumentError)):
            raise SettingsUnusable(reason=_words(error)) from None
        super().exit(exit_status)

    def make_service(self, runtime: Runtime) -> HostedService:
        """Return the service to host, not yet started."""
        from .placement.policy import ResourcePolicy
        from .sharing.service import MigrationService

        return MigrationService(
            runtime.data,
            self.make_engine(),
            ResourcePolicy(parent=self),
            store_url=self.store_url or None,
            workers=self.workers,
            patience=self.patience_seconds,
        )

    def make_engine(self) -> Engine:
        """Return the engine that is set.

        Raises
        ------
        EngineUnknown
            None of that name is installed.
        """
        found = {row.name: row for row in entry_points(group=ENGINES)}
        if self.engine not in found:
            raise EngineUnknown(engine=self.engine, known=sorted(found))
        try:
            kind = found[self.engine].load()
        except ImportError as error:
            raise EngineUnknown(
                f"What {self.engine} needs is missing ({error.name}): "
                f"pip install 'jupyter-secxops-migrate[{self.engine}]'.",
                engine=self.engine,
                known=sorted(found),
            ) from None
        engine: Engine = kind(parent=self)
        return engine

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
            try:
                service = self.make_service(runtime)
            except TraitError as error:
                raise SettingsUnusable(reason=_words(error)) from None
            await service.start()
            # What was imported stays: to walk through all of it takes the collector a tenth of a
            # second, several times a second where long lists are asked for.
            gc.freeze()
            try:
                await Host(runtime, service, self.idle_seconds).run()
            finally:
                await service.close()


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
        # Not `__name__`: that is "__main__" in the process that a client starts.
        self.log = logging.getLogger(f"{__package__}.serve")

    async def run(self) -> None:
        """Listen until idle, or until a signal.

        SIGTERM and SIGINT end it at once: what is under way is taken up again by the next start.
        SIGUSR1 ends it as soon as it is idle; a client of a newer version asks so.
        """
        from tornado.netutil import bind_unix_socket

        from .web import PeerIdentity, ServiceApplication, serve_application

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
        self.log.info("listening, process %d, version %s", os.getpid(), version())
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
            self.log.info("ended")

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
        logging.getLogger(f"{__package__}.serve").warning("left behind what did not end")
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
    logging.getLogger(__package__).setLevel(level)


def _starter() -> int | None:
    """Return the open file of the client that starts this, which waits to hear why it can't serve."""
    named = os.environ.pop(ERROR_FD, "")
    try:
        descriptor = int(named)
        os.set_inheritable(descriptor, False)
    except (ValueError, OverflowError, OSError):
        return None
    return descriptor


def _words(error: Exception) -> str:
    """Return what is wrong with a setting; its value may be an address with a password."""
    from .engines.output import without_passwords

    return without_passwords(str(error)).strip().rstrip(".")


def _where(error: Exception) -> str:
    """Return what is wrong with a file of settings, and the place."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = "" if isinstance(error, SyntaxError) else f" ({frame.filename}, line {frame.lineno})"
    return f"{type(error).__name__}: {_words(error)}{place}"


def main(
    arguments: Sequence[str] | None = None, application: type[SecxopsService] = SecxopsService
) -> None:
    """Run the service and exit with its status."""
    starter = _starter()
    status = 0
    try:
        app = application()
        app.initialize(list(sys.argv[1:] if arguments is None else arguments))
        app.start()
    except NoStart:
        pass
    except SecxopsError as error:
        status = EXIT_LOCKED if isinstance(error, (StoreLocked, ServiceElsewhere)) else 1
        if starter is not None:
            with suppress(OSError):  # he waits no longer
                os.write(starter, json.dumps(error.as_dict()).encode())
        with suppress(OSError):  # it may go to a file on a full disk
            print(error.message, error.hint, file=sys.stderr)  # noqa: T201 - nothing serves yet
    # Everything is closed. A thread that a library left waiting must not keep the process: the
    # interpreter would wait for it, and whoever ended the service for the interpreter.
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
