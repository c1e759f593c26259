"""The service as a program, whoever it serves: its settings, the engine, the policy, its life.

A host is a file beside this one: an application derived from `ServiceApp`, which decides where the
service keeps its things, who may come in and how, and when to leave. Nothing here knows a socket.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from jupyter_core.application import JupyterApp, NoStart
from traitlets import Float, Integer, TraitError, Unicode, default
from traitlets.config.loader import ArgumentError

from ..errors import SecxopsError
from ..runtime import EXIT_LOCKED
from .errors import EngineUnknown, ServiceElsewhere, SettingsUnusable, StoreLocked

if TYPE_CHECKING:
    from ..engines.roles import Engine

ENGINES = "jupyter_secxops_migrate.engines"


class HostedService(Protocol):
    """What a host runs."""

    def for_owner(self, owner: str, room: str = "sharing") -> Any:
        """Return a room's API bound to one owner."""
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


class ServiceApp(JupyterApp):
    """A program that runs the service: what every host of it has."""

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

    def load_config_file(self, suppress_errors: bool = True) -> None:  # type: ignore[override]  # untyped options of `Application`
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

    def make_service(self, folder: Path) -> HostedService:
        """Return the service, not yet started, which keeps its things in a folder."""
        from ..operations.tenant import Surroundings
        from ..placement.policy import ResourcePolicy
        from .house import House

        around = Surroundings(folder, self.make_engine(), ResourcePolicy(parent=self))
        return House(around, self.store_url, self.workers, self.patience_seconds)

    def make_engine(self) -> Engine:
        """Return the engine that is set.

        Raises
        ------
        EngineUnknown
            None of that name is installed, or what is is no engine.
        """
        from ..engines.older import adapted

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
        engine = kind(parent=self)
        try:
            return adapted(engine)
        except TypeError as error:
            raise EngineUnknown(str(error), engine=self.engine, known=sorted(found)) from None

    @asynccontextmanager
    async def serving(self, folder: Path) -> AsyncIterator[HostedService]:
        """Make the service and start it, and close it in the end; the host lets people in meanwhile.

        Parameters
        ----------
        folder
            Where it keeps its things: the host's own, of which it holds the lock.

        Raises
        ------
        SettingsUnusable
            A setting is impossible.
        """
        try:
            service = self.make_service(folder)
        except TraitError as error:
            raise SettingsUnusable(reason=_words(error)) from None
        await service.start()
        # What was imported stays: to walk through all of it takes the collector a tenth of a
        # second, several times a second where long lists are asked for.
        gc.freeze()
        try:
            yield service
        finally:
            await service.close()


def run(
    application: type[ServiceApp],
    arguments: Sequence[str],
    told: Callable[[SecxopsError], object] = lambda error: None,
) -> NoReturn:
    """Run a host to its end and exit with its status.

    Parameters
    ----------
    application
        The host.
    arguments
        The words of its command line.
    told
        Called with the reason, if it can't serve, before that goes to standard error.
    """
    status = 0
    try:
        app = application()
        app.initialize(list(arguments))
        app.start()
    except NoStart:
        pass
    except SecxopsError as error:
        status = EXIT_LOCKED if isinstance(error, (StoreLocked, ServiceElsewhere)) else 1
        told(error)
        with suppress(OSError):  # it may go to a file on a full disk
            print(error.message, error.hint, file=sys.stderr)  # noqa: T201 - nothing serves yet
    # Everything is closed. A thread that a library left waiting must not keep the process: the
    # interpreter would wait for it, and whoever ended the service for the interpreter.
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


def _words(error: Exception) -> str:
    """Return what is wrong with a setting; its value may be an address with a password."""
    from ..engines.output import without_passwords

    return without_passwords(str(error)).strip().rstrip(".")


def _where(error: Exception) -> str:
    """Return what is wrong with a file of settings, and the place."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = "" if isinstance(error, SyntaxError) else f" ({frame.filename}, line {frame.lineno})"
    return f"{type(error).__name__}: {_words(error)}{place}"
