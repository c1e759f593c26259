"""Sharing, as the service of all kinds takes it on (`operations.tenant.Room`)."""

from __future__ import annotations

from ..operations.service import Operations
from ..operations.tenant import Surroundings
from .document import SHARES as SCHEMA
from .service import MigrationService

__all__ = ["SCHEMA", "service"]


def service(operations: Operations, around: Surroundings) -> MigrationService:
    """Return the service of shares."""
    return MigrationService(around.folder, around.engine, around.policy, operations=operations)
