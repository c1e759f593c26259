"""What a share will do, decided before anything is touched.

Pure: what was observed comes in, a plan goes out; no I/O, no clock but for the plan's own date. What
stands against it is asked of `refusals`, what to know of `warnings`, what is copied of `travels`, how long
it takes of `estimate`; this module says where it will run, and why it will be as it will.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from .. import errors
from ..engines.orders import ImageInfo, SourceEnvironment
from ..environment.survey import Survey
from ..model import Finding, Migration, NodeCapacity, Plan, Route, ShareRequest, utcnow
from ..operations.record import finding
from ..placement.policy import Capacity, Decision, Needs, ResourcePolicy
from ..printable import printable
from ..units import human_duration, human_size
from .estimate import bytes_on_disk, estimate, guess
from .mounts import Place, inside_code, mounts
from .reasons import reason
from .refusals import (
    against_dockerfile,
    against_folders,
    too_little_cpu,
    unreachable,
    unreadable,
)
from .travels import copied, not_copied
from .warnings import about_dockerfile, about_folders, of_others

__all__ = ["default_name", "make_plan", "needs_of", "observe_again", "with_refusals"]


def default_name(project: str, now: datetime | None = None) -> str:
    """Return ``PROJECT-YYYY-MM-DD``, of characters that every client can type."""
    stem = re.sub(r"[^\w.+-]+", "-", project).strip("-.")[:80] or "project"
    return f"{stem}-{(now or utcnow()):%Y-%m-%d}"


def needs_of(
    request: ShareRequest, source: SourceEnvironment, here: NodeCapacity, policy: ResourcePolicy
) -> tuple[float, int]:
    """Return the cores and bytes of memory that the new environment is to have.

    As asked for, else as the source has, else the policy's defaults, but then never more CPU than
    the node has, where that can be seen.
    """
    cpu = request.cpu or source.cpu or min(policy.default_cpu, here.cpu or policy.default_cpu)
    memory = request.memory or source.memory or policy.default_memory
    return cpu, memory


def make_plan(
    request: ShareRequest,
    survey: Survey,
    source: SourceEnvironment,
    capacity: Capacity,
    *,
    features: frozenset[str],
    bases: Mapping[str, ImageInfo | None],
    policy: ResourcePolicy,
    places: Mapping[str, Place],
    name_default: str | None = None,
    earlier: Sequence[Migration] = (),
    unsaved: Mapping[int, str] = MappingProxyType({}),
) -> Plan:
    """Decide what a share will do.

    Parameters
    ----------
    request
        What was asked for.
    survey
        The source as found.
    source, capacity
        Where it runs, and the places where the new one can, as observed.
    features
        What the engine's builder can do (`Engine.features`).
    bases
        Each image that the Dockerfile starts FROM, None where it is not in the engine's store.
    policy
        The admin's numbers and rules.
    places
        For the project's and each data folder's path (``survey.project.path`` …): what a Job
        mounts, or the refusal that says why it can't.
    name_default
        The name when none is asked for; without it `default_name`.
    earlier
        Shares of this project, newest first: it will take as long as they did.
    unsaved
        Which of ``request.unsaved`` are among what is shared, by their place there, as they are shown.

    Raises
    ------
    errors.InvalidRequest
        ``request.mounts`` asks for something impossible.
    """
    cpu, memory = needs_of(request, source, capacity.here, policy)
    needs = Needs(cpu, memory, request.gpu, room_needed(survey, policy))
    decision = capacity.decide(needs, policy)
    where = mounts(request, survey, None, places, bases=bases)
    expected = estimate(survey, earlier)
    seconds = guess(survey) if expected is None else expected

    refusals = [
        *too_little_cpu(cpu),
        *against_folders(survey, places, policy),
        *against_dockerfile(survey, features, policy),
        *unreadable(survey),
        *_against_place(decision, features, capacity),
    ]
    warnings = [
        *about_dockerfile(survey, policy),
        *(finding(error) for error in decision.warnings),
        *about_folders(survey, where, unsaved, keep_owners=request.keep_owners),
    ]
    reasons = [
        *_placed(decision),
        *_which_files(request, survey, source),
        *_defaults(request, survey, needs),
        *(reason("owners_given", **of) for of in of_others(survey) if not request.keep_owners),
        *_bases_to_pull(bases, capacity),
        *_data_that_moves(survey, where),
        *([] if refusals else [_how_long(seconds, measured=expected is not None)]),
    ]
    return Plan(
        name=request.name or name_default or default_name(survey.project.name),
        reasons=reasons,
        copied=copied(survey, where),
        not_copied=not_copied(survey),
        changed=list(survey.changed),
        kept=list(survey.kept),
        warnings=warnings,
        refusals=refusals,
        version=survey.version,
        cpu=cpu,
        memory=memory,
        gpu=request.gpu,
        estimate_seconds=seconds,
        **_place_of(decision, capacity),
    )


def with_refusals(plan: Plan, found: Sequence[errors.SecxopsError]) -> Plan:
    """Return a plan with what else stands against it."""
    if not found:
        return plan
    return plan.model_copy(
        update={
            "refusals": [*plan.refusals, *(finding(error) for error in found)],
            "reasons": [item for item in plan.reasons if not item.code.startswith("estimate")],
        }
    )


_PLACED = {
    *("stays_here", "fits_here", "here_unseen", "gpu_asked", "node_short", "node_gone"),
    *("stay_failed", "moves", "moves_unseen", "unseen", "storage_unseen"),
    *("estimate", "estimate_measured", "image_pushed", "image_kept"),
}


def observe_again(
    plan: Plan,
    capacity: Capacity,
    policy: ResourcePolicy,
    *,
    features: frozenset[str],
    stay: bool = True,
) -> Plan:
    """Judge a plan once more by a later observation, after the copy and before the launch.

    Disk is not counted: image and volumes are there by now. What was refused or warned about for
    other reasons stays as it was.

    Parameters
    ----------
    plan
        The plan that was carried out so far.
    capacity
        The places as they are now.
    features
        What the engine can do with builds (`Engine.features`).
    stay
        False where the scheduler did not let it stay: then it moves.
    """
    about_room = {
        *("memory_short", "disk_short", "cpu_overcommitted", "cpu_short", "gpu_missing"),
        *("no_node_fits", "node_unreachable", "registry_missing", "volume_bound"),
        "no_room_for_jobs",
    }
    needs = Needs(plan.cpu or 0, plan.memory or 0, plan.gpu)
    decision = capacity.decide(needs, policy, stay=stay and plan.route is Route.STAY)
    reasons = [item for item in plan.reasons if item.code not in _PLACED]
    return plan.model_copy(
        update={
            "reasons": [*_placed(decision), *reasons],
            "refusals": [item for item in plan.refusals if item.code not in about_room]
            + _against_place(decision, features, capacity),
            "warnings": [item for item in plan.warnings if item.code not in about_room]
            + [finding(error) for error in decision.warnings],
            "created": utcnow(),
            **_place_of(decision, capacity),
        }
    )


# --------------------------------------------------------------------------- where it will run


def room_needed(survey: Survey, policy: ResourcePolicy) -> int:
    """Return the bytes of disk that the copies, the build's context and the image take."""
    volumes = sum(bytes_on_disk(folder) for folder in (survey.project, *survey.data))
    return volumes + survey.context_bytes + policy.image_estimate


