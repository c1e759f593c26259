"""What a Docker host has room for and what of ours is on it, listed by its labels and taken away.

Plays the role `Housekeeping`; the functions below it ask the engine (blocking).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import docker

from ... import errors
from ...model import Check, Orphan
from ...placement.policy import Capacity, OneNode
from ..errors import ToolsImageMissing
from ..names import MANAGED_BY, MANAGER, MIGRATION, OWNER, ROLE, owner_hash
from ..orders import TrialOrder
from .accounts import missing_helpers
from .capacity import capacity_of
from .connection import Connection, product
from .images import Images, remove_unused
from .jobs import remove
from .leftovers import named
from .settings import DockerSettings


class Housekeeping:
    """One Docker host."""

    def __init__(self, connection: Connection, settings: DockerSettings, images: Images) -> None:
        self._connection = connection
        self._settings = settings
        self._images = images

    async def doctor(self) -> list[Check]:
        """Check that Docker answers and has what a share needs; never raises."""
        try:
            answering = await self._connection.call("answer", product)
        except errors.SecxopsError as error:
            return [Check(name="engine", state="failed", message=error.message, hint=error.hint)]
        found = [Check(name="engine", state="ok", message=f"{answering} answers.")]
        found.append(await self._tools_checked())
        found += await self._accounts_checked()
        if self._settings.index_has_password:
            found.append(
                Check(
                    name="package index",
                    state="warning",
                    message="PIP_INDEX_URL holds a password and is not passed to image builds: "
                    "the image's history would show it.",
                    hint="Use an index without a password for builds (DockerEngine.package_index).",
                )
            )
        return found

    async def _tools_checked(self) -> Check:
        name, image = "tools image", self._settings.tools_image or self._settings.tools_base
        if refused := await self._images.tools_refused():
            return Check(name=name, state="failed", message=refused.message, hint=refused.hint)
        if await self._images.image(image) is None:
            return Check(
                name=name,
                state="warning",
                message=f"{image} is not there yet; the first share will try to pull it.",
                hint=ToolsImageMissing(reason="").hint,
            )
        return Check(name=name, state="ok", message=f"{image} is there.")

    async def _accounts_checked(self) -> Sequence[Check]:
        name = "accounts"
        if problem := await self._images.accounts_refused():
            return [Check(name=name, state="failed", message=problem.message, hint=problem.hint)]
        missing = await self._connection.call("find your accounts", missing_helpers)
        if not missing:
            return []
        return [
            Check(
                name=name,
                state="warning",
                message=f"Your Docker configuration names {', '.join(missing)}, which is not here: "
                "its passwords for registries can't be used.",
                hint="Install it, or remove credsStore and credHelpers from ~/.docker/config.json and "
                "use `docker login`, if your projects start from private images.",
            )
        ]

    async def capacity(self, volumes: Sequence[str], sizes: Sequence[int | None] = ()) -> Capacity:
        """Observe the host: what it has, what the limits of running containers ask of it."""
        return OneNode(await self._connection.call("report its resources", capacity_of, long=True))

    async def try_out(self, order: TrialOrder) -> Sequence[errors.SecxopsError]:
        """Ask whether images can be had as they are needed; an engine makes all else that it is asked for."""
        found = await self._images.accounts_refused() or await self._images.tools_refused()
        return () if found is None else (found,)

    async def identity(self) -> str:
        """Nothing but the record tells one notebook on a host from another."""
        return ""

    async def end_jobs(self, migration: str) -> None:
        """End and remove the migration's Jobs."""
        await self._connection.call("end the Jobs", lambda api: end_jobs(api, migration), long=True)

    async def delete(self, migration: str) -> None:
        """Remove environment, Jobs and volumes."""
        await self._connection.call(
            "remove the environment", lambda api: delete(api, migration), long=True
        )

    async def owned(self, owner: str) -> list[Orphan]:
        """List all objects of this owner that carry our labels."""
        return await self._connection.call(
            "list what is yours", lambda api: owned(api, owner), long=True
        )

    async def remove(self, objects: Sequence[Orphan]) -> None:
        """Remove listed objects; absent is success."""
        await self._connection.call(
            "remove what is left over", lambda api: remove_listed(api, objects), long=True
        )


def end_jobs(api: docker.APIClient, migration: str) -> None:
    """End and remove the migration's Jobs."""
    for row in api.containers(all=True, filters=_filter({MIGRATION: migration, ROLE: "job"})):
        remove(api, row["Id"])


def delete(api: docker.APIClient, migration: str) -> None:
    """Remove environment, Jobs and volumes."""
    mine = _filter({MIGRATION: migration})
    for row in api.containers(all=True, filters=mine):
        remove(api, row["Id"])
    for volume in api.volumes(filters=mine)["Volumes"] or ():
        with contextlib.suppress(docker.errors.NotFound):
            api.remove_volume(volume["Name"])


def owned(api: docker.APIClient, owner: str) -> list[Orphan]:
    """List all objects of this owner that carry our labels."""
    mine = _filter({MANAGED_BY: MANAGER, OWNER: owner_hash(owner)})
    found = []
    for row in api.containers(all=True, filters=mine):
        marks = row["Labels"]
        if MIGRATION not in marks:
            continue  # a container that somebody made of a shared image has its labels
        found.append(
            Orphan(
                kind="container",
                name=row["Names"][0].lstrip("/"),
                role=marks.get(ROLE, ""),
                migration=marks.get(MIGRATION),
                created=datetime.fromtimestamp(row["Created"]).astimezone(),
            )
        )
    for volume in api.volumes(filters=mine)["Volumes"] or ():
        marks = volume["Labels"] or {}
        found.append(
            Orphan(
                kind="volume",
                name=volume["Name"],
                role=marks.get(ROLE, ""),
                migration=marks.get(MIGRATION),
                created=volume.get("CreatedAt"),
            )
        )
    return [*found, *_images(api, owner)]


def _images(api: docker.APIClient, owner: str) -> Iterator[Orphan]:
    """Yield the names of this owner's images, and the ids of those that have none.

    What somebody built from a shared image has its labels, and is theirs as soon as it has a name; so is
    what a container runs that no migration made.
    """
    mine = f"secxops/{owner_hash(owner)}/"
    rows = api.images(filters=_filter({MANAGED_BY: MANAGER, OWNER: owner_hash(owner)}))
    if not rows:
        return
    others = [row for row in api.containers(all=True) if MIGRATION not in (row["Labels"] or {})]
    used = {row["ImageID"] for row in others}
    for row in rows:
        if row["Id"] in used:
            continue
        names = [name for name in row["RepoTags"] or () if name.startswith(mine)]
        for name in names if named(row) else [row["Id"]]:
            yield Orphan(
                kind="image",
                name=name,
                role=row["Labels"].get(ROLE, ""),
                created=datetime.fromtimestamp(row["Created"]).astimezone(),
                bytes=row["Size"],
            )


def remove_listed(api: docker.APIClient, objects: Sequence[Orphan]) -> None:
    """Remove listed objects; absent is success."""
    for found in sorted(objects, key=lambda o: o.kind != "container"):
        with contextlib.suppress(docker.errors.NotFound):
            if found.kind == "container":
                remove(api, found.name)
            elif found.kind == "volume":
                api.remove_volume(found.name)
            elif found.kind == "image":
                remove_unused(api, found.name)


def _filter(marks: Mapping[str, str]) -> dict[str, list[str]]:
    return {"label": [f"{k}={v}" for k, v in marks.items()]}
