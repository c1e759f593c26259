"""Jobs: containers of the tools image that copy, hand over and check volumes.

A Job has no network, no privileges but those that its work needs, and sees the source read-only.
Its name derives from the migration, so that a repeated call finds what an interrupted one left:
a Job that still runs is followed from its first line, one that ended well is read, one that
failed is removed and done again.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.types import Mount

from ... import errors
from ...copying.job import WORK
from ...copying.report import MEMORY
from ..orders import Progress
from ..output import LONGEST_SAID, Lines
from ..report import JobResult, error_of, read_line
from .connection import StreamingClient


@dataclass(frozen=True)
class Job:
    """What to run.

    ``files`` are put into /work before it starts; ``results`` are fetched from there when it ended
    well (name in /work to path here).
    """

    name: str
    command: Sequence[str]
    mounts: Sequence[Mount]
    capabilities: Sequence[str]
    labels: Mapping[str, str]
    files: Mapping[str, Path]
    results: Mapping[str, Path]


def run_job(
    client: StreamingClient, image: str, job: Job, *, memory: int, pids: int
) -> Iterator[Progress | JobResult]:
    """Run a Job, or adopt the one that is there; yield progress and, last, its result (blocking)."""
    container = adopt(client, job.name)
    if container is None:
        container = _create(client, image, job, memory=memory, pids=pids)
        client.start(container)
    fields: Mapping[str, Any] | None = None
    failure: errors.SecxopsError | None = None
    for line in _lines(client.logs(container, stream=True, follow=True, stdout=True, stderr=True)):
        item = read_line(line)
        if not isinstance(item, JobResult):
            yield item
        elif item.kind == "result":
            fields = item.fields
        elif item.kind == "error":
            failure = error_of(item.fields)
    status = client.wait(container)["StatusCode"]
    if client.broken:
        raise ConnectionAbortedError("the Job was cancelled")
    if failure is not None or status != 0 or fields is None:
        remove(client, container)
        raise failure or errors.EngineFailed(
            action=f"run {job.name}", reason=f"it ended with status {status}"
        )
    for name, target in job.results.items():
        _fetch(client, container, f"{WORK}/{name}", target)
    yield JobResult(fields)


def adopt(client: docker.APIClient, name: str) -> str | None:
    """Return the Job of that name if it runs or ended well; one that did not is removed."""
    try:
        found = client.inspect_container(name)
    except docker.errors.NotFound:
        return None
    state = found["State"]
    if state["Running"] or (state["Status"] == "exited" and state["ExitCode"] == 0):
        return str(found["Id"])
    remove(client, found["Id"])
    return None


def _create(client: StreamingClient, image: str, job: Job, *, memory: int, pids: int) -> str:
    container = client.create_container(
        image,
        command=list(job.command),
        entrypoint=[],
        name=job.name,
        user="0:0",
        labels=dict(job.labels),
        working_dir="/",
        # Not a limit of the container: that one counts the page cache too, so a Job would have to
        # wait for the disk to write what it copies. Nor a ulimit: runc needs more than a Job.
        environment={MEMORY: str(memory)},
        volumes=[WORK],
        host_config=client.create_host_config(
            network_mode="none",
            read_only=True,
            tmpfs={"/tmp": "size=64m"},  # noqa: S108 - inside the Job
            cap_drop=["ALL"],
            cap_add=list(job.capabilities),
            security_opt=["no-new-privileges"],
            pids_limit=pids,
            mounts=[*job.mounts, Mount(WORK, None, type="volume")],
            init=True,
        ),
    )["Id"]
    for name, source in job.files.items():
        _put(client, container, name, source)
    return str(container)


def _put(client: StreamingClient, container: str, name: str, source: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive, source.open("rb") as content:
        entry = tarfile.TarInfo(name)
        entry.size = source.stat().st_size
        entry.mode = 0o600
        archive.addfile(entry, content)
    client.put_archive(container, WORK, buffer.getvalue())


def _fetch(client: StreamingClient, container: str, path: str, target: Path) -> None:
    chunks, _ = client.get_archive(container, path, chunk_size=1 << 20)
    fresh = target.with_name(target.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with (
        tarfile.open(fileobj=_Chunks(chunks), mode="r|") as archive,
        os.fdopen(descriptor, "wb") as out,
    ):
        for entry in archive:
            content = archive.extractfile(entry)
            if content is None:
                raise errors.EngineFailed(action="fetch a manifest", reason="it is not a file")
            while piece := content.read(1 << 20):
                out.write(piece)
            break
    fresh.replace(target)


class _Chunks(io.RawIOBase):
    """An iterator of bytes as a file to read from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size or size < 0:
            piece = next(self._chunks, b"")
            if not piece:
                break
            self._rest += piece
        size = len(self._rest) if size < 0 else size
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    lines = Lines(LONGEST_SAID)
    for chunk in chunks:
        yield from lines.feed(chunk)
    yield from lines.rest()


def remove(client: docker.APIClient, container: str) -> None:
    """Remove a container and its anonymous volumes; absent is success."""
    with contextlib.suppress(docker.errors.NotFound):
        try:
            client.remove_container(container, force=True, v=True)
        except docker.errors.APIError as error:
            # another caller is removing it already
            if error.response is None or error.response.status_code != 409:
                raise
