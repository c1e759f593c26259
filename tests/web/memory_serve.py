"""``python -m tests.web.memory_serve``: the user's service, over memory instead of an engine."""

from __future__ import annotations

from pathlib import Path

from jupyter_secxops_migrate.hosts.application import HostedService
from jupyter_secxops_migrate.hosts.user import SecxopsService, main

from .memory import MemoryService


class MemoryHost(SecxopsService):
    """As the real one, but for what it hosts."""

    def make_service(self, folder: Path) -> HostedService:
        return MemoryService()


if __name__ == "__main__":
    main(application=MemoryHost)
