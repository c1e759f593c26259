"""Where a copy has its folders: pure, paths in and paths out."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from .. import errors
from ..building.dockerfile import Dockerfile
from ..engines.names import slug
from ..engines.orders import ImageInfo, ImageProbe, SourcePlace
from ..environment.survey import Survey
from ..model import Finding, Folder, ShareRequest
from ..project.links import LinksOut
from ..project.system import in_image

Place = SourcePlace | Finding
"""What a Job mounts for a folder, or why it can't reach it."""

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
    "/tmp",  # noqa: S108 - only compared
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
    ``/data/NAME``. Data inside the project keeps its place in it, wherever the code goes, and data
    given as a link is where the link was. ``request.mounts`` goes before all of this.

    Parameters
    ----------
    probe
        What running the built image showed; None before the build, when the Dockerfile and its base
        image say what they can. Where they do not say it, the mounts of the code and of the data
        inside it are None.

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
        elif keeps_its_place(folder, survey):
            found[folder.path] = inside_code(found[survey.project.path], survey.inside[folder.path])
        elif isinstance(place, SourcePlace) and place.mount is not None:
            link = survey.links_given.get(folder.path, "")
            found[folder.path] = link if mountable(link) is None else place.mount
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


def inside_code(code: str | None, path: str) -> str | None:
    """Return where a path is in the copy that the project has relative to itself.

    None where that can't be said yet; an absolute path is where it is.
    """
    if path.startswith("/"):
        return path
    return None if code is None else posixpath.normpath(posixpath.join(code, path))


def keeps_its_place(folder: Folder, survey: Survey) -> bool:
    """Return whether a data folder lies in the project where a volume can be mounted."""
    inside = survey.inside.get(folder.path)
    return inside is not None and mountable(f"/code/{inside}") is None


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


_HOME = re.compile(r"/root|/home/[^/]+")


def _code_mount(
    project: Folder, survey: Survey, probe: ImageProbe | None, bases: Mapping[str, ImageInfo | None]
) -> str | None:
    name = _path_name(project.name)
    if probe is not None:
        workdir, home = str(probe.workdir), PurePosixPath(probe.home)
        # Over a home it would hide what the image has there: ~/.local, conda, kernels.
        if mountable(workdir) is None and not _within(str(home), workdir):
            return workdir
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
    # Whose home it may be, only the image's user tells.
    return known if mountable(known) is None and not _HOME.fullmatch(known) else None


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
    return data in survey.inside and data_mount == inside_code(code_mount, survey.inside[data])


# --------------------------------------------------------------------------- volumes of the image


class Over(NamedTuple):
    """A volume of the image that lies over a part of what is mounted.

    ``folder`` is the source's folder, ``path`` relative to it, ``mount`` where that is in the copy.
    """

    folder: str
    path: str
    mount: str


def image_volumes(dockerfile: Dockerfile, bases: Mapping[str, ImageInfo | None]) -> list[str]:
    """Return the volumes that an image will have, as far as that is known before it is built."""
    base = dockerfile.final_base()
    info = bases.get(base) if base else None
    return [*(info.volumes if info else ()), *dockerfile.volumes()]


def lie_over(
    volumes: Iterable[str], where: Mapping[str, str | None], survey: Survey
) -> Iterator[Over]:
    """Yield the volumes of an image that lie over a part of what is mounted, each once.

    Not one for which there is a mount, as that takes its place, nor one over what is not copied.
    """
    mounted = {mount: folder for folder, mount in where.items() if mount is not None}
    for volume in dict.fromkeys(posixpath.normpath(f"/{volume.lstrip('/')}") for volume in volumes):
        below = [mount for mount in mounted if _within(volume, mount)]
        if not below or volume in mounted:
            continue
        mount = max(below, key=len)
        folder, path = mounted[mount], posixpath.relpath(volume, mount)
        if not any(_within(path, other) for other in survey.elsewhere.get(folder, ())):
            yield Over(folder, path, volume)


# --------------------------------------------------------------------------- links


def links_that_dangle(survey: Survey, where: Mapping[str, str | None]) -> dict[str, list[LinksOut]]:
    """Return, by folder, the links that lead to something here and will lead nowhere in the copy.

    ``where`` is what `mounts` gave. A link is fine if the copy has the same at the place where the
    link looks for it.
    """
    found: dict[str, list[LinksOut]] = {}
    for links in survey.links_out:
        if not _arrives(links, where):
            found.setdefault(links.root, []).append(links)
    return found


def _arrives(links: LinksOut, where: Mapping[str, str | None]) -> bool:
    looked = inside_code(where[links.root], links.way)
    here = posixpath.normpath(posixpath.join(links.root, links.way))
    return (
        looked is not None
        and any(_within(links.target, folder) for folder in where)
        and any(
            mount is not None
            and _within(looked, mount)
            and inside_code(folder, posixpath.relpath(looked, mount)) == here
            for folder, mount in where.items()
        )
    )


class TakeAlong(NamedTuple):
    """What brings what links lead to, to where they look for it: a data folder, and mounts of a request."""

    data: str
    mounts: Mapping[str, str]

    @property
    def options(self) -> str:
        """The same as options of the command line."""
        mounts = [f"--mount {_word(path)}={_word(mount)}" for path, mount in self.mounts.items()]
        return " ".join([f"--data {_word(self.data)}", *mounts])


def to_take_along(links: LinksOut, where: Mapping[str, str | None], survey: Survey) -> TakeAlong:
    """Return what brings what links lead to."""
    project = survey.project.path
    if links.whole and links.root == project:
        return TakeAlong(posixpath.join(project, links.paths[0]), {})
    asked = {}
    looked = inside_code(where[links.root], links.way)
    if looked is None:
        # Everything where it is here: then every way leads where it does here.
        looked = posixpath.normpath(posixpath.join(links.root, links.way))
        asked[project] = project
    if looked != links.target or where[links.root] != links.root:
        asked[links.target] = looked
    return TakeAlong(links.target, asked)


def around(links: Sequence[LinksOut]) -> str | None:
    """Return the folder that holds a data folder and all that its links lead to by relative ways.

    None where there is none, or none that anybody would take along.
    """
    if any(row.way.startswith("/") for row in links):
        return None
    common = posixpath.commonpath([links[0].root, *(row.target for row in links)])
    return None if len(PurePosixPath(common).parts) < 4 or in_image(common) else common


_word = shlex.quote
