"""What breaks around a share on a cluster, in each of its steps: it goes on, or it says why and leaves nothing.

A share is held in a step by freezing the pod that does the step's work; then something is broken. So
each fault meets the step that is meant, and no test waits for luck. The first tests meet each kind of
fault once; every fault in every step is for ``make soak``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import faults
from harness.cluster import Cluster, Failed
from stage import DATA, KINDS, PROJECT, Stage, nothing, until

from jupyter_secxops_migrate.sharing.volumes import COMPARING

# The pod that does a step's work, and the program in it. A notebook's own service checks by itself; asked
# to share a pod, it has a Job for that. What was copied is compared as a part of the step *copy*.
JOB = "jupyter_secxops_migrate.copying.job run"
WORK = {
    "check": ("look", JOB),
    "build": ("job-build", JOB),
    "copy": ("job-copy-data-1", JOB),
    "compare": ("job-check-data-1", JOB),
    "launch": ("", "--ServerApp.port=8888"),
}
LOOKED_AT = ("--pod", "notebook")
# Beside the project's own Dockerfile: one of an image that no registry has.
NEW = "Dockerfile.new"
PATIENCE = 20
# How long services wait of which one is to outlive an outage that another does not.
LONG, SHORT = 120, 5


class Patient(Stage):
    """A stage whose service waits as long as told, in seconds, and whose Jobs ask for little.

    Several shares stand on the first node at once; one that found no room there would be on the other.
    """

    def __init__(self, *words: Any, patience: float = PATIENCE) -> None:
        self.patience = patience
        super().__init__(*words)
        self.held: list[faults.Frozen] = []

    def settings(self) -> dict[str, Any]:
        found = super().settings()
        found["SecxopsService"].update(patience_seconds=self.patience, workers=3)
        found["KubernetesEngine"]["job_requests"] = {"cpu": "10m", "memory": "64Mi"}
        return found


class Share:
    """One share, from outside."""

    def __init__(self, stage: Patient, *words: str) -> None:
        self.stage = stage
        self.cluster = stage.cluster
        code, said = stage.secxops(
            *("share", PROJECT, "--data", DATA, "--cpu", "0.1", "--memory", "256M"),
            *(*words, "--no-wait"),
        )
        assert code == 0, said
        self.id = said["id"]

    def hold(self, step: str, program: str = "", **more: Any) -> faults.Frozen:
        """Hold it in a step; ``program`` is another one than the step's usual."""
        pod, usual = WORK[step]
        program = program or usual
        prefix = f"secxops-{self.id}{pod and '-'}{pod}"
        mark = f"secxops.io/migration={self.id}"
        if step == "check":
            # Nobody comes back for it: its name is new each time, as that of the plan's.
            prefix = f"secxops-{pod}-"
        # The environment's name begins as those of its Jobs do.
        jobs = () if pod else (f"{prefix}-job",)
        try:
            found = faults.freeze(
                *(self.cluster, self.stage.namespace, prefix, program, jobs), selector=mark, **more
            )
        except TimeoutError as error:
            said = self.show()
            steps = {step["name"]: step["state"] for step in said["steps"]}
            raise AssertionError(f"{error}; {said['error']}; {steps}; {self.left()}") from None
        self.stage.held.append(found)
        if step == "compare":  # its pod is there before, and waits
            until(self.compares, told=self.show()["steps"])
        assert self.repository  # noted while something of it is there
        return found

    def show(self) -> Any:
        return self.stage.show(self.id)

    def compares(self) -> bool:
        """Whether it compares what was copied."""
        return any(step["message"] == COMPARING for step in self.show()["steps"])

    def log(self) -> str:
        return self.stage.run("jupyter-secxops", "logs", self.id)

    def end(self, seconds: float = 120) -> Any:
        """Wait for its end."""
        return self.stage.end(self.id, seconds)

    def left(self) -> list[str]:
        return self.stage.left(self.id)

    def is_gone(self, seconds: float = 60) -> None:
        """Nothing is left of it: no object, and no tag in the registry, the layer cache's neither."""
        nothing(self.left, seconds)
        nothing(self.tags, seconds)

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
            left = self._contents("notebook", folder)
            assert len(left) > 1
            assert self._contents(pod, folder) == left

    def _contents(self, pod: str, folder: str) -> Any:
        # A kubelet that restarts gives the source's files to its fsGroup anew, which changes modes.
        return {path: found[0] for path, found in self.stage.tree(pod, folder).items()}


