"""The Job that looks at a source from outside, as it is sent to a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jupyter_secxops_migrate.engines.kubernetes.engine import KubernetesEngine
from jupyter_secxops_migrate.engines.kubernetes.errors import SourceUnusable
from jupyter_secxops_migrate.engines.kubernetes.job import manifest
from jupyter_secxops_migrate.engines.kubernetes.look import home_of, look_job
from jupyter_secxops_migrate.engines.kubernetes.place import source_pod
from jupyter_secxops_migrate.engines.orders import LookOrder
from jupyter_secxops_migrate.model import PodSource

Json = dict[str, Any]


def pod(*mounts: Json, **security: Any) -> Json:
    """A running pod; a mount whose name begins with ``scratch`` is on no claim."""
    names = dict.fromkeys(m["name"] for m in mounts)
    return {
        "metadata": {"name": "alice", "uid": "u"},
        "spec": {
            "nodeName": "node-1",
            "securityContext": security,
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "volumes": [
                {"name": n, "emptyDir": {}}
                if n.startswith("scratch")
                else {"name": n, "persistentVolumeClaim": {"claimName": f"{n}-claim"}}
                for n in names
            ],
            "containers": [{"name": "notebook", "volumeMounts": list(mounts)}],
        },
        "status": {"phase": "Running"},
    }


def made(source: Json, project: str = "/home/j/p", **more: Any) -> tuple[Json, Json]:
    """The Job's metadata and spec, and its container."""
    order = LookOrder("anne", project, **more)
    engine = KubernetesEngine(tools_image="tools@sha256:1", build_args={"A": "b c"})
    job = manifest(look_job(order, engine, source_pod(source), Path("x")), engine)
    return job, job["spec"]["template"]["spec"]["containers"][0]


def mounted(container: Json) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for mount in container["volumeMounts"]:
        assert mount["mountPath"] not in found
        found[mount["mountPath"]] = mount
    return found


