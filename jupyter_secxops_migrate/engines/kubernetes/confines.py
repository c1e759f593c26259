"""What confines the source, and so whatever runs in its place: pure functions over its pod's object.

A copy that might run where its source may not, under another runtime, scheduler or priority, or around
its proxy, would be a way around an admin's rules. So pods of ours get what the source's pod has of these.
What only makes sense once (a pin to one host, host namespaces) is not passed on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...placement.nodes import AWAY
from ...proxies import PROXIES

Json = Mapping[str, Any]

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

# Fields of a pod's spec, with the value that the API server fills in.
_SPEC: Mapping[str, Any] = {
    "schedulerName": "default-scheduler",
    "runtimeClassName": None,
    "priorityClassName": "",
    "dnsPolicy": "ClusterFirst",
    "dnsConfig": None,
    "hostAliases": None,
    "hostUsers": True,
}
_PROFILES = ("seLinuxOptions", "appArmorProfile", "seccompProfile")

_MESH_LABELS = {"sidecar.istio.io/inject": "false", "kuma.io/sidecar-injection": "disabled"}
_MESH_ANNOTATIONS = {
    **_MESH_LABELS,
    "linkerd.io/inject": "disabled",
    "consul.hashicorp.com/connect-inject": "false",
}


def spec(pod: Json) -> dict[str, Any]:
    """Return the fields of a pod's spec that go into every pod in its place."""
    found = pod["spec"]
    given = {name: found.get(name) for name in _SPEC}
    return {
        **{k: v for k, v in given.items() if v is not None and v != _SPEC[k]},
        "tolerations": tolerations(pod),
    }


def tolerations(pod: Json) -> list[Json]:
    """Return what a pod tolerates, without what the API server adds by itself."""
    return [
        row
        for row in pod["spec"].get("tolerations") or ()
        if row.get("key") not in AWAY or row.get("tolerationSeconds") is None
    ]


def required_affinity(pod: Json) -> dict[str, Any]:
    """Return what a pod's affinity requires, without its wishes; empty for nothing."""
    return _required(pod["spec"].get("affinity") or {})


def node_affinity(affinity: Json) -> dict[str, Any]:
    """Return of an affinity what it requires of nodes; empty for nothing."""
    return _required({"nodeAffinity": affinity.get("nodeAffinity") or {}})


def _required(affinity: Json) -> dict[str, Any]:
    return {
        kind: {REQUIRED: rules[REQUIRED]}
        for kind, rules in affinity.items()
        if rules and rules.get(REQUIRED)
    }


def profiles(pod: Json, container: Json) -> dict[str, Any]:
    """Return the security profiles that a container runs under, where they are its own or its pod's."""
    whole = pod["spec"].get("securityContext") or {}
    given = {**whole, **(container.get("securityContext") or {})}
    return {name: given[name] for name in _PROFILES if given.get(name)}


def proxies(container: Json) -> list[Json]:
    """Return the rows of a container's environment that lead its programs through a proxy.

    Not those that come from a secret or a configmap: the guide's admission policies let no pod of ours
    have these in its environment.
    """
    rows = container.get("env") or ()
    return [row for row in rows if row["name"] in PROXIES and row.get("value")]


def root_rights(container: Json, allowed: Sequence[str]) -> Sequence[str]:
    """Return those of some of the usual capabilities that a container of root has."""
    told = (container.get("securityContext") or {}).get("capabilities") or {}
    dropped, added = set(told.get("drop") or ()), set(told.get("add") or ())
    if dropped & {"ALL", "all"}:
        return [right for right in allowed if right in added or "ALL" in added]
    return [right for right in allowed if right not in dropped or right in added]


def without_mesh(metadata: Json) -> dict[str, Any]:
    """Return a pod's metadata by which service meshes leave it alone.

    A Job is over when its program is; a proxy beside it would not end.
    """
    return {
        **metadata,
        "labels": {**(metadata.get("labels") or {}), **_MESH_LABELS},
        "annotations": {**(metadata.get("annotations") or {}), **_MESH_ANNOTATIONS},
    }


def mesh_marks(pod: Json) -> tuple[dict[str, str], dict[str, str]]:
    """Return the labels and annotations by which a pod itself says how meshes are to treat it."""
    told = pod["metadata"]
    labels, annotations = told.get("labels") or {}, told.get("annotations") or {}
    return (
        {key: labels[key] for key in _MESH_LABELS if key in labels},
        {key: annotations[key] for key in _MESH_ANNOTATIONS if key in annotations},
    )
