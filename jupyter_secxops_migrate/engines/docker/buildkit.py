"""Building an image with BuildKit, the newer builder in Docker Engine.

The engine takes a whole context here as it does for the classic builder, so no session of BuildKit's
is held: secrets and SSH agents, which only a session could give, are not there for the build. What
BuildKit tells on the way are messages of its own protocol (``StatusResponse`` of its control API),
one a line, each in base64.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import docker

from ... import errors
from ..buildkit import BuildKitOutput, Vertex
from ..orders import BuildOrder, LogLine, Progress
from ..output import LONGEST_LINE
from .build import body
from .connection import StreamingClient


class EngineOutput(BuildKitOutput):
    """Reads the messages that the Docker Engine passes on."""

    image = ""

    def read(self, message: Mapping[str, Any]) -> Iterator[Progress]:
        """Yield what one message says.

        Raises
        ------
        BuildFailed, BaseImageMissing, DiskFull
            BuildKit reported an error.
        """
        if "error" in message:
            yield from self.rest()
            yield LogLine(str(message["error"])[:LONGEST_LINE])
            raise self.failure(str(message["error"]))
        if message.get("id") == "moby.buildkit.trace":
            yield from self._trace(base64.b64decode(message["aux"]))
        elif message.get("id") == "moby.image.id":
            self.image = message["aux"]["ID"]

    def _trace(self, status: bytes) -> Iterator[Progress]:
        for field, value in fields(status):
            if field == 1 and isinstance(value, bytes):
                said = dict(fields(value))
                vertex = Vertex(
                    name=_bytes(said.get(3)).decode("utf-8", "replace"),
                    started=5 in said,
                    completed=6 in said,
                    cached=bool(said.get(4)),
                    error=_bytes(said.get(7)).decode("utf-8", "replace"),
                )
                yield from self.vertex(_bytes(said.get(1)), vertex)
            elif field == 3 and isinstance(value, bytes):
                said = dict(fields(value))
                yield from self.output(_bytes(said.get(1)), _bytes(said.get(4)))


def run_buildkit(
    client: StreamingClient,
    order: BuildOrder,
    *,
    arguments: Mapping[str, str],
    network: str | None,
) -> Iterator[Progress | str]:
    """Build; yield progress and, last, the image's id (blocking)."""
    output = EngineOutput(order)
    client.builder = "2"
    yield from _pull(client, order.bases)
    for image in order.bases:
        with contextlib.suppress(docker.errors.APIError):
            found = client.inspect_image(image)  # type: ignore[no-untyped-call]  # untyped there
            output.brings(image, (found.get("Config") or {}).get("OnBuild") or ())
    try:
        for message in client.build(
            fileobj=body(order.context(), client),  # type: ignore[arg-type]  # requests sends an iterator too
            custom_context=True,
            dockerfile=order.dockerfile,
            decode=True,
            labels=dict(order.labels),
            buildargs=dict(arguments),
            # What the classic builder calls by name is all that BuildKit has, unless it is the host's.
            network_mode=None if network in ("bridge", "default") else network,
        ):
            yield from output.read(message)
        yield from output.rest()
    except docker.errors.APIError as error:
        raise output.failure(str(error.explanation)) from error
    if not output.image:
        raise errors.EngineFailed(action="build the image", reason="it ended without an image")
    yield output.image


def _pull(client: StreamingClient, images: Sequence[str]) -> Iterator[Progress]:
    """Pull images that are not there, with the credentials that only a session could give BuildKit.

    One that can't be pulled is left to BuildKit, which says why.
    """
    for image in images:
        with contextlib.suppress(docker.errors.APIError):
            try:
                client.inspect_image(image)  # type: ignore[no-untyped-call]  # untyped there
                continue
            except docker.errors.NotFound:
                yield LogLine(f"Pulling {image}")
            for said in client.pull(image, stream=True, decode=True):
                if "progressDetail" not in said and said.get("status"):
                    yield LogLine(" ".join(filter(None, (said.get("id"), said["status"]))))


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a message in protocol buffers' wire format.

    Source: https://protobuf.dev/programming-guides/encoding/

    Raises
    ------
    ValueError
        It is not one.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == 0:
            number, position = _varint(message, position)
            yield tag >> 3, number
            continue
        if kind == 2:
            length, position = _varint(message, position)
        else:
            length = {1: 8, 5: 4}.get(kind, len(message) + 1)
        if position + length > len(message):
            raise ValueError("not a message in protocol buffers' wire format")
        yield tag >> 3, message[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("not a message in protocol buffers' wire format")
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _bytes(value: int | bytes | None) -> bytes:
    return value if isinstance(value, bytes) else b""
