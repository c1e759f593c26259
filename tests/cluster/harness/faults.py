"""What goes wrong in clusters, on purpose: a lost kubelet, an API server that restarts, no registry.

And what this machine has not got: an extended resource such as a GPU, as the node's device plugin
would tell of it.
"""

from __future__ import annotations

from . import control, daemons
from .api import MERGE, Api, is_there, wait
from .certificates import pki
from .cluster import Cluster
from .site import Site, load

API_SERVER = "control/kube-apiserver"
REGISTRY = "control/registry"


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
    """Say whether the control plane believes that a node is there."""
    found = control.admin(_site(cluster))("GET", f"/api/v1/nodes/{node}")
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in found["status"]["conditions"]
    )


def stop_apiserver(cluster: Cluster) -> None:
    """Kill the API server: nobody answers, and all watches end."""
    daemons.stop(_site(cluster), API_SERVER, kill=True)


def start_apiserver(cluster: Cluster) -> None:
    """Start it again, and wait until it is ready."""
    site = _site(cluster)
    _start(site, API_SERVER)
    wait("the API server is ready", lambda: control.readyz(site), 60)


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
