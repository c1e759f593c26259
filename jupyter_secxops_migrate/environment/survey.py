"""What would travel: the project and its data, counted before anything is touched.

Reads names, sizes and the Dockerfile, never other content. Everything is as this process sees it;
what a Job must mount to see the same is the engine's business.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .. import errors
from ..building.context import BuildContext
from ..building.dockerfile import Dockerfile, parse
from ..building.errors import BadDockerfile
from ..building.ignore import Reach
from ..building.recipe import TOP, dockerfile_of, elsewhere_in
from ..copying import git
from ..copying.credentials import LOOK_NAMED_MOST, Found, Selection
from ..copying.errors import FileUnreadable
from ..copying.identity import identity_of
from ..copying.never import reason_for_last
from ..copying.reasons import REASONS, code_of
from ..copying.tally import Skipped, Tally, files_below
from ..copying.why import FILE_SYSTEMS, SCRUBBED
from ..model import Folder, NotCopiedItem, ProjectVersion
from ..printable import printable
from ..project.commit import CommitFiles
from ..project.items import Item
from ..project.links import Links, LinksOut
from ..project.owners import Others, OthersFiles
from ..project.project import existing_folder, too_wide
from ..project.system import insist_not_system
from ..project.tree import (
    readable,
    walk,
)
from ..project.version import project_version, resolve
from .arrives import changes, is_transient, linked_as, why_left_out
from .notices import BUILD_FILES, Notice, Notices, about_build, about_git

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

LACKS = {"lfs": "lfs_missing", "submodule": "submodule"}
"""What a commit names and the repository lacks: to the code of the reason."""

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
    ``dockerfile_error`` says why it can't be used; ``dockerfiles_elsewhere`` has then the paths of others. ``context_bytes`` is the size of the build
    context. ``not_copied`` is what will not arrive, ``changed`` what will arrive otherwise than it is.
    ``kept`` may hold credentials and is copied as it was asked for, ``needed`` has the lines of the
    Dockerfile that copy such a file which is left out, each with its path. ``keep_unused`` has what was to be
    kept and kept nothing, as it was asked for. ``unreadable`` names at most 50 files and folders that can't be read. ``inside`` maps a data folder's path to its relative path inside the project.
    ``links_given`` maps the path of a data folder that was given as a link to where the link is; a link
    in the project counts in ``inside``. ``links_out`` has the links that lead out of their folder.
    ``elsewhere`` has, by folder, the relative paths in it that do not travel, as other mounts lie
    there.
    ``others`` has, by folder, what belongs to others than the folder.
    ``identities`` says which folder each path meant (`copying.identity`).
    ``notices`` is what will work otherwise in the copy. ``owner`` is the project folder's numeric uid and gid; ``whole_home`` says that it is a home
    folder or one above it.
    """

    project: Folder
    data: Sequence[Folder]
    version: ProjectVersion
    commit: str | None = None
    dockerfile: Dockerfile | None = None
    dockerfile_path: str = "Dockerfile"
    dockerfiles_elsewhere: Sequence[str] = ()
    dockerfile_error: errors.SecxopsError | None = None
    baked: Sequence[Baked] = ()
    context_bytes: int = 0
    not_copied: Sequence[NotCopiedItem] = ()
    changed: Sequence[NotCopiedItem] = ()
    kept: Sequence[NotCopiedItem] = ()
    needed: Sequence[tuple[int, str]] = ()
    keep_unused: Sequence[str] = ()
    unreadable: Sequence[str] = ()
    inside: Mapping[str, str] = field(default_factory=dict)
    links_given: Mapping[str, str] = field(default_factory=dict)
    links_out: Sequence[LinksOut] = ()
    elsewhere: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notices: Sequence[Notice] = ()
    identities: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, OthersFiles] = field(default_factory=dict)
    owner: tuple[int, int] = (0, 0)
    whole_home: bool = False


