"""Bring a cluster up, say what it is, take it away."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

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
# What shares on somebody else's cluster need from its registry.
IMAGES = ("tools", "buildkit", "jupyter", "notebook")
SECONDS_TO_SETTLE = 0.4
# What its kubelets, API server, … open.
WATCHERS = 30
TEMPORARY = "temporary"
FILES = {
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}


@dataclass(frozen=True)
class Node:
    """A node: the process that holds its namespaces, its address, its containerd's socket."""

    name: str
    pid: int
    address: str
    containerd: str


@dataclass(frozen=True)
class Registry:
    """The registry: where it is and how to be let in.

    Pods are by ``dockerconfigjson``; the tests themselves ask ours alone, with a password.
    """

    address: str
    ca: str
    dockerconfigjson: str
    user: str = ""
    password: str = ""


@dataclass(frozen=True)
class Cluster:
    """What tests need to know of a cluster; ``state.json`` in its folder.

    Of one that is not ours (``own`` is false) only the way in, the nodes, and what its admin says are
    known (see `given`), and nothing in it may be broken. The first storage class is bound to nodes, the second one
    is reached by all.
    """

    name: str
    kubeconfig: str
    kubectl: str
    nodes: list[Node]
    own: bool = False
    folder: str = ""
    url: str = ""
    ca: str = ""
    registry: Registry | None = None
    images: dict[str, str] = field(default_factory=dict)
    storage_classes: list[str] = field(default_factory=list)
    pids: dict[str, int | None] = field(default_factory=dict)

    @property
    def here(self) -> str:
        """The node on which tests have their notebooks."""
        return self.nodes[0].name

    @property
    def others(self) -> list[str]:
        """The nodes to which a share can move."""
        return [node.name for node in self.nodes[1:]]

    @property
    def local(self) -> str:
        """The storage class of volumes that only their node reaches."""
        return self.storage_classes[0]

    def call(self, *words: str, given: object = None) -> str:
        """Run kubectl, as cluster-admin where it is ours, and return what it says.

        Parameters
        ----------
        words
            Such as ``"-n", "demo", "get", "pods"``.
        given
            An object, or several, for ``-f -``.

        Raises
        ------
        Failed
            It does not work; the sentence is kubectl's.
        """
        items = given if isinstance(given, list) else [given]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}) if given else ""
        done = subprocess.run(
            [self.kubectl, f"--kubeconfig={self.kubeconfig}", *words],
            input=text,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode:
            raise Failed(done.stderr.strip())
        return done.stdout

    def get(self, *words: str) -> Any:
        """Return what ``kubectl get`` says as JSON."""
        return json.loads(self.call("get", "-o", "json", *words))


class Failed(Exception):
    """kubectl ended with an error."""


def notebook(cluster: Cluster) -> str:
    """Return the reference of a notebook's image with the product; ours is made and pushed if need be."""
    if not cluster.own:
        return cluster.images["notebook"]
    return images.make_notebook(_site(cluster.name))


def describe(cluster: Cluster) -> dict[str, object]:
    """Return what `given` has to be told of a cluster of our own, to take it for somebody else's."""
    assert cluster.registry is not None
    known = {**cluster.images, "notebook": notebook(cluster)}
    registry = asdict(cluster.registry)
    return {
        "registry": {name: registry[name] for name in ("address", "ca", "dockerconfigjson")},
        "images": {name: known[name] for name in IMAGES},
        "storage_classes": cluster.storage_classes[:2],
    }


def up(name: str, *, with_images: bool = True, keep: bool = True) -> Cluster:
    """Bring a cluster up from nothing; one that runs already gets new images at most.

    Parameters
    ----------
    with_images
        Whether the registry is filled.
    keep
        Whether it stays when the tests that use it are done (see `shared`).

    Raises
    ------
    Stop
        It can't be, and says why; what was started of it is taken away again.
    """
    check(name)
    with _alone(name):
        was_up = status(name) is not None
        found = _up_or_renew(name, with_images)
        temporary = folder_of(name) / TEMPORARY
        if keep:
            temporary.unlink(missing_ok=True)
        elif not was_up:
            temporary.touch()
        return found


@contextmanager
def shared(name: str) -> Iterator[Cluster]:
    """Bring a cluster up for as long as somebody uses it: the last one out takes it away.

    One that was up before, or that somebody has asked for since, stays.
    """
    components.KEPT.mkdir(parents=True, exist_ok=True)
    with (components.KEPT / f"{name}.users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        yield up(name, keep=False)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if (folder_of(name) / TEMPORARY).exists():
            down(name)


def _up_or_renew(name: str, with_images: bool) -> Cluster:
    running = status(name)
    if running is not None and (broken := control.dead(_site(name))):
        say(f"▸ The cluster {name} is broken: {broken.splitlines()[0]}")
        running = None
    prepare()
    programs = components.build()
    made = images.make(programs) if with_images else images.make(programs, "pause")
    if running is not None:
        say(f"▸ The cluster {name} runs already: {running.kubeconfig}")
        return _renew_images(running, made) if with_images else running
    _remove(name)
    _check_room()
    say(f"▸ Bringing the cluster {name} up in {folder_of(name)}")
    began = time.monotonic()
    try:
        state = _up(network.found(name), programs, made)
    except BaseException:
        _keep_logs(name)
        _remove(name)
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
    if missing := [package for file, package in FILES.items() if not Path(file).exists()]:
        apt_install(*missing)


def _check_room() -> None:
    """Refuse what the kernel would: kubelets end at once where root may watch no more files."""
    limit = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    used = 0
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            used += str(descriptor.readlink()) == "anon_inode:inotify"
    if limit - used < WATCHERS:
        raise Stop(
            f"A cluster needs {WATCHERS} inotify instances; {used} of {limit} are taken. End another "
            "cluster, or raise the sysctl fs.inotify.max_user_instances."
        )


def _up(site: Site, programs: Programs, made: images.Made) -> Cluster:
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
    state = Cluster(
        own=True,
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
    _write(state)
    return state


def _renew_images(running: Cluster, made: images.Made) -> Cluster:
    """Push what was changed since into a running cluster."""
    site = _site(running.name)
    if running.images == images.references(site, made):
        return running
    with step("Pushing the images that are new"):
        renewed = replace(running, images=images.push(site, made))
    _write(renewed)
    return renewed


def _write(state: Cluster) -> None:
    path = Path(state.folder) / STATE
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(state), indent=1))


def status(name: str) -> Cluster | None:
    """Return the state of a cluster that was brought up, None where there is none."""
    check(name)
    try:
        told = json.loads((folder_of(name) / STATE).read_text())
    except FileNotFoundError:
        return None
    site = _site(name)
    told["registry"] = Registry(**told["registry"])
    told["nodes"] = [Node(**told_of_it) for told_of_it in told["nodes"]]
    return Cluster(**{**told, "own": True, "pids": daemons.pids(site)})


def down(name: str) -> bool:
    """Take a cluster away, a half-made one too; say whether there was anything.

    Its processes are those in its control groups. Namespaces, their mounts and links go with them.
    """
    check(name)
    with _alone(name):
        return _remove(name)


def _remove(name: str) -> bool:
    folder, group, link = folder_of(name), cgroup_of(name), link_of(name)
    there = folder.exists() or cgroups.exists(group) or network.has_link(link)
    if not there:
        return False
    with step(f"Taking the cluster {name} away"):
        cgroups.end(group)
        network.remove_link(link)
        run(["rm", "-rf", "--one-file-system", folder])
    return True


def given(kubeconfig: str, description: str = "") -> Cluster:
    """Return a cluster that somebody else runs, such as a kind or k3s.

    Parameters
    ----------
    description
        The file in which its admin says what there is for tests (``docs/developers/testing.md``);
        without one nothing is known of a registry, images and storage classes.

    Raises
    ------
    Stop
        The file does not say all of it, or no node takes any pod.
    """
    kubectl = shutil.which("kubectl") or str(components.build("kubernetes")["kubectl"])
    found = Cluster(name="given", kubeconfig=kubeconfig, kubectl=kubectl, nodes=[])
    found.nodes.extend(_node(item) for item in found.get("nodes")["items"] if _takes_pods(item))
    if not found.nodes:
        raise Stop(f"No node of the cluster of {kubeconfig} takes pods that tolerate nothing.")
    return _described(found, Path(description)) if description else found


def _node(item: Any) -> Node:
    addresses = {a["type"]: a["address"] for a in item["status"]["addresses"]}
    return Node(item["metadata"]["name"], 0, addresses.get("InternalIP", ""), "")


def _takes_pods(item: Any) -> bool:
    taints = item["spec"].get("taints", [])
    return not any(t["effect"] in ("NoSchedule", "NoExecute") for t in taints)


def _described(cluster: Cluster, file: Path) -> Cluster:
    """Add what a file says; paths in it begin at its folder."""
    try:
        said = json.loads(file.read_text())
        registry, known = Registry(**said["registry"]), dict(said["images"])
        classes = list(said["storage_classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Stop(f"{file} does not describe a cluster for tests: {error!r}.") from None
    if missing := [name for name in IMAGES if "@sha256:" not in known.get(name, "")]:
        raise Stop(f"{file} does not name these images by digest: {', '.join(missing)}.")
    if not classes:
        raise Stop(f"{file} names no storage class.")
    paths = {
        name: str(file.absolute().parent / getattr(registry, name))
        for name in ("ca", "dockerconfigjson")
    }
    return replace(
        cluster, registry=replace(registry, **paths), images=known, storage_classes=classes
    )


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Wait until nobody else brings this cluster up or down."""
    components.KEPT.mkdir(parents=True, exist_ok=True)
    with (components.KEPT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


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
    since = [0.0]

    def usable() -> bool:
        found = api("GET", "/api/v1/nodes")["items"]
        ready = [
            item["metadata"]["name"]
            for item in found
            for condition in item["status"].get("conditions", [])
            if (condition["type"], condition["status"]) == ("Ready", "True")
            if not item["spec"].get("taints")
        ]
        nodes = api("GET", "/apis/storage.k8s.io/v1/csinodes")["items"]
        drivers = [d["name"] for item in nodes for d in item["spec"]["drivers"] or ()]
        if len(ready) < len(NODES) or drivers.count(node.DRIVER) < len(NODES):
            since[0] = 0.0
            return False
        since[0] = since[0] or time.monotonic()
        # The controller manager may still act on what a node was a moment ago.
        return time.monotonic() - since[0] > SECONDS_TO_SETTLE

    _wait(site, "both nodes are ready, untainted, and have the volumes' driver", usable)
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    _wait(site, "the default ServiceAccount is there", lambda: bool(api("GET", account)))


def _keep_logs(name: str) -> None:
    """Keep the logs of what failed, whose folder is taken away."""
    kept = components.KEPT / f"failed-{name}"
    logs = folder_of(name) / "logs"
    if logs.exists():
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(logs, kept)
        say(f"  the logs of what failed are in {kept}")
