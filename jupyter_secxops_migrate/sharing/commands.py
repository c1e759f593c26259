"""Sharing's commands: what each of them asks of `MigrationApi`, and shows of the answer.

They decide nothing. How the words become a request is in `options`, how an answer looks in `terminal` beside it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from ..commands import PROGRAM, Exit, Talk, complete_folder, json_option
from ..printable import printable
from .options import (
    absolute,
    as_typed,
    data_option,
    find,
    id_argument,
    no_wait_option,
    pod_option,
    request_options,
    verbose_option,
)

if TYPE_CHECKING:
    from ..api import MigrationApi
    from ..model import Event, Migration, PodSource, ShareRequest
    from ..terminal import Watch

LOG_LINES_OF_A_FAILURE = 20


# --------------------------------------------------------------------------- watching


async def events_of(api: MigrationApi, migration: str, seen: int) -> AsyncIterator[Event]:
    """Yield a share's events up to its final state, the one after ``seen`` first."""
    while True:
        async with aclosing(api.events(migration, seen)) as events:
            async for event in events:
                seen = event.id
                yield event
        # A stream that was replayed from before a retry ends with the earlier attempt.
        if (await api.get(migration)).state.final:
            return
        await asyncio.sleep(0.5)


async def _follow(api: MigrationApi, migration: str, watch: Watch, seen: int = 0) -> Migration:
    """Show a share while it happens; return it with its final state."""
    from ..model import StepName, StepState
    from .terminal import show_plan

    planned = False
    async for event in events_of(api, migration, seen):
        if event.line is not None:
            watch.log(event.line)
        if event.step is None:
            continue
        watch.step(event.step)
        checked = event.step.name is StepName.CHECK and event.step.state is StepState.DONE
        if checked and not planned:
            planned = True
            plan = (await api.get(migration)).plan
            if plan is not None:
                show_plan(watch.console, plan)
    return await api.get(migration, token=True)


def _watch(talk: Talk, migration: Migration, verbose: bool, seen: int = 0) -> Exit:
    """Watch a share to its end, say how it ended, and return the status for that."""
    from ..terminal import Watch, plain
    from .terminal import show_outcome, state_of

    async def work(api: MigrationApi) -> tuple[Migration, str]:
        with Watch(talk.err, verbose=verbose) as watch:
            ended = await _follow(api, migration.id, watch, seen)
        failed = ended.error is not None and ended.error.code != "refused"
        return ended, await api.log(ended.id) if failed and not verbose else ""

    try:
        ended, log = talk.call(work)
    except KeyboardInterrupt:
        talk.say(
            f"\nNo longer watching; the share goes on. `{PROGRAM} show {migration.id}` shows it, "
            f"`{PROGRAM} cancel {migration.id}` ends it."
        )
        return Exit.INTERRUPTED
    for line in lines_of(log)[-LOG_LINES_OF_A_FAILURE:]:
        talk.err.print(plain(f"  {line}", "dim"), soft_wrap=True)
    if talk.json:
        talk.document(ended)
    sign, word, style = state_of(ended)
    heading = plain(f"{sign} {ended.name}  {word}", style)
    console = talk.err if talk.json or ended.error else talk.out
    console.print(heading)
    if not talk.json or ended.error:
        show_outcome(console, ended)
    return _status(ended)


def lines_of(log: str) -> list[str]:
    """Return the lines of a log."""
    # Not `splitlines`: an entry may hold characters that only some call the end of a line.
    return log.removesuffix("\n").split("\n") if log else []


def _status(migration: Migration) -> Exit:
    from ..model import MigrationState

    if migration.state is MigrationState.SUCCEEDED or not migration.state.final:
        return Exit.DONE
    if migration.error is not None and migration.error.code == "refused":
        return Exit.REFUSED
    return Exit.FAILED


def _started(talk: Talk, migration: Migration) -> Exit:
    """Answer for ``--no-wait``."""
    if talk.json:
        talk.document(migration)
    else:
        talk.out.print(migration.id)
        talk.say(f"Under way. `{PROGRAM} logs --follow {migration.id}` follows it.")
    return Exit.DONE


# --------------------------------------------------------------------------- commands


@click.command()
@click.argument("project", default=".", shell_complete=complete_folder)
@data_option
@pod_option
@json_option
@click.pass_obj
def check(talk: Talk, project: str, data: tuple[str, ...], source: PodSource | None) -> None:
    """Show the environment of PROJECT as it is now; touches nothing."""
    folder = absolute(project, source)
    folders = [absolute(path, source) for path in data]
    with as_typed(project, data, source):
        environment = talk.call(lambda api: api.environment(folder, folders, source))
    if talk.json:
        talk.document(environment)
    else:
        from .terminal import show_environment

        show_environment(talk.out, environment)


@click.command()
@request_options()
@json_option
@click.pass_obj
def plan(talk: Talk, request: ShareRequest) -> Exit:
    """Show what a share of PROJECT would do; touches nothing."""
    found = talk.call(lambda api: api.plan(request))
    if talk.json:
        talk.document(found)
    else:
        from .terminal import show_plan

        show_plan(talk.out, found)
    return Exit.REFUSED if found.refusals else Exit.DONE


@click.command()
@request_options()
@no_wait_option
@verbose_option
@json_option
@click.pass_obj
def share(talk: Talk, request: ShareRequest, no_wait: bool, verbose: bool) -> Exit:
    """Share PROJECT: build its image, copy its code and the given data, launch, and prove it."""
    from uuid import uuid4

    key = uuid4().hex
    migration = talk.call(lambda api: api.share(request, key))
    return _started(talk, migration) if no_wait else _watch(talk, migration, verbose)


