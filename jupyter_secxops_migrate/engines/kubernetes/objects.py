"""The objects of a launched environment, as the API server is sent them: pure functions.

The pod satisfies *restricted* Pod Security. Its token is in a Secret that it mounts as a file. Its
Service keeps the pod's own object, from which a stopped environment is started again, and owns the Secret,
the NetworkPolicy and the Ingress: they go with it, so nobody needs the right to delete any other of their kind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...placement.cluster import gpu_tolerations
from ..health import PORT, TOKEN_FOLDER
from ..names import Names, labels
from ..orders import LaunchOrder
from ..probing import folder_options
from . import confines
from .confines import root_rights
from .place import SourcePod
from .settings import KubernetesSettings

Json = dict[str, Any]
EXTENSIONS_FOLDER = f"{TOKEN_FOLDER}/labextensions"
NAME = "app.kubernetes.io/name"
OWNER_NAME = "secxops.io/owner-name"
TITLE = "secxops.io/title"
ENTRYPOINT = "entrypoint"
"""The container in which an image's own entrypoint is tried."""
POD = "secxops.io/pod"
"""Annotation of a Service: the pod that it leads to, as JSON."""


def claim(
    name: str,
    marks: Mapping[str, str],
    source: Json,
    storage_class: str | None,
    size: int | None = None,
) -> Json:
    """Return a new claim like the source's: with the same access, but one that is written to.

    It is of ``size`` bytes, or as large as the source's.
    """
    spec = source["spec"]
    modes = [mode for mode in spec["accessModes"] if mode != "ReadOnlyMany"]
    held = (source.get("status") or {}).get("capacity") or {}
    wanted: Json = {
        "accessModes": modes or ["ReadWriteOnce"],
        "volumeMode": spec.get("volumeMode") or "Filesystem",
        "resources": {
            "requests": {
                "storage": (held.get("storage") or spec["resources"]["requests"]["storage"])
                if size is None
                else f"{-(-size // 2**20)}Mi"
            }
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
        # JupyterLab asks whether that is meant; of no other user is it told.
        *(["--ServerApp.allow_root=True"] if order.probe.uid == 0 else []),
        "--ServerApp.ip=0.0.0.0",
        f"--ServerApp.port={PORT}",
        "--ServerApp.port_retries=0",
        "--ServerApp.open_browser=False",
        *folder_options(order.root),
        # Not JUPYTER_PATH: the image's own, which nobody knows here, would be lost.
        *([f"--LabApp.extra_labextensions_path={EXTENSIONS_FOLDER}"] if order.extensions else []),
    ]


def security(user: int | None, rights: Sequence[str] = ()) -> Json:
    """Return the security context of a container, as *restricted* Pod Security asks.

    A source that is told to run as root has a copy that does, with ``rights`` of its capabilities, and only
    where the namespace allows it.
    """
    found: Json = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], **({"add": list(rights)} if rights else {})},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if user != 0:
        found["runAsNonRoot"] = True
    return found if user is None else {**found, "runAsUser": user}


def unread(words: Sequence[str]) -> list[str]:
    """Return words of a container's command that its kubelet leaves alone: it reads $(NAME) and $$."""
    return [word.replace("$", "$$") for word in words]


def pull_policy(pushed: bool) -> str:
    """Return how a node comes to an image: what no registry has, nobody may be asked for."""
    return "IfNotPresent" if pushed else "Never"


def as_source(source: SourcePod, settings: KubernetesSettings) -> tuple[Json, Json]:
    """Return by what a pod of a project's image is confined: parts of its spec, and of its container."""
    rights = root_rights(source.container, settings.root_capabilities) if source.user == 0 else ()
    container = security(source.user, rights)
    container |= confines.profiles(source.pod, source.container)
    # A runtime takes a group only with a user.
    if source.group is not None and source.user is not None:
        container["runAsGroup"] = source.group
    spec = confines.spec(source.pod)
    # Not fsGroup: the kubelet would change files that were proven to be equal.
    if source.groups:
        spec["securityContext"] = {"supplementalGroups": list(source.groups)}
    return spec, container


