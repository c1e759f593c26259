"""What ``doctor`` asks for is what the operators' guide grants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from jupyter_secxops_migrate.engines.kubernetes.doctor import IN_NAMESPACE, OF_CLUSTER, Rights

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "operators" / "kubernetes"


def granted(file: str, kind: str) -> dict[tuple[str, str], list[str]]:
    """Verbs by group and resource; of the rights to named objects, the guide's text tells."""
    found: dict[tuple[str, str], list[str]] = {}
    for item in yaml.safe_load_all((GUIDE / file).read_text()):
        own = item["kind"] == kind and item["metadata"]["name"] != "secxops-claims"
        for rule in item["rules"] if own else ():
            if "resourceNames" in rule:
                continue
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    found[group, resource] = sorted(rule["verbs"])
    return found


def asked(rights: Rights) -> Any:
    return {key: sorted(verbs) for key, verbs in rights.items()}


def test_the_doctor_asks_for_the_rights_of_the_guide() -> None:
    assert asked(IN_NAMESPACE) == granted("project/rights.yaml", "Role")
    assert asked(OF_CLUSTER) == granted("cluster/rights.yaml", "ClusterRole")
