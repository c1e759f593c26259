"""What a share asks of the cluster's storage: clones that are proven, and a no before anything is made."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from harness.cluster import Cluster
from harness.node import DRIVER
from stage import DATA, PROJECT, Stage

Made = Callable[..., Stage]
SMALL = ("--cpu", "0.2", "--memory", "256M")
OURS = "app.kubernetes.io/managed-by=secxops-migrate"
KINDS = "jobs,pods,pvc,services,secrets,networkpolicies"


@pytest.fixture
def made(cluster: Cluster, clients: Mapping[str, str], notebook_image: str) -> Iterator[Made]:
    """Make stages with settings of the engine; by default the test cluster's driver clones."""
    stages: list[Stage] = []

    def make(**engine: Any) -> Stage:
        engine.setdefault("cloning_drivers", [DRIVER])
        stages.append(Stage(cluster, clients, notebook_image, more={"KubernetesEngine": engine}))
        return stages[-1]

    yield make
    for stage in stages:
        stage.close()


def fill(stage: Stage, megabytes: int = 20) -> None:
    """A project, and data with what must not travel in it."""
    image = stage.cluster.images["jupyter"]
    stage.fill({"Dockerfile": f"FROM {image}\n", "src/detector.py": "1\n"}, megabytes)
    stage.run("sh", "-c", _SECRETS, "sh", DATA)


_SECRETS = """
cd "$1" && mkdir -p .ssh deep/.aws many && echo key > .ssh/id_ed25519 && echo key > deep/.aws/credentials
echo more > deep/notes.txt && for n in 1 2 3; do echo "$n" > "many/$n"; done
"""


def shared(stage: Stage, *more: str) -> tuple[Any, Any]:
    """Share project and data; return what was said, and the data's volume in it."""
    code, said = stage.secxops("share", PROJECT, "--data", DATA, *SMALL, *more)
    assert code == 0, said["error"]
    return said, next(v for v in said["result"]["volumes"] if v["role"] == "data")


def proven(stage: Stage, said: Any) -> None:
    """What arrived is what left, but for what is never copied; found by other means."""
    assert said["result"]["evidence"]["differences"] == 0
    pod = said["result"]["place"]["name"]
    left, arrived = stage.tree("notebook", DATA), stage.tree(pod, DATA)
    secret = {name for name in left if re.search(r"\.ssh/|\.aws/", name)}
    assert secret == {".ssh/id_ed25519", "deep/.aws/credentials"}
    assert arrived == {name: facts for name, facts in left.items() if name not in secret}
    for path in (".ssh", "deep/.aws", ".secxops-incomplete"):
        assert (
            stage.run("sh", "-c", 'ls -d "$1" || echo none', "sh", f"{DATA}/{path}", pod=pod)
            == "none\n"
        )


def log_of(stage: Stage, said: Any) -> str:
    return stage.run("jupyter-secxops", "logs", said["id"])


def source_of(stage: Stage, volume: str) -> Any:
    """What a claim says that it was cloned from."""
    return stage.get("pvc", volume)["spec"].get("dataSourceRef")


def ours(stage: Stage) -> list[str]:
    found = stage.get(KINDS, "-l", OURS)
    return [f"{row['kind']}/{row['metadata']['name']}" for row in found["items"]]


def refused(stage: Stage, *words: str) -> Any:
    """Ask for a plan and for a share: both say no, and nothing of ours is there."""
    code, plan = stage.secxops("plan", *words)
    assert code == 3, plan
    code, said = stage.secxops("share", *words)
    assert (code, said["error"]["code"]) == (3, "refused")
    assert ours(stage) == []
    assert said["error"]["params"]["codes"] == [r["code"] for r in plan["refusals"]]
    return plan["refusals"]


# --------------------------------------------------------------------------- clones


