"""Who is who in the cluster: one authority, a certificate for each client and server, and kubeconfigs.

Made with ``openssl``, one call for each. Keys are on the P-256 curve, which is quick.
"""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from steps import run

from .site import NODES, Site

DAYS = "30"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """What one certificate says: its name, the groups of a client, the addresses of a server."""

    file: str
    name: str
    group: str = ""
    addresses: tuple[str, ...] = ()
    authority: str = "ca"


def make(site: Site) -> None:
    """Make all keys and certificates in the folder ``pki``."""
    folder = pki(site)
    folder.mkdir(mode=0o700)
    _authority(folder / "ca")
    # Who proves with this one that it is the API server's front proxy may speak for anybody.
    _authority(folder / "front-ca")
    run(
        [
            "openssl",
            "ecparam",
            "-genkey",
            "-name",
            "prime256v1",
            "-noout",
            "-out",
            folder / "accounts.key",
        ]
    )
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(_issue, folder, certificate) for certificate in _all(site)]:
            done.result()


def pki(site: Site) -> Path:
    return site.folder / "pki"


def kubeconfig(site: Site, certificate: str) -> Path:
    """Write a kubeconfig that holds all it needs, and return its path (JSON is YAML)."""
    folder = pki(site)

    def data(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    path = site.folder / f"{certificate}.kubeconfig"
    named = {"name": certificate}
    cluster = {"server": site.url, "certificate-authority-data": data("ca.crt")}
    user = {
        "client-certificate-data": data(f"{certificate}.crt"),
        "client-key-data": data(f"{certificate}.key"),
    }
    path.touch(mode=0o600)
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{**named, "cluster": cluster}],
                "users": [{**named, "user": user}],
                "contexts": [{**named, "context": {"cluster": certificate, "user": certificate}}],
                "current-context": certificate,
            }
        )
    )
    return path


def _all(site: Site) -> list[Certificate]:
    cluster = (f"IP:{site.control}", "IP:127.0.0.1", "DNS:localhost")
    kubernetes = (
        f"IP:{site.kubernetes_service}",
        *(f"DNS:kubernetes{end}" for end in ("", ".default", ".default.svc")),
    )
    found = [
        Certificate("apiserver", "kube-apiserver", addresses=cluster + kubernetes),
        Certificate("registry", "registry", addresses=cluster),
        Certificate("front", "front-proxy", authority="front-ca"),
        Certificate("kubelet-client", "apiserver-kubelet-client", "system:masters"),
        Certificate("admin", "admin", "system:masters"),
        Certificate("controller-manager", "system:kube-controller-manager"),
        Certificate("scheduler", "system:kube-scheduler"),
        Certificate("proxy", "system:kube-proxy"),
        Certificate("provisioner", "csi-provisioner"),
    ]
    for node in NODES:
        addresses = (f"IP:{site.address(node)}", f"DNS:{node}")
        found += [
            Certificate(node, f"system:node:{node}", "system:nodes"),
            Certificate(f"{node}-server", f"system:node:{node}", "system:nodes", addresses),
        ]
    return found


def _authority(file: Path) -> None:
    run(
        [
            *("openssl", "req", "-x509", *_KEY, "-days", DAYS, "-subj", f"/CN=secxops {file.name}"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"),
            *("-keyout", f"{file}.key", "-out", f"{file}.crt"),
        ]
    )


def _issue(folder: Path, certificate: Certificate) -> None:
    subject = (f"/O={certificate.group}" if certificate.group else "") + f"/CN={certificate.name}"
    use = "serverAuth" if certificate.addresses else "clientAuth"
    names = ["-addext", f"subjectAltName={','.join(certificate.addresses)}"]
    authority = folder / certificate.authority
    file = folder / certificate.file
    run(
        [
            *("openssl", "req", "-x509", *_KEY, "-days", DAYS, "-subj", subject),
            *("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key"),
            *(
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-addext",
                f"extendedKeyUsage={use}",
            ),
            *(names if certificate.addresses else []),
            *("-keyout", f"{file}.key", "-out", f"{file}.crt"),
        ]
    )
