"""What would travel: the project and its data, counted before anything is touched.

Reads names, sizes and the Dockerfile, never other content. Everything is as this process sees it;
what a Job must mount to see the same is the engine's business.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from .. import errors
from ..copying.reasons import code_of
from ..model import Folder, NotCopiedItem, ProjectVersion
from .context import BuildContext, Item, commit_files, commit_small_file
from .dockerfile import MAX_SIZE, Dockerfile, parse
from .ignore import Reach
from .project import existing_folder, too_wide
from .tree import (
    MAX_LOOK,
    content_matters,
    read_regular,
    readable,
    reason_in_content,
    reason_to_stay,
    walk,
)
from .version import project_version, resolve

MAX_ROWS = 50
"""Names listed of what is not copied; all are counted."""

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
class Survey:
    """The source as found.

    ``project`` counts the code only: without data folders inside it and what is never copied.
    ``version`` is what is shared: without changed files where a version was asked for. ``data`` is in the order asked for, with unique names. ``commit`` is the full id of the version
    asked for, None for the files as they are. ``dockerfile`` is None where there is none, or where
    ``dockerfile_error`` says why it can't be used. ``context_bytes`` is the size of the build
    context. ``unreadable`` names at most 50 files and folders that can't be read. ``inside`` maps a data folder's path to its relative path inside the project.
    ``elsewhere`` has, by folder, the relative paths in it that do not travel, as other mounts lie
    there.
    ``owner`` is the project folder's numeric uid and gid; ``whole_home`` says that it is a home
    folder or one above it.
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
    unreadable: Sequence[str] = ()
    inside: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, Sequence[str]] = field(default_factory=dict)
    owner: tuple[int, int] = (0, 0)
    whole_home: bool = False


