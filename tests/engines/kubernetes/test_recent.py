"""What is asked for again and again: one request for many looks, and never what is too old."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jupyter_secxops_migrate.engines.kubernetes import recent as module
from jupyter_secxops_migrate.engines.kubernetes.errors import ClusterUnavailable
from jupyter_secxops_migrate.engines.kubernetes.recent import Recent


class Api:
    """Has objects, and counts who asks."""

    def __init__(self, **objects: Any) -> None:
        self.objects = objects
        self.asked: list[str] = []
        self.away = False

    async def get(self, path: str, *, action: str = "") -> Any:
        self.asked.append(path)
        await asyncio.sleep(0)
        if self.away:
            raise ClusterUnavailable(endpoint=path, reason=action)
        return self.objects.get(path)


def test_looks_at_one_moment_are_one_request_for_each_object() -> None:
    api = Api(a={"n": 1}, b={"n": 2})
    recent: Any = Recent(api, 60)  # type: ignore[arg-type]

    async def go() -> Any:
        await asyncio.gather(*(recent.get(path) for path in "abab"))
        return [await recent.get(path) for path in "ab"]

    assert asyncio.run(go()) == [{"n": 1}, {"n": 2}]
    assert sorted(api.asked) == ["a", "b"]


def test_what_is_old_or_absent_or_failed_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = Api(a={"n": 1})
    recent: Any = Recent(api, 60)  # type: ignore[arg-type]
    late: Any = Recent(api, -1)  # type: ignore[arg-type]

    async def go() -> None:
        assert await recent.get("b") is None
        api.objects["b"] = {"n": 2}
        assert await recent.get("b") == {"n": 2}
        for n in (1, 2):
            api.objects["a"] = {"n": n}
            assert await late.get("a") == {"n": n}
        assert len(late._found) == 1
        # Where it may be older, it is not asked for.
        assert await late.get("a", within=60) == {"n": 2}
        monkeypatch.setattr(module, "STEP_SECONDS", -1)
        await late.get("b")
        assert list(late._found) == list(late._asking) == ["b"]
        api.away = True
        with pytest.raises(ClusterUnavailable, match="see it"):
            await recent.get("c", action="see it")
        api.away, api.objects["c"] = False, {}
        assert await recent.get("c") == {}

    asyncio.run(go())
    assert api.asked == ["b", "b", "a", "a", "b", "c", "c"]
