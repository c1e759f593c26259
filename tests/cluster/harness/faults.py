"""What goes wrong in clusters, on purpose: a lost kubelet, an API server that restarts, no registry.

`frozen` holds a pod where it stands, so that a fault meets a share in the step that a test means. And what this machine has not got: an extended resource such as a GPU, as the node's device plugin
would tell of it.
"""

from __future__ import annotations

import base64
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from steps import run

from . import cgroups, control, daemons
from .api import MERGE, Api, Refused, is_there, wait
from .certificates import pki
from .cluster import Cluster
from .site import NODES, Site, load

API_SERVER = "control/kube-apiserver"
REGISTRY = "control/registry"
HOLDER = "control/holder"
AWAY = {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}
# What the full registry has left: enough for a folder, not for a layer.
ROOM = "64k"


def kill_kubelet(cluster: Cluster, node: str) -> None:
    """Kill a node's kubelet; its containers go on, and after about 20 s the node is not ready."""
    daemons.stop(_site(cluster), f"{node}/kubelet", kill=True)


def start_kubelet(cluster: Cluster, node: str) -> None:
    """Start a killed kubelet, and wait until it answers and its node is ready."""
    site = _site(cluster)
    _start(site, f"{node}/kubelet")
    kubelet = Api(f"{site.address(node)}:10250", pki(site) / "ca.crt")
    wait(f"{node}'s kubelet answers", lambda: is_there(kubelet, "/healthz"), 60)
    wait(f"{node} is ready", lambda: is_ready(cluster, node), 60)


def is_ready(cluster: Cluster, node: str) -> bool:
    """Say whether the control plane believes that a node is there, and lets pods go there."""
    found = control.admin(_site(cluster))("GET", f"/api/v1/nodes/{node}")
    keys = {taint["key"] for taint in found["spec"].get("taints") or ()}
    return not keys & AWAY and any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in found["status"]["conditions"]
    )


def _was_heard_of(cluster: Cluster, node: str, since: datetime) -> bool:
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    renewed = control.admin(_site(cluster))("GET", f"{leases}/{node}")["spec"]["renewTime"]
    return datetime.fromisoformat(renewed.replace("Z", "+00:00")) > since


def stop_apiserver(cluster: Cluster) -> None:
    """Kill the API server: nobody answers, and all watches end."""
    daemons.stop(_site(cluster), API_SERVER, kill=True)


def start_apiserver(cluster: Cluster) -> None:
    """Start it again, and wait until it is ready and has heard of the nodes, which it may have missed."""
    site = _site(cluster)
    began = datetime.now(timezone.utc)
    _start(site, API_SERVER)
    wait("the API server is ready", lambda: control.readyz(site), 60)
    for node in NODES:
        if daemons.pid(site, f"{node}/kubelet") is None:
            continue
        wait(
            f"{node} is there again",
            lambda n=node: _was_heard_of(cluster, n, began) and is_ready(cluster, n),
            60,
        )


def restart_apiserver(cluster: Cluster) -> None:
    """Kill the API server and start it again."""
    stop_apiserver(cluster)
    start_apiserver(cluster)


def stop_registry(cluster: Cluster) -> None:
    """Stop the registry; connections to it are refused."""
    daemons.stop(_site(cluster), REGISTRY)


def start_registry(cluster: Cluster) -> None:
    """Start it again with all that it held, and wait until it answers."""
    site = _site(cluster)
    _start(site, REGISTRY)
    wait("the registry answers", lambda: control.registry_answers(site), 20)


@contextmanager
def full_registry(cluster: Cluster) -> Iterator[None]:
    """Have a registry whose disk is full: what it holds can be read, what comes is not taken."""
    site = _site(cluster)
    data = site.folder / "registry" / "data"
    room = site.folder / "registry" / "room"
    room.mkdir(exist_ok=True)
    enter = ["nsenter", "-t", str(daemons.pid(site, HOLDER)), "-m"]
    stop_registry(cluster)
    run([*enter, "mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", room])
    run([*enter, "mkdir", room / "upper", room / "work"])
    layers = f"lowerdir={data},upperdir={room}/upper,workdir={room}/work"
    run([*enter, "mount", "-t", "overlay", "-o", layers, "overlay", data])
    start_registry(cluster)
    try:
        yield
    finally:
        stop_registry(cluster)
        run([*enter, "umount", data])
        run([*enter, "umount", room])
        start_registry(cluster)


