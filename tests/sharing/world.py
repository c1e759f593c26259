"""A service at work on an engine of folders, to be used from plain functions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy as sa

from jupyter_secxops_migrate.engines.directory import DirectoryEngine
from jupyter_secxops_migrate.hosts.house import House
from jupyter_secxops_migrate.model import Event, Migration, ShareRequest
from jupyter_secxops_migrate.operations.store import Store
from jupyter_secxops_migrate.operations.tenant import Surroundings
from jupyter_secxops_migrate.placement.policy import ResourcePolicy
from jupyter_secxops_migrate.sharing.service import MigrationService, OwnerApi

T = TypeVar("T")
ANNE, BERT = "anne", "bert"
SECONDS = 60


def eventually(happened: Callable[[], T], seconds: float = SECONDS) -> T:
    """Wait for something to become true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


def never_on_a_loop(store: Store) -> None:
    """Fail every question to the store that would hold an event loop up."""

    def asked(*told: Any) -> None:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            raise AssertionError(f"asked on an event loop: {told[2]}")

    sa.event.listen(store.engine, "before_cursor_execute", asked)


class World:
    """One service with its engine, its data folder and a project to share."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder = folder
        self.data_dir = folder / "state"
        self.data_dir.mkdir(exist_ok=True)
        self.engine = DirectoryEngine(folder / "engine")
        self.source: DirectoryEngine | None = None
        """Where sources are, if not on the engine."""
        self.project = folder / "detector"
        self.data = folder / "domains"
        self.workers = workers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.service: MigrationService | None = None

    # ------------------------------------------------------------------ the service

    def start(self) -> None:
        around = Surroundings(self.data_dir, self.engine, ResourcePolicy(), self.source)
        self.house = House(around, workers=self.workers)
        self.service = cast("MigrationService", self.house.services["sharing"])
        never_on_a_loop(self.service.store)
        self.run(self.house.start())

    def stop(self) -> None:
        if self.service is not None:
            self.run(self.house.close())
            self.service = None

    def end(self) -> None:
        self.stop()
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T], seconds: float = SECONDS) -> T:
        return self.submit(coroutine).result(seconds)

    def api(self, owner: str = ANNE) -> OwnerApi:
        assert self.service is not None
        return self.service.for_owner(owner)

    def lives_in_a_process(self, *project: Path) -> subprocess.CompletedProcess[str]:
        """Run a service in a process of its own, which shares projects and ends when idle."""
        assert self.service is None
        return subprocess.run(
            [sys.executable, "-m", "sharing.world", str(self.folder), *map(str, project)],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    # ------------------------------------------------------------------ shares

    def request(self, **more: Any) -> ShareRequest:
        return ShareRequest.model_validate(
            {"project": str(self.project), "data": [str(self.data)], **more}
        )

    def share(self, owner: str = ANNE, key: str | None = None, **more: Any) -> Migration:
        return self.run(self.api(owner).share(self.request(**more), key))

    def get(self, migration: str, owner: str = ANNE, **more: bool) -> Migration:
        return self.run(self.api(owner).get(migration, **more))

    def ended(self, migration: str, owner: str = ANNE) -> Migration:
        eventually(lambda: self.get(migration, owner).state.final)
        return self.get(migration, owner)

    def events(self, migration: str | None = None, after: int | None = 0) -> list[Event]:
        """All events of a migration that has ended, or will."""

        async def collect() -> list[Event]:
            return [event async for event in self.api().events(migration, after)]

        return self.run(collect())

    def hangs_in(self, call: str) -> None:
        """Wait until a call of the engine stands still in its middle."""
        eventually(lambda: self.engine.hanging[call])


async def _live(world: World, projects: list[str]) -> None:
    service = House(Surroundings(world.data_dir, world.engine, ResourcePolicy()))
    await service.start()
    made = [
        await service.for_owner(ANNE).share(ShareRequest(project=project, data=[str(world.data)]))
        for project in projects
    ]
    while service.busy():  # noqa: ASYNC110 - as the host of the real service does
        await asyncio.sleep(0.02)
    print(json.dumps([m.id for m in made]))
    await service.close()


if __name__ == "__main__":
    here = World(Path(sys.argv[1]))
    here.run(_live(here, sys.argv[2:]))
    here.end()
