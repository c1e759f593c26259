"""What would travel: the project and its data, counted before anything is touched.

Reads names, sizes and the Dockerfile, never other content. Everything is as this process sees it;
what a Job must mount to see the same is the engine's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import errors
from ..model import Folder, NotCopiedItem, ProjectVersion
from .dockerfile import Dockerfile


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
class Survey:
    """The source as found.

    ``project`` counts the code only: without data folders inside it and what is never copied.
    ``data`` is in the order asked for, with unique names. ``commit`` is the full id of the version
    asked for, None for the files as they are. ``dockerfile`` is None where there is none, or where
    ``dockerfile_error`` says why it can't be used. ``context_bytes`` is the size of the build
    context. ``inside`` maps a data folder's path to its relative path inside the project.
    ``owner`` is the project folder's numeric uid and gid.
    """

    project: Folder
    data: Sequence[Folder]
    version: ProjectVersion
    commit: str | None = None
    dockerfile: Dockerfile | None = None
    dockerfile_path: str = "Dockerfile"
    dockerfile_error: errors.SecxopsError | None = None
    baked: Sequence[Baked] = ()
    context_bytes: int = 0
    not_copied: Sequence[NotCopiedItem] = ()
    inside: Mapping[str, str] = field(default_factory=dict)
    owner: tuple[int, int] = (0, 0)


def survey(
    project: Path,
    data: Sequence[Path],
    version: str | None,
    *,
    progress: Callable[[int], None] | None = None,
) -> Survey:
    """Look at a project and its data.

    Parameters
    ----------
    project
        The project's folder, as `find_project` gave it.
    data
        Folders that are to travel in volumes of their own.
    version
        A local git reference, or None for the files as they are.
    progress
        Called now and then with the number of files seen so far.

    Raises
    ------
    errors.NoSuchPath
        A path is not a readable folder.
    errors.NoSuchVersion
        The project has no such version.
    errors.InvalidRequest
        A data folder holds the project or another data folder, or is named twice.
    """
    raise NotImplementedError
