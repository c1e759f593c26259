"""Launching environments: what starts one, looks at it, stops it and starts it again.

`Launcher` is the seam; `ContainerLauncher` makes a container of its own for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import tarfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import docker
from docker.types import DeviceRequest, LogConfig, Mount

from ...model import EnvironmentStatus
from ..errors import LaunchFailed
from ..health import LINES_LOOKED_AT, PORT, TOKEN_FOLDER, elsewhere, launch_failed
from ..names import Names, labels
from ..orders import InsideOrder, Launched, LaunchOrder, Observation, VolumeSeen
from ..output import Output
from ..probing import folder_options
from ..roles import Environments
from .connection import Connection
from .health import Address, address_of, answers, insists_on_token, published
from .inside import look_inside
from .jobs import remove
from .place import is_neighbour
from .settings import DockerSettings

EXTENSIONS_FOLDER = "/run/secxops-copy"
"""A folder of JupyterLab's data, for the extensions that are no part of the image."""
_LOOK_SECONDS = 3.0
_NAMELESS = re.compile(r"[0-9a-f]{64}")


class Launcher(Environments, Protocol):
    """What runs environments on a Docker host; made with the connection and the settings.

    All that it makes there has a name of `Names` and the labels of `names.labels`, so that deleting a
    migration finds it.
    """

    async def close(self) -> None:
        """Let go of what it holds; the connection is the engine's."""
        ...


