"""What left, what arrived, and whether a person was told before of what did not.

A plan and what the copies report come in. A copy is *complete* when every file seen at the
source arrived as it is; *partial* when some were left out or changed by a rule that the plan named, or were
not there any more; and *lost* are files that the plan says will be copied and that a rule left out. Only the
first is green, the last makes a share fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .. import errors
from ..copying.manifest import read_manifest, to_text
from ..engines.orders import VolumeSeen
from ..environment.arrives import is_transient
from ..model import CopiedItem, NotCopiedItem, Plan, VolumeResult
from .errors import FilesHidden, FilesLost, FilesUnreadableInside

__all__ = [
    "Account",
    "account",
    "files_of",
    "lost",
    "missing",
    "told_to_leave_out",
    "transient_of",
    "unusable",
    "with_limits",
    "with_missing",
    "with_warned",
]

ON_REQUEST = "on_request"
OTHER_MOUNT = NotCopiedItem(
    name="", reason="a mount of its own; take it along as data", code="other_mount"
)
OTHER_CONTENT = frozenset({"scrubbed", "lfs_missing", "filters_not_applied"})
"""Codes of files whose content arrives changed, so that they are not equal."""

OWNERS_KEPT = "owners_kept"
"""Code of the plan's warning that names what the copy's user won't be able to read."""

GIT_FAILS = "git does not work there in the copy"
GIT_HISTORY = "git_history"
HISTORY_OUTSIDE = "the git history lies outside the project's folder"
LEADS_NOWHERE = "leads nowhere in the copy"
UNREADABLE = "can't be read in the copy"
UNWRITABLE = "can't be written in the copy"
UNSEEN = "were not looked at from inside the copy"

OTHERWISE = {
    "links_dangle": ("links_dangle", LEADS_NOWHERE),
    "links_leave_data": ("links_dangle", LEADS_NOWHERE),
    "filters_not_applied": (
        "filters_not_applied",
        "is as git stores it, without its filter, encoding or line ends",
    ),
    "git_elsewhere": ("git_fails", GIT_FAILS),
    "git_alternates": ("git_fails", GIT_FAILS),
    "database_in_use": ("database_in_use", "may have been written to while it was copied"),
    "unsaved_documents": ("unsaved_documents", "its unsaved changes are not in the copy"),
}
"""Code of a plan's warning of what the copy's user will not have as the source's had it: to the code and
sentence of its row. Each such file arrives as it was read, so that only the plan knows."""

NOT_THERE = "was there for the plan and not for the copy"

REPOSITORY = 8
"""Files that a Git repository has at least; fewer may all be journals, checkpoints and the like."""

NO_FILES_OF_IT = frozenset(
    {
        # never were files of a folder that was taken
        *("running_kernels", "packages_by_hand", "home_folder", GIT_HISTORY, "file_system"),
        # the copied database has their content
        "in_backup",
        # counted with all that is not there any more, if the plan had it
        "vanished",
    }
)
"""Codes of rows that are listed, and miss in no copy."""

NEVER_PLANNED = frozenset({"", "replaced"})
"""Codes that no plan can have: whatever has one was to be copied."""


@dataclass(frozen=True)
class Account:
    """``files_left`` and ``bytes_left`` are all files that were seen at the source; ``left_out`` and
    ``changed`` sum up, a row for each reason, which did not arrive, or not as they were; the content of
    ``altered`` of them is another."""

    files_left: int
    bytes_left: int
    altered: int
    left_out: Sequence[NotCopiedItem]
    changed: Sequence[NotCopiedItem]


def account(volumes: Sequence[VolumeResult]) -> Account:
    """Return what left, and what became of that which did not arrive as it was."""
    left_out = _summed(row for volume in volumes for row in volume.skipped)
    changed = _summed(row for volume in volumes for row in volume.changed)
    return Account(
        sum(volume.files for volume in volumes) + sum(map(files_of, left_out)),
        sum(volume.bytes for volume in volumes) + sum(row.bytes or 0 for row in left_out),
        sum(files_of(row) for row in changed if row.code in OTHER_CONTENT),
        left_out,
        changed,
    )


