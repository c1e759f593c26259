"""What every command has to hand: the talk with the person and the service, exit statuses, the options of all.

A kind of operation has its commands in ``ROOM/commands.py``, as ``COMMANDS``; `cli.command_line` collects them. Light, and
so are these: ``--help`` answers at once, so they may import what they need to *run* only within their functions.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .errors import InvalidRequest, NoSuchPath, Refusal, SecxopsError
from .project.errors import NoSuchVersion

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from pydantic import BaseModel
    from rich.console import Console

    from .api import MigrationApi

Connect = Callable[[], "AbstractAsyncContextManager[MigrationApi]"]
T = TypeVar("T")

PROGRAM = "jupyter secxops"
LINE_IN_A_PIPE = 4000


class Exit(IntEnum):
    """What a script learns from the exit status."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    INTERRUPTED = 130


def _console(terminal: bool, *, stderr: bool = False) -> Console:
    from rich.console import Console

    # What reads a pipe searches it by lines: no line is folded there.
    return Console(stderr=stderr, highlight=False, width=None if terminal else LINE_IN_A_PIPE)


class Talk:
    """One command's dealings with the person at the terminal and with the service.

    Parameters
    ----------
    connect
        Opens the API.
    """

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        self.json = False

    @property
    def out(self) -> Console:
        """Standard output: results."""
        return _console(sys.stdout.isatty())

    @property
    def err(self) -> Console:
        """Standard error: progress, errors, and advice."""
        return _console(sys.stderr.isatty(), stderr=True)

    def say(self, sentence: str) -> None:
        """Tell the person something that is no result."""
        click.echo(sentence, err=True)

    def call(self, work: Callable[[MigrationApi], Awaitable[T]]) -> T:
        """Connect, do the work, and disconnect."""

        async def connected() -> T:
            async with self.connect() as api:
                return await work(api)

        return asyncio.run(connected())

    def document(self, value: BaseModel | Sequence[BaseModel] | dict[str, Any]) -> None:
        """Write the one JSON document."""
        import json

        if isinstance(value, dict):
            plain: Any = value
        elif isinstance(value, Sequence):
            plain = [item.model_dump(mode="json") for item in value]
        else:
            plain = value.model_dump(mode="json")
        click.echo(json.dumps(plain, indent=2))

    def failed(self, error: SecxopsError) -> Exit:
        """Say what went wrong and return the status for it."""
        from .terminal import show_error

        show_error(self.err, error.message, error.hint)
        if self.json:
            self.document(error.as_dict())
        if isinstance(error, Refusal):
            return Exit.REFUSED
        if isinstance(error, InvalidRequest | NoSuchPath | NoSuchVersion):
            return Exit.USAGE
        return Exit.FAILED


def complete_folder(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Leave it to the shell to complete a folder."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type="dir")]


def _take_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    talk = context.find_object(Talk)
    assert talk is not None
    talk.json = value


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_take_json,
    is_eager=True,
    help="Write one JSON document to standard output, all else to standard error.",
)
