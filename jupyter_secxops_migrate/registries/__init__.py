"""Where images are kept for other nodes."""

from .base import Pushed, Registry, Renew
from .oci import OciRegistry

__all__ = ["OciRegistry", "Pushed", "Registry", "Renew"]
