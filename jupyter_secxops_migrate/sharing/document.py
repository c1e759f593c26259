"""What the steps of a share leave for each other, typed: what was planned, built, copied and launched.

It is kept beside the record and never shown. What people see of it is in the record's result.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..engines.orders import BuildTrace, ImageProbe
from ..model import Migration, NodeCapacity, NotCopiedItem, Plan, VolumeResult
from ..operations.record import Document, Draft, Schema
from ..operations.records import Records
from .errors import AlreadySharing

__all__ = [
    "SHARES",
    "Copied",
    "Decided",
    "Image",
    "Probe",
    "ShareDocument",
    "ShareDraft",
    "ShareRecords",
    "Trace",
    "goes_with",
    "names_and_ids",
    "shares_image",
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Image(_Part):
    """An image that a share made, or is about to: then its ``digest`` is empty.

    ``pushed`` says that a registry has it, or that the build gives it there; ``pushing`` that a registry may
    have it. ``node`` is where it was built.
    """

    reference: str
    digest: str = ""
    size: int = 0
    # One of an earlier version does not say.
    pushed: bool = True
    pushing: bool = False
    node: str = ""

    @property
    def in_registry(self) -> bool:
        """Whether a registry has it, or may have."""
        return self.pushed or self.pushing


class Trace(_Part):
    """What a build said that it made (`BuildTrace`), as it is kept."""

    layers: list[str] = Field(default_factory=list)
    used: list[str] = Field(default_factory=list)
    tip: str = ""
    container: str = ""
    began: float = 0.0

    @classmethod
    def of(cls, trace: BuildTrace) -> Trace:
        """Return what is kept of a trace."""
        return cls.model_validate(trace, from_attributes=True)

    def without(self, layers: Collection[str]) -> Trace:
        """Return it without some of the layers that it made."""
        return self.model_copy(update={"layers": [i for i in self.layers if i not in layers]})

    def again(self, first: float) -> BuildTrace:
        """Return the trace; ``first`` is when the first build of the share began, 0 if that is not known.

        What a build found that was made since then is the share's own: an earlier build was killed before
        it was written down.
        """
        trace = BuildTrace(**self.model_dump())
        if not first:
            return trace
        return replace(trace, layers=[*self.used, *self.layers], began=min(first, self.began))


class Probe(_Part):
    """What was found out about the image (`ImageProbe`), as it is kept."""

    uid: int
    gid: int
    home: str
    workdir: str
    jupyter: list[str] = Field(default_factory=list)
    entrypoint: Literal["runs", "jupyter", "bypassed", "none"] = "none"
    replaced: bool = False

    @classmethod
    def of(cls, probe: ImageProbe) -> Probe:
        """Return what is kept of a probe."""
        return cls(
            uid=probe.uid,
            gid=probe.gid,
            home=str(probe.home),
            workdir=str(probe.workdir),
            jupyter=list(probe.jupyter or ()),
            entrypoint=probe.entrypoint,
            replaced=probe.replaced,
        )

    def again(self) -> ImageProbe:
        """Return the probe."""
        return ImageProbe(
            self.uid,
            self.gid,
            PurePosixPath(self.home),
            PurePosixPath(self.workdir),
            self.jupyter or None,
            self.entrypoint,
            self.replaced,
        )


class Copied(_Part):
    """A folder that was copied: into which volume, from where, and what of it did not arrive as it was.

    ``owner`` are the ids that its files have in the volume. ``transient`` is None where nobody counted.
    """

    volume: str
    source: str
    name: str
    files: int
    bytes: int
    manifest: str
    owner: tuple[int, int]
    transient: int | None = None
    apart: list[str] = Field(default_factory=list)
    skipped: list[NotCopiedItem] = Field(default_factory=list)
    changed: list[NotCopiedItem] = Field(default_factory=list)
    chosen: list[NotCopiedItem] = Field(default_factory=list)
    route: Literal["copy", "clone"] = "copy"
    route_reason: str = ""


class Decided(_Part):
    """By what a plan's place was decided."""

    observation: NodeCapacity | None = None
    placement: dict[str, Any] | None = None

    @classmethod
    def by(cls, plan: Plan) -> Decided:
        """Return that of a plan."""
        return cls(observation=plan.observation, placement=plan.placement)