class ContainerLauncher:
    """Environments as containers of one Docker host, reached on a port of its loopback address."""

    def __init__(self, connection: Connection, settings: DockerSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._neighbour: bool | None = None

    async def launch(self, order: LaunchOrder) -> Observation:
        """Create and start the environment, or adopt the one that is there, and wait for it."""
        name = Names(order.migration).environment

        def go(api: docker.APIClient) -> None:
            with contextlib.suppress(docker.errors.NotFound):
                found = api.inspect_container(name)
                # One that was never started may have no token yet.
                started = found["State"]["Status"] != "created"
                wanted = {m.path: m.volume for m in order.mounts}
                if started and found["Image"] == order.image and _mounts(found) == wanted:
                    api.start(found["Id"])
                    return
                remove(api, name)
            container = self._create(api, order, name)
            api.put_archive(container, "/", _token_archive(order))
            if order.extensions:
                api.put_archive(container, "/", _extensions_archive(order.extensions))
            api.start(container)

        await self._connection.call("start the environment", go, long=True)
        return await self._wait_until_answers(order)

    def _create(self, api: docker.APIClient, order: LaunchOrder, name: str) -> str:
        command = [
            *(order.probe.jupyter or ()),
            "--ServerApp.ip=0.0.0.0",
            f"--ServerApp.port={PORT}",
            "--ServerApp.port_retries=0",
            "--ServerApp.open_browser=False",
            *folder_options(order.root),
        ]
        if order.probe.uid == 0:
            command.append("--ServerApp.allow_root=True")
        # The image's own entrypoint, or none: None is Docker's word for the first.
        own, words = (
            (None, command) if order.probe.entrypoint == "runs" else (command[:1], command[1:])
        )
        gpus = [DeviceRequest(count=order.gpu, capabilities=[["gpu"]])] if order.gpu else None
        return str(
            api.create_container(
                order.image,
                entrypoint=own,
                command=words,
                name=name,
                # An image's own JUPYTER_TOKEN would go before the file.
                environment={
                    "JUPYTER_TOKEN_FILE": f"{TOKEN_FOLDER}/token",
                    "JUPYTER_TOKEN": "",
                    **({"JUPYTER_PATH": _with_extensions(api, order)} if order.extensions else {}),
                },
                labels=labels(order.owner, "environment", order.migration),
                ports=[PORT],
                working_dir=order.root,
                host_config=api.create_host_config(
                    port_bindings={PORT: ("127.0.0.1", None)},
                    cap_drop=["ALL"],
                    # Who is root and can do nothing of this can't even read what others own.
                    cap_add=self._settings.root_capabilities if order.probe.uid == 0 else [],
                    security_opt=["no-new-privileges"],
                    pids_limit=self._settings.pids_limit,
                    nano_cpus=int(order.cpu * 1e9) if order.cpu else None,
                    mem_limit=order.memory,
                    # As a machine has it, and of that memory: loaders of PyTorch need more than Docker's 64 MB.
                    shm_size=order.memory // 2 if order.memory else None,
                    device_requests=gpus,
                    init=True,
                    restart_policy={"Name": "unless-stopped"},
                    log_config=_log_config(api),
                    # No `NESTED` here: Engine 26 can do that, but never starts a container again
                    # whose part was moved meanwhile.
                    mounts=[
                        Mount(m.path, m.volume, type="volume", no_copy=True) for m in order.mounts
                    ],
                ),
            )["Id"]
        )

    async def _wait_until_answers(self, order: LaunchOrder) -> Observation:
        deadline = time.monotonic() + self._settings.launch_timeout
        look = time.monotonic() + _LOOK_SECONDS
        while True:
            seen = await self.inspect(order.migration)
            if seen.status in (EnvironmentStatus.STOPPED, EnvironmentStatus.GONE) or seen.restarts:
                last = seen.log.replace(order.token, "…").strip().splitlines()[-5:]
                raise launch_failed(order, seen.log, " / ".join(last) or "it ended at once")
            if seen.status is EnvironmentStatus.RUNNING:
                await self._insist_on_token(order)
                return seen
            if time.monotonic() > min(look, deadline):
                log = await self._log(order.migration, lines=LINES_LOOKED_AT)
                if reason := elsewhere(log):
                    raise launch_failed(order, log, reason)
                look = time.monotonic() + _LOOK_SECONDS
            if time.monotonic() > deadline:
                seconds = f"{self._settings.launch_timeout:.0f} seconds"
                raise launch_failed(order, log, f"JupyterLab did not answer within {seconds}")
            await asyncio.sleep(0.1)

    async def _insist_on_token(self, order: LaunchOrder) -> None:
        """Fail unless JupyterLab lets in who has the token, and nobody else.

        An image may bring a Jupyter configuration that switches tokens off, or sets its own.
        """
        _, address = await self._found(order.migration)
        if address is None or not await insists_on_token(address, order.token):
            raise LaunchFailed(
                reason="its JupyterLab does not go by the environment's own token: remove token and "
                "password from the image's Jupyter configuration",
                id=order.migration,
            )

    async def close(self) -> None:
        """Nothing is held."""

    async def look_inside(self, order: InsideOrder) -> Sequence[VolumeSeen]:
        """Look from inside the environment, as its own user, at what was copied."""
        return await look_inside(self._connection, order)

    async def launched(self, owner: str) -> Sequence[Launched]:
        """None: a record on a host is lost with all else there."""
        return ()

    async def inspect(self, migration: str, *, fresh: bool = True) -> Observation:
        """Look at the launched environment, each time anew."""
        name = Names(migration).environment
        found, address = await self._found(migration)
        if found is None:
            return Observation(EnvironmentStatus.GONE, name)
        state, status = found["State"], EnvironmentStatus.STOPPED
        if state["Running"]:
            running = address is not None and await answers(address)
            status = EnvironmentStatus.RUNNING if running else EnvironmentStatus.STARTING
        elif state["Status"] == "created":
            status = EnvironmentStatus.STARTING
        restarts, log = int(found.get("RestartCount") or 0), ""
        if not state["Running"] or restarts:
            log = await self._log(migration)
        port = published(found)
        return Observation(
            status,
            name,
            url=None if port is None else f"http://127.0.0.1:{port}/lab",
            image=found["Image"],
            mounts=_mounts(found),
            log=log,
            restarts=restarts,
        )

    async def _log(self, migration: str, lines: int = 20) -> str:
        """Return the last lines of an environment's log, an empty text without one."""
        name = Names(migration).environment
        return await self._connection.call(
            "look at the environment", lambda api: _tail(api, name, lines), absent=""
        )

    async def _found(self, migration: str) -> tuple[Mapping[str, Any] | None, Address | None]:
        """Return the container, None without one, and where it answers to this process."""

        def look(api: docker.APIClient) -> tuple[Mapping[str, Any] | None, Address | None]:
            if self._neighbour is None:
                self._neighbour = is_neighbour(api)
            try:
                found = api.inspect_container(Names(migration).environment)
            except docker.errors.NotFound:
                return None, None
            return found, address_of(found, neighbour=self._neighbour)

        return await self._connection.call("look at the environment", look)

    async def stop(self, migration: str) -> None:
        """Stop the environment; absent is success."""

        def go(api: docker.APIClient) -> None:
            with contextlib.suppress(docker.errors.NotFound):
                api.stop(Names(migration).environment, timeout=5)

        await self._connection.call("stop the environment", go)

    async def start(self, migration: str) -> Observation:
        """Start a stopped environment again."""
        await self._connection.call(
            "start the environment",
            lambda api: api.start(Names(migration).environment),
            long=True,
        )
        return await self.inspect(migration)


def _log_config(api: docker.APIClient) -> LogConfig | None:
    """Return limits for what an environment logs; None where the host logs in a way of its own."""
    # Podman 4 does not say that it writes its own files.
    driver = api.info().get("LoggingDriver") or "k8s-file"
    if driver not in ("json-file", "local", "k8s-file"):
        return None
    return LogConfig(type=driver, config={"max-size": "10m", "max-file": "2"})


def _tail(api: docker.APIClient, name: str, lines: int) -> str:
    """Return the last lines of a log, none of them long."""
    output = Output(most=0)
    for chunk in api.logs(name, tail=lines, stream=True, follow=False):
        for _ in output.feed(chunk):
            pass
    return "\n".join(output.rest())


def _mounts(container: Mapping[str, Any]) -> dict[str, str]:
    """Return path and name of its volumes, without the nameless ones of the image's VOLUME lines."""
    return {
        m["Destination"]: m["Name"]
        for m in container["Mounts"]
        if m["Type"] == "volume" and not _NAMELESS.fullmatch(m["Name"])
    }


def _with_extensions(api: docker.APIClient, order: LaunchOrder) -> str:
    """Return where JupyterLab looks for data: where the image says, and in our folder."""
    found = api.inspect_image(order.image)["Config"].get("Env") or []
    own = [word.partition("=")[2] for word in found if word.startswith("JUPYTER_PATH=")]
    return ":".join([*filter(None, own), EXTENSIONS_FOLDER])


def _extensions_archive(files: Mapping[str, bytes]) -> bytes:
    """Return a tar with extensions that everybody can read and only root could change."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"{EXTENSIONS_FOLDER}/labextensions/{path}".lstrip("/"))
            entry.size, entry.mode = len(content), 0o444
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _token_archive(order: LaunchOrder) -> bytes:
    """Return a tar with the token's file, readable by the image's user alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo(TOKEN_FOLDER.lstrip("/"))
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        folder.uid, folder.gid = order.probe.uid, order.probe.gid
        archive.addfile(folder)
        content = order.token.encode()
        entry = tarfile.TarInfo(f"{TOKEN_FOLDER}/token".lstrip("/"))
        entry.size, entry.mode = len(content), 0o400
        entry.uid, entry.gid = order.probe.uid, order.probe.gid
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
