"""Which folder the project is.

A person names a notebook's folder; the project is the folder around it that git or a
Dockerfile marks. Reads names only, never what a file says.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .. import errors

MARKS = (".git", "Dockerfile")


def existing_folder(path: Path) -> Path:
    """Return ``path`` without symbolic links, if it is a folder that can be listed.

    Raises
    ------
    errors.NoSuchPath
        It is absent, no folder, not readable here, or its name is not UTF-8 (which no request
        and no record could carry); its ``problem`` says which.
    """
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    try:
        found = path.resolve(strict=True)
        str(found).encode("utf-8")
        if not found.is_dir():
            problem = "is a file; a folder is needed" if found.is_file() else "is not a folder"
        elif os.access(found, os.R_OK | os.X_OK, effective_ids=True):
            return found
        else:
            problem = "can't be read by this account"
    except (FileNotFoundError, NotADirectoryError):
        problem = "does not exist"
    except PermissionError:
        problem = "can't be read by this account"
    except ValueError:
        problem = "has a name that is not UTF-8"
    except (OSError, RuntimeError):
        problem = "can't be reached"
    raise errors.NoSuchPath(path=shown, problem=problem)


def find_project(path: Path) -> Path:
    """Return the project that ``path`` belongs to.

    That is the nearest of the folder and those above it that holds ``.git`` or a ``Dockerfile``,
    but never the home folder, one above it, or ``/``: a stray mark there must not turn a whole
    home into a project. Without a mark it is ``path`` itself.

    Parameters
    ----------
    path
        A folder, absolute or relative to the working directory.

    Raises
    ------
    errors.NoSuchPath
        It is not a folder that can be read.
    """
    start = existing_folder(path)
    for folder in (start, *start.parents):
        if too_wide(folder):
            break
        if any(os.path.lexists(folder / mark) for mark in MARKS):
            return folder
    return start


def documents_in(
    folders: Sequence[Path], documents: Sequence[str], *, here: bool = True
) -> dict[int, str]:
    """Return which documents lie in which folders: the number of each, and its path to be shown.

    Parameters
    ----------
    folders
        Without links; the innermost counts.
    documents
        Absolute paths. Links in them are followed, unless they are not ``here``.
    """
    found = {}
    for number, document in enumerate(documents):
        try:
            path = Path(os.path.realpath(document) if here else os.path.normpath(document))
        except (OSError, ValueError):
            continue
        around = [folder for folder in folders if path != folder and path.is_relative_to(folder)]
        if around:
            folder = max(around, key=lambda one: len(one.parts))
            found[number] = f"{folder.name}/{path.relative_to(folder).as_posix()}"
    return found


def too_wide(folder: Path) -> bool:
    """Return whether a folder is ``/``, the home folder, or above it."""
    try:
        home = Path.home().resolve()
    except (OSError, RuntimeError):
        home = Path("/")
    return home.is_relative_to(folder) or folder == Path(folder.anchor)
