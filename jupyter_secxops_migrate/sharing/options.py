"""What a person types about a share, as the API takes it: folders, a pod, a whole request, an id.

It reads words and completes them; what is done with them is in `commands`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from ..commands import Talk, complete_folder
from ..errors import NoSuchPath, NotFound, SecxopsError
from ..printable import printable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..api import MigrationApi
    from ..model import Migration, PodSource

COMPLETE_SECONDS = 2.0


def absolute(path: str, source: PodSource | None) -> str:
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

    from ..model import PodSource

    pod, slash, container = value.partition("/")
    try:
        return PodSource(pod=pod, container=container if slash else None)
    except ValidationError:
        raise click.BadParameter(f"{value!r} is not a pod's name, or POD/CONTAINER") from None


def _shares(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete a share's id or name; a service is asked only where one runs already."""
    from click.shell_completion import CompletionItem

    from ..runtime import Runtime

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
    shell_complete=complete_folder,
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

REQUEST_OPTIONS = (
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
    known = {absolute(path, source) for path in (project, *data)}
    found = {}
    for word in words:
        parts = word.split("=")
        splits = [("=".join(parts[:n]), "=".join(parts[n:])) for n in range(1, len(parts))]
        meant = [
            (path, mount)
            for given, mount in splits
            if given and (path := absolute(given, source)) in known
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
def as_typed(project: str, data: Sequence[str], source: PodSource | None) -> Iterator[None]:
    """Say of a folder that is not there as what it was typed, and where it was looked for."""
    try:
        yield
    except NoSuchPath as error:
        typed = {absolute(project, source): "PROJECT"}
        typed |= {absolute(path, source): "--data" for path in data}
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

        from ..fields import wrong_fields
        from ..model import ShareRequest

        asked = {
            "project": absolute(project, source),
            "data": [absolute(path, source) for path in data],
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
        with as_typed(project, data, source):
            return command(request=request, **others)

    known: dict[str, Any] = {} if default is None else {"default": default}
    project_argument = click.argument("project", shell_complete=complete_folder, **known)
    for option in reversed((project_argument, *REQUEST_OPTIONS)):
        with_request = option(with_request)
    return with_request


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
