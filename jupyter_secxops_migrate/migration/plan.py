"""What a share will do, decided before anything is touched.

Pure: what was observed comes in, a plan goes out; no I/O, no clock but for the plan's own date.
The sentences of reasons stand in `REASONS`; refusals and warnings come from `errors`, so that a
plan and a failed migration say the same.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from .. import errors
from ..engines.base import ImageInfo, ImageProbe, SourceEnvironment, SourcePlace, slug
from ..environment.dockerfile import Dockerfile
from ..environment.survey import Survey
from ..model import (
    CopiedItem,
    Finding,
    Folder,
    NodeCapacity,
    NotCopiedItem,
    Plan,
    Route,
    ShareRequest,
    utcnow,
)
from ..placement.policy import Capacity, Decision, Needs, ResourcePolicy
from ..units import human_duration, human_size

Place = SourcePlace | Finding
"""What a Job mounts for a folder, or why it can't reach it."""

REASONS: Mapping[str, tuple[str, str]] = {
    "stays_here": (
        "Here, on node {node}: {cpu} CPU and {memory} of memory are free.",
        "",
    ),
    "fits_here": (
        "Here, on node {node}: {cpu} CPU and {memory} of memory are free.",
        "",
    ),
    "here_unseen": ("Here, on node {node}, if the scheduler agrees: its room can't be seen.", ""),
    "gpu_asked": ("It asks for a GPU, so the scheduler chooses the node.", ""),
    "node_short": ("It does not fit on node {node}: {lacks}.", ""),
    "node_gone": ("The node {node} of the source is not there any more.", ""),
    "stay_failed": ("The scheduler found no room for it on node {node} any more.", ""),
    "moves": (
        "It moves: it fits on {fitting} of {total} nodes, and by {strategy} will be on {forecast}.",
        "",
    ),
    "moves_unseen": ("It moves to a node that the scheduler chooses by {strategy}.", ""),
    "unseen": (
        "This account may not see {what} of the cluster: the scheduler decides.",
        "An admin can allow it (ClusterRole secxops-placement of the operators' guide).",
    ),
    "storage_unseen": (
        "This account may not see {what}: whether the copies get their storage shows when they are made.",
        "An admin can allow it (Role secxops and ClusterRole secxops-placement of the operators' guide).",
    ),
    "from_outside": ("The source is {source}, seen from outside.", ""),
    "version_asked": ("The files of version {version} ({commit}) are shared.", ""),
    "version_as_is": ("The files are shared as they are now ({label}).", ""),
    "defaults_used": (
        "{cpu} CPU and {memory} of memory, as no others were asked for.",
        "Choose others with --cpu and --memory.",
    ),
    "shares_no_data": ("Shares no data.", "Take data along with --data FOLDER."),
    "estimate": ("It will take about {duration}, most of it the first build.", ""),
    "remote_add": (
        "Line {line} of the Dockerfile downloads {url} at build time; the copy's proof does not cover it.",
        "Put the file into the project, or fetch it in RUN with its checksum.",
    ),
    "data_moves": (
        "{source} lies inside the project and will be at {mount}.",
        "Ask for another place (mounts in the request), or give its path to the notebooks as a setting.",
    ),
    "base_not_here": (
        "The image {image}, which the Dockerfile starts FROM, is not on {node} yet and will be pulled.",
        "",
    ),
    "mount_inside": (
        "{path} is a mount of its own inside {folder}: what lies there is not copied.",
        "Take it along with --data {path}.",
    ),
    "whole_home": (
        "{path} is a whole home folder; everything in it but credentials would be copied.",
        "Share the project's own folder instead.",
    ),
}
"""Code to sentence and hint; clients translate by code."""

OLD_FEATURES = {"RUN --mount", "RUN --network", "RUN --security", "COPY --chmod", "ADD --chmod"}
"""What every BuildKit knows. What came later it only knows of itself from syntax 1.4 on, or if the
Dockerfile names a syntax, which it then pulls."""

COPY_BYTES_PER_SECOND = 400e6
COPY_FILES_PER_SECOND = 8000.0
BUILD_SECONDS = 20.0
LAUNCH_SECONDS = 8.0
"""For the estimate only; measured on two cores with a warm cache, a cold build takes longer."""

