"""The notebook that this service belongs to, as the cluster tells it from others, also when its record is lost."""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath

from ...runtime import lasting_name
from .adopt import identity_of, is_twin
from .errors import NotOnClaim, SourceUnusable
from .place import locate, source_pod
from .shared import Shared
from .source import Source


class Notebook:
    """The pod in which this process runs, if it does."""

    def __init__(self, shared: Shared, source: Source) -> None:
        self._shared = shared
        self._source = source

    async def identity(self) -> str:
        """Return what stands for this notebook on the cluster; empty outside of pods, unless it is set."""
        namespace = await self._shared.space.name()
        if self._shared.settings.notebook:
            return identity_of(namespace, self._shared.settings.notebook, "")
        if not self._source.here.hostname:
            return ""
        own = source_pod(await self._source.own_pod(), own=self._source.here)
        mounted = sorted((claim, str(m.get("subPath") or "")) for claim, m in own.claims())
        with contextlib.suppress(NotOnClaim):
            place = locate(own, PurePosixPath(Path.home()))
            mounted = [(place.source, place.subpath)]
        told = []
        for name, folder in mounted:
            claim = await self._shared.api.get(await self._shared.space.path("claim", name))
            told += [((claim or {}).get("metadata") or {}).get("uid", ""), folder]
        return identity_of(namespace, lasting_name(own.name), "\n".join(told))

    async def insist_on_no_twin(self) -> None:
        """Make sure that what is this notebook's is no other running pod's.

        Raises
        ------
        SourceUnusable
            Another pod of the same Deployment, say, has made some of it, and knows it.
        """
        if self._shared.settings.notebook or not self._source.here.hostname:
            return
        own = await self._source.own_pod()
        name = own["metadata"]["name"]
        if lasting_name(name) == name:
            return
        for pod in await self._shared.api.list(await self._shared.space.path("pod")):
            if is_twin(pod, own):
                raise SourceUnusable(
                    pod=name,
                    reason=f"{pod['metadata']['name']} is another pod of the same notebook, and what either "
                    "made can't be told apart (set KubernetesEngine.notebook in each)",
                )
