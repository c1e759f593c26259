"""The connection to a cluster: its API server, and through that the containers of pods.

What `apiserver` has are objects. Here are logs, commands that are run in a container, and ports that are
forwarded to it: streams, which a container's node answers and not the API server itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from ... import errors
from .. import health
from ..health import Answer
from ..output import LAST_BYTES, LONGEST_SAID, Lines
from .apiserver import ApiServer, Gone, Json, message_of, url_of
from .errors import ClusterRefused, NodeUnreachable

__all__ = ["Connection", "Gone", "Json"]

_AGAIN = (0.2, 0.5, 1, 2, 4)
# A stream that has been silent for as long is asked for anew: nobody tells of a lost connection.
_FOLLOW = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300)
# Until a WebSocket is open: a node that lost its power or its network refuses nothing.
_SOCKET_SECONDS = 30
# A pod's whole answer, through API server and kubelet.
_ANSWER_SECONDS = 10


class Connection(ApiServer):
    """Requests to one API server, and to containers of its cluster."""

    async def log(
        self, namespace: str, pod: str, container: str, *, since: str = "", node: str = ""
    ) -> AsyncGenerator[str, None]:
        """Yield the lines of a container's log, each after its time, until the container ends.

        Or until the connection breaks; of a pod that is not there, there are none. ``since`` is a time
        in whole seconds (RFC 3339), without it they come from the first on; ``node`` is where it runs,
        for the error.

        Raises
        ------
        NodeUnreachable
            Its node does not answer.
        """
        response = await self.send(
            "GET",
            f"/api/v1/namespaces/{namespace}/pods/{pod}/log",
            timeout=_FOLLOW,
            follow="true",
            timestamps="true",
            sinceTime=since,
            container=container,
        )
        async with response:
            if response.status == 404:
                return
            if response.status >= 400:
                text = await self._read(response)
                if response.status == 500:
                    raise NodeUnreachable(node=node, reason=message_of(text))
                raise self._failure(response.status, text, "read a Job's log")
            lines = Lines(LONGEST_SAID)
            with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
                async for chunk in response.content.iter_any():
                    for line in lines.feed(chunk):
                        yield line
                for line in lines.rest():
                    yield line

    async def insist_on_node(self, namespace: str, pod: str, container: str, node: str) -> None:
        """Fail unless the kubelet of a pod's node answers.

        Raises
        ------
        NodeUnreachable
            It does not.
        """
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        response = await self.send("GET", path, container=container, tailLines=1)
        async with response:
            if response.status == 500:
                reason = message_of(await self._read(response))
                raise NodeUnreachable(node=node, reason=reason)

    async def tail(self, namespace: str, pod: str, container: str, lines: int = 20) -> str:
        """Return the last lines of a container's log; empty where there is none."""
        response = await self.send(
            "GET",
            f"/api/v1/namespaces/{namespace}/pods/{pod}/log",
            container=container,
            tailLines=lines,
            limitBytes=LAST_BYTES,
        )
        async with response:
            if response.status >= 400:
                return ""
            return (await self._read(response)).decode("utf-8", "replace")

    async def socket(
        self, path: str, protocol: str, *, node: str = "", **query: Any
    ) -> aiohttp.ClientWebSocketResponse[bool]:
        """Open a WebSocket to a subresource of a pod (``exec``, ``portforward``).

        Raises
        ------
        NodeUnreachable
            The API server does not reach the kubelet of the pod's ``node``.
        """
        # A kubelet that is busy refuses before anything has begun: so it can be asked again.
        for pause in (*_AGAIN, None):
            try:
                return await self._connect(path, protocol, query)
            except aiohttp.WSServerHandshakeError as error:
                if error.status == 404:
                    # It is gone, or its kubelet has just started and does not know it yet.
                    raise NodeUnreachable(node=node, reason="it does not know the pod") from None
                if error.status < 500:
                    raise self._failure(error.status, b"", f"reach {path}") from None
                if pause is None:
                    raise NodeUnreachable(
                        node=node, reason=f"it can't be connected to (status {error.status})"
                    ) from None
                await asyncio.sleep(pause)
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
                raise self._away(error) from None
        raise AssertionError("the last try returns or raises")

    async def _connect(
        self, path: str, protocol: str, query: Mapping[str, object]
    ) -> aiohttp.ClientWebSocketResponse[bool]:
        connect = partial(_connected, path, protocol, query)
        api, renewals = await self.open(), self._renewals
        try:
            return await connect(api)
        except aiohttp.WSServerHandshakeError as error:
            if error.status != 401:
                raise
        return await connect(await self._sign_in_anew(renewals))

    async def execute(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        stdin: AsyncIterator[bytes] | None = None,
        *,
        node: str = "",
    ) -> AsyncGenerator[bytes, None]:
        """Run a command in a container, and yield its standard output.

        The WebSocket has no end of input: the command must know how much it is to read.

        Raises
        ------
        NodeUnreachable
            The pod's ``node`` does not answer.
        errors.EngineFailed
            It did not end with status 0.
        """
        socket = await self.socket(
            f"/api/v1/namespaces/{namespace}/pods/{pod}/exec",
            "v4.channel.k8s.io",
            node=node,
            container=container,
            command=list(command),
            stdin=str(stdin is not None).lower(),
            stdout="true",
            stderr="true",
        )
        said = b""
        status: Json = {}

        async def give() -> None:
            if stdin is not None:
                async for chunk in stdin:
                    await socket.send_bytes(b"\0" + chunk)

        giving = asyncio.ensure_future(give())
        try:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                    continue
                channel, data = message.data[0], message.data[1:]
                if channel == 1 and data:
                    yield data
                elif channel == 2:
                    said = (said + data)[-2000:]
                elif channel == 3:
                    status = json.loads(data)
            if status.get("status") != "Success":
                reason = said.decode("utf-8", "replace").strip() or status.get("message")
                raise errors.EngineFailed(
                    action=f"run a command in {pod}", reason=reason or "the connection broke"
                )
        finally:
            giving.cancel()
            await asyncio.gather(giving, return_exceptions=True)
            await socket.close()

    async def ask(
        self, namespace: str, pod: str, port: int, path: str, token: str | None = None
    ) -> Answer | None:
        """Send an HTTP GET to a pod through the API server; None where it can't be connected to.

        Goes through ``portforward``: the API server's ``proxy`` would take the Authorization header
        for itself, and a token in a URL would be in its log.
        """
        try:
            socket = await self.socket(
                f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward",
                "v4.channel.k8s.io",
                ports=port,
            )
        except (errors.EngineFailed, ClusterRefused, NodeUnreachable):
            return None
        try:
            await socket.send_bytes(b"\0" + health.request(path, port, token))
            return await asyncio.wait_for(_forwarded(socket), _ANSWER_SECONDS)
        except (asyncio.TimeoutError, TimeoutError):
            return Answer()
        except (aiohttp.ClientError, ConnectionError):
            return None
        finally:
            await socket.close()


