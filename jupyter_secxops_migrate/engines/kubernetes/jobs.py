"""Jobs: pods of the tools image that copy, hand over, check, and send a build's context.

A Job's name derives from the migration, so that a repeated call finds what an interrupted one left:
one that runs is followed from its first line, one that failed or whose results can't be fetched any
more is removed and done again. A pod that is taken away (a drained node, an eviction) is no failure of
its Job: the cluster makes another one once the first has ended for certain, and that does it all
again. A Job has no service account; it sees the source read-only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Container,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ... import errors
from ..errors import EngineTooSlow
from ..names import MIGRATION, ROLE
from ..orders import LogLine, Progress
from ..report import JobResult, error_of, read_line
from . import pods as watching
from .connection import Json
from .errors import (
    ClusterForbidden,
    ClusterRefused,
    NodeUnreachable,
    PodSecurityForbids,
    QuotaExceeded,
)
from .job import PODS, RUNNER, Job, manifest
from .namespace import Namespace
from .ours import is_of
from .pods import (
    has_ended,
    insist_on_node,
    judged,
    own_status,
    taken,
    trouble,
    try_pod,
    wait_for_pod,
    where,
)
from .said import Seen, Stream, chunks, sizes

T = TypeVar("T")
_RELEASE_AGAIN = (0, 1, 5, 30)
_START_AGAIN = (0, 0.5, 1)


class Jobs:
    """Runs Jobs in one namespace.

    ``releasing`` has the calls that let Jobs end, beside what came next: the caller's to cancel.
    A Job is made first and asked for only where one of its name is there: what would keep its pod from being
    made is asked where none comes, as its plan has tried one like it.
    """

    def __init__(
        self, space: Namespace, namespace: str, releasing: set[asyncio.Task[None]]
    ) -> None:
        self.api = space.api
        self.settings = space.settings
        self.space = space
        self.namespace = namespace
        self.path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.pods = f"/api/v1/namespaces/{namespace}/pods"
        self._releasing = releasing

    async def run(self, job: Job) -> AsyncIterator[Progress | JobResult]:
        """Run a Job, or adopt the one that is there; yield progress and, last, its result."""
        await self._needed(job)
        await self.start(job)
        lost: set[str] = set()
        while True:
            pod = await self._running(job, lost)
            name, said = pod["metadata"]["name"], _Said()
            try:
                async with contextlib.aclosing(self._follow(job, pod, said)) as items:
                    async for item in items:
                        yield item
            except (errors.TemporaryError, ClusterRefused) as error:
                ended = await self.api.get(f"{self.pods}/{name}")
                if not has_ended(ended):
                    raise
                if (
                    not job.results
                    and isinstance(error, errors.TemporaryError)
                    and _did_well(ended)
                ):
                    # What it found is in its log, which somebody has to read: now, or later.
                    if _did_well(pod):
                        raise
                    continue
            if said.failure is None and said.fields is not None:
                yield JobResult(said.fields)
                return
            ended = await self.api.get(f"{self.pods}/{name}")
            late = None
            if said.failure is None and (reason := taken(ended)):
                late = _late(job.name, await self._made(job))
                if late is None and len(lost) + 1 < PODS:
                    lost.add(pod["metadata"]["uid"])
                    yield LogLine(f"{name} was taken away ({reason}); another pod does it again.")
                    continue
            await self.remove(job.name)
            raise said.failure or late or _ended_badly(job.name, ended)

    async def _follow(
        self, job: Job, pod: Json, said: _Said
    ) -> AsyncGenerator[Progress | JobResult, None]:
        """Give a pod its files, yield what it says, and fetch its results."""
        if job.files and pod["status"]["phase"] == "Running":
            await self._put(pod, job.files, "--begin")
        async with contextlib.aclosing(self._lines(pod, said)) as lines:
            async for line in lines:
                item = read_line(line)
                if not isinstance(item, JobResult) or item.kind == "build":
                    yield item
                elif item.kind == "error":
                    said.failure = error_of(item.fields)
                elif item.kind == "result":
                    if job.results:
                        await self._fetch(pod, job.results)
                    said.fields = item.fields
                    return  # how its pod ends is not waited for

    async def run_first(
        self, job: Job, module: str, arguments: Sequence[str], results: Mapping[str, Path]
    ) -> AsyncIterator[Progress | JobResult]:
        """Run another module's command in the container of a Job that waits for its files, with these."""
        await self._needed(job)
        await self.start(job)
        lost: set[str] = set()
        while True:
            pod = await self._running(job, lost)
            said = _Said()
            try:
                files = [f"--put={told}" for told in sizes(job.files)]
                command = ["first", *files, *(f"--get={name}" for name in results)]
                output = self._output(pod, [*command, module, *arguments], chunks(job.files))
                async with contextlib.aclosing(output) as printed:
                    stream = Stream(pod["metadata"]["name"], printed)
                    async for line in stream.lines():
                        item = read_line(line)
                        if not isinstance(item, JobResult):
                            yield item
                        elif item.kind == "error":
                            said.failure = error_of(item.fields)
                        else:
                            said.fields = item.fields
                            break
                    if said.fields is not None:
                        await stream.files(results)
                if said.fields is not None:
                    yield JobResult(said.fields)
                    return
                raise errors.EngineFailed(action=f"run {module}", reason="it said nothing")
            except (errors.TemporaryError, ClusterRefused) as error:
                if said.failure is not None:
                    raise said.failure from None
                name, _ = where(pod)
                reason = taken(await self.api.get(f"{self.pods}/{name}"))
                late = _late(job.name, await self._made(job))
                if late is not None or not reason or len(lost) + 1 >= PODS:
                    raise late or error from None
                lost.add(pod["metadata"]["uid"])
                yield LogLine(f"{name} was taken away ({reason}); another pod does it again.")

    async def start(self, job: Job) -> None:
        """Make the Job, unless a usable one is there; one that needs files waits for them."""
        if await self._at_work(job):
            return
        body = manifest(job, self.settings)
        for pause in _START_AGAIN:
            make = partial(self.api.create, self.path, body, f"start {job.name}")
            there = await self._within_quota(make)
            if self._usable(there, job):
                self.space.ours.jobs[job.name] = there["metadata"]["uid"]
                return
            await self.remove(job.name)
            await asyncio.sleep(pause)
        raise errors.EngineFailed(action=f"start {job.name}", reason="the one before does not go")

    async def _at_work(self, job: Job) -> bool:
        """Whether a Job of which this process knows has a pod that waits or runs: it need not be asked for."""
        if job.name not in self.space.ours.jobs:
            return False
        pods = await self.space.ours.pods()
        return any(self._is_of(job, pod) and not has_ended(pod) for pod in pods)

    def _is_of(self, job: Job, pod: Json) -> bool:
        return is_of(pod, self.space.ours.jobs.get(job.name, ""))

    async def _unborn(self, job: Job) -> bool:
        """Say whether a pod will come of a Job that has none yet.

        Raises
        ------
        QuotaExceeded, PodSecurityForbids, ClusterForbidden, ClusterRefused
            The API server lets none be made, and the Job is gone again.
        """
        if await self._made(job) is None:
            return False
        body = manifest(job, self.settings)
        make = partial(try_pod, self.api, self.pods, body)
        try:
            await make()
        except (ClusterForbidden, ClusterRefused, PodSecurityForbids):
            await self.remove(job.name)
            raise
        except QuotaExceeded:
            # Its controller would try again ever more seldom.
            await self.remove(job.name)
            await self._within_quota(make)
            await self.start(job)
        return True

    async def try_to_start(self, job: Job) -> bool:
        """Make a Job ahead of its time; say whether it is there. What is against it, its run will tell.

        Where room is short it is not made, and it is ended as soon as anything else waits for room.
        """
        try:
            if (room := self.space.room) is not None:
                if job.source is not None and not await room.spare(job.source.hostname):
                    return False
                room.started_ahead(job.name, partial(self.remove, job.name))
            await try_pod(self.api, self.pods, manifest(job, self.settings))
            await self.start(job)
        except errors.SecxopsError:
            return False
        return True

    async def _within_quota(self, make: Callable[[], Awaitable[T]]) -> T:
        room = self.space.room
        return await (make() if room is None else room.within_quota(make))

    async def _needed(self, job: Job) -> None:
        if self.space.room is not None:
            await self.space.room.needed(job.name)

    async def _made(self, job: Job) -> Json | None:
        """Return the Job as it is there, None if it is not."""
        return await self.api.get(f"{self.path}/{job.name}")

    def _usable(self, there: Json, job: Job) -> bool:
        status = there.get("status") or {}
        if there["metadata"].get("deletionTimestamp") or _failed(there):
            return False
        # One that ended well has its log, but its files went with its container.
        return not status.get("succeeded") or not job.results

    async def _running(self, job: Job, lost: Container[str]) -> Json:
        """Return the Job's pod, not one of those that were ``lost``, once it runs or has ended.

        Raises
        ------
        Unschedulable, ImageUnpullable, NodeUnreachable, errors.EngineFailed
            It does not come to that.
        """
        if lost:
            there = await self._made(job)
            if (late := _late(job.name, there)) is not None:
                raise late
            if there is None or _failed(there):
                raise errors.EngineFailed(action=f"run {job.name}", reason="its pod was removed")

        def wanted(pod: Json) -> bool:
            return self._is_of(job, pod) and pod["metadata"]["uid"] not in lost

        async for pod in wait_for_pod(self.space, wanted, job.name, partial(self._unborn, job)):
            if pod["status"].get("phase") in ("Running", "Succeeded", "Failed"):
                return pod
        late = _late(job.name, await self._made(job))
        raise late or errors.EngineFailed(action=f"start {job.name}", reason="its pod is gone")

    async def _lines(self, pod: Json, said: _Said) -> AsyncGenerator[str, None]:
        """Yield the log's lines, each once, also over a broken connection."""
        name, node = where(pod)
        seen, ended, pause = Seen(), False, 0.1
        while True:
            since, quiet = seen.again(), True
            lines = self.api.log(self.namespace, name, "job", since=since, node=node)
            async with contextlib.aclosing(self._attentive(lines, pod)) as attentive:
                async for line in attentive:
                    if (text := seen.take(line)) is not None:
                        quiet = False
                        yield text
            if ended or said.complete:
                return
            now = await self.api.get(f"{self.pods}/{name}")
            # What broke off is read to its end.
            ended = has_ended(now)
            if not ended:
                pause = min(2 * pause, 5) if quiet else 0.1
                await asyncio.sleep(pause)

    async def _attentive(
        self, lines: AsyncGenerator[str, None], pod: Json
    ) -> AsyncGenerator[str, None]:
        """Yield a log's lines; while none come, ask whether the pod's node is there.

        A node that lost its power or its network does not end a log, and a log may be quiet for long.
        """
        async with contextlib.aclosing(lines):
            following = asyncio.ensure_future(anext(lines, None))
            try:
                while True:
                    done, _ = await asyncio.wait({following}, timeout=watching.QUIET_SECONDS)
                    if not done:
                        await insist_on_node(self.api, pod)
                        continue
                    if (line := following.result()) is None:
                        return
                    following = asyncio.ensure_future(anext(lines, None))
                    yield line
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _put(self, pod: Json, files: Mapping[str, Path], *options: str) -> None:
        """Put files into a Job's /work; with ``--begin``, let it begin.

        One that has begun keeps what it has.
        """
        await self._execute(pod, ["put", *options, *sizes(files)], chunks(files))

    async def _fetch(self, pod: Json, results: Mapping[str, Path]) -> None:
        """Fetch files from a Job's /work; those here are replaced once all have come, and it may end."""
        come = asyncio.Event()

        async def received() -> AsyncIterator[bytes]:
            await come.wait()
            yield b"\n"

        output = self._output(pod, ["get", "--end", *results], received())
        async with contextlib.aclosing(output) as printed:
            stream = Stream(pod["metadata"]["name"], printed)
            await stream.files(results, come)
        if not stream.ended_well:
            self._release(pod)

    def _release(self, pod: Json) -> None:
        """Let a Job whose results are here end, beside what comes next; else it ends by itself."""

        async def tell() -> None:
            for pause in _RELEASE_AGAIN:
                await asyncio.sleep(pause)
                with contextlib.suppress(errors.SecxopsError):
                    await self._execute(pod, ["end"])
                    return

        task = asyncio.create_task(tell())
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def _execute(
        self, pod: Json, words: Sequence[str], stdin: AsyncIterator[bytes] | None = None
    ) -> None:
        async with contextlib.aclosing(self._output(pod, words, stdin)) as printed:
            async for _ in printed:
                pass

    def _output(
        self, pod: Json, words: Sequence[str], stdin: AsyncIterator[bytes] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Run one of `copying.job`'s commands in a Job's container; yield what it prints."""
        name, node = where(pod)
        command = [*RUNNER, *words]
        return self.api.execute(self.namespace, name, "job", command, stdin, node=node)

    async def remove(self, name: str) -> None:
        """Remove a Job and wait until its pods are gone; absent is success.

        Raises
        ------
        NodeUnreachable
            A pod of it does not end, and might still write to its volume.
        """
        self.space.ours.jobs.pop(name, None)
        await self.api.delete(f"{self.path}/{name}")
        selector = f"batch.kubernetes.io/job-name={name}"
        for pod in await self.api.list(self.pods, labelSelector=selector):
            await self.api.delete(f"{self.pods}/{pod['metadata']['name']}", grace=1)
            async for now in self.api.until(self.pods, pod["metadata"]["name"], 30):
                if now is None:
                    break
            else:
                _, node = where(pod)
                raise NodeUnreachable(node=node, reason=f"a pod of {name} does not end")

    async def end(self, migration: str) -> None:
        """End and remove a migration's Jobs.

        Pods that have ended go with them; those that have not are told so, and those of no Job removed.

        Raises
        ------
        errors.SecxopsError
            What went wrong, when all has been tried.
        """
        self.space.ours.forget(migration)
        try:
            await self.api.delete_all(self.path, f"{MIGRATION}={migration},{ROLE}=job")
        finally:
            # Not before: a Job would have another one made.
            await self._end_pods(migration)

    async def _end_pods(self, migration: str) -> None:
        ending = []
        for pod in await self.space.ours.pods():
            marks = pod["metadata"].get("labels") or {}
            if (marks.get(MIGRATION), marks.get(ROLE)) == (migration, "job") and (
                not has_ended(pod) or not pod["metadata"].get("ownerReferences")
            ):
                ending.append(f"{self.pods}/{pod['metadata']['name']}")
        await asyncio.gather(*map(self.api.delete, ending))


@dataclass
class _Said:
    """What a pod said: its result, or what went wrong."""

    fields: Mapping[str, Any] | None = None
    failure: errors.SecxopsError | None = None

    @property
    def complete(self) -> bool:
        return self.fields is not None or self.failure is not None


def _did_well(pod: Json | None) -> bool:
    """Whether a pod that is there has come to its own end without an error."""
    return pod is not None and not taken(pod) and judged(pod)["status"].get("phase") == "Succeeded"


def _failed(job: Json) -> bool:
    """Whether a Job's controller has given it up."""
    return bool(_why_failed(job))


def _why_failed(job: Json) -> Sequence[str]:
    """Return why a Job's controller has given it up; empty if it has not."""
    return [
        str(row.get("reason") or row["type"])
        for row in (job.get("status") or {}).get("conditions") or ()
        if row["type"] in ("Failed", "FailureTarget") and row["status"] == "True"
    ]


def _late(name: str, job: Json | None) -> errors.EngineFailed | None:
    """Return the error of a Job whose pod was removed because its time was over, None of others."""
    if job is None or "DeadlineExceeded" not in _why_failed(job):
        return None
    seconds = job["spec"]["activeDeadlineSeconds"]
    return EngineTooSlow(
        action=f"run {name}",
        reason=f"it took longer than its limit of {seconds} seconds (KubernetesEngine.job_seconds, "
        "build_seconds for a build)",
    )


def _ended_badly(name: str, pod: Json | None) -> errors.SecxopsError:
    if pod is None:
        return errors.EngineFailed(action=f"run {name}", reason="its pod was removed")
    if (error := trouble(pod)) is not None:
        return error
    if row := own_status(pod):
        ended = (row.get("state") or {}).get("terminated") or {}
        if ended.get("reason") == "OOMKilled":
            return errors.EngineFailed(action=f"run {name}", reason="it ran out of memory")
        if ended:
            return errors.EngineFailed(
                action=f"run {name}",
                reason=f"it ended with status {ended.get('exitCode')} ({ended.get('reason')})",
            )
    return errors.EngineFailed(
        action=f"run {name}", reason=str(pod["status"].get("message") or "it was ended")
    )
