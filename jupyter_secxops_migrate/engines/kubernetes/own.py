"""Which pod this process is in, and which container of it.

A host name alone does not say it: it is cut at 63 characters, or is another one that the pod sets. What
the kubelet mounted into the container does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = Mapping[str, Any]

_MOUNTS = Path("/proc/self/mountinfo")
_HOSTS_OF_POD = re.compile(r"/pods/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/etc-hosts$")
_OCTAL = re.compile(r"\\([0-7]{3})")
_LONGEST_HOSTNAME = 63


@dataclass(frozen=True)
class Own:
    """What a process knows of its pod.

    Attributes
    ----------
    hostname
        Its host's name; empty outside of pods.
    uid
        The pod's; empty where its mounts do not say it.
    mounts
        Where its container has mounts.
    """

    hostname: str = ""
    uid: str = ""
    mounts: frozenset[str] = field(default_factory=frozenset)

    def may_be(self, name: str) -> bool:
        """Whether a pod of that name may be it, as far as names can tell."""
        return bool(self.hostname) and self.hostname in (name, _cut(name))

    def is_pod(self, pod: Json) -> bool:
        """Whether a pod is it."""
        if self.uid:
            return bool(pod["metadata"].get("uid") == self.uid)
        told = pod["spec"].get("hostname")
        return self.hostname == told if told else self.may_be(pod["metadata"]["name"])

    def container(self, containers: Sequence[Json]) -> Json | None:
        """Return the container whose mounts are this process's; None where several may be."""

        def strangers(container: Json) -> int:
            there = {_path(row) for row in container.get("volumeMounts") or ()}
            return len(there - self.mounts)

        fitting = [row for row in containers if self.mounts and not strangers(row)]
        if len(fitting) > 1:
            # One that has no mounts fits everywhere.
            most = max(len(row.get("volumeMounts") or ()) for row in fitting)
            fitting = [row for row in fitting if len(row.get("volumeMounts") or ()) == most]
        return fitting[0] if len(fitting) == 1 else None


def own() -> Own:
    """Find out what this process knows of its pod."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return Own()
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        lines = []
    return read(os.environ.get("HOSTNAME", ""), lines)


def read(hostname: str, mountinfo: Iterable[str]) -> Own:
    """Read a host's name and the lines of ``/proc/self/mountinfo`` (proc(5))."""
    uid, mounts = "", set()
    for line in mountinfo:
        fields = line.split(" ")
        if len(fields) < 5:
            continue
        root, place = _text(fields[3]), _text(fields[4])
        mounts.add(place)
        if place == "/etc/hosts" and (found := _HOSTS_OF_POD.search(root)):
            uid = found[1]
    return Own(hostname, uid, frozenset(mounts))


def _cut(name: str) -> str:
    """Return the host name that a kubelet makes of a pod's name."""
    return name[:_LONGEST_HOSTNAME].rstrip("-.")


def _path(mount: Json) -> str:
    return os.path.normpath(str(mount["mountPath"]))


def _text(field: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), field)
