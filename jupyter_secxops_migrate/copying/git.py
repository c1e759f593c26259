"""A project's repository: its files without credentials, and the files of one commit.

``.git`` travels with a project, so that its history does; a token in the URL of a remote must not.
What is changed: user and password in URLs (of ``http`` and its kind the user too, because a token
often stands there), the queries of remotes' URLs, ``credential`` sections, extra HTTP headers, settings
whose name says that they are a secret, and the path of hooks that are not git's own. Nothing here runs
git, reads its configuration as git would, or touches objects: a commit stays what was committed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from .walk import DIRECTORY

__all__ = [
    "GIT_FOLDER",
    "belongs_to_a_work_tree",
    "enters",
    "files_in",
    "holds_credentials",
    "index_of",
    "is_git_directory",
    "is_safe_name",
    "open_commit",
    "open_repository",
    "scrubbed",
]

GIT_FOLDER = b".git"
SHARED = (b".gitmodules", b".lfsconfig")
"""Files outside of a git directory that are git's own, too."""

LINK = 0o120000
MOST_ENTRIES = 1_000_000
EXAMINED_MOST = 64 << 20
"""Bytes of one of git's own files that are searched for credentials; a larger one stays."""
_URL = re.compile(rb"(?i)\b((?:https?|ftps?|socks5?h?)://)[^/?#\s]*@")
_URL_PASSWORD = re.compile(rb"(?i)\b([a-z][a-z0-9+.-]{0,20}://[^/?#\s:@]*):[^/?#\s]*@")
_SECTION = re.compile(rb"""\s*\[\s*([A-Za-z0-9.-]+)(?:\s+"(?:[^"\\]|\\.)*")?\s*\]""")
_QUERY = re.compile(rb"(?i)\b(https?://[^?#\s\"']*)\?[^#\s\"']*")
_SECRET_QUERY = re.compile(
    rb"(?i)\b([a-z][a-z0-9+.-]{0,20}://[^?#\s\"']*)\?[^#\s\"']*"
    rb"(?:token|key|secret|password|passwd|pass|auth|sig|signature|sas|code|credential|pat)=[^#\s\"']*"
)
_SECRET_KEY = re.compile(
    rb"(?i)\s*(extraheader|.*(?:token|password|passwd|secret|smtppass|sslcertpassword|pat"
    rb"|(?:api|access|private)[-_]?key)|hookspath)\s*(?:=|\Z)"
)


def enters(where: bytes | None, name: bytes) -> bytes | None:
    """Return where inside its git directory a subfolder lies (``b""`` is the git directory).

    ``where`` is the same for its parent, None outside of any.
    """
    if name == GIT_FOLDER:
        return b""
    if where is None:
        return None
    return where + b"/" + name if where else name


def is_git_directory(names: Iterable[bytes]) -> bool:
    """Say whether a folder of these names is one, whatever it is called; folders' names end in a slash."""
    return {b"HEAD", b"objects/", b"refs/"}.issubset(names)


def holds_credentials(where: bytes | None, name: bytes) -> bool:
    """Say whether a file is one of git's own that is to be scrubbed.

    ``where`` in a git directory it lies, None outside of any.
    """
    if name in SHARED:
        return True
    if where is None:
        return False
    parts = where.split(b"/") if where else []
    if b"objects" in parts or b"refs" in parts:
        # Named by people or by digests; a submodule called "objects" is not worth guessing.
        return False
    if name.startswith(b"config") or name in (b"FETCH_HEAD", b"sourcetreeconfig"):
        return True
    return bool({b"logs", b"remotes", b"branches"} & set(parts))


def scrubbed(name: bytes, data: bytes) -> bytes:
    """Return the content of one of git's own files without credentials.

    Equal to ``data`` when it held none.

    Examples
    --------
    >>> scrubbed(b"config", b"[remote \\"o\\"]\\n\\turl = https://me:secret@host/x.git\\n")
    b'[remote "o"]\\n\\turl = https://host/x.git\\n'
    """
    if name == b"FETCH_HEAD":
        return _QUERY.sub(rb"\1", _without_secrets(data))
    if not name.startswith((b"config", *SHARED)):
        return _without_secrets(data)
    out: list[bytes] = []
    dropped = False
    for line in _logical_lines(data):
        body = line
        section = _SECTION.match(line)
        if section is not None:
            dropped = section[1].lower().split(b".")[0] == b"credential"
            if not dropped:
                out.append(_without_secrets(section[0]))
            body = line[section.end() :]
        if dropped:
            continue
        joined = body.replace(b"\\\r\n", b"").replace(b"\\\n", b"")
        if _SECRET_KEY.match(joined.split(b"=")[0] + b"="):
            if section is not None:
                out.append(b"\n")
            continue
        clean = _QUERY.sub(rb"\1", _without_secrets(joined))
        out.append(body if clean == joined else clean)
    return b"".join(out)


