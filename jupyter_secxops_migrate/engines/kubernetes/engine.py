"""The `Engine` of one namespace of a Kubernetes cluster: who plays which role of it."""

from __future__ import annotations

import copy
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ...model import PodSource
from ...registries import Registry
from ..composed import Composed
from ..orders import LookOrder, Progress, PushOrder, PushResult
from ..roles import Roles
from .environments import Environments
from .housekeeping import Housekeeping
from .images import Images
from .notebook import Notebook
from .settings import KubernetesSettings
from .shared import Shared
from .source import Source
from .volumes import Volumes

log = logging.getLogger(__name__)


class KubernetesEngine(KubernetesSettings, Composed):
    """Pods, claims and Jobs of one namespace.

    Raises what `jupyter_secxops_migrate.errors` has for clusters.
    """

    name = "kubernetes"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Said here, so that a registry that is described wrongly is told at the start.
        log.info("images go to %s", self.pushes_to.place or "no registry")
        self._shared = Shared(self)
        self._play(Source(self._shared))

    def _play(self, source: Source) -> None:
        shared, notebook = self._shared, Notebook(self._shared, source)
        self._source, self._images = source, Images(shared, source)
        self.roles = Roles(
            source,
            self._images,
            Volumes(shared, source),
            Environments(shared, source, notebook),
            Housekeeping(shared, source, notebook),
        )

    def at(self, source: PodSource | None) -> KubernetesEngine:
        """Return this engine for another pod of its namespace; the rest is shared."""
        if source is None:
            return self
        found = copy.copy(self)
        found._play(Source(self._shared, source, self._source.here))
        return found

    async def close(self) -> None:
        """Release connections."""
        await self._shared.close()

    @property
    def outside(self) -> bool:
        """Whether the source is another pod than the one in which the service runs."""
        return self._source.outside

    async def look(self, order: LookOrder) -> Mapping[str, Any]:
        """Survey a project from a Job on the source's node; nothing of it stays."""
        return await self._source.look(order)

    def push(self, order: PushOrder) -> AsyncIterator[Progress | PushResult]:
        """Push from the store of the node that has the image, by the builder there."""
        return self._images.push(order)

    async def registry(self) -> Registry:
        """Return the registry that images are pushed to, signed in to as the builds are.

        Raises
        ------
        RegistryFailed
            None is set, or its secret or configmap is not there or unusable.
        """
        return await self._images.registry()
