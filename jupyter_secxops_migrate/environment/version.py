"""Which version of the project is there, read with libgit2.

Never the git program: a repository's own configuration can make it run commands (fsmonitor,
filters, hooks, diff drivers). libgit2 reads that configuration and runs none of it. Nothing is
fetched and nothing is written.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pygit2
from pygit2.enums import FileStatus, RepositoryOpenFlag

from .. import errors
from ..model import ProjectVersion
from .project import too_wide
from .tree import readable

MAX_DIRTY = 50
"""Changed files named; all are counted."""

# Git's own rules for names (git-check-ref-format), and nothing of its revision syntax.
_NAME = re.compile(r"[^\x00-\x20\x7f~^:?*\[\\\-./][^\x00-\x20\x7f~^:?*\[\\]{0,199}")
_HEX = re.compile(r"[0-9a-fA-F]{4,64}")

# Ownership is what the git program checks because it would run the owner's commands. Nothing is
# run here, and a service often reads projects of other accounts on shared volumes.
pygit2.settings.owner_validation = False


def project_version(project: Path) -> ProjectVersion:
    """Return commit, branch and changed files of the project's folder.

    Without git, in an empty repository, or where the repository can't be read or is not the
    project's own, the fields that are not known stay empty. Changed files are those git would name
    in ``git status``: changed, new and deleted ones, folders of only new files as one.

    Parameters
    ----------
    project
        The project's folder; its repository may lie in it or above it.
    """
    found = _open(project)
    if found is None:
        return ProjectVersion()
    repository, prefix = found
    try:
        commit = None if repository.head_is_unborn else str(repository.head.peel(pygit2.Commit).id)
        branch = None if repository.head_is_detached else _branch(repository)
        status = repository.status(untracked_files="normal", ignored=False)
    except (pygit2.GitError, KeyError, ValueError, OSError):
        return ProjectVersion()
    names = sorted(
        path[len(prefix) :]
        for path, flags in status.items()
        if flags not in (FileStatus.CURRENT, FileStatus.IGNORED) and path.startswith(prefix)
    )
    return ProjectVersion(
        commit=commit,
        branch=branch,
        dirty_files=[readable(name) for name in names[:MAX_DIRTY]],
        dirty_count=len(names),
    )


def resolve(project: Path, ref: str) -> str:
    """Return the full commit id of a local branch, tag, remote-tracking branch or commit.

    Parameters
    ----------
    project
        The project's folder; its ``.git`` must lie in it, for the copy sees nothing else.
    ref
        ``HEAD``, a name as ``git branch`` and ``git tag`` show it, or a commit id of at least
        four digits. Where a tag and a branch have one name, the tag is meant, as in git.

    Raises
    ------
    errors.NoSuchVersion
        There is no such version here, or it is not a plain name.
    """
    shown = ref if len(ref) <= 100 else f"{ref[:100]}…"
    shown = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", shown)
    if (
        not _NAME.fullmatch(ref)
        or any(bad in ref for bad in ("..", "@{", "//", "/.", ".lock"))
        or ref.endswith(("/", "."))
        or ref == "@"
        or any("\ud800" <= char <= "\udfff" for char in ref)
    ):
        raise errors.NoSuchVersion("It is not the name of a commit, tag or branch.", version=shown)
    repository = open_own(project)
    if repository is None:
        raise errors.NoSuchVersion(
            "It has no git repository of its own in its folder.", version=shown
        )
    for name in (
        (ref,)
        if ref == "HEAD"
        else (f"refs/tags/{ref}", f"refs/heads/{ref}", f"refs/remotes/{ref}")
    ):
        try:
            return str(repository.lookup_reference(name).peel(pygit2.Commit).id)
        except (KeyError, ValueError, pygit2.GitError):
            continue
    if _HEX.fullmatch(ref):
        try:
            found = repository[ref]
            return str(found.peel(pygit2.Commit).id)
        except (KeyError, ValueError, pygit2.GitError):
            pass
    raise errors.NoSuchVersion(version=shown)


def open_own(project: Path) -> pygit2.Repository | None:
    """Open the repository whose ``.git`` folder lies in the project itself, else None.

    Not one that ``.git`` only points to, nor one whose objects lie elsewhere (``git clone
    --shared``): a Job that copies the project could not see them, and a hostile project could point
    at anybody's repository.
    """
    git = project / ".git"
    if git.is_symlink() or not git.is_dir():
        return None
    if any(os.path.lexists(git / name) for name in ("commondir", "objects/info/alternates")):
        return None
    if any((git / name).is_symlink() for name in ("objects", "objects/pack", "objects/info")):
        return None
    return _open_at(project)


def _open(project: Path) -> tuple[pygit2.Repository, str] | None:
    """Open the project's repository, in it or above it; with the project's path inside it."""
    for folder in (project, *project.parents):
        if too_wide(folder) and folder != project:
            return None
        git = folder / ".git"
        if git.is_symlink():
            return None
        if git.is_dir() or (git.is_file() and _is_worktree(folder, git)):
            repository = _open_at(folder)
            if repository is None:
                return None
            prefix = project.relative_to(folder).as_posix()
            return repository, "" if prefix == "." else f"{prefix}/"
        if git.exists():
            return None
    return None


def _open_at(folder: Path) -> pygit2.Repository | None:
    try:
        repository = pygit2.Repository(str(folder), RepositoryOpenFlag.NO_SEARCH)
        # core.worktree may name any folder; then this is not the history of these files.
        workdir = repository.workdir
        if workdir is None or Path(workdir).resolve() != folder.resolve():
            return None
        return repository
    except (pygit2.GitError, KeyError, ValueError, OSError):
        return None


def _is_worktree(folder: Path, git: Path) -> bool:
    """Whether a ``.git`` file is a real worktree's or submodule's.

    It may point anywhere, also at another person's repository. In a real worktree the repository
    points back (``gitdir``), in a submodule its configuration does (``core.worktree``).
    """
    try:
        if git.stat().st_size > 8192:
            return False
        text = git.read_text("utf-8").strip()
        if not text.startswith("gitdir:"):
            return False
        target = (folder / text.removeprefix("gitdir:").strip()).resolve(strict=True)
        back = target / "gitdir"
        if back.is_file() and back.stat().st_size <= 8192:
            return (target / back.read_text("utf-8").strip()).resolve() == git.resolve()
        worktree = pygit2.Config(str(target / "config"))["core.worktree"]
        return worktree is not None and (target / worktree).resolve() == folder.resolve()
    except (OSError, ValueError, KeyError, pygit2.GitError):
        return False


def _branch(repository: pygit2.Repository) -> str | None:
    target = repository.lookup_reference("HEAD").target
    name = target if isinstance(target, str) else ""
    name = name.removeprefix("refs/heads/")
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", name) or None
