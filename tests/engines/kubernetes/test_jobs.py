"""What becomes of a Job whose pod, or whose connection, goes away."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.copying.__main__ import main as copy
from jupyter_secxops_migrate.engines.kubernetes import pods as pods_module
from jupyter_secxops_migrate.engines.kubernetes.errors import (
    ClusterUnavailable,
    ImageUnpullable,
    NodeUnreachable,
)
from jupyter_secxops_migrate.engines.kubernetes.job import Job
from jupyter_secxops_migrate.engines.kubernetes.jobs import Jobs
from jupyter_secxops_migrate.engines.kubernetes.namespace import Namespace
from jupyter_secxops_migrate.engines.kubernetes.pods import has_ended, trouble, wait_for_pod
from jupyter_secxops_migrate.engines.kubernetes.settings import KubernetesSettings
from jupyter_secxops_migrate.engines.names import Names, labels

from .apiserver import JobServer, serving

JOB = Job("copy", {}, "copying.__main__", ["--json"], seconds=60)
Scene = Callable[[JobServer, Jobs], Awaitable[None]]


def play(folder: Path, scene: Scene) -> None:
    async def go() -> None:
        server = JobServer()
        async with serving(folder, server.handlers()) as connection:
            settings = KubernetesSettings(tools_image="tools", namespace="a")
            jobs = Jobs(Namespace(connection, settings), "a", set())
            try:
                await asyncio.wait_for(scene(server, jobs), 60)
            finally:
                server.disconnect()
                await jobs.space.ours.close()

    asyncio.run(go())


async def until(ask: Callable[[], object]) -> None:
    while not ask():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def is_one(pod: Any) -> bool:
    return bool(pod["metadata"]["name"] == "one")


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
        assert failed.value.retry is errors.Retry.NEVER
        assert server.asked["job"] == 1
        assert server.jobs == {}

    play(tmp_path, scene)


def test_a_job_that_waits_for_its_files_for_too_long_says_so_too(tmp_path: Path) -> None:
    (tmp_path / "list").touch()
    waiting = replace(JOB, files={"list": tmp_path / "list"})

    async def scene(server: JobServer, jobs: Jobs) -> None:
        with pytest.raises(errors.EngineFailed, match="limit of 60 seconds") as failed:
            await said(jobs.run_first(waiting, "environment.look", (), {}))
        assert failed.value.retry is errors.Retry.NEVER

    play(tmp_path, scene)


def test_a_job_that_was_given_up_for_another_reason_may_be_tried_again(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        running = asyncio.ensure_future(said(jobs.run(JOB)))
        await until(lambda: server.asked["log"])
        server.fail("BackoffLimitExceeded")
        with pytest.raises(errors.EngineFailed, match="its pod was removed") as failed:
            await running
        assert failed.value.retry is errors.Retry.SOON

    play(tmp_path, scene)


def test_all_that_waits_for_pods_shares_one_watch(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        names = [f"copy-{number}" for number in range(5)]
        running = [asyncio.ensure_future(said(jobs.run(replace(JOB, name=name)))) for name in names]
        await until(lambda: server.asked["log"] == len(names))
        server.say(second(1), '{"type": "result", "files": 1}')
        for (result,) in await asyncio.gather(*running):
            assert result.fields["files"] == 1
        # Nothing is asked for that is not known: no Job before it is made, no pod on trial.
        wanted = {"list": 1, "watch": 1, "job": 5, "log": 5}
        assert {key: number for key, number in server.asked.items() if number} == wanted

        # What this process knows to be at work is not asked for again.
        await said(jobs.run(replace(JOB, name=names[0])))
        assert server.asked["there"] == 0

    play(tmp_path, scene)


def test_a_job_of_a_killed_service_is_adopted(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        await jobs.start(JOB)
        jobs.space.ours.jobs.clear()
        server.say(second(1), '{"type": "result", "files": 1}')
        (result,) = await said(jobs.run(JOB))
        assert result.fields["files"] == 1
        assert (server.asked["job"], server.asked["there"]) == (1, 1)
        assert jobs.space.ours.jobs == {"copy": "copy-1"}

    play(tmp_path, scene)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_jobs_end_at_once_and_pods_that_go_with_them_are_left_to_that(
    tmp_path: Path, one_by_one: bool
) -> None:
    marks = labels("anne", "job", "mabc")

    async def scene(server: JobServer, jobs: Jobs) -> None:
        server.one_by_one = one_by_one
        for name in ("a", "b"):
            await jobs.start(replace(JOB, name=Names("mabc").job(name), labels=marks))
        server.put("probe", "ADDED", {"phase": "Succeeded"})
        server.put("stranger", "ADDED", {"phase": "Running"})
        ended, running = (Names("mabc").job(name) + "-x" for name in ("a", "b"))
        for name in (ended, running, "probe"):
            server.objects[name]["metadata"]["labels"] = marks
        server.put(ended, status={"phase": "Succeeded"})

        await jobs.end("mabc")

        assert server.jobs == {} and jobs.space.ours.jobs == {}
        assert set(server.objects) == {ended, "stranger"}

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', "pod_security"),
        ("pods is forbidden: exceeded quota: team, requested: pods=1", "quota_exceeded"),
    ],
)
def test_why_no_pod_comes_of_a_job_is_asked_and_the_job_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str, kind: str
) -> None:
    monkeypatch.setattr(pods_module, "UNBORN_SECONDS", 0.05)

    async def scene(server: JobServer, jobs: Jobs) -> None:
        server.refuses = message
        with pytest.raises(errors.SecxopsError) as failed:
            await said(jobs.run(JOB))
        assert failed.value.code == kind
        assert server.jobs == {}

    play(tmp_path, scene)


def test_a_pod_that_comes_late_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods_module, "UNBORN_SECONDS", 0.05)
    monkeypatch.setattr(pods_module, "QUIET_SECONDS", 0.05)

    async def scene(server: JobServer, jobs: Jobs) -> None:
        server.refuses = "a check of an admin does not support dry run"
        running = asyncio.ensure_future(said(jobs.run(JOB)))
        await until(lambda: server.asked["tried"] > 1)
        server.bear(server.jobs["copy"])
        server.say(second(1), '{"type": "result", "files": 1}')
        (result,) = await running
        assert result.fields["files"] == 1

    play(tmp_path, scene)


def test_a_pod_whose_changes_the_server_forgot_is_listed_again(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        server.put("one", "ADDED", {"phase": "Pending"})
        changes = wait_for_pod(jobs.space, is_one, "one")
        assert (await anext(changes))["status"]["phase"] == "Pending"
        await until(lambda: server.asked["watch"])
        server.put("one", status={"phase": "Running"})
        server.changes.clear()
        server.forgotten = server.version
        server.disconnect()
        assert (await anext(changes))["status"]["phase"] == "Running"
        assert server.asked["list"] == 2

        following = asyncio.ensure_future(anext(changes, None))
        await until(lambda: server.asked["watch"] > 1)
        server.put("one", "DELETED")
        assert await following is None

    play(tmp_path, scene)


def test_a_pod_that_was_deleted_while_nobody_watched_is_gone(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        server.put("one", "ADDED", {"phase": "Pending"})
        changes = wait_for_pod(jobs.space, is_one, "one")
        await anext(changes)
        server.put("one", "DELETED")
        server.changes.clear()
        server.forgotten = server.version
        server.disconnect()
        assert await anext(changes, None) is None

    play(tmp_path, scene)


def test_who_waits_is_told_of_an_outage_and_finds_the_pod_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_secxops_migrate.engines.kubernetes.watched.FIRST_PAUSE", 0.05)

    async def scene(server: JobServer, jobs: Jobs) -> None:
        server.put("one", "ADDED", {"phase": "Pending"})
        changes = wait_for_pod(jobs.space, is_one, "one")
        await anext(changes)
        server.page = "<html>not the API server</html>"
        server.disconnect()
        with pytest.raises(ClusterUnavailable):
            await anext(changes)
        server.page = ""
        server.put("one", status={"phase": "Running"})
        await asyncio.sleep(0.1)
        found = await anext(wait_for_pod(jobs.space, is_one, "one"))
        assert found["status"]["phase"] == "Running"

    play(tmp_path, scene)


def test_files_come_and_go_with_the_command_that_needs_them(tmp_path: Path) -> None:
    source, arrived, here, work = (tmp_path / n for n in ("source", "arrived", "here", "work"))
    for folder in (source, here, work):
        folder.mkdir()
    (source / "a").write_bytes(os.urandom(300_000))
    manifest = here / "manifest"
    assert copy(["--manifest", str(manifest), "--json", "--", str(source), str(arrived)]) == 0
    files = {name: here / name for name in ("manifest", "manifest.meta")}
    told = ["--manifest", str(work / "manifest"), "--json", "--", str(arrived)]

    async def scene(server: JobServer, jobs: Jobs) -> None:
        server.work = work
        waiting = replace(JOB, files=files)
        results = {"manifest": here / "again"}
        *_, result = await said(jobs.run_first(waiting, "copying.verify", told, results))
        assert result.fields["files"] == 1
        assert (here / "again").read_bytes() == manifest.read_bytes()
        assert server.asked["exec"] == 1
        assert not (work / ".begin").exists()

        # What holds for its results ends once they are here, and they are asked for once.
        server.say(second(1), '{"type": "result", "files": 1}')
        holding = replace(JOB, name="other", results={"manifest.meta": here / "meta"})
        await said(jobs.run(holding))
        assert (here / "meta").read_bytes() == files["manifest.meta"].read_bytes()
        assert (work / ".end").exists()
        assert server.asked["exec"] == 2

        (work / "manifest.meta").unlink()
        with pytest.raises(errors.EngineFailed):
            await said(jobs.run(holding))
        assert (here / "meta").exists()

    play(tmp_path, scene)


BESIDE = [{"name": "istio-proxy"}, {"name": "job"}]


def beside(**state: Any) -> dict[str, Any]:
    """A pod's status in which a mesh's proxy runs on beside our container."""
    rows = [
        {"name": "istio-proxy", "ready": True, "state": {"running": {}}, "restartCount": 3},
        {"name": "job", "image": "i", "state": state},
    ]
    return {"phase": "Running", "startTime": "2026-11-24T12:00:00Z", "containerStatuses": rows}


@pytest.mark.parametrize(("status", "phase"), [(0, "Succeeded"), (1, "Failed")])
def test_a_pod_has_ended_when_our_container_has(tmp_path: Path, status: int, phase: str) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        spec = {"containers": BESIDE, "nodeName": "n", "restartPolicy": "Never"}
        server.put("one", "ADDED", beside(running={}), **spec)
        changes = wait_for_pod(jobs.space, is_one, "one")
        assert (await anext(changes))["status"]["phase"] == "Running"
        server.put("one", "MODIFIED", beside(terminated={"exitCode": status}), **spec)
        found = await anext(changes)
        assert found["status"]["phase"] == phase
        assert has_ended(found)
        await changes.aclose()  # type: ignore[attr-defined]

    play(tmp_path, scene)


def test_trouble_of_what_is_beside_our_container_is_not_ours() -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    pod = {
        "metadata": {"name": "one"},
        "spec": {"containers": BESIDE, "nodeName": "n"},
        "status": beside(running={}),
    }
    rows = pod["status"]["containerStatuses"]  # type: ignore[index]
    rows[0] |= {"image": "mesh", "state": {"waiting": waiting}}
    assert trouble(pod) is None
    rows[1]["state"] = {"waiting": waiting}
    assert isinstance(trouble(pod), ImageUnpullable)


# --------------------------------------------------------------------------- its log


def test_a_node_that_goes_away_while_nothing_is_said_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods_module, "QUIET_SECONDS", 0.05)

    async def scene(server: JobServer, jobs: Jobs) -> None:
        running = asyncio.ensure_future(said(jobs.run(JOB)))
        await until(lambda: server.asked["tail"] >= 3)  # silent, but there
        server.away = "dial tcp 10.0.0.1:10250: connect: connection refused"
        with pytest.raises(NodeUnreachable, match=r"node n .*refused"):
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
        heard: list[Any] = []

        async def hear() -> None:
            async for item in jobs.run(JOB):
                heard.append(item)

        running = asyncio.ensure_future(hear())
        await until(lambda: server.asked["log"])
        for number in range(20):
            server.say(second(number), f"line {number}")
        await until(lambda: len(heard) == 20)
        server.log = []
        server.say(second(30), '{"type": "result", "files": 1}')
        server.disconnect()
        await running
        *lines, result = heard
        assert [line.text for line in lines] == [f"line {n}" for n in range(20)]
        assert result.fields["files"] == 1

    play(tmp_path, scene)


def ends_well(server: JobServer) -> None:
    status = {"phase": "Succeeded", "startTime": "2026-11-24T12:00:00Z"}
    server.put("copy-x", status=status, nodeName="n", containers=[{"name": "job"}])


def test_a_job_that_ended_well_is_read_once_its_kubelet_is_back(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        running = asyncio.ensure_future(said(jobs.run(JOB)))
        await until(lambda: server.asked["log"])
        server.away = "connection refused"
        ends_well(server)
        server.disconnect()
        with pytest.raises(NodeUnreachable, match="connection refused"):
            await running
        server.away = ""
        server.say(second(1), '{"type": "result", "files": 1}')
        [result] = await said(jobs.run(JOB))
        assert result.fields["files"] == 1
        assert server.asked["job"] == 1

    play(tmp_path, scene)


def test_a_job_that_ended_well_before_its_files_came_again_is_read(tmp_path: Path) -> None:
    async def scene(server: JobServer, jobs: Jobs) -> None:
        manifest = tmp_path / "manifest"
        manifest.write_bytes(b"")
        server.meanwhile = lambda: ends_well(server)
        server.say(second(1), '{"type": "result", "files": 1}')
        [result] = await said(jobs.run(replace(JOB, files={"manifest": manifest})))
        assert result.fields["files"] == 1
        assert server.asked["job"] == 1

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
