"""What a share asks of the cluster's storage: clones that are proven, and a no before anything is made."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from harness.cluster import Cluster
from harness.node import DRIVER
from stage import DATA, MOUNTS, PROJECT, Stage

SMALL = ("--cpu", "0.2", "--memory", "256M")
OURS = "app.kubernetes.io/managed-by=secxops-migrate"
KINDS = "jobs,pods,pvc,services,secrets,networkpolicies"
# On claims of classes whose clones are empty, or lack a file; that are not copied at all.
FORGOTTEN, SHORT, ELSEWHERE, ALONE = (f"/data/{n}" for n in ("forgotten", "short", "else", "alone"))
CLASSES = {"forgotten": "forgetful", "short": "short", "else": "shared"}
# What was written last may be missing in a clone: a disk had not got it yet.
SECONDS_TO_THE_DISK = 40


class Stored(Stage):
    """A stage with data; ``filled`` is when they were written, by the monotonic clock."""

    filled = 0.0


@pytest.fixture(scope="module")
def stage(cluster: Cluster, clients: Mapping[str, str], notebook_image: str) -> Iterator[Stored]:
    """A notebook with data on claims of several kinds; by its settings the test cluster's driver clones."""
    engine: dict[str, Any] = {"cloning_drivers": [DRIVER]}
    mounts = list(MOUNTS)
    if cluster.own:
        engine["storage_classes"] = {"shared": "no-such-class"}
        mounts += [{"claim": n, "path": f"/data/{n}"} for n in (*CLASSES, "alone")]
    found = Stored(cluster, clients, notebook_image, more={"KubernetesEngine": engine})
    try:
        modes = {"alone": "ReadWriteOncePod"}
        found.notebook(mounts=mounts, modes=modes, classes=CLASSES)
        image = cluster.images["jupyter"]
        found.fill({"Dockerfile": f"FROM {image}\n", "src/detector.py": "1\n"})
        for mount in mounts:
            if mount["path"] != PROJECT:
                found.run("sh", "-c", _DATA, "sh", mount["path"])
        found.filled = time.monotonic()
        yield found
    finally:
        found.close()


# A folder of data with what must not travel in it.
_DATA = """
cd "$1" && for n in 0 1; do head -c 10000000 /dev/urandom > "$n.bin"; done
mkdir -p .ssh deep/.aws many && echo key > .ssh/id_ed25519 && echo key > deep/.aws/credentials
echo more > deep/notes.txt && for n in 1 2 3; do echo "$n" > "many/$n"; done
"""


def shared(stage: Stage, *folders: str) -> Any:
    """Share project and data."""
    data = [word for folder in folders for word in ("--data", folder)]
    code, said = stage.secxops("share", PROJECT, *data, *SMALL)
    assert code == 0, said["error"]
    return said


def volume(said: Any, mount: str) -> Any:
    """What is said of the volume at a folder."""
    return next(v for v in said["result"]["volumes"] if v["mount"] == mount)


