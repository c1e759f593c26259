"""A share asked for on an engineer's machine, of a notebook that knows nothing of this product.

The service runs here, with a kubeconfig that has the rights of the operators' guide and no others; the
project's files are in the pod alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from harness import faults
from harness.cluster import Cluster
from stage import DATA, PROJECT, Stage, codes, nothing

MEGABYTES = 30
SCRATCH = "/scratch"
# What a namespace's end looks like: its pods, its Roles, and it itself go in any order.
GONE = ("namespace_gone", "source_unusable", "cluster_forbidden")


class Machine:
    """A machine with this product and a kubeconfig, and nothing of the project.

    ``account`` is the service account of the stage whose rights it has; empty: the cluster's admin.
    """

    def __init__(self, stage: Stage, folder: Path, account: str = "secxops") -> None:
        self.stage = stage
        self.data = folder / "jupyter" / "secxops"
        settings = stage.settings()
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(self._kubeconfig(account)))
        kubeconfig.chmod(0o600)
        (folder / "config").mkdir()
        (folder / "config" / "jupyter_secxops_config.json").write_text(json.dumps(settings))
        program = Path(sys.executable).with_name("jupyter-secxops")
        self.program = program
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "KUBECONFIG": str(kubeconfig),
            "JUPYTER_DATA_DIR": str(folder / "jupyter"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
        }

    def _kubeconfig(self, account: str) -> Mapping[str, Any]:
        """The rights of an account, in the stage's namespace."""
        cluster, space = self.stage.cluster, self.stage.namespace
        view = ("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
        found: Any = json.loads(cluster.call(*view))
        if not account:
            found["contexts"][0]["context"]["namespace"] = space
            return found
        token = cluster.call("-n", space, "create", "token", account).strip()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": found["clusters"][0]["cluster"]}],
            "users": [{"name": account, "user": {"token": token}}],
            "contexts": [
                {"name": "it", "context": {"cluster": "it", "user": account, "namespace": space}}
            ],
            "current-context": "it",
        }

    def secxops(self, *words: str) -> tuple[int, Any]:
        """Run the command line; return its exit status and its JSON."""
        done = subprocess.run(
            [self.program, *words, "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the service at once."""
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(json.loads((self.data / "service.json").read_text())["pid"], number)


@pytest.fixture(scope="module")
def stage(cluster: Cluster, clients: Mapping[str, str]) -> Iterator[Stage]:
    """A namespace with a plain JupyterLab in it; the last test here deletes it."""
    found = Stage(cluster, clients, cluster.images["jupyter"])
    try:
        found.notebook(scratch=SCRATCH)
        found.fill(
            {
                "Dockerfile": f"FROM {cluster.images['jupyter']}\nCOPY tools.txt /opt/tools.txt\n",
                "tools.txt": "yara\nsigma\n",
                "detector.ipynb": '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
                "src/detector.py": "print('beacon')\n",
            },
            MEGABYTES,
        )
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def machine(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    found = Machine(stage, tmp_path_factory.mktemp("machine"))
    yield found
    found.kill(signal.SIGTERM)


def ours(stage: Stage) -> list[str]:
    """All Jobs of ours in the namespace that are not on their way out."""
    found = stage.get("jobs", "-l", "app.kubernetes.io/managed-by=secxops-migrate")["items"]
    return [j["metadata"]["name"] for j in found if not j["metadata"].get("deletionTimestamp")]


def test_what_is_shared_from_outside_is_what_the_pod_has(stage: Stage, machine: Machine) -> None:
    with pytest.raises(Exception, match="jupyter_secxops_migrate"):
        stage.run("python3", "-c", "import jupyter_secxops_migrate")
    words = ("--pod", "notebook", PROJECT, "--data", DATA)

    code, seen = machine.secxops("check", *words)
    assert (code, seen["problems"]) == (0, [])
    assert (seen["kind"], seen["container"]) == ("pod", "notebook/notebook")
    assert (seen["project"]["mount"], seen["data"][0]["mount"]) == (PROJECT, DATA)
    began = time.monotonic()
    code, plan = machine.secxops("plan", *words, "--cpu", "0.2", "--memory", "256M")
    print(f"a plan from outside took {time.monotonic() - began:.1f} s")
    assert (code, plan["refusals"]) == (0, [])
    assert "from_outside" in [reason["code"] for reason in plan["reasons"]]
    rows = {row["role"]: row for row in plan["copied"]}
    assert (rows["code"]["files"], rows["data"]["bytes"]) == (4, MEGABYTES * 10**6)
    assert ours(stage) == []

    began = time.monotonic()
    code, said = machine.secxops("share", *words, "--cpu", "0.2", "--memory", "256M")
    print(f"a share from outside took {time.monotonic() - began:.1f} s")
    assert code == 0, said["error"]
    assert said["request"]["source"] == {"pod": "notebook", "container": None}
    assert (said["plan"]["route"], said["result"]["place"]["node"]) == ("stay", stage.cluster.here)
    assert codes(said)[:3] == ["fits_here", "image_pushed", "from_outside"]
    pod = said["result"]["place"]["name"]
    for folder in (PROJECT, DATA):
        there = stage.tree("notebook", folder)
        assert len(there) > 2
        assert stage.tree(pod, folder) == there
    assert stage.run("cat", "/opt/tools.txt", pod=pod) == "yara\nsigma\n"
    deleted_from(machine, stage, said)


def deleted_from(machine: Machine, stage: Stage, said: Any) -> None:
    assert len(stage.left(said["id"])) > 4
    code, _ = machine.secxops("delete", said["id"], "--yes")
    assert code == 0
    nothing(lambda: stage.left(said["id"]))


def test_a_version_is_read_in_the_pod_and_a_service_that_was_killed_goes_on_with_it(
    stage: Stage, machine: Machine
) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    git = ("git", "-C", PROJECT, "-c", "safe.directory=*", *who)
    stage.run(*git, "init", "-q")
    stage.run(*git, "add", ".")
    stage.run(*git, "commit", "-q", "-m", "one")
    stage.run("sh", "-c", f"echo later >> {PROJECT}/tools.txt")

    code, said = machine.secxops(
        # A folder of the project stands for the project.
        *("share", "--pod", "notebook/notebook", f"{PROJECT}/src", "--version", "HEAD"),
        *("--data", DATA, "--cpu", "0.2", "--memory", "256M", "--no-wait"),
    )
    assert code == 0
    ends = time.monotonic() + 90
    while "copy" not in [s["name"] for s in said["steps"] if s["state"] == "running"]:
        assert time.monotonic() < ends, said["steps"]
        _, said = machine.secxops("show", said["id"])
    machine.kill()

    machine.secxops("logs", "--follow", said["id"])
    _, said = machine.secxops("show", said["id"])

    assert said["state"] == "succeeded", said["error"]
    assert "version_asked" in codes(said)
    pod = said["result"]["place"]["name"]
    assert stage.tree(pod, DATA) == stage.tree("notebook", DATA)
    for path in (f"{PROJECT}/tools.txt", "/opt/tools.txt"):
        assert stage.run("cat", path, pod=pod) == "yara\nsigma\n"
    assert ours(stage) == []
    deleted_from(machine, stage, said)


def test_what_cannot_be_shared_from_outside_is_refused_with_the_reason(
    stage: Stage, machine: Machine, tmp_path: Path
) -> None:
    stage.run("sh", "-c", f"echo FROM x > {SCRATCH}/Dockerfile")
    for words, wanted in (
        (("--pod", "nobody", PROJECT), "source_unusable"),
        (("--pod", "notebook/nothing", PROJECT), "source_unusable"),
        ((PROJECT,), "source_unusable"),
        (("--pod", "notebook", SCRATCH), "not_on_claim"),
        (("--pod", "notebook", "/home/jovyan"), "not_on_claim"),
        (("--pod", "notebook", f"{PROJECT}/../../../etc"), "not_on_claim"),
        (("--pod", "notebook", PROJECT, "--data", SCRATCH), "not_on_claim"),
    ):
        code, said = machine.secxops("plan", *words)
        assert (code, said["code"]) == (3, wanted), said
    for words, wanted in (
        (("--pod", "notebook", f"{PROJECT}/absent"), "no_such_path"),
        (("--pod", "notebook", PROJECT, "--version", "v9"), "no_such_version"),
    ):
        code, said = machine.secxops("plan", *words)
        assert (code, said["code"]) == (2, wanted), said
    for words in (("--pod", "notebook", "project"), ("--pod", "../secrets/token", PROJECT)):
        code, said = machine.secxops("plan", *words)
        assert code == 2, said

    code, said = machine.secxops("share", "--pod", "notebook", SCRATCH)
    assert (code, said["error"]["params"]["codes"]) == (3, ["not_on_claim"])
    assert PROJECT in said["error"]["params"]["hints"]
    assert stage.left(said["id"]) == []
    assert ours(stage) == []

    (tmp_path / "stranger").mkdir()
    stranger = Machine(stage, tmp_path / "stranger", account="default")
    try:
        code, said = stranger.secxops("plan", "--pod", "notebook", PROJECT)
        assert (code, said["code"]) == (1, "cluster_forbidden"), said
    finally:
        stranger.kill(signal.SIGTERM)


def test_a_stray_mark_does_not_share_a_whole_home_that_only_the_image_names(
    cluster: Cluster, clients: Mapping[str, str], tmp_path: Path
) -> None:
    stage = Stage(cluster, clients, cluster.images["jupyter"])
    machine = Machine(stage, tmp_path)
    try:
        stage.notebook(mounts=[{"claim": "home", "path": "/home/jovyan"}])
        stage.run("sh", "-c", "cd ~ && echo FROM x > Dockerfile && mkdir work && touch work/a")

        code, said = machine.secxops("plan", "--pod", "notebook", "/home/jovyan/work")

        assert code == 3
        assert [refusal["code"] for refusal in said["refusals"]] == ["no_dockerfile"]
        assert said["copied"][0]["source"] == "/home/jovyan/work"
        # Without a pod to look at, what is on every node can be said all the same.
        _, report = machine.secxops("doctor")
        found = {check["name"]: check for check in report["checks"]}
        assert found["builder"]["state"] == "ok", found["builder"]
    finally:
        machine.kill(signal.SIGTERM)
        stage.close()


def test_a_namespace_that_is_deleted_ends_its_shares(
    own: Cluster, stage: Stage, machine: Machine, tmp_path: Path
) -> None:
    (tmp_path / "admin").mkdir()
    admin = Machine(stage, tmp_path / "admin", account="")
    machines = {"machine": machine, "admin": admin}
    ids = {}
    try:
        for name, one in machines.items():
            words = ("--pod", "notebook", PROJECT, "--data", DATA, "--memory", "256M", "--no-wait")
            code, said = one.secxops("share", *words)
            assert code == 0, said
            ids[name] = said["id"]
            pod = f"secxops-{said['id']}-job-copy-data-1"
            faults.freeze(own, stage.namespace, pod, "jupyter_secxops_migrate.copying.job run")
        mine = stage.get("jobs", "-l", f"secxops.io/migration={ids['admin']}")["items"]
        owner = mine[0]["metadata"]["labels"]["secxops.io/owner"]

        own.call("delete", "namespace", stage.namespace, "--timeout=120s")

        for name, one in machines.items():
            one.secxops("logs", "--follow", ids[name])
            _, said = one.secxops("show", ids[name])
            error = said["error"]
            print(name, said["state"], error)
            assert said["state"] == "failed"
            assert error["code"] in GONE, error
            assert stage.namespace in error["message"]
            assert error["hint"]
        # Whose rights did not go with the namespace sees that nothing is left.
        code, _ = admin.secxops("delete", ids["admin"], "--yes")
        assert code == 0
        assert admin.secxops("list") == (0, [])
        # The other's service lost what it signs in to the registry with.
        nothing(lambda: faults.tags(own, f"secxops/{owner}/project"))
        volumes = own.get("pv")["items"]
        assert stage.namespace not in [pv["spec"]["claimRef"]["namespace"] for pv in volumes]
    finally:
        admin.kill(signal.SIGTERM)