def side_by_side(*work: Callable[[], Any]) -> list[Any]:
    """Do several things at once, and return what they return."""
    with ThreadPoolExecutor(len(work)) as pool:
        return [found.result() for found in [pool.submit(one) for one in work]]


Make = Callable[[str, float], Patient]


@pytest.fixture(scope="module")
def made(cluster: Cluster) -> Iterator[list[Patient]]:
    """The notebooks of these tests, each in a namespace of its own."""
    if not cluster.own:
        pytest.skip("breaks parts of a cluster of our own; KUBECONFIG names another")
    found: list[Patient] = []
    yield found
    for stage in found:
        stage.close()


@pytest.fixture(scope="module")
def make(
    cluster: Cluster, made: list[Patient], clients: Mapping[str, str], notebook_image: str
) -> Make:
    """Make a notebook on disks of a class, whose service waits so many seconds."""

    def make(storage_class: str, patience: float) -> Patient:
        stage = Patient(cluster, clients, notebook_image, patience=patience)
        made.append(stage)
        stage.notebook(storage_class)
        write(stage, "true", 30)
        return stage

    return make


@pytest.fixture(scope="module")
def pair(make: Make) -> Sequence[Patient]:
    """One that does not wait, on its node's disks, and one that does, on disks that all nodes reach."""
    return side_by_side(lambda: make("node-local", SHORT), lambda: make("shared", LONG))


@pytest.fixture(scope="module")
def stages(make: Make) -> Sequence[Patient]:
    """Two that wait for a while, with disks of their node, and with ones that all nodes reach."""
    found = side_by_side(lambda: make("node-local", PATIENCE), lambda: make("shared", PATIENCE))
    for stage in found:
        write(stage, "true", 200)
    return found


@pytest.fixture(autouse=True)
def by_itself(made: Sequence[Patient]) -> Iterator[None]:
    """Let go on, and remove, what a test that failed leaves: the next one is not to fail of it too."""
    yield
    for stage in made:
        while stage.held:
            stage.held.pop().thaw()
        there = stage.get(KINDS, "-l", "app.kubernetes.io/managed-by=secxops-migrate")["items"]
        marks = (row["metadata"]["labels"].get("secxops.io/migration") for row in there)
        for migration in set(filter(None, marks)):
            stage.secxops("delete", migration, "--yes")
            nothing(lambda m=migration, s=stage: s.left(m))


def write(stage: Stage, run: str, megabytes: int = 0) -> None:
    """Write the project, whose image runs a command, and data."""
    base = stage.cluster.images["jupyter"]
    stage.fill(
        {"Dockerfile": f"FROM {base}\nRUN {run}\n", "a.py": "print(1)\n", "b.py": "2\n"}, megabytes
    )


def begun_and_held(stage: Patient, *steps: str) -> tuple[Share, list[faults.Frozen]]:
    """A share that stands in steps which run side by side.

    It is held as soon as it has begun: whoever begins another first may find the step over.
    """
    share = Share(stage)
    return share, side_by_side(*(lambda s=step: share.hold(s) for step in steps))


Held = list[tuple[Share, faults.Frozen]]


def held_in(*places: tuple[Patient, str], new: bool = False) -> Held:
    """Shares, each begun on a stage and standing in a step; where that is the build, of another image."""

    def one(stage: Patient, step: str) -> tuple[Share, faults.Frozen]:
        words = ("--dockerfile", NEW) if step == "build" and new else ()
        share = in_step(stage, step, "--name", f"in-{step}", *words)
        return share, share.hold(step)

    # Each is held as soon as it has begun: a step of another may be over before.
    return side_by_side(*(lambda p=place: one(*p) for place in places))


