"""``%secxops``: shares from a notebook's cell, or an IPython console.

The words, the options and the tables are the command line's; what is different here is that a cell
returns at once and its output goes on by itself, and that nothing of an environment's token may be
shown: outputs are saved with the notebook. Imported by ``%load_ext jupyter_secxops_migrate`` only.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import shlex
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import ShellComplete
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.display import display
from rich.console import Console
from rich.text import Text

from .api import MigrationApi
from .cells import bundle
from .cli import own_service
from .commands import Connect
from .errors import SecxopsError
from .model import Event, Migration, ShareRequest, Step, StepName, StepState
from .printable import counted, printable
from .sharing.commands import lines_of
from .sharing.options import find, request_options
from .sharing.terminal import show_list, show_migration, show_outcome, show_plan, state_of
from .terminal import Watch, plain, progress_line, show_error, step_line

T = TypeVar("T")

UPDATES_PER_SECOND = 4
LOG_LINES = 200
MOST_READ = 64 * 1024 * 1024
"""Bytes of a notebook's file that are read to see whether it is saved."""


class Failed(Exception):
    """A cell that failed with a sentence: what stands after it in a notebook is not run."""

    def __init__(self, error: SecxopsError) -> None:
        super().__init__(f"{error.message} {error.hint}".strip())
        self.error = error

    def _render_traceback_(self) -> list[str]:
        """IPython shows this in place of a traceback."""
        said = [f"✕ {printable(self.error.message)}"]
        return [*said, f"  {printable(self.error.hint)}"] if self.error.hint else said


def own_notebook() -> Path | None:
    """Return the notebook of this kernel, None where its server does not say, or it is no file here."""
    said = Path(os.environ.get("JPY_SESSION_NAME", ""))
    path = said if said.is_absolute() else Path.cwd() / said.name
    return path if path.suffix == ".ipynb" and path.is_file() else None


def is_unsaved(notebook: Path, asked_by: Mapping[str, Any]) -> bool:
    """Return whether the cell that runs is not in the notebook's file as it is.

    A kernel knows of no other changes; nor of these where it is not a notebook that asks.
    """
    wanted = asked_by.get("metadata", {}).get("cellId")
    code = asked_by.get("content", {}).get("code")
    try:
        if wanted is None or code is None or notebook.stat().st_size > MOST_READ:
            return False
        cells = json.loads(notebook.read_bytes())["cells"]
        known = [(cell.get("id"), "".join(cell["source"])) for cell in cells]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    # Notebooks of an older format keep no ids.
    has_ids = any(name is not None for name, _ in known)
    return (wanted if has_ids else None, code) not in known


class Live:
    """The output of one share, which follows it.

    Parameters
    ----------
    migration
        The share as it was when it began.
    """

    def __init__(self, migration: Migration) -> None:
        self.migration = migration
        self.steps: dict[str, Step] = {step.name: step for step in migration.steps}
        self.error: SecxopsError | None = None
        self._handle: Any = None
        self._changed = False

    def take(self, event: Event) -> None:
        """Take an event in; it is drawn with the next ones."""
        self._changed = True
        if event.step is not None:
            self.steps[event.step.name] = event.step
        if event.state is not None:
            self.migration = self.migration.model_copy(update={"state": event.state})

    async def redraw(self) -> None:
        """Draw what has changed, now and then, until cancelled."""
        while True:
            if self._changed:
                self.draw()
            await asyncio.sleep(1 / UPDATES_PER_SECOND)

    def draw(self) -> None:
        """Show the share as it is now, where it was shown before."""
        self._changed = False
        shown = bundle(self.show)
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)

    def show(self, console: Console) -> None:
        """Print the share."""
        migration = self.migration
        sign, word, style = state_of(migration)
        name = printable(migration.name)
        heading = Text.assemble((f"{sign} ", style), (name, "bold"), f"  {word}  ")
        console.print(heading.append(migration.id, "dim"))
        if migration.plan is not None and not migration.state.final:
            for reason in migration.plan.reasons:
                console.print(plain(f"  {reason.message}"))
            for warning in migration.plan.warnings:
                console.print(plain(f"  ! {warning.message}", "yellow"))
        for step in self.steps.values():
            if step.state is StepState.RUNNING:
                console.print(plain(f"  {progress_line(step)}", "cyan"))
            elif step.state not in (StepState.WAITING, StepState.SKIPPED):
                console.print(plain(f"  {step_line(step)}"))
        show_outcome(console, migration)
        if migration.environment is not None:
            console.print(
                plain(
                    "  Open it from the sidebar; "
                    f"`jupyter secxops show {migration.id}` has the address with its token.",
                    "dim",
                )
            )
        if self.error is not None:
            show_error(console, self.error.message, self.error.hint)

    async def follow(self, api: MigrationApi, take: Callable[[Event], None]) -> None:
        """Follow the share to its end; ``take`` gets its events."""
        seen = 0
        while not self.migration.state.final:
            async with aclosing(api.events(self.migration.id, seen)) as events:
                async for event in events:
                    seen = event.id
                    if event.step is not None and event.step.name is StepName.CHECK:
                        self.migration = await api.get(self.migration.id)
                    take(event)
            self.migration = await api.get(self.migration.id)
            if not self.migration.state.final:
                await asyncio.sleep(0.5)
        self.steps = {step.name: step for step in self.migration.steps}


