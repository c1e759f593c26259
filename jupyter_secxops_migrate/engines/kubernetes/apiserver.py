"""One API server, spoken to in JSON.

The official client's asynchronous half signs in (kubeconfig, service account, exec plugins) and
carries requests; objects stay plain dictionaries, as the API server sends them. Errors of the API
become those of `jupyter_secxops_migrate.errors`; absent objects are ``None``. What containers are asked
goes through `connection`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from ... import errors
from .errors import (
    AccountMissing,
    ClusterForbidden,
    ClusterRefused,
    ClusterUnavailable,
    NamespaceGone,
    PodSecurityForbids,
    QuotaExceeded,
)

Json = dict[str, Any]
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PAGE = 500
_ANSWER = aiohttp.ClientTimeout(total=60, sock_connect=10)
# Server-side time limit of a watch, in seconds; the API server spreads its own at random.
WATCH_SECONDS = 300
# Nobody tells of a lost connection: but a watch has a bookmark each minute, and an end.
_WATCH = aiohttp.ClientTimeout(total=WATCH_SECONDS + 30, sock_connect=10, sock_read=90)
_CREATE_TRIES = 3
# An API server that has just started may know neither roles nor accounts yet.
_SETTLE_SECONDS = 10


class Gone(Exception):
    """A watch's start lies too far back: list again."""