def survey(
    project: Path,
    data: Sequence[Path],
    version: str | None,
    *,
    progress: Callable[[int], None] | None = None,
    build_args: Mapping[str, str] | None = None,
    always_buildkit: bool = False,
    covered: Mapping[str, Sequence[str]] | None = None,
    keep: Sequence[str] = (),
    dockerfile_path: str | None = None,
) -> Survey:
    """Look at a project and its data.

    Parameters
    ----------
    project
        The project's folder, as `find_project` gave it.
    data
        Folders that are to travel in volumes of their own, as they were asked for: links are followed.
    version
        A local git reference, or None for the files as they are.
    progress
        Called now and then with the number of files seen so far.
    build_args
        Build arguments that the engine will pass.
    always_buildkit
        BuildKit builds also what the classic builder could.
    covered
        For the project's and each data folder's path: the relative paths in it that a Job can't see
        (`SourcePlace.covered`).
    keep
        Paths that are to be copied although they may hold credentials (`kept_in`).
    dockerfile_path
        Where in the project its Dockerfile is; at its top by default.

    Raises
    ------
    errors.NoSuchPath
        A path is not a readable folder.
    DataOutsidePolicy
        One is a folder of the system; nothing of it is walked.
    NoSuchVersion
        The project has no such version.
    errors.InvalidRequest
        A data folder holds the project or another data folder, or is named twice.
    """
    project, folders, commit = asked_for(project, data, version)
    identities = {str(folder): _identity(folder) for folder in (project, *folders)}
    links_given = _given_as_links(project, data, folders)
    inside = {
        str(folder): place.relative_to(project).as_posix()
        for folder in folders
        if (place := Path(links_given.get(str(folder), folder))).is_relative_to(project)
    }
    info = project.stat()
    elsewhere = _elsewhere(project, folders, covered or {}, commit)
    tally = _Tally(progress)
    selections = {
        folder: Selection(kept_in(keep, project, folder), data=folder != project)
        for folder in (project, *folders)
    }
    of_code = selections[project]
    if commit is None:
        without = {*inside.values(), *elsewhere[str(project)]}
        amount = tally.count(project, frozenset(without), of_code)
    else:
        amount = tally.count_commit(project, commit, frozenset(inside.values()), of_code)
    left_out = list(tally.may_be_kept)
    counted = [
        (
            folder,
            tally.count(folder, frozenset(elsewhere[str(folder)]), selections[folder]),
        )
        for folder in folders
    ]

    dockerfile: Dockerfile | None = None
    error: errors.SecxopsError | None = None
    baked: list[Baked] = []
    context_bytes = 0
    steering: list[tuple[str, bytes | None]] = []
    needed: Sequence[tuple[int, str]] = ()
    try:
        source = dockerfile_of(project, commit, dockerfile_path or TOP)
        if source is not None:
            dockerfile = parse(source, build_args)
            buildkit = always_buildkit or bool(dockerfile.needs_buildkit())
            context = BuildContext(
                project,
                source,
                commit,
                buildkit=buildkit,
                keep=kept_in(keep, project, project),
                path=dockerfile_path or TOP,
            )
            baked, context_bytes, steering = _baked(dockerfile, context)
            needed = tuple(_needed(dockerfile, left_out))
    except (BadDockerfile, FileUnreadable) as caught:
        error = caught
    found_version = (
        project_version(project)
        if commit is None
        else ProjectVersion(commit=commit, branch=version)
    )
    names: set[str] = set()
    return Survey(
        project=Folder(path=str(project), name=project.name or "root", **amount._asdict()),
        data=[
            Folder(
                path=str(folder),
                name=_unique(Path(links_given.get(str(folder), folder)).name or "root", names),
                **amount._asdict(),
            )
            for folder, amount in counted
        ],
        version=found_version,
        commit=commit,
        dockerfile=dockerfile,
        dockerfile_path=dockerfile_path or TOP,
        dockerfiles_elsewhere=elsewhere_in(project, commit)
        if dockerfile is None and error is None and dockerfile_path is None
        else (),
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
            *tally.left_out(),
            *_history(project, found_version),
        ],
        changed=tally.changed(),
        notices=(
            *tally.notices.rows(),
            *(about_git(project, found_version) if commit is None else ()),
            *about_build(steering),
        ),
        kept=tuple(tally.kept()),
        needed=needed,
        keep_unused=_keep_unused(keep, project, selections),
        unreadable=tally.unreadable,
        inside=inside,
        links_given=links_given,
        links_out=tuple(tally.links.rows()),
        elsewhere=elsewhere,
        identities=identities,
        others=tally.others,
        owner=(info.st_uid, info.st_gid),
        whole_home=too_wide(project),
    )


