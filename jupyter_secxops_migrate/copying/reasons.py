"""Codes for the reasons why a path is not copied, or not as it is, for clients that speak another language.

The sentences themselves stand where they are given, in `never`, in `why` and in the copy itself. Nothing here runs
inside a Job: what a Job says are the sentences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from . import credentials, never
from .checkout import NO_LFS
from .why import (
    FILE_SYSTEMS,
    IN_BACKUP,
    ON_REQUEST,
    REPLACED,
    SCRUBBED,
    SETUID,
    VANISHED,
)

__all__ = ["REASONS", "code_of"]

REASONS: Mapping[str, str] = {
    "owner_keys": never.KEYS,
    "cloud_credentials": never.CLOUD,
    "registry_credentials": never.REGISTRY,
    "stored_passwords": never.PASSWORDS,
    "access_tokens": never.TOKENS,
    "runs_by_itself": never.STARTUP,
    "jupyter_secret": never.SIGNING,
    "command_history": never.HISTORY,
    "running_jupyter": never.RUNTIME,
    "interrupted_copy": never.INTERRUPTED,
    "settings_file": credentials.SETTINGS,
    "private_key": credentials.PRIVATE_KEY,
    "git_hook": credentials.HOOK,
    "vanished": VANISHED,
    "replaced": REPLACED,
    "setuid": SETUID,
    "scrubbed": SCRUBBED,
    "on_request": ON_REQUEST,
    "file_system": FILE_SYSTEMS,
    "named_pipe": "named pipe",
    "socket": "socket",
    "device": "device",
    "special_file": "special file",
    "copy_itself": "is where the copy is made",
    "in_backup": IN_BACKUP,
    "no_file_name": "is not a name of a file",
    "submodule": "git submodule, which a commit only names",
    "lfs_missing": NO_LFS,
    "too_large_to_search": "too large to be searched for credentials",
}
"""Code to sentence."""

_BEFORE = {"set-user-id or set-group-id file": "setuid"}
"""Sentences that a tools image of an earlier version says."""
_CODES = _BEFORE | {sentence: code for code, sentence in REASONS.items()}
_WITH_A_NAME = (
    ("attribute_lost", re.compile(r"its attribute .*", re.DOTALL)),
    ("more_listed", re.compile(r"and \d+ more, which the metadata file lists")),
)


def code_of(reason: str) -> str:
    """Return the code of a reason, an empty text if it has none.

    Examples
    --------
    >>> code_of("cloud credentials")
    'cloud_credentials'
    """
    found = _CODES.get(reason)
    return found or next(
        (code for code, pattern in _WITH_A_NAME if pattern.fullmatch(reason)),
        "",
    )
