"""The objects of a launched environment, as the API server is sent them: pure functions.

The pod satisfies *restricted* Pod Security. Its token is in a Secret that it mounts as a file; the
same Secret keeps the pod's own object, from which a stopped environment is started again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...placement.cluster import gpu_tolerations
from ..base import LaunchOrder, Names, labels
from .settings import KubernetesSettings

Json = dict[str, Any]
PORT = 8888
TOKEN_FOLDER = "/run/secxops"  # noqa: S105 - a folder
NAME = "app.kubernetes.io/name"
OWNER_NAME = "secxops.io/owner-name"
GATE = "secxops.io/volumes"


def claim(name: str, marks: Mapping[str, str], source: Json, storage_class: str | None) -> Json:
    """Return a new claim like the source's: as large, with the same access, but one that is written to."""
    spec = source["spec"]
    modes = [mode for mode in spec["accessModes"] if mode != "ReadOnlyMany"]
    held = (source.get("status") or {}).get("capacity") or {}
    wanted: Json = {
        "accessModes": modes or ["ReadWriteOnce"],
        "volumeMode": spec.get("volumeMode") or "Filesystem",
        "resources": {
            "requests": {"storage": held.get("storage") or spec["resources"]["requests"]["storage"]}
        },
    }
    if storage_class is not None:
        wanted["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": {**marks, "secxops.io/state": "incomplete"}},
        "spec": wanted,
    }


def command(order: LaunchOrder) -> list[str]:
    """Return the command that starts JupyterLab."""
    return [
        *(order.probe.jupyter or ()),
        "--ServerApp.ip=0.0.0.0",
        f"--ServerApp.port={PORT}",
        "--ServerApp.port_retries=0",
        "--ServerApp.open_browser=False",
        f"--ServerApp.root_dir={order.root}",
    ]


def security(user: int | None) -> Json:
    """Return the security context of a container, as *restricted* Pod Security asks.

    A source that is told to run as root has a copy that does: without any capability, and only where the
    namespace allows it.
    """
    found: Json = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if user != 0:
        found["runAsNonRoot"] = True
    return found if user is None else {**found, "runAsUser": user}


def pull_policy(pushed: bool) -> str:
    """Return how a node comes to an image: what no registry has, nobody may be asked for."""
    return "IfNotPresent" if pushed else "Never"


def pod(
    order: LaunchOrder,
    settings: KubernetesSettings,
    image: str,
    *,
    user: int | None = None,
    tolerations: Sequence[Mapping[str, Any]] = (),
) -> Json:
    """Return the environment's pod, gated: the scheduler leaves it alone until it is released."""
    name = Names(order.migration).environment
    marks = {**labels(order.owner, "environment", order.migration), NAME: name}
    requests: Json = {}
    if order.cpu:
        requests["cpu"] = f"{round(order.cpu * 1000)}m"
    if order.memory:
        requests["memory"] = str(order.memory)
    if order.gpu:
        requests[settings.gpu_resource] = str(order.gpu)
    # As the decision counts; the API server leaves empty fields out.
    gpus = [each._asdict() for each in gpu_tolerations(order.gpu, settings.gpu_resource)]
    probe = {"httpGet": {"path": "/api", "port": PORT}}
    spec: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "schedulingGates": [{"name": GATE}],
        "tolerations": [*tolerations, *gpus],
        "volumes": [
            {
                "name": "token",
                "secret": {"secretName": name, "items": [_TOKEN], "defaultMode": 292},
            },
            *(
                {"name": f"volume-{n}", "persistentVolumeClaim": {"claimName": mount.volume}}
                for n, mount in enumerate(order.mounts)
            ),
        ],
        "containers": [
            {
                "name": "notebook",
                "image": image,
                "imagePullPolicy": pull_policy(order.pushed),
                "command": command(order)[:1],
                "args": command(order)[1:],
                "workingDir": order.root,
                "env": [
                    # An image's own JUPYTER_TOKEN would go before the file.
                    {"name": "JUPYTER_TOKEN", "value": ""},
                    {"name": "JUPYTER_TOKEN_FILE", "value": f"{TOKEN_FOLDER}/token"},
                ],
                "ports": [{"name": "http", "containerPort": PORT}],
                "resources": {"requests": requests, "limits": dict(requests)},
                "securityContext": security(user),
                # The first may take long; from then on it is asked seldom.
                "startupProbe": {**probe, "periodSeconds": 1, "failureThreshold": 600},
                "readinessProbe": {**probe, "periodSeconds": 5, "timeoutSeconds": 5},
                "volumeMounts": [
                    {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
                    *(
                        {"name": f"volume-{n}", "mountPath": mount.path}
                        for n, mount in enumerate(order.mounts)
                    ),
                ],
            }
        ],
        **order.terms,
    }
    if settings.pull_secret:
        spec["imagePullSecrets"] = [{"name": settings.pull_secret}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": marks,
            "annotations": {
                OWNER_NAME: order.owner.partition("@")[0],
                "secxops.io/title": order.name,
            },
        },
        "spec": spec,
    }


_TOKEN = {"key": "token", "path": "token"}


def secret(order: LaunchOrder, environment: Json) -> Json:
    """Return the Secret with the token, and the pod to start again."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _like(environment),
        "type": "Opaque",
        "stringData": {"token": order.token, "pod": json.dumps(environment)},
    }


def service(environment: Json) -> Json:
    """Return the Service in front of the pod."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _like(environment),
        "spec": {
            "selector": {NAME: environment["metadata"]["name"]},
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    }


def policy(environment: Json) -> Json:
    """Return the NetworkPolicy: JupyterLab's port only, from anywhere; nothing else comes in."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _like(environment),
        "spec": {
            "podSelector": {"matchLabels": {NAME: environment["metadata"]["name"]}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": PORT, "protocol": "TCP"}]}],
        },
    }


def ingress(environment: Json, host: str, ingress_class: str) -> Json:
    """Return the Ingress that leads a host name to the Service."""
    name = environment["metadata"]["name"]
    backend = {"service": {"name": name, "port": {"name": "http"}}}
    spec: Json = {
        "rules": [
            {
                "host": host,
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
            }
        ]
    }
    if ingress_class:
        spec["ingressClassName"] = ingress_class
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": _like(environment),
        "spec": spec,
    }


def probe(
    name: str,
    marks: Mapping[str, str],
    image: str,
    script: str,
    settings: KubernetesSettings,
    *,
    pushed: bool,
    terms: Mapping[str, Any],
    user: int | None,
    tolerations: Sequence[Mapping[str, Any]],
) -> Json:
    """Return the pod that runs an image once, to look into it, on a node that its environment may have."""
    spec: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "activeDeadlineSeconds": 600,
        "tolerations": list(tolerations),
        "containers": [
            {
                "name": "job",
                "image": image,
                "imagePullPolicy": pull_policy(pushed),
                "command": ["/bin/sh", "-c", script],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
                "securityContext": security(user),
            }
        ],
    }
    if selector := terms.get("nodeSelector"):
        # Another node may be of an architecture for which the image is not.
        spec["nodeSelector"] = dict(selector)
    if settings.pull_secret:
        spec["imagePullSecrets"] = [{"name": settings.pull_secret}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(marks)},
        "spec": spec,
    }


def _like(environment: Json) -> Json:
    found = environment["metadata"]
    return {key: found[key] for key in ("name", "labels", "annotations")}
