"""``python -m tests.web.memory_serve``: the user's service, over memory instead of an engine."""

from __future__ import annotations

from jupyter_secxops_migrate.runtime import Runtime
from jupyter_secxops_migrate.serve import HostedService, SecxopsService, main

from .memory import MemoryService


class MemoryHost(SecxopsService):
    """As the real one, but for what it hosts."""

    def make_service(self, runtime: Runtime) -> HostedService:
        return MemoryService()


if __name__ == "__main__":
    main(application=MemoryHost)
