"""The objects of environments and claims, as they are sent to a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.base import ImageProbe, LaunchOrder
from jupyter_secxops_migrate.engines.kubernetes import objects
from jupyter_secxops_migrate.engines.kubernetes.engine import KubernetesEngine
from jupyter_secxops_migrate.engines.kubernetes.jobs import trouble
from jupyter_secxops_migrate.placement.cluster import Cluster
from jupyter_secxops_migrate.placement.nodes import PodNeeds, needs_of_pod
from jupyter_secxops_migrate.placement.policy import Needs

MIB = 1024**2
TEAM = {"key": "team", "operator": "Equal", "value": "red", "effect": "NoSchedule"}
SOURCE = needs_of_pod({"spec": {"containers": [], "tolerations": [TEAM]}})


def launched(needs: Needs, resource: str, terms: Mapping[str, Any]) -> PodNeeds:
    """What the pod of an environment asks of its node, read from what the API server is sent."""
    probe = ImageProbe(1000, 1000, PurePosixPath("/home/j"), PurePosixPath("/"), ["jupyter-lab"])
    order = LaunchOrder(
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
    settings = KubernetesEngine(gpu_resource=resource)
    return needs_of_pod(objects.pod(order, settings, "r/p@sha256:1", tolerations=[TEAM]))


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
    ("message", "kind"),
    [
        ("container has runAsNonRoot and image will run as root", errors.ImageUserUnknown),
        ("container has runAsNonRoot and image has non-numeric user", errors.ImageUserUnknown),
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
