"""Which version of the project is there, read with libgit2.

Never the git program: a repository's own configuration can make it run commands (fsmonitor,
filters, hooks, diff drivers). libgit2 reads that configuration and runs none of it. Nothing is
fetched and nothing is written.

libgit2 opens by name what it expects to be files, and would wait forever for a FIFO, read a
device without end, or follow its configuration to either; so what it will open is looked at first.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

import pygit2
from pygit2.enums import FileStatus, RepositoryOpenFlag

from ..model import ProjectVersion
from .errors import NoSuchVersion
from .project import too_wide
from .tree import read_regular, readable, walk

MAX_DIRTY = 50
"""Changed files named; all are counted."""

MAX_GIT_FILE = 256 * 1024**2
"""Bytes of a file of the repository, its objects apart: an index of two million files."""

MAX_SETTINGS = 1024**2
"""Bytes of a repository's configuration, or of a ``.gitignore``."""

# Keys that make libgit2 open a file of anybody's choice.
_ELSEWHERE = re.compile(rb"\[\s*include|excludesfile|attributesfile", re.IGNORECASE)

# Git's own rules for names (git-check-ref-format), and nothing of its revision syntax.
_NAME = re.compile(r"[^\x00-\x20\x7f~^:?*\[\\\-./][^\x00-\x20\x7f~^:?*\[\\]{0,999}")
_LOCK = re.compile(r"\.lock(/|\Z)")
_HEX = re.compile(r"[0-9a-fA-F]{4,64}")

# Ownership is what the git program checks because it would run the owner's commands. Nothing is
# run here, and a service often reads projects of other accounts on shared volumes.
pygit2.settings.owner_validation = False


