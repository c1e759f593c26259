"""What would travel: the project and its data, counted before anything is touched.

`survey` asks one question after another: which folders (here), how much of each travels (`counting`), what
an image would be built from (`build_input`). Everything is as this process sees it; what a Job must mount
to see the same is the engine's business.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import errors
from ..building.dockerfile import Dockerfile
from ..building.recipe import TOP, elsewhere_in
from ..copying.credentials import Selection
from ..copying.identity import identity_of
from ..copying.never import reason_for_last
from ..model import Folder, NotCopiedItem, ProjectVersion
from ..project.links import LinksOut
from ..project.owners import OthersFiles
from ..project.project import existing_folder, too_wide
from ..project.system import insist_not_system
from ..project.tree import readable
from ..project.version import project_version, resolve
from .build_input import Baked, BuildInput, build_input
from .counting import Amount, Counting
from .notices import Notice, about_build, about_git


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
    inside = _inside(project, folders, links_given)
    info = project.stat()
    elsewhere = _elsewhere(project, folders, covered or {}, commit)
    selections = _selections(project, folders, keep)
    counting = Counting(progress)
    code = _count_code(counting, project, commit, inside, elsewhere, selections[project])
    left_out = list(counting.may_be_kept)
    amounts = _count_data(counting, folders, elsewhere, selections)
    build = build_input(
        project,
        commit,
        dockerfile_path or TOP,
        build_args=build_args,
        always_buildkit=always_buildkit,
        keep=kept_in(keep, project, project),
        left_out=left_out,
    )
    found_version = _version(project, commit, version)
    return Survey(
        project=Folder(path=str(project), name=project.name or "root", **code._asdict()),
        data=_named(folders, amounts, links_given),
        version=found_version,
        commit=commit,
        dockerfile=build.dockerfile,
        dockerfile_path=dockerfile_path or TOP,
        dockerfiles_elsewhere=_other_dockerfiles(project, commit, dockerfile_path, build),
        dockerfile_error=build.error,
        baked=list(build.baked),
        context_bytes=build.context_bytes,
        not_copied=_not_copied(project, found_version, elsewhere, counting),
        changed=counting.changed(),
        notices=_notices(project, found_version, commit, counting, build),
        kept=tuple(counting.kept()),
        needed=build.needed,
        keep_unused=_keep_unused(keep, project, selections),
        unreadable=counting.unreadable,
        inside=inside,
        links_given=links_given,
        links_out=tuple(counting.links.rows()),
        elsewhere=elsewhere,
        identities=identities,
        others=counting.others,
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


def _selections(
    project: Path, folders: Sequence[Path], keep: Sequence[str]
) -> dict[Path, Selection]:
    """Return what decides, in each folder, what may hold credentials and stays."""
    return {
        folder: Selection(kept_in(keep, project, folder), data=folder != project)
        for folder in (project, *folders)
    }


def _version(project: Path, commit: str | None, asked: str | None) -> ProjectVersion:
    """Return what is shared: the files as they are, or the version asked for."""
    return (
        project_version(project) if commit is None else ProjectVersion(commit=commit, branch=asked)
    )


def _other_dockerfiles(
    project: Path, commit: str | None, asked: str | None, build: BuildInput
) -> Sequence[str]:
    """Return the paths of other tools' Dockerfiles where there is none at the top, and none was named."""
    is_missing = build.dockerfile is None and build.error is None and asked is None
    return elsewhere_in(project, commit) if is_missing else ()


def _not_copied(
    project: Path,
    version: ProjectVersion,
    elsewhere: Mapping[str, Sequence[str]],
    counting: Counting,
) -> list[NotCopiedItem]:
    """Return what will not arrive: on another mount, left out by the copy's rules, or git's elsewhere."""
    mounts = [
        NotCopiedItem(
            name=readable(str(Path(folder) / path)),
            reason="a mount of its own; take it along as data",
            code="other_mount",
        )
        for folder, paths in elsewhere.items()
        for path in paths
    ]
    return [*mounts, *counting.left_out(), *_history(project, version)]


def _history(project: Path, version: ProjectVersion) -> list[NotCopiedItem]:
    git = project / ".git"
    if version.commit is None or (git.is_dir() and not git.is_symlink()):
        return []
    return [
        NotCopiedItem(
            name="git history", reason="it lies outside the project's folder", code="git_history"
        )
    ]


def _notices(
    project: Path,
    version: ProjectVersion,
    commit: str | None,
    counting: Counting,
    build: BuildInput,
) -> tuple[Notice, ...]:
    """Return what will work otherwise in the copy."""
    return (
        *counting.notices.rows(),
        *(about_git(project, version) if commit is None else ()),
        *about_build(build.steering),
    )


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


def _inside(
    project: Path, folders: Sequence[Path], links_given: Mapping[str, str]
) -> dict[str, str]:
    """Return where in the project data folders are, or the links by which they were given."""
    return {
        str(folder): place.relative_to(project).as_posix()
        for folder in folders
        if (place := Path(links_given.get(str(folder), folder))).is_relative_to(project)
    }


def _count_code(
    counting: Counting,
    project: Path,
    commit: str | None,
    inside: Mapping[str, str],
    elsewhere: Mapping[str, Sequence[str]],
    selection: Selection,
) -> Amount:
    """Count the project without the data folders in it: its files as they are, or a commit's."""
    if commit is None:
        without = {*inside.values(), *elsewhere[str(project)]}
        return counting.count(project, frozenset(without), selection)
    return counting.count_commit(project, commit, frozenset(inside.values()), selection)


def _count_data(
    counting: Counting,
    folders: Sequence[Path],
    elsewhere: Mapping[str, Sequence[str]],
    selections: Mapping[Path, Selection],
) -> list[Amount]:
    """Count each data folder, without what lies on other mounts."""
    return [
        counting.count(folder, frozenset(elsewhere[str(folder)]), selections[folder])
        for folder in folders
    ]


def _named(
    folders: Sequence[Path], amounts: Sequence[Amount], links_given: Mapping[str, str]
) -> list[Folder]:
    """Give each data folder its name, that of its link where it was given as one; none twice."""
    names: set[str] = set()
    return [
        Folder(
            path=str(folder),
            name=_unique(Path(links_given.get(str(folder), folder)).name or "root", names),
            **amount._asdict(),
        )
        for folder, amount in zip(folders, amounts, strict=True)
    ]


def _unique(name: str, taken: set[str]) -> str:
    number = 2
    found = name
    while found in taken:
        found = f"{name}-{number}"
        number += 1
    taken.add(found)
    return found


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
