"""Where a project's Dockerfile is: at its top, where a person says, or where other tools put theirs.

A Dockerfile of another tool is offered and never taken by itself: what it is for is its tool's matter.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from ..project.commit import CommitFiles
from ..project.items import not_plain
from ..project.tree import read_regular
from .dockerfile import MAX_SIZE
from .errors import BadDockerfile

TOP = "Dockerfile"
FOLDERS = (".devcontainer", "binder", ".binder", "docker")
"""Where development containers, Binder and many projects have theirs."""
DEVCONTAINERS = (".devcontainer/devcontainer.json", ".devcontainer.json")
"""What names one (https://containers.dev/implementors/json_reference/): JSON with comments."""
_NAMED = re.compile(rb'"docker[Ff]ile"\s*:\s*"([^"\\\x00-\x1f]{1,300})"')


def dockerfile_of(project: Path, commit: str | None, path: str) -> bytes | None:
    """Return a project's Dockerfile, None without one.

    Parameters
    ----------
    project, commit
        The project's folder, and a full commit id or None for the files as they are.
    path
        Where in the project.

    Raises
    ------
    BadDockerfile
        It is no plain file, too large, or a link leads to it.
    """
    if commit is not None:
        return CommitFiles(project, commit).small_file(path, MAX_SIZE)
    # A link above it could lead out of the project.
    if (project / path).parent.resolve() != Path(os.path.normpath((project / path).parent)):
        raise not_plain(path)
    source = read_regular(project, path, MAX_SIZE)
    if source is None and os.path.lexists(project / path):
        raise not_plain(path)
    return source


def elsewhere_in(project: Path, commit: str | None) -> Sequence[str]:
    """Return the paths of Dockerfiles that other tools would use."""

    def read(path: str) -> bytes | None:
        try:
            return dockerfile_of(project, commit, path)
        except BadDockerfile:
            return None

    named = []
    for path in DEVCONTAINERS:
        for match in _NAMED.finditer(read(path) or b""):
            found = posixpath.join(posixpath.dirname(path), match[1].decode("utf-8", "replace"))
            named.append(posixpath.normpath(found))
    paths = dict.fromkeys([*named, *(f"{folder}/{TOP}" for folder in FOLDERS)])
    return tuple(
        path
        for path in paths
        if path != TOP and not path.startswith(("/", "../")) and read(path) is not None
    )
