"""What tests of a real Docker Engine have in common: orders, and looks at what the engine has."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from jupyter_secxops_migrate.building.context import BuildContext
from jupyter_secxops_migrate.building.dockerfile import parse
from jupyter_secxops_migrate.engines.docker import DockerEngine
from jupyter_secxops_migrate.engines.orders import (
    BuildOrder,
    BuildTrace,
    Observation,
)

T = TypeVar("T")
OWNER = "tests of the engine"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
Work = Callable[[Callable[[DockerEngine], Awaitable[T]]], T]


def traced(order: BuildOrder) -> tuple[BuildOrder, list[BuildTrace]]:
    """Return an order whose traces are in a list."""
    traces: list[BuildTrace] = []
    return replace(order, traced=traces.append), traces


async def images(engine: DockerEngine) -> set[str]:
    """All images of the engine, by the 11 digits that all builders print."""
    rows = await engine._connection.call("list images", lambda api: api.images(all=True))
    return {row["Id"].removeprefix("sha256:")[:11] for row in rows}


def build_order(migration: str, tmp_path: Path, text: str) -> BuildOrder:
    folder = tmp_path / "project"
    folder.mkdir()
    dockerfile = parse(text)
    return BuildOrder(
        migration=migration,
        context=BuildContext(folder, dockerfile.source).chunks,
        dockerfile="Dockerfile",
        repository=f"secxops-test-engine/{migration}",
        tag="1",
        digest=lambda: "",
        labels={"secxops-test": "yes"},
        text=dockerfile.source,
        lines=[i.line for i in dockerfile.instructions],
        froms=[i.end_line for i in dockerfile.instructions if i.keyword == "FROM"],
        bases=dockerfile.bases(),
        buildkit=bool(dockerfile.needs_buildkit()),
    )


async def until(happened: Callable[[], object]) -> None:
    """Wait for something that takes a moment."""
    for _ in range(100):
        if happened():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not happen")


def running_commands(command: str) -> list[str]:
    """The processes of this machine with exactly this command line."""
    words = command.replace(" ", "\0") + "\0"
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if process.read_text() == words:
                found.append(process.parent.name)
    return found


def extension(name: str) -> dict[str, bytes]:
    """A Lab extension that does nothing."""
    build = {"load": "static/remoteEntry.js", "extension": "./extension"}
    about = {"name": name, "version": "1.0.0", "jupyterlab": {"extension": True, "_build": build}}
    return {"package.json": json.dumps(about).encode(), "static/remoteEntry.js": b"1"}


def extensions_of(seen: Observation, token: str) -> set[str]:
    """The extensions that an environment's page loads: found in their folders, and served."""
    assert seen.url is not None
    with urllib.request.urlopen(f"{seen.url}?token={token}", timeout=10) as answer:
        page = answer.read().decode()
    text = page.partition('id="jupyter-config-data" type="application/json">')[2]
    config = json.loads(text.partition("</script>")[0])
    return {row["name"] for row in config["federated_extensions"]}


def status(seen: Observation, token: str | None = None) -> int:
    assert seen.url is not None
    request = urllib.request.Request(seen.url.removesuffix("/lab") + "/api/status")
    if token is not None:
        request.add_header("Authorization", f"token {token}")
    try:
        with _DIRECT.open(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code
