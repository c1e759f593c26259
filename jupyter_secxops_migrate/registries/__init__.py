"""Where images are kept for other nodes: the registries that an admin named, and who speaks to them."""

from .base import Pushed, Registry, Renew
from .oci import OciRegistry
from .settings import NamedRegistry, Registries

__all__ = ["NamedRegistry", "OciRegistry", "Pushed", "Registries", "Registry", "Renew"]
