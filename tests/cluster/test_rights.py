"""The rights of the operators' guide are exactly those that a share uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import yaml
from harness.cluster import Cluster
from harness.control import AUDIT
from stage import DATA, GUIDE, PROJECT, Stage, until

Right = tuple[str, str, str]
"""Group, resource with its subresource, verb."""

SELDOM: dict[Right, str] = {
    ("networking.k8s.io", "networkpolicies", "get"): "an interrupted launch is taken up again",
    ("", "pods/exec", "create"): "WebSockets ask for it from Kubernetes 1.35 on, before for get",
    ("", "pods/exec", "get"): "likewise",
    ("", "pods/portforward", "create"): "likewise",
    ("", "pods/portforward", "get"): "likewise",
}


def granted(kinds: tuple[str, ...] = ("Role", "ClusterRole")) -> set[Right]:
    """What the guide's files grant."""
    found: set[Right] = set()
    for path in (GUIDE / "project" / "rights.yaml", GUIDE / "cluster" / "rights.yaml"):
        for item in yaml.safe_load_all(path.read_text()):
            if item["kind"] in kinds:
                for rule in item["rules"]:
                    found |= {
                        (group, resource, verb)
                        for group in rule["apiGroups"]
                        for resource in rule["resources"]
                        for verb in rule["verbs"]
                    }
    return found


def asked(cluster: Cluster, account: str) -> Iterator[tuple[Right, int]]:
    """What an account asked of the API server, with the status of the answer."""
    for line in (Path(cluster.folder) / AUDIT).read_text().splitlines():
        said = json.loads(line)
        target = said.get("objectRef")
        if said["user"]["username"] != account or not target:
            continue
        resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
        right = (target.get("apiGroup", ""), resource, said["verb"])
        yield right, said.get("responseStatus", {}).get("code", 0)


def listed(stage: Stage) -> list[str]:
    """The states of the environments of a list."""
    code, rows = stage.secxops("list")
    assert code == 0, rows
    return [row["environment"]["status"] for row in rows]


def test_the_rights_of_the_guide_are_those_that_are_used(own: Cluster, stage: Stage) -> None:
    stage.notebook("node-local")
    stage.fill({"Dockerfile": f"FROM {own.images['jupyter']}\n", "a.py": "1\n"}, 10)
    for words in (("doctor",), ("plan", PROJECT), ("share", PROJECT, "--data", DATA)):
        code, said = stage.secxops(*words)
        assert code == 0, said
    account = f"system:serviceaccount:{stage.namespace}:secxops"
    code, answer = stage.secxops("stop", said["id"])
    assert code == 0, answer
    # What was seen a moment ago is not looked at again.
    looks = ("", "services", "watch")
    until(lambda: listed(stage) == ["stopped"] and looks in dict(asked(own, account)))
    code, answer = stage.secxops("start", said["id"])
    assert code == 0, answer
    until(lambda: listed(stage) == ["running"])
    stage.secxops("sweep")
    stage.secxops("delete", said["id"], "--yes")

    found = list(asked(own, account))
    assert [right for right, status in found if status == 403] == []
    used = {right for right, _ in found}
    # Everybody may ask what they may.
    used = {right for right in used if right[0] != "authorization.k8s.io"}
    assert used - granted() == set()
    assert granted() - used - set(SELDOM) == set()
