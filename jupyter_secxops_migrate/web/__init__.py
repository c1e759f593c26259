"""The service's REST routes and its event stream.

A thin skin over `jupyter_secxops_migrate.api.MigrationApi`: it reads requests, says who asks
(`identity`), calls the API and writes JSON. It decides nothing and knows no engine and no store;
who listens where is the matter of the service's hosts. ``openapi.yaml`` is the contract.
"""

from .application import ServiceApplication, Services, serve_application
from .identity import Identity, PeerIdentity, TokenIdentity

__all__ = [
    "Identity",
    "PeerIdentity",
    "ServiceApplication",
    "Services",
    "TokenIdentity",
    "serve_application",
]
