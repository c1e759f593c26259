"""What stands against a share: everything that must change before one is begun.

Pure: what was observed comes in, refusals go out. What a share may be begun with all the same is in
`warnings`.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from .. import errors
from ..building.dockerfile import Dockerfile
from ..building.errors import BadDockerfile, DockerfileElsewhere, NeedsBuildKit, NoDockerfile
from ..copying.errors import FileUnreadable
from ..environment.survey import Survey
from ..model import Finding, Folder, Plan, Route
from ..operations.record import finding
from ..placement.errors import RegistryMissing, TooLittleCpu
from ..placement.policy import Capacity, Decision, ResourcePolicy
from ..printable import printable
from ..project.errors import DataOutsidePolicy
from .errors import ImageVolumeHides, Refused
from .mounts import Over, Place
from .warnings import baked, without_secrets

__all__ = [
    "against_dockerfile",
    "against_folders",
    "no_dockerfile",
    "refused",
    "refused_by",
    "too_little_cpu",
    "unreachable",
    "unreadable",
    "would_hide",
]

OLD_FEATURES = {"RUN --mount", "RUN --network", "RUN --security", "COPY --chmod", "ADD --chmod"}
"""What every BuildKit knows. What came later it only knows of itself from syntax 1.4 on, or if the
Dockerfile names a syntax, which it then pulls."""

LEAST_CPU = 0.01
"""Kernels know no quota below a millisecond of each tenth of a second; Docker takes less for no limit."""

_KNOWN_SYNTAX = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:[:@][\w.:@+-]*)?")


def too_little_cpu(cpu: float) -> list[Finding]:
    """Refuse a share of a core that no kernel can give."""
    if cpu >= LEAST_CPU:
        return []
    return [finding(TooLittleCpu(asked=f"{cpu:g}", least=f"{LEAST_CPU:g}"))]


def against_folders(
    survey: Survey, places: Mapping[str, Place], policy: ResourcePolicy
) -> Iterator[Finding]:
    """Refuse folders that no Job can mount, or that the admin's policy leaves out."""
    for folder in (survey.project, *survey.data):
        place = places.get(folder.path)
        if isinstance(place, Finding):
            yield place
        for error in _outside_policy(folder, policy):
            yield finding(error)


def _outside_policy(folder: Folder, policy: ResourcePolicy) -> list[errors.Refusal]:
    path = PurePosixPath(folder.path)
    if policy.allowed_roots and not any(path.is_relative_to(root) for root in policy.allowed_roots):
        return [
            DataOutsidePolicy(
                path=printable(str(path)), reason="the service's policy allows other folders only"
            )
        ]
    return []


def against_dockerfile(
    survey: Survey, features: frozenset[str], policy: ResourcePolicy
) -> Iterator[Finding]:
    """Refuse a Dockerfile that is not there, can't be read, can't be built here or may not be."""
    if survey.dockerfile_error is not None:
        yield finding(survey.dockerfile_error)
    elif survey.dockerfile is None:
        yield finding(no_dockerfile(survey, survey.project.path))
    else:
        yield from _needs_buildkit(survey.dockerfile, features)
        for line, why in _not_allowed(survey.dockerfile, policy):
            yield finding(BadDockerfile(reason=why, line=line))
        if policy.bake == "refuse":
            yield from baked(survey)


def no_dockerfile(survey: Survey, project: str) -> errors.Refusal:
    """Return the error for a project without a Dockerfile, with one that it may mean."""
    others = [printable(path) for path in survey.dockerfiles_elsewhere]
    if others:
        return DockerfileElsewhere(project=printable(project), first=others[0], paths=others)
    return NoDockerfile(project=printable(project), dockerfile=printable(survey.dockerfile_path))


def _needs_buildkit(dockerfile: Dockerfile, features: Collection[str]) -> Iterator[Finding]:
    """Refuse what the builder here does not know."""
    if {"buildkit", "syntax-1.4"} <= set(features):
        return
    lines = {item.line: item for item in reversed(dockerfile.instructions)}
    for line, feature in dockerfile.needs_buildkit():
        if "buildkit" in features and (feature in OLD_FEATURES or dockerfile.syntax):
            continue
        shown = lines[line].keyword if line in lines else feature
        yield finding(NeedsBuildKit(line=line, instruction=shown, feature=feature))


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
            yield line, f"it downloads {without_secrets(url)}, which is not allowed here"


def unreadable(survey: Survey) -> list[Finding]:
    """Refuse a project with files that can't be read: the copy would lack them."""
    if not survey.unreadable:
        return []
    error = FileUnreadable(
        count=len(survey.unreadable),
        path=printable(survey.project.path),
        first=printable(survey.unreadable[0]),
    )
    return [finding(error)]


def unreachable(decision: Decision, features: frozenset[str], capacity: Capacity) -> list[Finding]:
    """Refuse a move to where the image can't follow."""
    here = capacity.here.node
    # One that is only not ready can't have it either.
    elsewhere = all(
        isinstance(error, errors.TemporaryError) and error.params.get("node") != here
        for error in decision.refusals
    )
    if decision.route is Route.STAY or "push" in features or not elsewhere:
        return []
    return [finding(RegistryMissing(node=here))]


def would_hide(over: Over) -> ImageVolumeHides:
    """Return the error for a volume of the image that would lie over what is copied."""
    return ImageVolumeHides(
        volume=printable(over.mount),
        path=shlex.quote(printable(posixpath.join(over.folder, over.path))),
        folder=shlex.quote(printable(over.folder)),
    )


def refused(plan: Plan) -> errors.SecxopsError | None:
    """Return the error that a refused plan becomes, None if it is not refused."""
    return refused_by(plan.refusals) if plan.refusals else None


def refused_by(refusals: Sequence[Finding]) -> errors.SecxopsError:
    """Return the error that sums refusals up; a temporary one where waiting is all that it takes."""
    found = [errors.SecxopsError.from_dict(item.model_dump()) for item in refusals]
    temporary = [error for error in found if isinstance(error, errors.TemporaryError)]
    if len(temporary) == len(found):
        return temporary[0]
    return Refused(
        reasons=" ".join(item.message for item in refusals),
        hints=" ".join(dict.fromkeys(item.hint for item in refusals if item.hint)),
        codes=[item.code for item in refusals],
    )