_KNOWN_SYNTAX = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:[:@][\w.:@+-]*)?")

_SYSTEM = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
)
_SYSTEM_ITSELF = (
    "/",
    "/home",
    "/root/.ssh",
    "/tmp",  # noqa: S108
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/sbin",
    "/usr/share",
    "/var",
    "/var/lib",
    "/var/run",
)


def reason(code: str, **params: Any) -> Finding:
    """Return a reason from the table, its sentence filled in."""
    text, hint = REASONS[code]
    return Finding(
        code=code, message=text.format(**params), hint=hint.format(**params), params=params
    )


def finding(error: errors.SecxopsError) -> Finding:
    """Return an error as a plan carries it."""
    return Finding(**error.as_dict())


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

    Raises
    ------
    errors.InvalidRequest
        ``request.mounts`` asks for something impossible.
    """
    cpu, memory = needs_of(request, source, capacity.here, policy)
    refusals: list[Finding] = []
    warnings: list[Finding] = []

    for folder in (survey.project, *survey.data):
        place = places.get(folder.path)
        if isinstance(place, Finding):
            refusals.append(place)
        refusals += [finding(error) for error in _outside_policy(folder, policy)]

    more_refusals, more_warnings = _judge_dockerfile(survey, features, policy)
    refusals += more_refusals
    warnings += more_warnings

    if survey.unreadable:
        refusals.append(
            finding(
                errors.FileUnreadable(
                    count=len(survey.unreadable),
                    path=_shown(survey.project.path),
                    first=_shown(survey.unreadable[0]),
                )
            )
        )

    volumes = survey.project.bytes + sum(folder.bytes for folder in survey.data)
    disk = volumes + survey.context_bytes + policy.image_estimate
    decision = capacity.decide(Needs(cpu, memory, request.gpu, disk), policy)
    refusals += [finding(error) for error in decision.refusals]
    refusals += _unreachable(decision, features, capacity)
    warnings += [finding(error) for error in decision.warnings]

    warnings += [
        reason(
            "mount_inside",
            path=_shown(str(PurePosixPath(folder) / path)),
            folder=_shown(PurePosixPath(folder).name),
        )
        for folder, paths in survey.elsewhere.items()
        for path in paths
    ]
    if survey.whole_home:
        warnings.append(reason("whole_home", path=_shown(survey.project.path)))

    where = mounts(request, survey, None, places, bases=bases)
    estimate = _estimate(survey)
    reasons = _placed(decision)
    if source.outside:
        reasons.append(reason("from_outside", source=source.container or ""))
    if survey.commit:
        reasons.append(
            reason("version_asked", version=request.version or "", commit=survey.commit[:7])
        )
    else:
        version = survey.version
        reasons.append(
            reason(
                "version_as_is",
                label=version.label,
                commit=version.commit,
                branch=version.branch,
                changed=version.dirty_count,
            )
        )
    if request.cpu is None and request.memory is None:
        reasons.append(reason("defaults_used", cpu=f"{cpu:g}", memory=human_size(memory)))
    if not survey.data:
        reasons.append(reason("shares_no_data"))
    reasons += [
        reason("base_not_here", image=base, node=capacity.here.node)
        for base, info in bases.items()
        if info is None
    ]
    for folder in survey.data:
        place = places.get(folder.path)
        mount = where[folder.path]
        if folder.path in survey.inside and isinstance(place, SourcePlace) and not place.mount:
            reasons.append(
                reason("data_moves", source=_shown(survey.inside[folder.path]), mount=mount or "")
            )
    if not refusals:
        reasons.append(reason("estimate", duration=human_duration(estimate), seconds=estimate))

    return Plan(
        name=request.name or name_default or default_name(survey.project.name),
        route=decision.route,
        node=decision.node,
        reasons=reasons,
        copied=_copied(survey, where),
        not_copied=_not_copied(survey),
        warnings=warnings,
        refusals=refusals,
        version=survey.version,
        cpu=cpu,
        memory=memory,
        gpu=request.gpu,
        observation=capacity.here,
        terms=dict(decision.terms),
        placement=None if decision.record is None else dict(decision.record),
        estimate_seconds=estimate,
    )


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
        *("no_node_fits", "node_unreachable", "registry_missing"),
    }
    needs = Needs(plan.cpu or 0, plan.memory or 0, plan.gpu)
    decision = capacity.decide(needs, policy, stay=stay and plan.route is Route.STAY)
    reasons = [item for item in plan.reasons if item.code not in _PLACED]
    return plan.model_copy(
        update={
            "route": decision.route,
            "node": decision.node,
            "reasons": [*_placed(decision), *reasons],
            "refusals": [item for item in plan.refusals if item.code not in about_room]
            + [finding(error) for error in decision.refusals]
            + _unreachable(decision, features, capacity),
            "warnings": [item for item in plan.warnings if item.code not in about_room]
            + [finding(error) for error in decision.warnings],
            "observation": capacity.here,
            "terms": dict(decision.terms),
            "placement": None if decision.record is None else dict(decision.record),
            "created": utcnow(),
        }
    )


_PLACED = {
    *("stays_here", "fits_here", "here_unseen", "gpu_asked", "node_short", "node_gone"),
    *("stay_failed", "moves", "moves_unseen", "unseen", "storage_unseen", "estimate"),
}


def _unreachable(decision: Decision, features: frozenset[str], capacity: Capacity) -> list[Finding]:
    """Refuse a move to where the image can't follow."""
    here = capacity.here.node
    # One that is only not ready can't have it either.
    elsewhere = all(
        isinstance(error, errors.TemporaryError) and error.params.get("node") != here
        for error in decision.refusals
    )
    if decision.route is Route.STAY or "push" in features or not elsewhere:
        return []
    return [finding(errors.RegistryMissing(node=here))]


