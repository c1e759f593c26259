"""What can go wrong between us and a registry."""

from __future__ import annotations

from ..errors import Retry, TemporaryError


class RegistryFailed(TemporaryError):
    """The registry did not take, or does not have, an image."""

    code = "registry_failed"
    denied = False
    """Whether it knows who asks, and does not let this account."""
    text = "The registry {registry} could not {action}: {reason}."
    hint_text = "Retry; if it happens again, ask your admin about the registry and its quota."


class RegistryUnusable(RegistryFailed):
    """The registry can't be used before its settings, or what they name, are corrected."""

    retry = Retry.NEVER