def proven(stage: Stage, said: Any, folder: str = DATA) -> None:
    """What arrived is what left, but for what is never copied; found by other means."""
    assert said["result"]["evidence"]["differences"] == 0
    pod = said["result"]["place"]["name"]
    left, arrived = stage.tree("notebook", folder), stage.tree(pod, folder)
    secret = {name for name in left if re.search(r"\.ssh/|\.aws/", name)}
    assert secret == {".ssh/id_ed25519", "deep/.aws/credentials"}
    assert arrived == {name: facts for name, facts in left.items() if name not in secret}
    for path in (".ssh", "deep/.aws", ".secxops-incomplete"):
        assert (
            stage.run("sh", "-c", 'ls -d "$1" || echo none', "sh", f"{folder}/{path}", pod=pod)
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


# --------------------------------------------------------------------------- refusals


def quota(stage: Stage, hard: Mapping[str, str]) -> None:
    """Make a quota, in place of the one before, and wait until it is counted."""
    stage.cluster.call(
        "-n", stage.namespace, "delete", "resourcequota", "tight", "--ignore-not-found"
    )
    stage.apply(stage.like("ResourceQuota", "tight", spec={"hard": dict(hard)}))
    ends = time.monotonic() + 30
    while set(stage.get("resourcequota", "tight").get("status", {}).get("used", ())) != set(hard):
        assert time.monotonic() < ends
        time.sleep(0.2)


def test_a_quota_without_room_is_a_refusal_in_the_plan(stage: Stage) -> None:
    there = len(stage.get("pvc")["items"])
    of_class = f"{stage.cluster.local}.storageclass.storage.k8s.io"
    by_class = f"{of_class}/requests.storage"
    local = [
        claim
        for claim in stage.get("pvc")["items"]
        if claim["spec"]["storageClassName"] == stage.cluster.local
    ]
    try:
        for hard, said in (
            # Two more of 1 GiB are needed: each alone would fit.
            (
                ("requests.storage", f"{there + 1}Gi"),
                "1Gi of requests.storage left, 2Gi is needed",
            ),
            ((by_class, f"{len(local) + 1}Gi"), f"1Gi of {by_class} left, 2Gi is needed"),
            (("requests.cpu", "250m"), "150m of requests.cpu left, 200m is needed"),
            (
                ("persistentvolumeclaims", f"{there + 1}"),
                "1 of persistentvolumeclaims left, 2 is needed",
            ),
        ):
            quota(stage, dict([hard]))
            code, plan = stage.secxops("plan", PROJECT, "--data", DATA, *SMALL)
            assert (code, [row["code"] for row in plan["refusals"]]) == (3, ["quota_exceeded"])
            assert f"tight has {said}" in plan["refusals"][0]["message"]
        refused(stage, PROJECT, "--data", DATA, *SMALL)
        room = {"persistentvolumeclaims": f"{there + 2}", "requests.storage": f"{there + 2}Gi"}
        quota(stage, {**room, "pods": "10"})
        code, plan = stage.secxops("plan", PROJECT, "--data", DATA, *SMALL)
        assert (code, plan["refusals"]) == (0, [])
    finally:
        stage.cluster.call(
            "-n", stage.namespace, "delete", "resourcequota", "tight", "--ignore-not-found"
        )


def test_claims_that_can_not_be_copied_are_refused_in_the_plan(own: Cluster, stage: Stage) -> None:
    found = refused(stage, PROJECT, "--data", ELSEWHERE, "--data", ALONE, *SMALL)
    assert [(row["code"], row["params"]["claim"]) for row in found] == [
        ("claim_unusable", "else"),
        ("claim_unusable", "alone"),
    ]
    assert "there is no storage class no-such-class" in found[0]["message"]
    assert "ReadWriteOncePod" in found[1]["message"]


# --------------------------------------------------------------------------- clones


def test_a_clone_that_the_cluster_refuses_becomes_a_copy(own: Cluster, stage: Stage) -> None:
    name = f"no-clones-{stage.namespace}"
    stage.cluster.call("apply", "-f", "-", given=_policy(name, stage.namespace))
    try:
        _until_policy_works(stage)
        said = shared(stage, DATA)
        data = volume(said, DATA)
        assert (data["route"], "no clones here" in data["route_reason"]) == ("copy", True)
        proven(stage, said)
    finally:
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            stage.cluster.call("delete", kind, name)


def test_what_may_not_be_seen_of_the_storage_is_said_and_does_not_stop(stage: Stage) -> None:
    with stage.unseen():
        said = shared(stage, DATA)
    unseen = [r for r in said["plan"]["reasons"] if r["code"] == "storage_unseen"]
    assert [row["params"]["what"] for row in unseen] == ["the storage classes"]
    reason = "this account may not see which driver made its volume"
    assert volume(said, DATA)["route_reason"] == reason
    proven(stage, said)


@pytest.fixture(scope="module")
def cloned(own: Cluster, stage: Stored) -> Any:
    """A share of data of which each claim is cloned in another way."""
    time.sleep(max(0, stage.filled + SECONDS_TO_THE_DISK - time.monotonic()))
    return shared(stage, DATA, FORGOTTEN, SHORT)


def test_a_whole_claim_is_cloned_and_proven_and_a_part_of_one_is_copied_alone(
    stage: Stage, cloned: Any
) -> None:
    data = volume(cloned, DATA)
    assert (data["route"], data["route_reason"]) == ("clone", "")
    assert source_of(stage, data["name"])["name"] == "flows"
    proven(stage, cloned)
    assert {row["name"] for row in data["skipped"]} >= {".ssh", "deep/.aws"}
    # 2 of 10 MB, and the notes; nothing had to be copied after the clone.
    assert "data-1: the storage cloned flows; 6 of its 6 files" in log_of(stage, cloned)
    # The code lies in a folder of a claim that others use: of that claim, only this folder arrives.
    code = volume(cloned, PROJECT)
    assert (code["route"], code["route_reason"]) == ("copy", "the folder is not the whole claim")
    assert source_of(stage, code["name"]) is None
    arrived = stage.tree(cloned["result"]["place"]["name"], PROJECT)
    assert set(arrived) == {"Dockerfile", "src/detector.py"}


def test_a_provisioner_that_forgets_the_source_never_ends_in_an_empty_volume(
    stage: Stage, cloned: Any
) -> None:
    data = volume(cloned, FORGOTTEN)
    assert (data["route"], data["route_reason"]) == ("copy", "the clone came back empty")
    assert source_of(stage, data["name"]) is None
    assert "copied file by file and not cloned: the clone came back empty" in log_of(stage, cloned)
    proven(stage, cloned, FORGOTTEN)


def test_a_clone_that_lacks_a_file_is_thrown_away(stage: Stage, cloned: Any) -> None:
    data = volume(cloned, SHORT)
    assert data["route"] == "copy"
    assert data["route_reason"] == "the clone lacks what was there before it"
    assert source_of(stage, data["name"]) is None
    proven(stage, cloned, SHORT)


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
