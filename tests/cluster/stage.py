"""A stage for shares: a namespace with what an admin gives it, and a notebook pod with files.

What the admin does is done with the files of the operators' guide, as they are written there.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from harness.cluster import Cluster, Failed
from harness.site import cgroup_of

from jupyter_secxops_migrate.placement.requests import Resources, pod_requests, resources

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "operators" / "kubernetes"
SETTINGS = "jupyter_secxops_config.json"
RBAC = "rbac.authorization.k8s.io"
# The label of `placement.generate.MARK`.
SIMULATED = "secxops.test/cluster"
PROJECT = "/home/jovyan/project"
DATA = "/data/flows"
MOUNTS = (
    # As hubs do that keep all homes in one claim.
    {"claim": "home", "path": PROJECT, "subPath": "alice/project"},
    {"claim": "flows", "path": DATA},
)


BUILDERS = "secxops-build"
# Less than the 4 GB that a share asks for which is to find no room, and enough for its Jobs.
LEFT_FREE = 3 * 2**29
ENDED = ("succeeded", "failed", "cancelled")
# What a migration makes.
KINDS = "jobs,pods,pvc,services,secrets,networkpolicies"


def builders_of(cluster: Cluster) -> str:
    """The namespace of the tests' builders; on somebody else's cluster the guide's may be in use."""
    return BUILDERS if cluster.own else "secxops-test-build"


def builders(
    cluster: Cluster, kind: str = "builder", namespace: str = BUILDERS
) -> Mapping[str, str]:
    """Do what the guide says for a kind of builders; return the clients' certificates."""
    assert cluster.registry is not None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        subprocess.run(
            [GUIDE / "certificates.sh", folder / "certificates"], check=True, capture_output=True
        )
        shutil.copytree(GUIDE, folder / "guide")
        (folder / "ca.crt").write_bytes(Path(cluster.registry.ca).read_bytes())
        written = (GUIDE / kind / "buildkitd.toml").read_text()
        # What containerd runs for it goes with the cluster, as all the rest does.
        group = f'defaultCgroupParent = "/{cgroup_of(cluster.name)}/builds"'
        worker = "[worker.containerd]\n"
        written = written.replace(worker, f"{worker}  {group}\n")
        host, _, _ = cluster.registry.address.partition("/")
        (folder / "buildkitd.toml").write_text(
            f'{written}\n[registry."{host}"]\n  ca = ["/etc/secxops/ca.crt"]\n'
        )
        config = Path(cluster.registry.dockerconfigjson).read_bytes()
        (folder / ".dockerconfigjson").write_bytes(config)
        (folder / "kustomization.yaml").write_text(json.dumps(_overlay(cluster, kind, namespace)))
        cluster.call("apply", "-k", str(folder))
        cluster.call("apply", "-k", str(folder / "guide" / "cluster"))
        client = folder / "certificates" / "client"
        found = {path.name: path.read_text() for path in client.iterdir()}
    rollout = ("rollout", "status", "daemonset/secxops-builder", "--timeout=150s")
    cluster.call("-n", namespace, *rollout)
    return found


