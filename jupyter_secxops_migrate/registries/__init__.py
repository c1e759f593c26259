"""Where images are kept for other nodes."""

from .base import Pushed, Registry
from .oci import OciRegistry

__all__ = ["OciRegistry", "Pushed", "Registry"]
