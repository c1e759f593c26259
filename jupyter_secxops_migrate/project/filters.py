"""Which files of a commit git would change when it checks them out.

A copy has them as the commit stores them: drivers are programs of the project or its owner, and nothing
of that kind is run. Only the commit's own ``.gitattributes`` are asked, not ``.git/info/attributes``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pygit2
from pygit2.enums import AttrCheck

LIKE_A_COPY = AttrCheck.INDEX_ONLY | AttrCheck.INCLUDE_COMMIT | AttrCheck.NO_SYSTEM
NAMES = ("filter", "working-tree-encoding", "eol", "text", "ident")


class Filters:
    """The attributes of one commit.

    Parameters
    ----------
    repository
        Whose objects and settings count.
    commit, tree
        The commit's id, and its tree.
    """

    def __init__(self, repository: pygit2.Repository, commit: str, tree: pygit2.Tree) -> None:
        texts = list(_attributes(repository, tree))
        # Most commits ask for nothing that matters here: then no file is looked up.
        self._names = [name for name in NAMES if any(name.encode() in text for text in texts)]
        self._settings, self._commit = repository.config, commit
        # Without a folder, and so without an index or a work tree whose attributes could differ.
        self._objects = pygit2.Repository()
        self._objects.set_odb(repository.odb)

    def change(self, path: str) -> bool:
        """Say whether git would change a file on checkout; also if that can't be told."""
        if not self._names:
            return False
        try:
            said = {name: self._get(path, name) for name in self._names}
        except (KeyError, ValueError, pygit2.GitError):
            return True
        driver, encoding = said.get("filter"), said.get("working-tree-encoding")
        return (
            (isinstance(driver, str) and driver != "lfs" and not self._only_cleans(driver))
            or (isinstance(encoding, str) and encoding.lower() not in ("utf-8", "utf8"))
            or (said.get("eol") == "crlf" and said.get("text") is not False)
            or said.get("ident") is True
        )

    def _get(self, path: str, name: str) -> bool | str | None:
        return self._objects.get_attr(os.fsencode(path), name, LIKE_A_COPY, self._commit)

    def _only_cleans(self, driver: str) -> bool:
        """Say whether a driver is set up so that it changes only what is committed (nbstripout)."""
        said = {}
        for name in ("clean", "smudge", "process"):
            with contextlib.suppress(KeyError, ValueError, pygit2.GitError):
                said[name] = self._settings[f"filter.{driver}.{name}"]
        return "clean" in said and said.get("smudge", "cat") == "cat" and "process" not in said


def _attributes(repository: pygit2.Repository, tree: pygit2.Tree) -> Iterator[bytes]:
    """Yield all ``.gitattributes`` of a commit, each tree once however often a crafted commit names it."""
    met = {tree.id}
    waiting = [tree]
    while waiting:
        for entry in waiting.pop():
            if isinstance(entry, pygit2.Tree) and entry.id not in met:
                met.add(entry.id)
                waiting.append(entry)
            elif isinstance(entry, pygit2.Blob) and entry.raw_name == b".gitattributes":
                yield entry.data