def _against_place(
    decision: Decision, features: frozenset[str], capacity: Capacity
) -> list[Finding]:
    """Say why it can't run where it would."""
    refusals = [finding(error) for error in decision.refusals]
    return refusals + unreachable(decision, features, capacity)


def _place_of(decision: Decision, capacity: Capacity) -> dict[str, Any]:
    """Return the fields of a plan that say where it will run, and by which numbers."""
    return {
        "route": decision.route,
        "node": decision.node,
        "observation": capacity.here,
        "terms": dict(decision.terms),
        "placement": None if decision.record is None else dict(decision.record),
    }


def _placed(decision: Decision) -> list[Finding]:
    """Say why it will run where it will."""
    return [reason(code, **params) for code, params in decision.reasons]


# --------------------------------------------------------------------------- why it will be so


def _which_files(
    request: ShareRequest, survey: Survey, source: SourceEnvironment
) -> Iterator[Finding]:
    """Say whose files are shared, and of which version."""
    if source.outside:
        yield reason("from_outside", source=source.container or "")
    if survey.commit:
        yield reason("version_asked", version=request.version or "", commit=survey.commit[:7])
    else:
        version = survey.version
        yield reason(
            "version_as_is",
            label=version.label,
            commit=version.commit,
            branch=version.branch,
            changed=version.dirty_count,
        )


def _defaults(request: ShareRequest, survey: Survey, needs: Needs) -> Iterator[Finding]:
    """Say what was chosen for whoever asked for nothing."""
    if request.cpu is None and request.memory is None:
        yield reason("defaults_used", cpu=f"{needs.cpu:g}", memory=human_size(needs.memory))
    if not survey.data:
        yield reason("shares_no_data")


def _bases_to_pull(bases: Mapping[str, ImageInfo | None], capacity: Capacity) -> Iterator[Finding]:
    """Name the images that the build has to pull first."""
    for base, info in bases.items():
        if info is None:
            yield reason("base_not_here", image=base, node=capacity.here.node)


def _data_that_moves(survey: Survey, where: Mapping[str, str | None]) -> Iterator[Finding]:
    """Name the data of the project that will not be in the project's folder."""
    for folder in survey.data:
        mount, inside = where[folder.path], survey.inside.get(folder.path)
        if inside is not None and mount != inside_code(where[survey.project.path], inside):
            yield reason("data_moves", source=printable(inside), mount=mount or "")


def _how_long(seconds: float, *, measured: bool) -> Finding:
    """Say how long it will take, by earlier shares or by a guess."""
    took = {"duration": human_duration(seconds), "seconds": seconds}
    return reason("estimate_measured", **took) if measured else reason("estimate", **took)
