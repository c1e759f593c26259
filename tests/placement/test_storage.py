"""A quota is counted as the API server does it, over everything that a share makes at once."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.kubernetes.errors import ClaimUnusable, QuotaExceeded
from jupyter_secxops_migrate.placement.cluster import Cluster
from jupyter_secxops_migrate.placement.policy import GIB, Needs, ResourcePolicy
from jupyter_secxops_migrate.placement.storage import NewClaim, Quota, Storage, claim_size
from jupyter_secxops_migrate.sharing.reasons import reason

GPU = "nvidia.com/gpu"
NEEDS = Needs(cpu=1, memory=2 * GIB)
CLAIMS = [NewClaim("fast", GIB), NewClaim("fast", 2 * GIB), NewClaim("", GIB)]


def quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> Quota | None:
    return Quota.from_json(
        {
            "metadata": {"name": "team"},
            "spec": {"hard": hard, **spec},
            "status": {"hard": hard, "used": used or {}},
        }
    )


def judged(found: Quota | None, needs: Needs = NEEDS, **more: Any) -> list[errors.SecxopsError]:
    assert found is not None
    return Storage(CLAIMS, [found], **more).judge(needs, GPU)


@pytest.mark.parametrize(
    ("resource", "enough", "short"),
    [
        ("requests.storage", "4Gi", "4194303Ki"),
        ("persistentvolumeclaims", "3", "2"),
        ("count/persistentvolumeclaims", "3", "2"),
        ("fast.storageclass.storage.k8s.io/requests.storage", "3Gi", "3071Mi"),
        ("fast.storageclass.storage.k8s.io/persistentvolumeclaims", "2", "1"),
        ("requests.cpu", "1", "999m"),
        ("limits.cpu", "1000m", "0"),
        ("cpu", "1", "0.9"),
        ("memory", "2Gi", "2047Mi"),
        ("requests.memory", "2Gi", "2G"),
        ("limits.memory", "2Gi", "2G"),
        ("pods", "1", "0"),
        # Of three folders: a build, copies, checks; the look into the image; the environment.
        ("count/pods", "9", "8"),
        ("count/jobs.batch", "7", "6"),
        ("services", "1", "0"),
        ("count/services", "1", "0"),
        ("secrets", "1", "0"),
        ("count/networkpolicies.networking.k8s.io", "1", "0"),
        (f"requests.{GPU}", "2", "1"),
    ],
)
def test_what_just_fits_fits_and_one_less_does_not(resource: str, enough: str, short: str) -> None:
    needs = Needs(cpu=1, memory=2 * GIB, gpu=2)
    assert judged(quota({resource: enough}), needs) == []
    (found,) = judged(quota({resource: short}), needs)
    assert (found.code, resource in found.message) == ("quota_exceeded", True)


def test_what_is_used_already_counts() -> None:
    hard = {"requests.storage": "10Gi"}
    assert judged(quota(hard, {"requests.storage": "6Gi"})) == []
    (found,) = judged(quota(hard, {"requests.storage": "7Gi"}))
    assert "team has 3Gi of requests.storage left, 4Gi is needed" in found.message
    # Made smaller since: less than nothing is left.
    (found,) = judged(quota(hard, {"requests.storage": "11Gi"}))
    assert "team has 0 of requests.storage left" in found.message


def test_a_resource_that_no_quota_names_is_free() -> None:
    assert judged(quota({"configmaps": "0", "slow.storageclass.storage.k8s.io/pods": "0"})) == []


@pytest.mark.parametrize("scope", ["BestEffort", "Terminating", "PriorityClass"])
def test_a_quota_for_other_pods_does_not_count(scope: str) -> None:
    assert quota({"pods": "0"}, scopes=[scope]) is None


def test_a_quota_for_pods_like_an_environment_counts_pods_and_no_claims() -> None:
    found = quota({"pods": "0"}, scopes=["NotTerminating", "NotBestEffort"])
    (error,) = judged(found)
    assert error.params["action"] == "start the environment"


def test_a_quota_that_nobody_has_counted_yet_is_left_to_the_api_server() -> None:
    item = {"metadata": {"name": "new"}, "spec": {"hard": {"pods": "0"}}}
    assert Quota.from_json(item) is None


def test_the_sum_is_said_once_though_the_api_server_said_it_of_one_claim_too() -> None:
    of_one = QuotaExceeded(action="make a claim", reason="exceeded quota")
    wrong = ClaimUnusable(claim="flows", reason="it is a block device")
    found = judged(quota({"persistentvolumeclaims": "0"}), refusals=[of_one, wrong])
    assert [error.code for error in found] == ["claim_unusable", "quota_exceeded"]
    assert "3 is needed" in found[1].message
    # Where quotas can't be seen, what the API server said is all there is.
    assert Storage(CLAIMS, (), [of_one]).judge(NEEDS, GPU) == [of_one]


def test_copies_that_are_there_already_ask_for_nothing() -> None:
    full = quota({"pods": "0", "persistentvolumeclaims": "0"})
    assert full is not None
    assert Storage((), [full]).judge(NEEDS, GPU) == []


def test_a_cluster_says_what_stands_against_the_storage_and_what_it_cannot_see() -> None:
    wrong = ClaimUnusable(claim="flows", reason="there is no storage class fast")
    storage = Storage(CLAIMS, (), [wrong], ["the namespace's quotas", "the storage classes"])
    decision = Cluster("a", None, None, storage=storage).decide(NEEDS, ResourcePolicy())
    assert decision.refusals == [wrong]
    code, params = decision.reasons[-1]
    assert reason(code, **params).message.startswith(
        "This account may not see the namespace's quotas, the storage classes, so whether"
    )


def test_a_copy_asks_for_what_its_source_has() -> None:
    claim = {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    assert claim_size(claim) == GIB
    # It grew, or its storage gives whole gigabytes only.
    assert claim_size({**claim, "status": {"capacity": {"storage": "4Gi"}}}) == 4 * GIB