def tags(cluster: Cluster, repository: str) -> list[str]:
    """The tags of a repository; none where there is no such repository."""
    assert cluster.registry is not None
    api = Api(cluster.registry.address, Path(cluster.registry.ca))
    given = f"{cluster.registry.user}:{cluster.registry.password}".encode()
    api.headers["Authorization"] = f"Basic {base64.b64encode(given).decode()}"
    try:
        return list(api("GET", f"/v2/{repository}/tags/list")["tags"] or ())
    except Refused as refused:
        if refused.status == 404:
            return []
        raise


def evict(cluster: Cluster, namespace: str, pod: str) -> None:
    """Evict a pod as ``kubectl drain`` does."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": namespace},
    }
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    control.admin(_site(cluster))("POST", path, body)


@contextmanager
def cordoned(cluster: Cluster, node: str) -> Iterator[None]:
    """Have a node that takes no new pods."""
    cluster.call("cordon", node)
    try:
        yield
    finally:
        cluster.call("uncordon", node)


def pods(cluster: Cluster, namespace: str, selector: str = "") -> Sequence[Any]:
    """The pods of a namespace, without a process for each question."""
    query = f"?labelSelector={selector}" if selector else ""
    found = control.admin(_site(cluster))("GET", f"/api/v1/namespaces/{namespace}/pods{query}")
    return list(found["items"])


class Frozen:
    """A pod whose processes stand still."""

    def __init__(self, name: str, processes: set[int]) -> None:
        self.name = name
        self._processes = processes

    def thaw(self) -> None:
        """Let it go on, unless it was ended meanwhile."""
        for pid in self._processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def freeze(
    cluster: Cluster,
    namespace: str,
    prefix: str,
    program: str,
    but: Sequence[str] = (),
    *,
    selector: str = "",
    when: Callable[[int], bool] = lambda _: True,
    seconds: float = 180,
) -> Frozen:
    """Stop the processes of a pod as soon as its program runs and ``when`` holds.

    Parameters
    ----------
    prefix
        What the pod's name begins with; ``but`` has what those begin with that are not meant, and the
        labels of ``selector`` are those of the pod.
    program
        Words of the program's command line; ``when`` is given its process.
    """
    site = _site(cluster)
    deadline = time.monotonic() + seconds
    while True:
        for pod in pods(cluster, namespace, selector):
            name, node = pod["metadata"]["name"], pod["spec"].get("nodeName")
            if not name.startswith(prefix) or name.startswith(tuple(but)) or not node:
                continue
            group = cgroups.find(f"{site.cgroup}/{node}", f"pod{pod['metadata']['uid']}")
            while group and time.monotonic() < deadline:
                found = cgroups.inside(group)
                if any(program in _command(pid) and when(pid) for pid in found):
                    return Frozen(name, _stop_all(group))
                if not group.exists():
                    break
                time.sleep(0.01)
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {prefix}… of {namespace} runs {program}")
        time.sleep(0.05)


def _stop_all(group: Path) -> set[int]:
    stopped: set[int] = set()
    # What was begun meanwhile is stopped too.
    while new := cgroups.inside(group) - stopped:
        for pid in new:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        stopped |= new
    return stopped


def _command(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return ""


def advertise(cluster: Cluster, node: str, resource: str, count: int) -> None:
    """Say that a node has an extended resource, such as ``nvidia.com/gpu``; 0 takes it away.

    It outlives a restart of the kubelet. What runs on it is not ended when it goes.
    """
    amount = {resource: str(count) if count else None}
    status = {"status": {"capacity": amount, "allocatable": amount}}
    control.admin(_site(cluster))("PATCH", f"/api/v1/nodes/{node}/status", status, MERGE)


def _start(site: Site, name: str) -> None:
    """Start a process unless it runs."""
    if daemons.pid(site, name) is None:
        daemons.start_again(site, name)


def _site(cluster: Cluster) -> Site:
    site = load(cluster.name)
    if site is None:
        raise RuntimeError(f"{cluster.name} is not a cluster of ours, or is gone")
    return site
