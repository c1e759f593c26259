"""Housekeeping of a real Docker Engine: what is listed as an owner's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import docker
import pytest

from jupyter_secxops_migrate.engines.docker import DockerEngine
from jupyter_secxops_migrate.engines.names import labels, owner_hash
from jupyter_secxops_migrate.engines.orders import (
    BuildResult,
    result_of,
)

from .bench import (
    Work,
    build_order,
)

pytestmark = pytest.mark.docker


def test_images_are_listed_by_their_names_and_those_without_one(
    work: Work[None],
    migration: str,
    bare_image: str,
    docker_client: docker.DockerClient,
    tmp_path: Path,
) -> None:
    text = f"FROM {bare_image}\nRUN echo {migration} > /a\n"
    order = replace(
        build_order(migration, tmp_path, text),
        repository=f"secxops/{owner_hash(migration)}/x",
        labels=labels(migration, "environment"),
    )

    async def listed(engine: DockerEngine) -> list[str]:
        return [o.name for o in await engine.owned(migration) if o.kind == "image"]

    async def list_and_remove(engine: DockerEngine) -> None:
        built = await result_of(engine.build(order), BuildResult)
        assert await listed(engine) == [built.reference]
        image = docker_client.images.get(built.info.digest)
        image.tag("secxops-test-engine/theirs", migration)
        docker_client.images.remove(built.reference)
        assert await listed(engine) == []  # it has a name that somebody gave it
        theirs = docker_client.containers.run(image.id, "sleep 60", detach=True)
        docker_client.images.remove(f"secxops-test-engine/theirs:{migration}", force=True)
        assert await listed(engine) == []  # and it is theirs as long as they use it
        theirs.remove(force=True)
        assert await listed(engine) == [image.id]
        await engine.remove(await engine.owned(migration))
        assert await listed(engine) == [] and await engine.image(image.id) is None

    work(list_and_remove)
