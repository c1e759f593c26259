"""What a person should know before a share is begun, though nothing stands against it.

Pure: what was observed comes in, findings go out. What hinders a share is in `refusals`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ..building.errors import ImageHoldsProject
from ..environment.notices import Notice
from ..environment.survey import Survey
from ..model import Finding, NotCopiedItem
from ..operations.record import finding
from ..placement.policy import ResourcePolicy
from ..printable import printable
from ..units import human_size
from .mounts import around, links_that_dangle, to_take_along
from .reasons import reason

__all__ = ["about_dockerfile", "about_folders", "baked", "of_others", "without_secrets"]

MOST_UNUSED = 20
"""Of that many paths that keep nothing, each is named; a request may have a thousand."""


def about_dockerfile(survey: Survey, policy: ResourcePolicy) -> Iterator[Finding]:
    """Say which lines of the Dockerfile make the copy prove less than it seems to."""
    if survey.dockerfile_error is not None or survey.dockerfile is None:
        return
    if policy.bake != "refuse":
        yield from baked(survey)
    if policy.remote_add == "warn":
        for line, url in survey.dockerfile.remote_adds():
            yield reason("remote_add", line=line, url=without_secrets(url))


def baked(survey: Survey) -> Iterator[Finding]:
    """Name the lines that put the project into the image; the policy says how bad that is."""
    for line in survey.baked:
        size = human_size(line.bytes)
        yield finding(ImageHoldsProject(line=line.line, files=line.files, size=size))


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query."""
    return printable(re.sub(r"//[^/]*@", "//", url).partition("?")[0][:200])


def about_folders(
    survey: Survey,
    where: Mapping[str, str | None],
    unsaved: Mapping[int, str],
    *,
    keep_owners: bool,
) -> Iterator[Finding]:
    """Say what of the project and its data does not travel, or will not work as it does here."""
    yield from _mounts_inside(survey)
    yield from _unsaved_documents(unsaved)
    yield from _credentials(survey)
    yield from _whole_home(survey)
    yield from _dangling(survey, where)
    if keep_owners:
        for about in of_others(survey):
            yield reason("owners_kept", **about)
    yield from _noticed(survey, where)


def _mounts_inside(survey: Survey) -> Iterator[Finding]:
    """Name the mounts inside a folder: what lies there is not copied with it."""
    for folder, paths in survey.elsewhere.items():
        for path in paths:
            yield reason(
                "mount_inside",
                path=printable(str(PurePosixPath(folder) / path)),
                folder=printable(PurePosixPath(folder).name),
            )


def _unsaved_documents(documents: Mapping[int, str]) -> Iterator[Finding]:
    """Name the documents that are shared as they were last saved; ``which`` counts in the request."""
    if documents:
        shown = [printable(path) for path in documents.values()]
        about = {"count": len(shown), "first": shown[0], "paths": shown[:50]}
        yield reason("unsaved_documents", which=list(documents), **about)


def _credentials(survey: Survey) -> list[Finding]:
    """Say what may hold credentials, and whether it travels."""
    found = []
    left = _sample([row for row in survey.not_copied if row.keep])
    if left:
        found.append(reason("credentials_left_out", **left))
    kept = _sample(survey.kept)
    if kept:
        found.append(reason("credentials_kept", **kept))
    found += [
        reason("keep_unused", path=printable(path)) for path in survey.keep_unused[:MOST_UNUSED]
    ]
    found += [
        reason("image_needs_left_out", line=line, path=printable(path))
        for line, path in survey.needed
    ]
    return found


def _sample(rows: Sequence[NotCopiedItem]) -> dict[str, Any]:
    """Return count, first and paths of rows as a finding names them; empty without any."""
    paths = [printable(row.name) for row in rows]
    return {"count": len(paths), "first": paths[0], "paths": paths} if paths else {}


def _whole_home(survey: Survey) -> list[Finding]:
    """Warn of a project that is a whole home folder."""
    if not survey.whole_home:
        return []
    return [reason("whole_home", path=printable(survey.project.path))]


def _dangling(survey: Survey, where: Mapping[str, str | None]) -> Iterator[Finding]:
    """Yield a warning for each folder with links that will lead nowhere, with what would bring it."""
    for folder, links in links_that_dangle(survey, where).items():
        largest = max(links, key=lambda row: row.count)
        about = {
            "count": sum(row.count for row in links),
            "folder": printable(PurePosixPath(folder).name),
            "first": printable(largest.paths[0]),
            "target": printable(largest.target),
            "paths": [path for row in links for path in row.paths][:50],
            "source": folder,
        }
        both = None if folder == survey.project.path else around(links)
        if both is not None:
            shown = shlex.quote(both)
            yield reason("links_leave_data", around=shown, data=[both], instead=folder, **about)
        else:
            found = {
                take.options: take for row in links for take in [to_take_along(row, where, survey)]
            }
            few = list(found.values())[:5]
            mounts_asked = {path: mount for take in few for path, mount in take.mounts.items()}
            yield reason(
                "links_dangle",
                take=" ".join(take.options for take in few),
                data=list(dict.fromkeys(take.data for take in few)),
                mounts=mounts_asked,
                **about,
            )


def of_others(survey: Survey) -> Iterator[dict[str, Any]]:
    """Yield, by folder, what there is that the copy's user could not use with its owner."""
    for folder, others in survey.others.items():
        if others.closed:
            yield {
                "folder": printable(PurePosixPath(folder).name),
                "count": others.closed,
                "first": printable(others.paths[0]),
                "paths": list(others.paths[: others.closed]),
                "source": folder,
                "barred": others.barred,
            }


def _noticed(survey: Survey, where: Mapping[str, str | None]) -> list[Finding]:
    """Say what will work otherwise in the copy; what knows its path will not where that stays."""

    def stays(notice: Notice) -> bool:
        source = notice.source or survey.project.path
        return notice.code in ("venv_inside", "paths_inside") and where[source] == source

    return [reason(n.code, **n.filled) for n in survey.notices if not stays(n)]