async def _forwarded(socket: aiohttp.ClientWebSocketResponse[bool]) -> Answer | None:
    """Read what comes back through ``portforward``; None where the kubelet could not connect."""
    data, begun = b"", set()
    while not health.complete(data):
        message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.BINARY:
            break
        channel, said = message.data[0], message.data[1:]
        if channel not in begun:
            begun.add(channel)  # both, of the answer and of errors, begin with the port's number
        elif channel == 0:
            data += said
        elif said:
            return None
    return health.read(data) if data else None


async def _connected(
    path: str, protocol: str, query: Mapping[str, object], api: ApiClient
) -> aiohttp.ClientWebSocketResponse[bool]:
    headers: dict[str, str] = {}
    await api.update_params_for_auth(headers, [], ["BearerToken"], path, "GET", None)
    rest = api.rest_client
    # The client makes its pool at its first request (kubernetes 37.0); this may be the first.
    rest.pool_manager = rest.pool_manager or rest._create_pool_manager()
    url = url_of(api.configuration.host, path, query).replace("http", "ws", 1)
    opening = rest.pool_manager.ws_connect(
        url, headers=headers, protocols=[protocol], max_msg_size=0, heartbeat=30
    )
    return await asyncio.wait_for(opening, _SOCKET_SECONDS)