class Desk:
    """What the commands of ``%secxops`` work with.

    Parameters
    ----------
    connect
        Opens the API.
    notebook
        Whether outputs can change after they were shown; in a console they can't.
    asked_by
        Gives the message by which the cell that runs was asked for.
    """

    def __init__(
        self, connect: Connect, notebook: bool, asked_by: Callable[[], Mapping[str, Any]] = dict
    ) -> None:
        self.connect = connect
        self.notebook = notebook
        self._asked_by = asked_by

    def with_notebook(self, request: ShareRequest) -> ShareRequest:
        """Return a request that says which notebook it came from, and whether that is saved as it is."""
        front = own_notebook()
        if front is None or request.source is not None:
            return request
        unsaved = [str(front)] if is_unsaved(front, self._asked_by()) else []
        return request.model_copy(update={"front": str(front), "unsaved": unsaved})

    def call(self, work: Callable[[MigrationApi], Awaitable[T]]) -> T:
        """Do the work and return its result; an interrupt ends it."""
        found: list[T] = []
        failed: list[BaseException] = []
        loop: list[asyncio.AbstractEventLoop] = []

        async def connected() -> None:
            loop.append(asyncio.get_running_loop())
            async with self.connect() as api:
                found.append(await work(api))

        def go() -> None:
            try:
                asyncio.run(connected())
            except BaseException as error:
                failed.append(error)

        # The kernel's own loop runs in this thread.
        thread = self.beside(go)
        try:
            while thread.is_alive():
                thread.join(0.2)
        except KeyboardInterrupt:
            for running in loop:
                running.call_soon_threadsafe(_cancel_all, running)
            raise
        if failed:
            raise failed[0]
        return found[0]

    def beside(self, work: Callable[[], None]) -> threading.Thread:
        """Run ``work`` in a thread whose outputs belong to this cell."""
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(work,), daemon=True, name="secxops")
        thread.start()
        return thread

    def show(self, what: Callable[[Console], None], *, log: bool = False) -> None:
        """Show something that stays as it is; ``log`` is what programs wrote."""
        if self.notebook:
            display(bundle(what, log=log), raw=True)
        else:
            what(Console(highlight=False))

    def say(self, sentence: str) -> None:
        """Tell the person something."""
        self.show(lambda console: console.print(plain(sentence)))

    def follow(self, migration: Migration, wait: bool) -> None:
        """Show a share until it ends; the cell ends at once, or with it."""
        if not self.notebook:
            self._follow_in_console(migration, wait)
            return
        live = Live(migration)
        live.draw()

        def go() -> None:
            async def work() -> None:
                async with self.connect() as api:
                    drawing = asyncio.create_task(live.redraw())
                    await live.follow(api, live.take)
                    drawing.cancel()

            try:
                asyncio.run(work())
            except SecxopsError as error:
                live.error = error
            live.draw()

        thread = self.beside(go)
        try:
            while wait and thread.is_alive():
                thread.join(0.2)
        except KeyboardInterrupt:
            self.say(
                f"No longer waiting; the share goes on. `%secxops cancel {migration.id}` ends it."
            )
            return
        if wait:
            _raise_if_failed(live.error, live.migration)

    def _follow_in_console(self, migration: Migration, wait: bool) -> None:
        if not wait:
            self.say(f"Under way: `%secxops status {migration.id}` shows it.")
            return
        live = Live(migration)

        async def work(api: MigrationApi) -> None:
            with Watch(Console(highlight=False)) as watch:

                def take(event: Event) -> None:
                    if event.step is not None:
                        watch.step(event.step)

                await live.follow(api, take)

        try:
            self.call(work)
        except KeyboardInterrupt:
            self.say(
                f"No longer waiting; the share goes on. `%secxops cancel {migration.id}` ends it."
            )
            return
        if live.migration.error is None:
            self.show(live.show)
        _raise_if_failed(None, live.migration)


def _raise_if_failed(error: SecxopsError | None, migration: Migration) -> None:
    if error is None and migration.error is not None:
        refusals = migration.plan.refusals if migration.plan else []
        said = refusals[0] if migration.error.code == "refused" and refusals else migration.error
        error = SecxopsError()
        error.message, error.hint = said.message, said.hint
    if error is not None:
        raise Failed(error)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


# --------------------------------------------------------------------------- commands


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    add_help_option=True,
)
def magic() -> None:
    """Make a second, independent, proven environment of this notebook's project.

    PROJECT is this notebook's own where not given. An ID is a share's id, the start of it, or its
    name.
    """


project_options = request_options(project=".")


