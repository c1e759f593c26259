"""A look at a source from outside its pod: a Job that has its claims where it has them.

*Restricted*, on the source's node, everything read-only. Its name is new each time and it takes itself
away: what it found is true of one moment, so no later call may adopt it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..base import LookOrder, labels
from .jobs import Job
from .place import SourcePod
from .settings import KubernetesSettings

WORK = "/run/secxops/look"
"""Not /work: the source may have a claim there."""

FOUND = "survey.json"
HOME = 'printf %s "$HOME"'
"""What a shell of the source says of its home. Fixed text; nothing of a request is put into it."""

KEEP_SECONDS = 60

_TOOLS = tuple(map(PurePosixPath, ("/usr", "/bin", "/lib", "/lib64", "/etc", "/opt/secxops")))
"""Where the tools image has what the Job runs."""


def look_job(
    order: LookOrder, settings: KubernetesSettings, source: SourcePod, home: str, results: Path
) -> Job:
    """Return the Job that surveys a project, and puts what it finds into ``results``."""
    mounts = list(_mounts(source, (order.project, *order.data)))
    names = {claim: f"claim-{n}" for n, claim in enumerate(dict.fromkeys(c for c, _ in mounts))}
    arguments = ["--work", WORK, "--home", home]
    for mount in source.container.get("volumeMounts") or ():
        arguments += ["--mount", mount["mountPath"]]
    for name, value in settings.arguments().items():
        arguments += ["--arg", f"{name}={value}"]
    if order.version is not None:
        arguments.append(f"--version={order.version}")
    return Job(
        name=f"secxops-look-{secrets.token_hex(5)}",
        labels=labels(order.owner, "job", order.migration),
        module="environment.look",
        arguments=[*arguments, "--", order.project, *order.data],
        volumes=[
            {"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
            for claim, name in names.items()
        ],
        mounts=[{**mount, "name": names[claim]} for claim, mount in mounts],
        node=source.hostname,
        tolerations=source.tolerations,
        # As the source itself, so that it reads what the source reads.
        user=source.user or 1000,
        group=source.group,
        groups=source.groups,
        work=WORK,
        results={FOUND: results},
        seconds=settings.job_seconds,
        keep=KEEP_SECONDS,
    )


def _mounts(source: SourcePod, wanted: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return each claim with its mount, read-only; without those that would hide the Job's own programs."""
    found = []
    for claim, mount in source.claims():
        path = PurePosixPath(mount["mountPath"])
        hides = any(t.is_relative_to(path) or path.is_relative_to(t) for t in _TOOLS)
        if mount.get("subPathExpr") or (
            hides and not any(PurePosixPath(asked).is_relative_to(path) for asked in wanted)
        ):
            continue
        inside = {"subPath": mount["subPath"]} if mount.get("subPath") else {}
        found.append((claim, {"mountPath": str(path), "readOnly": True, **inside}))
    return found
