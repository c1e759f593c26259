"""An engine whose things of one migration are deleted at the end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator

import docker
import pytest

from jupyter_secxops_migrate.engines.docker import DockerEngine

from .bench import T


@pytest.fixture
def migration() -> str:
    return f"m{secrets.token_hex(5)}"


@pytest.fixture
def work(
    migration: str, bare_image: str, docker_client: docker.DockerClient
) -> Iterator[Callable[[Callable[[DockerEngine], Awaitable[T]]], T]]:
    """Run calls of an engine; what they made of the migration is deleted at the end."""

    async def ended(call: Callable[[DockerEngine], Awaitable[T]]) -> T:
        engine = DockerEngine(tools_base=bare_image, launch_timeout=60.0)
        try:
            return await call(engine)
        finally:
            await engine.close()

    yield lambda call: asyncio.run(ended(call))
    asyncio.run(ended(lambda engine: engine.delete(migration)))
    for image in docker_client.images.list(name=f"secxops-test-engine/{migration}"):
        docker_client.images.remove(image.id, force=True)
