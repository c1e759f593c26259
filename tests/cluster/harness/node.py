"""One node: containerd, kubelet, kube-proxy, and the volumes' driver with its provisioner."""

from __future__ import annotations

import json
from pathlib import Path

from . import daemons
from .certificates import kubeconfig, pki
from .components import Programs
from .site import Site

DRIVER = "csifix.secxops.test"
SOCKET = "/run/containerd/containerd.sock"
PLUGIN = f"/var/lib/kubelet/plugins/{DRIVER.split('.')[0]}"
REGISTRATION = "/var/lib/kubelet/plugins_registry"
# It keeps the kubelet's way to ask for the password of an image that is already there.
STRICT = "node-1"

_CONTAINERD = """
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  # Without CAP_SYS_RESOURCE, as in many virtual machines, no sandbox starts otherwise.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{certificates}"
"""
# Passwords are not here: a pod brings its pull secret.
_HOSTS = """
server = "https://{registry}"
[host."https://{registry}"]
  capabilities = ["pull", "resolve", "push"]
  ca = "{ca}"
"""


def start_containerd(site: Site, node: str, holder: int) -> None:
    """Start the node's containerd, which trusts the registry's authority."""
    folder = site.node_folder(node)
    hosts = folder / "certs.d" / site.registry
    hosts.mkdir(parents=True)
    (hosts / "hosts.toml").write_text(
        _HOSTS.format(registry=site.registry, ca=pki(site) / "ca.crt")
    )
    (folder / "cni").mkdir()
    (folder / "cni" / "10-bridge.conflist").write_text(json.dumps(_pod_network(site, node)))
    configuration = folder / "containerd.toml"
    configuration.write_text(
        _CONTAINERD.format(socket=SOCKET, folder=folder, certificates=folder / "certs.d")
    )
    _start(site, node, holder, "containerd", ["containerd", "--config", configuration])


def start(site: Site, programs: Programs, node: str, holder: int) -> None:
    """Start what makes the node one of the cluster, once the API answers."""
    _start_volumes(site, programs, node, holder)
    configuration = site.node_folder(node) / "kubelet.json"
    configuration.write_text(json.dumps(_kubelet(site, node), indent=1))
    _start(
        site,
        node,
        holder,
        "kubelet",
        [
            programs["kubelet"],
            f"--config={configuration}",
            f"--kubeconfig={kubeconfig(site, node)}",
            f"--hostname-override={node}",
            f"--node-ip={site.address(node)}",
        ],
    )
    proxy = site.node_folder(node) / "proxy.json"
    proxy.write_text(json.dumps(_proxy(site, node), indent=1))
    _start(site, node, holder, "kube-proxy", [programs["kube-proxy"], f"--config={proxy}"])


def socket_of(site: Site, node: str) -> Path:
    """The node's containerd, as the host sees it."""
    return site.node_folder(node) / Path(SOCKET).relative_to("/")


def _start_volumes(site: Site, programs: Programs, node: str, holder: int) -> None:
    local = site.node_folder(node) / "volumes"
    shared = site.folder / "shared"
    for folder in (local, shared):
        folder.mkdir(exist_ok=True)
    socket = f"{PLUGIN}/csi.sock"
    for there in (PLUGIN, REGISTRATION):
        own = site.node_folder(node) / "lib" / Path(there).relative_to("/var/lib")
        own.mkdir(parents=True, exist_ok=True)
    _start(
        site,
        node,
        holder,
        "csifix",
        [
            programs["csifix"],
            *("--node", node, "--driver", DRIVER, "--endpoint", socket),
            *("--registry", REGISTRATION),
            *("--local", local, "--shared", shared),
        ],
    )
    _start(
        site,
        node,
        holder,
        "csi-provisioner",
        [
            programs["csi-provisioner"],
            f"--csi-address={socket}",
            f"--kubeconfig={kubeconfig(site, 'provisioner')}",
            "--node-deployment",
            "--feature-gates=Topology=true",
            "--strict-topology",
            "--immediate-topology=false",
            "--kube-api-qps=300",
            "--kube-api-burst=300",
        ],
        env={"NODE_NAME": node},
    )


def _kubelet(site: Site, node: str) -> dict[str, object]:
    folder = site.node_folder(node)
    certificates = pki(site)
    resolv = folder / "resolv.conf"
    resolv.write_text(Path("/etc/resolv.conf").read_text())
    settings: dict[str, object] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificates / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificates / f"{node}-server.crt"),
        "tlsPrivateKeyFile": str(certificates / f"{node}-server.key"),
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{site.cgroup}/{node}",
        "failCgroupV1": False,
        "failSwapOn": False,
        # kube-proxy has its own.
        "makeIPTablesUtilChains": False,
        "resolvConf": str(resolv),
        # Its default is on the host.
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        "nodeStatusUpdateFrequency": "2s",
        "kubeAPIQPS": 300,
        "kubeAPIBurst": 300,
        "serializeImagePulls": False,
        # The disk is the whole machine's, and its being nearly full is not the tests' matter.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%"},
    }
    if node != STRICT:
        settings["imagePullCredentialsVerificationPolicy"] = "NeverVerify"
    return settings


def _proxy(site: Site, node: str) -> dict[str, object]:
    # Zero: leave alone what is the whole machine's.
    untouched = {
        "maxPerCore": 0,
        "min": 0,
        "tcpEstablishedTimeout": "0s",
        "tcpCloseWaitTimeout": "0s",
    }
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": node,
        # What is not a pod, such as a test, reaches a Service by way of the node.
        "clusterCIDR": site.pods,
        "clientConnection": {"kubeconfig": str(kubeconfig(site, "proxy"))},
        "conntrack": untouched,
    }


def _pod_network(site: Site, node: str) -> dict[str, object]:
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": site.pods_of(node)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }


def _start(
    site: Site,
    node: str,
    holder: int,
    name: str,
    command: list[str | Path],
    env: dict[str, str] | None = None,
) -> None:
    daemons.start(site, f"{node}/{name}", command, group=f"{node}/system", inside=holder, env=env)
