"""What a Job is, and the object by which a cluster runs it: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...copying.job import PLACE, WORK
from ...copying.report import MEMORY
from ...placement.cluster import source_selector
from ...placement.nodes import HOSTNAME
from ..orders import SourcePlace
from . import confines, objects
from .confines import profiles, root_rights
from .connection import Json
from .place import SourcePod, User
from .settings import KubernetesSettings

HOLD_SECONDS = 600
WAIT_SECONDS = 4 * 3600
RUNNER = ("python3", "-m", "jupyter_secxops_migrate.copying.job")
# How many pods of one Job may be taken away before that is no accident any more.
PODS = 4
# A pod that is taken away, or killed, ends like this; every other end is the program's own.
_KILLED = (137, 143)
# Of the pods that are tried and have no source.
_NOBODY = 65532
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
# What the verified copy of files of any owner needs; Pod Security's *baseline* level allows these.
COPY_RIGHTS = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID")


@dataclass(frozen=True)
class Job:
    """What to run.

    ``module`` of our package with ``arguments``; ``volumes`` and ``mounts`` as in a pod's spec;
    ``source`` is what confines it, and ``place`` whether it has to run on the source's node (``here``),
    best would (``near``), or need not. ``rights`` are the capabilities of uid 0; without any it runs as
    the source does and reads what that reads, where the source is not root's under *restricted* Pod
    Security. ``files`` are put into
    ``work`` before it starts; ``results`` are fetched from there when it ended well (name in ``work`` to
    path here).
    ``variables`` are rows of its environment as a pod has them. ``keep`` is how many seconds it stays after its end; without, until somebody removes it.
    """

    name: str
    labels: Mapping[str, str]
    module: str
    arguments: Sequence[str]
    volumes: Sequence[Json] = ()
    mounts: Sequence[Json] = ()
    source: SourcePod | None = None
    place: Literal["here", "near", "anywhere"] = "anywhere"
    rights: Sequence[str] = ()
    work: str = WORK
    files: Mapping[str, Path] = field(default_factory=dict)
    results: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    variables: Sequence[Mapping[str, Any]] = ()
    seconds: int = 3600
    keep: int | None = None


def security(job: Job) -> Json:
    """Return a Job's security context: with rights as root, without as the source's."""
    if job.rights:
        user, rights = User(0, 0), job.rights
    elif job.source is not None:
        user, rights = job.source.runs_as, ()
        if user.uid == 0:
            # Root's programs read what is not root's by this right, if they have it.
            rights = root_rights(job.source.container, ["DAC_OVERRIDE"])
    else:
        user, rights = User(_NOBODY), ()
    found = {**objects.security(user.uid, rights), "readOnlyRootFilesystem": True}
    if user.gid is not None:
        found["runAsGroup"] = user.gid
    if job.source is not None:
        found |= profiles(job.source.pod, job.source.container)
    return found


def source_mount(place: SourcePlace) -> Json:
    """Return a Job's read-only mount of a source's folder, and of nothing else in its claim."""
    mount: Json = {"name": "source", "mountPath": "/source", "readOnly": True}
    return {**mount, "subPath": place.subpath} if place.subpath else mount


def manifest(job: Job, settings: KubernetesSettings) -> Json:
    """Return the Job's object."""
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
            "template": {
                "metadata": confines.without_mesh({"labels": job.labels}),
                "spec": _pod(job, settings),
            },
        },
    }


def _pod(job: Job, settings: KubernetesSettings) -> Json:
    """Return the spec of its pod."""
    found: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 2,
        **(confines.spec(job.source.pod) if job.source is not None else {}),
        "volumes": [
            {"name": "work", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            *job.volumes,
        ],
        "containers": [_container(job, settings)],
    }
    if job.source is not None:
        found |= _beside(job, job.source)
    if settings.pull_secret:
        found["imagePullSecrets"] = [{"name": settings.pull_secret}]
    return found


def _container(job: Job, settings: KubernetesSettings) -> Json:
    """Return the container that runs the program of ours."""
    wait = ("--wait", str(WAIT_SECONDS)) if job.files else ()
    hold = ("--hold", str(HOLD_SECONDS)) if job.results else ()
    command = [*RUNNER, "run", *wait, *hold, job.module, *job.arguments]
    own = {"work": job.work, "tmp": "/tmp"}  # noqa: S108 - inside the Job
    taken = {mount["mountPath"] for mount in job.mounts}
    variables = {
        MEMORY: str(settings.job_memory),
        "HOME": "/tmp",  # noqa: S108 - inside the Job
        "TMPDIR": job.work,
        PLACE: job.work,
        **job.environment,
    }
    return {
        "name": "job",
        "image": settings.tools_image,
        # A folder may have a name that a kubelet reads.
        "command": objects.unread(command),
        "env": [
            *({"name": name, "value": value} for name, value in variables.items()),
            *(dict(row) for row in job.variables),
        ],
        # Python looks for modules there first: in nobody's folder but ours.
        "workingDir": job.work,
        "resources": {"requests": dict(settings.job_requests)},
        "securityContext": security(job),
        "volumeMounts": [
            *({"name": n, "mountPath": p} for n, p in own.items() if p not in taken),
            *job.mounts,
        ],
    }


def _beside(job: Job, source: SourcePod) -> Json:
    """Return where a Job's pod may be, and whose files it may read."""
    found: Json = {}
    # Not fsGroup: the kubelet would change the owners of the source's files.
    if groups := source.runs_as.groups:
        found["securityContext"] = {"supplementalGroups": list(groups)}
    if job.place == "here":
        # By label, never by nodeName: a volume that waits for its first consumer would wait for ever.
        found["nodeSelector"] = {HOSTNAME: source.hostname}
        return found
    affinity = confines.node_affinity(confines.required_affinity(source.pod))
    if job.place == "near":
        here = {"key": HOSTNAME, "operator": "In", "values": [source.hostname]}
        wish = {"weight": 100, "preference": {"matchExpressions": [here]}}
        affinity = {"nodeAffinity": {**affinity.get("nodeAffinity", {}), _PREFERRED: [wish]}}
    if affinity:
        found["affinity"] = affinity
    if selector := source_selector(source.pod["spec"]):
        found["nodeSelector"] = selector
    return found
