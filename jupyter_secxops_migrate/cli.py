"""``jupyter secxops``: everything the sidebar can do, from a shell or a script.

A thin client: it reads arguments, calls `MigrationApi` and shows what comes back. It decides
nothing, knows no engine and no store, and does not keep a share alive: that is the service's work,
so interrupting this command interrupts only the watching.

With ``--json`` standard output is exactly one JSON document (an error is one, too: ``code``,
``message``, ``hint``, ``params``) and all else goes to standard error. Exit codes are in `Exit`.

Nothing slow is imported before a command needs it: ``--help`` answers at once.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from enum import IntEnum
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .errors import InvalidRequest, NoSuchPath, NotFound, Refusal, SecxopsError
from .printable import printable
from .project.errors import NoSuchVersion

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from pydantic import BaseModel
    from rich.console import Console

    from .api import MigrationApi
    from .model import Event, Migration, PodSource, ShareRequest
    from .terminal import Watch

Connect = Callable[[], "AbstractAsyncContextManager[MigrationApi]"]
T = TypeVar("T")

PROGRAM = "jupyter secxops"
EXECUTABLE = "jupyter-secxops"
COMPLETE_VARIABLE = "_JUPYTER_SECXOPS_COMPLETE"
COMPLETE_SECONDS = 2.0
LOG_LINES_OF_A_FAILURE = 20
LINE_IN_A_PIPE = 4000


class Exit(IntEnum):
    """What a script learns from the exit status."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    INTERRUPTED = 130


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
        status = commands.main(
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


# --------------------------------------------------------------------------- options


def _absolute(path: str, source: PodSource | None) -> str:
    """Return what a path means: from here, as the service has another current folder, or in a pod.

    Raises
    ------
    click.UsageError
        It is relative to a place in a pod that nobody here knows.
    """
    if source is None:
        return os.path.abspath(path)  # noqa: PTH100 - links stay
    if not path.startswith("/"):
        raise click.UsageError(
            f"With --pod, a folder is one of the pod's: give {path!r} as an absolute path."
        )
    return os.path.normpath(path)


def _pod(_: click.Context, __: click.Parameter, value: str | None) -> PodSource | None:
    """Read POD or POD/CONTAINER."""
    if value is None:
        return None
    from pydantic import ValidationError

    from .model import PodSource

    pod, slash, container = value.partition("/")
    try:
        return PodSource(pod=pod, container=container if slash else None)
    except ValidationError:
        raise click.BadParameter(f"{value!r} is not a pod's name, or POD/CONTAINER") from None


def _folders(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
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


def _shares(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete a share's id or name; a service is asked only where one runs already."""
    from click.shell_completion import CompletionItem

    from .runtime import Runtime

    talk = context.find_object(Talk)
    if talk is None or Runtime.find().listener() is None:
        return []
    try:
        found = talk.call(lambda api: asyncio.wait_for(api.list(), COMPLETE_SECONDS))
    except (SecxopsError, OSError, TimeoutError, asyncio.TimeoutError):
        return []
    named = [CompletionItem(m.id, help=f"{m.name} · {m.state.value}") for m in found]
    return [item for item in named if item.value.startswith(begun)]


id_argument = click.argument("wanted", metavar="ID", shell_complete=_shares)
no_wait_option = click.option("--no-wait", is_flag=True, help="Return as soon as it is under way.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Show every line of its log.")
data_option = click.option(
    "--data",
    metavar="PATH",
    multiple=True,
    shell_complete=_folders,
    help="A data folder to take along; may be given several times.",
)
keep_option = click.option(
    "--keep",
    metavar="PATH",
    multiple=True,
    help="Copy this although it may hold credentials: a path from the project's folder, or an absolute one; "
    "may be given several times.",
)
pod_option = click.option(
    "--pod",
    "source",
    metavar="POD[/CONTAINER]",
    callback=_pod,
    help="On a cluster, from outside: the notebook's pod. Folders are the pod's then.",
)


def request_options(
    project: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of a share, and their `ShareRequest` as ``request``.

    ``project`` is shared where none is given; without it one must be.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        return _with_request(command, project)

    return decorate


def _mounts(
    words: Sequence[str], project: str, data: Sequence[str], source: PodSource | None
) -> dict[str, str]:
    """Read ``PATH=MOUNT`` where PATH is the project or one of the data; either may hold a ``=``.

    Raises
    ------
    click.UsageError
        It names neither.
    """
    known = {_absolute(path, source) for path in (project, *data)}
    found = {}
    for word in words:
        parts = word.split("=")
        splits = [("=".join(parts[:n]), "=".join(parts[n:])) for n in range(1, len(parts))]
        meant = [
            (path, mount)
            for given, mount in splits
            if given and (path := _absolute(given, source)) in known
        ]
        if not meant:
            raise click.UsageError(
                f"--mount {word!r} has to be PATH=MOUNT, where PATH is the project or one of --data."
            )
        path, mount = meant[-1]
        found[path] = mount
    return found


def _option(field: str) -> str:
    """Return what a field of a request is called here."""
    name = field.partition(".")[0]
    others = {"project": "PROJECT", "mounts": "--mount", "source": "--pod"}
    return others.get(name, f"--{name.replace('_', '-')}")


@contextmanager
def _as_typed(project: str, data: Sequence[str], source: PodSource | None) -> Iterator[None]:
    """Say of a folder that is not there as what it was typed, and where it was looked for."""
    try:
        yield
    except NoSuchPath as error:
        typed = {_absolute(project, source): "PROJECT"}
        typed |= {_absolute(path, source): "--data" for path in data}
        if (option := typed.get(str(error.params.get("path")))) is not None:
            error.message = f"{option}: {error.message}"
        here = f"the folder {printable(os.getcwd())}"  # noqa: PTH109 - text
        where = f"the pod {source.pod}" if source else here
        error.hint = f"Check the path; it was looked for in {where}."
        if not source:
            error.hint = f"Check the path; a relative one starts at {here}."
        raise


def _with_request(command: Callable[..., Any], default: str | None) -> Callable[..., Any]:
    @wraps(command)
    def with_request(
        project: str,
        data: tuple[str, ...],
        mount: tuple[str, ...],
        keep: tuple[str, ...],
        keep_owners: bool,
        source: PodSource | None,
        cpu: str | None,
        memory: str | None,
        gpu: str,
        name: str | None,
        version: str | None,
        dockerfile: str | None,
        **others: Any,
    ) -> Any:
        from pydantic import ValidationError

        from .fields import wrong_fields
        from .model import ShareRequest

        asked = {
            "project": _absolute(project, source),
            "data": [_absolute(path, source) for path in data],
            "mounts": _mounts(mount, project, data, source),
            "keep": list(keep),
            "keep_owners": keep_owners,
            "source": source,
            "cpu": cpu,
            "memory": memory,
            "gpu": gpu,
            "name": name,
            "version": version,
            "dockerfile": dockerfile and os.path.normpath(dockerfile),
        }
        try:
            request = ShareRequest.model_validate(asked)
        except ValidationError as error:
            path, said = wrong_fields(error)[0]
            raise click.UsageError(said.replace(path, _option(path), 1) + ".") from None
        with _as_typed(project, data, source):
            return command(request=request, **others)

    known: dict[str, Any] = {} if default is None else {"default": default}
    for option in reversed(
        (
            click.argument(
                "project",
                shell_complete=_folders,
                **known,
            ),
            data_option,
            click.option(
                "--mount",
                metavar="PATH=MOUNT",
                multiple=True,
                help="Where the copy has the project or a data folder; may be given several times.",
            ),
            keep_option,
            click.option(
                "--keep-owners",
                is_flag=True,
                help="Leave files of other accounts to them, not to the copy's user.",
            ),
            pod_option,
            # The request's own rules judge the numbers, so that every client says the same of them.
            click.option("--cpu", metavar="N", help="CPUs, such as 2 or 0.5."),
            click.option("--memory", metavar="SIZE", help="Such as 2G or 512M."),
            click.option("--gpu", default="0", metavar="N", help="GPUs."),
            click.option("--name", help="The share's name; made of project and date otherwise."),
            click.option("--version", metavar="REF", help="A local git commit, tag or branch."),
            click.option(
                "--dockerfile",
                metavar="PATH",
                help="Where in the project its Dockerfile is, such as binder/Dockerfile.",
            ),
        )
    ):
        with_request = option(with_request)
    return with_request


# --------------------------------------------------------------------------- finding a share


async def find(api: MigrationApi, wanted: str) -> Migration:
    """Return the share that a person means by an id, the start of an id, or a name.

    Raises
    ------
    NotFound
        None of the owner's shares is meant.
    click.UsageError
        Several are.
    """
    migrations = await api.list()
    for matches in (
        [m for m in migrations if m.id == wanted],
        [m for m in migrations if m.name == wanted],
        [m for m in migrations if wanted and m.id.startswith(wanted)],
    ):
        if len(matches) > 1:
            ids = ", ".join(m.id for m in matches)
            raise click.UsageError(f"{wanted} means several shares: {ids}. Give one of these.")
        if matches:
            return matches[0]
    raise NotFound(id=wanted)


# --------------------------------------------------------------------------- watching


async def events_of(api: MigrationApi, migration: str, seen: int) -> AsyncIterator[Event]:
    """Yield a share's events up to its final state, the one after ``seen`` first."""
    while True:
        async with aclosing(api.events(migration, seen)) as events:  # type: ignore[type-var]
            async for event in events:
                seen = event.id
                yield event
        # A stream that was replayed from before a retry ends with the earlier attempt.
        if (await api.get(migration)).state.final:
            return
        await asyncio.sleep(0.5)


async def _follow(api: MigrationApi, migration: str, watch: Watch, seen: int = 0) -> Migration:
    """Show a share while it happens; return it with its final state."""
    from .model import StepName, StepState
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
    from .terminal import Watch, plain, show_outcome, state_of

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
    from .model import MigrationState

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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="jupyter-secxops-migrate", message="%(version)s")
def commands() -> None:
    """Make a second, independent, proven environment of a project.

    An ID below is a share's id, the start of it, or its name. Exit status: 0 done, 1 failed,
    2 wrong usage, 3 refused by the plan.
    """


@commands.command()
@click.argument("project", default=".", shell_complete=_folders)
@data_option
@pod_option
@json_option
@click.pass_obj
def check(talk: Talk, project: str, data: tuple[str, ...], source: PodSource | None) -> None:
    """Show the environment of PROJECT as it is now; touches nothing."""
    folder = _absolute(project, source)
    folders = [_absolute(path, source) for path in data]
    with _as_typed(project, data, source):
        environment = talk.call(lambda api: api.environment(folder, folders, source))
    if talk.json:
        talk.document(environment)
    else:
        from .terminal import show_environment

        show_environment(talk.out, environment)


@commands.command()
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


@commands.command()
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


@commands.command(name="list")
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


@commands.command()
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


@commands.command()
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


@commands.command()
@id_argument
@no_wait_option
@json_option
@click.pass_obj
def cancel(talk: Talk, wanted: str, no_wait: bool) -> Exit:
    """End a share that is under way; what it made is removed."""
    from .model import MigrationState

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
    else:
        talk.out.print(f"{printable(migration.name)} is {migration.state.value}.", markup=False)
    cancelled = (MigrationState.CANCELLED, MigrationState.CANCELLING)
    return Exit.DONE if migration.state in cancelled else Exit.FAILED


@commands.command()
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


@commands.command()
@id_argument
@json_option
@click.pass_obj
def stop(talk: Talk, wanted: str) -> None:
    """Stop a launched environment; its code, data and image stay."""
    _environment_command(talk, wanted, "stop")


@commands.command()
@id_argument
@json_option
@click.pass_obj
def start(talk: Talk, wanted: str) -> None:
    """Start a stopped environment again."""
    _environment_command(talk, wanted, "start")


@commands.command()
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


@commands.command()
@click.option("--remove", is_flag=True, help="Remove what is listed.")
@click.option("--adopt", is_flag=True, help="Take shares whose record was lost back into it.")
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
            from .terminal import show_adopted

            show_adopted(talk.out, taken)
        return
    found = talk.call(lambda api: api.sweep() if remove else api.orphans())
    if talk.json:
        talk.document(found)
    else:
        from .terminal import show_orphans

        show_orphans(talk.out, found, remove)


@commands.command()
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


@commands.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete `jupyter-secxops`, its options and share ids.

    For bash: `eval "$(jupyter secxops completion bash)"`, in ~/.bashrc to keep it.
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(commands, {}, EXECUTABLE, COMPLETE_VARIABLE).source())


@commands.command(
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
