"""The test cluster is what the other tests take it for.

What it does to be one is for ``make soak``: tests that need it would fail too.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import cluster as clusters
from harness import faults
from harness.api import Api, Refused
from harness.cluster import Cluster, Failed
from steps import Stop

GPU = "nvidia.com/gpu"
SERVE = ["sh", "-c", "echo begun; hostname > /tmp/who; cd /tmp; exec python3 -m http.server 8000"]


def pod(
    cluster: Cluster,
    name: str,
    command: list[str],
    *,
    image: str = "base",
    node: str = "",
    secret: bool = True,
    claims: dict[str, str] | None = None,
    limits: dict[str, str] | None = None,
) -> dict[str, object]:
    """A pod of one of the cluster's images; claims are paths with their claim's name."""
    claims = claims or {}
    container = {
        "name": "main",
        "image": cluster.images[image],
        "command": command,
        "volumeMounts": [{"name": c, "mountPath": path} for path, c in claims.items()],
        "resources": {"limits": limits or {}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "containers": [container],
            "imagePullSecrets": [{"name": "pull"}] if secret else [],
            "nodeSelector": {"kubernetes.io/hostname": node} if node else {},
            "volumes": [
                {"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims.values()
            ],
            "dnsPolicy": "Default",
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
        },
    }


def claim(name: str, storage_class: str, source: str = "") -> dict[str, object]:
    mode = "ReadWriteMany" if storage_class == "shared" else "ReadWriteOnce"
    spec: dict[str, object] = {
        "accessModes": [mode],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": "1Mi"}},
    }
    if source:
        spec["dataSourceRef"] = {"kind": "PersistentVolumeClaim", "name": source}
    kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    return {**kind, "metadata": {"name": name}, "spec": spec}


def eventually(holds: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if holds():
                return True
        except Failed:
            pass
        time.sleep(0.1)
    return False


def phase(cluster: Cluster, namespace: str, name: str) -> str:
    return str(cluster.get("-n", namespace, "pod", name)["status"].get("phase"))


def wait_for(cluster: Cluster, namespace: str, what: str, *names: str) -> None:
    """Wait until pods have a phase, or a condition such as ``condition=Ready``."""
    wanted = what if "=" in what else f"jsonpath={{.status.phase}}={what}"
    pods = [f"pod/{name}" for name in names]
    cluster.call("-n", namespace, "wait", f"--for={wanted}", "--timeout=60s", *pods)


def waiting_reason(cluster: Cluster, namespace: str, name: str) -> str:
    found = cluster.get("-n", namespace, "pod", name)["status"].get("containerStatuses", [{}])
    return str(found[0].get("state", {}).get("waiting", {}).get("reason", ""))


def test_both_nodes_are_ready_and_take_any_pod(cluster: Cluster) -> None:
    nodes = cluster.get("nodes")["items"]
    assert nodes
    for node in nodes:
        assert node["metadata"]["labels"]["kubernetes.io/hostname"]
        conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        if cluster.own:
            assert "taints" not in node["spec"]


@pytest.mark.soak
def test_nobody_is_let_in_without_a_name(own: Cluster) -> None:
    with pytest.raises(Refused) as refused:
        Api(own.url.removeprefix("https://"), Path(own.ca))("GET", "/version")
    assert refused.value.status == 401
    assert own.registry is not None
    with pytest.raises(Refused) as refused:
        Api(own.registry.address, Path(own.registry.ca))("GET", "/v2/_catalog")
    assert refused.value.status == 401


@pytest.mark.soak
def test_pods_run_speak_and_reach_each_other_on_both_nodes(own: Cluster, namespace: str) -> None:
    def fetch(pod: str, address: str) -> str:
        code = f"import urllib.request as u; print(u.urlopen('http://{address}:8000/who').read())"
        return own.call("-n", namespace, "exec", pod, "--", "python3", "-c", code)

    own.call(
        "-n",
        namespace,
        "create",
        "-f-",
        given=[pod(own, node.name, SERVE, node=node.name) for node in own.nodes],
    )
    own.call("-n", namespace, "expose", "pod", "node-2", "--name=far", "--port=8000")
    wait_for(own, namespace, "condition=Ready", "node-1", "node-2")
    assert own.call("-n", namespace, "logs", "node-1") == "begun\n"
    address = own.get("-n", namespace, "pod", "node-2")["status"]["podIP"]
    service = own.get("-n", namespace, "service", "far")["spec"]["clusterIP"]
    assert eventually(lambda: "node-2" in _fetched(f"http://{address}:8000/who"))
    assert "node-2" in fetch("node-1", address)
    assert "node-2" in fetch("node-1", service)
    assert "node-2" in _fetched(f"http://{service}:8000/who")


def _fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read())
    except OSError as error:
        return str(error)


@pytest.mark.soak
def test_each_image_does_what_it_is_for(own: Cluster, namespace: str) -> None:
    lab = ["sh", "-c", "jupyter lab --no-browser --ip=127.0.0.1 & sleep 60"]
    tools = "import blake3, pygit2, jupyter_secxops_migrate.copying"
    asked = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8888/api').read())"
    commands = {
        "jupyter": lab,
        "tools": ["sh", "-c", f"python3 -c '{tools}' && buildctl --version"],
        "buildkit": ["sh", "-c", "rootlesskit id -u && buildkitd --version"],
    }
    pods = [pod(own, name, run, image=name, node="node-1") for name, run in commands.items()]
    for unconfined in pods:
        security = {"seccompProfile": {"type": "Unconfined"}}
        unconfined["spec"]["securityContext"] = security  # type: ignore[index]
    own.call("-n", namespace, "create", "-f-", given=pods)
    wait_for(own, namespace, "Succeeded", "tools", "buildkit")
    assert own.call("-n", namespace, "logs", "tools").startswith("buildctl github.com")
    assert own.call("-n", namespace, "logs", "buildkit").startswith("0\nbuildkitd github.com")
    wait_for(own, namespace, "condition=Ready", "jupyter")
    ask = ("-n", namespace, "exec", "jupyter", "--", "python3", "-c", asked)
    assert eventually(lambda: "version" in own.call(*ask))
    assert "uid=1000(jovyan)" in own.call("-n", namespace, "exec", "jupyter", "--", "id")


@pytest.mark.soak
def test_only_node_1_asks_for_the_password_of_an_image_that_it_has(
    own: Cluster, namespace: str
) -> None:
    def run(name: str, node: str, secret: bool) -> dict[str, object]:
        return pod(own, name, ["true"], node=node, secret=secret)

    nodes = [node.name for node in own.nodes]
    own.call("-n", namespace, "create", "-f-", given=[run(f"with-{n}", n, True) for n in nodes])
    wait_for(own, namespace, "Succeeded", *(f"with-{n}" for n in nodes))
    own.call("-n", namespace, "create", "-f-", given=[run(f"bare-{n}", n, False) for n in nodes])
    wait_for(own, namespace, "Succeeded", "bare-node-2")
    refused = ("ErrImagePull", "ImagePullBackOff")
    assert eventually(lambda: waiting_reason(own, namespace, "bare-node-1") in refused)


@pytest.mark.soak
def test_volumes_are_made_where_the_pod_is_shared_or_cloned(own: Cluster, namespace: str) -> None:
    write = [
        "sh",
        "-c",
        "echo mine > /local/file; echo ours > /shared/file; ln -s file /local/link",
    ]
    claims = {"/local": "local", "/shared": "shared"}
    own.call(
        "-n",
        namespace,
        "create",
        "-f-",
        given=[
            claim("local", "node-local"),
            claim("shared", "shared"),
            pod(own, "writer", write, node="node-1", claims=claims),
        ],
    )
    wait_for(own, namespace, "Succeeded", "writer")
    volume = own.get("-n", namespace, "pvc", "local")["spec"]["volumeName"]
    assert "node-1" in json.dumps(own.get("pv", volume)["spec"]["nodeAffinity"])
    own.call(
        "-n",
        namespace,
        "create",
        "-f-",
        given=[
            claim("clone", "node-local", "local"),
            claim("empty", "forgetful", "local"),
            pod(own, "near", ["cat", "/shared/file"], node="node-1", claims={"/shared": "shared"}),
            pod(own, "far", ["cat", "/shared/file"], node="node-2", claims={"/shared": "shared"}),
            pod(own, "cloned", ["cat", "/c/link"], node="node-1", claims={"/c": "clone"}),
            pod(own, "lied", ["ls", "-A", "/c"], node="node-1", claims={"/c": "empty"}),
            # No selector: the volume decides.
            pod(own, "bound", ["cat", "/local/file"], claims={"/local": "local"}),
        ],
    )
    wait_for(own, namespace, "Succeeded", "near", "far", "cloned", "lied", "bound")
    said = {
        name: own.call("-n", namespace, "logs", name)
        for name in ("near", "far", "cloned", "lied", "bound")
    }
    ours, mine = "ours\n", "mine\n"
    assert said == {"near": ours, "far": ours, "cloned": mine, "lied": "", "bound": mine}
    assert own.get("-n", namespace, "pod", "bound")["spec"]["nodeName"] == "node-1"


@pytest.mark.soak
def test_a_gpu_is_given_to_one_pod_and_the_second_waits(own: Cluster, namespace: str) -> None:
    faults.advertise(own, "node-2", GPU, 1)
    try:
        sleep = ["sleep", "60"]
        own.call("-n", namespace, "create", "-f-", given=pod(own, "one", sleep, limits={GPU: "1"}))
        wait_for(own, namespace, "condition=Ready", "one")
        assert own.get("-n", namespace, "pod", "one")["spec"]["nodeName"] == "node-2"
        own.call("-n", namespace, "create", "-f-", given=pod(own, "two", sleep, limits={GPU: "1"}))
        wait_for(own, namespace, "condition=PodScheduled=False", "two")
        [told] = own.get("-n", namespace, "pod", "two")["status"]["conditions"]
        assert f"Insufficient {GPU}" in told["message"]
    finally:
        faults.advertise(own, "node-2", GPU, 0)


@pytest.mark.soak
def test_what_is_broken_comes_back(own: Cluster, namespace: str) -> None:
    own.call("-n", namespace, "create", "-f-", given=pod(own, "pod", SERVE, node="node-2"))
    wait_for(own, namespace, "condition=Ready", "pod")
    faults.kill_kubelet(own, "node-2")
    faults.stop_registry(own)
    assert own.registry is not None
    host, _, port = own.registry.address.partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5).close()
    faults.stop_apiserver(own)
    with pytest.raises(Failed, match="refused"):
        own.call("get", "nodes")
    faults.start_apiserver(own)
    faults.start_registry(own)
    faults.start_kubelet(own, "node-2")
    assert eventually(
        lambda: own.call("-n", namespace, "exec", "pod", "--", "cat", "/tmp/who") != ""
    )
    assert all(clusters.status(own.name).pids.values())  # type: ignore[union-attr]


@pytest.mark.soak
def test_a_cluster_that_is_up_is_left_as_it_is(own: Cluster) -> None:
    assert clusters.up(own.name, keep=False).pids == clusters.status(own.name).pids  # type: ignore[union-attr]


@pytest.mark.soak
def test_a_cluster_that_is_somebody_elses_is_known_as_far_as_it_is_described(
    own: Cluster, tmp_path: Path
) -> None:
    description = clusters.describe(own)
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps(description))
    found = clusters.given(own.kubeconfig, str(file))
    assert not found.own
    assert (found.here, found.others, found.local) == ("node-1", ["node-2"], "node-local")
    assert found.registry is not None and found.registry.password == ""
    assert clusters.notebook(found) == clusters.notebook(own)

    images = {name: reference.split("@")[0] for name, reference in found.images.items()}
    file.write_text(json.dumps({**description, "images": images}))
    with pytest.raises(Stop) as stop:
        clusters.given(own.kubeconfig, str(file))
    assert "by digest: tools, buildkit, jupyter, notebook" in stop.value.sentence
    file.write_text(json.dumps({"images": found.images}))
    with pytest.raises(Stop) as stop:
        clusters.given(own.kubeconfig, str(file))
    assert "KeyError('registry')" in stop.value.sentence


@pytest.mark.soak
def test_a_cluster_leaves_no_trace(own: Cluster) -> None:
    before = machine()
    name = f"{own.name[:6]}-2"
    other = clusters.up(name, with_images=False)
    words = (f"secxops-cluster-{name}", f"secxops-{name}", f"sx-{name}", _network(other))
    try:
        assert _network(other) != _network(own)
        assert len(traces(*words)) > 10
    finally:
        clusters.down(name)
    # Who ended is shown until its parent has heard of it.
    assert eventually(lambda: not traces(*words), 10), traces(*words)
    assert machine() == before
    assert not clusters.down(name)
    assert own.get("nodes")["items"]


def _network(cluster: Cluster) -> str:
    """The first two numbers of all addresses of a cluster."""
    return ".".join(cluster.url.removeprefix("https://").split(".")[:2]) + "."


def machine() -> list[str]:
    """What no cluster may change."""
    return [
        Path("/proc/self/mounts").read_text(),
        *(_said("sysctl", f"{name}") for name in ("vm.overcommit_memory", "kernel.panic")),
        _said("sysctl", "net.ipv4.ip_forward"),
        _said("iptables", "-S"),
        _said("iptables", "-t", "nat", "-S"),
        *(str(Path(p).exists()) for p in ("/run/netns", "/var/lib/kubelet", "/var/lib/cni")),
    ]


def traces(*words: str) -> list[str]:
    """Processes, groups, links, routes, mounts and files in which one of the words is."""
    found = [
        _said("ps", "-eo", "args"),
        _said("find", "/sys/fs/cgroup", "-type", "d", "-name", "secxops-*"),
        _said("ip", "-oneline", "address"),
        _said("ip", "route", "show", "table", "all"),
        Path("/proc/self/mounts").read_text(),
        "\n".join(str(path) for path in Path("/tmp").glob("secxops-*")),
    ]
    return [line for text in found for line in text.splitlines() if any(w in line for w in words)]


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
