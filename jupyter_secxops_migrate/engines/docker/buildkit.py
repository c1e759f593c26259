"""Building an image with BuildKit, the newer builder in Docker Engine.

The engine takes a whole context here as it does for the classic builder, so no session of BuildKit's
is held: secrets and SSH agents, which only a session could give, are not there for the build. What
BuildKit tells on the way are messages of its own protocol (``StatusResponse`` of its control API),
one a line, each in base64.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker

from ... import errors
from ..base import BuildOrder, LogLine, Measure, Progress
from .build import FULL, body
from .connection import StreamingClient, without_passwords

_STEP = re.compile(r"\[(?P<stage>.*?) ?(?P<step>\d+)/(?P<steps>\d+)\] (?P<text>.*)", re.DOTALL)
_METADATA = re.compile(r"\[internal\] load metadata for (\S+)")
_PARSE_ERROR = re.compile(r"(?:parse error (?:on )?line|Dockerfile:) ?(\d+)")
_HUB = "docker.io/library/"


@dataclass
class Vertex:
    """One piece of work as BuildKit names it: ``[stage-0 2/3] RUN …``."""

    name: str = ""
    started: bool = False
    completed: bool = False
    cached: bool = False
    error: str = ""


class BuildKitOutput:
    """Reads BuildKit's messages: progress out, and how it ended."""

    def __init__(self, order: BuildOrder) -> None:
        self.order = order
        self.image = ""
        self._vertices: dict[bytes, Vertex] = {}
        self._pending: dict[bytes, bytes] = {}
        self._told: set[bytes] = set()
        self._full = False

    def read(self, message: Mapping[str, Any]) -> Iterator[Progress]:
        """Yield what one message says.

        Raises
        ------
        errors.BuildFailed, errors.BaseImageMissing, errors.DiskFull
            BuildKit reported an error.
        """
        if "error" in message:
            for rest in self._pending.values():
                yield from self._line(rest)
            yield LogLine(str(message["error"]))
            raise self.failure(str(message["error"]))
        if message.get("id") == "moby.buildkit.trace":
            yield from self._trace(base64.b64decode(message["aux"]))
        elif message.get("id") == "moby.image.id":
            self.image = message["aux"]["ID"]

    def _trace(self, status: bytes) -> Iterator[Progress]:
        for field, value in fields(status):
            if field == 1 and isinstance(value, bytes):
                yield from self._vertex(value)
            elif field == 3 and isinstance(value, bytes):
                said = dict(fields(value))
                of, text = _bytes(said.get(1)), _bytes(said.get(4))
                *lines, self._pending[of] = (
                    (self._pending.get(of, b"") + text).replace(b"\r", b"\n").split(b"\n")
                )
                for line in lines:
                    yield from self._line(line)

    def _vertex(self, value: bytes) -> Iterator[Progress]:
        said = dict(fields(value))
        key = _bytes(said.get(1))
        vertex = Vertex(
            name=_bytes(said.get(3)).decode("utf-8", "replace"),
            started=5 in said,
            completed=6 in said,
            cached=bool(said.get(4)),
            error=_bytes(said.get(7)).decode("utf-8", "replace"),
        )
        self._vertices[key] = vertex
        if not vertex.started or key in self._told:
            return
        self._told.add(key)
        yield LogLine(vertex.name + (" (unchanged)" if vertex.cached else ""))
        step = _STEP.match(vertex.name)
        if step:
            self._full = False
            steps = [v for v in self._vertices.values() if _STEP.match(v.name)]
            yield Measure(
                sum(v.completed for v in steps),
                len(steps),
                "instructions",
                message=f"step {step['step']}/{step['steps']} {step['text']}",
            )

    def _line(self, line: bytes) -> Iterator[Progress]:
        text = line.decode("utf-8", "replace")
        # What a command says of a full disk is lost in its exit status.
        self._full = self._full or FULL in text.lower()
        if text:
            yield LogLine(text)

    def failure(self, reason: str) -> errors.SecxopsError:
        """Return what BuildKit's error means."""
        reason = without_passwords(reason)
        if self._full or FULL in reason.lower():
            return errors.DiskFull(step="build")
        failed = next((v for v in self._vertices.values() if v.error), Vertex())
        if base := _METADATA.match(failed.name):
            return errors.BaseImageMissing(image=base[1].removeprefix(_HUB))
        step = _STEP.match(failed.name)
        text = step["text"] if step else ""
        named = _PARSE_ERROR.search(reason)
        line = int(named[1]) if named else self._line_of(text)
        return errors.BuildFailed(
            reason, line=line, instruction=without_passwords(text)[:300], id=self.order.migration
        )

    def _line_of(self, text: str) -> int:
        """Return the line of the instruction that BuildKit shows as ``text``; 1 if none is like it."""
        rows = self.order.text.decode("utf-8", "replace").splitlines()
        begin = "".join(text.split()).lower()
        for line in self.order.lines:
            row = "".join(rows[line - 1].split()).rstrip("\\`").lower() if line <= len(rows) else ""
            if row and begin.startswith(row):
                return line
        return 1


def run_buildkit(
    client: StreamingClient,
    order: BuildOrder,
    *,
    arguments: Mapping[str, str],
    network: str | None,
) -> Iterator[Progress | str]:
    """Build; yield progress and, last, the image's id (blocking)."""
    output = BuildKitOutput(order)
    client.builder = "2"
    yield from _pull(client, order.bases)
    try:
        for message in client.build(
            fileobj=body(order.context(), client),  # type: ignore[arg-type]
            custom_context=True,
            dockerfile=order.dockerfile,
            decode=True,
            labels=dict(order.labels),
            buildargs=dict(arguments),
            # What the classic builder calls by name is all that BuildKit has, unless it is the host's.
            network_mode=None if network in ("bridge", "default") else network,
        ):
            yield from output.read(message)
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
                client.inspect_image(image)  # type: ignore[no-untyped-call]
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
