"""What a builder's last words mean, as the person is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.building.errors import BuildFailed
from jupyter_secxops_migrate.engines.kubernetes.build import read_build
from jupyter_secxops_migrate.engines.orders import BuildOrder, LogLine, Progress
from jupyter_secxops_migrate.engines.report import JobResult

ORDER = BuildOrder("mabc", lambda: iter(()), "Dockerfile", "secxops/a/b", "1", lambda: "", {})
REFUSED = "dial tcp 10.0.0.1:5000: connect: connection refused"


async def failing(reason: str) -> AsyncIterator[Progress | JobResult]:
    """What the Job says of a build that failed."""
    yield JobResult({"type": "build", "error": reason})
    raise errors.EngineFailed(action="build the image", reason=reason)


@pytest.mark.parametrize(
    ("reason", "code", "names"),
    [
        (
            "failed to solve: failed to compute cache key: failed to copy: httpReadSeeker: failed open: "
            f'failed to do request: Get "https://base.example.org/v2/x/blobs/sha256:1": {REFUSED}',
            "registry_failed",
            "base.example.org",
        ),
        (
            "failed to solve: failed to push registry.example.org/secxops/a/b:1: failed to do request: "
            f'Head "https://registry.example.org/v2/secxops/a/b/blobs/sha256:1": {REFUSED}',
            "registry_failed",
            "registry.example.org",
        ),
        (
            "failed to solve: failed to push registry.example.org/secxops/a/b:1: unexpected status from "
            "PUT request to https://registry.example.org/v2/x: 400; unknown: blob unknown to registry",
            "registry_failed",
            "blob unknown",
        ),
        (
            'process "/bin/sh -c curl http://10.0.0.1:5000" did not complete successfully: exit code: 7',
            "build_failed",
            "exit code: 7",
        ),
        (
            "rpc error: code = Unavailable desc = error reading from server: EOF",
            "engine_failed",
            "away",
        ),
    ],
)
def test_a_failed_build_names_who_is_to_blame(reason: str, code: str, names: str) -> None:
    async def read() -> None:
        async for _ in read_build(ORDER, failing(reason), "registry.example.org/shares"):
            pass

    with pytest.raises(errors.SecxopsError) as failed:
        asyncio.run(read())
    assert failed.value.code == code
    assert names in failed.value.message


def test_a_try_that_is_not_the_last_is_in_the_log_and_not_in_the_reason() -> None:
    """Its errors are those of another build."""

    def failed(vertex: str, error: str) -> JobResult:
        row = {"digest": vertex, "name": f"[1/2] {vertex}", "started": "then", "error": error}
        return JobResult({"type": "build", "status": {"vertexes": [row]}})

    async def items() -> AsyncIterator[Progress | JobResult]:
        yield failed("FROM x", "ended early")
        yield JobResult({"type": "build", "again": "blob unknown"})
        yield failed("RUN no", "exit code: 1")
        async for item in failing("exit code: 1"):
            yield item

    said = []

    async def read() -> None:
        async for item in read_build(ORDER, items(), "registry.example.org"):
            said.append(item)

    with pytest.raises(BuildFailed) as raised:
        asyncio.run(read())
    assert raised.value.params["instruction"] == "RUN no"
    assert LogLine("blob unknown Trying again.") in said
