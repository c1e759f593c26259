"""Small random clusters as raw Kubernetes JSON, the same for the same seed, and what placement says of them.

Each cluster is complete: nodes, pods bound to them, runtime classes, volumes with their claims, and
one probe pod. `predict` says on which nodes the probe fits; ``tests/cluster`` asks the real scheduler
the same. For that, a cluster's nodes carry a label and a taint of their own, which its probe selects
and tolerates, so that many clusters can stand side by side in one API server; and pods tolerate what
the node controller says of nodes without a kubelet.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from jupyter_secxops_migrate.placement.nodes import (
    Node,
    Volume,
    fits,
    needs_of_pod,
    with_pods,
)
from jupyter_secxops_migrate.placement.requests import pod_requests, record_of

Json = dict[str, Any]

MARK = "secxops.test/cluster"
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
GENERATION = "secxops.test/generation"
GPU = "nvidia.com/gpu"
DISK = "secxops.test/disk"

# Equal amounts in different words; memory in all of Kubernetes' notations.
CPU = ["100m", "0.1", "250m", "500m", "0.5", "1", "1500m", "1.5", "2"]
MEMORY = ["64Mi", "67108864", "128e6", "0.5Gi", "512Mi", "1Gi", "1G", "1.5Gi", "2e9", "3Gi"]
STORAGE = ["100Mi", "1Gi", "5G"]


@dataclass(frozen=True)
class Cluster:
    """Objects as they are to be created; pods that ended or are resized have a ``status`` to patch."""

    name: str
    namespace: str
    nodes: list[Json]
    pods: list[Json]
    runtime_classes: list[Json]
    volumes: list[Json]
    claims: list[Json]
    probe: Json


def predict(cluster: Cluster) -> set[str]:
    """Return the names of the nodes where the probe fits."""
    records = [record for pod in cluster.pods if (record := record_of(pod)) is not None]
    nodes = with_pods([Node.from_json(node) for node in cluster.nodes], records)
    mounted = {
        each["persistentVolumeClaim"]["claimName"]
        for each in cluster.probe["spec"].get("volumes", [])
    }
    bound = {
        claim["spec"]["volumeName"]
        for claim in cluster.claims
        if claim["metadata"]["name"] in mounted
    }
    volumes = [
        Volume.from_json(volume)
        for volume in cluster.volumes
        if volume["metadata"]["name"] in bound
    ]
    needs = needs_of_pod(cluster.probe)
    return {node.name for node in nodes if not fits(needs, node, volumes)}


def generate(seed: int, namespace: str = "placement") -> Cluster:
    """Return the cluster of a seed."""
    return _Generator(seed, namespace).cluster()


class _Generator:
    def __init__(self, seed: int, namespace: str) -> None:
        self.dice = random.Random(seed)
        self.name = f"gen{seed}"
        self.namespace = namespace
        self.runtime_classes: list[Json] = []
        self.volumes: list[Json] = []
        self.claims: list[Json] = []

    def chance(self, probability: float) -> bool:
        return self.dice.random() < probability

    def cluster(self) -> Cluster:
        nodes = [self.node(number) for number in range(self.dice.randint(2, 6))]
        pods: list[Json] = []
        for node in nodes:
            for number in range(self.dice.choice([0, 1, 1, 2, 3, 4])):
                pods.append(self.existing(node["metadata"]["name"], number))
        probe = self.probe([node["metadata"]["name"] for node in nodes])
        self.tighten(nodes, pods, probe)
        return Cluster(
            self.name,
            self.namespace,
            nodes,
            pods,
            self.runtime_classes,
            self.volumes,
            self.claims,
            probe,
        )

    # ----------------------------------------------------------------------- nodes

    def node(self, number: int) -> Json:
        name = f"{self.name}-n{number}"
        allocatable = {
            "cpu": self.dice.choice(["3900m", "4", "8", "12"]),
            "memory": self.dice.choice(["6Gi", "8000000Ki", "16Gi", "16e9"]),
            "ephemeral-storage": self.dice.choice(["10Gi", "20G"]),
            "pods": self.dice.choice(["2", "3", "4", "10", "110", "110"]),
        }
        if self.chance(0.4):
            allocatable[GPU] = self.dice.choice(["0", "1", "2", "4"])
        labels = {MARK: self.name, HOSTNAME: name, ZONE: self.dice.choice(["a", "b"])}
        if self.chance(0.6):
            labels[GENERATION] = self.dice.choice(["1", "2", "3", "10", "new"])
        if self.chance(0.4):
            labels[DISK] = self.dice.choice(["ssd", "hdd"])
        taints = [{"key": MARK, "value": self.name, "effect": "NoSchedule"}]
        if self.chance(0.25):
            taints.append(
                {
                    "key": "dedicated",
                    "value": self.dice.choice(["gpu", "team"]),
                    "effect": self.dice.choice(["NoSchedule", "PreferNoSchedule", "NoExecute"]),
                }
            )
        if self.chance(0.1):
            taints.append({"key": "maintenance", "effect": "NoSchedule"})
        spec: Json = {"taints": taints}
        if self.chance(0.1):
            spec["unschedulable"] = True
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": spec,
            "status": {
                "allocatable": allocatable,
                "capacity": dict(allocatable),
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "True",
                        "reason": "Generated",
                        "message": "",
                        "lastHeartbeatTime": "2026-01-01T00:00:00Z",
                        "lastTransitionTime": "2026-01-01T00:00:00Z",
                    }
                ],
            },
        }

    def tighten(self, nodes: list[Json], pods: list[Json], probe: Json) -> None:
        """Give some nodes just as much as all together take by our count, or a little less.

        Whoever counts a pod by one thousandth of a CPU or by a byte otherwise finds another answer.
        """
        asked = pod_requests(probe)
        for node in nodes:
            if not self.chance(0.5):
                continue
            here = [pod for pod in pods if pod["spec"]["nodeName"] == node["metadata"]["name"]]
            total = asked
            for pod in here:
                total = total.plus(pod_requests(pod))
            less = self.dice.choice([0, 0, 1])
            if self.chance(0.5) and asked.cpu:
                node["status"]["allocatable"]["cpu"] = f"{total.cpu - less}m"
            elif asked.memory:
                node["status"]["allocatable"]["memory"] = str(total.memory - less)

    # ----------------------------------------------------------------------- pods

    def existing(self, node: str, number: int) -> Json:
        """A pod that is bound already, perhaps to more than the node has."""
        pod = self.pod(f"{node}-p{number}")
        spec = pod["spec"]
        spec["nodeName"] = node
        # Stays, whatever the node's taints are.
        spec["tolerations"] = [{"operator": "Exists"}]
        if self.chance(0.15):
            pod["status"] = {"phase": self.dice.choice(["Succeeded", "Failed"])}
        elif self.chance(0.3) and "resources" not in spec:
            pod["status"] = self.resizing(spec)
        return pod

    def resizing(self, spec: Json) -> Json:
        """A status in which the kubelet has not carried out what the spec asks for now."""
        container = spec["containers"][0]

        def amounts() -> Json:
            return {"cpu": self.dice.choice(CPU), "memory": self.dice.choice(MEMORY)}

        status: Json = {
            "phase": "Running",
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": "none",
                    "imageID": "none",
                    "ready": True,
                    "restartCount": 0,
                    "allocatedResources": amounts(),
                    "resources": {"requests": amounts()},
                }
            ],
        }
        if self.chance(0.5):
            status["conditions"] = [
                {
                    "type": "PodResizePending",
                    "status": "True",
                    "reason": self.dice.choice(["Infeasible", "Deferred"]),
                }
            ]
        return status

    def pod(self, name: str) -> Json:
        whole = self.chance(0.15)
        spec: Json = {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                self.container(f"c{number}", small=whole)
                for number in range(self.dice.choice([1, 1, 2]))
            ],
        }
        starting = []
        for number in range(self.dice.choice([0, 0, 0, 1, 2, 3])):
            container = self.container(f"i{number}", small=whole)
            if self.chance(0.5):
                container["restartPolicy"] = "Always"
            starting.append(container)
        if starting:
            spec["initContainers"] = starting
        if whole:
            spec["resources"] = self.whole_pod()
        if self.chance(0.15):
            overhead = {"cpu": "250m", "memory": self.dice.choice(["120Mi", "1Gi"])}
            runtime_class = f"{name}-runtime"
            self.runtime_classes.append(
                {
                    "apiVersion": "node.k8s.io/v1",
                    "kind": "RuntimeClass",
                    "metadata": {"name": runtime_class, "labels": {MARK: self.name}},
                    "handler": "none",
                    "overhead": {"podFixed": overhead},
                }
            )
            spec |= {"runtimeClassName": runtime_class, "overhead": overhead}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {MARK: self.name}},
            "spec": spec,
        }

    def container(self, name: str, *, small: bool) -> Json:
        """A container; a small one stays below what its pod asks for as a whole."""
        container: Json = {"name": name, "image": "none"}
        if small:
            if self.chance(0.5):
                container["resources"] = {"requests": {"cpu": "50m", "memory": "32Mi"}}
            return container
        requests: Json = {}
        if self.chance(0.8):
            requests["cpu"] = self.dice.choice(CPU)
        if self.chance(0.8):
            requests["memory"] = self.dice.choice(MEMORY)
        if self.chance(0.3):
            requests["ephemeral-storage"] = self.dice.choice(STORAGE)
        limits: Json = {}
        if self.chance(0.15):
            # Some are defaulted to: what has a limit and no request.
            limits = {"cpu": "2", "memory": "3Gi"}
        if self.chance(0.07):
            limits[GPU] = self.dice.choice(["1", "2"])
        container["resources"] = {"requests": requests, "limits": limits}
        return container

    def whole_pod(self) -> Json:
        amounts = {
            "cpu": self.dice.choice(["1", "1500m", "2"]),
            "memory": self.dice.choice(["512Mi", "1Gi", "2Gi"]),
        }
        larger = {"cpu": "4", "memory": "4Gi"}
        return self.dice.choice(
            [
                {"requests": amounts},
                {"requests": amounts, "limits": larger},
                {"limits": amounts},
                {"requests": {"cpu": amounts["cpu"]}, "limits": {"memory": "1Gi"}},
            ]
        )

    # ----------------------------------------------------------------------- the probe

    def probe(self, nodes: list[str]) -> Json:
        pod = self.pod(f"{self.name}-probe")
        spec = pod["spec"]
        spec["nodeSelector"] = {MARK: self.name}
        if self.chance(0.2):
            spec["nodeSelector"][ZONE] = self.dice.choice(["a", "b"])
        spec["tolerations"] = [
            {"key": MARK, "operator": "Equal", "value": self.name, "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists"},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists"},
        ]
        if self.chance(0.5):
            spec["tolerations"].append(self.toleration())
        if self.chance(0.15):
            spec["tolerations"].append(
                {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
            )
        if self.chance(0.25):
            terms = [self.term(nodes) for _ in range(self.dice.choice([1, 1, 2]))]
            spec["affinity"] = {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
                }
            }
        if self.chance(0.25):
            spec["volumes"] = [
                {
                    "name": f"v{number}",
                    "persistentVolumeClaim": {"claimName": self.volume(number, nodes)},
                }
                for number in range(self.dice.choice([1, 1, 2]))
            ]
        return pod

    def toleration(self) -> Json:
        return self.dice.choice(
            [
                {"key": "dedicated", "operator": "Exists"},
                {"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"},
                {"key": "dedicated", "operator": "Equal", "value": "gpu"},
                {"key": "dedicated", "value": "team", "effect": "NoExecute"},
                {"key": "maintenance", "operator": "Equal", "value": ""},
                {"operator": "Exists", "effect": "NoSchedule"},
            ]
        )

    def term(self, nodes: list[str]) -> Json:
        term: Json = {}
        if self.chance(0.8):
            term["matchExpressions"] = [
                self.expression() for _ in range(self.dice.choice([1, 1, 2]))
            ]
        if not term or self.chance(0.2):
            operator = self.dice.choice(["In", "NotIn"])
            term["matchFields"] = [
                {"key": "metadata.name", "operator": operator, "values": [self.dice.choice(nodes)]}
            ]
        return term

    def expression(self) -> Json:
        return self.dice.choice(
            [
                {"key": ZONE, "operator": "In", "values": ["a"]},
                {"key": ZONE, "operator": "NotIn", "values": ["a", "c"]},
                {"key": DISK, "operator": "NotIn", "values": ["hdd"]},
                {"key": DISK, "operator": "Exists"},
                {"key": DISK, "operator": "DoesNotExist"},
                {"key": GENERATION, "operator": "Gt", "values": ["1"]},
                {"key": GENERATION, "operator": "Lt", "values": ["3"]},
            ]
        )

    def volume(self, number: int, nodes: list[str]) -> str:
        """Make a volume and the claim that it is bound to; return the claim's name."""
        name = f"{self.name}-v{number}"
        claim = {"name": name, "namespace": self.namespace}
        common: Json = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "placement-static",
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {**claim, "apiVersion": "v1", "kind": "PersistentVolumeClaim"},
        }
        if self.chance(0.2):
            common["hostPath"] = {"path": "/nowhere"}
        else:
            few = self.dice.sample(nodes, self.dice.randint(1, len(nodes)))
            expressions = [{"key": HOSTNAME, "operator": "In", "values": few}]
            terms = [{"matchExpressions": expressions}]
            if self.chance(0.3):
                terms.append({"matchExpressions": [self.expression()]})
            common["local"] = {"path": "/nowhere"}
            common["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
        self.volumes.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name, "labels": {MARK: self.name}},
                "spec": common,
            }
        )
        self.claims.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {**claim, "labels": {MARK: self.name}},
                "spec": {
                    "accessModes": ["ReadWriteMany"],
                    "storageClassName": "placement-static",
                    "volumeName": name,
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }
        )
        return name
