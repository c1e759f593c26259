"""The operators' guide *In short*: one namespace with builders of its own, from a folder that a script makes."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from harness import components
from harness.cluster import Cluster
from stage import BUILDERS, GUIDE, PROJECT, Stage

PASSWORD = "hunter2-of-team-a"


class Site(Stage):
    """A namespace made by ``site.sh`` and ``kubectl apply -k``; the images are there already."""

    def __init__(self, cluster: Cluster, notebook: str, folder: Path) -> None:
        registry = cluster.registry
        assert registry is not None
        self.cluster, self.image = cluster, notebook
        self.namespace = f"team-{secrets.token_hex(3)}"
        self.builders = f"{self.namespace}-build"
        guide = folder / "guide"
        shutil.copytree(GUIDE, guide)
        subprocess.run(
            [
                *(guide / "site.sh", self.namespace, registry.address),
                *(registry.dockerconfigjson, registry.ca),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
        self.folder = guide / self.namespace
        # What images.sh writes of the images that it pushes.
        for file in self.folder.rglob("*.*"):
            text = file.read_text()
            for name in ("tools", "buildkit"):
                told = f"secxops/{name}"
                image, _, digest = cluster.images[name].partition("@")
                text = text.replace(f"{registry.address}/{told}", image)
                text = text.replace(f"sha256:{name.upper()}", digest)
            file.write_text(text)
        cluster.call("apply", "-k", str(self.folder))
        rollout = ("rollout", "status", "daemonset/secxops-builder", "--timeout=150s")
        cluster.call("-n", self.builders, *rollout)

    def close(self) -> None:
        super().close()
        self.cluster.call("delete", "namespace", self.builders, "--wait=false")


@pytest.fixture
def site(own: Cluster, notebook_image: str, tmp_path: Path) -> Iterator[Site]:
    found = Site(own, notebook_image, tmp_path)
    yield found
    found.close()


def asked(cluster: Cluster, builders: str, client: Path, *words: str) -> tuple[int, str]:
    """Ask each builder of a namespace with a client's certificate; the worst status, and all that was said."""
    status, said = 0, ""
    for pod in cluster.get("-n", builders, "pods")["items"]:
        done = subprocess.run(
            [
                *(components.build("buildkit")["buildctl"], "--timeout", "10"),
                *("--addr", f"tcp://{pod['status']['podIP']}:1234"),
                *("--tlsservername", "secxops-builder"),
                *("--tlscacert", client / "ca.crt"),
                *("--tlscert", client / "tls.crt", "--tlskey", client / "tls.key"),
                *words,
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        status, said = max(status, done.returncode), said + done.stdout + done.stderr
    return status, said


def test_a_namespace_of_the_guide_shares_and_its_builds_are_its_own(
    own: Cluster, site: Site, clients: Mapping[str, str], tmp_path: Path
) -> None:
    site.notebook()
    dockerfile = f"FROM {own.images['jupyter']}\nRUN echo {PASSWORD} > /dev/null\n"
    site.fill({"Dockerfile": dockerfile, "a.py": "1\n"})
    code, said = site.secxops("share", PROJECT)
    assert (code, said["state"]) == (0, "succeeded"), said["error"]

    mine = site.folder / "notebooks" / "certificates" / "client"
    # Who may build can see what was built: the certificate is the wall.
    assert PASSWORD in asked(own, site.builders, mine, "du", "--verbose")[1]

    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name, text in clients.items():
        (theirs / name).write_text(text)
    half = tmp_path / "half"
    shutil.copytree(theirs, half)
    shutil.copy(mine / "ca.crt", half)  # it is no secret
    for stranger, builders in ((theirs, site.builders), (half, site.builders), (mine, BUILDERS)):
        for words in (("du", "--verbose"), ("debug", "histories"), ("debug", "workers")):
            status, seen = asked(own, builders, stranger, *words)
            assert status != 0, seen
            # Where the builder has hung up already, nobody reads why.
            assert "tls: " in seen or "broken pipe" in seen or "connection reset" in seen
            assert PASSWORD not in seen
