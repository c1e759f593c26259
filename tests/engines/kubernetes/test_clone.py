"""Which volumes are cloned, and what becomes of a clone that is not made or comes back wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.copying.errors import CopyFailed, FileUnreadable, VerifyFailed
from jupyter_secxops_migrate.engines.kubernetes import objects
from jupyter_secxops_migrate.engines.kubernetes.clone import (
    WHY,
    Clones,
    NotCloned,
    clone_of,
    is_clone,
    why_not,
)
from jupyter_secxops_migrate.engines.kubernetes.errors import (
    ClusterRefused,
    QuotaExceeded,
    Unschedulable,
)
from jupyter_secxops_migrate.engines.kubernetes.job import Job
from jupyter_secxops_migrate.engines.kubernetes.recent import Recent
from jupyter_secxops_migrate.engines.kubernetes.settings import CLONING, KubernetesSettings
from jupyter_secxops_migrate.engines.kubernetes.storage import Sight, class_of_copy, unusable
from jupyter_secxops_migrate.engines.orders import CopyOrder, LogLine, Progress, SourcePlace
from jupyter_secxops_migrate.engines.report import JobResult

Json = dict[str, Any]
DRIVER = "rbd.csi.ceph.com"
GUIDE = Path(__file__).parents[3] / "docs" / "operators" / "kubernetes.md"
CLAIMS = "/api/v1/namespaces/a/persistentvolumeclaims"


def source(storage_class: str | None = "fast", **spec: Any) -> Json:
    resources = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": resources, "volumeName": "pv", **spec}
    return {
        "metadata": {"name": "flows"},
        "spec": {**spec, "storageClassName": storage_class},
        "status": {"capacity": {"storage": "2Gi"}},
    }


def volume(driver: str = DRIVER) -> Json:
    return {"spec": {"csi": {"driver": driver}}}


def order(subpath: str = "", **more: Any) -> CopyOrder:
    place = SourcePlace("volume", "flows", subpath, "/data/flows")
    return CopyOrder("m1", "alice", "data-1", "data", place, Path("manifest"), **more)


# --------------------------------------------------------------------------- which


def test_a_whole_claim_of_a_driver_that_clones_is_cloned() -> None:
    assert why_not(order(), source(), volume(), "fast", CLONING) is None
    assert why_not(order(), source(), volume("my.csi"), "fast", {"my.csi"}) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"order": order("alice/flows")}, "not the whole claim"),
        ({"order": order(exclude=["data"])}, "left out"),
        ({"order": order(commit="c0ffee")}, "version"),
        ({"storage_class": "other"}, "another storage class"),
        ({"claim": source(None), "storage_class": None}, "another storage class"),
        ({"volume": None}, "not made by a CSI driver"),
        ({"volume": {"spec": {"hostPath": {"path": "/x"}}}}, "not made by a CSI driver"),
        ({"volume": volume("csi.vsphere.vmware.com")}, "csi.vsphere.vmware.com is not known"),
    ],
)
def test_anything_else_is_copied_and_says_why(changed: Json, said: str) -> None:
    given = {
        "order": order(),
        "claim": source(),
        "volume": volume(),
        "storage_class": "fast",
        "drivers": CLONING,
    }
    reason = why_not(**{**given, **changed})
    assert reason is not None and said in reason


def test_the_guide_names_the_drivers_that_are_known_to_clone() -> None:
    section = GUIDE.read_text().partition("### Clones")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall("`([^`]+)`", row)} == {*CLONING}


def test_a_clone_is_a_copys_claim_with_its_source() -> None:
    body = objects.claim("copy", {"a": "b"}, source(), "fast")
    cloned = clone_of(body, "flows")
    assert cloned["spec"].pop("dataSourceRef") == {
        "apiGroup": "",
        "kind": "PersistentVolumeClaim",
        "name": "flows",
    }
    assert cloned == body
    assert body["spec"]["resources"]["requests"]["storage"] == "2Gi"


def test_the_class_of_a_copy_is_the_sources_unless_an_admin_chose_another() -> None:
    settings = KubernetesSettings(storage_classes={"fast": "shared", "": "standard"})
    assert class_of_copy(source("fast"), settings) == "shared"
    assert class_of_copy(source("slow"), settings) == "slow"
    for none in ("", None):
        assert class_of_copy(source(none), settings) == "standard"
        assert class_of_copy(source(none), KubernetesSettings()) is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"accessModes": ["ReadWriteOncePod"]}, "ReadWriteOncePod"),
        ({"volumeMode": "Block"}, "block device"),
    ],
)
def test_a_claim_that_no_job_can_mount_is_unusable(spec: Json, said: str) -> None:
    assert unusable(source()) is None
    assert said in str(unusable(source(**spec)))


# --------------------------------------------------------------------------- what becomes of it


class Api:
    """Keeps claims; a claim goes away a moment after it was deleted, as one that a pod had does."""

    def __init__(self, binding: str = "WaitForFirstConsumer") -> None:
        self.objects: dict[str, Json] = {
            "/api/v1/persistentvolumes/pv": volume(),
            "/apis/storage.k8s.io/v1/storageclasses/fast": {"volumeBindingMode": binding},
        }
        self.refuses: errors.SecxopsError | None = None
        self.refuses_clones = False
        """Whether nothing but clones is refused."""
        self.got: list[str] = []
        self.binds = True

    async def get(self, path: str, action: str = "") -> Json | None:
        await asyncio.sleep(0)
        self.got.append(path)
        found = self.objects.get(path)
        if found is not None and found.get("metadata", {}).get("deletionTimestamp"):
            del self.objects[path]
        return found

    async def create(self, path: str, body: Json, action: str = "") -> Json:
        if self.refuses is not None and (is_clone(body) or not self.refuses_clones):
            raise self.refuses
        name = f"{path}/{body['metadata']['name']}"
        marks = {**body["metadata"], "creationTimestamp": "2026-11-24T12:00:00Z"}
        status = {"phase": "Bound" if self.binds else "Pending"}
        return self.objects.setdefault(name, {**body, "metadata": marks, "status": status})

    async def delete(self, path: str) -> None:
        if path in self.objects:
            self.objects[path]["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:01Z"


class Space:
    """Knows where claims are."""

    async def path(self, kind: str, name: str = "") -> str:
        assert kind == "claim"
        return f"{CLAIMS}/{name}" if name else CLAIMS


class Jobs:
    """Runs Jobs that end as they are told to."""

    def __init__(self, error: errors.SecxopsError | None = None) -> None:
        self.error = error
        self.ran: list[Job] = []
        self.removed: list[str] = []

    async def run(self, job: Job) -> AsyncIterator[Progress | JobResult]:
        self.ran.append(job)
        yield LogLine("working")
        if self.error is not None:
            raise self.error
        yield JobResult({"files": 3, "kept": 3})

    async def remove(self, name: str) -> None:
        self.removed.append(name)


JOB = Job("job", {}, "copying.__main__", ["--json", "--", "/source", "/destination"])
CHECK = Job("check", {}, "copying.verify", ["--json", "--", "/check"])
BODY = objects.claim("copy", {}, source(), "fast")


def clones(api: Api, **settings: Any) -> Clones:
    given: Any = KubernetesSettings(**settings)
    parts: Any = (api, Space())
    return Clones(*parts, Sight(parts[0], Recent(api), parts[1], given), given)  # type: ignore[arg-type]


def plain(why: str) -> Json:
    return {**BODY, "metadata": {**BODY["metadata"], "annotations": {WHY: why}}}


async def claimed(made: Clones) -> tuple[Json, str | None]:
    return await made.claim(order(), source(), BODY, plain)


def filled(api: Api, jobs: Any, **settings: Any) -> list[Any]:
    async def work() -> list[Any]:
        there = clones(api, **settings)
        claim, why = await claimed(there)
        assert why is None
        return [item async for item in there.fill(claim, JOB, CHECK, jobs)]

    return asyncio.run(work())


def test_a_clone_is_filled_by_the_copying_job_which_is_told_since_when_it_is_one() -> None:
    api, jobs = Api(), Jobs()
    *_, last = filled(api, jobs)
    assert last.fields["kept"] == 3
    assert is_clone(api.objects[f"{CLAIMS}/copy"])
    # 35 seconds before the claim was made: what was written then may not be on the disk.
    assert jobs.ran[0].arguments == ["--cloned=1795521565", *JOB.arguments]


@pytest.mark.parametrize(
    "error",
    [
        VerifyFailed(reason="the clone came back empty", count=1, path="/", first=".", node=""),
        errors.EngineFailed(action="start job", reason="it did not run within 180 seconds"),
        CopyFailed(path="/source", reason="the clone is not a volume of its own"),
        Unschedulable(pod="job", reason="volume node affinity conflict"),
    ],
)
def test_a_clone_that_came_back_wrong_is_gone_before_anything_takes_its_place(
    error: errors.SecxopsError,
) -> None:
    api, jobs = Api(), Jobs(error)
    with pytest.raises(NotCloned) as failed:
        filled(api, jobs)
    assert str(failed.value) == error.params["reason"]
    assert jobs.removed == ["job", "check"]
    assert f"{CLAIMS}/copy" not in api.objects


def test_a_clone_that_is_never_made_is_given_up() -> None:
    api = Api()
    api.binds = False
    late = errors.EngineFailed(action="start job", reason="it did not run within 180 seconds")
    with pytest.raises(NotCloned, match=r"no clone was made \(it did not run"):
        filled(api, Jobs(late))
    assert f"{CLAIMS}/copy" not in api.objects


def test_a_clone_that_needs_no_pod_is_waited_for_before_there_is_one() -> None:
    api, jobs = Api("Immediate"), Jobs()
    api.binds = False

    async def work() -> None:
        async def bind() -> None:
            await asyncio.sleep(0.2)
            assert jobs.ran == []
            api.objects[f"{CLAIMS}/copy"]["status"] = {"phase": "Bound"}

        binding = asyncio.ensure_future(bind())
        there = clones(api)
        claim, _ = await claimed(there)
        async for _ in there.fill(claim, JOB, CHECK, jobs):  # type: ignore[arg-type]
            pass
        await binding

    asyncio.run(work())
    assert len(jobs.ran) == 1


def test_what_the_source_is_to_blame_for_ends_the_copy_too() -> None:
    error = FileUnreadable(count=1, path="/source", first="x")
    api = Api()
    with pytest.raises(FileUnreadable):
        filled(api, Jobs(error))


def test_a_quota_that_has_no_room_for_a_clone_has_none_for_a_copy() -> None:
    api = Api()
    api.refuses = QuotaExceeded(action="clone flows", reason="exceeded quota")
    with pytest.raises(QuotaExceeded):
        filled(api, Jobs())


def asked(api: Api, **settings: Any) -> str | None:
    _, why = asyncio.run(claimed(clones(api, **settings)))
    return why


def test_a_claim_is_made_without_asking_whether_it_is_there() -> None:
    api = Api()
    assert asked(api) is None
    assert asked(Api(), cloning_drivers=[]) == f"the driver {DRIVER} is not known to clone"
    assert f"{CLAIMS}/copy" not in api.got


def test_an_interrupted_call_goes_on_the_way_that_it_began() -> None:
    api = Api()
    api.objects[f"{CLAIMS}/copy"] = clone_of(BODY, "flows")
    assert asked(api) is None
    assert asked(api, cloning_drivers=[]) is None
    api.objects[f"{CLAIMS}/copy"] = plain("the clone came back empty")
    assert asked(api) == "the clone came back empty"
    api.objects[f"{CLAIMS}/copy"] = BODY
    assert asked(api) == "a copy was begun before"


def test_a_clone_that_is_being_removed_is_not_taken_for_a_claim() -> None:
    api = Api()
    leaving = {"name": "copy", "deletionTimestamp": "2026-11-24T12:00:01Z"}
    api.objects[f"{CLAIMS}/copy"] = {**clone_of(BODY, "flows"), "metadata": leaving}
    assert asked(api) == "a clone was given up before"
    assert not is_clone(api.objects[f"{CLAIMS}/copy"])


def test_what_refuses_a_clone_may_let_a_copy_be_made() -> None:
    api = Api()
    api.refuses = ClusterRefused(action="make a claim", reason="no clones here")
    api.refuses_clones = True
    assert asked(api) == "no clone was made (no clones here)"
    assert not is_clone(api.objects[f"{CLAIMS}/copy"])
