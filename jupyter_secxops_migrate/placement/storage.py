"""The storage and the quota that a share will need: pure functions over what was observed.

Counted is what is certain to be needed at the same time: the new claims, and the environment. The
API server counts again when they are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import errors
from ..engines.kubernetes.errors import QuotaExceeded
from .policy import Needs
from .quantity import format_bytes, format_milli, milli, units, whole

# Scopes that every environment matches: its requests are its limits, and nothing ends it at a time.
_MATCHED = {"NotBestEffort", "NotTerminating"}
_BYTES = ("memory", "storage")


@dataclass(frozen=True)
class NewClaim:
    """A claim that a copy will be made into: its storage class, empty for the default, and its bytes."""

    storage_class: str
    size: int


@dataclass(frozen=True)
class Quota:
    """A ResourceQuota: what it allows and what is used, in thousandths, by resource.

    ``scoped`` counts pods that an environment is one of, and nothing but pods.
    """

    name: str
    hard: Mapping[str, int]
    used: Mapping[str, int]
    scoped: bool = False

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Quota | None:
        """Return a quota; None if it does not count what a share makes, or was not counted yet."""
        spec, status = item.get("spec") or {}, item.get("status") or {}
        scopes = set(spec.get("scopes") or ())
        if spec.get("scopeSelector") or not scopes <= _MATCHED or "hard" not in status:
            return None
        return cls(
            str(item["metadata"]["name"]),
            {name: milli(amount) for name, amount in status["hard"].items()},
            {name: milli(amount) for name, amount in (status.get("used") or {}).items()},
            bool(scopes),
        )

    def lacks(self, asked: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
        """Yield each resource of which less is left than is asked for, with both amounts."""
        for name, amount in asked.items():
            if name in self.hard and self.used.get(name, 0) + amount > self.hard[name]:
                yield name, max(0, self.hard[name] - self.used.get(name, 0)), amount


@dataclass(frozen=True)
class Storage:
    """What was observed of a namespace's storage before anything is made.

    Attributes
    ----------
    claims
        The claims to make; none where they are made already.
    quotas
        The namespace's, as far as they can be seen.
    refusals
        What is wrong with the sources' claims, and what the API server said when it was asked.
    unseen
        What this account may not see, in words.
    """

    claims: Sequence[NewClaim] = ()
    quotas: Sequence[Quota] = ()
    refusals: Sequence[errors.SecxopsError] = ()
    unseen: Sequence[str] = ()

    def judge(self, needs: Needs, gpu_resource: str) -> list[errors.SecxopsError]:
        """Return what stands against making the claims and, beside them, the environment."""
        if not self.claims:
            return list(self.refusals)
        found: list[errors.SecxopsError] = []
        for action, asked, pods in (
            (_make(len(self.claims)), asked_by_claims(self.claims), False),
            ("run its Jobs", asked_by_jobs(len(self.claims)), False),
            ("start the environment", asked_by_pod(needs, gpu_resource), True),
        ):
            lacks = [
                f"{quota.name} has {_amount(name, left)} of {name} left, {_amount(name, amount)} is needed"
                for quota in self.quotas
                if pods or not quota.scoped
                for name, left, amount in quota.lacks(asked)
            ]
            if lacks:
                found.append(QuotaExceeded(action=action, reason="; ".join(lacks)))
        # The same, as the API server says it of one claim alone.
        known = {error.code for error in found}
        return [*(error for error in self.refusals if error.code not in known), *found]


def asked_by_claims(claims: Sequence[NewClaim]) -> Mapping[str, int]:
    """Return what new claims add to a quota's resources, in thousandths.

    Source: Kubernetes, pkg/quota/v1/evaluator/core/persistent_volume_claims.go.
    """
    found: dict[str, int] = {}
    for claim in claims:
        counted = {"persistentvolumeclaims": 1, "requests.storage": claim.size}
        if claim.storage_class:
            prefix = f"{claim.storage_class}.storageclass.storage.k8s.io/"
            counted |= {prefix + name: amount for name, amount in counted.items()}
        counted["count/persistentvolumeclaims"] = 1
        for name, amount in counted.items():
            found[name] = found.get(name, 0) + amount * 1000
    return found


def asked_by_jobs(folders: int) -> Mapping[str, int]:
    """Return what a share's Jobs and small objects add to a quota's resources, in thousandths.

    Jobs are there until the share's end: the build's, and for each folder one that copies and one that
    checks. Of their pods only one need run at a time, but all are counted as objects, with the look
    into the image and the environment.
    """
    jobs = 2 * folders + 1
    found = {"count/jobs.batch": jobs, "count/pods": jobs + 2}
    for kind in ("services", "count/services", "secrets", "count/secrets"):
        found[kind] = 1
    found["count/networkpolicies.networking.k8s.io"] = 1
    return {name: count * 1000 for name, count in found.items()}


def asked_by_pod(needs: Needs, gpu_resource: str) -> Mapping[str, int]:
    """Return what the environment's pod adds to a quota's resources, in thousandths.

    Source: Kubernetes, pkg/quota/v1/evaluator/core/pods.go.
    """
    cpu, memory = round(needs.cpu * 1000), needs.memory * 1000
    found = {"pods": 1000, "count/pods": 1000}
    for name in ("cpu", "requests.cpu", "limits.cpu"):
        found[name] = cpu
    for name in ("memory", "requests.memory", "limits.memory"):
        found[name] = memory
    if needs.gpu:
        found[f"requests.{gpu_resource}"] = needs.gpu * 1000
    return found


def claim_size(claim: Mapping[str, Any]) -> int:
    """Return the bytes that a copy of a claim asks for: what the source has, else what it asked for."""
    held = (claim.get("status") or {}).get("capacity") or {}
    return whole(held.get("storage") or claim["spec"]["resources"]["requests"]["storage"])


def _make(count: int) -> str:
    return "make a claim" if count == 1 else f"make {count} claims"


def _amount(resource: str, thousandths: int) -> str:
    """Return an amount as Kubernetes writes it."""
    if resource.endswith(_BYTES):
        return format_bytes(units(thousandths))
    return format_milli(thousandths)
