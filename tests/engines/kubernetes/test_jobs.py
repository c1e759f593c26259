"""What becomes of a Job whose pod, or whose connection, goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.kubernetes import jobs as jobs_module
from jupyter_secxops_migrate.engines.kubernetes.jobs import Job, Jobs, wait_for_pod
from jupyter_secxops_migrate.engines.kubernetes.settings import KubernetesSettings

from .apiserver import JobServer, serving

JOB = Job("copy", {}, "copying.__main__", ["--json"], seconds=60)
Scene = Callable[[JobServer, Jobs], Awaitable[None]]


def play(folder: Path, scene: Scene) -> None:
    async def go() -> None:
        server = JobServer()
        async with serving(folder, server.handlers()) as connection:
            jobs = Jobs(connection, KubernetesSettings(tools_image="tools"), "a", set())
            try:
                await asyncio.wait_for(scene(server, jobs), 20)
            finally:
                server.disconnect()

    asyncio.run(go())


async def until(ask: Callable[[], object]) -> None:
    while not ask():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def said(items: Any) -> list[Any]:
    return [item async for item in items]


def test_a_job_over_its_time_is_not_tried_again_and_names_its_limit(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        running = asyncio.ensure_future(said(jobs.run(JOB)))
        await until(lambda: server.asked["log"])
        server.fail("DeadlineExceeded")
        with pytest.raises(
            errors.EngineFailed, match=r"limit of 60 seconds.*job_seconds"
        ) as failed:
            await running
        assert not failed.value.again
        assert server.asked["job"] == 1
        assert server.jobs == {}

    play(tmp_path, scene)


def test_a_job_that_waits_for_its_files_for_too_long_says_so_too(tmp_path: Path) -> None:
    (tmp_path / "list").touch()
    waiting = replace(JOB, files={"list": tmp_path / "list"})

    async def scene(server: JobServer, jobs: Jobs) -> None:
        with pytest.raises(errors.EngineFailed, match="limit of 60 seconds") as failed:
            await said(jobs.run_first(waiting, "environment.look", (), {}))
        assert not failed.value.again

    play(tmp_path, scene)


def test_a_job_that_was_given_up_for_another_reason_may_be_tried_again(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        running = asyncio.ensure_future(said(jobs.run(JOB)))
        await until(lambda: server.asked["log"])
        server.fail("BackoffLimitExceeded")
        with pytest.raises(errors.EngineFailed, match="its pod was removed") as failed:
            await running
        assert failed.value.again

    play(tmp_path, scene)


def test_a_pod_whose_changes_the_server_forgot_is_listed_again(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        server.put("one", "ADDED", {"phase": "Pending"})
        changes = wait_for_pod(jobs.api, jobs.pods, "", jobs.settings, "one")
        assert (await anext(changes))["status"]["phase"] == "Pending"
        server.put("one", status={"phase": "Running"})
        server.forgotten = server.version
        assert (await anext(changes))["status"]["phase"] == "Running"

        following = asyncio.ensure_future(anext(changes, None))
        await until(lambda: server.asked["watch"] == 2)
        server.put("one", "DELETED")
        assert await following is None

    play(tmp_path, scene)


def test_a_pod_that_was_deleted_while_nobody_watched_is_gone(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        server.put("one", "ADDED", {"phase": "Pending"})
        changes = wait_for_pod(jobs.api, jobs.pods, "", jobs.settings, "one")
        await anext(changes)
        server.put("one", "DELETED")
        server.forgotten = server.version
        assert await anext(changes, None) is None

    play(tmp_path, scene)


# --------------------------------------------------------------------------- its log


def test_a_node_that_goes_away_while_nothing_is_said_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "QUIET_SECONDS", 0.05)

    async def scene(server: JobServer, jobs: Jobs) -> None:
        running = asyncio.ensure_future(said(jobs.run(JOB)))
        await until(lambda: server.asked["tail"] >= 3)  # silent, but there
        server.away = "dial tcp 10.0.0.1:10250: connect: connection refused"
        with pytest.raises(errors.NodeUnreachable, match=r"node n .*refused"):
            await running

    play(tmp_path, scene)


def second(number: float) -> str:
    """A time as a kubelet writes it."""
    return f"2026-11-24T12:00:{number:012.9f}Z"


def test_each_line_of_a_log_comes_once_however_often_the_connection_breaks(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        running = asyncio.ensure_future(said(jobs.run(JOB)))
        await until(lambda: server.asked["log"])
        for number in range(5):
            for part in (0.1, 0.1, 0.5):
                server.say(second(number + part), f"line {number}")
            await asyncio.sleep(0.1 * (number % 2))
            server.disconnect()
            # Standard error's, a moment late.
            server.say(second(max(number - 0.1, 0)), f"late {number}")
            await until(lambda: server.asked["log"] == number + 2)  # noqa: B023
        server.say(second(6), '{"type": "result", "files": 1}')
        *lines, result = await running
        wanted = [[f"line {n}"] * 3 + [f"late {n}"] for n in range(5)]
        assert [line.text for line in lines] == [text for row in wanted for text in row]
        assert result.fields["files"] == 1

    play(tmp_path, scene)


def test_what_comes_after_a_kubelet_began_another_file_is_not_missed(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        running = asyncio.ensure_future(said(jobs.run(JOB)))
        await until(lambda: server.asked["log"])
        for number in range(20):
            server.say(second(number), f"line {number}")
        await asyncio.sleep(0.2)
        server.log = []
        server.say(second(30), '{"type": "result", "files": 1}')
        server.disconnect()
        *lines, result = await running
        assert [line.text for line in lines] == [f"line {n}" for n in range(20)]
        assert result.fields["files"] == 1

    play(tmp_path, scene)


def test_what_a_kubelet_says_itself_comes_once(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        server.words = "failed to create fsnotify watcher: too many open files"
        running = asyncio.ensure_future(said(jobs.run(JOB)))
        await until(lambda: server.asked["log"])
        server.disconnect()
        await until(lambda: server.asked["log"] == 2)
        server.say(second(1), '{"type": "result", "files": 1}')
        first, _ = await running
        assert first.text == server.words

    play(tmp_path, scene)