def _without_secrets(data: bytes) -> bytes:
    return _SECRET_QUERY.sub(rb"\1", _URL_PASSWORD.sub(rb"\1@", _URL.sub(rb"\1", data)))


def _logical_lines(data: bytes) -> list[bytes]:
    """Split lines, one that ends in a backslash together with the next."""
    lines: list[bytes] = []
    current = b""
    for line in data.splitlines(keepends=True):
        current += line
        stripped = line.rstrip(b"\r\n")
        trailing = len(stripped) - len(stripped.rstrip(b"\\"))
        if trailing % 2 == 0:
            lines.append(current)
            current = b""
    return [*lines, current] if current else lines


# --------------------------------------------------------------------------- the files of a commit

# State of work in progress, and what belongs to one work tree: the copy has a work tree of its own.
_OF_A_WORK_TREE = re.compile(
    rb"HEAD|index|sharedindex\..*|.*\.lock|(?:MERGE|CHERRY_PICK|REVERT|REBASE)_.*|AUTO_MERGE|BISECT_.*"
    rb"|(?:rebase-merge|rebase-apply|sequencer|worktrees)/"
)


def belongs_to_a_work_tree(name: bytes) -> bool:
    """Say whether something directly in ``.git`` is replaced or left out when a commit is copied."""
    return _OF_A_WORK_TREE.fullmatch(name) is not None


def is_safe_name(name: bytes) -> bool:
    """Say whether a tree's entry names something inside its folder; a crafted tree may hold others."""
    return name not in (b"", b".", b"..") and b"/" not in name and name.lower() != GIT_FOLDER


def open_repository(root: int) -> Any:
    """Open the repository whose ``.git`` lies in the folder ``root`` (a descriptor).

    Only objects are read through it: no filter, no hook and no setting of the project runs anything.

    Raises
    ------
    ValueError
        There is none, or ``.git`` leads elsewhere.
    """
    import pygit2

    # What root reads on behalf of its owner belongs to somebody else; nothing of it is executed.
    pygit2.settings.owner_validation = False
    for level in (
        pygit2.enums.ConfigLevel.SYSTEM,
        pygit2.enums.ConfigLevel.GLOBAL,
        pygit2.enums.ConfigLevel.XDG,
    ):
        pygit2.settings.search_path[level] = ""
    try:
        os.close(os.open(GIT_FOLDER, DIRECTORY, dir_fd=root))
    except OSError:
        raise ValueError("it has no .git folder of its own") from None
    try:
        return pygit2.Repository(
            f"/proc/self/fd/{root}/.git", pygit2.enums.RepositoryOpenFlag.NO_SEARCH
        )
    except pygit2.GitError as error:
        raise ValueError(f"its repository can't be read ({error})") from error


def open_commit(repository: Any, commit: str, subfolder: bytes) -> tuple[Any, int]:
    """Return the tree of a commit (or of a folder in it) and the commit's time, seconds.

    Raises
    ------
    ValueError
        There is no such commit, or no such folder in it.
    """
    import pygit2

    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
        raise ValueError("the commit is not named by its full hexadecimal id")
    try:
        found = repository[commit].peel(pygit2.Commit)
        tree = found.tree
        for name in subfolder.split(b"/") if subfolder else []:
            tree = tree[os.fsdecode(name)]
            if not isinstance(tree, pygit2.Tree):
                raise KeyError
    except (KeyError, pygit2.GitError, ValueError):
        raise ValueError("its repository has no such commit, or no such folder in it") from None
    return tree, int(found.commit_time)


def files_in(entry: Any) -> int:
    """Count the files that an entry of a commit stands for, one at least; links and submodules are none.

    At most `MOST_ENTRIES` entries are looked at: a crafted tree may hold itself very many times.
    """
    import pygit2

    files = met = 0
    waiting = [entry] if isinstance(entry, pygit2.Tree) else []
    while waiting and met < MOST_ENTRIES:
        for one in waiting.pop():
            met += 1
            if isinstance(one, pygit2.Tree):
                waiting.append(one)
            elif isinstance(one, pygit2.Blob) and int(one.filemode) != LINK:
                files += 1
    return max(files, 1)


def index_of(tree: Any, aside: str) -> bytes:
    """Return the content of a ``.git/index`` that equals a tree; made under the path ``aside``.

    Raises
    ------
    ValueError
        The tree holds names that git does not allow.
    """
    import pygit2

    index = pygit2.Index(aside)
    index.clear()
    try:
        index.read_tree(tree)
    except (KeyError, pygit2.GitError) as error:
        raise ValueError(f"the commit can't be checked out ({error})") from None
    index.write()
    try:
        with open(aside, "rb") as file:
            return file.read()
    finally:
        os.unlink(aside)
