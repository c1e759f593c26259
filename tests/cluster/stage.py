"""A stage for shares: a namespace with what an admin gives it, and a notebook pod with files.

What the admin does is done with the files of the operators' guide, as they are written there.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "operators" / "kubernetes"


class Kubectl:
    """``kubectl`` on one cluster."""

    def __init__(self, program: str, kubeconfig: str) -> None:
        self.words = [program, f"--kubeconfig={kubeconfig}"]

    def __call__(self, *words: str, given: str = "", seconds: float = 120) -> str:
        done = subprocess.run(
            [*self.words, *words], input=given, capture_output=True, text=True, timeout=seconds
        )
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "-o", "json"))

    def apply(self, *objects: Mapping[str, Any]) -> None:
        body = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "-f", "-", given=json.dumps(body))


def builders(kubectl: Kubectl, state: Mapping[str, Any]) -> None:
    """Do what the guide says for the builders, from an overlay as an admin writes it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        certificates = folder / "certificates"
        subprocess.run([GUIDE / "certificates.sh", certificates], check=True, capture_output=True)
        (folder / "ca.crt").write_bytes(Path(state["registry"]["ca"]).read_bytes())
        written = (GUIDE / "builder" / "buildkitd.toml").read_text()
        address = state["registry"]["address"]
        (folder / "buildkitd.toml").write_text(
            f'{written}\n[registry."{address}"]\n  ca = ["/etc/secxops/ca.crt"]\n'
        )
        for path in (GUIDE / "builder").iterdir():
            (folder / "base").mkdir(exist_ok=True)
            (folder / "base" / path.name).write_bytes(path.read_bytes())
        image, _, digest = state["images"]["buildkit"].partition("@")
        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "secxops-build",
            "resources": ["base"],
            "images": [{"name": "moby/buildkit", "newName": image, "digest": digest}],
            "configMapGenerator": [
                {
                    "name": "secxops-builder",
                    "behavior": "merge",
                    "files": ["buildkitd.toml", "ca.crt"],
                }
            ],
            "secretGenerator": [
                {
                    "name": "secxops-builder",
                    "files": [f"certificates/server/{n}" for n in ("ca.crt", "tls.crt", "tls.key")],
                },
                {
                    "name": "secxops-registry",
                    "type": "kubernetes.io/dockerconfigjson",
                    "files": [".dockerconfigjson"],
                },
            ],
            "patches": [
                {
                    "target": {"kind": "DaemonSet"},
                    "patch": json.dumps(
                        [
                            {
                                "op": "add",
                                "path": "/spec/template/spec/imagePullSecrets",
                                "value": [{"name": "secxops-registry"}],
                            }
                        ]
                    ),
                }
            ],
        }
        (folder / ".dockerconfigjson").write_bytes(
            Path(state["registry"]["dockerconfigjson"]).read_bytes()
        )
        (folder / "kustomization.yaml").write_text(json.dumps(overlay))
        kubectl("apply", "-k", str(folder))
        kubectl(
            "-n", "secxops-build", "create", "secret", "generic", "secxops-builder-client",
            *(f"--from-file={certificates}/client/{n}" for n in ("ca.crt", "tls.crt", "tls.key")),
            "--dry-run=client", "-o", "yaml",
        )  # fmt: skip
        client = {
            n: (certificates / "client" / n).read_text() for n in ("ca.crt", "tls.crt", "tls.key")
        }
    kubectl.client = client  # type: ignore[attr-defined]
    kubectl(
        *("-n", "secxops-build", "rollout", "status", "daemonset/secxops-builder"),
        "--timeout=120s",
        seconds=150,
    )


class Stage:
    """One namespace: its secrets, and a source pod on a node."""

    def __init__(self, kubectl: Kubectl, state: Mapping[str, Any], client: Mapping[str, str]):
        self.kubectl = kubectl
        self.state = state
        self.namespace = f"share-{secrets.token_hex(4)}"
        registry = state["registry"]
        kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": self.namespace,
                    "labels": {"pod-security.kubernetes.io/enforce": "baseline"},
                },
            },
            self._like(
                "Secret",
                "registry",
                type="kubernetes.io/dockerconfigjson",
                stringData={
                    ".dockerconfigjson": Path(registry["dockerconfigjson"]).read_text()
                },
            ),
            self._like("Secret", "secxops-builder-client", stringData=dict(client)),
            self._like("ConfigMap", "registry-ca", data={"ca.crt": Path(registry["ca"]).read_text()}),
        )  # fmt: skip

    def _like(self, kind: str, name: str, **more: Any) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            **more,
        }

    def settings(self) -> dict[str, Any]:
        """What an admin sets for this cluster."""
        return {
            "namespace": self.namespace,
            "tools_image": self.state["images"]["tools"],
            "pull_secret": "registry",
            "registry_address": self.state["registry"]["address"],
            "registry_ca": "registry-ca",
        }

    def claim(self, name: str, size: str = "1Gi", storage_class: str = "node-local") -> None:
        self.kubectl.apply(
            self._like(
                "PersistentVolumeClaim",
                name,
                spec={
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": storage_class,
                    "resources": {"requests": {"storage": size}},
                },
            )
        )

    def notebook(
        self,
        name: str = "notebook",
        *,
        node: str = "",
        image: str = "",
        mounts: Sequence[Mapping[str, str]] = (),
        **spec: Any,
    ) -> str:
        """Start a notebook pod as a hub makes them; ``mounts`` have claim, path and subPath."""
        claims = sorted({m["claim"] for m in mounts})
        self.kubectl.apply(
            self._like(
                "Pod",
                name,
                spec={
                    **({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}),
                    "automountServiceAccountToken": False,
                    "imagePullSecrets": [{"name": "registry"}],
                    "securityContext": {"runAsUser": 1000, "fsGroup": 100},
                    "terminationGracePeriodSeconds": 1,
                    "volumes": [
                        {"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims
                    ],
                    "containers": [
                        {
                            "name": "notebook",
                            "image": image or self.state["images"]["jupyter"],
                            "command": ["sleep", "infinity"],
                            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
                            "volumeMounts": [
                                {
                                    "name": m["claim"],
                                    "mountPath": m["path"],
                                    **({"subPath": m["subPath"]} if "subPath" in m else {}),
                                }
                                for m in mounts
                            ],
                        }
                    ],
                    **spec,
                },
            )
        )
        self.kubectl(
            *("-n", self.namespace, "wait", "--for=condition=Ready", f"pod/{name}"),
            "--timeout=120s",
            seconds=150,
        )
        return name

    def run(self, pod: str, *command: str, given: str = "", seconds: float = 300) -> str:
        return self.kubectl(
            "-n", self.namespace, "exec", "-i", pod, "--", *command, given=given, seconds=seconds
        )

    def fill(self, pod: str, folder: str, files: Mapping[str, str]) -> None:
        """Write files into a pod's folder."""
        self.run(pod, "python3", "-c", _WRITE, folder, given=json.dumps(dict(files)))

    def close(self) -> None:
        self.kubectl("delete", "namespace", self.namespace, "--wait=false")


_WRITE = """
import json, pathlib, sys
for name, text in json.load(sys.stdin).items():
    path = pathlib.Path(sys.argv[1], name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
"""


def eventually(ask: Any, seconds: float = 60) -> Any:
    """Return what ``ask`` returns once that is true."""
    ends = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < ends, "it did not come to that in time"
        time.sleep(0.2)
    return found
