"""Sharing's part of the client: each call of the API that is about shares, as a request to the service.

Light: what people touch imports it. It knows the routes and their documents, and neither what carries
the requests nor what the service does with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from urllib.parse import quote
from uuid import uuid4

from ..api import Calls
from ..errors import NotFound, WrongState
from ..model import Environment, Migration, Plan, PodSource, ShareRequest


class SharingCalls:
    """What one owner can do with shares.

    Parameters
    ----------
    calls
        Carries the requests.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def environment(
        self, project: str, data: Sequence[str] = (), source: PodSource | None = None
    ) -> Environment:
        """Observe the running environment of a project; touches nothing."""
        params = [("project", project), *(("data", path) for path in data)]
        if source is not None:
            params += source.model_dump(exclude_none=True).items()
        return Environment.model_validate_json(
            await self._calls.read("GET", "environment", params=params)
        )

    async def plan(self, request: ShareRequest) -> Plan:
        """Decide what a share would do; touches nothing."""
        return Plan.model_validate_json(await self._post("plans", request))

    async def share(self, request: ShareRequest, idempotency_key: str | None = None) -> Migration:
        """Record a share and queue it; sent again, if need be, under the same key."""
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        return Migration.model_validate_json(await self._post("migrations", request, headers))

    async def _post(
        self, path: str, request: ShareRequest, headers: Mapping[str, str] | None = None
    ) -> bytes:
        return await self._calls.read(
            "POST",
            path,
            headers={**(headers or {}), "Content-Type": "application/json"},
            content=request.model_dump_json(exclude_defaults=True).encode(),
        )

    async def get(
        self, migration_id: str, *, token: bool = False, changes: bool = False
    ) -> Migration:
        """Return one migration; with ``token``, ``result.url`` carries its token."""
        params = [("changes", "true")] if changes else []
        found = Migration.model_validate_json(
            await self._calls.read("GET", _path(migration_id), params=params)
        )
        if not token and found.result is not None and found.result.url is not None:
            found.result.url = found.result.url.partition("?")[0]
        return found

    async def list(
        self, limit: int | None = None, before: str | None = None
    ) -> Sequence[Migration]:
        """Return the owner's migrations, newest first."""
        asked = {"limit": limit, "before": before}
        params = {name: value for name, value in asked.items() if value is not None}
        body = await self._calls.read("GET", "migrations", params=params)
        return [Migration.model_validate(item) for item in json.loads(body)]

    async def log(self, migration_id: str) -> str:
        """Return the share's log so far."""
        body = await self._calls.read("GET", _path(migration_id, "log"))
        return body.decode("utf-8", "replace")

    async def cancel(self, migration_id: str) -> Migration:
        """Ask it to end; idempotent."""
        return await self._act(migration_id, "cancel")

    async def retry(self, migration_id: str) -> Migration:
        """Run a failed or cancelled one again."""
        before = await self.get(migration_id)
        try:
            return await self._act(migration_id, "retry")
        except WrongState:
            # Sent twice, because the service ended under the first, it is under way already.
            now = await self.get(migration_id)
            if now.attempt == before.attempt + 1:
                return now
            raise

    async def stop(self, migration_id: str) -> Migration:
        """Stop the launched environment; its volumes and image stay."""
        return await self._act(migration_id, "stop")

    async def start(self, migration_id: str) -> Migration:
        """Start a stopped environment again."""
        return await self._act(migration_id, "start")

    async def _act(self, migration_id: str, verb: str) -> Migration:
        return Migration.model_validate_json(
            await self._calls.read("POST", _path(migration_id, verb))
        )

    async def delete(self, migration_id: str) -> None:
        """Remove container, volumes, image if unused, and the record."""
        before = self._calls.repeats
        try:
            await self._calls.read("DELETE", _path(migration_id))
        except NotFound:
            # Sent again because the service ended under it, it finds nothing any more.
            if self._calls.repeats == before:
                raise


def _path(migration_id: str, *rest: str) -> str:
    return "/".join(["migrations", quote(migration_id, safe=""), *rest])
