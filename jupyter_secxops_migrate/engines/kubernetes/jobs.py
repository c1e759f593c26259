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
import json
import os
import re
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ... import errors
from ...copying.job import PLACE
from ...copying.report import MEMORY
from ...placement.nodes import HOSTNAME
from ..base import LogLine, Measure, Progress, SourcePlace
from . import objects
from .connection import Connection, Gone, Json
from .settings import KubernetesSettings

WORK = "/work"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
HOLD_SECONDS = 600
WAIT_SECONDS = 4 * 3600
RUNNER = ("python3", "-m", "jupyter_secxops_migrate.copying.job")
_BY_CODE = {kind.code: kind for kind in errors.SecxopsError.catalogue()}
_CHUNK = 256 * 1024
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|([+-]\d\d:\d\d))")
_OVERLAP = timedelta(seconds=1)
_RELEASE_AGAIN = (0, 1, 5, 30)
# How many pods of one Job may be taken away before that is no accident any more.
PODS = 4
# A pod that is taken away, or killed, ends like this; every other end is the program's own.
_KILLED = (137, 143)
# A kubelet says that it has seen a pod within seconds.
UNSEEN_SECONDS = 40
# Nothing new from a pod for as long: its kubelet is asked whether it is there.
QUIET_SECONDS = 10
# The first failed try may pass; what backs off has failed twice.
_NO_IMAGE = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_NO_USER = "runAsNonRoot"
_NO_START = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
# What the verified copy of files of any owner needs; Pod Security's *baseline* level allows these.
COPY_RIGHTS = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID")


@dataclass(frozen=True)
class Job:
    """What to run.

    ``module`` of our package with ``arguments``; ``volumes`` and ``mounts`` as in a pod's spec; ``node``
    is where it has to run, ``near`` where it best would, both by their hostname label;
    ``rights`` are the capabilities of uid 0, without any it runs as ``user`` under *restricted* Pod
    Security; ``group`` and ``groups`` are whose files it may read besides. ``files`` are put into
    ``work`` before it starts; ``results`` are fetched from there when it ended well (name in ``work`` to
    path here). ``keep`` is how many seconds it stays after its end; without, until somebody removes it.
    """

    name: str
    labels: Mapping[str, str]
    module: str
    arguments: Sequence[str]
    volumes: Sequence[Json] = ()
    mounts: Sequence[Json] = ()
    node: str = ""
    near: str = ""
    tolerations: Sequence[Mapping[str, Any]] = ()
    rights: Sequence[str] = ()
    user: int = 65532
    group: int | None = None
    groups: Sequence[int] = ()
    work: str = WORK
    files: Mapping[str, Path] = field(default_factory=dict)
    results: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: int = 3600
    keep: int | None = None


@dataclass(frozen=True)
class JobResult:
    """The ``result`` line of the Job, its ``error``, or one of a build's ``build`` lines."""

    fields: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What it is."""
        return str(self.fields["type"])


def read_line(line: str) -> Progress | JobResult:
    """Read a line that one of our commands printed; any other is for the log."""
    try:
        found = json.loads(line)
        if found["type"] == "progress":
            total = found.get("total_bytes")
            return Measure(int(found["bytes"]), total, "bytes", files=int(found["files"]))
        return JobResult(found)
    except (ValueError, TypeError, KeyError):
        return LogLine(line)


def security(rights: Sequence[str], user: int) -> Json:
    """Return a Job's security context: with rights as root, without as *restricted* asks."""
    found = {**objects.security(0 if rights else user), "readOnlyRootFilesystem": True}
    if rights:
        found["runAsGroup"] = 0
        found["capabilities"] = {"drop": ["ALL"], "add": list(rights)}
    return found


def source_mount(place: SourcePlace) -> Json:
    """Return a Job's read-only mount of a source's folder, and of nothing else in its claim."""
    mount: Json = {"name": "source", "mountPath": "/source", "readOnly": True}
    return {**mount, "subPath": place.subpath} if place.subpath else mount