def _placed(decision: Decision) -> list[Finding]:
    """Say why it will run where it will."""
    return [reason(code, **params) for code, params in decision.reasons]


def refused(plan: Plan) -> errors.SecxopsError | None:
    """Return the error that a refused plan becomes, None if it is not refused."""
    return refused_by(plan.refusals) if plan.refusals else None


def refused_by(refusals: Sequence[Finding]) -> errors.SecxopsError:
    """Return the error that sums refusals up; a temporary one where waiting is all that it takes."""
    found = [errors.SecxopsError.from_dict(item.model_dump()) for item in refusals]
    temporary = [error for error in found if isinstance(error, errors.TemporaryError)]
    if len(temporary) == len(found):
        temporary[0].planned = True
        return temporary[0]
    return errors.Refused(
        reasons=" ".join(item.message for item in refusals),
        hints=" ".join(dict.fromkeys(item.hint for item in refusals if item.hint)),
        codes=[item.code for item in refusals],
    )


# --------------------------------------------------------------------------- mounts


def mounts(
    request: ShareRequest,
    survey: Survey,
    probe: ImageProbe | None,
    places: Mapping[str, Place],
    *,
    bases: Mapping[str, ImageInfo | None] | None = None,
) -> dict[str, str | None]:
    """Return where each folder is mounted in the new environment: source path to mount path.

    Where the source has it. A source on the host has no mount: its code goes to the image's working
    directory if that is a real one, else to the image user's home / project name; its data to
    ``/data/NAME``. ``request.mounts`` goes before all of this.

    Parameters
    ----------
    probe
        What running the built image showed; None before the build, when the Dockerfile and its base
        image say what they can. The code's mount is None where they do not say it.

    Raises
    ------
    errors.InvalidRequest
        A mount asked for is not an absolute, normalised path, is a system folder, or two
        mounts overlap.
    """
    asked = _asked(request, survey)
    found: dict[str, str | None] = {}
    for folder in (survey.project, *survey.data):
        place = places.get(folder.path)
        if folder.path in asked:
            found[folder.path] = asked[folder.path]
        elif isinstance(place, SourcePlace) and place.mount is not None:
            found[folder.path] = place.mount
        elif folder is survey.project:
            found[folder.path] = _code_mount(folder, survey, probe, bases or {})
        else:
            found[folder.path] = _data_mount(folder, found[survey.project.path])
    for path, mount in found.items():
        for other, place_of_other in found.items():
            if (
                path < other
                and mount
                and place_of_other
                and (_within(mount, place_of_other) or _within(place_of_other, mount))
                and not _nested_at_source(path, other, found, survey)
            ):
                raise errors.InvalidRequest(reason=f"{mount} and {place_of_other} overlap")
    return found


