"""``jupyter secxops``: everything the sidebar can do, from a shell or a script.

A thin client: it reads arguments, calls `MigrationApi` and shows what comes back. It decides
nothing, knows no engine and no store, and does not keep a share alive: that is the service's work,
so interrupting this command interrupts only the watching. Here the commands of the rooms become one
command line, beside those that belong to no kind of operation; `commands` is what all of them use.

With ``--json`` standard output is exactly one JSON document (an error is one, too: ``code``,
``message``, ``hint``, ``params``) and all else goes to standard error. Exit codes are in `Exit`.

Nothing slow is imported before a command needs it: ``--help`` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import click

from . import rooms
from .commands import PROGRAM, Connect, Exit, Talk, json_option
from .errors import SecxopsError
from .printable import printable

if TYPE_CHECKING:
    from .api import MigrationApi

EXECUTABLE = "jupyter-secxops"
COMPLETE_VARIABLE = "_JUPYTER_SECXOPS_COMPLETE"


def main() -> None:
    """Run the command line and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str], connect: Connect | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        The words after ``jupyter secxops``.
    connect
        Opens the API; a connection to the user's own service where not given.

    Returns
    -------
    int
        The exit status, see `Exit`. No exception leaves this function.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    talk = Talk(connect or own_service)
    try:
        status = command_line().main(
            list(arguments),
            prog_name=PROGRAM,
            complete_var=COMPLETE_VARIABLE,
            standalone_mode=False,
            obj=talk,
        )
        sys.stdout.flush()
        return int(status or Exit.DONE)
    except click.exceptions.Abort:
        return Exit.INTERRUPTED
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        for line in said.getvalue().removesuffix("\n").split("\n"):
            talk.say(printable(line))
        return Exit.USAGE
    except KeyboardInterrupt:
        talk.say("Stopped.")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`| head`); nothing may be written any more, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except SecxopsError as error:
        return talk.failed(error)
    except Exception as error:
        # A person is helped by a sentence; a traceback of ours says nothing about what to do.
        return talk.failed(SecxopsError(f"({type(error).__name__}: {error})"))


def own_service() -> AbstractAsyncContextManager[MigrationApi]:
    """Open the API of the user's own service."""
    from .client import MigrationClient

    return MigrationClient()


def command_line() -> click.Group:
    """Return the whole command line: the commands of each kind of operation, and these."""

    @click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
    @click.version_option(package_name="jupyter-secxops-migrate", message="%(version)s")
    def commands() -> None:
        """Make a second, independent, proven environment of a project.

        An ID below is a share's id, the start of it, or its name. Exit status: 0 done, 1 failed,
        2 wrong usage, 3 refused by the plan.
        """

    found = [command for room in rooms.parts("commands", rooms.KINDS) for command in room.COMMANDS]
    for command in (*found, sweep, doctor, completion, serve):
        commands.add_command(command)
    return commands


@click.command()
@click.option("--remove", is_flag=True, help="Remove what is listed.")
@click.option("--adopt", is_flag=True, help="Take back shares whose record was lost.")
@json_option
@click.pass_obj
def sweep(talk: Talk, remove: bool, adopt: bool) -> None:
    """List what belongs to no share any more: containers, volumes, images.

    Where a cluster has shares whose record was lost with a pod, `--adopt` takes them back: they are listed
    again, and can be opened, stopped and deleted. What was proven of them is not known any more.
    """
    if remove and adopt:
        raise click.UsageError("Give --remove or --adopt, not both.")
    if adopt:
        taken = talk.call(lambda api: api.adopt())
        if talk.json:
            talk.document(taken)
        else:
            from .sharing.terminal import show_adopted

            show_adopted(talk.out, taken)
        return
    found = talk.call(lambda api: api.sweep() if remove else api.orphans())
    if talk.json:
        talk.document(found)
    else:
        from .terminal import show_orphans

        show_orphans(talk.out, found, remove)


@click.command()
@json_option
@click.pass_obj
def doctor(talk: Talk) -> Exit:
    """Check the service, the container engine and their surroundings."""
    report = talk.call(lambda api: api.doctor())
    if talk.json:
        talk.document(report)
    else:
        from .terminal import show_report

        show_report(talk.out, report)
    return Exit.FAILED if any(c.state == "failed" for c in report.checks) else Exit.DONE


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete `jupyter-secxops`, its options and share ids.

    For bash: `eval "$(jupyter secxops completion bash)"`, in ~/.bashrc to keep it.
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(command_line(), {}, EXECUTABLE, COMPLETE_VARIABLE).source())


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    },
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Run the service in the foreground; clients start it by themselves when they need it."""
    from .serve import main as serve_main

    serve_main(list(arguments))