@click.command(name="list")
@json_option
@click.pass_obj
def list_(talk: Talk) -> None:
    """List your shares, newest first."""
    found = talk.call(lambda api: api.list())
    if talk.json:
        talk.document(found)
    else:
        from .terminal import show_list

        show_list(talk.out, found)


@click.command()
@id_argument
@json_option
@click.pass_obj
def show(talk: Talk, wanted: str) -> None:
    """Show one share: its steps, its proof, its address."""

    async def work(api: MigrationApi) -> Migration:
        return await api.get((await find(api, wanted)).id, token=True, changes=True)

    migration = talk.call(work)
    if talk.json:
        talk.document(migration)
    else:
        from .terminal import show_migration

        show_migration(talk.out, migration)


@click.command()
@id_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the share has ended.")
@json_option
@click.pass_obj
def logs(talk: Talk, wanted: str, follow: bool) -> None:
    """Print a share's log: the build's output, and what the copy and the launch said."""

    lines: list[str] = []

    def take(line: str) -> None:
        if talk.json:
            lines.append(line)
        else:
            click.echo(printable(line))

    async def work(api: MigrationApi) -> str:
        migration = await find(api, wanted)
        if follow and not migration.state.final:
            async for event in events_of(api, migration.id, 0):
                if event.line is not None:
                    take(event.line)
        else:
            for line in lines_of(await api.log(migration.id)):
                take(line)
        return migration.id

    found = talk.call(work)
    if talk.json:
        talk.document({"id": found, "lines": lines})


@click.command()
@id_argument
@no_wait_option
@json_option
@click.pass_obj
def cancel(talk: Talk, wanted: str, no_wait: bool) -> Exit:
    """End a share that is under way; what it made is removed."""
    from ..model import MigrationState

    async def work(api: MigrationApi) -> Migration:
        migration = await api.cancel((await find(api, wanted)).id)
        if not migration.state.final and not no_wait:
            async for _ in events_of(api, migration.id, 0):
                pass
            migration = await api.get(migration.id)
        return migration

    talk.say(f"Cancelling {printable(wanted)} …")
    migration = talk.call(work)
    if talk.json:
        talk.document(migration)
    elif migration.state is MigrationState.CANCELLED:
        talk.out.print(
            f"{printable(migration.name)} was cancelled; nothing is left behind.", markup=False
        )
    elif not migration.state.final:
        talk.out.print(f"{printable(migration.name)} is being cancelled.", markup=False)
    else:
        talk.out.print(
            f"{printable(migration.name)} had {migration.state.value} before it could be cancelled.",
            markup=False,
        )
    cancelled = (MigrationState.CANCELLED, MigrationState.CANCELLING)
    return Exit.DONE if migration.state in cancelled else Exit.FAILED


@click.command()
@id_argument
@no_wait_option
@verbose_option
@json_option
@click.pass_obj
def retry(talk: Talk, wanted: str, no_wait: bool, verbose: bool) -> Exit:
    """Run a failed or cancelled share again, from its plan on."""

    async def work(api: MigrationApi) -> tuple[Migration, int]:
        migration = await find(api, wanted)
        seen = 0
        if migration.state.final:
            # The events of earlier attempts are not those of this one.
            async for event in events_of(api, migration.id, 0):
                seen = event.id
        return await api.retry(migration.id), seen

    migration, seen = talk.call(work)
    return _started(talk, migration) if no_wait else _watch(talk, migration, verbose, seen)


def _environment_command(talk: Talk, wanted: str, verb: str) -> None:
    from .terminal import show_migration

    async def work(api: MigrationApi) -> Migration:
        found = await find(api, wanted)
        await (api.stop(found.id) if verb == "stop" else api.start(found.id))
        return await api.get(found.id, token=True)

    migration = talk.call(work)
    if talk.json:
        talk.document(migration)
    else:
        show_migration(talk.out, migration)


@click.command()
@id_argument
@json_option
@click.pass_obj
def stop(talk: Talk, wanted: str) -> None:
    """Stop a launched environment; its code, data and image stay."""
    _environment_command(talk, wanted, "stop")


@click.command()
@id_argument
@json_option
@click.pass_obj
def start(talk: Talk, wanted: str) -> None:
    """Start a stopped environment again."""
    _environment_command(talk, wanted, "start")


@click.command()
@id_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def delete(talk: Talk, wanted: str, yes: bool) -> Exit:
    """Delete a share: its container, its copies, and its image if nothing else uses it."""

    migration = talk.call(lambda api: find(api, wanted))
    name = printable(migration.name)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("delete needs --yes where nobody can be asked.")
        question = f"Delete {name} ({migration.id}) with its copies of code and data?"
        if not click.confirm(question, err=True):
            talk.say("Nothing was deleted.")
            return Exit.FAILED
    talk.call(lambda api: api.delete(migration.id))
    if talk.json:
        talk.document({"id": migration.id, "name": migration.name, "deleted": True})
    else:
        talk.out.print(f"{name} is deleted.", markup=False)
    return Exit.DONE


COMMANDS: tuple[click.Command, ...] = (
    *(check, plan, share, list_, show, logs),
    *(cancel, retry, stop, start, delete),
)
"""In the order in which a person meets them."""
