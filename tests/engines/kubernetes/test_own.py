"""A process finds its own pod and container, whatever its host is called."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from jupyter_secxops_migrate.engines.kubernetes import source as source_module
from jupyter_secxops_migrate.engines.kubernetes.engine import KubernetesEngine
from jupyter_secxops_migrate.engines.kubernetes.errors import SourceUnusable
from jupyter_secxops_migrate.engines.kubernetes.own import Own, read
from jupyter_secxops_migrate.engines.kubernetes.place import source_pod

from .apiserver import serving

Json = dict[str, Any]
UID = "8f14e45f-ceea-4e7a-9c2b-0123456789ab"
LONG = "jupyter-" + 60 * "a" + "-b7c"
MOUNTINFO = rf"""
1 0 0:1 / / rw - overlay overlay rw
2 1 0:2 / /proc rw - proc proc rw
3 1 8:1 /var/lib/kubelet/pods/{UID}/etc-hosts /etc/hosts rw - ext4 /dev/sda rw
4 1 8:1 /vol/home /home/j rw - ext4 /dev/sda rw
5 1 8:1 /vol/data /data/a\040b rw - ext4 /dev/sda rw
""".strip().splitlines()


def pod(name: str, uid: str = "", *containers: Json, **spec: Any) -> Json:
    return {
        "metadata": {"name": name, "uid": uid},
        "spec": {"containers": list(containers) or [{"name": "notebook"}], **spec},
        "status": {"phase": "Running"},
    }


def test_mounts_say_which_pod_and_which_container_it_is() -> None:
    found = read("alice", MOUNTINFO)
    assert (found.uid, found.hostname) == (UID, "alice")
    assert {"/home/j", "/data/a b"} <= found.mounts
    mounts = [{"name": "x", "mountPath": path} for path in ("/home/j/", "/data/a b")]
    notebook = {"name": "lab", "volumeMounts": mounts}
    mesh = {"name": "istio-proxy", "volumeMounts": [{"name": "y", "mountPath": "/etc/istio"}]}
    other = {"name": "sync", "volumeMounts": [*mounts, {"name": "z", "mountPath": "/out"}]}
    assert found.container([mesh, other, {"name": "bare"}, notebook]) is notebook
    # Two that are alike are not told apart, nor is anything without a look at mounts.
    assert found.container([notebook, {**notebook, "name": "twin"}]) is None
    assert Own("alice").container([notebook]) is None
    given = pod("alice", UID, mesh, other, notebook)
    assert source_pod(given, own=found).container["name"] == "lab"
    assert source_pod(given, "sync", found).container["name"] == "sync"


@pytest.mark.parametrize(
    ("own", "there", "is_it"),
    [
        (Own("alice", UID), pod("alice", UID), True),
        (Own("alice", UID), pod("alice", "another"), False),
        (Own("lab", UID), pod("alice", UID, hostname="lab"), True),
        (Own("lab"), pod("alice", hostname="lab"), True),
        (Own("lab"), pod("lab", hostname="other"), False),
        (Own(LONG[:63]), pod(LONG), True),
        (Own(LONG[:63]), pod(LONG[:64]), True),
        (Own(LONG[:62]), pod(LONG), False),
        (Own(""), pod("", ""), False),
    ],
)
def test_a_pod_is_ones_own_by_its_uid_else_by_its_host_name(
    own: Own, there: Json, is_it: bool
) -> None:
    assert own.is_pod(there) is is_it


@pytest.mark.parametrize("own", [Own(LONG[:63], UID), Own("lab", UID), Own("lab")])
def test_the_service_finds_its_pod_by_more_than_its_host_name(
    own: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "own", lambda: own)
    pods = [pod("lab-2", "other"), pod(LONG, UID, nodeName="n", hostname="lab")]
    if own.hostname != "lab":
        del pods[1]["spec"]["hostname"]

    async def listed(_: web.Request) -> web.Response:
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": pods})

    async def go() -> None:
        async with serving(tmp_path, [("/api/v1/namespaces/team/pods", listed)]):
            engine = KubernetesEngine(kubeconfig=str(tmp_path / "kubeconfig"), namespace="team")
            try:
                assert not engine.outside
                assert (await engine.source()).container == f"{LONG}/notebook"
                pods.clear()
                with pytest.raises(SourceUnusable, match="0 pods of namespace team"):
                    await engine.source()
            finally:
                await engine.close()

    asyncio.run(go())
