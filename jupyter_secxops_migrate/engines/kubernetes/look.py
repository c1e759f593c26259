"""A look at a source from outside its pod: a Job that has its claims where it has them.

*Restricted*, on the source's node, everything read-only. Its name is new each time and it takes itself
away: what it found is true of one moment, so no later call may adopt it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ...copying.job import FOUND
from ..names import labels
from ..orders import LookOrder
from .job import Job
from .place import SourcePod, User
from .settings import KubernetesSettings

WORK = "/run/secxops/look"
"""Not /work: the source may have a claim there."""

WHO = 'id -u; id -g; id -G; printf %s "$HOME"'
"""What a shell of the source says of its user. Fixed text; nothing of a request is put into it."""

KEEP_SECONDS = 60

_TOOLS = tuple(map(PurePosixPath, ("/usr", "/bin", "/lib", "/lib64", "/etc", "/opt/secxops")))
"""Where the tools image has what the Job runs."""


def look_job(
    order: LookOrder, settings: KubernetesSettings, source: SourcePod, results: Path
) -> Job:
    """Return the Job that surveys a project, and puts what it finds into ``results``."""
    mounts = list(_mounts(source, (order.project, *order.data)))
    names = {claim: f"claim-{n}" for n, claim in enumerate(dict.fromkeys(c for c, _ in mounts))}
    arguments = ["--work", WORK, "--home", home_of(source, order.project)]
    for mount in source.container.get("volumeMounts") or ():
        arguments += ["--mount", mount["mountPath"]]
    for name, value in settings.arguments().items():
        arguments += ["--arg", f"{name}={value}"]
    arguments += [f"--keep={path}" for path in order.keep]
    if order.dockerfile is not None:
        arguments.append(f"--dockerfile={order.dockerfile}")
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
        source=source,
        place="here",
        work=WORK,
        results={FOUND: results},
        seconds=settings.job_seconds,
        keep=KEEP_SECONDS,
    )


def home_of(source: SourcePod, asked: str) -> str:
    """Return the home folder of the source's user: told, found, or else taken from the path asked for.

    A stray mark in a home must not turn all of it into a project. So where nobody says which folder it is,
    it is ``/home/NAME`` or ``/root``, else the innermost mount above the path.
    """
    told = source.home or (source.found.home if source.found is not None else "")
    # Not one that the pod only refers to.
    if told.startswith("/") and told.isprintable() and "$(" not in told:
        return told
    path = PurePosixPath(asked)
    for depth, usual in ((3, "/home"), (2, "/root")):
        if path.is_relative_to(usual) and len(path.parts) >= depth:
            return str(PurePosixPath(*path.parts[:depth]))
    mounts = (PurePosixPath(mount["mountPath"]) for _, mount in source.claims())
    above = [mount for mount in mounts if mount in path.parents]
    return str(max(above, key=lambda mount: len(mount.parts), default="/"))


def read_user(said: str) -> User | None:
    """Read what `WHO` printed; None where it says no user."""
    try:
        uid, gid, groups, home = said.split("\n", 3)
        return User(int(uid), int(gid), [int(group) for group in groups.split()], home)
    except ValueError:
        return None


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
