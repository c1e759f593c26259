"""What of a project will be there in the copy and work otherwise than at its source.

Each is named in the plan with what can be done about it. Found by names and small files only.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..model import ProjectVersion
from ..project.items import Item
from ..project.links import way_out
from ..project.tree import MAX_PATHS, Entry, read_regular, readable

MAX_FILE = 256 * 1024

BUILD_FILES = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt")
"""Files of the project's top folder that may ask for a tool which reads ``.git`` in the build."""

_OPEN_NOW = re.compile(r"postmaster\.pid|.+\.(?:duckdb|ddb|db)\.wal")
"""Names of files that a database has only while a program has it open, or after that was killed."""

_OF_DATABASES = re.compile(
    # LevelDB and RocksDB; MySQL and MariaDB; MongoDB; Lucene's (Elasticsearch, OpenSearch); Qdrant
    r"MANIFEST-\d+|ibdata1|ib_logfile\d+|aria_log\.\d+|WiredTiger\.turtle|write\.lock|translog-\d+\.tlog"
    r"|open-\d+"
)
"""Names of files to which a database writes that is at work."""

RECENT_SECONDS = 600.0

_RESULTS = re.compile(rb"(?m)^artifact_(?:location|uri): *[\"']?(?:file://)?(/[^\"'\r\n]*)")

_ASKS_GIT = re.compile(
    rb"(?i)\b(setuptools[-_]scm|versioneer|hatch-vcs|use_scm_version|versioningit|pbr"
    rb"|poetry-dynamic-versioning|pdm-backend-scm|dunamai)\b"
)


@dataclass(slots=True)
class Notice:
    """Something to be told: ``code`` is that of its sentence, ``paths`` a sample of at most 50.

    ``source`` is the shared folder that holds it, empty where that makes no difference.
    """

    code: str
    count: int = 0
    paths: list[str] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    source: str = ""

    def meet(self, path: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.paths) < MAX_PATHS:
            self.paths.append(readable(path))

    @property
    def filled(self) -> dict[str, Any]:
        """What its sentence is filled in with."""
        if not self.paths:
            return dict(self.params)
        about = {"count": self.count, "first": self.paths[0], "paths": self.paths}
        return about | ({"source": self.source} if self.source else {}) | self.params


class Notices:
    """What is met while a project is counted."""

    def __init__(self) -> None:
        self._met: dict[tuple[str, str], Notice] = {}
        self._databases: set[tuple[str, str]] = set()

    def meet(self, code: str, path: str, source: str = "") -> None:
        """Count a path under a code, by shared folder where there is one."""
        self._met.setdefault((code, source), Notice(code, source=source)).meet(path)

    def meet_file(self, path: str) -> None:
        """Look at a file's name: a virtual environment or one of conda holds its own path."""
        folder, _, name = path.rpartition("/")
        if name == "pyvenv.cfg":
            self.meet("venv_inside", folder)
        elif name == "history" and folder.rpartition("/")[2] == "conda-meta":
            self.meet("venv_inside", folder.rpartition("/")[0])

    def meet_paths(self, root: Path, entry: Entry) -> None:
        """Look whether a run of MLflow names its results by the project's path here."""
        if entry.name != b"meta.yaml" or "mlruns" not in entry.path.split("/"):
            return
        content = read_regular(Path(f"/proc/self/fd/{entry.parent}"), "meta.yaml", MAX_FILE) or b""
        found = _RESULTS.search(content)
        if found and (found[1] + b"/").startswith(os.fsencode(root) + b"/"):
            self.meet("paths_inside", f"{root.name}/{entry.path}", str(root))

    def meet_database(self, root: Path, path: str, mtime: float) -> None:
        """Look whether a file belongs to a database of many files that a program seems to write to.

        One of SQLite is copied by its own backup.
        """
        folder, _, name = path.rpartition("/")
        recent = abs(time.time() - mtime) < RECENT_SECONDS
        if _OPEN_NOW.fullmatch(name) or (recent and _OF_DATABASES.fullmatch(name)):
            one = path if name.endswith(".wal") else folder
            shown = f"{root.name}/{one}".rstrip("/")
            if (str(root), shown) not in self._databases:
                self._databases.add((str(root), shown))
                self.meet("database_in_use", shown, str(root))

    def meet_git(self, root: Path, entry: Entry) -> None:
        """Look at what git reads to find a repository's objects: do they travel with ``root``?"""
        folder = entry.path.rpartition("/")[0]
        here = Path(f"/proc/self/fd/{entry.parent}")
        if entry.where == b"objects/info" and entry.name == b"alternates":
            lines = (read_regular(here, "alternates", MAX_FILE) or b"").splitlines()
            if any(_borrows(root, folder, line) for line in lines):
                borrower = _repository(root, folder, "/objects/info")
                self.meet("git_alternates", borrower, str(root))
        elif entry.name == b".git" and entry.kind in ("file", "link"):
            link = entry.kind == "link"
            target = str((here / ".git").readlink()) if link else _git_directory(here)
            # A project whose history is not in .git itself is copied without it.
            if entry.path == ".git" or (target and way_out(str(root), entry.path, target)):
                self.meet("git_elsewhere", _repository(root, folder, ""), str(root))

    def meet_of_commit(self, item: Item) -> None:
        """Look at what a commit names and the repository does not have."""
        if item.lacks:
            self.meet(f"{item.lacks}_missing", item.path)

    def rows(self) -> list[Notice]:
        """Return what was met."""
        return list(self._met.values())


def _borrows(root: Path, folder: str, line: bytes) -> bool:
    """Say whether a line of ``objects/info/alternates`` in ``folder`` leads out of ``root``.

    An absolute path does, as the copy is mounted elsewhere; a quoted one is not read.
    """
    if not line or line.startswith(b"#"):
        return False
    return line.startswith(b'"') or way_out(str(root), folder, os.fsdecode(line)) is not None


def _git_directory(folder: Path) -> str:
    """Return where a ``.git`` file leads; nothing if it is none of git's."""
    content = read_regular(folder, ".git", MAX_FILE) or b""
    if not content.startswith(b"gitdir:"):
        return ""
    return os.fsdecode(content.removeprefix(b"gitdir:").strip())


def _repository(root: Path, folder: str, inside: str) -> str:
    """Return a repository's work tree as the plan shows it; a bare one is its own."""
    path = f"{root.name}/{folder}".rstrip("/")
    return path.removesuffix(inside).removesuffix("/.git")


def about_git(project: Path, version: ProjectVersion) -> Iterator[Notice]:
    """Say what of the project's repository was not understood."""
    git = project / ".git"
    if not os.path.lexists(git):
        return
    if git.is_symlink() or not git.is_dir():
        return
    if version.commit is None and _has_history(git):
        yield Notice("git_unread")
    elif not version.changes_known:
        yield Notice("changes_unknown")


def _has_history(git: Path) -> bool:
    """Whether there is a commit at all: a ref, or packed refs."""
    if read_regular(git, "packed-refs", 1):
        return True
    for folder, _, names in os.walk(git / "refs"):
        if names:
            return True
        if folder.count("/") > 200:
            break
    return False


def about_build(files: Sequence[tuple[str, bytes | None]]) -> Iterator[Notice]:
    """Say which files that the build is sent ask for a tool that reads ``.git``."""
    for name, content in files:
        found = _ASKS_GIT.search(content or b"")
        if found:
            yield Notice("build_needs_git", params={"file": name, "tool": found[0].decode()})
