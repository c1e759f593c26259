"""What every step of a share works with: the record, the engine, the policy and the share's own files."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..engines.orders import Measure
from ..engines.roles import Ends, Roles
from ..environment.survey import kept_in
from ..model import PodSource
from ..operations.service import Operations
from ..placement.policy import ResourcePolicy
from ..threads import Threads
from .document import SHARES, ShareRecords

if TYPE_CHECKING:
    from .look import Source

_WALKS_AT_ONCE = 4


@dataclass
class Memory:
    """What this process remembers of an attempt; it is found out again after a restart.

    ``parts`` is how far the copies are that share a step.
    """

    source: Source | None = None
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    parts: dict[str, Measure] = field(default_factory=dict)


class Kit:
    """What steps of shares have in common.

    Parameters
    ----------
    operations
        The record, and what runs the steps.
    ends, policy
        Where sources are and copies go, and what may run there.
    folder
        Where each share keeps its manifests and its token, in a folder named by its id.
    """

    def __init__(
        self, operations: Operations, ends: Ends, policy: ResourcePolicy, folder: Path
    ) -> None:
        self.runner = operations.runner
        self.records: ShareRecords = operations.records.of(SHARES)
        self.engine = ends.target
        """Where copies are, whatever their source is."""
        self._ends = ends
        self.policy = policy
        self.folder = folder
        self.tag = ""
        """Tells the engine's objects of this store from those of another store of the same owner."""
        self.files = Threads("files", _WALKS_AT_ONCE)
        """What reads projects: on a network folder that stands still, it alone waits."""

    def memory(self, share: str) -> Memory:
        """Return what this process remembers of a share's attempt."""
        attempt = self.runner.attempt(share)
        if attempt.memory is None:
            attempt.memory = Memory()
        memory: Memory = attempt.memory
        return memory

    # ------------------------------------------------------------------ whose, and where

    async def identify(self) -> None:
        """Find out what tells this store's objects from others', before the first of them is made.

        It is kept with the record, and told by the engine again should that be lost.
        """
        if not self.tag:
            kept = await self.records.identity()
            fresh = kept or await self.engine.identity() or secrets.token_hex(8)
            self.tag = await self.records.identity(fresh)

    def engine_owner(self, owner: str) -> str:
        """Return whose an object is in the engine: the owner's, in this store.

        Two stores of one person on one engine (two machines' states, a demo) do not take each
        other's objects for orphans.
        """
        return f"{owner}@{self.tag}"

    async def owner_of(self, share: str) -> str:
        """Return whose a share's objects are in the engine."""
        return self.engine_owner((await self.records.get(share)).owner)

    def roles(self, source: PodSource | None) -> Roles:
        """Return who plays which role for a source."""
        return self._ends.at(source)

    async def roles_of(self, share: str) -> Roles:
        """Return who plays which role for a share."""
        return self.roles((await self.records.get(share)).request.source)

    async def keep(self, share: str, project: str, folder: str) -> list[str]:
        """Return what was asked to be kept of one folder."""
        asked: Sequence[str] = (await self.records.get(share)).request.keep
        return kept_in(asked, Path(project), Path(folder))

    # ------------------------------------------------------------------ files

    def path(self, share: str, name: str) -> Path:
        """Return where a share's file of that name is; its folder is made."""
        folder = self.folder / share
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder / name

    def manifest(self, share: str, key: str) -> Path:
        """Return where the manifest of one of a share's volumes is."""
        return self.path(share, f"{key}.b3")

    def write(self, share: str, name: str, text: str) -> None:
        """Write a file that only this account may read, all of it or nothing."""
        path = self.path(share, name)
        fresh = path.with_name(f"{name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        fresh.replace(path)

    def token(self, share: str) -> str:
        """Return the launched environment's token, made on first use; only the owner's eyes."""
        path = self.path(share, "token")
        try:
            return path.read_text()
        except FileNotFoundError:
            self.write(share, "token", secrets.token_urlsafe(32))
            return path.read_text()

    def has_token(self, share: str) -> bool:
        """Whether the environment's token is known here."""
        return self.path(share, "token").is_file()

    def keep_token(self, share: str, token: str) -> None:
        """Keep the token of an environment that was taken back; empty: nobody knows it."""
        if token:
            self.write(share, "token", token)

    def forget_files(self, share: str) -> None:
        """Remove a share's folder."""
        shutil.rmtree(self.folder / share, ignore_errors=True)
