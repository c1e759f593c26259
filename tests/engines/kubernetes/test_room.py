"""Pods of ours wait for room that Jobs of ours hold, and for no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_secxops_migrate.engines.kubernetes.errors import QuotaExceeded, Unschedulable
from jupyter_secxops_migrate.engines.kubernetes.job import Job
from jupyter_secxops_migrate.engines.kubernetes.jobs import Jobs
from jupyter_secxops_migrate.engines.kubernetes.namespace import Namespace
from jupyter_secxops_migrate.engines.kubernetes.pods import wait_for_pod
from jupyter_secxops_migrate.engines.kubernetes.room import Room
from jupyter_secxops_migrate.engines.kubernetes.settings import KubernetesSettings
from jupyter_secxops_migrate.engines.kubernetes.watched import Watched
from jupyter_secxops_migrate.engines.names import labels
from jupyter_secxops_migrate.placement.nodes import HOSTNAME, Node
from jupyter_secxops_migrate.placement.requests import record_of

from .apiserver import ApiServer, JobServer, serving
from .test_objects import source

Json = dict[str, Any]
Scene = Callable[["Cluster", Jobs, Room], Awaitable[None]]
FULL = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node selector."
OURS = labels("anne", "job", "mabc")


class Cluster:
    """Two nodes, and the pods of one namespace, which are all pods."""

    def __init__(self) -> None:
        self.nodes, self.space = ApiServer(), JobServer()

    def node(self, name: str, cpu: str = "1") -> None:
        self.nodes.put(name, "ADDED", {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "9"}})

    def pod(self, name: str, node: str = "", *, cpu: str = "10m", job: bool = True) -> None:
        """A pod that runs on a node, or that finds no room on ``a``."""
        containers = [{"name": "job", "resources": {"requests": {"cpu": cpu}}}]
        status: Json = {"phase": "Running", "startTime": "2026-11-24T12:00:00Z"}
        spec: Json = {"containers": containers, "nodeName": node}
        if not node:
            wrong = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
            status = {"phase": "Pending", "conditions": [{**wrong, "message": FULL}]}
            spec["nodeSelector"] = {HOSTNAME: "a"}
        self.space.put(name, "MODIFIED", status, **spec)
        self.space.objects[name]["metadata"]["labels"] = OURS if job else {}


def play(folder: Path, scene: Scene, *, start_seconds: float = 60) -> None:
    async def go() -> None:
        cluster = Cluster()
        handlers = [
            *cluster.space.handlers(),
            ("/api/v1/pods", cluster.space.answer),
            ("/api/v1/nodes", cluster.nodes.answer),
        ]
        async with serving(folder, handlers) as connection:
            settings = KubernetesSettings(
                namespace="a",
                tools_image="tools",
                schedule_seconds=0.3,
                start_seconds=start_seconds,
            )
            space = Namespace(connection, settings)
            nodes = Watched(connection, "/api/v1/nodes", Node.from_json)
            pods = Watched(connection, "/api/v1/pods", record_of)
            room = space.room = Room(connection, space, nodes, pods, settings)
            try:
                await asyncio.wait_for(scene(cluster, Jobs(space, "a", set()), room), 60)
            finally:
                for server in (cluster.nodes, cluster.space):
                    server.disconnect()
                for watched in (nodes, pods, space.ours):
                    await watched.close()

    asyncio.run(go())


async def started(jobs: Jobs) -> None:
    """Wait until the pod ``mine`` runs."""

    def mine(pod: Json) -> bool:
        return bool(pod["metadata"]["name"] == "mine")

    async for pod in wait_for_pod(jobs.space, mine, "mine"):
        if pod["status"]["phase"] == "Running":
            return


def test_a_pod_waits_while_jobs_of_ours_hold_the_room_and_runs_when_they_have_ended(
    tmp_path: Path,
) -> None:
    async def scene(cluster: Cluster, jobs: Jobs, room: Room) -> None:
        cluster.node("a")
        cluster.pod("theirs", "a")
        cluster.pod("mine")
        waiting = asyncio.ensure_future(started(jobs))
        # Longer than what is unschedulable, and than what may start, is waited for otherwise.
        await asyncio.sleep(3)
        assert not waiting.done()
        cluster.space.put("theirs", "DELETED")
        cluster.pod("mine", "a")
        await waiting

    play(tmp_path, scene, start_seconds=2)


@pytest.mark.parametrize(("node", "job"), [("a", False), ("b", True)])
def test_room_that_comes_by_nobodys_end_is_not_waited_for(
    tmp_path: Path, node: str, job: bool
) -> None:
    async def scene(cluster: Cluster, jobs: Jobs, room: Room) -> None:
        cluster.node("a")
        cluster.node("b")
        cluster.pod("theirs", node, job=job)
        cluster.pod("mine")
        with pytest.raises(Unschedulable, match="Insufficient cpu"):
            await started(jobs)

    play(tmp_path, scene)


def waits(name: str) -> Job:
    """A Job that is started ahead of its time."""
    return Job(name, OURS, "copying.verify", (), source=source(nodeName="a"), place="near")


def test_what_only_waits_gives_way_as_soon_as_anything_needs_room(tmp_path: Path) -> None:
    async def scene(cluster: Cluster, jobs: Jobs, room: Room) -> None:
        cluster.node("a")
        assert await jobs.try_to_start(waits("early"))
        assert await jobs.try_to_start(waits("begun"))
        await room.needed("begun")
        assert set(cluster.space.jobs) == {"early", "begun"}
        cluster.pod("mine")
        assert await room.comes(cluster.space.objects["mine"]) is False
        assert set(cluster.space.jobs) == {"begun"}

    play(tmp_path, scene)


def test_nothing_is_started_ahead_of_its_time_where_room_is_short(tmp_path: Path) -> None:
    async def scene(cluster: Cluster, jobs: Jobs, room: Room) -> None:
        cluster.node("a")
        cluster.pod("large", "a", cpu="965m", job=False)
        assert not await jobs.try_to_start(waits("early"))
        assert cluster.space.jobs == {}
        cluster.space.put("large", "DELETED")
        while not await room.spare("a"):  # noqa: ASYNC110 - until the watch has told
            await asyncio.sleep(0.01)
        assert await jobs.try_to_start(waits("early"))

    play(tmp_path, scene)


def test_a_quota_is_waited_for_while_jobs_of_ours_use_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_secxops_migrate.engines.kubernetes.room.QUOTA_SECONDS", 0.05)

    async def scene(cluster: Cluster, jobs: Jobs, room: Room) -> None:
        cluster.pod("theirs", "a")
        tries, again = 0, asyncio.Event()

        async def make() -> str:
            nonlocal tries
            tries += 1
            if tries > 1:
                again.set()
            if "theirs" in cluster.space.objects:
                raise QuotaExceeded(action="start it", reason="pods=1")
            return "made"

        making = asyncio.ensure_future(room.within_quota(make))
        await again.wait()
        cluster.space.put("theirs", "DELETED")
        assert await making == "made"

        async def never() -> None:
            raise QuotaExceeded(action="start it", reason="pods=1")

        with pytest.raises(QuotaExceeded):
            await room.within_quota(never)

    play(tmp_path, scene)
