"""Building an image with the classic builder of Docker's API."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import docker

from ... import errors
from ..base import DISK_FULL, BuildOrder, LogLine, Measure, Progress, without_passwords
from .connection import StreamingClient

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)", re.DOTALL)
_PARSE_ERROR = re.compile(r"parse error (?:on )?line (\d+)")
_BUILT = re.compile(r"Successfully built ([0-9a-f]+)")


def body(chunks: Iterator[bytes], client: StreamingClient) -> Iterator[bytes]:
    """Yield the request's body; ends in an error when the client is broken off."""
    for chunk in chunks:
        if client.broken:
            raise ConnectionAbortedError("the build was cancelled")
        if chunk:
            yield chunk


class BuildOutput:
    """Reads the builder's messages: progress out, and how it ended."""

    def __init__(self, order: BuildOrder) -> None:
        self.order = order
        self.image = ""
        self._step = 0
        self._instruction = ""
        self._pending = ""
        self._full = False

    def read(self, message: Mapping[str, Any]) -> Iterator[Progress]:
        """Yield what one message says.

        Raises
        ------
        errors.BuildFailed, errors.BaseImageMissing, errors.DiskFull, errors.NeedsBuildKit
            The builder reported an error.
        """
        if "error" in message:
            if self._pending:
                yield LogLine(self._pending)
            yield LogLine(str(message["error"]))
            raise self._failure(str(message["error"]))
        if "aux" in message and "ID" in (message["aux"] or {}):
            self.image = message["aux"]["ID"]
        text = message.get("stream")
        if text:
            yield from self._text(text)
        elif message.get("status") and "progress" not in message:
            yield LogLine(" ".join(filter(None, (message.get("id"), message["status"]))))

    def _text(self, text: str) -> Iterator[Progress]:
        *lines, self._pending = (self._pending + text).replace("\r", "\n").split("\n")
        for line in lines:
            if step := _STEP.match(line):
                self._step, total = int(step[1]), int(step[2])
                self._instruction = step[3]
                self._full = False
                yield Measure(
                    self._step - 1,
                    total,
                    "instructions",
                    message=f"step {step[1]}/{total} {step[3]}",
                )
            if built := _BUILT.match(line):
                self.image = self.image or built[1]
            # What a command says of a full disk is lost in its exit status.
            self._full = self._full or DISK_FULL in line.lower()
            if line:
                yield LogLine(line)

    def _failure(self, reason: str) -> errors.SecxopsError:
        reason = without_passwords(reason)
        low = reason.lower()
        lines = self.order.lines
        line = lines[self._step - 1] if 0 < self._step <= len(lines) else self._step
        if self._full or DISK_FULL in low or "disk quota exceeded" in low:
            return errors.DiskFull(step="build")
        if self._instruction.upper().startswith("FROM"):
            words = [word for word in self._instruction.split()[1:] if not word.startswith("--")]
            return errors.BaseImageMissing(image=words[0] if words else "")
        if "buildkit" in low:
            return errors.NeedsBuildKit(
                line=line, instruction=self._instruction, feature=self._instruction.split()[0]
            )
        return errors.BuildFailed(
            reason,
            line=line,
            instruction=without_passwords(self._instruction)[:300],
            id=self.order.migration,
        )


def run_build(
    client: StreamingClient,
    order: BuildOrder,
    *,
    arguments: Mapping[str, str],
    network: str | None,
) -> Iterator[Progress | str]:
    """Build; yield progress and, last, the image's id (blocking)."""
    output = BuildOutput(order)
    try:
        for message in client.build(
            fileobj=body(order.context(), client),  # type: ignore[arg-type]
            custom_context=True,
            dockerfile=order.dockerfile,
            decode=True,
            rm=True,
            forcerm=True,
            labels=dict(order.labels),
            buildargs=dict(arguments),
            network_mode=network,
        ):
            yield from output.read(message)
    except docker.errors.APIError as error:
        if DISK_FULL in str(error.explanation).lower():  # while it received the context
            raise errors.DiskFull(step="build") from error
        reason = without_passwords(str(error.explanation))
        named = _PARSE_ERROR.search(reason)
        raise errors.BuildFailed(
            reason, line=int(named[1]) if named else 1, instruction="", id=order.migration
        ) from error
    if not output.image:
        raise errors.EngineFailed(action="build the image", reason="it ended without an image")
    yield output.image
