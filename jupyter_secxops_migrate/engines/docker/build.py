"""Building an image with the classic builder of Docker's API, or with Podman's."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import docker

from ... import errors
from ...building.errors import BaseImageMissing, BaseTriggerFailed, BuildFailed, NeedsBuildKit
from ...copying.errors import DiskFull
from ..orders import BuildOrder, LogLine, Measure, Progress
from ..output import DISK_FULL, LONGEST_LINE, Output, without_passwords
from .connection import StreamingClient
from .leftovers import Tracer

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)", re.DOTALL)
_PODMANS_STEP = re.compile(r"(?:\[(\d+)/\d+\] )?STEP (\d+)/(\d+): (.*)", re.DOTALL)
"""Podman counts the instructions of each stage, and leaves out stages that nothing needs."""

_PARSE_ERROR = re.compile(r"parse error (?:on )?line (\d+)")
_TRIGGERS = re.compile(r"# Executing \d+ build trigger")
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

    def __init__(self, order: BuildOrder, began: float = 0.0) -> None:
        self.order = order
        self.image = ""
        self._tracer = Tracer(order.traced, began)
        self._line = 0
        self._instruction = ""
        self._output = Output()
        self._before = ""
        self._full = False
        self._triggers = False

    def read(self, message: Mapping[str, Any]) -> Iterator[Progress]:
        """Yield what one message says.

        Raises
        ------
        BuildFailed, BaseImageMissing, BaseTriggerFailed, DiskFull,
        NeedsBuildKit
            The builder reported an error.
        """
        if "error" in message:
            yield from self.rest()
            reason = str(message["error"])
            yield LogLine(reason[:LONGEST_LINE])
            raise self._failure(reason)
        if "aux" in message and "ID" in (message["aux"] or {}):
            self.image = message["aux"]["ID"]
        text = message.get("stream")
        if text:
            yield from self._text(text)
        elif message.get("status") and "progress" not in message:
            yield LogLine(" ".join(filter(None, (message.get("id"), message["status"]))))

    def rest(self) -> Iterator[Progress]:
        """Yield what was printed last."""
        for line in self._output.rest():
            if line:
                yield LogLine(line)

    def drain(self, messages: Iterator[Mapping[str, Any]]) -> None:
        """Follow a build that was ended to its end: what it makes until then has to be known."""
        with contextlib.suppress(Exception):  # however it goes: nobody waits for its result
            for message in messages:
                with contextlib.suppress(errors.SecxopsError):  # a record that is full
                    self._tracer.said(message.get("stream") or "")

    def ended(self) -> None:
        """Take notice of the end."""
        self._tracer.ended()

    def _text(self, text: str) -> Iterator[Progress]:
        # What the builder says of its own comes in messages of its own.
        if step := _STEP.match(text.rstrip()):
            yield from self._begin(int(step[1]), int(step[2]), step[3])
        elif step := _PODMANS_STEP.match(text.rstrip()):
            before = self._before_stage(int(step[1] or 1))
            yield from self._begin(int(step[2]), int(step[3]), step[4], before)
        elif _TRIGGERS.match(text):
            self._triggers = True
        elif built := _BUILT.match(text):
            self.image = self.image or built[1]
        self._tracer.said(text)
        # What a command says of a full disk is lost in its exit status.
        seen = self._before + text.lower()
        self._full, self._before = self._full or DISK_FULL in seen, seen[-len(DISK_FULL) :]
        for line in self._output.feed(text.encode("utf-8", "replace")):
            if line:
                yield LogLine(line)

    def _begin(
        self, step: int, total: int, instruction: str, before: int = 0
    ) -> Iterator[Progress]:
        """Go on to a step, ``before`` whose stage are so many instructions of the Dockerfile."""
        yield from self.rest()
        self._output = Output()
        position, lines = before + step - 1, self.order.lines
        self._line = lines[position] if position < len(lines) else step
        self._instruction = instruction[:LONGEST_LINE]
        self._tracer.step(self._instruction)
        self._full = self._triggers = False
        message = f"step {step}/{total} {self._instruction}"
        yield Measure(step - 1, total, "instructions", message=message)

    def _before_stage(self, stage: int) -> int:
        """Return how many instructions are before the FROM of a stage, from 1."""
        last = self.order.froms[stage - 1] if stage <= len(self.order.froms) else 0
        upto = [line for line in self.order.lines if line <= last]
        return self.order.lines.index(upto[-1]) if upto else 0

    def _failure(self, reason: str) -> errors.SecxopsError:
        reason = without_passwords(reason)
        low = reason.lower()
        if self._full or DISK_FULL in low or "disk quota exceeded" in low:
            return DiskFull(step="build")
        if self._instruction.upper().startswith("FROM"):
            words = [word for word in self._instruction.split()[1:] if not word.startswith("--")]
            image = words[0] if words else ""
            if self._triggers:
                return BaseTriggerFailed(
                    image=image, instruction=reason[:300], id=self.order.migration
                )
            return BaseImageMissing(image=image)
        if "buildkit" in low:
            return NeedsBuildKit(
                line=self._line, instruction=self._instruction, feature=self._instruction.split()[0]
            )
        return BuildFailed(
            reason,
            line=self._line,
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
    output = BuildOutput(order, client.clock())
    client.ends_by_itself = True
    messages: Iterator[Mapping[str, Any]] = iter(())
    try:
        messages = client.build(
            fileobj=body(order.context(), client),  # type: ignore[arg-type]  # requests sends an iterator too
            custom_context=True,
            dockerfile=order.dockerfile,
            decode=True,
            rm=True,
            forcerm=True,
            labels=dict(order.labels),
            buildargs=dict(arguments),
            network_mode=network,
        )
        for message in messages:
            yield from output.read(message)
        yield from output.rest()
    except docker.errors.APIError as error:
        if DISK_FULL in str(error.explanation).lower():  # while it received the context
            raise DiskFull(step="build") from error
        reason = without_passwords(str(error.explanation))
        named = _PARSE_ERROR.search(reason)
        raise BuildFailed(
            reason, line=int(named[1]) if named else 1, instruction="", id=order.migration
        ) from error
    except BaseException:
        client.break_off()
        output.drain(messages)
        raise
    finally:
        output.ended()
    if not output.image:
        raise errors.EngineFailed(action="build the image", reason="it ended without an image")
    yield output.image
