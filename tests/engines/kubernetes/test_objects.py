"""The objects of environments and claims, as they are sent to a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.health import TOKEN_FOLDER
from jupyter_secxops_migrate.engines.kubernetes import objects
from jupyter_secxops_migrate.engines.kubernetes.engine import KubernetesEngine
from jupyter_secxops_migrate.engines.kubernetes.errors import ImageUserUnknown
from jupyter_secxops_migrate.engines.kubernetes.place import SourcePod, source_pod
from jupyter_secxops_migrate.engines.kubernetes.pods import trouble
from jupyter_secxops_migrate.engines.kubernetes.storage import size_of_copy
from jupyter_secxops_migrate.engines.orders import ImageProbe, LaunchOrder, VolumeMount
from jupyter_secxops_migrate.placement.cluster import Cluster
from jupyter_secxops_migrate.placement.nodes import PodNeeds, needs_of_pod
from jupyter_secxops_migrate.placement.policy import GIB, Needs

MIB = 1024**2
TEAM = {"key": "team", "operator": "Equal", "value": "red", "effect": "NoSchedule"}
Json = dict[str, Any]


def source(container: Json | None = None, metadata: Json | None = None, **spec: Any) -> SourcePod:
    """A notebook's pod."""
    return source_pod(
        {
            "metadata": {"name": "alice", **(metadata or {})},
            "spec": {"containers": [{"name": "notebook", **(container or {})}], **spec},
            "status": {"phase": "Running"},
        }
    )


SOURCE = needs_of_pod({"spec": {"containers": [], "tolerations": [TEAM]}})


def ordered(needs: Needs, terms: Mapping[str, Any], uid: int = 1000) -> LaunchOrder:
    probe = ImageProbe(uid, uid, PurePosixPath("/home/j"), PurePosixPath("/"), ["jupyter-lab"])
    return LaunchOrder(
        **{"migration": "mabc", "owner": "anne", "name": "p", "token": "t", "root": "/p"},
        image="sha256:1",
        reference="r/p:1",
        probe=probe,
        mounts=[],
        cpu=needs.cpu,
        memory=needs.memory,
        gpu=needs.gpu,
        terms=terms,
    )


def launched(needs: Needs, resource: str, terms: Mapping[str, Any]) -> PodNeeds:
    """What the pod of an environment asks of its node, read from what the API server is sent."""
    settings = KubernetesEngine(gpu_resource=resource)
    order = ordered(needs, terms)
    tolerant = source(tolerations=[TEAM])
    return needs_of_pod(objects.pod(order, settings, "r/p@sha256:1", tolerant))


@given(
    st.builds(
        Needs,
        st.integers(1, 64_000).map(lambda milli: milli / 1000),
        st.integers(1, 2**20).map(lambda mib: mib * MIB),
        st.integers(0, 8),
    ),
    st.sampled_from(["nvidia.com/gpu", "amd.com/gpu"]),
    st.dictionaries(st.sampled_from(["zone", "pool"]), st.sampled_from(["a", "b"])),
)
def test_a_pod_asks_for_what_its_place_was_chosen_by(
    needs: Needs, resource: str, selector: dict[str, str]
) -> None:
    counted = Cluster("a", (), (), SOURCE.tolerations, selector, gpu_resource=resource)
    assert launched(needs, resource, {"nodeSelector": selector}) == counted.needs(needs)


@pytest.mark.parametrize(("user", "insists"), [(None, True), (1000, True), (0, False)])
def test_only_the_copy_of_roots_notebook_is_roots(user: int | None, insists: bool) -> None:
    context = objects.security(user)
    assert context.get("runAsNonRoot", False) is insists
    assert context.get("runAsUser") == user
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["allowPrivilegeEscalation"] is False


def test_a_part_of_a_claim_is_mounted_again_without_a_second_volume() -> None:
    mounts = [
        VolumeMount("code", "/p"),
        VolumeMount("data", "/d"),
        VolumeMount("code", "/p/a/cache", "a/cache"),
    ]
    order = replace(ordered(Needs(1, MIB), {}), mounts=mounts)

    spec = objects.pod(order, KubernetesEngine(), "r/p", source())["spec"]

    _, *claims = spec["volumes"]
    assert [row["persistentVolumeClaim"]["claimName"] for row in claims] == ["code", "data"]
    assert spec["containers"][0]["volumeMounts"][1:] == [
        {"name": claims[0]["name"], "mountPath": "/p"},
        {"name": claims[1]["name"], "mountPath": "/d"},
        {"name": claims[0]["name"], "mountPath": "/p/a/cache", "subPath": "a/cache"},
    ]


