"""What the objects of an engine are called, and the labels that all of them carry."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

# Placing pods knows which are ours, and is below engines.
from ..placement.requests import MANAGED_BY as MANAGED_BY
from ..placement.requests import MANAGER as MANAGER
from ..placement.requests import ROLE as ROLE

MIGRATION = "secxops.io/migration"
OWNER = "secxops.io/owner"
Role = Literal["code", "data", "environment", "job"]


def owner_hash(owner: str) -> str:
    """Return the 16 hex digits that stand for an owner in labels and image names."""
    return hashlib.sha256(owner.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def images_of(owner: str) -> str:
    """Return the repository below which all images of an owner are."""
    return f"secxops/{owner_hash(owner)}"


_LONGEST_SLUG = 40


def slug(text: str) -> str:
    """Return a name that DNS labels, Docker names and image repositories all accept.

    Lower-case letters, digits and inner dashes, never empty; text that had to change or was cut
    ends in a hash of the original, so that two texts do not share a slug. After kubespawner's
    ``slugs.py``.
    """
    safe = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if safe and safe == text and len(safe) <= _LONGEST_SLUG:
        return safe
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{safe[: _LONGEST_SLUG - 9].strip('-')}-{digest}".strip("-") if safe else f"x-{digest}"


def labels(owner: str, role: Role, migration: str | None = None) -> dict[str, str]:
    """Return the labels that every object of ours carries."""
    found = {MANAGED_BY: MANAGER, OWNER: owner_hash(owner), ROLE: role}
    if migration is not None:
        found[MIGRATION] = migration
    return found


@dataclass(frozen=True)
class Names:
    """The names of a migration's objects in the engine.

    ``migration`` is the migration's id: lower-case letters and digits, starting with a letter.
    """

    migration: str

    @property
    def environment(self) -> str:
        """The launched container or pod."""
        return f"secxops-{self.migration}"

    def volume(self, key: str) -> str:
        """The volume of one source: ``key`` is ``code``, ``data-1``, ``data-2`` …"""
        return f"secxops-{self.migration}-{key}"

    def job(self, key: str) -> str:
        """The Job for one purpose: ``copy-code``, ``check-code``, ``build`` …"""
        return f"secxops-{self.migration}-job-{key}"