def project_version(project: Path) -> ProjectVersion:
    """Return commit, branch and changed files of the project's folder.

    Without git, in an empty repository, or where the repository can't be read or is not the
    project's own, the fields that are not known stay empty. Changed files are those git would name
    in ``git status``: changed, new and deleted ones, folders of only new files as one; in a sparse checkout
    without the deleted ones.

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
    except (pygit2.GitError, KeyError, ValueError, OSError):
        return ProjectVersion()
    status: dict[str, int] | None = None
    # The commit is known even where the changes are not (pygit2 before 1.19 can't name files
    # that are not UTF-8).
    with suppress(pygit2.GitError, KeyError, ValueError, OSError):
        if _settings_are_plain(Path(repository.workdir or project)):
            status = repository.status(untracked_files="normal", ignored=False)
    # libgit2 knows nothing of sparse checkouts: what they leave out looks deleted to it.
    left_out = FileStatus.WT_DELETED if _is_sparse(repository) else FileStatus.CURRENT
    names = sorted(
        path[len(prefix) :] or "."  # the project itself, where all of it is new
        for path, flags in (status or {}).items()
        if flags not in (FileStatus.CURRENT, FileStatus.IGNORED, left_out)
        and path.startswith(prefix)
    )
    return ProjectVersion(
        commit=commit,
        branch=branch,
        dirty_files=[readable(name) for name in names[:MAX_DIRTY]],
        dirty_count=len(names),
        changes_known=status is not None,
    )


def _is_sparse(repository: pygit2.Repository) -> bool:
    with suppress(KeyError, ValueError, pygit2.GitError):
        return repository.config.get_bool("core.sparseCheckout")
    return False


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
    NoSuchVersion
        There is no such version here, or it is not a plain name.
    """
    shown = ref if len(ref) <= 100 else f"{ref[:100]}…"
    shown = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", shown)
    if (
        not _NAME.fullmatch(ref)
        or any(bad in ref for bad in ("..", "@{", "//", "/."))
        or _LOCK.search(ref)
        or ref.endswith(("/", "."))
        or ref == "@"
        or any("\ud800" <= char <= "\udfff" for char in ref)
    ):
        raise NoSuchVersion("It is not the name of a commit, tag or branch.", version=shown)
    repository = open_own(project)
    if repository is None:
        raise NoSuchVersion(
            "Its folder holds no git repository of its own that can be read safely.", version=shown
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
    raise NoSuchVersion(version=shown)


def open_own(project: Path) -> pygit2.Repository | None:
    """Open the repository whose ``.git`` folder lies in the project itself, else None.

    Not one that ``.git`` only points to, nor one whose objects lie elsewhere (``git clone
    --shared``): a Job that copies the project could not see them, and a hostile project could point
    at anybody's repository.
    """
    git = project / ".git"
    if git.is_symlink() or not git.is_dir():
        return None
    if os.path.lexists(git / "objects" / "info" / "alternates"):
        return None
    if any((git / name).is_symlink() for name in ("objects", "objects/pack", "objects/info")):
        return None
    return _open_at(project, git) if _harmless(git) else None


def _open(project: Path) -> tuple[pygit2.Repository, str] | None:
    """Open the project's repository, in it or above it; with the project's path inside it."""
    for folder in (project, *project.parents):
        if too_wide(folder) and folder != project:
            return None
        git = folder / ".git"
        if not os.path.lexists(git):
            continue
        if git.is_symlink():
            return None
        store = [git] if git.is_dir() else _worktree_stores(folder, git)
        if not store or not all(map(_harmless, store)):
            return None
        repository = _open_at(folder, store[0])
        if repository is None:
            return None
        prefix = project.relative_to(folder).as_posix()
        return repository, "" if prefix == "." else f"{prefix}/"
    return None


def _open_at(folder: Path, git: Path) -> pygit2.Repository | None:
    try:
        if git.parent == folder and os.path.lexists(git / "commondir"):
            return None  # only a worktree's own folder has one; here it leads to a stranger's
        repository = pygit2.Repository(str(folder), RepositoryOpenFlag.NO_SEARCH)
        # core.worktree may name any folder; then this is not the history of these files.
        workdir = repository.workdir
        if workdir is None or Path(workdir).resolve() != folder.resolve():
            return None
        return repository
    except (pygit2.GitError, KeyError, ValueError, OSError):
        return None


def _worktree_stores(folder: Path, git: Path) -> list[Path]:
    """The folders that a worktree's or submodule's ``.git`` file leads to, none if it is neither.

    The file may point anywhere, also at another person's repository. In a real worktree the
    repository points back (``gitdir``) and lies two folders above (``commondir``); in a submodule its
    configuration points back (``core.worktree``).
    """
    text = _read_small(git)
    if text is None or not text.startswith("gitdir:"):
        return []
    try:
        target = (folder / text.removeprefix("gitdir:").strip()).resolve(strict=True)
        if not _harmless(target):
            return []
        back, common = _read_small(target / "gitdir"), _read_small(target / "commondir")
        if back is not None and common is not None:
            above = (target / common).resolve(strict=True)
            real = (target / back).resolve() == git.resolve() and above == target.parent.parent
            return [target, above] if real else []
        if back is not None or common is not None:
            return []
        worktree = pygit2.Config(str(target / "config"))["core.worktree"]
        if worktree is not None and (target / worktree).resolve() == folder.resolve():
            return [target]
    except (OSError, ValueError, KeyError, pygit2.GitError):
        pass
    return []


def _read_small(path: Path) -> str | None:
    content = read_regular(path.parent, path.name, 4096)
    if content is None or len(content) > 4096:
        return None
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None


def _harmless(git: Path) -> bool:
    """Whether a repository holds only what libgit2 can read to its end."""
    try:
        for entry in walk(git):
            mode, size = entry.mode, entry.size
            name = entry.path.rpartition("/")[2]
            if entry.kind == "link":
                followed = os.stat(name, dir_fd=entry.parent)
                mode, size = followed.st_mode, followed.st_size
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    return False
            if entry.kind == "special" or (
                entry.kind != "folder"
                and name in ("config", "config.worktree")
                and not _settings_stay_here(git, entry.path)
            ):
                return False
            if size > MAX_GIT_FILE and not entry.path.startswith(("objects/", "lfs/", "modules/")):
                return False
    except OSError:
        return False
    return True


def _settings_stay_here(git: Path, name: str) -> bool:
    content = read_regular(git, name, MAX_SETTINGS)
    return content is not None and len(content) <= MAX_SETTINGS and not _ELSEWHERE.search(content)


def _settings_are_plain(root: Path) -> bool:
    """Whether what ``git status`` opens in the work tree is plain as well.

    Those are the files that say what to ignore, and the repositories of submodules.
    """
    names = (".gitignore", ".gitattributes", ".gitmodules")
    try:
        for entry in walk(
            root, enter=lambda path: path.rpartition("/")[2] != ".git", unreadable=lambda _: None
        ):
            folder, _, name = entry.path.rpartition("/")
            if name in names and (entry.kind != "file" or entry.size > MAX_SETTINGS):
                return False
            if name == ".git" and folder:
                git = root / entry.path
                store = [git] if entry.kind == "folder" else _worktree_stores(git.parent, git)
                if not store or not all(map(_harmless, store)):
                    return False
    except OSError:
        return False
    return True


def _branch(repository: pygit2.Repository) -> str | None:
    target = repository.lookup_reference("HEAD").target
    name = target if isinstance(target, str) else ""
    name = name.removeprefix("refs/heads/")
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", name) or None
