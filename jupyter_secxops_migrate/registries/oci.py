"""Any registry that speaks the OCI distribution protocol.

Only what a migration asks: which image a name stands for, which others there are beside it, and to
forget it. Layers are moved by the builder and the nodes.
https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from .base import Pushed, Renew
from .challenge import challenges
from .dockerconfig import IDENTITY_TOKEN
from .errors import RegistryFailed

_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
_MAX_MANIFEST = 4 * 1024 * 1024
_REFUSED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
_GRANT = {"grant_type": "refresh_token", "client_id": "jupyter-secxops-migrate"}
TRIES = 3
log = logging.getLogger(__name__)


class OciRegistry:
    """A registry at ``address``, which may have a path after its host: ``host:port/path``.

    Parameters
    ----------
    address
        Without a scheme.
    user, password
        Credentials; both empty for none. With the user `IDENTITY_TOKEN`, the password is a token that
        is good for others (OAuth 2).
    ca
        PEM certificates to trust besides the system's, for a private one.
    renew
        Asked for user and password when those at hand are refused.
    plain_http
        Whether http is spoken in the place of https.

    Raises
    ------
    RegistryFailed
        ``ca`` holds no certificates.
    """

    def __init__(
        self,
        address: str,
        user: str = "",
        password: str = "",
        ca: str = "",
        renew: Renew | None = None,
        *,
        plain_http: bool = False,
    ) -> None:
        self._scheme = "http" if plain_http else "https"
        self.address = address.rstrip("/")
        self._auth = (user, password) if user else None
        self._renew = renew
        context = ssl.create_default_context()
        if ca:
            try:
                context.load_verify_locations(cadata=ca)
            except (ssl.SSLError, ValueError, TypeError):  # the last two: not even ASCII
                raise self._failed("be trusted", "its ca.crt holds no PEM certificates") from None
        self._http = httpx.AsyncClient(verify=context, timeout=30, follow_redirects=True)

    async def close(self) -> None:
        """Release connections."""
        await self._http.aclose()

    def reference(self, repository: str) -> str:
        """Return the full name of a repository."""
        return f"{self.address}/{repository}"

    async def try_push(self, repository: str) -> None:
        """Begin the upload of a blob and cancel it, which leaves nothing."""
        host, name, _ = split(repository)
        url, action = self._url(host, f"{name}/blobs/uploads/"), "let us push"
        answer = await self._ask("POST", url, action)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise self._failed(action, f"it has no place for {name}")
        upload = str(httpx.URL(url).join(answer.headers.get("Location", "")))
        if upload == url or not self._is_own(upload):
            return
        # What is not cancelled is empty, and every registry forgets it after a while.
        with contextlib.suppress(RegistryFailed):
            await self._ask("DELETE", upload, action)

    async def prepare(self, repository: str) -> None:
        """Nothing: a push makes what it needs."""

    async def admit(self, reference: str) -> None:
        """Nothing: the protocol knows no gate."""

    async def find(self, reference: str) -> Pushed | None:
        """Return the image of a reference; None when it is not there."""
        host, repository, name = split(reference)
        found = await self._manifest(host, repository, name)
        if found is None:
            return None
        digest, body = found
        manifest = self._read(body, "read an image")
        layers = manifest.get("layers") or []
        config: Mapping[str, Any] = {}
        if wanted := (manifest.get("config") or {}).get("digest"):
            blob = await self._ask(
                "GET", self._url(host, f"{repository}/blobs/{wanted}"), "read an image"
            )
            if _digest(blob.content) != wanted:
                raise self._failed("read an image", "its configuration is damaged")
            config = self._read(blob.content, "read an image")
        return Pushed(digest, sum(int(row["size"]) for row in layers), len(layers), config)

    async def _manifest(self, host: str, repository: str, name: str) -> tuple[str, bytes] | None:
        """Return the digest and the bytes of a manifest, None when it is not there."""
        url = self._url(host, f"{repository}/manifests/{name}")
        answer = await self._ask("GET", url, "find an image")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        body = answer.content
        if len(body) > _MAX_MANIFEST:
            raise self._failed("find an image", "its manifest is too large")
        digest = _digest(body)
        if name.startswith("sha256:") and name != digest:
            raise self._failed("find an image", f"{name} was asked for and {digest} came")
        return digest, body

    async def tags(self, repository: str) -> Sequence[str]:
        """Return the tags that a repository has; none without it."""
        host, name, _ = split(repository)
        url = self._url(host, f"{name}/tags/list")
        found: list[str] = []
        while True:
            answer = await self._ask("GET", url, "list tags")
            if answer.status_code == httpx.codes.NOT_FOUND:
                return found
            found += self._read(answer.content, "list tags").get("tags") or ()
            following = answer.links.get("next", {}).get("url")
            if not following:
                return found
            url = str(httpx.URL(url).join(following))

    async def delete(self, reference: str) -> None:
        """Remove a reference's image; absent is success."""
        host, repository, name = split(reference)
        if not name.startswith("sha256:"):
            found = await self._manifest(host, repository, name)
            if found is None:
                return
            name, _ = found
        url = self._url(host, f"{repository}/manifests/{name}")
        answer = await self._ask("DELETE", url, "remove an image", httpx.codes.METHOD_NOT_ALLOWED)
        if answer.status_code == httpx.codes.METHOD_NOT_ALLOWED:
            # Nobody can do it later either: what removes it is the registry's own retention.
            log.warning("%s deletes no images: %s is left to it", self.address, reference)

    async def _ask(self, method: str, url: str, action: str, *accepted: int) -> httpx.Response:
        """Send a request; returns what succeeded, is absent, or was ``accepted``."""
        reason, denied = "", False
        for _ in range(TRIES):
            try:
                answer = await self._signed(method, url)
            except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
                reason = str(error) or type(error).__name__
                continue
            if answer.is_success or answer.status_code in (httpx.codes.NOT_FOUND, *accepted):
                return answer
            reason = f"it answered {answer.status_code}"
            denied = answer.status_code in _REFUSED
            if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                break
        failed = self._failed(action, reason)
        failed.denied = denied
        raise failed

    async def _signed(self, method: str, url: str) -> httpx.Response:
        """Send a request with our credentials, and with new ones when those are refused."""
        if not self._is_own(url):
            return await self._http.request(method, url, headers={"Accept": _ACCEPT})
        used = self._auth
        answer = await self._send(method, url)
        if answer.status_code in _REFUSED and await self._renewed(used):
            answer = await self._send(method, url)
        return answer

    def _url(self, host: str, path: str) -> str:
        return f"{self._scheme}://{host}/v2/{path}"

    def _is_own(self, url: str) -> bool:
        """Whether a URL is this registry's; nobody else is told its password."""
        return url.startswith(f"{self._scheme}://{split(self.address)[0]}/")

    async def _send(self, method: str, url: str) -> httpx.Response:
        headers = {"Accept": _ACCEPT}
        answer = await self._http.request(method, url, headers=headers, auth=self._password)
        # Tokens are good for one repository and a few minutes: each request gets its own.
        if answer.status_code == httpx.codes.UNAUTHORIZED and (token := await self._token(answer)):
            headers["Authorization"] = f"Bearer {token}"
            answer = await self._http.request(method, url, headers=headers)
        return answer

    @property
    def _password(self) -> tuple[str, str] | None:
        """User and password, where that is what we have."""
        return None if self._auth and self._auth[0] == IDENTITY_TOKEN else self._auth

    async def _token(self, answer: httpx.Response) -> str:
        """Return the token that a registry asks for, empty if it asks for none or gives none.

        https://distribution.github.io/distribution/spec/auth/oauth/ with an identity token.
        """
        if not self._is_own(str(answer.url)):  # where the registry has sent us
            return ""
        for scheme, wanted in challenges(answer.headers.get_list("WWW-Authenticate")):
            realm = wanted.get("realm", "")
            if scheme != "bearer" or not realm.startswith(("https://", f"{self._scheme}://")):
                continue
            asked = {name: wanted[name] for name in ("service", "scope") if wanted.get(name)}
            if self._auth and self._password is None:
                form = {**asked, **_GRANT, "refresh_token": self._auth[1]}
                # Sent on, it would be the token that is sent on.
                found = await self._http.post(realm, data=form, follow_redirects=False)
            else:
                # A realm may have a query of its own, which stays.
                url = httpx.URL(realm).copy_merge_params(asked)
                found = await self._http.get(url, auth=self._password)
            said = self._read(found.content, "sign us in") if found.is_success else {}
            return str(said.get("token") or said.get("access_token") or "")
        return ""

    async def _renewed(self, refused: tuple[str, str] | None) -> bool:
        """Whether there are other credentials now than those that were refused."""
        if self._renew is not None:
            user, password = await self._renew()
            self._auth = (user, password) if user else None
        return self._auth != refused

    def _read(self, body: bytes, action: str) -> Mapping[str, Any]:
        """Return the JSON object that an answer holds."""
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._failed(action, "it answered with something else than JSON")
        return found

    def _failed(self, action: str, reason: str) -> RegistryFailed:
        return RegistryFailed(registry=self.address, action=action, reason=reason)


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def split(reference: str) -> tuple[str, str, str]:
    """Return host, repository and tag or digest of a full reference."""
    host, _, rest = reference.partition("/")
    if "@" in rest:
        repository, _, name = rest.partition("@")
        return host, repository.partition(":")[0], name
    repository, _, name = rest.partition(":")
    return host, repository, name or "latest"
