"""The pods of ours in one namespace, by one watch that is shared by all that wait for one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from ..names import MANAGED_BY, MANAGER, Names
from .connection import Connection, Json
from .watched import Watched

_METADATA = (
    *("name", "namespace", "uid", "resourceVersion", "labels", "ownerReferences"),
    *("creationTimestamp", "deletionTimestamp"),
)
_SPEC = ("nodeName", "nodeSelector", "restartPolicy", "volumes")


class Ours:
    """Pods as the last change told, and which Jobs are known to be there.

    Parameters
    ----------
    path
        Returns where the namespace's pods are.
    """

    def __init__(self, api: Connection, path: Callable[[], Awaitable[str]]) -> None:
        self._api = api
        self._path = path
        self._watched: Watched[Json] | None = None
        self.jobs: dict[str, str] = {}
        """The uid by the name of each Job that this process has made or seen, and not removed."""

    async def close(self) -> None:
        """Let go of what is watched."""
        if self._watched is not None:
            await self._watched.close()

    async def _pods(self) -> Watched[Json]:
        if self._watched is None:
            path, marks = await self._path(), f"{MANAGED_BY}={MANAGER}"
            # Who waits for a pod is told of an outage, and asks again when it wants to.
            self._watched = Watched(self._api, path, kept, insistent=False, labelSelector=marks)
        return self._watched

    async def pods(self) -> Iterable[Json]:
        """Return all of them; of their objects what `kept` keeps.

        Raises
        ------
        ClusterForbidden, ClusterUnavailable
            As `Watched.items`.
        """
        return await (await self._pods()).items()

    async def pod(self, namespace: str, name: str) -> Json | None:
        """Return one, None when it is not there; raises as `pods`."""
        return await (await self._pods()).get(name, namespace)

    @property
    def turn(self) -> int:
        """Return what is another number after each change."""
        return 0 if self._watched is None else self._watched.turn

    async def changed(self, since: int, seconds: float) -> None:
        """Wait until a pod changes after the turn ``since``, at most for some seconds."""
        if self._watched is not None:
            await self._watched.changed(since, seconds)

    def forget(self, migration: str) -> None:
        """Know no more of a migration's Jobs, which somebody removes."""
        mine = Names(migration).job("")
        for name in [name for name in self.jobs if name.startswith(mine)]:
            del self.jobs[name]


def kept(pod: Json) -> Json:
    """Return what of a pod is needed by who waits for it, or tells of it."""
    metadata, spec = pod["metadata"], pod["spec"]
    return {
        "metadata": {key: metadata[key] for key in _METADATA if key in metadata},
        "spec": {
            **{key: spec[key] for key in _SPEC if key in spec},
            "containers": [
                {"name": row["name"], "volumeMounts": row.get("volumeMounts")}
                for row in spec.get("containers") or ()
            ],
        },
        "status": pod.get("status") or {},
    }


def is_same(one: Json, other: Json) -> bool:
    """Whether two are one object, seen at different times."""
    return bool(one["metadata"]["uid"] == other["metadata"]["uid"])


def is_of(pod: Json, job: str) -> bool:
    """Whether a pod was made for a Job, by its uid."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(row.get("kind") == "Job" and row.get("uid") == job for row in owners)
