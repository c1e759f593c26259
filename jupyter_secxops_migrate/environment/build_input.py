"""What an image would be built from: the Dockerfile, how large its context is, what of the project it takes in.

Nothing is sent and nothing is built.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from .. import errors
from ..building.context import BuildContext
from ..building.dockerfile import Dockerfile, parse
from ..building.errors import BadDockerfile
from ..building.ignore import Reach
from ..building.recipe import dockerfile_of
from ..copying.credentials import LOOK_NAMED_MOST
from ..copying.errors import FileUnreadable
from ..project.items import Item
from ..project.tree import readable
from .notices import BUILD_FILES

MAX_ENVIRONMENT_FILE = 1024 * 1024
"""Bytes; a larger file is project or data, whatever its name."""

ENVIRONMENT_FILES = (
    "Dockerfile*",
    ".dockerignore",
    "requirements*.txt",
    "requirements*.in",
    "constraints*",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "*.lock",
    "environment*.yml",
    "environment*.yaml",
    "conda-lock.yml",
    "Pipfile",
    "package*.json",
    "apt*.txt",
    "install.R",
    "*.sh",
    "*.crt",
)
"""Names of files that describe an environment, so an image may hold them."""

_ENVIRONMENT_FILE = re.compile("|".join(map(fnmatch.translate, ENVIRONMENT_FILES)))


@dataclass(frozen=True)
class Baked:
    """What one COPY or ADD would put into the image of the project's code or data.

    ``bytes`` is a sum of file sizes, ``paths`` a sample of at most five.
    """

    line: int
    files: int
    bytes: int
    paths: Sequence[str] = ()


@dataclass(frozen=True)
class BuildInput:
    """What an image would be built from.

    ``dockerfile`` is None where there is none; ``error`` says why it can't be used. ``baked``,
    ``context_bytes`` and ``needed`` are those of `survey.Survey`. ``steering`` has the files of the context
    that may ask for a tool which reads ``.git``, each with its start.
    """

    dockerfile: Dockerfile | None = None
    error: errors.SecxopsError | None = None
    baked: Sequence[Baked] = ()
    context_bytes: int = 0
    steering: Sequence[tuple[str, bytes | None]] = ()
    needed: Sequence[tuple[int, str]] = ()


def build_input(
    project: Path,
    commit: str | None,
    path: str,
    *,
    build_args: Mapping[str, str] | None,
    always_buildkit: bool,
    keep: Sequence[str],
    left_out: Sequence[str],
) -> BuildInput:
    """Return what a project's image would be built from.

    Parameters
    ----------
    project, commit
        The project's folder, and a full commit id or None for the files as they are.
    path
        Where in the project its Dockerfile is.
    build_args, always_buildkit
        As in `survey.survey`.
    keep
        Paths in the project that are sent although they may hold credentials.
    left_out
        Paths in the project that are not copied and could be kept.
    """
    dockerfile: Dockerfile | None = None
    try:
        source = dockerfile_of(project, commit, path)
        if source is None:
            return BuildInput()
        dockerfile = parse(source, build_args)
        buildkit = always_buildkit or bool(dockerfile.needs_buildkit())
        context = BuildContext(project, source, commit, buildkit=buildkit, keep=keep, path=path)
        baked, context_bytes, steering = _baked(dockerfile, context)
    except (BadDockerfile, FileUnreadable) as caught:
        return BuildInput(dockerfile, caught)
    needed = tuple(_needed(dockerfile, left_out))
    return BuildInput(dockerfile, None, baked, context_bytes, steering, needed)


def is_environment_file(path: str, size: int) -> bool:
    """Return whether a file describes an environment, by its name and size in bytes."""
    name = path.rpartition("/")[2]
    return size <= MAX_ENVIRONMENT_FILE and _ENVIRONMENT_FILE.fullmatch(name) is not None


def _baked(
    dockerfile: Dockerfile, context: BuildContext
) -> tuple[list[Baked], int, list[tuple[str, bytes | None]]]:
    """What each COPY and ADD takes of code and data, the context's bytes, and what steers its tools."""
    copies = [
        (copy, None if copy.sources is None else Reach([copy])) for copy in dockerfile.copies()
    ]
    files = [0] * len(copies)
    sizes = [0] * len(copies)
    samples: list[list[str]] = [[] for _ in copies]
    total = len(dockerfile.source)
    steering: list[tuple[str, bytes | None]] = []
    for item in context.items():
        if item.kind != "file":
            continue
        total += item.size
        if item.path in BUILD_FILES:
            steering.append((item.path, _start(item)))
        if is_environment_file(item.path, item.size):
            continue
        for index, (_, reach) in enumerate(copies):
            # Sources that only the build knows are not counted: a guess would be no warning.
            if reach is not None and reach.relation(item.path) in ("is", "below"):
                files[index] += 1
                sizes[index] += item.size
                if len(samples[index]) < 5:
                    samples[index].append(readable(item.path))
    found = [
        Baked(copy.line, files[index], sizes[index], tuple(samples[index]))
        for index, (copy, _) in enumerate(copies)
        if files[index]
    ]
    return found, total, steering


def _start(item: Item) -> bytes | None:
    """The start of a commit's file."""
    content = item.open()
    if content is None:
        return None
    with closing(content):
        return content.read(LOOK_NAMED_MOST)


def _needed(dockerfile: Dockerfile, left_out: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines that copy by its name what is left out, and its path."""
    for copy in dockerfile.copies():
        if copy.sources is not None:
            reach = Reach([copy])
            yield from ((copy.line, path) for path in left_out if reach.relation(path) == "is")