@pytest.mark.parametrize("storage_class", ["node-local", "shared"])
def test_a_whole_claim_is_cloned_proven_and_without_what_never_travels(
    made: Made, storage_class: str
) -> None:
    stage = made()
    stage.notebook(storage_class)
    fill(stage)

    said, data = shared(stage)

    assert (data["route"], data["route_reason"]) == ("clone", "")
    assert source_of(stage, data["name"])["name"] == "flows"
    proven(stage, said)
    assert {row["name"] for row in data["skipped"]} >= {".ssh", "deep/.aws"}
    # 2 of 10 MB, and the notes; nothing had to be copied after the clone.
    assert re.search(r"data-1: the storage cloned flows; 6 of its 6 files", log_of(stage, said))
    # The code lies in a folder of a claim that others use.
    code = next(v for v in said["result"]["volumes"] if v["role"] == "code")
    assert (code["route"], code["route_reason"]) == ("copy", "the folder is not the whole claim")
    assert source_of(stage, code["name"]) is None


def test_a_driver_that_is_not_known_to_clone_is_not_asked_to(made: Made) -> None:
    stage = made(cloning_drivers=[])
    stage.notebook("node-local")
    fill(stage)
    said, data = shared(stage)
    assert data["route"] == "copy"
    assert data["route_reason"] == f"the driver {DRIVER} is not known to clone"
    assert source_of(stage, data["name"]) is None
    proven(stage, said)


def test_a_copy_of_another_class_is_not_cloned(made: Made) -> None:
    stage = made(storage_classes={"node-local": "shared"})
    stage.notebook("node-local")
    fill(stage)
    said, data = shared(stage)
    assert (data["route"], data["route_reason"]) == ("copy", "the copy gets another storage class")
    assert stage.get("pvc", data["name"])["spec"]["storageClassName"] == "shared"
    proven(stage, said)


def test_a_provisioner_that_forgets_the_source_never_ends_in_an_empty_volume(made: Made) -> None:
    stage = made()
    stage.notebook("forgetful")
    fill(stage)
    said, data = shared(stage)
    assert (data["route"], "came back empty" in data["route_reason"]) == ("copy", True)
    assert source_of(stage, data["name"]) is None
    assert "copied file by file and not cloned: The clone came back empty" in log_of(stage, said)
    proven(stage, said)


def test_a_clone_that_lacks_a_file_is_thrown_away(made: Made) -> None:
    stage = made()
    stage.notebook("short")
    fill(stage)
    time.sleep(40)  # what was written last may be missing: a disk had not got it yet
    said, data = shared(stage)
    assert (data["route"], "not what was there before" in data["route_reason"]) == ("copy", True)
    assert source_of(stage, data["name"]) is None
    proven(stage, said)


def test_what_a_clone_has_not_got_yet_is_copied_into_it(made: Made) -> None:
    stage = made()
    stage.notebook("short")
    fill(stage)
    said, data = shared(stage)
    assert data["route"] == "clone"
    assert "data-1: the storage cloned flows; 5 of its 6 files" in log_of(stage, said)
    proven(stage, said)


def test_a_clone_that_is_not_made_in_time_becomes_a_copy(made: Made) -> None:
    stage = made(start_seconds=20)
    stage.notebook("node-local")
    fill(stage)
    # A policy as admins have them; who ordered a clone finds out by waiting or by being told.
    name = f"no-clones-{stage.namespace}"
    stage.cluster.call("apply", "-f", "-", given=_policy(name, stage.namespace))
    try:
        _until_policy_works(stage)
        said, data = shared(stage)
        assert (data["route"], "no clones here" in data["route_reason"]) == ("copy", True)
        proven(stage, said)
    finally:
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            stage.cluster.call("delete", kind, name)


def _policy(name: str, namespace: str) -> list[Mapping[str, Any]]:
    version = "admissionregistration.k8s.io/v1"
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["persistentvolumeclaims"],
    }
    only = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    return [
        {
            "apiVersion": version,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [
                    {
                        "expression": "!has(object.spec.dataSourceRef)",
                        "message": "no clones here",
                        "reason": "Invalid",
                    }
                ],
            },
        },
        {
            "apiVersion": version,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": only},
            },
        },
    ]


def _until_policy_works(stage: Stage) -> None:
    """The API server takes moments until it asks a new policy."""
    origin = {"apiGroup": "", "kind": "PersistentVolumeClaim", "name": "flows"}
    claim = stage.get("pvc", "flows")
    spec = {k: claim["spec"][k] for k in ("accessModes", "resources", "storageClassName")}
    probe = stage.like("PersistentVolumeClaim", "probe", spec={**spec, "dataSourceRef": origin})
    ends = time.monotonic() + 30
    while True:
        try:
            stage.cluster.call("create", "--dry-run=server", "-f", "-", given=[probe])
        except Exception as error:
            if "no clones here" in str(error):
                return
        assert time.monotonic() < ends
        time.sleep(0.5)


