"""The registries that an admin has named: where each is, and where its certificates and account are.

They are a site's, not one engine's: whoever pushes, pulls or compares images names the one that it
means. A setting refers to a password or a certificate and never holds one; who uses a registry
reads them. Nothing here connects to anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from traitlets import Dict, TraitError, Unicode, validate
from traitlets.config import Configurable

from .kinds import OCI

DEFAULT = "default"
"""The name of the one that is used where none is named."""


class NamedRegistry(BaseModel):
    """A registry as an admin describes it; without an address there is none.

    Parameters
    ----------
    kind
        What speaks to it, see `kinds`.
    address
        Its host, with a port and a path if need be.
    prefix
        A path below which all repositories lie.
    ca
        Where the certificates are that its own is signed with; empty for the system's. For an engine
        on Kubernetes the name of a ConfigMap with ``ca.crt``.
    credentials
        Where the account is. For an engine on Kubernetes the name of a Secret of the type
        ``kubernetes.io/dockerconfigjson``.
    plain_http
        Whether it is spoken to without TLS. Builders and nodes have settings of their own for that.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str | type[Any] = OCI
    address: str = ""
    prefix: str = ""
    ca: str = ""
    credentials: str = ""
    plain_http: bool = False

    @field_validator("address")
    @classmethod
    def _bare(cls, address: str) -> str:
        if "://" in address:
            raise ValueError("leave out the scheme (https is spoken, or plain_http is set)")
        if "@" in address:
            raise ValueError("no account belongs in an address; credentials says where it is")
        return address.rstrip("/")

    @property
    def place(self) -> str:
        """What the names of all its images begin with."""
        return "/".join(filter(None, (self.address, self.prefix.strip("/"))))


class Registries(Configurable):
    """The registries of a site, by names of an admin's choice."""

    named = Dict(
        key_trait=Unicode(),
        value_trait=Dict(key_trait=Unicode()),
        help="Each registry by a name. Of each: address (its host, with a port and a path if need be); prefix (a path "
        "below which its repositories lie); ca and credentials (where the certificates of a private authority "
        "and the account are; never the content. For KubernetesEngine the names of a ConfigMap with ca.crt and "
        "of a Secret of the type kubernetes.io/dockerconfigjson); plain_http (True: without TLS); kind (oci: "
        "any registry of the OCI distribution protocol; or one installed as an entry point of the group "
        "jupyter_secxops_migrate.registries; or a class, as package.module.Class).",
    ).tag(config=True)

    @validate("named")
    def _described(self, proposal: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
        named: Mapping[str, Mapping[str, Any]] = proposal["value"]
        for name, described in named.items():
            _read(name, described)
        return named

    def get(self, name: str) -> NamedRegistry | None:
        """Return the registry of a name; None where nobody named one so."""
        return _read(name, self.named[name]) if name in self.named else None


def _read(name: str, described: Mapping[str, Any]) -> NamedRegistry:
    """Return what is described; what is wrong is told by its place, as it may be a password."""
    try:
        found = NamedRegistry.model_validate(dict(described))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in ("Registries.named", name, *first["loc"]))
        raise TraitError(f"{place} can't be used: {first['msg']}") from None
    if not found.address:
        raise TraitError(f"Registries.named.{name} can't be used: it has no address")
    return found