def manifest(job: Job, settings: KubernetesSettings) -> Json:
    """Return the Job's object."""
    wait = ("--wait", str(WAIT_SECONDS)) if job.files else ()
    hold = ("--hold", str(HOLD_SECONDS)) if job.results else ()
    command = [*RUNNER, "run", *wait, *hold, job.module, *job.arguments]
    own = {"work": job.work, "tmp": "/tmp"}  # noqa: S108 - inside the Job
    taken = {mount["mountPath"] for mount in job.mounts}
    pod: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 2,
        "tolerations": list(job.tolerations),
        "volumes": [
            {"name": "work", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            *job.volumes,
        ],
        "containers": [
            {
                "name": "job",
                "image": settings.tools_image,
                # The kubelet reads $(NAME) and $$ in it; a folder may have such a name.
                "command": [word.replace("$", "$$") for word in command],
                "env": [
                    {"name": name, "value": value}
                    for name, value in {
                        MEMORY: str(settings.job_memory),
                        "HOME": "/tmp",  # noqa: S108 - inside the Job
                        "TMPDIR": job.work,
                        PLACE: job.work,
                        **job.environment,
                    }.items()
                ],
                # Python looks for modules there first: in nobody's folder but ours.
                "workingDir": job.work,
                "resources": {"requests": dict(settings.job_requests)},
                "securityContext": security(job.rights, job.user),
                "volumeMounts": [
                    *({"name": n, "mountPath": p} for n, p in own.items() if p not in taken),
                    *job.mounts,
                ],
            }
        ],
    }
    identity: Json = {"supplementalGroups": list(job.groups)} if job.groups else {}
    if job.group is not None:
        identity["runAsGroup"] = job.group
    if identity:
        pod["securityContext"] = identity
    if job.near:
        here = {"key": HOSTNAME, "operator": "In", "values": [job.near]}
        wish = {"weight": 100, "preference": {"matchExpressions": [here]}}
        pod["affinity"] = {"nodeAffinity": {_PREFERRED: [wish]}}
    if job.node:
        # By label, never by nodeName: a volume that waits for its first consumer would wait for ever.
        pod["nodeSelector"] = {HOSTNAME: job.node}
    if settings.pull_secret:
        pod["imagePullSecrets"] = [{"name": settings.pull_secret}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job.name, "labels": dict(job.labels)},
        "spec": {
            "parallelism": 1,
            "backoffLimit": PODS - 1,
            # Never two at once: they would write to the same volume.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                    {
                        "action": "FailJob",
                        "onExitCodes": {"operator": "NotIn", "values": list(_KILLED)},
                    },
                ]
            },
            "activeDeadlineSeconds": job.seconds,
            **({} if job.keep is None else {"ttlSecondsAfterFinished": job.keep}),
            "template": {"metadata": {"labels": dict(job.labels)}, "spec": pod},
        },
    }


