"""The source as its pod's object tells it: pure functions over JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ...placement.quantity import milli, whole
from ..orders import SourceEnvironment, SourcePlace
from .errors import NotOnClaim, SourceUnusable
from .own import Own

Json = Mapping[str, Any]
_PORT = 8888
_GUESSED = 1000
"""The uid of most images of notebooks."""


@dataclass(frozen=True)
class User:
    """Who runs a container's programs: ids, and the home folder."""

    uid: int
    gid: int | None = None
    groups: Sequence[int] = ()
    home: str = ""


@dataclass(frozen=True)
class SourcePod:
    """A running pod and the container in it whose environment is shared.

    ``hostname`` is the value of its node's hostname label, by which Jobs are pinned; the node's name where
    nobody told another. ``found`` is who runs it where that was found out: often only its image says it,
    which the pod's object does not show.
    """

    pod: Json
    container: Json
    hostname: str
    found: User | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.pod["metadata"]["name"])

    @property
    def node(self) -> str:
        """The node's name."""
        return str(self.pod["spec"].get("nodeName") or "")

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
    def runs_as(self) -> User:
        """Who its programs run as, so that others read what they read: told, else found, else a guess."""
        found = self.found or User(_GUESSED)
        user = found.uid if self.user is None else self.user
        group = found.gid if self.group is None else self.group
        return User(user, group, list(dict.fromkeys([*self.groups, *found.groups])), found.home)

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


def source_pod(pod: Json, container: str = "", own: Own | None = None) -> SourcePod:
    """Return the source in a pod.

    Without a name it is the container of this process, where that is in the pod (``own``); else the pod's
    default one, the one that looks like a notebook's, or the one that has most claims.

    Raises
    ------
    SourceUnusable
        It does not run, or has no such container.
    """
    name = pod["metadata"]["name"]
    if pod.get("status", {}).get("phase") != "Running":
        raise SourceUnusable(pod=name, reason="it is not running")
    marks = pod["metadata"].get("annotations") or {}
    containers: Sequence[Json] = pod["spec"]["containers"]
    wanted = container
    if not wanted and own is not None and (mine := own.container(containers)) is not None:
        wanted = mine["name"]
    wanted = wanted or marks.get("kubectl.kubernetes.io/default-container") or ""
    found = [row for row in containers if not wanted or row["name"] == wanted]
    if not found:
        raise SourceUnusable(pod=name, reason=f"it has no container {wanted}")

    def likeness(row: Json) -> tuple[bool, bool, int]:
        ports = {port.get("containerPort") for port in row.get("ports") or ()}
        mounted = len(list(SourcePod(pod, row, "").claims()))
        return row["name"] == "notebook", _PORT in ports, mounted

    # Of equals the first, as the API server counts them.
    best = max(found, key=likeness)
    return SourcePod(pod, best, str(pod["spec"].get("nodeName") or ""))


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
    NotOnClaim
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
        raise NotOnClaim(
            path=str(path),
            kind=f"a volume of the kind {kind}" if kind else "the container's own layer",
            mounts=sorted(m["mountPath"] for _, m in source.claims()) or ["none"],
        )
    if best.get("subPathExpr"):
        raise NotOnClaim(
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
