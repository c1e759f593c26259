"""What confines a source's pod confines every pod that runs in its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_secxops_migrate.engines.kubernetes import objects
from jupyter_secxops_migrate.engines.kubernetes.build import build_job
from jupyter_secxops_migrate.engines.kubernetes.confines import REQUIRED
from jupyter_secxops_migrate.engines.kubernetes.engine import KubernetesEngine
from jupyter_secxops_migrate.engines.kubernetes.job import COPY_RIGHTS, Job, manifest
from jupyter_secxops_migrate.engines.kubernetes.look import look_job
from jupyter_secxops_migrate.engines.kubernetes.place import SourcePod, source_pod
from jupyter_secxops_migrate.engines.names import labels
from jupyter_secxops_migrate.engines.orders import BuildOrder, LookOrder, SourcePlace
from jupyter_secxops_migrate.placement.cluster import Cluster
from jupyter_secxops_migrate.placement.nodes import HOSTNAME, Node
from jupyter_secxops_migrate.placement.policy import GIB, Needs, ResourcePolicy
from jupyter_secxops_migrate.placement.requests import Resources

from .test_objects import ordered, source

Json = dict[str, Any]
ENGINE = KubernetesEngine(tools_image="tools@sha256:1")
ZONE = {"key": "zone", "operator": "In", "values": ["1"]}
REQUIRES = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [ZONE]}]}}}
APART = {"podAntiAffinity": {REQUIRED: [{"topologyKey": HOSTNAME, "labelSelector": {}}]}}
AWAY = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "tolerationSeconds": 300}
PROXY = {"name": "HTTPS_PROXY", "value": "http://proxy.example.org:3128"}
LOCAL = {"name": "no_proxy", "value": "10.0.0.0/8"}
SECRET = {"name": "ALL_PROXY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
CONFINED: Mapping[str, Any] = {
    "schedulerName": "user-scheduler",
    "runtimeClassName": "gvisor",
    "priorityClassName": "users",
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["10.0.0.53"]},
    "hostAliases": [{"ip": "10.0.0.9", "hostnames": ["pypi"]}],
    "hostUsers": False,
}


def confined() -> SourcePod:
    return source(
        {
            "env": [{"name": "A", "value": "1"}, PROXY, LOCAL, SECRET],
            "securityContext": {"seLinuxOptions": {"level": "s0:c1,c2"}},
        },
        **CONFINED,
        nodeSelector={HOSTNAME: "a", "pool": "users"},
        affinity={**REQUIRES, **APART},
        tolerations=[{"key": "team", "operator": "Exists"}, AWAY],
        securityContext={
            "runAsUser": 1001,
            "runAsGroup": 5,
            "supplementalGroups": [6],
            "fsGroup": 7,
            "seccompProfile": {"type": "Localhost", "localhostProfile": "users.json"},
        },
    )


def build_of(found: SourcePod, **more: Any) -> Job:
    order = BuildOrder("mabc", lambda: iter(()), "Dockerfile", "p", "1", lambda: "", {})
    order = BuildOrder(**{**vars(order), "place": SourcePlace("volume", "home"), **more})
    return build_job(order, ENGINE, found, "tcp://b:1", "r/p", Path("x"))


def copy_of(found: SourcePod, **more: Any) -> Job:
    marks = labels("anne", "job", "mabc")
    return Job("copy", marks, "copying", (), source=found, rights=COPY_RIGHTS, **more)


def environment_of(found: SourcePod) -> Json:
    terms = Cluster("a", None, affinity=REQUIRES).decide(Needs(1, GIB), ResourcePolicy()).terms
    return objects.pod(ordered(Needs(1, GIB), terms), ENGINE, "r/p@sha256:1", found)


def probe_of(found: SourcePod) -> Json:
    terms = {"affinity": {**REQUIRES, "podAntiAffinity": {}}}
    return objects.probe("p", {}, "i", ["true"], ENGINE, pushed=True, terms=terms, source=found)


def pods_of(found: SourcePod) -> dict[str, Json]:
    """The pods of a share, without their being made."""
    look = look_job(LookOrder("anne", "/p"), ENGINE, found, Path("x"))
    jobs = {"build": build_of(found), "look": look, "copy": copy_of(found, place="here")}
    jobs["check"] = copy_of(found, place="near")
    return {
        **{name: manifest(job, ENGINE)["spec"]["template"] for name, job in jobs.items()},
        "probe": probe_of(found),
        "environment": environment_of(found),
    }


def test_a_build_is_told_where_in_the_project_its_dockerfile_is() -> None:
    assert "--path=docker/Dockerfile" in build_of(confined(), path="docker/Dockerfile").arguments


@pytest.mark.parametrize("kind", ["build", "look", "copy", "check", "probe", "environment"])
def test_every_pod_runs_as_its_source_has_to(kind: str) -> None:
    spec = pods_of(confined())[kind]["spec"]
    assert {name: spec.get(name) for name in CONFINED} == CONFINED
    assert spec["tolerations"] == [{"key": "team", "operator": "Exists"}]
    assert spec["securityContext"] == {"supplementalGroups": [6, 7]}
    [container] = spec["containers"]
    context = container["securityContext"]
    assert context["seLinuxOptions"] == {"level": "s0:c1,c2"}
    assert context["seccompProfile"]["localhostProfile"] == "users.json"
    is_root = kind in ("copy", "check")
    assert (context["runAsUser"], context["runAsGroup"]) == ((0, 0) if is_root else (1001, 5))


def test_what_may_run_elsewhere_stays_where_its_source_may() -> None:
    pods = pods_of(confined())
    for kind in ("check", "probe", "environment"):
        assert (
            pods[kind]["spec"]["affinity"]["nodeAffinity"][REQUIRED]
            == (REQUIRES["nodeAffinity"][REQUIRED])
        )
    assert pods["check"]["spec"]["nodeSelector"] == {"pool": "users"}
    # What runs beside the source is where that is already, whatever became of the node's labels.
    assert "affinity" not in pods["copy"]["spec"]


def test_nothing_is_passed_on_that_the_api_server_fills_in() -> None:
    plain = source(schedulerName="default-scheduler", dnsPolicy="ClusterFirst", tolerations=[AWAY])
    for kind, pod in pods_of(plain).items():
        assert not CONFINED.keys() & pod["spec"].keys(), kind
        assert pod["spec"]["tolerations"] == [], kind


def test_proxies_reach_the_copy_and_the_builds_instructions() -> None:
    pods = pods_of(confined())
    rows = pods["environment"]["spec"]["containers"][0]["env"]
    names = ("HTTPS_PROXY", "no_proxy", "ALL_PROXY", "A")
    assert [row for row in rows if row["name"] in names] == [PROXY, LOCAL]
    [build] = pods["build"]["spec"]["containers"]
    told = {row["name"]: row for row in build["env"]}
    # The Job's own client reaches its builder without any.
    assert not set(names) & told.keys()
    assert told["SOURCE_no_proxy"]["value"] == "10.0.0.0/8"
    assert "SOURCE_ALL_PROXY" not in told
    words = build["command"]
    given = [words[n + 1] for n, word in enumerate(words) if word == "--arg-from"]
    assert given == ["HTTPS_PROXY=SOURCE_HTTPS_PROXY", "no_proxy=SOURCE_no_proxy"]


def test_what_the_sources_affinity_requires_decides_where_the_copy_runs() -> None:
    whole = Resources(4000, 8 * GIB, 0, 110)
    nodes = [
        Node("a", whole, labels={"zone": "1"}, used=whole),
        Node("b", whole, labels={"zone": "2"}),
        Node("c", whole, labels={"zone": "1"}),
    ]
    found = Cluster("a", nodes, affinity={**REQUIRES, **APART}).decide(
        Needs(1, GIB), ResourcePolicy(strategy="pack")
    )
    assert found.node == "c"
    affinity = found.terms["affinity"]
    assert affinity["nodeAffinity"] == REQUIRES["nodeAffinity"]
    assert affinity["podAntiAffinity"] == APART["podAntiAffinity"]
    assert "podAffinity" in affinity  # the strategy's wish
    [refusal] = (
        Cluster("a", nodes[:2], affinity=REQUIRES).decide(Needs(1, GIB), ResourcePolicy()).refusals
    )
    assert refusal.code == "no_node_fits"


def test_what_the_sources_runtime_takes_is_counted() -> None:
    node = Node("a", Resources(4000, 2 * GIB, 0, 110))
    needs = Needs(1, 2 * GIB)
    assert Cluster("a", [node]).decide(needs, ResourcePolicy()).fits
    more = Cluster("a", [node], overhead=Resources(100, GIB))
    assert not more.decide(needs, ResourcePolicy()).fits


# --------------------------------------------------------------------------- meshes


def test_meshes_leave_jobs_alone_and_treat_the_copy_as_its_source() -> None:
    pods = pods_of(source())
    for kind in ("build", "look", "copy", "check", "probe"):
        told = pods[kind]["metadata"]
        assert told["labels"]["sidecar.istio.io/inject"] == "false"
        assert told["annotations"]["linkerd.io/inject"] == "disabled"
    assert "sidecar.istio.io/inject" not in pods["environment"]["metadata"]["labels"]
    marked = source(
        metadata={
            "labels": {"sidecar.istio.io/inject": "false", "app": "x"},
            "annotations": {"linkerd.io/inject": "disabled", "b": "c"},
        }
    )
    told = environment_of(marked)["metadata"]
    assert told["labels"]["sidecar.istio.io/inject"] == "false"
    assert told["annotations"]["linkerd.io/inject"] == "disabled"
    assert "app" not in told["labels"]
    assert "b" not in told["annotations"]


# --------------------------------------------------------------------------- users


ROOT = [
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL"),
    *("NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID"),
]


@pytest.mark.parametrize(
    ("capabilities", "builds", "runs"),
    [
        ({}, ["DAC_OVERRIDE"], ROOT),
        ({"drop": ["ALL"]}, [], []),
        ({"drop": ["ALL"], "add": ["CHOWN"]}, [], ["CHOWN"]),
        (
            {"drop": ["DAC_OVERRIDE"], "add": ["NET_ADMIN"]},
            [],
            [right for right in ROOT if right != "DAC_OVERRIDE"],
        ),
    ],
)
def test_roots_builds_and_copies_have_what_their_source_has(
    capabilities: Json, builds: list[str], runs: list[str]
) -> None:
    context = {"runAsUser": 0, "capabilities": capabilities}
    pods = pods_of(source({"securityContext": context}))
    for kind, rights in (("build", builds), ("look", builds), ("environment", runs)):
        [container] = pods[kind]["spec"]["containers"]
        found = container["securityContext"]
        assert found["runAsUser"] == 0
        assert "runAsNonRoot" not in found
        assert found["capabilities"].get("add", []) == rights, kind
        assert found["capabilities"]["drop"] == ["ALL"]


def test_a_notebook_is_found_among_what_was_put_beside_it() -> None:
    def found(*containers: Json, **metadata: Any) -> str:
        volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}]
        pod = {
            "metadata": {"name": "alice", **metadata},
            "spec": {"containers": list(containers), "volumes": volumes},
            "status": {"phase": "Running"},
        }
        return str(source_pod(pod).container["name"])

    mesh = {"name": "istio-proxy", "ports": [{"containerPort": 15090}]}
    home = {"volumeMounts": [{"name": "home", "mountPath": "/home/j"}]}
    assert found(mesh, {"name": "notebook"}) == "notebook"
    assert found(mesh, {"name": "alice", "ports": [{"containerPort": 8888}]}) == "alice"
    assert found(mesh, {"name": "lab", **home}) == "lab"
    assert found({"name": "one"}, {"name": "two"}) == "one"
    default = {"kubectl.kubernetes.io/default-container": "two"}
    assert found({"name": "notebook"}, {"name": "two"}, annotations=default) == "two"
