"""Sharing as a kind of operation: its steps, and the white paper's flow of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .. import errors
from ..engines.roles import Ends
from ..operations.kind import Branch, DeclaredStep, Do, WorkStep
from ..operations.record import Document
from ..operations.service import Operations
from ..placement.policy import ResourcePolicy
from .document import SHARES, ShareDocument
from .errors import Cancelled
from .image import Imaging
from .kit import Kit
from .launch import Launching
from .look import Looking
from .proof import Proving
from .removal import Removing
from .volumes import Copying


class Sharing:
    """Shares; implements `operations.kind.Kind`.

    Parameters
    ----------
    operations
        What runs them.
    ends, policy
        Where sources are and copies go, and what may run there.
    folder
        Where each share keeps its manifests and its token.
    """

    schema = SHARES
    steps = (
        DeclaredStep("check"),
        DeclaredStep("build", beside=frozenset({"copy"})),
        DeclaredStep("push"),
        DeclaredStep("copy", beside=frozenset({"build"})),
        DeclaredStep("launch"),
        DeclaredStep("verify"),
    )
    cancelled: type[errors.SecxopsError] = Cancelled

    def __init__(
        self, operations: Operations, ends: Ends, policy: ResourcePolicy, folder: Path
    ) -> None:
        self.kit = Kit(operations, ends, policy, folder)
        self.looking = Looking(self.kit)
        self.removing = Removing(self.kit)
        self.imaging = Imaging(self.kit, self.looking, self.removing)
        self.copying = Copying(self.kit, self.looking)
        self.launching = Launching(self.kit, self.looking, self.imaging)
        self.proving = Proving(self.kit)

    async def flow(self, do: Do) -> None:
        """Share one environment: the white paper's flow."""
        await do(self.looking.check)
        await do.beside(
            Branch(self.imaging.build),
            *[Branch(self.copying.copy, [key]) for key in await do(self.looking.keys)],
        )
        if not await do(self.copying.image_and_code_agree):
            await do(self.imaging.rebuild)
            await do(self.copying.insist_on_agreement)
        await do(self.copying.hand_over)
        await do(self.copying.verify_volumes)
        await do(self.launching.observe_again)
        await do(self.launching.launch)
        await do(self.proving.verify)
        await do(self.end_jobs)

    @property
    def branches(self) -> Mapping[str, WorkStep]:
        """What runs beside."""
        return {"build": self.imaging.build, "copy": self.copying.copy}

    async def end_jobs(self, share: str) -> None:
        """Take the Jobs away; it is done."""
        await self.kit.engine.end_jobs(share)

    async def remove(self, share: str) -> None:
        """Remove all that a share has in the engine, and the images that nothing else needs."""
        await self.removing.remove(share)

    def what_is_left(self, document: Document) -> Document:
        """Return what must be known to remove what is left."""
        assert isinstance(document, ShareDocument)
        return document.to_remove()
