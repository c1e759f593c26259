"""How long a share will take: as long as the last ones of this project did, or a guess for the first.

Pure: sizes and the records of earlier shares come in, seconds go out.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..environment.survey import Survey
from ..model import Folder, Migration, MigrationState, StepName, StepState

__all__ = ["bytes_on_disk", "estimate", "guess"]

COPY_BYTES_PER_SECOND = 400e6
COPY_FILES_PER_SECOND = 8000.0
BUILD_SECONDS = 20.0
LAUNCH_SECONDS = 8.0
"""For the guess only; measured on two cores with a warm cache, a cold build takes longer."""

JOB_SECONDS = 2.0
"""Of a copy, what does not grow with its size."""

LATEST = 5
"""Earlier shares that are looked at: what they ran on may have changed since those before."""


def estimate(survey: Survey, earlier: Sequence[Migration]) -> float | None:
    """Return the seconds that earlier shares of the project let expect, None if there were none.

    The build as its fastest, because what one built the next finds in its cache; the copy by its size.

    Parameters
    ----------
    earlier
        Shares of this project, newest first.
    """
    ended = [one for one in earlier if one.state is MigrationState.SUCCEEDED][:LATEST]
    builds = [took for one in ended if (took := _took(one, StepName.BUILD)) is not None]
    if not builds:
        return None
    now = _copying(survey)
    copies = [took for one in ended if (took := _copied(one, now)) is not None]
    last = [
        sum(_took(one, step) or 0.0 for step in (StepName.PUSH, StepName.LAUNCH, StepName.VERIFY))
        for one in ended
    ]
    return round(max(min(builds), _middle(copies) if copies else now) + _middle(last), 1)


def guess(survey: Survey) -> float:
    """Return the seconds of a first share: build and copy run side by side, then launch."""
    return round(max(BUILD_SECONDS, _copying(survey)) + LAUNCH_SECONDS, 1)


def bytes_on_disk(folder: Folder) -> int:
    """Return how much room a folder takes, of a sparse file only what is there."""
    return folder.bytes if folder.disk is None else folder.disk


def _copying(survey: Survey) -> float:
    folders = (survey.project, *survey.data)
    return _seconds(sum(map(bytes_on_disk, folders)), sum(folder.files for folder in folders))


def _seconds(size: int, files: int) -> float:
    return size / COPY_BYTES_PER_SECOND + files / COPY_FILES_PER_SECOND


def _copied(share: Migration, now: float) -> float | None:
    """Return how long its copy would take of what the guess says takes ``now`` seconds."""
    took = _took(share, StepName.COPY)
    if took is None or share.result is None:
        return None
    volumes = share.result.volumes
    then = _seconds(sum(v.bytes for v in volumes), sum(v.files for v in volumes))
    return took * (now + JOB_SECONDS) / (then + JOB_SECONDS)


def _took(share: Migration, name: StepName) -> float | None:
    for step in share.steps:
        if step.name is name and step.state is StepState.DONE and step.started and step.finished:
            return (step.finished - step.started).total_seconds()
    return None


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
