"""What migrations have on a Docker host: listed by their labels, and taken away (blocking)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import docker

from ...model import Orphan
from ..names import MANAGED_BY, MANAGER, MIGRATION, OWNER, ROLE, owner_hash
from .images import remove_unused
from .jobs import remove
from .leftovers import named


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
