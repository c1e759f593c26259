"""What the objects of environments and claims say, where sources differ."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.kubernetes import objects
from jupyter_secxops_migrate.engines.kubernetes.jobs import trouble


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