def told_to_leave_out(rows: Iterable[NotCopiedItem]) -> list[NotCopiedItem]:
    """Return a Job's rows as the plan has them: it is told to leave out mounts that it can't see."""
    return [
        OTHER_MOUNT.model_copy(update={"name": row.name, "files": row.files})
        if row.code == ON_REQUEST
        else row
        for row in rows
    ]


def transient_of(manifest: Path) -> int:
    """Return how many files of a manifest are transient (`environment.arrives.is_transient`)."""
    with manifest.open("rb") as file:
        return sum(is_transient(to_text(path)) for path, _ in read_manifest(file))


def missing(
    plan: Plan, volumes: Sequence[VolumeResult], transient: Sequence[int | None] = ()
) -> list[int]:
    """Return, by volume, how many files that the plan counts are not in it.

    It makes no difference whether a file was deleted before the copy or while it was made. One that came
    after the plan and went again was never counted, and misses nowhere.

    ``transient`` is how many of a volume's files are, as `Plan.copied` has it: those miss only where there
    were as many as of a repository, and all are gone. Where it is not known they count like others.
    """
    planned = {row.source: row for row in plan.copied}
    known = [*transient, *[None] * (len(volumes) - len(transient))]
    return [
        _missing(planned[volume.source], volume, passing) if volume.source in planned else 0
        for volume, passing in zip(volumes, known, strict=True)
    ]


def _missing(planned: CopiedItem, volume: VolumeResult, transient: int | None) -> int:
    files, arrived, gone = planned.files or 0, volume.files, 0
    if planned.transient is not None and transient is not None:
        files, arrived = files - planned.transient, arrived - transient
        if not transient and planned.transient >= REPOSITORY:
            gone = planned.transient
    return max(0, files - arrived) + gone


def _vanished(volume: VolumeResult) -> list[NotCopiedItem]:
    return [row for row in volume.skipped if row.code == "vanished" and not is_transient(row.name)]


def with_missing(
    plan: Plan, volumes: Sequence[VolumeResult], transient: Sequence[int | None] = ()
) -> list[VolumeResult]:
    """Return the volumes with a row each for what the plan counts and the copy did not find any more."""
    return [
        volume.model_copy(update={"skipped": [*volume.skipped, _not_there(volume, count)]})
        if count
        else volume
        for volume, count in zip(volumes, missing(plan, volumes, transient), strict=True)
    ]


def _not_there(volume: VolumeResult, count: int) -> NotCopiedItem:
    folder = PurePosixPath(volume.source or volume.name).name
    name = next((row.name for row in _vanished(volume)), folder)
    return NotCopiedItem(name=name, reason=NOT_THERE, code="not_there", files=count)


def lost(
    plan: Plan, volumes: Sequence[VolumeResult], transient: Sequence[int | None] = ()
) -> FilesLost | None:
    """Return the error for files that the plan says will be copied and that a rule left out.

    What came to the source only after the plan, and is left out by a rule, was not promised: it takes
    a rule that left out more than the plan says *and* fewer files than it says. What no rule left out
    was not there any more, which is told and no failure (`with_missing`).
    """
    told = Counter[str]()
    for row in plan.not_copied:
        told[row.code] += files_of(row)
    names = {row.name for row in plan.not_copied}
    untold = unplanned = 0
    first: tuple[VolumeResult, NotCopiedItem] | None = None
    for volume in volumes:
        for row in volume.skipped:
            count = files_of(row)
            more = count if row.code in NEVER_PLANNED else max(0, count - told[row.code])
            told[row.code] = max(0, told[row.code] - count)
            if row.code in NEVER_PLANNED:
                unplanned += more
            untold += more
            if more and (first is None or _is_named(first[1], names)):
                first = volume, row
    fewer = sum(
        max(0, count - sum(row.files or 1 for row in _vanished(volume)))
        for volume, count in zip(volumes, missing(plan, volumes, transient), strict=True)
    )
    count = max(unplanned, min(untold, fewer))
    if not count or first is None:
        return None
    volume, row = first
    return FilesLost(
        count=count, path=volume.source or volume.name, first=row.name, reason=row.reason
    )


