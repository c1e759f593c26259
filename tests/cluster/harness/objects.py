"""What the cluster has before anybody uses it: the volumes' driver and classes, and its rights."""

from __future__ import annotations

from .api import Api
from .node import DRIVER

RBAC = "rbac.authorization.k8s.io"
CLASSES = {
    "node-local": {"reach": "node"},
    "shared": {"reach": "cluster"},
    # For tests of what lies: an empty clone, and one without its last file.
    "forgetful": {"reach": "node", "ignoreSource": "true"},
    "short": {"reach": "node", "shortClone": "true"},
}
_READ = ["get", "list", "watch"]
_PROVISIONER = [
    ("", ["persistentvolumes"], [*_READ, "create", "patch", "delete"]),
    ("", ["persistentvolumeclaims"], [*_READ, "update", "patch"]),
    ("", ["events"], ["list", "watch", "create", "update", "patch"]),
    ("", ["nodes", "pods", "secrets"], _READ),
    ("storage.k8s.io", ["storageclasses", "csinodes", "volumeattachments"], _READ),
]


def create(api: Api) -> None:
    """Create all of it."""
    driver = {
        "attachRequired": False,
        "podInfoOnMount": False,
        "fsGroupPolicy": "File",
        "volumeLifecycleModes": ["Persistent"],
    }
    storage = "storage.k8s.io/v1"
    api.create(f"/apis/{storage}/csidrivers", _object(storage, "CSIDriver", DRIVER, spec=driver))
    for name, parameters in CLASSES.items():
        item = _object(
            storage,
            "StorageClass",
            name,
            provisioner=DRIVER,
            parameters=parameters,
            volumeBindingMode="WaitForFirstConsumer",
            reclaimPolicy="Delete",
        )
        api.create(f"/apis/{storage}/storageclasses", item)
    rights = f"{RBAC}/v1"
    rules = [
        {"apiGroups": [group], "resources": resources, "verbs": verbs}
        for group, resources, verbs in _PROVISIONER
    ]
    api.create(
        f"/apis/{rights}/clusterroles",
        _object(rights, "ClusterRole", "csi-provisioner", rules=rules),
    )
    api.create(
        f"/apis/{rights}/clusterrolebindings",
        _object(
            rights,
            "ClusterRoleBinding",
            "csi-provisioner",
            roleRef={"apiGroup": RBAC, "kind": "ClusterRole", "name": "csi-provisioner"},
            subjects=[{"apiGroup": RBAC, "kind": "User", "name": "csi-provisioner"}],
        ),
    )


def _object(version: str, kind: str, name: str, **rest: object) -> dict[str, object]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **rest}
