"""The control plane: etcd, API server, controller manager, scheduler; and the registry beside it."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import time
from pathlib import Path

from steps import Stop

from . import daemons
from .api import Api, is_there
from .certificates import kubeconfig, pki
from .components import Programs
from .site import Site

USER = "secxops"
# The clients' own limits of a few requests a second make a cluster's start and its tests wait.
_HASTY = ("--kube-api-qps=300", "--kube-api-burst=300")


AUDIT = "audit.log"
"""What service accounts asked of the API server, one JSON object a line."""


def start(site: Site, programs: Programs, holder: int) -> None:
    """Start what the API needs, and the registry; `start_controllers` starts the rest."""
    certificates = pki(site)
    _start(
        site,
        holder,
        "etcd",
        [
            programs["etcd"],
            f"--data-dir={site.folder}/etcd",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            # It holds nothing that outlives the machine.
            "--unsafe-no-fsync",
        ],
    )
    _start(
        site,
        holder,
        "kube-apiserver",
        [
            programs["kube-apiserver"],
            "--etcd-servers=http://127.0.0.1:2379",
            f"--bind-address={site.control}",
            f"--advertise-address={site.control}",
            "--secure-port=6443",
            f"--service-cluster-ip-range={site.services}",
            "--anonymous-auth=false",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--audit-policy-file={_audit_policy(site)}",
            f"--audit-log-path={site.folder / AUDIT}",
            f"--client-ca-file={certificates}/ca.crt",
            f"--tls-cert-file={certificates}/apiserver.crt",
            f"--tls-private-key-file={certificates}/apiserver.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={certificates}/accounts.key",
            f"--service-account-signing-key-file={certificates}/accounts.key",
            f"--kubelet-certificate-authority={certificates}/ca.crt",
            f"--kubelet-client-certificate={certificates}/kubelet-client.crt",
            f"--kubelet-client-key={certificates}/kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={certificates}/front-ca.crt",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={certificates}/front.crt",
            f"--proxy-client-key-file={certificates}/front.key",
        ],
    )


def _audit_policy(site: Site) -> Path:
    """Have everything noted that service accounts of ours do, so that a test sees what rights are used."""
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
            {"level": "None"},
        ],
    }
    path = site.folder / "audit-policy.json"
    path.write_text(json.dumps(policy))
    return path


def start_controllers(site: Site, programs: Programs, holder: int) -> None:
    """Start what does the work, which ends at once where the API server's roles are not made yet."""
    certificates = pki(site)
    _start(
        site,
        holder,
        "kube-controller-manager",
        [
            programs["kube-controller-manager"],
            f"--kubeconfig={kubeconfig(site, 'controller-manager')}",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={certificates}/accounts.key",
            f"--root-ca-file={certificates}/ca.crt",
            f"--cluster-signing-cert-file={certificates}/ca.crt",
            f"--cluster-signing-key-file={certificates}/ca.key",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            # A lost node is told after 20 s instead of 50, for the tests of that.
            "--node-monitor-period=1s",
            "--node-monitor-grace-period=20s",
            *_HASTY,
        ],
    )
    _start(
        site,
        holder,
        "kube-scheduler",
        [
            programs["kube-scheduler"],
            f"--kubeconfig={kubeconfig(site, 'scheduler')}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            *_HASTY,
        ],
    )


def start_registry(site: Site, holder: int) -> None:
    """Start a registry with TLS and one random password, and write the pull secret's file."""
    folder = site.folder / "registry"
    folder.mkdir(exist_ok=True)
    password = secrets.token_urlsafe(24)
    (folder / "htpasswd").write_text(_htpasswd(USER, password))
    token = base64.b64encode(f"{USER}:{password}".encode()).decode()
    entry = {"username": USER, "password": password, "auth": token}
    pull_secret(site).touch(mode=0o600)
    pull_secret(site).write_text(json.dumps({"auths": {site.registry: entry}}))
    certificates = pki(site)
    configuration = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "data")},
            "delete": {"enabled": True},
        },
        "http": {
            "addr": site.registry,
            "secret": secrets.token_hex(16),
            "tls": {
                "certificate": str(certificates / "registry.crt"),
                "key": str(certificates / "registry.key"),
            },
        },
        "auth": {"htpasswd": {"realm": "secxops", "path": str(folder / "htpasswd")}},
    }
    (folder / "config.yml").write_text(json.dumps(configuration))
    _start(site, holder, "registry", ["docker-registry", "serve", folder / "config.yml"])


def pull_secret(site: Site) -> Path:
    """The registry's user and password, as Docker and ``kubernetes.io/dockerconfigjson`` write it."""
    return site.folder / "dockerconfig.json"


def password(site: Site) -> str:
    found = json.loads(pull_secret(site).read_text())["auths"][site.registry]["password"]
    return str(found)


def admin(site: Site) -> Api:
    """The API as cluster-admin."""
    folder = pki(site)
    return Api(
        f"{site.control}:6443", folder / "ca.crt", folder / "admin.crt", folder / "admin.key"
    )


def dead(site: Site) -> str:
    """Say which process of the cluster ended, and its last words; nothing where all run."""
    for name, pid in daemons.pids(site).items():
        if pid is None:
            return f"{name} ended\n{daemons.last_words(site, name)}"
    return ""


def _start(site: Site, holder: int, name: str, command: list[str | Path]) -> None:
    daemons.start(site, f"control/{name}", command, group="control/system", inside=holder)


def _htpasswd(user: str, password: str) -> str:
    """The registry takes bcrypt only, which Python can't make."""
    try:
        return subprocess.run(
            ["htpasswd", "-niB", user], input=password, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Stop(f"htpasswd made no password: {error}") from None


def readyz(site: Site) -> bool:
    """Say whether the API server is done with its start."""
    return bool(admin(site)("GET", "/readyz") == "ok")


def registry_answers(site: Site) -> bool:
    """Say whether the registry is there, which first of all asks for a password."""
    return is_there(Api(site.registry, pki(site) / "ca.crt"), "/v2/")


def patiently(command: list[str | Path], seconds: float = 20) -> None:
    """Run a command until it works: what it needs is starting."""
    deadline = time.monotonic() + seconds
    while True:
        words = [str(word) for word in command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise Stop(f"{' '.join(words[-4:])} failed: {done.stderr.strip()[-500:]}")
        time.sleep(0.1)
