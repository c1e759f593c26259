"""What a share will do, decided before anything is touched.

Pure: what was observed comes in, a plan goes out; no I/O, no clock but for the plan's own date.
The sentences of reasons stand in `REASONS`; refusals and warnings come from `errors`, so that a
plan and a failed migration say the same.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from .. import errors
from ..building.dockerfile import Dockerfile
from ..engines.orders import ImageInfo, SourceEnvironment
from ..environment.notices import Notice
from ..environment.survey import Survey
from ..model import (
    CopiedItem,
    Finding,
    Folder,
    Migration,
    NodeCapacity,
    NotCopiedItem,
    Plan,
    Route,
    ShareRequest,
    utcnow,
)
from ..operations.record import finding
from ..placement.policy import Capacity, Decision, Needs, ResourcePolicy
from ..printable import printable
from ..units import human_duration, human_size
from .estimate import bytes_on_disk, estimate, guess
from .mounts import (
    Over,
    Place,
    around,
    inside_code,
    links_that_dangle,
    mounts,
    to_take_along,
)

REASONS: Mapping[str, tuple[str, str] | tuple[str, str, str]] = {
    "stays_here": (
        "Here, on node {node}: {cpu:CPU|CPUs} and {memory} of memory are free.",
        "",
    ),
    "fits_here": (
        "Here, on node {node}: {cpu:CPU|CPUs} and {memory} of memory are free.",
        "",
    ),
    "here_unseen": ("Here, on node {node}, if the scheduler agrees: its room can't be seen.", ""),
    "gpu_asked": ("It asks for a GPU, so the scheduler chooses the node.", ""),
    "node_short": ("It does not fit on node {node}: {lacks}.", ""),
    "node_gone": ("The source's node, {node}, is no longer there.", ""),
    "stay_failed": ("The scheduler no longer found room for it on node {node}.", ""),
    "moves": (
        "It moves: it fits on {fitting} of {total:node|nodes}, and the strategy {strategy} will probably put "
        "it on {forecast}.",
        "",
    ),
    "moves_unseen": (
        "It moves to a node that the scheduler chooses by the strategy {strategy}.",
        "",
    ),
    "image_pushed": ("Its image will be pushed to {registry}.", ""),
    "image_kept": ("Its image stays on node {node} and is not pushed.", ""),
    "unseen": (
        "This account may not see {what} of the cluster, so the scheduler decides.",
        "An admin can allow it (ClusterRole secxops-placement in the operators' guide).",
    ),
    "storage_unseen": (
        "This account may not see {what}, so whether the copies get their storage shows only when they are made.",
        "An admin can allow it (Role secxops and ClusterRole secxops-placement in the operators' guide).",
    ),
    "from_outside": ("The source is {source}, seen from outside.", ""),
    "version_asked": ("The files of version {version} ({commit}) are shared.", ""),
    "version_as_is": ("The files are shared as they are now ({label}).", ""),
    "defaults_used": (
        "{cpu:CPU|CPUs} and {memory} of memory (the defaults).",
        "Choose others with --cpu and --memory.",
        "",
    ),
    "shares_no_data": (
        "Shares no data.",
        "Take data along with --data FOLDER.",
        "Tick the data to take along.",
    ),
    "estimate": ("It will take about {duration}, most of it the first build.", ""),
    "estimate_measured": (
        "It will take about {duration}, as earlier shares of this project did.",
        "",
    ),
    "remote_add": (
        "Line {line} of the Dockerfile downloads {url} at build time; the copy's proof does not cover it.",
        "Put the file into the project, or fetch it in RUN with its checksum.",
    ),
    "data_moves": (
        "{source} lies inside the project and will be at {mount}.",
        "Code that looks for it in the project will not find it there.",
    ),
    "links_dangle": (
        "Links in {folder} will lead nowhere in the copy ({count}): {first} points to {target}.",
        "Take along what they point to: {take}",
        "",
    ),
    "links_leave_data": (
        "Links in {folder} point out of it and will lead nowhere in the copy ({count}): {first} points to "
        "{target}.",
        "Take the folder that holds both instead: --data {around}",
        "Take the folder that holds both instead: {around}",
    ),
    "owners_given": (
        "In {folder}, files of other accounts ({count}, such as {first}) will belong to the copy's user.",
        "Leave them to their owners with --keep-owners.",
        "",
    ),
    "owners_kept": (
        "In {folder}, the copy's user may not read or save files of other accounts ({count}), such as {first}.",
        "Share without --keep-owners to give everything to the copy's user.",
        'Untick "Leave files of other accounts to their owners" to give everything to the copy\'s user.',
    ),
    "base_not_here": (
        "The image {image}, which the Dockerfile starts FROM, is not on {node} yet and will be pulled.",
        "",
    ),
    "mount_inside": (
        "{path} is a mount of its own inside {folder}: what lies there is not copied.",
        "Take it along with --data {path}.",
        "Add it as data to take it along.",
    ),
    "lfs_missing": (
        "Git LFS content is not here for {count} of this version's files: only pointers are copied.",
        "Run `git lfs fetch` for this version, and plan again.",
    ),
    "submodule_missing": (
        "{count} of this version's submodules can't be found here and will be empty.",
        "Run `git submodule update --init --recursive` with this version checked out, and plan again.",
    ),
    "filters_not_applied": (
        "{count} of this version's files, such as {first}, are copied as git stores them: their filter, encoding"
        " or line ends (.gitattributes) are not applied.",
        "Set the filter up in the copy and check these files out again, or share the files as they are.",
    ),
    "git_elsewhere": (
        "Git will not work in the copy of these folders ({count}, such as {first}): their .git only points"
        " elsewhere (a linked worktree, a submodule, a link).",
        "Share the main work tree, or a clone of it, if the copy should have the history.",
    ),
    "git_alternates": (
        "Git will not work in the copy of these repositories ({count}, such as {first}): they borrow objects"
        " from elsewhere (clones with --shared or --reference), which are not copied.",
        "Make each independent: `git repack -a -d`, then remove its .git/objects/info/alternates.",
    ),
    "git_unread": (
        "The project's git repository can't be read here (SHA-256, a newer format, or settings that"
        " open other files): it is copied, but its commit and changes are not known.",
        "",
    ),
    "changes_unknown": (
        "Which files were changed since the commit is not known: git's index is split or sparse, which"
        " can't be read here.",
        "Run `git update-index --no-split-index`, or `git sparse-checkout reapply --no-sparse-index`.",
    ),
    "venv_inside": (
        "{first} holds an environment of Python or conda, whose programs know it by its path here: they"
        " will not run at another path.",
        "Install its packages in the Dockerfile, and keep it out of the project.",
    ),
    "paths_inside": (
        "Runs of MLflow name their results by their path here ({count}, such as {first}): they will not be found at"
        " another path.",
        "Have the folder at the same path in the copy (--mount {source}={source}), or track runs on a server.",
    ),
    "database_in_use": (
        "A program seems to be writing to databases here ({count}, such as {first}): their files are copied one after"
        " the other, so that the copy of one may not open, or lack what was written last.",
        "Stop that program first, or share a dump of the database.",
    ),
    "build_needs_git": (
        "{file} asks for {tool}, which takes the version from .git; the build is not sent .git.",
        "Give the version in the Dockerfile, for instance with ENV SETUPTOOLS_SCM_PRETEND_VERSION=1.0.",
    ),
    "credentials_left_out": (
        "Left out because they may hold credentials: {count}, for example {first}.",
        "Take a file along all the same with --keep PATH.",
        "Take a file along all the same with Keep.",
    ),
    "credentials_kept": (
        "Copied as you asked, although they may hold credentials: {count}, for example {first}.",
        "",
    ),
    "keep_unused": (
        "You asked to keep {path}, but that changes nothing: there is no such path in what is shared, nothing there"
        " would be left out, or it can never be copied.",
        "Give an absolute path, or one from the project's folder.",
    ),
    "image_needs_left_out": (
        "Line {line} of the Dockerfile copies {path}, which may hold credentials and is left out.",
        "Remove the line, or take the file along with --keep {path}: it will be in the image then.",
        "Remove the line, or keep the file: it will be in the image then.",
    ),
    "unsaved_documents": (
        "Open documents have unsaved changes ({count}, such as {first}): what is not saved is not copied.",
        "Save them first.",
        "",
    ),
    "whole_home": (
        "{path} is a whole home folder; everything in it but credentials would be copied.",
        "Share the project's own folder instead.",
    ),
}
"""Code to sentence and hint, and the hint where people click if it is another (`errors.clicked`); clients translate
by code."""

MOST_UNUSED = 20
"""Of that many paths that keep nothing, each is named; a request may have a thousand."""

OLD_FEATURES = {"RUN --mount", "RUN --network", "RUN --security", "COPY --chmod", "ADD --chmod"}
"""What every BuildKit knows. What came later it only knows of itself from syntax 1.4 on, or if the
Dockerfile names a syntax, which it then pulls."""

LEAST_CPU = 0.01
"""Kernels know no quota below a millisecond of each tenth of a second; Docker takes less for no limit."""

_KNOWN_SYNTAX = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:[:@][\w.:@+-]*)?")


def reason(code: str, **params: Any) -> Finding:
    """Return a reason from the table, its sentence filled in."""
    text, hint, *_ = REASONS[code]
    return Finding(
        code=code, message=errors.fill(text, params), hint=errors.fill(hint, params), params=params
    )


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
    refusals: list[Finding] = []
    warnings: list[Finding] = []

    if cpu < LEAST_CPU:
        error = errors.TooLittleCpu(asked=f"{cpu:g}", least=f"{LEAST_CPU:g}")
        refusals.append(finding(error))
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
                    path=printable(survey.project.path),
                    first=printable(survey.unreadable[0]),
                )
            )
        )

    volumes = sum(bytes_on_disk(folder) for folder in (survey.project, *survey.data))
    disk = volumes + survey.context_bytes + policy.image_estimate
    decision = capacity.decide(Needs(cpu, memory, request.gpu, disk), policy)
    refusals += [finding(error) for error in decision.refusals]
    refusals += _unreachable(decision, features, capacity)
    warnings += [finding(error) for error in decision.warnings]

    warnings += [
        reason(
            "mount_inside",
            path=printable(str(PurePosixPath(folder) / path)),
            folder=printable(PurePosixPath(folder).name),
        )
        for folder, paths in survey.elsewhere.items()
        for path in paths
    ]
    warnings += _unsaved(unsaved)
    warnings += _credentials(survey)
    if survey.whole_home:
        warnings.append(reason("whole_home", path=printable(survey.project.path)))

    where = mounts(request, survey, None, places, bases=bases)
    warnings += _dangling(survey, where)
    if request.keep_owners:
        warnings += [reason("owners_kept", **about) for about in _of_others(survey)]
    warnings += _noticed(survey, where)
    expected = estimate(survey, earlier)
    seconds = guess(survey) if expected is None else expected
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
    if not request.keep_owners:
        reasons += [reason("owners_given", **about) for about in _of_others(survey)]
    reasons += [
        reason("base_not_here", image=base, node=capacity.here.node)
        for base, info in bases.items()
        if info is None
    ]
    for folder in survey.data:
        mount, inside = where[folder.path], survey.inside.get(folder.path)
        if inside is not None and mount != inside_code(where[survey.project.path], inside):
            reasons.append(reason("data_moves", source=printable(inside), mount=mount or ""))
    if not refusals:
        took = {"duration": human_duration(seconds), "seconds": seconds}
        reasons.append(
            reason("estimate", **took) if expected is None else reason("estimate_measured", **took)
        )

    return Plan(
        name=request.name or name_default or default_name(survey.project.name),
        route=decision.route,
        node=decision.node,
        reasons=reasons,
        copied=_copied(survey, where),
        not_copied=_not_copied(survey),
        changed=list(survey.changed),
        kept=list(survey.kept),
        warnings=warnings,
        refusals=refusals,
        version=survey.version,
        cpu=cpu,
        memory=memory,
        gpu=request.gpu,
        observation=capacity.here,
        terms=dict(decision.terms),
        placement=None if decision.record is None else dict(decision.record),
        estimate_seconds=seconds,
    )


def would_hide(over: Over) -> errors.ImageVolumeHides:
    """Return the error for a volume of the image that would lie over what is copied."""
    return errors.ImageVolumeHides(
        volume=printable(over.mount),
        path=shlex.quote(printable(posixpath.join(over.folder, over.path))),
        folder=shlex.quote(printable(over.folder)),
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
    *("stay_failed", "moves", "moves_unseen", "unseen", "storage_unseen"),
    *("estimate", "estimate_measured", "image_pushed", "image_kept"),
}


def _noticed(survey: Survey, where: Mapping[str, str | None]) -> list[Finding]:
    """Say what will work otherwise in the copy; what knows its path will not where that stays."""

    def stays(notice: Notice) -> bool:
        source = notice.source or survey.project.path
        return notice.code in ("venv_inside", "paths_inside") and where[source] == source

    return [reason(n.code, **n.filled) for n in survey.notices if not stays(n)]


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
        return temporary[0]
    return errors.Refused(
        reasons=" ".join(item.message for item in refusals),
        hints=" ".join(dict.fromkeys(item.hint for item in refusals if item.hint)),
        codes=[item.code for item in refusals],
    )


# --------------------------------------------------------------------------- parts


def no_dockerfile(survey: Survey, project: str) -> errors.Refusal:
    """Return the error for a project without a Dockerfile, with one that it may mean."""
    others = [printable(path) for path in survey.dockerfiles_elsewhere]
    if others:
        return errors.DockerfileElsewhere(project=printable(project), first=others[0], paths=others)
    return errors.NoDockerfile(
        project=printable(project), dockerfile=printable(survey.dockerfile_path)
    )


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
        return [finding(no_dockerfile(survey, survey.project.path))], []
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
    images = dockerfile.images()
    for line, syntax in dockerfile.frontends:
        if _KNOWN_SYNTAX.fullmatch(syntax):
            images = [(line, syntax), *images]  # it is pulled, and run by the builder
        else:
            yield line, f"it is to be read by the image {printable(syntax[:100])}, not by Docker"
    for line, image in images if policy.allowed_bases else ():
        # A variable that only the builder knows can turn the rest of a name into another image.
        known = "$" not in image
        if not (known and any(fnmatch.fnmatchcase(image, p) for p in policy.allowed_bases)):
            yield line, f"the image {printable(image[:100])} is not among those allowed here"
    for line, kind in dockerfile.secret_mounts():
        yield line, f"it asks for a mount of the type {kind}, and builds get no secrets here"
    if policy.remote_add == "refuse":
        for line, url in dockerfile.remote_adds():
            yield line, f"it downloads {_without_secrets(url)}, which is not allowed here"


def _outside_policy(folder: Folder, policy: ResourcePolicy) -> list[errors.Refusal]:
    path = PurePosixPath(folder.path)
    if policy.allowed_roots and not any(path.is_relative_to(root) for root in policy.allowed_roots):
        return [
            errors.DataOutsidePolicy(
                path=printable(str(path)), reason="the service's policy allows other folders only"
            )
        ]
    return []


def _dangling(survey: Survey, where: Mapping[str, str | None]) -> Iterator[Finding]:
    """Yield a warning for each folder with links that will lead nowhere, with what would bring it."""
    for folder, links in links_that_dangle(survey, where).items():
        largest = max(links, key=lambda row: row.count)
        about = {
            "count": sum(row.count for row in links),
            "folder": printable(PurePosixPath(folder).name),
            "first": printable(largest.paths[0]),
            "target": printable(largest.target),
            "paths": [path for row in links for path in row.paths][:50],
            "source": folder,
        }
        both = None if folder == survey.project.path else around(links)
        if both is not None:
            shown = shlex.quote(both)
            yield reason("links_leave_data", around=shown, data=[both], instead=folder, **about)
        else:
            found = {
                take.options: take for row in links for take in [to_take_along(row, where, survey)]
            }
            few = list(found.values())[:5]
            mounts_asked = {path: mount for take in few for path, mount in take.mounts.items()}
            yield reason(
                "links_dangle",
                take=" ".join(take.options for take in few),
                data=list(dict.fromkeys(take.data for take in few)),
                mounts=mounts_asked,
                **about,
            )


def _of_others(survey: Survey) -> Iterator[dict[str, Any]]:
    """Yield, by folder, what there is that the copy's user could not use with its owner."""
    for folder, others in survey.others.items():
        if others.closed:
            yield {
                "folder": printable(PurePosixPath(folder).name),
                "count": others.closed,
                "first": printable(others.paths[0]),
                "paths": list(others.paths[: others.closed]),
                "source": folder,
                "barred": others.barred,
            }


