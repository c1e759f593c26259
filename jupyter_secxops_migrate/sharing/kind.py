"""Sharing, as the service of all kinds takes it on (`operations.tenant.Room`)."""

from .document import SHARES as SCHEMA
from .service import MigrationService as service

__all__ = ["SCHEMA", "service"]