class Jobs:
    """Runs Jobs in one namespace.

    ``releasing`` has the calls that let Jobs end, beside what came next: the caller's to cancel.
    """

    def __init__(
        self,
        api: Connection,
        settings: KubernetesSettings,
        namespace: str,
        releasing: set[asyncio.Task[None]],
    ) -> None:
        self.api = api
        self.settings = settings
        self.namespace = namespace
        self.path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.pods = f"/api/v1/namespaces/{namespace}/pods"
        self._releasing = releasing

    async def run(self, job: Job) -> AsyncIterator[Progress | JobResult]:
        """Run a Job, or adopt the one that is there; yield progress and, last, its result."""
        await self.start(job)
        lost: set[str] = set()
        while True:
            pod = await self._running(job, lost)
            name, said = pod["metadata"]["name"], _Said()
            try:
                async with contextlib.aclosing(self._follow(job, pod, said)) as items:
                    async for item in items:
                        yield item
            except (errors.TemporaryError, errors.ClusterRefused):
                if not _ended(await self.api.get(f"{self.pods}/{name}")):
                    raise
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
                        self._release(pod)
                    said.fields = item.fields
                    return  # how its pod ends is not waited for

    async def run_first(
        self, job: Job, module: str, arguments: Sequence[str], results: Mapping[str, Path]
    ) -> AsyncIterator[Progress | JobResult]:
        """Run another module's command in the container of a Job that waits for its files, with these."""
        await self.start(job)
        lost: set[str] = set()
        while True:
            pod, said = await self._running(job, lost), _Said()
            try:
                await self._put(pod, job.files)
                rest = b""
                output = self._output(pod, ["first", module, *arguments])
                async with contextlib.aclosing(output) as chunks:
                    async for chunk in chunks:
                        *lines, rest = (rest + chunk).split(b"\n")
                        for line in lines:
                            item = read_line(line.decode("utf-8", "replace"))
                            if not isinstance(item, JobResult):
                                yield item
                            elif item.kind == "error":
                                said.failure = error_of(item.fields)
                            else:
                                said.fields = item.fields
                if said.fields is not None:
                    await self._fetch(pod, results)
                    yield JobResult(said.fields)
                    return
                raise errors.EngineFailed(action=f"run {module}", reason="it said nothing")
            except (errors.TemporaryError, errors.ClusterRefused) as error:
                if said.failure is not None:
                    raise said.failure from None
                name, _ = _where(pod)
                reason = taken(await self.api.get(f"{self.pods}/{name}"))
                late = _late(job.name, await self._made(job))
                if late is not None or not reason or len(lost) + 1 >= PODS:
                    raise late or error from None
                lost.add(pod["metadata"]["uid"])
                yield LogLine(f"{name} was taken away ({reason}); another pod does it again.")

    async def start(self, job: Job) -> None:
        """Make the Job, unless a usable one is there; one that needs files waits for them."""
        there = await self._made(job)
        if there is not None and not self._usable(there, job):
            await self.remove(job.name)
            there = None
        if there is None:
            body = manifest(job, self.settings)
            await try_pod(self.api, self.pods, body)
            await self.api.create(self.path, body, f"start {job.name}")

    async def try_to_start(self, job: Job) -> bool:
        """Make a Job ahead of its time; say whether it is there. What is against it, its run will tell."""
        try:
            await self.start(job)
        except errors.SecxopsError:
            return False
        return True

    async def _made(self, job: Job) -> Json | None:
        """Return the Job as it is there, None if it is not."""
        return await self.api.get(f"{self.path}/{job.name}")

    def _usable(self, there: Json, job: Job) -> bool:
        status = there.get("status") or {}
        if there["metadata"].get("deletionTimestamp") or _failed(there):
            return False
        # One that ended well has its log, but its files went with its container.
        return not status.get("succeeded") or not job.results

    async def _running(self, job: Job, lost: Container[str] = ()) -> Json:
        """Return the Job's pod, not one of those that were ``lost``, once it runs or has ended.

        Raises
        ------
        errors.Unschedulable, errors.ImageUnpullable, errors.NodeUnreachable, errors.EngineFailed
            It does not come to that.
        """
        there = await self._made(job)
        if (late := _late(job.name, there)) is not None:
            raise late
        if there is None or (lost and _failed(there)):
            raise errors.EngineFailed(action=f"run {job.name}", reason="its pod was removed")
        selector = f"batch.kubernetes.io/job-name={job.name}"
        made = f"{self.path}/{job.name}"
        async for pod in wait_for_pod(
            self.api, self.pods, selector, self.settings, without=lost, job=made
        ):
            if pod["status"].get("phase") in ("Running", "Succeeded", "Failed"):
                return pod
        late = _late(job.name, await self._made(job))
        raise late or errors.EngineFailed(action=f"start {job.name}", reason="its pod is gone")

    async def _lines(self, pod: Json, said: _Said) -> AsyncGenerator[str, None]:
        """Yield the log's lines, each once, also over a broken connection."""
        name, node = _where(pod)
        seen, ended, pause = _Seen(), False, 0.1
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
            ended = _ended(now)
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
                    done, _ = await asyncio.wait({following}, timeout=QUIET_SECONDS)
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
        # A moment each, as reading them is.
        sizes = {name: os.stat(path).st_size for name, path in files.items()}  # noqa: PTH116

        async def chunks() -> AsyncIterator[bytes]:
            for path in files.values():
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        yield chunk

        told = [f"{name}={size}" for name, size in sizes.items()]
        await self._execute(pod, ["put", *options, *told], chunks())

    async def _fetch(self, pod: Json, results: Mapping[str, Path]) -> None:
        """Fetch files from a Job's /work; those here are replaced once all have come."""
        fresh = {name: path.with_name(path.name + ".new") for name, path in results.items()}
        async with contextlib.aclosing(self._output(pod, ["get", *results])) as chunks:

            async def more() -> bytes:
                if not (chunk := await anext(chunks, b"")):
                    name, _ = _where(pod)
                    raise errors.EngineFailed(action=f"read from {name}", reason="it ended early")
                return chunk

            rest = b""
            for path in fresh.values():
                while b"\n" not in rest:
                    rest += await more()
                told, _, rest = rest.partition(b"\n")
                left = int(told)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    while left:
                        rest = rest or await more()
                        piece, rest = rest[:left], rest[left:]
                        left -= file.write(piece)
            async for _ in chunks:
                pass  # its status comes last
        for name, path in results.items():
            fresh[name].replace(path)

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
        async with contextlib.aclosing(self._output(pod, words, stdin)) as chunks:
            async for _ in chunks:
                pass

    def _output(
        self, pod: Json, words: Sequence[str], stdin: AsyncIterator[bytes] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Run one of `copying.job`'s commands in a Job's container; yield what it prints."""
        name, node = _where(pod)
        command = [*RUNNER, *words]
        return self.api.execute(self.namespace, name, "job", command, stdin, node=node)

    async def remove(self, name: str) -> None:
        """Remove a Job and wait until its pods are gone; absent is success.

        Raises
        ------
        errors.NodeUnreachable
            A pod of it does not end, and might still write to its volume.
        """
        await self.api.delete(f"{self.path}/{name}")
        selector = f"batch.kubernetes.io/job-name={name}"
        for pod in await self.api.list(self.pods, labelSelector=selector):
            await self.api.delete(f"{self.pods}/{pod['metadata']['name']}", grace=1)
            async for now in self.api.until(self.pods, pod["metadata"]["name"], 30):
                if now is None:
                    break
            else:
                _, node = _where(pod)
                raise errors.NodeUnreachable(node=node, reason=f"a pod of {name} does not end")


async def try_pod(api: Connection, pods: str, job: Json) -> None:
    """Have the API server judge a Job's pod: what it says of one later, only events would tell.

    Raises
    ------
    errors.QuotaExceeded, errors.PodSecurityForbids, errors.ClusterForbidden, errors.ClusterRefused
        Such a pod would not be made.
    """
    template, name = job["spec"]["template"], job["metadata"]["name"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        **template,
        "metadata": {**template["metadata"], "name": name},
    }
    await api.call("POST", pods, pod, action=f"start {name}", dryRun="All")


async def wait_for_pod(
    api: Connection,
    pods: str,
    selector: str,
    settings: KubernetesSettings,
    name: str = "",
    without: Container[str] = (),
    job: str = "",
) -> AsyncIterator[Json]:
    """Yield the pod of a selector, or of a name, at each change; not those ``without``, by uid.

    Ends when it is removed; so does the wait for the pod of a ``job`` (its path) that is removed.

    Raises
    ------
    errors.SecxopsError
        What keeps it from running, once that is final; or the time is over.
    """
    wanted = {"fieldSelector": f"metadata.name={name}"} if name else {"labelSelector": selector}
    loop = asyncio.get_running_loop()
    ends = loop.time() + settings.start_seconds
    unschedulable_since: float | None = None
    unseen_since: float | None = None
    quiet = 0
    last: Json | None = None
    while loop.time() < ends:
        page = await api.get(pods, **wanted) or {"items": [], "metadata": {}}
        there = [pod for pod in page["items"] if pod["metadata"]["uid"] not in without]
        if last is not None and not there:
            return  # it was deleted while nobody watched
        for pod in there:
            last = pod
            yield pod
        changes = api.watch(pods, page["metadata"].get("resourceVersion", ""), **wanted)
        with contextlib.suppress(StopAsyncIteration, Gone):
            async with contextlib.aclosing(changes):
                following = asyncio.ensure_future(anext(changes))
                try:
                    while loop.time() < ends:
                        if last is not None:
                            unschedulable_since = _scheduling(
                                last, unschedulable_since, loop.time(), settings.schedule_seconds
                            )
                            unseen_since = _unseen(last, unseen_since, loop.time())
                            if (error := trouble(last)) is not None:
                                raise error
                        done, _ = await asyncio.wait({following}, timeout=1)
                        if not done:
                            quiet += 1
                            if quiet % QUIET_SECONDS == 0:
                                if last is not None:
                                    await insist_on_node(api, last)
                                elif job and await api.get(job) is None:
                                    return
                            continue
                        quiet = 0
                        kind, found = following.result()
                        following = asyncio.ensure_future(anext(changes))
                        if kind != "BOOKMARK" and found["metadata"]["uid"] in without:
                            continue
                        if kind == "DELETED":
                            return
                        if kind != "BOOKMARK":
                            last = found
                            yield found
                finally:
                    following.cancel()
                    await asyncio.gather(following, return_exceptions=True)
        await asyncio.sleep(0.1)
    name = last["metadata"]["name"] if last else selector
    late = errors.EngineFailed(
        action=f"start {name}", reason=f"it did not run within {settings.start_seconds:.0f} seconds"
    )
    late.again = False
    raise late


@dataclass
class _Said:
    """What a pod said: its result, or what went wrong."""

    fields: Mapping[str, Any] | None = None
    failure: errors.SecxopsError | None = None

    @property
    def complete(self) -> bool:
        return self.fields is not None or self.failure is not None


class _Seen:
    """The lines of a log that come again when it is asked for from where it broke off.

    By time, as a kubelet that begins another file no longer has the first lines to count from. It is
    asked by the second, and standard output and error may be written a moment out of order: so those
    of the last two seconds are asked for again.
    """

    def __init__(self) -> None:
        self._lines: deque[tuple[datetime, str]] = deque()
        self._awaited: Counter[str] = Counter()
        self._words: set[str] = set()

    def again(self) -> str:
        """Return since when the log is to be read; empty for from the first line on."""
        self._awaited = Counter(line for _, line in self._lines)
        if not self._lines:
            return ""
        last, _ = self._lines[-1]
        return f"{last - _OVERLAP:%Y-%m-%dT%H:%M:%SZ}"

    def take(self, line: str) -> str | None:
        """Return a line without its time, None if it has come before."""
        if self._awaited[line] > 0:
            self._awaited[line] -= 1
            return None
        stamp, _, text = line.partition(" ")
        if not (found := _STAMP.fullmatch(stamp)):
            # The kubelet's own word, each time that it is asked.
            new = line not in self._words
            self._words.add(line)
            return line if new else None
        second = datetime.fromisoformat(found[1] + (found[2] or "+00:00")).astimezone(timezone.utc)
        self._lines.append((second, line))
        while self._lines[0][0] < second - _OVERLAP:
            self._lines.popleft()
        return text


def _where(pod: Mapping[str, Any]) -> tuple[str, str]:
    """Return a pod's name and its node."""
    return pod["metadata"]["name"], pod["spec"].get("nodeName") or ""


def _ended(pod: Json | None) -> bool:
    return (
        pod is None
        or bool(pod["metadata"].get("deletionTimestamp"))
        or pod["status"].get("phase") not in ("Pending", "Running")
    )


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
    late = errors.EngineFailed(
        action=f"run {name}",
        reason=f"it took longer than its limit of {seconds} seconds (KubernetesEngine.job_seconds, "
        "build_seconds for a build)",
    )
    late.again = False
    return late


def taken(pod: Json | None) -> str:
    """Say why a pod did not come to its own end; empty if it did."""
    if pod is None:
        return "it was removed"
    for row in pod["status"].get("conditions") or ():
        if row["type"] == "DisruptionTarget" and row["status"] == "True":
            return str(row.get("message") or row.get("reason") or "its node needs the room")
    return "it was removed" if pod["metadata"].get("deletionTimestamp") else ""


async def insist_on_node(api: Connection, pod: Mapping[str, Any]) -> None:
    """Fail unless the kubelet answers that has begun with a pod."""
    name, node = _where(pod)
    if (pod.get("status") or {}).get("startTime"):
        container = pod["spec"]["containers"][0]["name"]
        await api.insist_on_node(pod["metadata"]["namespace"], name, container, node)


def _unseen(pod: Json, since: float | None, now: float) -> float | None:
    """Return since when a pod has a node whose kubelet has not seen it, None if it has.

    Raises
    ------
    errors.NodeUnreachable
        For too long.
    """
    name, node = _where(pod)
    if not node or (pod.get("status") or {}).get("startTime"):
        return None
    if since is not None and now - since > UNSEEN_SECONDS:
        raise errors.NodeUnreachable(node=node, reason=f"it has not begun with {name}")
    return since if since is not None else now


def _scheduling(pod: Json, since: float | None, now: float, grace: float) -> float | None:
    """Return since when a pod is unschedulable, None if it is not.

    Raises
    ------
    errors.Unschedulable
        For longer than ``grace`` seconds, and nobody makes room for it.
    """
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if (
            condition["type"] == "PodScheduled"
            and condition["status"] == "False"
            and condition.get("reason") == "Unschedulable"
            and not status.get("nominatedNodeName")
        ):
            if since is not None and now - since > grace:
                raise errors.Unschedulable(
                    pod=pod["metadata"]["name"], reason=str(condition.get("message") or "")
                )
            return since if since is not None else now
    return None


def trouble(pod: Json) -> errors.SecxopsError | None:
    """Return what keeps a pod's containers from starting, if that will not pass by itself."""
    status = pod.get("status") or {}
    name = pod["metadata"]["name"]
    for row in status.get("containerStatuses") or ():
        waiting = (row.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason"), str(waiting.get("message") or "")
        if reason in _NO_IMAGE:
            return errors.ImageUnpullable(
                node=pod["spec"].get("nodeName") or "", image=row["image"], reason=message
            )
        if reason in _NO_START and _NO_USER in message:
            return errors.ImageUserUnknown(reason=message)
        if reason in _NO_START:
            return errors.EngineFailed(action=f"start {name}", reason=message or str(reason))
    return None


def error_of(said: Mapping[str, Any]) -> errors.SecxopsError:
    """Return the error that a Job reported."""
    kind = _BY_CODE.get(str(said.get("code")), errors.CopyFailed)
    error = kind(**(said.get("params") or {}))
    error.message = str(said.get("message") or error.message)
    return error


def _ended_badly(name: str, pod: Json | None) -> errors.SecxopsError:
    if pod is None:
        return errors.EngineFailed(action=f"run {name}", reason="its pod was removed")
    if (error := trouble(pod)) is not None:
        return error
    for row in pod["status"].get("containerStatuses") or ():
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