@magic.command()
@project_options
@click.pass_obj
def plan(desk: Desk, request: ShareRequest) -> None:
    """Show what a share of PROJECT would do; touches nothing."""
    request = desk.with_notebook(request)
    found = desk.call(lambda api: api.plan(request))
    desk.show(lambda console: show_plan(console, found))


@magic.command()
@project_options
@click.option("--wait", is_flag=True, help="Hold the cell until the share has ended.")
@click.pass_obj
def share(desk: Desk, request: ShareRequest, wait: bool) -> None:
    """Share PROJECT: build its image, copy its code and the given data, launch, and prove it."""
    from uuid import uuid4

    key = uuid4().hex
    request = desk.with_notebook(request)
    desk.follow(desk.call(lambda api: api.share(request, key)), wait)


@magic.command()
@click.argument("wanted", metavar="[ID]", required=False)
@click.pass_obj
def status(desk: Desk, wanted: str | None) -> None:
    """Show one share, which goes on in this output; without ID, list all."""
    if wanted is None:
        migrations = desk.call(lambda api: api.list())
        if migrations:
            desk.show(lambda console: show_list(console, migrations))
        else:
            desk.say("No shares yet. `%secxops share` makes the first.")
        return

    async def work(api: MigrationApi) -> Migration:
        return await api.get((await find(api, wanted)).id, changes=True)

    migration = desk.call(work)
    if migration.state.final or not desk.notebook:
        desk.show(lambda console: show_migration(console, migration))
    else:
        desk.follow(migration, wait=False)


@magic.command()
@click.argument("wanted", metavar="[ID]", required=False)
@click.option("--all", "everything", is_flag=True, help=f"Not only the last {LOG_LINES} lines.")
@click.pass_obj
def log(desk: Desk, wanted: str | None, everything: bool) -> None:
    """Show a share's log; the newest share's without ID."""

    async def work(api: MigrationApi) -> list[str]:
        migration = (
            await find(api, wanted) if wanted else _first(await api.list(), "No shares yet.")
        )
        return lines_of(await api.log(migration.id))

    lines = desk.call(work)
    left_out = 0 if everything else max(0, len(lines) - LOG_LINES)

    def show(console: Console) -> None:
        if left_out:
            console.print(
                plain(f"… {counted(left_out, 'line', 'lines')} before; --all shows all", "dim")
            )
        for line in lines[left_out:] or ["Nothing in it yet."]:
            console.print(plain(line), soft_wrap=True)

    desk.show(show, log=True)


@magic.command()
@click.argument("wanted", metavar="[ID]", required=False)
@click.pass_obj
def cancel(desk: Desk, wanted: str | None) -> None:
    """End a share that is under way; without ID, the only one."""

    async def work(api: MigrationApi) -> Migration:
        if wanted:
            migration = await find(api, wanted)
        else:
            active = [m for m in await api.list() if not m.state.final]
            if len(active) > 1:
                ids = ", ".join(m.id for m in active)
                raise click.UsageError(f"Several are under way: {ids}. Give one of these.")
            migration = _first(active, "There is no share under way.")
        return await api.cancel(migration.id)

    desk.follow(desk.call(work), wait=False)


def _first(migrations: Sequence[Migration], without: str) -> Migration:
    if not migrations:
        raise click.UsageError(without)
    return migrations[0]


# --------------------------------------------------------------------------- IPython


@magics_class
class SecxopsMagics(Magics):
    """The magic, in one shell.

    Parameters
    ----------
    shell
        IPython.
    connect
        Opens the API; a connection to the user's own service where not given.
    """

    def __init__(self, shell: InteractiveShell, connect: Connect | None = None) -> None:
        super().__init__(shell)
        kernel = getattr(shell, "kernel", None)
        asked_by = dict if kernel is None else kernel.get_parent
        self.desk = Desk(connect or own_service, kernel is not None, asked_by)

    @line_magic
    def secxops(self, line: str) -> None:
        """Share this notebook's environment."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(str(error)) from None
        try:
            magic.main(
                words or ["--help"], prog_name="%secxops", standalone_mode=False, obj=self.desk
            )
        except click.ClickException as error:
            raise UsageError(error.format_message()) from None
        except SecxopsError as error:
            raise Failed(error) from None
        except (KeyboardInterrupt, click.Abort):
            self.desk.say("Stopped.")


def complete(_: object, event: Any) -> list[str]:
    """Complete a line of ``%secxops``, for IPython's completer."""
    words = event.text_until_cursor.split()
    begun = "" if event.text_until_cursor.endswith(" ") else words.pop()
    shell = ShellComplete(magic, {}, "%secxops", "")
    return [item.value for item in shell.get_completions(words[1:], begun)]


def register(shell: InteractiveShell, connect: Connect | None = None) -> None:
    """Give a shell the magic; again is no harm."""
    magics = SecxopsMagics(shell, connect)
    with click.Context(magic, info_name="%secxops") as context:
        SecxopsMagics.secxops.__doc__ = magic.get_help(context)
    shell.register_magics(magics)
    shell.set_hook("complete_command", complete, str_key="%secxops")