def _copied(survey: Survey, where: Mapping[str, str | None]) -> list[CopiedItem]:
    rows = [
        CopiedItem(
            role="code",
            name=survey.project.name,
            source=survey.project.path,
            mount=where[survey.project.path],
            files=survey.project.files,
            bytes=survey.project.bytes,
            transient=survey.project.transient,
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
            transient=folder.transient,
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


def _credentials(survey: Survey) -> list[Finding]:
    """Say what may hold credentials, and whether it travels."""
    found = []
    left = _sample([row for row in survey.not_copied if row.keep])
    if left:
        found.append(reason("credentials_left_out", **left))
    kept = _sample(survey.kept)
    if kept:
        found.append(reason("credentials_kept", **kept))
    found += [
        reason("keep_unused", path=printable(path)) for path in survey.keep_unused[:MOST_UNUSED]
    ]
    found += [
        reason("image_needs_left_out", line=line, path=printable(path))
        for line, path in survey.needed
    ]
    return found


def _unsaved(documents: Mapping[int, str]) -> Iterator[Finding]:
    """Name the documents that are shared as they were last saved; ``which`` counts in the request."""
    if documents:
        shown = [printable(path) for path in documents.values()]
        about = {"count": len(shown), "first": shown[0], "paths": shown[:50]}
        yield reason("unsaved_documents", which=list(documents), **about)


def _sample(rows: Sequence[NotCopiedItem]) -> dict[str, Any]:
    """Return count, first and paths of rows as a finding names them; empty without any."""
    paths = [printable(row.name) for row in rows]
    return {"count": len(paths), "first": paths[0], "paths": paths} if paths else {}


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


def _without_secrets(url: str) -> str:
    """A URL without user, password and query."""
    return printable(re.sub(r"//[^/]*@", "//", url).partition("?")[0][:200])
