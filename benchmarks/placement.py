"""How long placement thinks on a large cluster: 5,000 nodes and 150,000 pods.

Measures building the sums of what is used from a cache's compact records, and a decision from them:
one that stays, one that moves by each strategy, and one that fits nowhere (the slowest: every node
gives its reasons). Also what the records take of memory, and, without an aim, reading them from the
API's JSON. Pure functions, so no cluster is needed; nothing here is measured of a real one.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

from jupyter_secxops_migrate.placement.choose import choose
from jupyter_secxops_migrate.placement.nodes import Node, PodNeeds, needs_of_pod, with_pods
from jupyter_secxops_migrate.placement.requests import PodRecord, record_of
from jupyter_secxops_migrate.placement.strategies import ImageWarm, Pack, Spread

SUMS_MS, DECISION_MS = 1000, 50
"""The aims."""


def verdict(good: bool) -> str:
    return "met" if good else "MISSED"


def node_json(number: int, dice: random.Random) -> dict[str, Any]:
    """A node with the labels and images that clouds and kubelets give."""
    name = f"ip-10-{number >> 8}-{number & 255}.eu-central-1.compute.internal"
    labels = {f"feature.node.kubernetes.io/cpu-{each}": "true" for each in range(20)}
    labels |= {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": dice.choice("abc"),
        "node.kubernetes.io/instance-type": dice.choice(["m5.4xlarge", "p3.2xlarge"]),
    }
    allocatable = {
        "cpu": "15890m",
        "memory": "62345678Ki",
        "ephemeral-storage": "95551679124",
        "pods": "110",
    }
    spec: dict[str, Any] = {}
    if number % 10 == 0:
        allocatable["nvidia.com/gpu"] = "4"
        spec["taints"] = [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}]
    images = [
        {
            "names": [
                f"registry/team/image-{each}@sha256:{each:064x}",
                f"registry/team/image-{each}:1",
            ]
        }
        for each in dice.sample(range(400), 50)
    ]
    status = {
        "allocatable": allocatable,
        "images": images,
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def pod_json(number: int, node: str, dice: random.Random) -> dict[str, Any]:
    """A pod of one or two containers, some with an init container and a sidecar."""

    def container(name: str) -> dict[str, Any]:
        requests = {
            "cpu": f"{dice.choice([50, 100, 250, 500])}m",
            "memory": f"{dice.choice([64, 128, 512, 1024])}Mi",
        }
        return {"name": name, "resources": {"requests": requests, "limits": requests}}

    spec: dict[str, Any] = {
        "nodeName": node,
        "containers": [container(f"c{each}") for each in range(1 + number % 2)],
    }
    if number % 5 == 0:
        spec["initContainers"] = [
            container("init"),
            {**container("mesh"), "restartPolicy": "Always"},
        ]
    return {
        "metadata": {"namespace": f"team-{number % 300}", "name": f"deployment-{number:06d}-x7k2p"},
        "spec": spec,
        "status": {"phase": "Running"},
    }


def needs_of(cpu: str, memory: str, **spec: Any) -> PodNeeds:
    resources = {"requests": {"cpu": cpu, "memory": memory}}
    pod = {"spec": {"containers": [{"name": "lab", "resources": resources}], **spec}}
    return needs_of_pod(pod, images=["registry/team/image-7:1"])


class Measured(NamedTuple):
    """Milliseconds by the clock, and of the CPU (of which a loaded machine takes none away)."""

    clock: list[float]
    cpu: list[float]


def milliseconds(call: Callable[[], object], rounds: int) -> Measured:
    measured = Measured([], [])
    for _ in range(rounds):
        clock, cpu = time.perf_counter(), time.process_time()
        call()
        measured.cpu.append(1000 * (time.process_time() - cpu))
        measured.clock.append(1000 * (time.perf_counter() - clock))
    return measured


def tell(name: str, times: Measured, aim: float) -> bool:
    good = max(times.cpu) <= aim
    print(
        f"    {name:31} median {statistics.median(times.clock):6.1f} ms"
        f"  longest {max(times.clock):6.1f} ms  (CPU {max(times.cpu):6.1f} ms)"
        f"  aim <= {aim} ms  {verdict(good)}",
        flush=True,
    )
    return good


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=150_000)
    parser.add_argument("--rounds", type=int, default=20, help="how often each is measured")
    given = parser.parse_args()
    dice = random.Random(1)
    print(f"Placement, {given.nodes:,} nodes and {given.pods:,} pods", flush=True)

    # As pages of raw JSON come in: each page is read, and only the records are kept.
    tracemalloc.start()
    nodes: list[Node] = []
    for number in range(given.nodes):
        nodes.append(Node.from_json(json.loads(json.dumps(node_json(number, dice)))))
    for_nodes = tracemalloc.get_traced_memory()[0]
    names = [node.name for node in nodes]
    records: list[PodRecord] = []
    for number in range(given.pods):
        record = record_of(json.loads(json.dumps(pod_json(number, dice.choice(names), dice))))
        assert record is not None
        records.append(record)
    for_pods = tracemalloc.get_traced_memory()[0] - for_nodes
    tracemalloc.stop()
    # What the cache's owner has to do: else now and then a decision pays for a walk over all records.
    gc.collect()
    gc.freeze()
    sample = [pod_json(number, names[0], dice) for number in range(2000)]
    reading = min(milliseconds(lambda: [record_of(pod) for pod in sample], 5).cpu) / len(sample)
    print(f"    records: nodes {for_nodes / 1e6:.0f} MB, pods {for_pods / 1e6:.0f} MB")
    print(f"    a pod's record from its JSON: {1000 * reading:.1f} µs", flush=True)

    good = [tell("sums", milliseconds(lambda: with_pods(nodes, records), 5), SUMS_MS)]
    counted = with_pods(nodes, records)
    source = names[1]
    small, large = needs_of("500m", "1Gi"), needs_of("64", "1Ti")
    picky = needs_of(
        "1",
        "2Gi",
        nodeSelector={"kubernetes.io/os": "linux"},
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}],
    )
    cases: list[tuple[str, Callable[[], object]]] = [
        ("stays", lambda: choose(small, source, counted, (), Spread(), gpu=False)),
        ("moves, spread", lambda: choose(picky, source, counted, (), Spread(), gpu=True)),
        ("moves, pack", lambda: choose(picky, source, counted, (), Pack(), gpu=True)),
        ("moves, image-warm", lambda: choose(picky, source, counted, (), ImageWarm(), gpu=True)),
        ("fits nowhere", lambda: choose(large, source, counted, (), Spread(), gpu=False)),
    ]
    for name, call in cases:
        good.append(tell(f"a decision: {name}", milliseconds(call, given.rounds), DECISION_MS))
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