def written(kind: str) -> Any:
    """Return the object of a kind as the guide's text has it."""
    text = GUIDE.with_suffix(".md").read_text("utf-8")
    for block in re.findall(r"```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for found in yaml.safe_load_all(block):
            if found["kind"] == kind:
                return found
    raise LookupError(kind)


def _overlay(cluster: Cluster, kind: str, namespace: str) -> Mapping[str, Any]:
    image, _, digest = cluster.images["buildkit"].partition("@")
    found = yaml.safe_load((GUIDE / "site" / "builders" / "kustomization.yaml").read_text())
    found |= {"namespace": namespace, "resources": [f"guide/{kind}"]}
    found["images"][0] |= {"newName": image, "digest": digest}
    # Not on the nodes that only the scheduler is asked about: a builder takes room.
    real = {"matchExpressions": [{"key": SIMULATED, "operator": "DoesNotExist"}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [real]}}
    path, value = "/spec/template/spec/affinity", {"nodeAffinity": required}
    patch = json.dumps([{"op": "add", "path": path, "value": value}])
    found["patches"].append({"target": {"kind": "DaemonSet"}, "patch": patch})
    return dict(found)


def until(
    holds: Callable[[], bool], seconds: float = 60, told: object = "it does not come to that"
) -> None:
    """Wait for a state; ``told`` says what is wrong where it does not come."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, told
        time.sleep(0.2)


def free(cluster: Cluster, node: str) -> Resources:
    """What no pod asks for on a node; what has ended or is on its way out asks for nothing."""
    pods = cluster.get("pods", "--all-namespaces", f"--field-selector=spec.nodeName={node}")
    found = resources(cluster.get("node", node)["status"]["allocatable"])
    for pod in pods["items"]:
        gone = "deletionTimestamp" in pod["metadata"]
        if not gone and pod["status"]["phase"] not in ("Succeeded", "Failed"):
            asked = pod_requests(pod)
            found = found.minus(asked)
    return found


@contextmanager
def forwarded(cluster: Cluster, command: str) -> Iterator[int]:
    """Do what a person is told to do (``kubectl port-forward …``), at a port that is free here."""
    words = command.replace("8888:8888", ":8888").split()
    assert words[:2] == ["kubectl", "port-forward"]
    program = [cluster.kubectl, f"--kubeconfig={cluster.kubeconfig}", *words[1:]]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert found, line
            yield int(found[1])
        finally:
            process.terminate()


def nothing(found: Callable[[], Sequence[str]], seconds: float = 60) -> None:
    """Wait until nothing is found any more."""
    left: list[str] = []

    def is_gone() -> bool:
        left[:] = found()
        return not left

    until(is_gone, seconds, left)


def codes(said: Any) -> list[str]:
    """The reasons of a share's plan."""
    return [reason["code"] for reason in said["plan"]["reasons"]]


def state_of(said: Any, step: str) -> str:
    """The state of a step in a share's record."""
    return str(next(s["state"] for s in said["steps"] if s["name"] == step))


class Stage:
    """One namespace of notebooks, as an admin makes it.

    Parameters
    ----------
    client
        The certificates of the builders' clients.
    notebook
        The image of notebooks, with the product in it.
    builders
        The namespace of the builders, if not that of `builders_of`.
    more
        Settings besides those of the guide, by class.
    """

    def __init__(
        self,
        cluster: Cluster,
        client: Mapping[str, str],
        notebook: str,
        *,
        builders: str = "",
        more: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        assert cluster.registry is not None
        self.cluster = cluster
        self.image = notebook
        self.builders = builders or builders_of(cluster)
        self.more = more or {}
        self.namespace = f"share-{secrets.token_hex(4)}"
        registry = cluster.registry
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": self.namespace,
                    "labels": {"pod-security.kubernetes.io/enforce": "baseline"},
                },
            }
        )
        cluster.call("-n", self.namespace, "apply", "-k", str(GUIDE / "project"))
        self.apply(
            self.like(
                "Secret",
                "registry",
                type="kubernetes.io/dockerconfigjson",
                stringData={".dockerconfigjson": Path(registry.dockerconfigjson).read_text()},
            ),
            self.like("Secret", "secxops-builder-client", stringData=dict(client)),
            self.like("ConfigMap", "registry-ca", data={"ca.crt": Path(registry.ca).read_text()}),
            self.like(
                "ConfigMap",
                "secxops",
                data={SETTINGS: json.dumps(self.settings())},
            ),
            self._sight(),
            self._may("RoleBinding", "secxops-builders", "Role", self.builders),
        )

    def _sight(self) -> Mapping[str, Any]:
        return self._may("ClusterRoleBinding", "secxops-placement", "ClusterRole")

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Have a service that may not see the cluster's nodes, pods and volumes for a while."""
        self.cluster.call("delete", "clusterrolebinding", f"secxops-placement-{self.namespace}")
        try:
            # An API server hears of it a moment later; what is watched goes on until it is closed.
            until(lambda: not self._sees())
            self.kill_service()
            yield
        finally:
            self.apply(self._sight())
            until(self._sees)

    def _sees(self) -> bool:
        account = f"system:serviceaccount:{self.namespace}:secxops"
        try:
            self.cluster.call("auth", "can-i", "list", "nodes", f"--as={account}")
        except Failed:  # its exit status is the answer
            return False
        return True

    def _may(self, kind: str, role: str, role_kind: str, namespace: str = "") -> dict[str, Any]:
        account = {"kind": "ServiceAccount", "name": "secxops", "namespace": self.namespace}
        return {
            "apiVersion": f"{RBAC}/v1",
            "kind": kind,
            "metadata": {
                "name": f"{role}-{self.namespace}",
                **({"namespace": namespace} if namespace else {}),
            },
            "roleRef": {"apiGroup": RBAC, "kind": role_kind, "name": role},
            "subjects": [account],
        }

    def settings(self) -> dict[str, Any]:
        """What an admin sets for notebooks of this cluster."""
        assert self.cluster.registry is not None
        found = json.loads((GUIDE / "site" / "notebooks" / SETTINGS).read_text())
        engine = {
            "tools_image": self.cluster.images["tools"],
            "builder_namespace": self.builders,
            **self.more.get("KubernetesEngine", {}),
        }
        registry = {"address": self.cluster.registry.address, "ca": "registry-ca"}
        found["Registries"] = {"named": {"default": registry}}
        return {**found, **self.more, "KubernetesEngine": {**found["KubernetesEngine"], **engine}}

    def like(self, kind: str, name: str, **more: Any) -> dict[str, Any]:
        """Return an object of this namespace."""
        return {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            **more,
        }

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self.cluster.call("apply", "-f", "-", given=list(objects))

    def get(self, *words: str) -> Any:
        return self.cluster.get("-n", self.namespace, *words)

    def claim(
        self, name: str, storage_class: str, size: str = "1Gi", mode: str = "ReadWriteOnce"
    ) -> None:
        self.apply(
            self.like(
                "PersistentVolumeClaim",
                name,
                spec={
                    "accessModes": [mode],
                    "storageClassName": storage_class,
                    "resources": {"requests": {"storage": size}},
                },
            )
        )

    def notebook(
        self,
        storage_class: str = "",
        *,
        node: str = "",
        mounts: Sequence[Mapping[str, str]] = MOUNTS,
        modes: Mapping[str, str] | None = None,
        classes: Mapping[str, str] | None = None,
        scratch: str = "/scratch",
        user: int | None = 1000,
        spec: Mapping[str, Any] | None = None,
        security: Mapping[str, Any] | None = None,
    ) -> None:
        """Start a notebook pod as the guide has it, and as hubs make them.

        On the cluster's first node and its class of local volumes, unless others are named. ``modes`` and
        ``classes`` have other access modes and classes of claims; ``scratch`` is not on a claim; without a
        ``user`` it runs as its image says. ``spec`` and ``security`` are more of the pod's spec, and of its
        security context.
        """
        claims = sorted({m["claim"] for m in mounts})
        usual = storage_class or self.cluster.local
        for name in claims:
            kind, mode = (classes or {}).get(name, usual), (modes or {}).get(name, "ReadWriteOnce")
            self.claim(name, kind, mode=mode)
        pod = written("Pod")
        pod["metadata"]["namespace"] = self.namespace
        pod["spec"] |= {
            "nodeSelector": {"kubernetes.io/hostname": node or self.cluster.here},
            "terminationGracePeriodSeconds": 1,
            "volumes": [
                *(v for v in pod["spec"]["volumes"] if v["name"] != "home"),
                {"name": "scratch", "emptyDir": {}},
                *({"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims),
            ],
        }
        pod["spec"] |= spec or {}
        pod["spec"]["securityContext"] |= {"runAsUser": user, **(security or {})}
        [container] = pod["spec"]["containers"]
        container["command"].append("--IdentityProvider.token=source")
        container |= {
            "image": self.image,
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/api", "port": 8888}, "periodSeconds": 1},
            "volumeMounts": [
                *(m for m in container["volumeMounts"] if m["name"] != "home"),
                {"name": "scratch", "mountPath": scratch},
                *(_mount(mount) for mount in mounts),
            ],
        }
        self.apply(pod)
        # What commands in it need. Its JupyterLab takes some seconds more.
        self._wait("jsonpath={.status.phase}=Running")

    def answers(self) -> None:
        """Wait until the notebook's JupyterLab answers."""
        self._wait("condition=Ready")

    def _wait(self, state: str) -> None:
        pod = ("-n", self.namespace, "wait", "pod/notebook")
        self.cluster.call(*pod, f"--for={state}", "--timeout=150s")

    def fill(self, files: Mapping[str, str], megabytes: int = 0) -> None:
        """Write the project's files, and data of a size in files of 10 MB."""
        told = base64.b64encode(json.dumps(dict(files)).encode()).decode()
        self.run("python3", "-c", _WRITE, PROJECT, told, DATA, str(megabytes // 10))

    @contextmanager
    def occupied(self, node: str = "", *, memory: int = LEFT_FREE, cpu: int = 0) -> Iterator[None]:
        """Have something on a node, the first if none is named, that asks for most of what it has.

        It leaves so many bytes of memory, or so many millicores where these are told.
        """
        node = node or self.cluster.here
        there = free(self.cluster, node)
        asked = {"cpu": f"{there.cpu - cpu}m"} if cpu else {"memory": str(there.memory - memory)}
        self.apply(
            self.like(
                "Pod",
                f"occupant-{node}",
                spec={
                    "nodeSelector": {"kubernetes.io/hostname": node},
                    "terminationGracePeriodSeconds": 0,
                    "imagePullSecrets": [{"name": "registry"}],
                    "containers": [
                        {
                            "name": "occupant",
                            "image": self.cluster.images["jupyter"],
                            "command": ["sleep", "infinity"],
                            "resources": {"requests": asked},
                        }
                    ],
                },
            )
        )
        occupant = ("-n", self.namespace, f"pod/occupant-{node}")
        try:
            placed = "--for=jsonpath={.spec.nodeName}"
            self.cluster.call("wait", placed, *occupant, "--timeout=30s")
            yield
        finally:
            self.cluster.call("delete", *occupant, "--timeout=60s")

    def run(self, *command: str, pod: str = "notebook") -> str:
        """Run a command in a pod and return what it prints."""
        return self.cluster.call(
            "-n", self.namespace, "exec", pod, "-c", "notebook", "--", *command
        )

    def secxops(self, *words: str) -> tuple[int, Any]:
        """Run the command line in the notebook; return its exit status and its JSON."""
        done = subprocess.run(
            [
                *(self.cluster.kubectl, f"--kubeconfig={self.cluster.kubeconfig}"),
                *("-n", self.namespace, "exec", "notebook", "--"),
                *("jupyter-secxops", *words, "--json"),
            ],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout.strip(), done.stderr
        return done.returncode, json.loads(done.stdout)

    def kill_service(self) -> None:
        """Kill the service as the kernel would that needs its memory; the next command starts it again."""
        _, said = self.secxops("doctor")
        self.run("sh", "-c", f"kill -9 {int(said['service']['pid'])}")

    def show(self, migration: str) -> Any:
        """The record of a share."""
        _, said = self.secxops("show", migration)
        return said

    def step(self, migration: str, name: str) -> str:
        """The state of one of its steps."""
        return state_of(self.show(migration), name)

    def end(self, migration: str, seconds: float = 120) -> Any:
        """Wait for a share's end and return its record."""
        # Asking again and again would take the processors that the share needs.
        with suppress(Failed, subprocess.TimeoutExpired):
            self.run("jupyter-secxops", "logs", "--follow", migration)
        until(lambda: self.show(migration)["state"] in ENDED, seconds)
        return self.show(migration)

    def clear(self) -> None:
        """Delete all shares, and wait until nothing of them is left: the next ones find room."""
        _, rows = self.secxops("list")
        for row in rows:
            self.secxops("delete", row["id"], "--yes")
        for row in rows:
            nothing(lambda migration=row["id"]: self.left(migration))

    def left(self, migration: str) -> list[str]:
        """What is there of a share, by its label."""
        found = self.get(KINDS, "-l", f"secxops.io/migration={migration}")
        return [f"{row['kind']}/{row['metadata']['name']}" for row in found["items"]]

    def tree(self, pod: str, folder: str) -> Any:
        """Every file of a folder in a pod with its SHA-256, mode and owner, found by other means."""
        return json.loads(self.run("python3", "-c", _TREE, folder, pod=pod))

    def close(self) -> None:
        # A namespace's controller takes its time; what the next test finds free must be free by then.
        self.cluster.call("-n", self.namespace, "delete", "pods", "--all", "--wait=false")
        self.cluster.call(
            "delete", "namespace", self.namespace, "--wait=false", "--ignore-not-found"
        )
        for kind, name in (
            ("clusterrolebinding", f"secxops-placement-{self.namespace}"),
            (f"-n={self.builders} rolebinding", f"secxops-builders-{self.namespace}"),
        ):
            self.cluster.call("delete", *kind.split(), name, "--ignore-not-found")


def _mount(told: Mapping[str, str]) -> Mapping[str, str]:
    inside = {"subPath": told["subPath"]} if "subPath" in told else {}
    return {"name": told["claim"], "mountPath": told["path"], **inside}


_WRITE = """
import base64, json, os, pathlib, sys
project, told, data, pieces = sys.argv[1:]
for name, text in json.loads(base64.b64decode(told)).items():
    path = pathlib.Path(project, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
for n in range(int(pieces)):
    pathlib.Path(data, f"{n:03}.bin").write_bytes(os.urandom(10**7))
"""

_TREE = """
import hashlib, json, os, sys
found = {}
for folder, folders, files in os.walk(sys.argv[1]):
    for name in files:
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        found[os.path.relpath(path, sys.argv[1])] = [digest, oct(os.stat(path).st_mode)]
print(json.dumps(found))
"""