def held_everywhere(stages: Sequence[Patient]) -> Held:
    """Five shares, each standing in another step; three of one service are under way at once.

    All of them on the first node: a check of volumes that others reach may run elsewhere.
    """
    near, far = stages
    held = held_in(
        (near, "build"), (near, "copy"), (near, "compare"), (far, "launch"), (far, "check")
    )
    for share, pod in held:
        there = faults.pods(near.cluster, share.stage.namespace)
        where = {row["metadata"]["name"]: row["spec"].get("nodeName") for row in there}
        assert where[pod.name] == "node-1", pod.name
    return held


def in_step(stage: Patient, step: str, *words: str) -> Share:
    """A share that can be held in a step."""
    return Share(stage, *(LOOKED_AT if step == "check" else ()), *words)


def start_kubelet(stages: Sequence[Patient]) -> None:
    """Start it again, and wait until it knows the pods that ran on."""

    def knows(stage: Stage) -> bool:
        try:
            return stage.run("echo", "here") == "here\n"
        except Failed:
            return False

    faults.start_kubelet(stages[0].cluster, "node-1")
    for stage in stages:
        until(lambda s=stage: knows(s))


def delete(*shares: Share) -> None:
    """Delete shares, which leaves nothing."""
    # Two of one project have one image, which goes with the last.
    assert all(share.repository for share in shares)
    side_by_side(*(lambda s=s: s.stage.secxops("delete", s.id, "--yes") for s in shares))
    for share in shares:
        share.is_gone()


def starts_again(share: Share) -> None:
    """What is evicted once it is launched is stopped, and can be started again."""
    stage = share.stage
    pod = share.show()["result"]["place"]["name"]
    faults.evict(stage.cluster, stage.namespace, pod)
    until(lambda: share.show()["environment"]["status"] == "stopped")
    code, answer = stage.secxops("start", share.id)
    assert code == 0, answer
    until(lambda: share.show()["environment"]["status"] == "running")
    share.is_equal()


def test_a_share_outlives_what_breaks_and_one_that_does_not_wait_says_what_broke(
    own: Cluster, pair: Sequence[Patient]
) -> None:
    local, shared = pair
    (share, (builds, copies)), (lost, [stays]) = side_by_side(
        lambda: begun_and_held(shared, "build", "copy"), lambda: begun_and_held(local, "copy")
    )
    faults.kill_kubelet(own, "node-1")
    try:
        # Before its node is back: nobody can look into a notebook there, but all is removed.
        lost.is_gone(SHORT + 100)
    finally:
        builds.thaw()
        stays.thaw()
        start_kubelet(pair)
    said = lost.end()
    assert (said["state"], said["error"]["code"]) == ("failed", "node_unreachable")
    assert "node-1" in said["error"]["message"]
    assert "kubectl get nodes" in said["error"]["hint"]
    assert "node-1 does not answer" in share.log()

    # Its copy has stood still until now; what is compared then would else be over before it is held.
    pod, _ = side_by_side(lambda: share.hold("compare"), copies.thaw)
    shared.kill_service()
    pod.thaw()
    assert share.show()["state"] == "running"

    launches, (lost, [stays]) = side_by_side(
        lambda: share.hold("launch"), lambda: begun_and_held(local, "copy")
    )
    faults.stop_apiserver(own)
    time.sleep(SHORT + 5)
    launches.thaw()
    stays.thaw()
    faults.start_apiserver(own)
    said = lost.end()
    assert (said["state"], said["error"]["code"]) == ("failed", "cluster_unavailable")
    assert said["error"]["hint"]
    lost.is_gone(90)  # it is tried again at longer and longer intervals
    share.is_equal()
    assert "API server" in share.log()
    starts_again(share)
    delete(share)


