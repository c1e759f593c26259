"""What a registry must be able to do for a migration.

The seam for products with an interface of their own (projects, quotas, a gate that waits for a scan):
one class beside `OciRegistry`, or derived from it, which is a kind of its own (`kinds`). It says
what happens around a push; layers are moved by the builder and the nodes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Pushed:
    """An image as the registry has it: ``size`` of its layers in bytes, compressed as they lie there;
    ``config`` as in the OCI image specification."""

    digest: str
    size: int
    layers: int
    config: Mapping[str, Any] = field(default_factory=dict)


Renew = Callable[[], Awaitable[tuple[str, str]]]
"""Asks for user and password anew; both empty for none."""


class Registry(Protocol):
    """A registry, or a product around one.

    Made as ``kind(address, user, password, ca, renew)``, as `OciRegistry` is, once for each
    address: credentials are rotated while it lives, so ``renew`` is asked when they are refused. No
    other host than the address's gets them. ``plain_http=True`` comes with them where an admin set it.
    """

    def reference(self, repository: str) -> str:
        """Return the full name of a repository, with the registry's address."""
        ...

    async def try_push(self, repository: str) -> None:
        """Begin a push to a repository, as of `reference`, and take it back: for ``doctor``.

        Raises
        ------
        RegistryFailed
            The registry does not answer, or does not let this account push.
        """
        ...

    async def prepare(self, repository: str) -> None:
        """Make a repository ready for a push, which is named as by `reference`.

        Called before each build that may push and before each push, so also for what is ready already:
        the place to make a project or to ask for its quota.

        Raises
        ------
        RegistryFailed
            It would not take the image; nothing was built yet.
        """
        ...

    async def find(self, reference: str) -> Pushed | None:
        """Return the image of a reference (``:tag`` or ``@digest``); None when it is not there.

        Its digest is computed from the bytes that came.

        Raises
        ------
        RegistryFailed
            The registry does not answer, or not as it should.
        """
        ...

    async def admit(self, reference: str) -> None:
        """Return once an image that was just pushed (``@digest``) may run.

        Called before any node pulls it, and again after an interruption: the place to wait for a scan.

        Raises
        ------
        RegistryFailed
            It may not, and is deleted with its share; ``again`` is false where asking again is no use.
        """
        ...

    async def tags(self, repository: str) -> Sequence[str]:
        """Return the tags that a repository has, which is named as by `reference`; none without it.

        Raises
        ------
        RegistryFailed
            The registry does not answer, or not as it should.
        """
        ...

    async def delete(self, reference: str) -> None:
        """Remove a reference's image; absent is success, and so is a registry that deletes nothing.

        Raises
        ------
        RegistryFailed
            It is still there, and may be gone at the next try.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
