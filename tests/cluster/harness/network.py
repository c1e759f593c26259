"""Namespaces without names, and the links between them; all of it goes when its processes go.

The bridge is in the control plane's namespace, out of reach of the firewall of a Docker engine on
the host. The host is one more leg of it, so that tests reach the API server, the registry, Services
and pods by their addresses.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import time
from pathlib import Path

from steps import Stop, run

from . import daemons
from .components import KEPT
from .site import NODES, Site

NUMBERS = range(200, 250)
# What the kubelet insists on, so that it changes nothing on this machine.
_SYSTEM = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
_HOLD = """
mount --make-rshared /
for line in $1; do mount --bind "${line%%=*}" "${line##*=}"; done
for name in ip_forward conf/all/forwarding; do echo 1 > /proc/sys/net/ipv4/$name; done
for name in iptables ip6tables; do
    there=/proc/sys/net/bridge/bridge-nf-call-$name
    if [ -e $there ]; then echo 1 > $there; fi
done
touch "$2"
exec sleep infinity
"""


def found(name: str) -> Site:
    """Choose addresses that nothing on this machine has, make the link that takes them, and note both."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "network.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(run(["ip", "-json", "route", "show", "table", "all"]))
        taken = {
            str(route.get("dst")).rpartition("/")[0] or str(route.get("dst")) for route in known
        }
        for number in NUMBERS:
            if not any(address.startswith(f"10.{number}.") for address in taken):
                break
        else:
            raise Stop("No network from 10.200.0.0/16 to 10.249.0.0/16 is free here.")
        site = Site(name, number)
        site.folder.mkdir(mode=0o755, parents=True)
        site.save()
        _ip("link", "add", site.link, "type", "veth", "peer", "name", f"{site.link}-c")
        _ip("address", "add", f"{site.host}/24", "dev", site.link)
        _ip("link", "set", site.link, "up")
    return site


def hold_control(site: Site) -> int:
    """Make the control plane's network, with the bridge and the host's leg; return who holds it."""
    holder = _hold(site, "control", {})
    _ip("link", "set", f"{site.link}-c", "netns", str(holder), "name", "host")
    _ip("link", "set", "lo", "up", inside=holder)
    _ip("link", "add", "br0", "type", "bridge", inside=holder)
    _ip("address", "add", f"{site.control}/24", "dev", "br0", inside=holder)
    _ip("link", "set", "br0", "up", inside=holder)
    _ip("link", "set", "host", "master", "br0", "up", inside=holder)
    for node in NODES:
        for who in (holder, None):
            _ip("route", "add", site.pods_of(node), "via", site.address(node), inside=who)
    # Any node's kube-proxy knows the Services.
    _ip("route", "add", site.services, "via", site.address(NODES[0]))
    return holder


def hold_node(site: Site, node: str, control: int) -> int:
    """Make a node's network and mounts, with its own /var/lib, /var/log and /run."""
    folder = site.node_folder(node)
    binds = {}
    for there in ("/var/lib", "/var/log", "/run"):
        own = folder / Path(there).name
        own.mkdir(parents=True)
        binds[str(own)] = there
    for name, value in _SYSTEM.items():
        own = folder / Path(name).name
        own.write_text(f"{value}\n")
        binds[str(own)] = f"/proc/sys/{name}"
    holder = _hold(site, node, binds)
    _ip(
        "link",
        "add",
        node,
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        str(holder),
        inside=control,
    )
    _ip("link", "set", node, "master", "br0", "up", inside=control)
    _ip("link", "set", "lo", "up", inside=holder)
    _ip("address", "add", f"{site.address(node)}/24", "dev", "eth0", inside=holder)
    _ip("link", "set", "eth0", "up", inside=holder)
    _ip("route", "add", "default", "via", site.control, inside=holder)
    for other in NODES:
        if other != node:
            _ip("route", "add", site.pods_of(other), "via", site.address(other), inside=holder)
    return holder


def has_link(link: str) -> bool:
    """Say whether the host has a leg in a cluster."""
    return Path("/sys/class/net", link).exists()


def remove_link(link: str) -> None:
    """Take the host's leg away, with its routes; the kernel does so itself, but later."""
    if has_link(link):
        # It may go between the question and this.
        subprocess.run(["ip", "link", "delete", link], check=False, capture_output=True)


def _hold(site: Site, name: str, binds: dict[str, str]) -> int:
    ready = site.folder / f"{name}.held"
    lines = " ".join(f"{own}={there}" for own, there in binds.items())
    shell = shutil.which("sh") or "/bin/sh"
    command = ["unshare", "-n", "-m", "--propagation", "private", shell, "-ec", _HOLD, "sh", lines]
    pid = daemons.start(site, f"{name}/holder", [*command, ready], group=f"{name}/system")
    deadline = time.monotonic() + 10
    while not ready.exists():
        if time.monotonic() > deadline:
            raise Stop(f"No namespaces for {name}: {daemons.last_words(site, f'{name}/holder')}")
        time.sleep(0.01)
    return pid


def _ip(*words: str, inside: int | None = None) -> None:
    enter = ["nsenter", "-t", str(inside), "-n"] if inside else []
    run([*enter, "ip", *words])
