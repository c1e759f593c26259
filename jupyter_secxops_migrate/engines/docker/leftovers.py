"""What the classic builder leaves on a Docker host, and how it is known (blocking).

It makes an untagged image of each instruction and labels only the last one (Podman, all of them). When the build fails or is
ended, and of every stage but the last, these images stay, with whatever ``COPY . .`` put into them. They
are known by what the builder says on the way.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import docker

from ..names import MIGRATION
from ..orders import BuildTrace

# Podman's begin otherwise, and have one digit less.
_IMAGE = re.compile(r"(?: -)?--> ([0-9a-f]{11,64})?\n?")
_CONTAINER = re.compile(r" ---> Running in ([0-9a-f]{12})\n?")
_CACHED = re.compile(r"(?: -)?--> Using cache")
_DIGITS = 11


class Tracer:
    """Follows the classic builder's words, and tells what it has made so far.

    A command can print the same words. So what they name is removed only if it has no name, is used by
    nothing and was made since the build began.
    """

    def __init__(self, tell: Callable[[BuildTrace], None], began: float) -> None:
        self._tell = tell
        self._trace = BuildTrace(began=began)
        self._base = self._cached = False
        tell(self._trace)

    def step(self, instruction: str) -> None:
        """Take notice of the next instruction."""
        self._base = instruction.upper().startswith("FROM")
        self._cached = False

    def said(self, text: str) -> None:
        """Take notice of a message."""
        if _CACHED.match(text):
            self._cached = True
        elif found := _CONTAINER.fullmatch(text):
            self._told(container=_short(found[1]))
        elif found := _IMAGE.fullmatch(text):
            self._image(_short(found[1] or ""))

    def ended(self) -> None:
        """Take notice of the end."""
        self._told(tip="", container="")

    def _image(self, name: str) -> None:
        seen = self._trace
        made = () if self._base or self._cached or name in seen.layers else (name,)
        used = (name,) if self._cached and name not in seen.used else ()
        self._base = self._cached = False
        self._told(layers=(*seen.layers, *made), used=(*seen.used, *used), tip=name, container="")

    def _told(self, **changes: Any) -> None:
        self._trace = replace(self._trace, **changes)
        self._tell(self._trace)


def clear(api: docker.APIClient, trace: BuildTrace, spare: Collection[str]) -> None:
    """Remove what a build left, but for the ``spare`` ids and what has a name or is used by now."""
    if not (trace.layers or trace.tip):
        return
    unnamed = {
        _short(row["Id"]): row
        for row in api.images(all=True)
        if not named(row) and row["Created"] >= trace.began
    }
    parents = {name: _short(row["ParentId"]) for name, row in unnamed.items() if name not in spare}
    layers = [i for i in (*trace.layers, *_unsaid(trace, parents)) if i in parents]
    for row in api.containers(all=True):
        image, marks = _short(row["ImageID"]), row["Labels"] or {}
        own = image in layers or (image == trace.tip and _short(row["Id"]) == trace.container)
        if own and MIGRATION not in marks and row["State"] != "running":
            with contextlib.suppress(docker.errors.NotFound):
                api.remove_container(row["Id"], v=True)
    # What is made of others was made after them or, in the same second, told of after them.
    layers.reverse()
    for layer in sorted(layers, key=lambda name: -unnamed[name]["Created"]):
        _remove(api, unnamed[layer]["Id"])


def _unsaid(trace: BuildTrace, parents: Mapping[str, str]) -> Sequence[str]:
    """Return what it made after the last word that was heard of it, each after what it was made of.

    Some instructions take no time: it may be several ahead of whoever writes down what it says.
    """
    found = [trace.tip] if trace.tip else []
    for name in found:
        found += [i for i, parent in parents.items() if parent == name and i not in trace.layers]
    return found[1:]


def _remove(api: docker.APIClient, layer: str) -> None:
    """Remove one untagged image, and none that it was made of; one that is needed stays."""
    with contextlib.suppress(docker.errors.NotFound):
        try:
            api.remove_image(layer, force=False, noprune=True)
        except docker.errors.APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise


def named(row: Mapping[str, Any]) -> bool:
    """Whether an image that Docker lists has a name."""
    names = [*(row["RepoTags"] or ()), *(row["RepoDigests"] or ())]
    return any(not name.startswith("<none>") for name in names)


def _short(name: str) -> str:
    return name.removeprefix("sha256:")[:_DIGITS]