def survey(
    project: Path,
    data: Sequence[Path],
    version: str | None,
    *,
    progress: Callable[[int], None] | None = None,
    build_args: Mapping[str, str] | None = None,
    covered: Mapping[str, Sequence[str]] | None = None,
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
    build_args
        Build arguments that the engine will pass.
    covered
        For the project's and each data folder's path: the relative paths in it that a Job can't see
        (`SourcePlace.covered`).

    Raises
    ------
    errors.NoSuchPath
        A path is not a readable folder.
    errors.NoSuchVersion
        The project has no such version.
    errors.InvalidRequest
        A data folder holds the project or another data folder, or is named twice.
    """
    project = existing_folder(project)
    folders = _data_folders(project, data)
    inside = {
        str(folder): folder.relative_to(project).as_posix()
        for folder in folders
        if folder.is_relative_to(project)
    }
    commit = None if version is None else resolve(project, version)
    info = project.stat()
    elsewhere = _elsewhere(project, folders, covered or {}, commit)
    tally = _Tally(progress)
    if commit is None:
        without = {*inside.values(), *elsewhere[str(project)]}
        files, size = tally.count(project, frozenset(without))
        source = read_regular(project, "Dockerfile", MAX_SIZE)
    else:
        files, size = tally.count_commit(project, commit, frozenset(inside.values()))
        source = commit_small_file(project, commit, "Dockerfile", MAX_SIZE)
    counted = [
        (folder, tally.count(folder, frozenset(elsewhere[str(folder)]))) for folder in folders
    ]

    dockerfile: Dockerfile | None = None
    error: errors.SecxopsError | None = None
    baked: list[Baked] = []
    context_bytes = 0
    if source is None and commit is None and os.path.lexists(project / "Dockerfile"):
        error = errors.BadDockerfile(
            reason="it is a link, or no file that can be read; a plain file is needed", line=1
        )
    elif source is not None:
        try:
            dockerfile = parse(source, build_args)
            context = BuildContext(project, source, commit)
            baked, context_bytes = _baked(dockerfile, context)
        except (errors.BadDockerfile, errors.FileUnreadable) as caught:
            error = caught
    found_version = (
        project_version(project)
        if commit is None
        else ProjectVersion(commit=commit, branch=version)
    )
    names: set[str] = set()
    return Survey(
        project=Folder(path=str(project), name=project.name or "root", files=files, bytes=size),
        data=[
            Folder(path=str(folder), name=_unique(folder.name or "root", names), files=n, bytes=b)
            for folder, (n, b) in counted
        ],
        version=found_version,
        commit=commit,
        dockerfile=dockerfile,
        dockerfile_error=error,
        baked=baked,
        context_bytes=context_bytes,
        not_copied=[
            *(
                NotCopiedItem(
                    name=readable(str(Path(folder) / path)),
                    reason="a mount of its own; take it along as data",
                    code="other_mount",
                )
                for folder, paths in elsewhere.items()
                for path in paths
            ),
            *tally.rows(),
            *_history(project, found_version),
        ],
        unreadable=tally.unreadable,
        inside=inside,
        elsewhere=elsewhere,
        owner=(info.st_uid, info.st_gid),
        whole_home=too_wide(project),
    )


def _elsewhere(
    project: Path, data: Sequence[Path], covered: Mapping[str, Sequence[str]], commit: str | None
) -> dict[str, list[str]]:
    """What other mounts hide in each folder; not what travels as data, nor of a commit's files."""
    return {
        str(folder): [
            path
            for path in covered.get(str(folder), ())
            if not (folder == project and (commit is not None or project / path in data))
            and reason_to_stay(path) is None
        ]
        for folder in (project, *data)
    }


def _history(project: Path, version: ProjectVersion) -> list[NotCopiedItem]:
    git = project / ".git"
    if version.commit is None or (git.is_dir() and not git.is_symlink()):
        return []
    return [
        NotCopiedItem(
            name="git history", reason="it lies outside the project's folder", code="git_history"
        )
    ]


def is_environment_file(path: str, size: int) -> bool:
    """Return whether a file describes an environment, by its name and size in bytes."""
    name = path.rpartition("/")[2]
    return size <= MAX_ENVIRONMENT_FILE and _ENVIRONMENT_FILE.fullmatch(name) is not None


def _data_folders(project: Path, data: Sequence[Path]) -> list[Path]:
    folders = [existing_folder(path) for path in data]
    for index, folder in enumerate(folders):
        if project.is_relative_to(folder):
            raise errors.InvalidRequest(reason=f"the data folder {folder} holds the project itself")
        for other in folders[:index]:
            if folder.is_relative_to(other) or other.is_relative_to(folder):
                raise errors.InvalidRequest(
                    reason=f"the data folders {other} and {folder} are the same or lie in each other"
                )
    return folders


def _unique(name: str, taken: set[str]) -> str:
    number = 2
    found = name
    while found in taken:
        found = f"{name}-{number}"
        number += 1
    taken.add(found)
    return found


def _baked(dockerfile: Dockerfile, context: BuildContext) -> tuple[list[Baked], int]:
    """What each COPY and ADD takes of code and data, and the bytes of the whole context."""
    copies = [
        (copy, None if copy.sources is None else Reach([copy])) for copy in dockerfile.copies()
    ]
    files = [0] * len(copies)
    sizes = [0] * len(copies)
    samples: list[list[str]] = [[] for _ in copies]
    total = len(dockerfile.source)
    for item in context.items():
        if item.kind != "file":
            continue
        total += item.size
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
    return found, total


def _start(item: Item) -> bytes | None:
    """The start of a commit's file."""
    content = item.open()
    if content is None:
        return None
    with closing(content):
        return content.read(MAX_LOOK)


class _Tally:
    """Counts files and bytes, and what stays behind."""

    def __init__(self, progress: Callable[[int], None] | None) -> None:
        self._progress = progress
        self._seen = 0
        self._never: list[tuple[str, str]] = []
        self._never_more = 0
        self._special: list[str] = []
        self._special_count = 0
        self.unreadable: list[str] = []
        self._judge_access = os.geteuid() != 0

    def count(self, root: Path, elsewhere: frozenset[str]) -> tuple[int, int]:
        """Count what travels of a folder; ``elsewhere`` are subfolders that travel on their own."""
        files = size = 0

        def enter(path: str) -> bool:
            return path not in elsewhere and not self._stays(root, path)

        for entry in walk(root, enter=enter, unreadable=lambda path: self._unreadable(root, path)):
            if entry.kind == "folder" or entry.path in elsewhere:
                continue
            if entry.kind == "special":
                self._special_count += 1
                if len(self._special) < 3:
                    self._special.append(readable(entry.path))
            elif not self._stays(
                root, entry.path, partial(read_regular, root, entry.path, MAX_LOOK)
            ):
                files += 1
                size += entry.size
                self._tick()
                if (
                    self._judge_access
                    and entry.kind == "file"
                    and not os.access(
                        entry.path.rpartition("/")[2],
                        os.R_OK,
                        dir_fd=entry.parent,
                        effective_ids=True,
                    )
                ):
                    self._unreadable(root, entry.path)
        return files, size

    def count_commit(self, root: Path, commit: str, elsewhere: frozenset[str]) -> tuple[int, int]:
        """Count what travels of a commit."""
        files = size = 0

        def enter(path: str) -> bool:
            return path not in elsewhere and not self._stays(root, path)

        for item in commit_files(root, commit, enter):
            if item.kind != "folder" and not self._stays(root, item.path, partial(_start, item)):
                files += 1
                size += item.size
                self._tick()
        return files, size

    def rows(self) -> list[NotCopiedItem]:
        """Return the rows of *Not copied*."""
        found = [
            NotCopiedItem(name=name, reason=reason, code=code_of(reason))
            for name, reason in self._never
        ]
        if self._never_more:
            found.append(
                NotCopiedItem(
                    name=f"{self._never_more} more",
                    reason="never copied",
                    code="never_copied",
                    files=self._never_more,
                )
            )
        if self._special_count:
            found.append(
                NotCopiedItem(
                    name=", ".join(self._special) + (" …" if self._special_count > 3 else ""),
                    reason="devices, sockets and pipes have no content to copy",
                    code="no_content",
                    files=self._special_count,
                )
            )
        return found

    def _stays(
        self, root: Path, path: str, content: Callable[[], bytes | None] | None = None
    ) -> bool:
        reason = reason_to_stay(path)
        if reason is None and content is not None and content_matters(path):
            reason = reason_in_content(path, content() or b"")
        if reason is None:
            return False
        if len(self._never) < MAX_ROWS:
            self._never.append((readable(f"{root.name}/{path}"), reason))
        else:
            self._never_more += 1
        return True

    def _unreadable(self, root: Path, path: str) -> None:
        if len(self.unreadable) < MAX_ROWS:
            self.unreadable.append(readable(str(root / path)))

    def _tick(self) -> None:
        self._seen += 1
        if self._progress is not None and self._seen % 1000 == 0:
            self._progress(self._seen)
