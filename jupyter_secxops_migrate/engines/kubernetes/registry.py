"""The registry of a namespace's images, signed in to as builds are."""

from __future__ import annotations

import base64
import json

from ...registries import Registry
from ...registries.dockerconfig import UnusableConfig, credentials, helper
from ...registries.errors import RegistryUnusable
from ...registries.kinds import connect
from .connection import Connection
from .namespace import Namespace
from .recent import Recent
from .settings import KubernetesSettings


class PushRegistry:
    """Connects to the registry that images are pushed to, and keeps the connection in use."""

    def __init__(self, api: Connection, space: Namespace, settings: KubernetesSettings) -> None:
        self._api = api
        self._space = space
        self._settings = settings
        self._kept: dict[str, Registry] = {}
        self._told: Recent | None = None

    async def close(self) -> None:
        """Release connections."""
        for registry in self._kept.values():
            await registry.close()

    @property
    def secret(self) -> str:
        """The name of the secret with the account; empty without one."""
        return self._settings.push_secret

    async def get(self) -> Registry:
        """Return the registry that images are pushed to.

        Raises
        ------
        RegistryFailed
            None is set, or its secret or configmap is not there or unusable.
        """
        address = self._settings.pushes_to.place
        if address not in self._kept:
            # What a plan saw a moment ago; what is refused is asked for anew.
            self._kept[address] = await self.fresh(self._told)
        return self._kept[address]

    async def fresh(self, recent: Recent | None = None) -> Registry:
        """Return the registry with the account that its secret has now, as the next build will have it.

        Or had a moment ago, where ``recent`` says so. The caller closes it. Raises as `get` does.
        """
        address = self._settings.pushes_to.place
        if not address:
            raise self._unusable("none is set (Registries.named)")
        user, password = await self.credentials(recent)
        ca = await self._authority(recent)
        return connect(self._settings.pushes_to, user, password, ca, self._again)

    async def _again(self) -> tuple[str, str]:
        """Return what `credentials` does, after the registry has refused what it was last.

        Raises
        ------
        RegistryFailed
            As `get`; or there is none because the secret's configuration leaves it to a program.
        """
        return await self.credentials(insist=True)

    async def credentials(
        self, recent: Recent | None = None, *, insist: bool = False
    ) -> tuple[str, str]:
        """Return user and password for the registry as its secret has them now; empty without one.

        Or had a moment ago, where ``recent`` says so. With ``insist``, one that a credential helper would
        have is missed by name.
        """
        self._told = recent or self._told
        secret = self.secret
        if not secret:
            return "", ""
        found = await (recent or self._api).get(await self._space.path("secret", secret))
        if found is None:
            raise self._unusable(f"there is no secret {secret}")
        try:
            content = base64.b64decode((found.get("data") or {})[".dockerconfigjson"])
        except (KeyError, ValueError):
            raise self._unusable(f"the secret {secret} has no .dockerconfigjson") from None
        try:
            config, address = json.loads(content), self._settings.pushes_to.place
            user, password = credentials(config, address)
            program = "" if user or not insist else helper(config, address)
            if not program:
                return user, password
            reason = (
                f"the .dockerconfigjson of the secret {secret} has no password for it, only the name of "
                f"a credential helper ({program}), a program of the machine that it was made on; make "
                "the secret anew with `kubectl create secret docker-registry`"
            )
        except UnusableConfig as error:
            reason = f"the .dockerconfigjson of the secret {secret} can't be used: {error}"
        except (ValueError, RecursionError):
            reason = f"the .dockerconfigjson of the secret {secret} is not JSON"
        raise self._unusable(reason)

    async def _authority(self, recent: Recent | None) -> str:
        """Return the certificates that the registry's is signed with; empty for a public one."""
        name = self._settings.pushes_to.ca
        if not name:
            return ""
        namespace = await self._space.name()
        path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
        found = await (recent or self._api).get(path)
        ca = str(((found or {}).get("data") or {}).get("ca.crt") or "")
        if not ca:
            what = f"there is no configmap {name}" if found is None else f"{name} has no ca.crt"
            raise self._unusable(what)
        return ca

    def _unusable(self, reason: str) -> RegistryUnusable:
        return RegistryUnusable(
            registry=self._settings.pushes_to.place or "the registry",
            action="be used",
            reason=reason,
        )
