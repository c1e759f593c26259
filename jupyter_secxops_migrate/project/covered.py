"""What a folder has at the place where a volume of an image would lie over it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Literal

from ..copying.walk import Descent
from .commit import CommitFiles
from .tree import open_folder

There = Literal["nothing", "folder", "other"]
"""An empty folder is nothing that could be hidden; ``other`` is a file or a link, there or on the way."""


def what_is_at(root: Path, path: str, commit: str | None = None) -> There:
    """Say what a folder has at a relative path.

    Parameters
    ----------
    root
        The folder. What can't be looked into counts as ``folder``.
    path
        Relative and normalised.
    commit
        Look into this commit instead of the work tree (full hex id).
    """
    if commit is not None:
        return _of_commit(CommitFiles(root, commit), path)
    top = open_folder(root)
    descent = Descent(top)
    try:
        with os.scandir(descent.to(os.fsencode(path))) as entries:
            return "nothing" if next(entries, None) is None else "folder"
    except PermissionError:
        return "folder"
    except (OSError, ValueError) as error:
        in_the_way = isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.ENOTDIR)
        return "other" if in_the_way else "nothing"
    finally:
        descent.close()
        os.close(top)


def _of_commit(files: CommitFiles, path: str) -> There:
    for item in files.items(lambda above: path == above or path.startswith(f"{above}/")):
        if item.path.startswith(f"{path}/"):
            return "folder"
        on_the_way = item.path == path or path.startswith(f"{item.path}/")
        if on_the_way and item.kind != "folder":
            return "other"
    return "nothing"