def test_what_a_drained_node_a_registry_or_a_person_ends_leaves_nothing(
    own: Cluster, pair: Sequence[Patient]
) -> None:
    local, shared = pair

    for stage in pair:
        layer = f"head -c 3000000 /dev/urandom > ~/{stage.namespace}"
        stage.fill({NEW: f"FROM {own.images['jupyter']}\nRUN {layer}\n"})

    held = held_in(
        *((local, "build"), (local, "copy"), (local, "check")),
        *((shared, "compare"), (shared, "launch"), (shared, "build")),
        new=True,
    )
    building, copying, checking, verifying, launching, filling = (share for share, _ in held)
    down, copies, _, verifies, launches, fills = (pod for _, pod in held)

    # A person.
    local.secxops("cancel", checking.id)
    nothing(checking.left)
    assert checking.end()["state"] == "cancelled"

    # A registry that is down: what is built already does without it.
    faults.stop_registry(own)
    try:
        down.thaw()
        launches.thaw()
        launching.is_equal()
        failed_by_registry(building)
        nothing(building.left)
    finally:
        faults.start_registry(own)

    # One that is full.
    with faults.full_registry(own):
        fills.thaw()
        failed_by_registry(filling)
        nothing(filling.left)

    # A node that is drained: what its disks hold can be copied there only.
    with faults.cordoned(own, "node-1"):
        for share, pod in ((copying, copies), (verifying, verifies)):
            faults.evict(own, share.stage.namespace, pod.name)
        said = copying.end()
        assert (said["state"], said["error"]["code"]) == ("failed", "unschedulable")
        # With it, nothing is in the registry any more of what was on this disk.
        copying.is_gone()
        # What other nodes reach too is made again there.
        verifying.is_equal()
        assert verifying.show()["result"]["place"]["node"] == "node-2"

    # Somebody who deletes it while it is under way.
    deleted = Share(local)
    deleted.hold("copy")
    delete(launching, verifying, deleted)


# Every fault in every step.


@pytest.mark.soak
def test_a_service_that_is_killed_in_each_step_goes_on(stages: Sequence[Patient]) -> None:
    stage, _ = stages
    share = Share(stage, *LOOKED_AT)
    for steps in (("check",), ("build", "copy"), ("compare",), ("launch",)):
        until(lambda: share.show()["state"] == "running")
        held = side_by_side(*(lambda step=step: share.hold(step) for step in steps))
        stage.kill_service()
        for pod in held:
            pod.thaw()
    share.is_equal()
    delete(share)


@pytest.mark.soak
def test_an_api_server_that_restarts_is_waited_for(own: Cluster, stages: Sequence[Patient]) -> None:
    held = held_everywhere(stages)
    faults.stop_apiserver(own)
    for _, pod in held:
        pod.thaw()
    time.sleep(5)  # that long it is away
    faults.start_apiserver(own)
    for share, _ in held:
        share.is_equal()
    assert any("does not answer" in share.log() for share, _ in held)
    delete(*(share for share, _ in held))


@pytest.mark.soak
def test_an_api_server_that_stays_away_ends_a_share_which_leaves_nothing(
    own: Cluster, stages: Sequence[Patient]
) -> None:
    near, far = stages
    held = held_in((near, "copy"), (far, "launch"))
    faults.stop_apiserver(own)
    try:
        time.sleep(PATIENCE + 10)
    finally:
        for _, pod in held:
            pod.thaw()
        faults.start_apiserver(own)
    for share, _ in held:
        said = share.end()
        assert (said["state"], said["error"]["code"]) == ("failed", "cluster_unavailable")
        assert said["error"]["hint"]
        share.is_gone(90)  # it is tried again at longer and longer intervals


@pytest.mark.soak
def test_a_kubelet_that_restarts_is_waited_for(own: Cluster, stages: Sequence[Patient]) -> None:
    held = held_everywhere(stages)
    faults.kill_kubelet(own, "node-1")
    try:
        for _, pod in held:
            pod.thaw()
        time.sleep(5)  # that long it is away
    finally:
        start_kubelet(stages)
    for share, _ in held:
        share.is_equal()
    assert any("node-1 does not answer" in share.log() for share, _ in held)
    delete(*(share for share, _ in held))


@pytest.mark.soak
def test_a_kubelet_that_stays_away_ends_a_share_which_leaves_nothing(
    own: Cluster, stages: Sequence[Patient]
) -> None:
    held = held_everywhere(stages)
    faults.kill_kubelet(own, "node-1")
    try:
        # Before its node is back: nobody can look into a notebook there, but all is removed.
        side_by_side(*(lambda s=share: s.is_gone(PATIENCE + 100) for share, _ in held))
    finally:
        for _, pod in held:
            pod.thaw()
        start_kubelet(stages)
    for share, _ in held:
        said = share.end()
        assert (said["state"], said["error"]["code"]) == ("failed", "node_unreachable")
        assert "node-1" in said["error"]["message"]
        assert "kubectl get nodes" in said["error"]["hint"]


