"""Bring a cluster up, say what it is, take it away."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from steps import Stop, apt_install, is_root, need, run, say, step

from . import certificates, cgroups, components, control, daemons, images, network, node, objects
from .api import wait
from .components import Programs
from .site import NODES, STATE, Site, cgroup_of, check, folder_of, link_of, load

# Program on the path → Debian package.
PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "docker-registry": "docker-registry",
    "htpasswd": "apache2-utils",
    "mmdebstrap": "mmdebstrap",
    "skopeo": "skopeo",
    "iptables": "iptables",
    "ip": "iproute2",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "catatonit": "catatonit",
}
CNI = Path("/usr/lib/cni/bridge")


@dataclass(frozen=True)
class Node:
    """A node: the process that holds its namespaces, its address, its containerd's socket."""

    name: str
    pid: int
    address: str
    containerd: str


@dataclass(frozen=True)
class Registry:
    """The registry: where it is and how to be let in."""

    address: str
    ca: str
    user: str
    password: str
    dockerconfigjson: str


@dataclass(frozen=True)
class State:
    """What tests need to know of a cluster; ``state.json`` in its folder."""

    name: str
    folder: str
    kubeconfig: str
    url: str
    ca: str
    kubectl: str
    registry: Registry
    nodes: list[Node]
    images: dict[str, str]
    storage_classes: list[str]
    pids: dict[str, int | None] = field(default_factory=dict)


def up(name: str) -> State:
    """Bring a cluster up from nothing; one that runs already is left as it is.

    Raises
    ------
    Stop
        It can't be, and says why; what was started of it is taken away again.
    """
    check(name)
    if (running := status(name)) is not None:
        if not control.dead(_site(name)):
            say(f"▸ The cluster {name} runs already: {running.kubeconfig}")
            return running
        say(f"▸ The cluster {name} is broken: {control.dead(_site(name)).splitlines()[0]}")
    prepare()
    programs = components.build()
    made = images.make(programs)
    down(name)
    say(f"▸ Bringing the cluster {name} up in {folder_of(name)}")
    began = time.monotonic()
    try:
        state = _up(network.found(name), programs, made)
    except BaseException:
        _keep_logs(name)
        down(name)
        raise
    say(f"  {time.monotonic() - began:.1f} s: {', '.join(NODES)} are ready; {state.kubeconfig}")
    return state


def prepare() -> None:
    """Install the Debian packages that are missing.

    Raises
    ------
    Stop
        Not root, who alone may make namespaces that hold a node.
    """
    if not is_root():
        raise Stop("A cluster of our own needs root: it makes namespaces, cgroups and mounts.")
    need(PACKAGES)
    if not CNI.exists():
        apt_install("containernetworking-plugins")


def _up(site: Site, programs: Programs, made: images.Made) -> State:
    for group in ("control/system", *(f"{n}/system" for n in NODES)):
        cgroups.make(f"{site.cgroup}/{group}")
    certificates.make(site)
    certificates.kubeconfig(site, "admin")
    holder = network.hold_control(site)
    control.start(site, programs, holder)
    control.start_registry(site, holder)
    holders = {n: network.hold_node(site, n, holder) for n in NODES}
    for n in NODES:
        node.start_containerd(site, n, holders[n])
    with ThreadPoolExecutor(2) as pool:
        # Beside the API server's start, which waits more than it works.
        pushed = pool.submit(images.push, site, made)
        imported = [pool.submit(images.import_pause, site, n, holders[n], made) for n in NODES]
        _wait(site, "the API server answers", lambda: control.readyz(site))
        control.start_controllers(site, programs, holder)
        for n in NODES:
            node.start(site, programs, n, holders[n])
        objects.create(control.admin(site))
        for work in imported:
            work.result()
        _wait_until_usable(site)
        references = pushed.result()
    state = State(
        name=site.name,
        folder=str(site.folder),
        kubeconfig=str(site.folder / "admin.kubeconfig"),
        url=site.url,
        ca=str(certificates.pki(site) / "ca.crt"),
        kubectl=str(programs["kubectl"]),
        registry=Registry(
            address=site.registry,
            ca=str(certificates.pki(site) / "ca.crt"),
            user=control.USER,
            password=control.password(site),
            dockerconfigjson=str(control.pull_secret(site)),
        ),
        nodes=[Node(n, holders[n], site.address(n), str(node.socket_of(site, n))) for n in NODES],
        images=references,
        storage_classes=list(objects.CLASSES),
        pids=daemons.pids(site),
    )
    path = site.folder / STATE
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(state), indent=1))
    return state


def status(name: str) -> State | None:
    """Return the state of a cluster that was brought up, None where there is none."""
    check(name)
    try:
        told = json.loads((folder_of(name) / STATE).read_text())
    except FileNotFoundError:
        return None
    site = _site(name)
    told["registry"] = Registry(**told["registry"])
    told["nodes"] = [Node(**told_of_it) for told_of_it in told["nodes"]]
    return State(**{**told, "pids": daemons.pids(site)})


def down(name: str) -> bool:
    """Take a cluster away, a half-made one too; say whether there was anything.

    Its processes are those in its control groups. Namespaces, their mounts and links go with them.
    """
    check(name)
    folder, group, link = folder_of(name), cgroup_of(name), link_of(name)
    there = folder.exists() or cgroups.exists(group) or network.has_link(link)
    if not there:
        return False
    with step(f"Taking the cluster {name} away"):
        cgroups.end(group)
        network.remove_link(link)
        run(["rm", "-rf", "--one-file-system", folder])
    return True


def _site(name: str) -> Site:
    site = load(name)
    if site is None:
        raise Stop(f"There is no cluster {name}.")
    return site


def _wait(site: Site, what: str, holds: Callable[[], bool], seconds: float = 60) -> None:
    wait(what, holds, seconds, lambda: control.dead(site))


def _wait_until_usable(site: Site) -> None:
    """Ready is not usable yet: taints go later, and pods need an account and a registered driver."""
    api = control.admin(site)

    def ready() -> bool:
        found = api("GET", "/api/v1/nodes")["items"]
        return len(found) == len(NODES) and all(
            {"type": "Ready", "status": "True"}.items() <= condition.items()
            for item in found
            for condition in item["status"].get("conditions", [])
            if condition["type"] == "Ready"
        )

    def untainted() -> bool:
        return not any(item["spec"].get("taints") for item in api("GET", "/api/v1/nodes")["items"])

    def registered() -> bool:
        found = api("GET", "/apis/storage.k8s.io/v1/csinodes")["items"]
        drivers = [d["name"] for item in found for d in item["spec"]["drivers"] or ()]
        return drivers.count(node.DRIVER) == len(NODES)

    def account() -> bool:
        return bool(api("GET", "/api/v1/namespaces/default/serviceaccounts/default"))

    _wait(site, "both nodes are ready", ready)
    _wait(site, "the nodes' taints are gone", untainted)
    _wait(site, "the default ServiceAccount is there", account)
    _wait(site, "the volumes' driver is registered on both nodes", registered)


def _keep_logs(name: str) -> None:
    """Keep the logs of what failed beside the folder that is taken away."""
    kept = Path(f"{folder_of(name)}-failed")
    logs = folder_of(name) / "logs"
    if logs.exists():
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(logs, kept)
        say(f"  the logs of what failed are in {kept}")
