"""Codes for the reasons why a path is not copied, for clients that speak another language.

The sentences themselves stand where they are given, in `never` and in the copier. Nothing here runs
inside a Job: what a Job says are the sentences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from . import never
from .copier import REPLACED, SETUID, VANISHED

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
    "vanished": VANISHED,
    "replaced": REPLACED,
    "setuid": SETUID,
    "named_pipe": "named pipe",
    "socket": "socket",
    "device": "device",
    "special_file": "special file",
    "copy_itself": "is where the copy is made",
    "in_backup": "is in the backup of its SQLite database",
    "no_file_name": "is not a name of a file",
    "submodule": "git submodule, which a commit only names",
    "too_large_to_search": "too large to be searched for credentials",
}
"""Code to sentence."""

_CODES = {sentence: code for code, sentence in REASONS.items()}
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
