"""Looking into a freshly built image: it is run once, without network or rights.

Through its own entrypoint, if it has one: what activates an environment there would be missing
otherwise. One that does not pass a command on (a server of its own, say) is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

import docker
from docker.types import LogConfig

from ..names import Names, labels
from ..orders import ImageInfo, ImageProbe
from ..probing import (
    ENTRYPOINT_SECONDS,
    PROBE_BYTES,
    jupyter_of,
    probe_is_complete,
    probe_of,
    probe_past_entrypoint,
    probe_words,
)
from .connection import Connection, StreamingClient
from .jobs import remove


async def look_into(
    connection: Connection, migration: str, owner: str, image: ImageInfo, *, seconds: float
) -> ImageProbe:
    """Run an image to learn its user, its folders and its JupyterLab.

    Raises
    ------
    ImageWithoutJupyter
        There is no shell in it.
    """
    name, marks = Names(migration).job("probe"), labels(owner, "job", migration)
    by_command, by_entrypoint = jupyter_of(image.command), jupyter_of(image.entrypoint)
    if image.entrypoint and not by_entrypoint:
        run = _Run(image.digest, name, marks, None, probe_words(by_command))
        said = await _said(connection, run, min(seconds, ENTRYPOINT_SECONDS))
        if probe_is_complete(said):
            return probe_of(said, by_command, "runs")
    named = by_entrypoint or by_command
    shell, *words = probe_words(named)
    run = _Run(image.digest, name, marks, [shell], words)
    said = await _said(connection, run, seconds)
    return probe_past_entrypoint(said, image)


class _Run:
    """A container to be read until it has said enough (blocking)."""

    def __init__(
        self,
        image: str,
        name: str,
        marks: dict[str, str],
        entrypoint: Sequence[str] | None,
        command: Sequence[str],
    ) -> None:
        self.name = name
        self._image = image
        self._marks = marks
        self._entrypoint = entrypoint
        self._command = command

    def output(self, client: StreamingClient) -> Iterator[bytes]:
        """Yield what it prints; nothing where it can't be started."""
        remove(client, self.name)  # what a killed service left
        container = client.create_container(
            self._image,
            name=self.name,
            entrypoint=None if self._entrypoint is None else list(self._entrypoint),
            command=list(self._command),
            labels=self._marks,
            host_config=client.create_host_config(
                network_mode="none",
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                pids_limit=64,
                mem_limit="256m",
                memswap_limit="256m",  # no swap beside it
                nano_cpus=10**9,
                init=True,
                # It is read while it runs; nothing of a flood comes to the disk.
                log_config=LogConfig(type="none"),
            ),
        )["Id"]
        chunks = client.attach(container, stdout=True, stderr=False, stream=True)
        try:
            client.start(container)
        except docker.errors.APIError as error:
            if "exec" in str(error.explanation) or "no such file" in str(error.explanation):
                return  # no shell in it, or not the entrypoint that it names
            raise
        yield from chunks


async def _said(connection: Connection, run: _Run, seconds: float) -> str:
    """Return what a container printed until it said enough, too much, or its time was over."""
    said = bytearray()

    async def read() -> None:
        async for chunk in connection.stream("run the image", run.output):
            said.extend(chunk)
            if len(said) > PROBE_BYTES or probe_is_complete(said.decode("utf-8", "replace")):
                return

    try:
        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(read(), seconds)
    finally:
        await asyncio.shield(
            connection.call("remove a container", lambda api: remove(api, run.name))
        )
    return said[:PROBE_BYTES].decode("utf-8", "replace")
