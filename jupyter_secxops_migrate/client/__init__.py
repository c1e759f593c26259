"""The API from outside: `MigrationClient` speaks to the service, and starts it if need be.

Over the Unix socket of this account's own service, or over HTTP(S) with a token. Imports no store and no
engine; what speaks HTTP is imported with the first call.
"""

from .client import MigrationClient
from .connection import SILENCE_SECONDS, Connection, error_of
from .starting import COMMAND, ensure_service
from .stream import frames

__all__ = [
    "COMMAND",
    "SILENCE_SECONDS",
    "Connection",
    "MigrationClient",
    "ensure_service",
    "error_of",
    "frames",
]