def mountable(path: str) -> str | None:
    """Return why nothing can be mounted at a path, None if it can."""
    if not path.startswith("/"):
        return "is not an absolute path"
    if any(ord(char) < 32 or ord(char) == 127 or char in ":," for char in path):
        return "has a character that no mount point may have"
    if len(path) > 1024 or posixpath.normpath(path) != path or path.startswith("//"):
        return "is not a normalised path"
    if path in _SYSTEM_ITSELF or any(_within(path, system) for system in _SYSTEM):
        return "is a system folder"
    return None


def _asked(request: ShareRequest, survey: Survey) -> dict[str, str]:
    """``request.mounts``, keyed by the paths of the survey."""
    known = {request.project: survey.project.path, survey.project.path: survey.project.path}
    for given, folder in zip(request.data, survey.data, strict=False):
        known[given] = known[folder.path] = folder.path
    found: dict[str, str] = {}
    for given, mount in request.mounts.items():
        if given not in known:
            raise errors.InvalidRequest(
                reason=f"mounts names {given!r}, which is neither the project nor one of its data"
            )
        why = mountable(mount)
        if why:
            raise errors.InvalidRequest(reason=f"the mount {mount!r} {why}")
        found[known[given]] = mount
    return found


def _code_mount(
    project: Folder, survey: Survey, probe: ImageProbe | None, bases: Mapping[str, ImageInfo | None]
) -> str | None:
    name = _path_name(project.name)
    if probe is not None:
        workdir = str(probe.workdir)
        if mountable(workdir) is None:
            return workdir
        home = PurePosixPath(probe.home)
        return str((home if home.is_absolute() else PurePosixPath("/home")) / name)
    if survey.dockerfile is None:
        return None
    known = survey.dockerfile.workdir
    if known is None:
        base = survey.dockerfile.final_base()
        info = bases.get(base) if base else None
        if info is None or survey.dockerfile.sets_workdir:
            return None
        known = info.workdir
    known = posixpath.normpath(known) if known else "/"
    return known if mountable(known) is None else None


def _data_mount(folder: Folder, code: str | None) -> str:
    """``/data/NAME``; elsewhere only where the code already is at ``/data``."""
    name = _path_name(folder.name)
    for base in ("/data", "/mnt/data"):
        mount = f"{base}/{name}"
        if code is None or not (_within(mount, code) or _within(code, mount)):
            return mount
    return f"/mnt/secxops-data/{name}"


def _path_name(name: str) -> str:
    """A folder's name as one component of a mount path."""
    return name if re.fullmatch(r"[\w+@-][\w.+@ -]{0,99}", name) else slug(name)


def _within(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)


def _nested_at_source(
    path: str, other: str, found: Mapping[str, str | None], survey: Survey
) -> bool:
    """Whether two mounts lie in each other just as their folders do at the source."""
    project = survey.project.path
    if project not in (path, other):
        return False
    data = other if path == project else path
    code_mount, data_mount = found[project], found[data]
    return (
        data in survey.inside
        and code_mount is not None
        and data_mount is not None
        and data_mount != code_mount
        and _within(data_mount, code_mount)
    )


# --------------------------------------------------------------------------- parts


def _judge_dockerfile(
    survey: Survey,
    features: frozenset[str],
    policy: ResourcePolicy,
) -> tuple[list[Finding], list[Finding]]:
    refusals: list[Finding] = []
    warnings: list[Finding] = []
    if survey.dockerfile_error is not None:
        return [finding(survey.dockerfile_error)], []
    dockerfile = survey.dockerfile
    if dockerfile is None:
        return [finding(errors.NoDockerfile(project=_shown(survey.project.path)))], []
    if not {"buildkit", "syntax-1.4"} <= features:
        lines = {item.line: item for item in reversed(dockerfile.instructions)}
        for line, feature in dockerfile.needs_buildkit():
            if "buildkit" in features and (feature in OLD_FEATURES or dockerfile.syntax):
                continue
            shown = lines[line].keyword if line in lines else feature
            refusals.append(
                finding(errors.NeedsBuildKit(line=line, instruction=shown, feature=feature))
            )
    refusals += [
        finding(errors.BadDockerfile(reason=why, line=line))
        for line, why in _not_allowed(dockerfile, policy)
    ]
    for baked in survey.baked:
        error = errors.ImageHoldsProject(
            line=baked.line, files=baked.files, size=human_size(baked.bytes)
        )
        (refusals if policy.bake == "refuse" else warnings).append(finding(error))
    if policy.remote_add == "warn":
        warnings += [
            reason("remote_add", line=line, url=_without_secrets(url))
            for line, url in dockerfile.remote_adds()
        ]
    return refusals, warnings