def test_it_has_the_claims_where_the_source_has_them_and_may_only_read() -> None:
    source = pod(
        {"name": "home", "mountPath": "/home/j", "subPath": "users/j"},
        {"name": "home", "mountPath": "/shared", "subPath": "all"},
        {"name": "data", "mountPath": "/home/j/p/data/"},
        {"name": "scratch", "mountPath": "/home/j/p/tmp"},
        {"name": "expr", "mountPath": "/e", "subPathExpr": "$(X)"},
    )
    job, container = made(source)
    spec = job["spec"]["template"]["spec"]
    found = mounted(container)
    ours = {"/home/j", "/shared", "/home/j/p/data"}
    assert {path for path in found if found[path].get("readOnly")} == ours
    assert found["/home/j"]["subPath"] == "users/j"
    assert found["/home/j"]["name"] == found["/shared"]["name"]
    claims = {v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"][2:]}
    assert claims == {"home-claim", "data-claim"}
    assert all(v["persistentVolumeClaim"]["readOnly"] for v in spec["volumes"][2:])
    assert spec["nodeSelector"] == {"kubernetes.io/hostname": "node-1"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    # What is no claim lies there as well, and hides what is below it.
    words = container["command"]
    assert words[words.index("/home/j/p/tmp") - 1] == "--mount"


def test_it_is_restricted_and_reads_what_the_source_reads() -> None:
    source = pod({"name": "home", "mountPath": "/home/j"}, runAsUser=1001, runAsGroup=5, fsGroup=7)
    source["spec"]["securityContext"]["supplementalGroups"] = [6]
    job, container = made(source)
    context = container["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 1001)
    assert context["capabilities"] == {"drop": ["ALL"]}
    # Of the container: a runtime takes a pod's group only with a user of the pod's.
    assert context["runAsGroup"] == 5
    # Not fsGroup: the kubelet would change the owners of the source's files.
    told = job["spec"]["template"]["spec"]["securityContext"]
    assert told == {"supplementalGroups": [6, 7]}
    assert job["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_it_takes_itself_away_and_no_two_have_one_name() -> None:
    source = pod({"name": "home", "mountPath": "/home/j"})
    (first, _), (second, _) = made(source), made(source, migration="mabc")
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert first["spec"]["ttlSecondsAfterFinished"] == 60
    marks = first["metadata"]["labels"]
    assert (marks["secxops.io/role"], marks.get("secxops.io/migration")) == ("job", None)
    assert second["metadata"]["labels"]["secxops.io/migration"] == "mabc"


@pytest.mark.parametrize("place", ["/work", "/tmp", "/run", "/opt/conda"])
def test_claims_where_jobs_have_folders_of_their_own_do_no_harm(place: str) -> None:
    source = pod({"name": "home", "mountPath": place})
    _, container = made(source, f"{place}/p")
    found = mounted(container)
    assert found[place]["readOnly"]
    environment = {row["name"]: row["value"] for row in container["env"]}
    assert environment["SECXOPS_WORK"] == environment["TMPDIR"]
    assert not found[environment["SECXOPS_WORK"]].get("readOnly")


def test_a_claim_that_would_hide_the_tools_is_left_out_unless_it_is_meant() -> None:
    mounts = [{"name": "home", "mountPath": "/home/j"}, {"name": "system", "mountPath": "/usr"}]
    assert "/usr" not in mounted(made(pod(*mounts))[1])
    assert "/usr" in mounted(made(pod(*mounts), "/usr/p")[1])


def test_words_of_a_request_are_taken_as_they_are() -> None:
    source = pod({"name": "home", "mountPath": "/home/j"})
    _, container = made(source, "/home/j/$(HOME) $$x", version="--$(X)")
    words = container["command"]
    assert words[-2:] == ["--", "/home/j/$$(HOME) $$$$x"]
    assert "--version=--$$(X)" in words
    assert words[words.index("--arg") + 1] == "A=b c"
    assert words[words.index("--home") + 1] == "/home/j"


@pytest.mark.parametrize(
    ("project", "home"),
    [
        ("/home/j/work/p", "/home/j"),
        ("/home/j", "/home/j"),
        ("/root/p", "/root"),
        ("/rooted/p", "/rooted"),
        ("/workspace/lab/p", "/workspace/lab"),
        ("/workspace/p", "/workspace"),
        ("/workspace/lab", "/workspace"),
        ("/workspace", "/"),
    ],
)
def test_a_home_that_nobody_tells_of_is_taken_from_the_path(project: str, home: str) -> None:
    """A stray mark in a home must not turn it into a project, whether it is known as a home or not."""
    source = pod(
        *({"name": "c", "mountPath": p} for p in ("/rooted", "/workspace/lab", "/workspace"))
    )
    for variables in ([], [{"name": "HOME", "value": "$(PLACE)"}, {"name": "X"}]):
        source["spec"]["containers"][0]["env"] = variables
        assert home_of(source_pod(source), project) == home
    source["spec"]["containers"][0]["env"] = [{"name": "HOME", "value": "/else"}]
    assert home_of(source_pod(source), project) == "/else"


def test_another_pod_is_outside_and_one_s_own_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTNAME", "alice")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert KubernetesEngine().outside  # a machine that has a name is no pod
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    engine = KubernetesEngine()
    assert not engine.outside
    assert engine.at(None) is engine
    assert engine.at(PodSource(pod="bob")).outside
    assert not engine.outside
    assert not KubernetesEngine(source_pod="alice").outside
    assert KubernetesEngine(source_pod="bob").outside


def test_a_pod_that_does_not_run_or_lacks_the_container_is_refused() -> None:
    running = pod({"name": "home", "mountPath": "/home/j"})
    for given, container in (({**running, "status": {"phase": "Pending"}}, ""), (running, "x")):
        with pytest.raises(SourceUnusable):
            source_pod(given, container)