class ApiServer:
    """Requests to one API server.

    Parameters
    ----------
    kubeconfig, context
        The file, and the context in it; both empty: ``KUBECONFIG`` or ``~/.kube/config``, else the
        service account of the pod in which this process runs.
    """

    def __init__(self, kubeconfig: str = "", context: str = "") -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._account = False
        """Whether it is the service account that signs in."""
        self._opening = asyncio.Lock()
        self._api: ApiClient | None = None
        self._replaced: list[ApiClient] = []
        self._renewals = 0
        self._certificate = b""
        self._lost = -float(_SETTLE_SECONDS)
        self.namespace = "default"
        """The context's or the service account's; known once something was asked."""

    async def open(self) -> ApiClient:
        """Sign in, once.

        Raises
        ------
        AccountMissing
            There is nothing to sign in with.
        ClusterUnavailable
            It does not work.
        """
        async with self._opening:
            if self._api is None:
                self._account = not self._kubeconfig and _in_a_pod()
                found, self.namespace = await self._sign_in()
                self._certificate = _certificate(found)
                self._api = ApiClient(found)
            return self._api

    async def _sign_in(self) -> tuple[Configuration, str]:
        """Return where and as whom to ask, and the namespace."""
        if not self._account and not self._kubeconfig and not _kubeconfigs():
            raise AccountMissing(
                reason="this pod has no token of a service account, as it or its account says "
                "automountServiceAccountToken: false"
                if "KUBERNETES_SERVICE_HOST" in os.environ
                else "there is no kubeconfig"
            )
        found = Configuration()
        found.connection_pool_maxsize = 200
        try:
            if self._account:
                config.load_incluster_config(found)
                return found, (SERVICE_ACCOUNT / "namespace").read_text().strip()
            return found, await self._load(found)
        except (config.ConfigException, aiohttp.ClientError, OSError, ValueError) as error:
            raise ClusterUnavailable(
                endpoint=self._kubeconfig or "the usual places", reason=str(error)
            ) from None

    async def _load(self, found: Configuration) -> str:
        loader = await config.load_kube_config(
            self._kubeconfig or None, self._context or None, found, persist_config=False
        )
        # Only the loader's `_user` says whether there is a plugin (kubernetes 37.0).
        # A plugin that fails is only logged, and who nobody is would be forbidden everything.
        if "exec" in (loader._user or ()) and not (found.api_key or found.cert_file):
            raise config.ConfigException("the kubeconfig's plugin gave no credentials")
        # Its current context may be another one by the next time.
        self._context = loader.current_context["name"]
        here = loader.current_context.get("context") or {}
        return here.get("namespace") or "default"

    async def _sign_in_anew(self, renewals: int) -> ApiClient:
        """Replace credentials that expired, unless another request did so since ``renewals``."""
        api = await self.open()
        async with self._opening:
            if self._renewals != renewals:
                return self._api or api
            found, _ = await self._sign_in()
            if found.host != api.configuration.host:
                return api  # the kubeconfig was edited: credentials of another API server
            self._renewals += 1
            if found.api_key:
                # Connections that others use stay as they are.
                api.configuration.api_key = found.api_key
                api.configuration.refresh_api_key_hook = found.refresh_api_key_hook
            elif (certificate := _certificate(found)) != self._certificate:
                # It belongs to its connections; those in use are for `close`.
                self._replaced.append(api)
                self._api = api = ApiClient(found)
                self._certificate = certificate
            return api

    async def close(self) -> None:
        """Release connections."""
        if self._api is not None:
            self._replaced.append(self._api)
            self._api = None
        while self._replaced:
            await self._replaced.pop().close()

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        timeout: aiohttp.ClientTimeout = _ANSWER,
        **query: object,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the answer, its body not yet read, whatever its status.

        Raises
        ------
        ClusterUnavailable
            Nobody answers.
        """
        ask = partial(self._send, method, path, body, timeout, query)
        api, renewals = await self.open(), self._renewals
        response = await ask(api)
        if response.status == 401:
            response.release()
            response = await ask(await self._sign_in_anew(renewals))
        return response

    async def _send(
        self,
        method: str,
        path: str,
        body: object,
        timeout: aiohttp.ClientTimeout,
        query: Mapping[str, object],
        api: ApiClient,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "User-Agent": "jupyter-secxops-migrate"}
        patched = "merge-patch+" if method == "PATCH" else ""
        headers["Content-Type"] = f"application/{patched}json"
        try:
            await api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            answer = await api.rest_client.request(
                method,
                url_of(api.configuration.host, path, query),
                headers=headers,
                body=body,
                _request_timeout=timeout,
            )
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise self._away(error) from None
        response: aiohttp.ClientResponse = answer.response
        return response

    def _away(self, error: Exception) -> ClusterUnavailable:
        self._lost = time.monotonic()
        assert self._api is not None
        return ClusterUnavailable(
            endpoint=self._api.configuration.host, reason=str(error) or type(error).__name__
        )

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            return await response.read()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise self._away(error) from None

    def _object(self, text: bytes) -> Json:
        """Read what an API server says; a proxy on the way may answer with a page of its own."""
        with contextlib.suppress(ValueError):
            found = json.loads(text)
            if isinstance(found, dict):
                return found
        assert self._api is not None
        raise ClusterUnavailable(
            endpoint=self._api.configuration.host,
            reason="what answers there is no Kubernetes API server",
        )

    def _failure(self, status: int, text: bytes, action: str) -> errors.SecxopsError:
        found = failure(status, text, action)
        settling = time.monotonic() - self._lost < _SETTLE_SECONDS
        unready = settling and isinstance(found, ClusterForbidden)
        if status in (429, 503, 504) or unready:
            assert self._api is not None
            return ClusterUnavailable(
                endpoint=self._api.configuration.host, reason=message_of(text) or f"status {status}"
            )
        return found

    async def call(
        self, method: str, path: str, body: object = None, *, action: str = "", **query: Any
    ) -> Json | None:
        """Send a request and return its answer; None for what is absent.

        ``action`` completes *could not …* in errors.

        Raises
        ------
        ClusterForbidden, QuotaExceeded, errors.EngineFailed
            What the API server said.
        ClusterUnavailable
            Nobody answers, or somebody else does.
        """
        response = await self.send(method, path, body, **query)
        async with response:
            text = await self._read(response)
            if response.status == 404:
                return None
            if response.status >= 400:
                raise self._failure(response.status, text, action or f"answer {method} {path}")
            return self._object(text)

    async def get(self, path: str, **query: Any) -> Json | None:
        """Return an object, None when it is absent."""
        return await self.call("GET", path, **query)

    async def create(self, path: str, body: Json, action: str = "", *, read: bool = True) -> Json:
        """Create an object, or return the one of its name that is there (made by an earlier call).

        Without ``read`` that one is not asked for, as this account may not read it: ``body`` is returned.
        """
        for _ in range(_CREATE_TRIES):
            found = await self.make(path, body, action)
            if found is None and not read:
                return body
            found = found or await self.get(f"{path}/{body['metadata']['name']}")
            if found is not None:
                return found
        reason = "one of its name comes and goes"
        raise ClusterRefused(action=action or f"create {body['kind']}", reason=reason)

    async def make(self, path: str, body: Json, action: str = "") -> Json | None:
        """Create an object; return None where one of its name is there."""
        response = await self.send("POST", path, body)
        async with response:
            text = await self._read(response)
            if response.status == 409 and b'"AlreadyExists"' in text:
                return None
            if response.status >= 400:
                raise self._failure(response.status, text, action or f"create {body['kind']}")
            return self._object(text)

    async def delete(
        self, path: str, *, grace: int | None = None, version: str = "", owned_first: bool = False
    ) -> None:
        """Delete an object and, in the background, what it owns; absent is success.

        ``grace`` is in seconds; ``version`` deletes only the object of that resourceVersion. With
        ``owned_first`` the object stays until what it owns is gone.
        """
        body: Json = {"propagationPolicy": "Foreground" if owned_first else "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        if version:
            body["preconditions"] = {"resourceVersion": version}
        await self.call("DELETE", path, body, action="remove what is left")

    async def delete_all(self, path: str, selector: str) -> None:
        """Delete the objects with some labels and, in the background, what they own.

        Where this account may only delete them one by one, that is done.
        """
        body = {"propagationPolicy": "Background"}
        action = "remove what is left"
        try:
            await self.call("DELETE", path, body, action=action, labelSelector=selector)
        except ClusterForbidden:
            names = [
                row["metadata"]["name"] for row in await self.list(path, labelSelector=selector)
            ]
            await asyncio.gather(*(self.delete(f"{path}/{name}") for name in names))

    async def pages(self, path: str, **query: Any) -> AsyncIterator[Json]:
        """Yield the pages of a list; each has ``items`` and ``metadata``."""
        following = ""
        while True:
            page = await self.get(path, limit=PAGE, **{"continue": following, **query})
            if page is None:
                return
            yield page
            following = page["metadata"].get("continue") or ""
            if not following:
                return

    async def list(self, path: str, **query: Any) -> Sequence[Json]:
        """Return all items of a list."""
        return [item async for page in self.pages(path, **query) for item in page["items"]]

    async def watch(
        self, path: str, version: str = "", **query: Any
    ) -> AsyncGenerator[tuple[str, Json], None]:
        """Yield ``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK`` with the object, until it ends.

        Or until nothing was heard for longer than a watch is silent. Without a ``version`` it begins with
        each object that is there as ``ADDED``.

        Raises
        ------
        Gone
            ``version`` is too old.
        """
        response = await self.send(
            "GET",
            path,
            timeout=_WATCH,
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=version,
            timeoutSeconds=WATCH_SECONDS,
            **query,
        )
        async with response:
            if response.status == 410:
                raise Gone
            if response.status >= 400:
                text = await self._read(response)
                raise self._failure(response.status, text, f"watch {path}")
            with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
                async for line in response.content:
                    if line.startswith(b"{") and not line.endswith(b"\n"):
                        return  # it broke off
                    said = self._object(line)
                    if said["type"] == "ERROR":
                        if said["object"].get("code") == 410:
                            raise Gone
                        return
                    yield said["type"], said["object"]

    async def until(self, path: str, name: str, seconds: float) -> AsyncIterator[Json | None]:
        """Yield an object as it is now and at each change, None once it is gone, up to ``seconds``."""
        ends = asyncio.get_running_loop().time() + seconds
        while (left := ends - asyncio.get_running_loop().time()) > 0:
            now = await self.get(f"{path}/{name}")
            yield now
            if now is None:
                return
            changes = self.watch(
                path, now["metadata"]["resourceVersion"], fieldSelector=f"metadata.name={name}"
            )
            try:
                async with contextlib.aclosing(changes):
                    while left > 0:
                        kind, found = await asyncio.wait_for(anext(changes), left)
                        if kind == "DELETED":
                            yield None
                            return
                        if kind != "BOOKMARK":
                            yield found
                        left = ends - asyncio.get_running_loop().time()
            except (StopAsyncIteration, Gone):
                await asyncio.sleep(0.1)
            except (asyncio.TimeoutError, TimeoutError):
                return


def _in_a_pod() -> bool:
    """Whether the service account of a pod is to be used: only without a kubeconfig."""
    return not _kubeconfigs() and (SERVICE_ACCOUNT / "token").exists()


def _kubeconfigs() -> list[str]:
    """Return the kubeconfigs that are there where none is named."""
    given = os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config"
    return [name for name in str(given).split(os.pathsep) if name and Path(name).exists()]


def _certificate(found: Configuration) -> bytes:
    return Path(found.cert_file).read_bytes() if found.cert_file else b""


def url_of(host: str, path: str, query: Mapping[str, object]) -> str:
    """Return a URL with a query, without those of its parts that are empty."""
    wanted = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{host}{path}?{urlencode(wanted, doseq=True)}" if wanted else f"{host}{path}"


def message_of(text: bytes) -> str:
    """Return what an API server says that went wrong."""
    try:
        return str(json.loads(text).get("message") or "")
    except (ValueError, AttributeError):
        return text.decode("utf-8", "replace")[:500]


def failure(status: int, text: bytes, action: str) -> errors.SecxopsError:
    """Return what an API server's refusal means."""
    message = message_of(text)
    if _namespace_is_gone(status, text):
        return NamespaceGone(action=action, reason=message)
    if status in (401, 403):
        if "exceeded quota" in message:
            return QuotaExceeded(action=action, reason=message)
        if "violates PodSecurity" in message:
            return PodSecurityForbids(action=action, reason=message)
        if " is forbidden: " in message and "cannot " not in message:
            # Not RBAC's word: an admission check, such as that of a LimitRange.
            return ClusterRefused(action=action, reason=message)
        return ClusterForbidden(action=action, reason=message or f"status {status}")
    if status in (400, 404, 405, 409, 413, 422):
        return ClusterRefused(action=action, reason=message or f"status {status}")
    return errors.EngineFailed(action=action, reason=message or f"status {status}")


def _namespace_is_gone(status: int, text: bytes) -> bool:
    """Whether something can't be made because its namespace ends (403) or has ended (404)."""
    try:
        details = json.loads(text).get("details") or {}
        causes = [cause.get("reason") for cause in details.get("causes") or ()]
    except (ValueError, AttributeError):
        return False
    return (status == 403 and "NamespaceTerminating" in causes) or (
        status == 404 and details.get("kind") == "namespaces"
    )