@pytest.mark.soak
def test_a_pod_that_is_evicted_is_made_again(own: Cluster, stages: Sequence[Patient]) -> None:
    _, stage = stages
    share = Share(stage, *LOOKED_AT)
    faults.evict(own, stage.namespace, share.hold("check").name)

    def has_begun(pid: int) -> bool:
        folder = Path(f"/proc/{pid}/root/destination")
        return folder.is_dir() and any(folder.glob("*.bin"))

    build = share.hold("build")
    half = share.hold("copy", when=has_begun)
    for pod in (half, build):
        faults.evict(own, stage.namespace, pod.name)
    for step in ("compare", "launch"):
        faults.evict(own, stage.namespace, share.hold(step).name)
    share.is_equal()

    starts_again(share)
    delete(share)


@pytest.mark.soak
def test_a_node_that_is_drained(own: Cluster, stages: Sequence[Patient]) -> None:
    near, far = stages
    # The builder comes back by itself, also on a node that takes no other pods.
    building = Share(near, "--name", "building")
    held = building.hold("build", program="buildctl")
    [builder] = [
        pod["metadata"]["name"]
        for pod in faults.pods(own, "secxops-build")
        if pod["spec"]["nodeName"] == "node-1"
    ]
    faults.evict(own, "secxops-build", builder)
    held.thaw()
    building.is_equal()
    delete(building)

    held = held_in((near, "copy"), (near, "check"), (far, "launch"), (far, "compare"))
    copying, checking, launching, verifying = (share for share, _ in held)
    with faults.cordoned(own, "node-1"):
        for share, pod in held:
            faults.evict(own, share.stage.namespace, pod.name)
        # What its disks hold can be read and copied there only.
        for share in (copying, checking):
            said = share.end()
            assert (said["state"], said["error"]["code"]) == ("failed", "unschedulable")
            share.is_gone()
        # What other nodes reach too is checked and launched there.
        for share in (launching, verifying):
            share.is_equal()
            assert share.show()["result"]["place"]["node"] == "node-2"
    delete(launching, verifying)


@pytest.mark.soak
def test_a_registry_that_is_down_or_full_ends_a_share_which_leaves_no_tag(
    own: Cluster, stages: Sequence[Patient]
) -> None:
    near, far = stages
    write(near, "head -c 3000000 /dev/urandom > ~/.down")
    # What is built already does without it.
    held = held_in((far, "launch"), (near, "build"))
    launching, building = (share for share, _ in held)
    assert building.repository != launching.repository
    faults.stop_registry(own)
    try:
        for _, pod in held:
            pod.thaw()
        launching.is_equal()
        failed_by_registry(building)
        nothing(building.left)
    finally:
        faults.start_registry(own)
    building.is_gone()
    delete(launching)

    write(near, "head -c 3000000 /dev/urandom > ~/.full")
    building = Share(near)
    pod = building.hold("build")
    with faults.full_registry(own):
        pod.thaw()
        failed_by_registry(building)
        nothing(building.left)
    building.is_gone()
    write(near, "true")


def failed_by_registry(share: Share) -> None:
    said = share.end()
    assert (said["state"], said["error"]["code"]) == ("failed", "registry_failed"), said["error"]
    assert share.cluster.registry is not None
    assert share.cluster.registry.address in said["error"]["message"]
    assert said["error"]["hint"]


@pytest.mark.soak
def test_what_is_cancelled_or_deleted_in_any_step_leaves_nothing(stages: Sequence[Patient]) -> None:
    def one(stage: Patient, *end: str) -> None:
        for step in WORK:
            share = in_step(stage, step)
            share.hold(step)
            assert share.left() and share.repository
            began = time.monotonic()
            stage.secxops(end[0], share.id, *end[1:])
            share.is_gone(60 - (time.monotonic() - began))

    near, far = stages
    side_by_side(lambda: one(near, "cancel"), lambda: one(far, "delete", "--yes"))