def asked_for(
    project: Path, data: Sequence[Path], version: str | None
) -> tuple[Path, list[Path], str | None]:
    """Return the folders without links, and the version's commit, before anything of them is walked.

    Raises
    ------
    errors.NoSuchPath, DataOutsidePolicy, NoSuchVersion, errors.InvalidRequest
        As `survey`.
    """
    project = existing_folder(project)
    folders = _data_folders(project, data)
    for folder in (project, *folders):
        insist_not_system(folder)
    return project, folders, None if version is None else resolve(project, version)


def _elsewhere(
    project: Path, data: Sequence[Path], covered: Mapping[str, Sequence[str]], commit: str | None
) -> dict[str, list[str]]:
    """What other mounts hide in each folder; not what travels as data, nor of a commit's files."""
    return {
        str(folder): [
            path
            for path in covered.get(str(folder), ())
            if not (folder == project and (commit is not None or project / path in data))
            and reason_for_last(os.fsencode(path), os.fsencode(path.rpartition("/")[2])) is None
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


def _identity(folder: Path) -> str:
    try:
        return identity_of(folder)
    except OSError:
        raise errors.NoSuchPath(path=readable(str(folder))) from None


def _given_as_links(project: Path, data: Sequence[Path], folders: Sequence[Path]) -> dict[str, str]:
    """Return where the links are by which data folders were given.

    Of one that leads to another place in the project nothing is said: it will be there, too.
    """
    return {
        str(folder): str(place)
        for given, folder in zip(data, folders, strict=True)
        if (place := given.parent.resolve() / given.name) != folder
        and given.is_symlink()
        and not folder.is_relative_to(project)
    }


def _unique(name: str, taken: set[str]) -> str:
    number = 2
    found = name
    while found in taken:
        found = f"{name}-{number}"
        number += 1
    taken.add(found)
    return found


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


class Amount(NamedTuple):
    """Files, their bytes, how many of these take room on a disk, and how many files are transient."""

    files: int
    bytes: int
    disk: int
    transient: int


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


def kept_in(keep: Sequence[str], project: Path, folder: Path) -> list[str]:
    """Return which of ``keep`` lie in a folder, relative to it.

    Parameters
    ----------
    keep
        Paths, absolute or relative to the project.
    project, folder
        The project, and it or one of its data folders.
    """
    paths = (Path(os.path.normpath(project / path)) for path in keep)
    return [
        path.relative_to(folder).as_posix()
        for path in paths
        if path != folder and path.is_relative_to(folder)
    ]


def _keep_unused(
    keep: Sequence[str], project: Path, selections: Mapping[Path, Selection]
) -> tuple[str, ...]:
    """Return which of ``keep`` have kept nothing in any folder."""
    used = {str(folder / path) for folder, it in selections.items() for path in it.used}
    return tuple(path for path in keep if os.path.normpath(project / path) not in used)


def _judge_item(selection: Selection, item: Item) -> Found | None:
    """Say why something of a commit stays, None if it travels."""
    path, name = os.fsencode(item.path), item.name
    found = selection.by_name(path, name, folder=item.kind == "folder", hook=item.hook)
    if found is not None or item.kind != "file":
        return found
    most = selection.look(name, item.size)
    content = item.open() if most else None
    if content is None:
        return None
    with closing(content):
        return selection.by_content(path, name, item.size, content.read(most))


def _is_scrubbed(item: Item) -> bool:
    """Say whether credentials will be removed from a commit's file."""
    content = item.open() if git.holds_credentials(item.where, item.name) else None
    if content is None:
        return False
    with closing(content):
        data = content.read(item.size)
    return git.scrubbed(item.name, data) != data


class _Tally:
    """Counts files and bytes, and what does not arrive or arrives changed, as the copy will."""

    def __init__(self, progress: Callable[[int], None] | None) -> None:
        self._progress = progress
        self._seen = 0
        self._left_out, self._changed = Tally(MAX_ROWS), Tally(MAX_ROWS)
        self._kept = Tally(MAX_ROWS)
        self.may_be_kept: list[str] = []
        """Relative paths, left out."""
        self.choices: dict[str, str] = {}
        """By the name of a row, the path by which it can be kept, or is."""
        self.unreadable: list[str] = []
        self.links = Links()
        self.others: dict[str, OthersFiles] = {}
        self.notices = Notices()
        self._judge_access = os.geteuid() != 0

    def count(self, root: Path, elsewhere: frozenset[str], selection: Selection) -> Amount:
        """Count what travels of a folder; ``elsewhere`` are subfolders that travel on their own."""
        files = size = disk = transient = 0
        met: set[int] = set()
        info = root.stat()
        others = Others((info.st_uid, info.st_gid))

        closed = ""

        def enter(path: str) -> bool:
            # What is left out was counted as it was met.
            return path not in elsewhere and path != closed

        for entry in walk(root, enter=enter, unreadable=lambda path: self._unreadable(root, path)):
            if entry.path in elsewhere:
                continue
            if entry.passing:
                closed = entry.path
                continue
            self._tick()
            found = why_left_out(selection, entry)
            if found is not None and not found.kept:
                closed = entry.path
                below = (1, 0)
                if found.reason != FILE_SYSTEMS:
                    below = files_below(entry.parent, entry.name)
                self._leave_out(root, entry.path, found, *below)
                continue
            if found is not None:
                self._keep(root, entry.path, found, entry.size)
            others.meet(entry)
            with suppress(OSError):
                self.notices.meet_git(root, entry)
                self.notices.meet_paths(root, entry)
            if entry.kind == "link":
                with suppress(OSError):
                    target = os.readlink(entry.path.rpartition("/")[2], dir_fd=entry.parent)
                    self.links.meet(str(root), entry.path, target)
            if entry.kind != "file":
                continue
            self.notices.meet_file(entry.path)
            self.notices.meet_database(root, entry.path, entry.state.st_mtime)
            files += 1
            transient += is_transient(entry.path)
            linked = linked_as(selection, entry) if found is None else None
            if linked is not None:
                if linked in met:
                    continue  # another name of what was counted
                met.add(linked)
            size += entry.size
            # A sparse file takes as little there as here.
            disk += min(entry.size, entry.state.st_blocks * 512)
            for change in changes(entry):
                self._changed.add(Skipped(_shown(root, entry.path), change))
            if self._judge_access and not os.access(
                entry.path.rpartition("/")[2], os.R_OK, dir_fd=entry.parent, effective_ids=True
            ):
                self._unreadable(root, entry.path)
        if others.count:
            self.others[str(root)] = others.found()
        return Amount(files, size, disk, transient)

    def count_commit(
        self, root: Path, commit: str, elsewhere: frozenset[str], selection: Selection
    ) -> Amount:
        """Count what travels of a commit."""
        files = size = transient = 0
        closed = ""

        def enter(path: str) -> bool:
            return path not in elsewhere and path != closed

        files_of = CommitFiles(root, commit)
        for item in files_of.items(enter):
            self._lacking(root, item)
            if item.path in elsewhere:
                continue
            found = _judge_item(selection, item)
            if found is not None and not found.kept:
                closed = item.path
                self._leave_out(root, item.path, found, files_of.files_below(item))
                continue
            if found is not None:
                self._keep(root, item.path, found, item.size)
            if item.kind == "file":
                files += 1
                transient += is_transient(item.path)
                size += item.size
                self._tick()
                if _is_scrubbed(item):
                    self._changed.add(Skipped(_shown(root, item.path), SCRUBBED))
                if item.filtered:
                    self.notices.meet("filters_not_applied", item.path, str(root))
            elif item.kind == "link":
                self.links.meet(str(root), item.path, item.target)
        of_git = self._count_repository(root, files_of.stores, selection)
        of_both = size + of_git[1]
        return Amount(files + of_git[0], of_both, of_both, transient + of_git[0])

    def _lacking(self, root: Path, item: Item) -> None:
        """Take note of what a commit names and the repository does not have."""
        self.notices.meet_of_commit(item)
        if item.lacks:
            row = Skipped(_shown(root, item.path), REASONS[LACKS[item.lacks]])
            # Of a file in Git LFS the pointer arrives.
            (self._changed if item.kind == "file" else self._left_out).add(row)

    def _count_repository(
        self, root: Path, submodules: Sequence[str], selection: Selection
    ) -> tuple[int, int]:
        """Count git's own files beside a commit's: the state of the work tree is made anew."""
        heads = {".git", *submodules}
        files, size = 2 * len(heads) + len(submodules), 0  # HEAD, index; a submodule's .git

        closed = ""

        def travels(path: str) -> bool:
            whole = f".git/{path}"
            folder, _, name = whole.rstrip("/").rpartition("/")
            name += "/" * whole.endswith("/")
            return not (folder in heads and git.belongs_to_a_work_tree(os.fsencode(name)))

        def enter(path: str) -> bool:
            return path != closed and travels(path) and travels(path + "/")

        for entry in walk(root / ".git", enter=enter, where=b""):
            if entry.passing or not travels(entry.path):
                closed = entry.path
                continue
            whole, folder = os.fsencode(f".git/{entry.path}"), entry.kind == "folder"
            found = selection.by_name(whole, entry.name, folder=folder, hook=entry.hook)
            if found is not None and not found.kept:
                closed = entry.path
                below = files_below(entry.parent, entry.name)
                self._leave_out(root, os.fsdecode(whole), found, *below)
            elif entry.kind == "file":
                files += 1
                size += entry.size
        return files, size

    def left_out(self) -> list[NotCopiedItem]:
        """Return the rows of *Not copied*."""
        return [self._row(row) for row in self._left_out.rows()]

    def changed(self) -> list[NotCopiedItem]:
        """Return the rows of what will arrive otherwise than it is."""
        return [self._row(row) for row in self._changed.rows()]

    def kept(self) -> list[NotCopiedItem]:
        """Return the rows of what may hold credentials and is copied all the same."""
        return [self._row(row) for row in self._kept.rows()]

    def _leave_out(
        self, root: Path, path: str, found: Found, files: int = 1, size: int = 0
    ) -> None:
        name = _shown(root, path)
        if found.choice and len(self.choices) < 2 * MAX_ROWS:
            self.choices[name] = readable(str(root / path))
            self.may_be_kept.append(path)
        self._left_out.add(Skipped(name, found.reason, files, size))

    def _keep(self, root: Path, path: str, found: Found, size: int) -> None:
        name = _shown(root, path)
        self.choices[name] = readable(str(root / path))
        self._kept.add(Skipped(name, found.reason, 1, size))

    def _row(self, row: Skipped) -> NotCopiedItem:
        return NotCopiedItem(
            name=row.name,
            reason=row.reason,
            code=code_of(row.reason),
            files=row.files,
            bytes=row.bytes,
            keep=self.choices.get(row.name),
        )

    def _unreadable(self, root: Path, path: str) -> None:
        if len(self.unreadable) < MAX_ROWS:
            self.unreadable.append(readable(str(root / path)))

    def _tick(self) -> None:
        self._seen += 1
        if self._progress is not None and self._seen % 1000 == 0:
            self._progress(self._seen)


def _shown(root: Path, path: str) -> str:
    return printable(os.fsencode(f"{root.name}/{path}"))