class ShareDocument(Document):
    """What a share's steps leave for each other.

    Parameters
    ----------
    keys
        Of the folders to copy: ``code``, ``data-1`` …
    identities
        Which folder each path meant when the plan was made.
    image, images
        The last image, and those of builds before it that are still to be removed.
    builds, inherited
        What its builds left, oldest first, and what others' left that they could not remove.
    copies
        The copied folders, by their keys.
    verified
        Files and bytes that were read back.
    mounts, nested
        Where each volume is mounted, by volume; which volume lies over which path of an image's own.
    """

    keys: list[str] = Field(default_factory=list)
    identities: dict[str, str] = Field(default_factory=dict)
    decided: list[Decided] = Field(default_factory=list)
    image: Image | None = None
    images: list[Image] = Field(default_factory=list)
    builds: list[Trace] = Field(default_factory=list)
    inherited: list[Trace] = Field(default_factory=list)
    probe: Probe | None = None
    image_volumes: list[str] = Field(default_factory=list)
    rebuilt: bool = False
    copies: dict[str, Copied] = Field(default_factory=dict)
    gave_all: bool = False
    verified: tuple[int, int] | None = None
    mounts: dict[str, str] = Field(default_factory=dict)
    nested: dict[str, str] = Field(default_factory=dict)

    def to_remove(self) -> ShareDocument:
        """Return what must be known to remove what the share left: images, and what builds left."""
        return ShareDocument(
            image=self.image, images=self.images, builds=self.builds, inherited=self.inherited
        )

    @property
    def all_images(self) -> list[Image]:
        """The images that it has, or makes."""
        return [*([self.image] if self.image else []), *self.images]

    @property
    def began(self) -> float:
        """When the first of its builds began, in seconds since 1970; 0 if that is not known."""
        return min((trace.began for trace in self.builds), default=0.0)

    @property
    def traces(self) -> list[Trace]:
        """What builds left that it is to remove."""
        return [*self.inherited, *self.builds]

    def made(self) -> tuple[Image, ImageProbe]:
        """Return the image that was built, and what it is like."""
        assert self.image is not None and self.probe is not None
        return self.image, self.probe.again()

    def volumes(self) -> list[VolumeResult]:
        """Return what was copied; its mounts are known once it was launched."""
        return [
            VolumeResult(
                role="code" if key == "code" else "data",
                name=copied.volume,
                mount=self.mounts.get(copied.volume, ""),
                files=copied.files,
                bytes=copied.bytes,
                manifest=copied.manifest,
                source=copied.source,
                skipped=copied.skipped,
                changed=copied.changed,
                route=copied.route,
                route_reason=copied.route_reason,
            )
            for key, copied in sorted(self.copies.items())
        ]

    def transient(self) -> list[int | None]:
        """Return how many files of each volume are transient, as `volumes` orders them."""
        return [copied.transient for _, copied in sorted(self.copies.items())]


ShareDraft = Draft[Migration, ShareDocument]
ShareRecords = Records[Migration, ShareDocument]

SHARES: Schema[Migration, ShareDocument] = Schema(
    Migration, ShareDocument, frozenset({"environment"}), AlreadySharing
)


def shares_image(others: Mapping[str, ShareDocument], image: Image) -> bool:
    """Whether another share has this image, stopped or not, or is about to.

    In an engine's store each has a name of its own for it, and the image stays as long as it has a
    name: it is the same by its reference, or by its digest where it has none. In a registry, deleting
    goes by digest and takes all names along: of one that was pushed, those count that have the digest
    from the registry.
    """
    pushed = image.in_registry
    keys = ["reference"] if image.reference and not pushed else ["digest", "reference"]
    return any(
        getattr(other, key) == getattr(image, key)
        for document in others.values()
        for other in document.all_images
        if not pushed or other.in_registry
        for key in keys
        if getattr(image, key)
    )


def names_and_ids(
    documents: Collection[ShareDocument], more: Collection[Image] = ()
) -> tuple[set[str], set[str]]:
    """Return the references of all images that a share has or makes, and all ids of those.

    ``more`` are images of shares that are not on record. Ids of layers have as many digits as builders print.
    """
    images = [image for document in documents for image in document.all_images] + [*more]
    traces = [trace for document in documents for trace in document.traces]
    ids = {layer for trace in traces for layer in (*trace.layers, *trace.used)}
    return {i.reference for i in images}, ids | {i.digest for i in images if i.digest}


def goes_with(last: Image, image: Image) -> bool:
    """Whether removing ``image`` would take along the ``last`` one of the same share, or may."""
    same = image.reference == last.reference
    return same or (image.in_registry and image.digest in ("", last.digest))
