"""The table of a plan: what will be copied, and what will not.

Pure: what the survey found comes in, rows go out.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..environment.survey import Survey
from ..model import CopiedItem, NotCopiedItem

__all__ = ["copied", "not_copied"]


def copied(survey: Survey, where: Mapping[str, str | None]) -> list[CopiedItem]:
    """Return the rows of *Copied*; ``where`` says at which path each folder will be."""
    rows = [
        CopiedItem(
            role="code",
            name=survey.project.name,
            source=survey.project.path,
            mount=where[survey.project.path],
            files=survey.project.files,
            bytes=survey.project.bytes,
            transient=survey.project.transient,
        )
    ]
    rows += [
        CopiedItem(
            role="data",
            name=folder.name,
            source=folder.path,
            mount=where[folder.path],
            files=folder.files,
            bytes=folder.bytes,
            transient=folder.transient,
        )
        for folder in survey.data
    ]
    if survey.dockerfile is not None:
        rows.append(
            CopiedItem(
                role="packages", name="packages of the Dockerfile", source=survey.dockerfile_path
            )
        )
    return rows


def not_copied(survey: Survey) -> list[NotCopiedItem]:
    """Return the rows of *Not copied*."""
    return [
        *survey.not_copied,
        NotCopiedItem(
            name="running kernels",
            reason="memory does not travel; notebooks do",
            code="running_kernels",
        ),
        NotCopiedItem(
            name="packages installed by hand",
            reason="only what the Dockerfile installs is rebuilt",
            code="packages_by_hand",
        ),
        NotCopiedItem(
            name="the rest of your home folder",
            reason="credentials, settings and shell history stay yours",
            code="home_folder",
        ),
    ]
