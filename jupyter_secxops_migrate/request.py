"""What a client asks for, and the words, paths and sizes that are taken from it.

Strict: what is not known here is refused, because a misspelt wish would else go unheard. Plain data,
validated by pydantic; no I/O. What the service says is in `model`, which has these names as well.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from .paths import FromRoot

__all__ = ["Bytes", "PodSource", "ShareRequest", "parse_size"]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


def parse_size(value: object) -> object:
    """Read a size such as ``2G``, ``512M``, ``1.5 GiB`` or a number of bytes.

    Units are binary (1G = 1024³ bytes), as Docker reads them. What is no string is returned
    as it is, for pydantic to judge.

    Raises
    ------
    ValueError
        The text is not a size.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if not match:
        raise ValueError(f"{value[:40]!r} is not a size such as 512M or 2G")
    number, unit, _ = match.groups()
    return int(float(number) * 1024 ** " KMGT".index(unit.upper() or " "))


def _no_control_characters(value: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("control characters are not allowed")
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("a path can't hold a NUL character")
    return value


Bytes = Annotated[int, Field(ge=0, le=2**60)]
Memory = Annotated[int, BeforeValidator(parse_size), Field(ge=64 * 1024**2, le=2**50)]
Text = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_no_control_characters)]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_no_control_characters)]
Ref = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_no_control_characters)]
# Names of files may hold any character but this one, which no system call takes.
Path_ = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_no_nul)]
ServerPath = Annotated[Path_, FromRoot()]


def _inside(value: str) -> str:
    if value.startswith("/") or {"", ".", ".."} & set(value.split("/")):
        raise ValueError("not a path inside the project")
    return value


Inside = Annotated[
    str, Field(min_length=1, max_length=1000), AfterValidator(_no_nul), AfterValidator(_inside)
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PodSource(_Model):
    """A pod whose environment is meant, by those who are not in it; its default container, or another.

    The grammar is that of Kubernetes, so a name is never more than one part of a path.
    """

    pod: Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
    container: (
        Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None
    ) = None


class ShareRequest(_Model):
    """What a person asks for. Paths are absolute, or relative to the server's root folder.

    ``source`` names the pod in which they are, where that is not the service's own place; they are absolute then.
    ``mounts`` says where a project or data path is to be mounted instead of the planned place (keys are the paths
    as given in ``project`` and ``data``). ``keep`` names files that are copied although they may hold credentials;
    relative paths are the project's. ``keep_owners`` leaves files of others than the folder's owner to them;
    without it, the copy's user gets everything. ``unsaved`` names documents with changes that are only in an
    editor; the plan says which of them the copy has as they were last saved. ``dockerfile`` is the Dockerfile's
    path in the project, ``Dockerfile`` by default. ``front`` is the document that the copy opens with, if it
    arrives. ``labels``, ``recipient`` and ``expiry`` are reserved.
    """

    project: ServerPath
    data: list[ServerPath] = Field(default_factory=list, max_length=32)
    name: Name | None = None
    version: Ref | None = None
    cpu: Annotated[float, Field(gt=0, le=4096)] | None = None
    memory: Memory | None = None
    gpu: Annotated[int, Field(ge=0, le=64)] = 0
    mounts: dict[Annotated[str, FromRoot()], Path_] = Field(default_factory=dict, max_length=33)
    keep: list[Path_] = Field(default_factory=list, max_length=1000)
    keep_owners: bool = False
    dockerfile: Inside | None = None
    unsaved: list[ServerPath] = Field(default_factory=list, max_length=200)
    front: ServerPath | None = None
    source: PodSource | None = None
    labels: dict[str, Text] | None = None
    recipient: Name | None = None
    expiry: datetime | None = None