def test_only_of_root_is_jupyterlab_told_that_it_may_run_as_root() -> None:
    allowed = "--ServerApp.allow_root=True"
    assert allowed in objects.command(ordered(Needs(1, MIB), {}, uid=0))
    assert allowed not in objects.command(ordered(Needs(1, MIB), {}))


@pytest.mark.parametrize(
    ("has", "gets"),
    [
        (["ReadOnlyMany"], ["ReadWriteOnce"]),
        (["ReadOnlyMany", "ReadWriteMany"], ["ReadWriteMany"]),
        (["ReadWriteOnce"], ["ReadWriteOnce"]),
    ],
)
def test_a_copy_can_be_written_to(has: list[str], gets: list[str]) -> None:
    source = {"spec": {"accessModes": has, "resources": {"requests": {"storage": "1Gi"}}}}
    assert objects.claim("copy", {}, source, None)["spec"]["accessModes"] == gets


@pytest.mark.parametrize(
    ("content", "settings", "gets"),
    [
        (10 * GIB, {}, "15360Mi"),
        (0, {}, "1024Mi"),
        (0, {"claim_floor": 100 * MIB}, "100Mi"),
        (1, {"claim_floor": 0}, "1Mi"),
        (10 * GIB, {"claim_factor": 1.0}, "10240Mi"),
        (10 * GIB, {"claim_size": "source"}, "50Gi"),
        (None, {}, "50Gi"),
        # More than the source has: block sizes and file systems differ.
        (50 * GIB, {}, "76800Mi"),
    ],
)
def test_a_copys_claim_is_as_large_as_its_content_with_room(
    content: int | None, settings: Json, gets: str
) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "50Gi"}}}
    size = size_of_copy({"spec": spec}, content, KubernetesEngine(**settings))
    made = objects.claim("copy", {}, {"spec": spec}, None, size)
    assert made["spec"]["resources"]["requests"]["storage"] == gets


def test_the_least_size_of_a_copy_is_no_more_than_its_sources() -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "200Mi"}}}
    assert size_of_copy({"spec": spec}, 1, KubernetesEngine()) == 200 * MIB


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("container has runAsNonRoot and image will run as root", ImageUserUnknown),
        ("container has runAsNonRoot and image has non-numeric user", ImageUserUnknown),
        ('secret "token" not found', errors.EngineFailed),
    ],
)
def test_why_a_container_is_not_made(message: str, kind: type[errors.SecxopsError]) -> None:
    waiting = {"reason": "CreateContainerConfigError", "message": message}
    pod: dict[str, Any] = {
        "metadata": {"name": "probe"},
        "spec": {"nodeName": "node-1"},
        "status": {"containerStatuses": [{"image": "a", "state": {"waiting": waiting}}]},
    }
    found = trouble(pod)
    assert type(found) is kind
    assert message in found.message


def test_extensions_lie_beside_the_token_and_jupyterlab_is_told() -> None:
    """Each file of them is where a key of the Secret is mounted; without any nothing is different."""
    settings, name = KubernetesEngine(), "@a/copy/static/remoteEntry.js"
    plain = ordered(Needs(1, MIB), {})
    order = replace(plain, extensions={"@a/copy/package.json": b"{}", name: b"1"})

    made = objects.pod(order, settings, "r/p", source())
    kept = objects.secret(order, made, {"metadata": {"name": "s", "uid": "1"}})["stringData"]
    [volume] = made["spec"]["volumes"]
    files = {item["path"]: kept[item["key"]] for item in volume["secret"]["items"]}
    folder = objects.EXTENSIONS_FOLDER.removeprefix(f"{TOKEN_FOLDER}/")
    assert files == {
        "token": "t",
        f"{folder}/@a/copy/package.json": "{}",
        f"{folder}/{name}": "1",
    }
    told = f"--LabApp.extra_labextensions_path={objects.EXTENSIONS_FOLDER}"
    assert told in made["spec"]["containers"][0]["args"]
    assert told not in objects.command(plain)