def unusable(
    plan: Plan, volumes: Sequence[VolumeResult], seen: Sequence[VolumeSeen], user: str
) -> errors.StepFailed | None:
    """Return the error for what was copied and can't be seen, or read, from inside by ``user``.

    Where others keep what is theirs, the plan says how much can't be read then: no more than that.
    """
    for volume, found in zip(volumes, seen, strict=True):
        if found.hidden:
            over = ", ".join(found.covers)
            return FilesHidden(
                count=found.hidden,
                path=volume.mount,
                first=found.first_hidden[0],
                reason=f"another volume is mounted at {over}" if over else "it is not there",
                paths=list(found.first_hidden),
            )
        told = [
            item.params
            for item in plan.warnings
            if item.code == OWNERS_KEPT and item.params.get("source") in (None, volume.source)
        ]
        # The plan of an earlier version does not say how many.
        if found.unreadable > sum(params.get("barred", found.unreadable) for params in told):
            named = {path for params in told for path in params.get("paths", ())}
            untold = (path for path in found.first_unreadable if path not in named)
            return FilesUnreadableInside(
                count=found.unreadable,
                path=volume.mount,
                first=next(untold, found.first_unreadable[0]),
                user=user,
                paths=list(found.first_unreadable),
            )
    return None


def with_limits(volumes: Sequence[VolumeResult], seen: Sequence[VolumeSeen]) -> list[VolumeResult]:
    """Return the volumes with a row each for what can't be read or written in them as it could before."""
    return [
        volume.model_copy(update={"changed": [*volume.changed, *_limits(volume, found)]})
        for volume, found in zip(volumes, seen, strict=True)
    ]


def with_warned(plan: Plan, volumes: Sequence[VolumeResult]) -> list[VolumeResult]:
    """Return the volumes with a row each for what the plan warned of and the copy's user will not have."""
    rows: dict[str | None, list[NotCopiedItem]] = {}
    for warning in plan.warnings:
        if warning.code in OTHERWISE:
            code, words = OTHERWISE[warning.code]
            about = warning.params
            row = NotCopiedItem(name=about["first"], reason=words, code=code, files=about["count"])
            # Not every plan says of which folder.
            rows.setdefault(about.get("source", volumes[0].source), []).append(row)
    # Of a linked worktree that is said already.
    if not any(row.code == "git_fails" for row in rows.get(volumes[0].source, ())):
        history = [row for row in plan.not_copied if row.code == GIT_HISTORY]
        rows.setdefault(volumes[0].source, []).extend(
            row.model_copy(update={"reason": HISTORY_OUTSIDE, "code": "git_outside", "files": 1})
            for row in history
        )
    return [
        volume.model_copy(update={"changed": [*volume.changed, *rows.get(volume.source, ())]})
        for volume in volumes
    ]


def _limits(volume: VolumeResult, found: VolumeSeen) -> list[NotCopiedItem]:
    # An engine of the release before does not look.
    unseen = 0 if found.paths else volume.files
    kinds = (
        (unseen, [volume.mount], "unseen_inside", UNSEEN),
        (found.unreadable, found.first_unreadable, "unreadable_inside", UNREADABLE),
        (found.locked, found.first_locked, "unreadable_inside", UNREADABLE),
        (found.unwritable, found.first_unwritable, "unwritable_inside", UNWRITABLE),
    )
    return [
        NotCopiedItem(name=first[0], reason=words, code=code, files=count)
        for count, first, code, words in kinds
        if count
    ]


def files_of(row: NotCopiedItem) -> int:
    """Return how many files a row stands for."""
    if row.code in NO_FILES_OF_IT:
        return 0
    return 1 if row.files is None else row.files


def _is_named(row: NotCopiedItem, names: set[str]) -> bool:
    """Whether a plan has this row; it puts the folder's name before."""
    return any(name == row.name or name.endswith(f"/{row.name}") for name in names)


def _summed(rows: Iterable[NotCopiedItem]) -> list[NotCopiedItem]:
    """One row for each reason, the most frequent first, by the name of the first that has it."""
    sums: dict[tuple[str, str], NotCopiedItem] = {}
    for row in rows:
        files, size = files_of(row), row.bytes or 0
        if not files:
            continue
        # Only an attribute's sentence names it: those sum up by their code.
        key = (row.code, "" if row.code else row.reason)
        before = sums.get(key)
        if before is not None:
            files, size = files + (before.files or 0), size + (before.bytes or 0)
        sums[key] = (before or row).model_copy(update={"files": files, "bytes": size})
    return sorted(sums.values(), key=lambda row: -(row.files or 0))
