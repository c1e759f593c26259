"""A second host of the service: on a port of this machine, for people who have a token each.

As small as a host can be. It has settings of its own beside those of every host, keeps the service's
things where it is told, and stays until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from tokens import TokenIdentity
from tornado.netutil import bind_sockets
from traitlets import Dict, Unicode
from web.memory import MemoryService

from jupyter_secxops_migrate.hosts.application import HostedService, ServiceApp, run
from jupyter_secxops_migrate.web.application import ServiceApplication, serve_application


class LoopbackHost(ServiceApp):
    """Serves on a free port of 127.0.0.1, and says which in a file."""

    name = "loopback"
    folder = Unicode(help="Where it keeps the service's things.").tag(config=True)
    tokens = Dict(key_trait=Unicode(), value_trait=Unicode(), help="Who has which.").tag(
        config=True
    )

    def make_service(self, folder: Path) -> HostedService:
        return MemoryService()

    def start(self) -> None:
        super().start()
        asyncio.run(self.host())

    async def host(self) -> None:
        folder = Path(self.folder)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        async with self.serving(folder) as service:
            server = serve_application(ServiceApplication(service, TokenIdentity(self.tokens)))
            sockets = bind_sockets(0, "127.0.0.1")
            server.add_sockets(sockets)
            port = sockets[0].getsockname()[1]
            said = {"url": f"http://127.0.0.1:{port}", "workers": self.workers}
            (folder / "new").write_text(json.dumps(said))
            (folder / "new").rename(folder / "said")
            await ended.wait()
            server.stop()


if __name__ == "__main__":
    run(LoopbackHost, sys.argv[1:])
