"""Pods of ours as they are waited for, and what is read from their objects.

What keeps one from running is told as soon as it is final, by its reason and not by the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

from ... import errors
from ..errors import EngineTooSlow
from .connection import Connection, Json
from .errors import (
    ClusterRefused,
    ImageUnpullable,
    ImageUserUnknown,
    NodeUnreachable,
    Unschedulable,
)
from .namespace import Namespace

CONTAINERS = ("job", "notebook")
"""How the containers of our pods are called."""
# A kubelet says that it has seen a pod within seconds.
UNSEEN_SECONDS = 40
# A Job's controller makes its pod at once; one that does not come after as long may be forbidden.
UNBORN_SECONDS = 2
# Nothing new from a pod for as long: its kubelet is asked whether it is there.
QUIET_SECONDS = 10
# The first failed try may pass; what backs off has failed twice.
_NO_IMAGE = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_NO_USER = "runAsNonRoot"
_NO_START = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


async def wait_for_pod(
    space: Namespace,
    wanted: Callable[[Json], bool],
    name: str,
    unborn: Callable[[], Awaitable[bool]] | None = None,
) -> AsyncIterator[Json]:
    """Yield the newest pod that is ``wanted``, at each change, until it is removed.

    The time in which only Jobs of ours keep it from its room does not count.

    Parameters
    ----------
    name
        What is waited for, for the error.
    unborn
        Asked from time to time while there is none: whether one will come.

    Raises
    ------
    errors.SecxopsError
        What keeps it from running, once that is final; or the time is over.
    """
    settings, room, ours = space.settings, space.room, space.ours
    clock = asyncio.get_running_loop().time
    ends = clock() + settings.start_seconds
    unschedulable_since: float | None = None
    unseen_since: float | None = None
    last: Json | None = None
    quiet, silent_since = UNBORN_SECONDS, clock()
    while clock() < ends:
        turn = ours.turn
        now = _newest(pod for pod in await ours.pods() if wanted(pod))
        if now is None and last is not None:
            return
        if now is not None and (last is None or _version(now) != _version(last)):
            last = judged(now)
            quiet, silent_since = QUIET_SECONDS, clock()
            yield last
        if last is not None:
            if room is not None and await room.comes(last):
                unschedulable_since = None
                ends = clock() + settings.start_seconds
            else:
                unschedulable_since = _scheduling(
                    last, unschedulable_since, clock(), settings.schedule_seconds
                )
            unseen_since = _unseen(last, unseen_since, clock())
            if (error := trouble(last)) is not None:
                raise error
        if clock() - silent_since >= quiet:
            began = clock()
            if last is not None:
                await insist_on_node(space.api, last)
            elif unborn is not None and not await unborn():
                return
            quiet, silent_since = QUIET_SECONDS, clock()
            ends += silent_since - began
        await ours.changed(turn, min(1, quiet))
    raise EngineTooSlow(
        action=f"start {name}", reason=f"it did not run within {settings.start_seconds:.0f} seconds"
    )


def _newest(pods: Iterable[Json]) -> Json | None:
    """Return the pod that was made last; of those of one second, one that has not ended."""
    return max(pods, key=_age, default=None)


def _age(pod: Json) -> tuple[str, bool]:
    return str(pod["metadata"].get("creationTimestamp") or ""), not has_ended(pod)


def _version(pod: Json) -> tuple[str, str]:
    return pod["metadata"].get("uid") or "", pod["metadata"].get("resourceVersion") or ""


async def try_pod(api: Connection, pods: str, job: Json) -> None:
    """Have the API server judge a Job's pod: what it says of one later, only events would tell.

    An admin's check that can't be tried says nothing.

    Raises
    ------
    QuotaExceeded, PodSecurityForbids, ClusterForbidden, ClusterRefused
        Such a pod would not be made.
    """
    template, name = job["spec"]["template"], job["metadata"]["name"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        **template,
        "metadata": {**template["metadata"], "name": name},
    }
    try:
        await api.call("POST", pods, pod, action=f"start {name}", dryRun="All")
    except ClusterRefused as error:
        if "dry run" not in error.message.lower():
            raise


def own_container(pod: Mapping[str, Any]) -> str:
    """Return the name of the container that is ours; admission may have put others beside it, or before."""
    names = [row["name"] for row in pod["spec"].get("containers") or ()]
    return next((name for name in CONTAINERS if name in names), names[0] if names else "")


def own_status(pod: Mapping[str, Any]) -> Json:
    """Return what a pod's status says of the container that is ours; empty before it says anything."""
    rows: list[Json] = (pod.get("status") or {}).get("containerStatuses") or []
    name = own_container(pod)
    return next((row for row in rows if row.get("name", name) == name), {})


def judged(pod: Json) -> Json:
    """Return a pod with the phase that its own container has: one beside it may never end, or never start."""
    if len(pod["spec"].get("containers") or ()) < 2:
        return pod
    state = own_status(pod).get("state") or {}
    ended = state.get("terminated")
    # A pod of ours that is to run on is started again, Jobs are not.
    if ended and pod["spec"].get("restartPolicy") == "Never":
        phase = "Failed" if ended.get("exitCode") else "Succeeded"
    elif state.get("running"):
        phase = "Running"
    else:
        return pod
    return {**pod, "status": {**pod["status"], "phase": phase}}


def where(pod: Mapping[str, Any]) -> tuple[str, str]:
    """Return a pod's name and its node."""
    return pod["metadata"]["name"], pod["spec"].get("nodeName") or ""


def has_ended(pod: Json | None) -> bool:
    """Whether a pod is gone, or will not run any more."""
    return (
        pod is None
        or bool(pod["metadata"].get("deletionTimestamp"))
        or judged(pod)["status"].get("phase") not in ("Pending", "Running")
    )


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
    name, node = where(pod)
    if (pod.get("status") or {}).get("startTime"):
        await api.insist_on_node(pod["metadata"]["namespace"], name, own_container(pod), node)


def _unseen(pod: Json, since: float | None, now: float) -> float | None:
    """Return since when a pod has a node whose kubelet has not seen it, None if it has.

    Raises
    ------
    NodeUnreachable
        For too long.
    """
    name, node = where(pod)
    if not node or (pod.get("status") or {}).get("startTime"):
        return None
    if since is not None and now - since > UNSEEN_SECONDS:
        raise NodeUnreachable(node=node, reason=f"it has not begun with {name}")
    return since if since is not None else now


def _scheduling(pod: Json, since: float | None, now: float, grace: float) -> float | None:
    """Return since when a pod is unschedulable, None if it is not.

    Raises
    ------
    Unschedulable
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
                raise Unschedulable(
                    pod=pod["metadata"]["name"], reason=str(condition.get("message") or "")
                )
            return since if since is not None else now
    return None


def trouble(pod: Json) -> errors.SecxopsError | None:
    """Return what keeps a pod's containers from starting, if that will not pass by itself."""
    name = pod["metadata"]["name"]
    if row := own_status(pod):
        waiting = (row.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason"), str(waiting.get("message") or "")
        if reason in _NO_IMAGE:
            return ImageUnpullable(
                node=pod["spec"].get("nodeName") or "", image=row["image"], reason=message
            )
        if reason in _NO_START and _NO_USER in message:
            return ImageUserUnknown(reason=message)
        if reason in _NO_START:
            return errors.EngineFailed(action=f"start {name}", reason=message or str(reason))
    return None