def _not_allowed(dockerfile: Dockerfile, policy: ResourcePolicy) -> Iterator[tuple[int, str]]:
    """Yield the lines that no builder here may be given, with the reason."""
    syntax = dockerfile.syntax
    images = dockerfile.images()
    if syntax:
        line = int(dockerfile.directives["syntax.line"])
        if _KNOWN_SYNTAX.fullmatch(syntax):
            images = [(line, syntax), *images]  # it is pulled, and run by the builder
        else:
            yield line, f"it is to be read by the image {syntax[:100]}, not by Docker"
    for line, image in images if policy.allowed_bases else ():
        if not any(fnmatch.fnmatchcase(image, pattern) for pattern in policy.allowed_bases):
            yield line, f"the image {image[:100]} is not among those allowed here"
    for line, kind in dockerfile.secret_mounts():
        yield line, f"it asks for a mount of the type {kind}, and builds get no secrets here"
    if policy.remote_add == "refuse":
        for line, url in dockerfile.remote_adds():
            yield line, f"it downloads {_without_secrets(url)}, which is not allowed here"


def _outside_policy(folder: Folder, policy: ResourcePolicy) -> list[errors.Refusal]:
    path = PurePosixPath(folder.path)
    if str(path) == "/":
        return [errors.DataOutsidePolicy(path="/", reason="it is the whole machine")]
    if any(_within(str(path), system) for system in ("/proc", "/sys", "/dev", "/run", "/boot")):
        return [errors.DataOutsidePolicy(path=_shown(str(path)), reason="it belongs to the system")]
    if policy.allowed_roots and not any(path.is_relative_to(root) for root in policy.allowed_roots):
        return [
            errors.DataOutsidePolicy(
                path=_shown(str(path)), reason="the service's policy allows other folders only"
            )
        ]
    return []


def _copied(survey: Survey, where: Mapping[str, str | None]) -> list[CopiedItem]:
    rows = [
        CopiedItem(
            role="code",
            name=survey.project.name,
            source=survey.project.path,
            mount=where[survey.project.path],
            files=survey.project.files,
            bytes=survey.project.bytes,
        )
    ]
    rows += [
        CopiedItem(
            role="data",
            name=folder.name,
            source=folder.path,
            mount=where[folder.path],
            files=folder.files,
            bytes=folder.bytes,
        )
        for folder in survey.data
    ]
    if survey.dockerfile is not None:
        rows.append(
            CopiedItem(
                role="packages", name="packages of the Dockerfile", source=survey.dockerfile_path
            )
        )
    return rows


def _not_copied(survey: Survey) -> list[NotCopiedItem]:
    return [
        *survey.not_copied,
        NotCopiedItem(
            name="running kernels",
            reason="memory does not travel; notebooks do",
            code="running_kernels",
        ),
        NotCopiedItem(
            name="packages installed by hand",
            reason="only what the Dockerfile installs is rebuilt",
            code="packages_by_hand",
        ),
        NotCopiedItem(
            name="the rest of your home folder",
            reason="credentials, settings and shell history stay yours",
            code="home_folder",
        ),
    ]


def _estimate(survey: Survey) -> float:
    """Seconds: build and copy run side by side, then launch."""
    copies = [
        folder.bytes / COPY_BYTES_PER_SECOND + folder.files / COPY_FILES_PER_SECOND
        for folder in (survey.project, *survey.data)
    ]
    return round(max(BUILD_SECONDS, sum(copies)) + LAUNCH_SECONDS, 1)


def _without_secrets(url: str) -> str:
    """A URL without user, password and query."""
    return _shown(re.sub(r"//[^/]*@", "//", url).partition("?")[0][:200])


def _shown(text: str) -> str:
    """A hostile name as a sentence may hold it: one line, nothing that moves a cursor."""
    return "".join(char if char.isprintable() else "?" for char in text)