def test_a_part_of_a_claim_is_copied_alone_and_never_cloned(made: Made) -> None:
    stage = made()
    mounts: Sequence[Mapping[str, str]] = (
        {"claim": "home", "path": PROJECT, "subPath": "alice/project"},
        {"claim": "flows", "path": DATA, "subPath": "alice/flows"},
    )
    stage.notebook("node-local", mounts=mounts)
    fill(stage)
    said, data = shared(stage)
    assert (data["route"], data["route_reason"]) == ("copy", "the folder is not the whole claim")
    assert source_of(stage, data["name"]) is None
    proven(stage, said)
    # The claim's root is what the copy has, not alice's place in it.
    assert stage.run("ls", "-A", DATA, pod=said["result"]["place"]["name"]).split() == [
        *("000.bin", "001.bin", "deep", "many")
    ]


# --------------------------------------------------------------------------- refusals


def quota(stage: Stage, name: str, **hard: str) -> None:
    """Make a quota and wait until it is counted."""
    named = {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}
    stage.apply(stage.like("ResourceQuota", name, spec={"hard": named}))
    ends = time.monotonic() + 30
    while "used" not in (stage.get("resourcequota", name).get("status") or {}):
        assert time.monotonic() < ends
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("hard", "said"),
    [
        # Two of 1 GiB are there and two more are needed: each alone would fit.
        (
            {"persistentvolumeclaims": "3"},
            "tight has 1 of persistentvolumeclaims left, 2 is needed",
        ),
        ({"requests_storage": "3Gi"}, "tight has 1Gi of requests.storage left, 2Gi is needed"),
        (
            {"node-local_storageclass_storage_k8s_io__requests_storage": "3Gi"},
            "1Gi of node-local.storageclass.storage.k8s.io/requests.storage left",
        ),
        ({"requests_cpu": "250m"}, "150m of requests.cpu left, 200m is needed"),
    ],
)
def test_a_quota_without_room_is_a_refusal_in_the_plan(
    made: Made, hard: Mapping[str, str], said: str
) -> None:
    stage = made()
    stage.notebook("node-local")
    fill(stage, 0)
    quota(stage, "tight", **hard)
    found = refused(stage, PROJECT, "--data", DATA, *SMALL)
    assert [row["code"] for row in found] == ["quota_exceeded"]
    assert said in found[0]["message"]


def test_a_storage_class_that_is_not_there_is_a_refusal_in_the_plan(made: Made) -> None:
    stage = made(storage_classes={"node-local": "no-such-class"})
    stage.notebook("node-local")
    fill(stage, 0)
    found = refused(stage, PROJECT, "--data", DATA, *SMALL)
    assert [row["code"] for row in found] == ["claim_unusable", "claim_unusable"]
    assert "there is no storage class no-such-class" in found[0]["message"]


def test_a_claim_for_one_pod_only_is_a_refusal_in_the_plan(made: Made) -> None:
    stage = made()
    stage.notebook("node-local", modes={"flows": "ReadWriteOncePod"})
    fill(stage, 0)
    found = refused(stage, PROJECT, "--data", DATA, *SMALL)
    assert [row["code"] for row in found] == ["claim_unusable"]
    assert "flows" in found[0]["message"] and "ReadWriteOncePod" in found[0]["message"]


def test_what_may_not_be_seen_of_the_storage_is_said_and_does_not_stop(
    cluster: Cluster, clients: Mapping[str, str], notebook_image: str
) -> None:
    stage = Stage(
        cluster,
        clients,
        notebook_image,
        sight=False,
        more={"KubernetesEngine": {"cloning_drivers": [DRIVER]}},
    )
    try:
        stage.notebook("node-local")
        fill(stage)
        said, data = shared(stage)
        unseen = [r for r in said["plan"]["reasons"] if r["code"] == "storage_unseen"]
        assert [row["params"]["what"] for row in unseen] == ["the storage classes"]
        assert data["route_reason"] == "this account may not see which driver made its volume"
        proven(stage, said)
    finally:
        stage.close()
