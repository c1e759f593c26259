"""A share on a cluster against a script of the same objects that a person would otherwise write.

The script: a Job that runs ``buildctl``, beside it two Jobs that ``rsync`` into new claims,
``kubectl apply`` of the pod, wait until it is ready. Ours: ``jupyter secxops share`` in the
notebook's pod, which besides proves what it copied. Both in turn, once staying on the node and once
moving to the other; the table shows medians and the ratio of each pair. Then ten shares at once against one.

Needs root and Go, for the test cluster. Run by ``make bench``.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Instead of this folder, whose copy.py is not the standard library's.
sys.path[:1] = [str(ROOT / "scripts"), str(ROOT / "tests" / "cluster")]

from harness import cluster as clusters  # noqa: E402
from harness.cluster import Cluster  # noqa: E402
from stage import DATA, ENDED, PROJECT, Stage, builders, until  # noqa: E402

AIMS = {"stay": 0.85, "move": 1.10}
AT_ONCE, AIM_AT_ONCE, LITTLE = 10, 2.5, "0.1"
MOVING = "4Gi"


def job(name: str, image: str, command: list[str], claims: dict[str, str], **pod: Any) -> Any:
    """A Job with claims at ``/NAME``; a read-only one is named source."""
    container: dict[str, Any] = {
        "name": "job",
        "image": image,
        "command": command,
        "volumeMounts": [
            {"name": k, "mountPath": f"/{k}", "readOnly": k == "source"} for k in claims
        ],
    }
    if "source" in claims and claims["source"] == "home":
        container["volumeMounts"][0]["subPath"] = "alice/project"
    volumes = [{"name": k, "persistentVolumeClaim": {"claimName": v}} for k, v in claims.items()]
    for secret, (path, key) in pod.pop("secrets", {}).items():
        container["volumeMounts"].append({"name": secret, "mountPath": path})
        items = [{"key": key, "path": "config.json"}] if key else None
        volumes.append({"name": secret, "secret": {"secretName": secret, "items": items}})
    container["env"] = pod.pop("env", [])
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "nodeSelector": {"kubernetes.io/hostname": "node-1"},
                    "imagePullSecrets": [{"name": "registry"}],
                    "volumes": volumes,
                    "containers": [container],
                }
            },
        },
    }


def by_hand(stage: Stage, moves: bool, cpu: str) -> float:
    """Do what a script does; return its seconds."""
    cluster = stage.cluster
    assert cluster.registry is not None
    mark = secrets.token_hex(3)
    image = f"{cluster.registry.address}/by-hand/project:{mark}"
    builder = next(
        row["status"]["podIP"]
        for row in cluster.get("-n", "secxops-build", "pods")["items"]
        if row["spec"].get("nodeName") == "node-1"
    )
    tls = "/run/secxops/builder"
    build = [
        *("buildctl", f"--addr=tcp://{builder}:1234", "--tlsservername=secxops-builder"),
        *(f"--tlscacert={tls}/ca.crt", f"--tlscert={tls}/tls.crt", f"--tlskey={tls}/tls.key"),
        *("build", "--frontend=dockerfile.v0", "--local=context=/source"),
        *("--local=dockerfile=/source", f"--output=type=image,name={image},push=true"),
    ]

    def claim(name: str) -> Any:
        storage = {"requests": {"storage": "1Gi"}}
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "shared" if moves else "node-local",
            "resources": storage,
        }
        metadata = {"name": f"{name}-{mark}"}
        kind = "PersistentVolumeClaim"
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}

    def rsync(source: str, name: str) -> Any:
        words = ["rsync", "-aHAX", "/source/", "/destination/"]
        claims = {"source": source, "destination": f"{name}-{mark}"}
        return job(f"{name}-{mark}", cluster.images["base"], words, claims)

    probe = {"httpGet": {"path": "/api", "port": 8888}, "periodSeconds": 1, "failureThreshold": 600}
    amount = {"cpu": cpu, "memory": MOVING if moves else "256Mi"}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"by-hand-{mark}"},
        "spec": {
            "imagePullSecrets": [{"name": "registry"}],
            "volumes": [
                {"name": n, "persistentVolumeClaim": {"claimName": f"{n}-{mark}"}}
                for n in ("code", "data")
            ],
            "containers": [
                {
                    "name": "notebook",
                    "image": image,
                    "args": ["jupyter", "lab", "--ip=0.0.0.0", f"--ServerApp.root_dir={PROJECT}"],
                    "resources": {"requests": amount, "limits": amount},
                    "readinessProbe": probe,
                    "volumeMounts": [
                        {"name": "code", "mountPath": PROJECT},
                        {"name": "data", "mountPath": DATA},
                    ],
                }
            ],
        },
    }
    if not moves:
        pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "node-1"}
    there = ("-n", stage.namespace)
    began = time.monotonic()
    jobs = [
        job(
            f"build-{mark}",
            cluster.images["tools"],
            build,
            {"source": "home"},
            secrets={
                "secxops-builder-client": (tls, ""),
                "registry": ("/run/secxops/registry", ".dockerconfigjson"),
            },
            env=[{"name": "DOCKER_CONFIG", "value": "/run/secxops/registry"}],
        ),
        rsync("home", "code"),
        rsync("flows", "data"),
    ]
    cluster.call(*there, "apply", "-f", "-", given=[claim("code"), claim("data"), *jobs])
    names = [f"job/{row['metadata']['name']}" for row in jobs]
    cluster.call(*there, "wait", "--for=condition=complete", *names, "--timeout=170s")
    cluster.call(*there, "apply", "-f", "-", given=pod)
    name = f"pod/by-hand-{mark}"
    cluster.call(*there, "wait", "--for=condition=Ready", name, "--timeout=170s")
    seconds = time.monotonic() - began
    cluster.call(*there, "delete", name, *names, "--grace-period=1")
    cluster.call(*there, "delete", "pvc", f"code-{mark}", f"data-{mark}")
    return seconds


def ours(stage: Stage, moves: bool, cpu: str) -> tuple[float, Any]:
    """Share; return its seconds and what it said."""
    memory = ("--memory", "4G" if moves else "256M")
    began = time.monotonic()
    code, said = stage.secxops("share", PROJECT, "--data", DATA, "--cpu", cpu, *memory)
    seconds = time.monotonic() - began
    if code:
        sys.exit(json.dumps(said["error"], indent=1))
    stage.secxops("delete", said["id"], "--yes")
    return seconds, said


def measure(
    cluster: Cluster, client: Any, notebook: str, moves: bool, rounds: int, size: int, cpu: str
) -> bool:
    """Run both in turn and print their medians; returns whether the aim was met."""
    stage = Stage(cluster, client, notebook)
    try:
        stage.notebook("shared" if moves else "node-local")
        stage.fill(
            {"Dockerfile": f"FROM {cluster.images['jupyter']}\nRUN true\n", "a.py": "1\n"}, size
        )
        route = "move" if moves else "stay"
        began = time.monotonic()
        with stage.occupied("node-1") if moves else nullcontext():
            first, _ = ours(stage, moves, cpu)
            by_hand(stage, moves, cpu)  # now both have what they pull
            pairs = []
            for _ in range(rounds):
                mine, said = ours(stage, moves, cpu)
                assert said["plan"]["route"] == route
                pairs.append((mine, by_hand(stage, moves, cpu)))
    finally:
        stage.close()
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    good = ratio <= AIMS[route]
    print(
        f"{route}: first {first:.1f} s, then {mine:.1f} s, by hand {theirs:.1f} s, "
        f"ratio {ratio:.2f} (aim {AIMS[route]:.2f}) {'met' if good else 'MISSED'}"
        f"  [{rounds} rounds in {time.monotonic() - began:.0f} s]"
    )
    for name in ("build", "copy", "launch", "verify"):
        step = next(s for s in said["steps"] if s["name"] == name)
        print(f"    {name:7} {step['started']} … {step['finished']}")
    return good


def at_once(cluster: Cluster, client: Any, notebook: str, size: int) -> bool:
    """Run ten shares of one notebook at once and print their time; returns whether the aim was met.

    All ten have to find room on one node, so each asks for little.
    """
    service = {"SecxopsService": {"engine": "kubernetes", "workers": AT_ONCE}}
    stage = Stage(cluster, client, notebook, more=service)
    try:
        stage.notebook("node-local")
        stage.fill(
            {"Dockerfile": f"FROM {cluster.images['jupyter']}\nRUN true\n", "a.py": "1\n"}, size
        )
        ours(stage, False, LITTLE)
        one, _ = ours(stage, False, LITTLE)
        began = time.monotonic()
        words = ("share", PROJECT, "--data", DATA, "--cpu", LITTLE, "--memory", "256M", "--no-wait")
        for number in range(AT_ONCE):
            code, said = stage.secxops(*words, f"--name=at-once-{number}")
            if code:
                sys.exit(json.dumps(said, indent=1))

        def states() -> list[str]:
            return [row["state"] for row in stage.secxops("list")[1]]

        until(lambda: set(states()) <= set(ENDED), 900, "they do not end")
        seconds = time.monotonic() - began
        well = states().count("succeeded")
        for row in stage.secxops("list")[1]:
            if row["state"] != "succeeded":
                print(json.dumps(stage.show(row["id"])["error"]))
    finally:
        stage.close()
    good = well == AT_ONCE and seconds <= AIM_AT_ONCE * one
    print(
        f"{AT_ONCE} at once: {well} end well in {seconds:.1f} s, one in {one:.1f} s, "
        f"ratio {seconds / one:.2f} (aim {AIM_AT_ONCE:.2f}) {'met' if good else 'MISSED'}"
    )
    return good


def main() -> int:
    """Bring the cluster up if need be, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--cpu", default="0.2", help="what the environment gets")
    parser.add_argument("--cluster", default="bench")
    asked = parser.parse_args()
    was_up = clusters.status(asked.cluster) is not None
    cluster = clusters.up(asked.cluster)
    try:
        client, notebook = builders(cluster), clusters.notebook(cluster)
        met = [
            measure(cluster, client, notebook, moves, asked.rounds, asked.megabytes, asked.cpu)
            for moves in (False, True)
            if asked.rounds
        ]
        met.append(at_once(cluster, client, notebook, asked.megabytes))
    finally:
        if not was_up:
            clusters.down(asked.cluster)
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
