"""The source as its pod's object tells it: pure functions over JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ... import errors
from ...placement.quantity import milli, whole
from ..base import SourceEnvironment, SourcePlace

Json = Mapping[str, Any]


@dataclass(frozen=True)
class SourcePod:
    """A running pod and the container in it whose environment is shared.

    ``hostname`` is the value of its node's hostname label, by which Jobs are pinned; the node's name where
    nobody told another.
    """

    pod: Json
    container: Json
    hostname: str

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.pod["metadata"]["name"])

    @property
    def node(self) -> str:
        """The node's name."""
        return str(self.pod["spec"].get("nodeName") or "")

    @property
    def tolerations(self) -> Sequence[Json]:
        """What the pod tolerates."""
        return [
            row
            for row in self.pod["spec"].get("tolerations") or ()
            # Those that the API server adds by itself.
            if row.get("tolerationSeconds") is None
        ]

    @property
    def user(self) -> int | None:
        """The uid it is told to run as; None where its image says."""
        for where in (self.container, self.pod["spec"]):
            user = (where.get("securityContext") or {}).get("runAsUser")
            if user is not None:
                return int(user)
        return None

    @property
    def group(self) -> int | None:
        """The gid it is told to run as; None where its image says."""
        for where in (self.container, self.pod["spec"]):
            group = (where.get("securityContext") or {}).get("runAsGroup")
            if group is not None:
                return int(group)
        return None

    @property
    def groups(self) -> Sequence[int]:
        """The groups it belongs to besides, its volumes' among them."""
        told = self.pod["spec"].get("securityContext") or {}
        volumes = told.get("fsGroup")
        return [*(told.get("supplementalGroups") or ()), *(() if volumes is None else (volumes,))]

    @property
    def home(self) -> str:
        """The home folder that it is told; empty where its image says."""
        told = {row["name"]: row.get("value") for row in self.container.get("env") or ()}
        return str(told.get("HOME") or "")

    def claims(self) -> Iterator[tuple[str, Json]]:
        """Yield each mounted claim's name with its volumeMount."""
        volumes = {v["name"]: v for v in self.pod["spec"].get("volumes") or ()}
        for mount in self.container.get("volumeMounts") or ():
            claim = volumes.get(mount["name"], {}).get("persistentVolumeClaim")
            if claim:
                yield claim["claimName"], mount


def source_pod(pod: Json, container: str = "") -> SourcePod:
    """Return the source in a pod.

    Raises
    ------
    errors.SourceUnusable
        It does not run, or has no such container.
    """
    name = pod["metadata"]["name"]
    if pod.get("status", {}).get("phase") != "Running":
        raise errors.SourceUnusable(pod=name, reason="it is not running")
    marks = pod["metadata"].get("annotations") or {}
    wanted = container or marks.get("kubectl.kubernetes.io/default-container") or ""
    containers = pod["spec"]["containers"]
    for found in containers:
        if not wanted or found["name"] == wanted:
            return SourcePod(pod, found, str(pod["spec"].get("nodeName") or ""))
    raise errors.SourceUnusable(pod=name, reason=f"it has no container {wanted}")


def environment(
    source: SourcePod, gpu_resource: str, *, outside: bool = False
) -> SourceEnvironment:
    """Return what the source runs with: limits, else requests."""
    given = source.container.get("resources") or {}
    limits, requests = given.get("limits") or {}, given.get("requests") or {}
    cpu = limits.get("cpu") or requests.get("cpu")
    memory = limits.get("memory") or requests.get("memory")
    return SourceEnvironment(
        "pod",
        source.node,
        container=f"{source.name}/{source.container['name']}",
        image=source.container.get("image"),
        cpu=milli(cpu) / 1000 if cpu else None,
        memory=whole(memory) if memory else None,
        gpu=int(limits.get(gpu_resource) or 0),
        mounts=sorted(mount["mountPath"] for _, mount in source.claims()),
        outside=outside,
    )


def locate(source: SourcePod, path: PurePosixPath) -> SourcePlace:
    """Return the claim, and the folder in it, that the source has at ``path``.

    Raises
    ------
    errors.NotOnClaim
        No claim is mounted there.
    """
    mounts = source.container.get("volumeMounts") or ()
    above = [m for m in mounts if path.is_relative_to(m["mountPath"])]
    claims = {id(mount): claim for claim, mount in source.claims()}
    best = max(above, key=lambda m: len(PurePosixPath(m["mountPath"]).parts), default=None)
    if best is None or id(best) not in claims:
        volumes = {v["name"]: v for v in source.pod["spec"].get("volumes") or ()}
        found = volumes.get(best["name"], {}) if best else {}
        kind = next((key for key in found if key != "name"), None)
        raise errors.NotOnClaim(
            path=str(path),
            kind=f"a volume of the kind {kind}" if kind else "the container's own layer",
            mounts=sorted(m["mountPath"] for _, m in source.claims()) or ["none"],
        )
    if best.get("subPathExpr"):
        raise errors.NotOnClaim(
            path=str(path),
            kind="a mount whose subPathExpr only the container knows",
            mounts=sorted(m["mountPath"] for _, m in source.claims() if not m.get("subPathExpr"))
            or ["none"],
        )
    below = PurePosixPath(best.get("subPath") or "") / path.relative_to(best["mountPath"])
    covered = sorted(
        PurePosixPath(m["mountPath"]).relative_to(path).as_posix()
        for m in mounts
        if PurePosixPath(m["mountPath"]) != path
        and PurePosixPath(m["mountPath"]).is_relative_to(path)
    )
    outer = [c for c in covered if not any(c.startswith(f"{o}/") for o in covered)]
    subpath = "" if str(below) == "." else str(below)
    return SourcePlace("volume", claims[id(best)], subpath, str(path), outer)
