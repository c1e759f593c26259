"""What breaks around a share on a cluster, in each of its steps: it goes on, or it says why and leaves nothing.

A share is held in a step by freezing the pod that does the step's work; then something is broken. So
each fault meets the step that is meant, and no test waits for luck.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from harness import faults
from harness.cluster import Cluster
from stage import DATA, PROJECT, Stage

# The pod that does a step's work, and the program in it.
JOB = "jupyter_secxops_migrate.copying.job run"
WORK = {
    "build": ("job-build", JOB),
    "copy": ("job-copy-data-1", JOB),
    "verify": ("job-verify-data-1", JOB),
    "launch": ("", "--ServerApp.port=8888"),
}
PATIENCE = 20
KINDS = "jobs,pods,pvc,services,secrets,networkpolicies"
ENDED = ("succeeded", "failed", "cancelled")


class Patient(Stage):
    """A stage whose service does not wait for long."""

    def settings(self) -> dict[str, Any]:
        found = super().settings()
        found["SecxopsService"]["patience_seconds"] = PATIENCE
        return found


class Share:
    """One share, from outside."""

    def __init__(self, stage: Stage, *words: str) -> None:
        self.stage = stage
        self.cluster = stage.cluster
        code, said = stage.secxops(
            *("share", PROJECT, "--data", DATA, "--cpu", "0.1", "--memory", "256M"),
            *(*words, "--no-wait"),
        )
        assert code == 0, said
        self.id = said["id"]

    def hold(self, step: str, **more: Any) -> faults.Frozen:
        """Hold it in a step."""
        pod, program = WORK[step]
        prefix = f"secxops-{self.id}{pod and '-'}{pod}"
        return faults.freeze(self.cluster, self.stage.namespace, prefix, program, **more)

    def show(self) -> Any:
        _, said = self.stage.secxops("show", self.id)
        return said

    def step(self, name: str) -> str:
        return str(next(s["state"] for s in self.show()["steps"] if s["name"] == name))

    def log(self) -> str:
        return self.stage.run("jupyter-secxops", "logs", self.id)

    def end(self, seconds: float = 120) -> Any:
        """Wait for its end."""
        until(lambda: self.show()["state"] in ENDED, seconds)
        return self.show()

    def left(self) -> list[str]:
        """What is there of it, by its label."""
        found = self.stage.get(KINDS, "-l", f"secxops.io/migration={self.id}")
        return [f"{row['kind']}/{row['metadata']['name']}" for row in found["items"]]

    def is_gone(self, seconds: float = 60) -> None:
        """Nothing is left of it: no object, and no tag in the registry but the layer cache's."""
        until(lambda: not self.left(), seconds)
        until(lambda: set(self.tags()) <= {"cache"}, seconds)

    def tags(self) -> Sequence[str]:
        return faults.tags(self.cluster, self.repository)

    @property
    def repository(self) -> str:
        if not hasattr(self, "_repository"):
            owners = {
                row["metadata"]["labels"]["secxops.io/owner"]
                for row in self.stage.get("pvc,pods,jobs", "-l", "secxops.io/owner")["items"]
            }
            assert len(owners) == 1, "asked for while nothing of it is there"
            self._repository = f"secxops/{owners.pop()}/project"
        return self._repository

    def is_equal(self) -> None:
        """It succeeded, and what arrived equals what left."""
        said = self.end()
        assert said["state"] == "succeeded", said["error"]
        assert said["result"]["evidence"]["differences"] == 0
        pod = said["result"]["place"]["name"]
        for folder in (PROJECT, DATA):
            left = self.stage.tree("notebook", folder)
            assert len(left) > 1
            assert self.stage.tree(pod, folder) == left


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a state."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it does not come to that"
        time.sleep(0.2)


def side_by_side(*work: Callable[[], Any]) -> list[Any]:
    """Do several things at once, and return what they return."""
    with ThreadPoolExecutor(len(work)) as pool:
        return [found.result() for found in [pool.submit(one) for one in work]]


@pytest.fixture(scope="module")
def make(
    cluster: Cluster, clients: Mapping[str, str], notebook_image: str
) -> Iterator[Callable[..., Stage]]:
    """Makes stages with a notebook and files, in namespaces of their own."""
    made: list[Stage] = []

    def one(storage_class: str = "node-local", *, megabytes: int = 20, run: str = "true") -> Stage:
        stage = Patient(cluster, clients, notebook_image)
        made.append(stage)
        stage.notebook(storage_class)
        base = cluster.images["jupyter"]
        files = {"Dockerfile": f"FROM {base}\nRUN {run}\n", "a.py": "print(1)\n", "b.py": "2\n"}
        stage.fill(files, megabytes)
        return stage

    yield one
    for stage in made:
        stage.close()


def kill_service(stage: Stage) -> None:
    """Kill the service as the kernel would that needs its memory."""
    _, said = stage.secxops("doctor")
    stage.run("sh", "-c", f"kill -9 {int(said['service']['pid'])}")


def test_a_service_that_is_killed_in_each_step_goes_on(
    own: Cluster, make: Callable[..., Stage]
) -> None:
    stage = make()
    share = Share(stage)
    kill_service(stage)  # in the check, or just behind it
    for step in ("build", "verify", "launch"):
        # The next command starts it again.
        until(lambda: share.show()["state"] == "running")
        held = share.hold(step)
        kill_service(stage)
        held.thaw()
    share.is_equal()