def pod(order: LaunchOrder, settings: KubernetesSettings, image: str, source: SourcePod) -> Json:
    """Return the environment's pod."""
    name = Names(order.migration).environment
    marks = {**labels(order.owner, "environment", order.migration), NAME: name}
    claims = {
        claim: f"volume-{n}"
        for n, claim in enumerate(dict.fromkeys(mount.volume for mount in order.mounts))
    }
    # As the decision counts; the API server leaves empty fields out.
    gpus = [each._asdict() for each in gpu_tolerations(order.gpu, settings.gpu_resource)]
    confined, secured = as_source(source, settings)
    kept_labels, kept_annotations = confines.mesh_marks(source.pod)
    spec: Json = {
        **confined,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "tolerations": [*confined["tolerations"], *gpus],
        "volumes": [
            {
                "name": "token",
                "secret": {"secretName": name, "items": _items(order), "defaultMode": 292},
            },
            *(
                {"name": volume, "persistentVolumeClaim": {"claimName": claim}}
                for claim, volume in claims.items()
            ),
        ],
        "containers": [
            {
                **_notebook(order, image, claims),
                "env": [
                    # An image's own JUPYTER_TOKEN would go before the file.
                    {"name": "JUPYTER_TOKEN", "value": ""},
                    {"name": "JUPYTER_TOKEN_FILE", "value": f"{TOKEN_FOLDER}/token"},
                    *confines.proxies(source.container),
                ],
                "resources": _resources(order, settings),
                "securityContext": secured,
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
            "labels": {**marks, **kept_labels},
            "annotations": {
                **kept_annotations,
                OWNER_NAME: order.owner.partition("@")[0],
                TITLE: order.name,
            },
        },
        "spec": spec,
    }


def _notebook(order: LaunchOrder, image: str, claims: Mapping[str, str]) -> Json:
    """Return what the environment's container runs, and what it has mounted."""
    probe = {"httpGet": {"path": "/api", "port": PORT}}
    words = unread(command(order))
    through = order.probe.entrypoint == "runs"
    return {
        "name": "notebook",
        "image": image,
        "imagePullPolicy": pull_policy(order.pushed),
        **({"args": words} if through else {"command": words[:1], "args": words[1:]}),
        "workingDir": order.root,
        "ports": [{"name": "http", "containerPort": PORT}],
        # The first may take long; from then on it is asked seldom.
        "startupProbe": {**probe, "periodSeconds": 1, "failureThreshold": 600},
        "readinessProbe": {**probe, "periodSeconds": 5, "timeoutSeconds": 5},
        "volumeMounts": [
            {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
            *(
                {
                    "name": claims[mount.volume],
                    "mountPath": mount.path,
                    **({"subPath": mount.part} if mount.part else {}),
                }
                for mount in order.mounts
            ),
        ],
    }


def _resources(order: LaunchOrder, settings: KubernetesSettings) -> Json:
    """Return what the environment asks for, which is also all that it gets."""
    found: Json = {}
    if order.cpu:
        found["cpu"] = f"{round(order.cpu * 1000)}m"
    if order.memory:
        found["memory"] = str(order.memory)
    if order.gpu:
        found[settings.gpu_resource] = str(order.gpu)
    return {"requests": found, "limits": dict(found)}


def _items(order: LaunchOrder) -> list[Json]:
    """Return what of the Secret is which file below the token's folder."""
    folder = EXTENSIONS_FOLDER.removeprefix(f"{TOKEN_FOLDER}/")
    return [
        {"key": "token", "path": "token"},
        *(
            {"key": f"extension-{n}", "path": f"{folder}/{path}"}
            for n, path in enumerate(order.extensions)
        ),
    ]


def service(environment: Json) -> Json:
    """Return the Service in front of the pod, with the pod to start again."""
    metadata = _like(environment)
    kept = {**metadata["annotations"], POD: json.dumps(environment)}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**metadata, "annotations": kept},
        "spec": {
            "selector": {NAME: environment["metadata"]["name"]},
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    }


def secret(order: LaunchOrder, environment: Json, owner: Json) -> Json:
    """Return the Secret with the token, and JupyterLab's extensions beside it; owned by the Service."""
    files = {f"extension-{n}": text.decode() for n, text in enumerate(order.extensions.values())}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _owned(environment, owner),
        "type": "Opaque",
        "stringData": {"token": order.token, **files},
    }


def policy(environment: Json, owner: Json) -> Json:
    """Return the NetworkPolicy: JupyterLab's port only, from anywhere; nothing else comes in."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _owned(environment, owner),
        "spec": {
            "podSelector": {"matchLabels": {NAME: environment["metadata"]["name"]}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": PORT, "protocol": "TCP"}]}],
        },
    }


def ingress(environment: Json, host: str, ingress_class: str, owner: Json) -> Json:
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
        "metadata": _owned(environment, owner),
        "spec": spec,
    }


def probe(
    name: str,
    marks: Mapping[str, str],
    image: str,
    words: Sequence[str],
    settings: KubernetesSettings,
    *,
    pushed: bool,
    terms: Mapping[str, Any],
    source: SourcePod,
    through: bool = False,
) -> Json:
    """Return the pod that runs an image once, to look into it, on a node that its environment may have.

    With ``through``, a second container is given the same words by way of the image's own entrypoint.
    """
    confined, secured = as_source(source, settings)
    container: Json = {
        "image": image,
        "imagePullPolicy": pull_policy(pushed),
        "resources": {"requests": {"cpu": "5m" if through else "10m", "memory": "32Mi"}},
        "securityContext": secured,
    }
    asked = unread(words)
    spec: Json = {
        **confined,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "activeDeadlineSeconds": 600,
        "containers": [
            {**container, "name": "job", "command": asked},
            *([{**container, "name": ENTRYPOINT, "args": asked}] if through else []),
        ],
    }
    if selector := terms.get("nodeSelector"):
        # Another node may be of an architecture for which the image is not.
        spec["nodeSelector"] = dict(selector)
    if affinity := confines.node_affinity(terms.get("affinity") or {}):
        spec["affinity"] = affinity
    if settings.pull_secret:
        spec["imagePullSecrets"] = [{"name": settings.pull_secret}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": confines.without_mesh({"name": name, "labels": marks}),
        "spec": spec,
    }


def _like(environment: Json) -> Json:
    found = environment["metadata"]
    return {key: found[key] for key in ("name", "labels", "annotations")}


def _owned(environment: Json, owner: Json) -> Json:
    """Return the metadata of what is to go with the Service ``owner``, and before it."""
    reference = {
        "apiVersion": "v1",
        "kind": "Service",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }
    return {**_like(environment), "ownerReferences": [reference]}
