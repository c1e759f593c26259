"""Where one cluster lives: its folder, its addresses, its names. Two of them don't meet."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from steps import Stop

NODES = ("node-1", "node-2")
STATE = "state.json"


@dataclass(frozen=True)
class Site:
    """What is known of a cluster before anything of it is started.

    Parameters
    ----------
    name
        Of the cluster: its folder, cgroups and link on the host are called after it.
    number
        The second byte of all its addresses.
    """

    name: str
    number: int

    @property
    def folder(self) -> Path:
        return folder_of(self.name)

    @property
    def cgroup(self) -> str:
        return cgroup_of(self.name)

    @property
    def link(self) -> str:
        return link_of(self.name)

    @property
    def control(self) -> str:
        """The control plane's address, which is the registry's too."""
        return f"10.{self.number}.0.1"

    @property
    def host(self) -> str:
        return f"10.{self.number}.0.254"

    @property
    def registry(self) -> str:
        return f"{self.control}:5000"

    @property
    def url(self) -> str:
        return f"https://{self.control}:6443"

    @property
    def pods(self) -> str:
        """All nodes' pods; what is not among them is a stranger to a Service."""
        return f"10.{self.number}.16.0/20"

    @property
    def services(self) -> str:
        return f"10.{self.number}.128.0/24"

    @property
    def kubernetes_service(self) -> str:
        return str(ipaddress.ip_network(self.services)[1])

    def address(self, node: str) -> str:
        return f"10.{self.number}.0.{10 + _index(node)}"

    def pods_of(self, node: str) -> str:
        return f"10.{self.number}.{16 + _index(node)}.0/24"

    def node_folder(self, node: str) -> Path:
        return self.folder / node

    def save(self) -> None:
        (self.folder / "site.json").write_text(json.dumps(asdict(self)))


def load(name: str) -> Site | None:
    """Return what `Site.save` wrote, None where there is no such cluster."""
    try:
        return Site(**json.loads((folder_of(name) / "site.json").read_text()))
    except FileNotFoundError:
        return None


def check(name: str) -> None:
    """Refuse a name which would not fit a link's."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,9}", name):
        raise Stop(f"{name!r} is no name for a cluster: up to 10 of a-z, 0-9 and -.")


def folder_of(name: str) -> Path:
    """Not below /var/lib, /var/log or /run: nodes have their own of these."""
    return Path(f"/tmp/secxops-cluster-{name}")


def cgroup_of(name: str) -> str:
    return f"secxops-{name}"


def link_of(name: str) -> str:
    """With two more characters for its other end it has 15, the most that the kernel takes."""
    return f"sx-{name}"


def _index(node: str) -> int:
    return NODES.index(node) + 1
