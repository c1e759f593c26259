"""A list that keeps itself current: one list and one watch, whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jupyter_secxops_migrate.engines.kubernetes import apiserver as connection
from jupyter_secxops_migrate.engines.kubernetes import watched as kept
from jupyter_secxops_migrate.engines.kubernetes.errors import ClusterForbidden, ClusterUnavailable
from jupyter_secxops_migrate.engines.kubernetes.watched import Watched

from .apiserver import ApiServer, serving

PATH = "/api/v1/pods"
Scene = Callable[[ApiServer, Watched[Any]], Awaitable[None]]


def play(folder: Path, scene: Scene, **settings: Any) -> None:
    async def go() -> None:
        server = ApiServer()
        async with serving(folder, [(PATH, server.answer)]) as connection:
            watched = Watched(connection, PATH, lambda pod: pod["spec"].get("node"), **settings)
            try:
                await asyncio.wait_for(scene(server, watched), 60)
            finally:
                server.disconnect()
                await watched.close()

    asyncio.run(go())


async def until(ask: Callable[[], Awaitable[bool]]) -> None:
    while not await ask():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def test_a_thousand_questions_cost_one_list(tmp_path: Path) -> None:
    async def scene(server: ApiServer, watched: Watched[Any]) -> None:
        for number in range(1200):
            server.put(f"pod-{number}", node=f"node-{number % 7}")

        for number in range(1000):
            assert await watched.get(f"pod-{number}", "a") == f"node-{number % 7}"

        assert len(list(await watched.items())) == 1200
        await until(lambda: asyncio.sleep(0, server.asked["watch"] > 0))
        assert (server.asked["list"], server.asked["watch"]) == (1, 1)

    play(tmp_path, scene)


def test_changes_are_seen_and_what_is_left_out_is_gone(tmp_path: Path) -> None:
    async def scene(server: ApiServer, watched: Watched[Any]) -> None:
        server.put("one", node="a")
        assert await watched.get("one", "a") == "a"

        server.put("two", "ADDED", node="b")
        server.put("one", "DELETED")
        server.put("three", "ADDED")

        async def seen() -> bool:
            return list(await watched.items()) == ["b"]

        await until(seen)
        assert server.asked["list"] == 1

    play(tmp_path, scene)


def test_a_broken_connection_goes_on_where_it_was_without_another_list(tmp_path: Path) -> None:
    async def scene(server: ApiServer, watched: Watched[Any]) -> None:
        server.put("one", node="a")
        assert await watched.get("one", "a") == "a"
        for number in range(3):
            server.disconnect()
            server.put("one", node=f"b{number}")

            async def seen(wanted: str = f"b{number}") -> bool:
                return await watched.get("one", "a") == wanted

            await until(seen)
        assert server.asked["list"] == 1

    play(tmp_path, scene)


def test_what_the_server_forgot_costs_one_more_list(tmp_path: Path) -> None:
    async def scene(server: ApiServer, watched: Watched[Any]) -> None:
        server.put("one", node="a")
        assert await watched.get("one", "a") == "a"

        server.put("two", node="b")
        server.changes.clear()
        server.forgotten = server.version
        server.disconnect()

        async def seen() -> bool:
            return await watched.get("two", "a") == "b"

        await until(seen)
        assert server.asked["list"] == 2

    play(tmp_path, scene)


def test_what_may_not_be_listed_says_so_each_time_and_works_once_it_may(tmp_path: Path) -> None:
    async def scene(server: ApiServer, watched: Watched[Any]) -> None:
        server.forbidden = True
        for _ in range(2):
            with pytest.raises(ClusterForbidden):
                await watched.items()

        server.forbidden = False
        server.put("one", node="a")
        assert list(await watched.items()) == ["a"]

    play(tmp_path, scene)


def test_nobody_asks_nobody_watches(tmp_path: Path) -> None:
    async def scene(server: ApiServer, watched: Watched[Any]) -> None:
        server.put("one", node="a")
        assert await watched.get("one", "a") == "a"

        await until(lambda: asyncio.sleep(0, server.asked["watch"] == 1))
        await asyncio.sleep(0.2)  # longer than it lingers
        server.put("two", node="b")
        await asyncio.sleep(1)
        assert server.asked["watch"] == 1

        assert await watched.get("two", "a") == "b"
        assert server.asked["list"] == 2

    play(tmp_path, scene, linger=0.1)


def test_a_lost_connection_that_nobody_ended_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connection._WATCH.total and connection._WATCH.total > connection.WATCH_SECONDS
    monkeypatch.setattr(connection, "_WATCH", aiohttp.ClientTimeout(total=60, sock_read=0.6))

    async def scene(server: ApiServer, watched: Watched[Any]) -> None:
        server.put("one", node="a")
        assert await watched.get("one", "a") == "a"
        await until(lambda: asyncio.sleep(0, server.asked["watch"] > 0))
        server.lose()
        server.put("one", node="b")

        async def seen() -> bool:
            return await watched.get("one", "a") == "b"

        await until(seen)
        assert server.asked["list"] == 1

    play(tmp_path, scene)


def test_a_page_of_a_proxy_is_an_outage_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "FIRST_PAUSE", 0.05)

    async def scene(server: ApiServer, watched: Watched[Any]) -> None:
        server.page = "<html>Sign in first</html>"
        for _ in range(2):
            with pytest.raises(ClusterUnavailable, match="no Kubernetes API server"):
                await watched.items()

        server.page = ""
        server.put("one", node="a")
        await until(lambda: works(watched))
        assert list(await watched.items()) == ["a"]

    play(tmp_path, scene)


def test_whoever_asks_is_told_of_any_failure_and_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "FIRST_PAUSE", 0.05)

    async def scene(server: ApiServer, watched: Watched[Any]) -> None:
        server.put("one", node="a")
        server.objects["one"].pop("spec")
        for _ in range(2):
            with pytest.raises(KeyError):
                await watched.items()

        server.put("one", node="b")
        await until(lambda: works(watched))
        assert list(await watched.items()) == ["b"]

    play(tmp_path, scene)


async def works(watched: Watched[Any]) -> bool:
    try:
        await watched.items()
    except (ClusterUnavailable, KeyError):
        return False
    return True
