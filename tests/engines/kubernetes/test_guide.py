"""The operators' guide, its commands as they are written: a site, its images, and what is applied of both."""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

PAGE = Path(__file__).parents[3] / "docs" / "operators" / "kubernetes.md"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    """The folder that an admin copies."""
    return Path(shutil.copytree(PAGE.with_suffix(""), tmp_path / "guide"))


@pytest.fixture
def push(tmp_path: Path) -> Path:
    return configured(tmp_path, {"auths": {"registry.example.org": {"auth": "bWU6c2VjcmV0"}}})


def configured(folder: Path, config: dict[str, Any]) -> Path:
    (folder / "push.json").write_text(json.dumps(config))
    return folder / "push.json"


def run(*words: object, **options: Any) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=120, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fails(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0, done.stdout
    return done.stderr


def objects(site: Path) -> dict[tuple[str, str], Any]:
    """What ``kubectl apply -k`` would make, by kind and name without the suffix of its content."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl here")
    return named(run("kubectl", "kustomize", site))


def named(text: str) -> dict[tuple[str, str], Any]:
    found = {}
    for it in yaml.safe_load_all(text):
        name = re.sub(r"-[a-z0-9]{10}$", "", it["metadata"]["name"])
        found[it["kind"], name] = it
    return found


@pytest.mark.parametrize("authority", [True, False])
def test_a_site_is_one_kustomization(
    guide: Path, push: Path, tmp_path: Path, authority: bool
) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    run(guide / "site.sh", "team-a", "r.example.org:5000", push, *([ca] if authority else []))

    made = objects(guide / "team-a")

    settings = json.loads(made["ConfigMap", "secxops"]["data"]["jupyter_secxops_config.json"])
    engine = settings["KubernetesEngine"]
    registry = settings["Registries"]["named"]["default"]
    assert (registry["address"], registry["prefix"]) == ("r.example.org:5000", "shares")
    assert engine["builder_namespace"] == "team-a-build"
    assert ("ca" in registry, ("ConfigMap", "registry-ca") in made) == (authority,) * 2
    toml = made["ConfigMap", "secxops-builder"]["data"]["buildkitd.toml"]
    assert ('[registry."r.example.org:5000"]' in toml) == authority
    secret = base64.b64decode(made["Secret", "registry"]["data"][".dockerconfigjson"])
    assert json.loads(secret) == json.loads(push.read_text())
    builder = made["DaemonSet", "secxops-builder"]["spec"]["template"]["spec"]
    assert builder["containers"][0]["image"].startswith("r.example.org:5000/secxops/buildkit@")
    assert "analytics" not in "".join(p.read_text() for p in (guide / "team-a").rglob("*.*"))
    # What is secret is its owner's alone.
    assert all(p.stat().st_mode & 0o077 == 0 for p in (guide / "team-a").rglob("*.key"))


def test_a_registrys_address_is_taken_as_it_is(guide: Path, push: Path) -> None:
    mirror = "registry.corp.example/analytics"
    run(guide / "site.sh", "team-a", mirror, push)

    made = objects(guide / "team-a")

    settings = json.loads(made["ConfigMap", "secxops"]["data"]["jupyter_secxops_config.json"])
    registry = settings["Registries"]["named"]["default"]
    assert (registry["address"], registry["prefix"]) == (mirror, "shares")
    assert settings["KubernetesEngine"]["builder_namespace"] == "team-a-build"
    builder = made["DaemonSet", "secxops-builder"]["spec"]["template"]["spec"]
    assert builder["containers"][0]["image"].startswith(f"{mirror}/secxops/buildkit@")


def test_a_namespace_that_is_there_already_stays_as_it_is(
    guide: Path, push: Path, tmp_path: Path
) -> None:
    run(guide / "site.sh", "analytics", "registry.example.org", push)
    assert ("Namespace", "analytics") in objects(guide / "analytics")
    (shown,) = re.findall(r"^\$ (sed .*kustomization\.yaml)$", PAGE.read_text("utf-8"), re.M)

    run("sh", "-ec", shown, cwd=tmp_path)

    made = objects(guide / "analytics")
    assert ("Namespace", "analytics") not in made
    assert made["ServiceAccount", "secxops"]["metadata"]["namespace"] == "analytics"


def shown(command: str) -> str:
    """The commands of the guide's only block that has one like this."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    (block,) = (text for text in blocks if command in text)
    return re.sub(r"^\$ ", "", block, flags=re.M)


def test_certificates_are_renewed_as_the_guide_says(
    guide: Path, push: Path, tmp_path: Path
) -> None:
    run(guide / "site.sh", "analytics", "registry.example.org", push)
    site = guide / "analytics"
    sides = ("builders/certificates/server", "notebooks/certificates/client")
    old = [(site / side / "tls.crt").read_text() for side in sides]
    renew = shown("guide/certificates.sh").replace("kubectl apply -k", "kubectl kustomize")

    run("sh", "-ec", renew, cwd=tmp_path)

    for side, before in zip(sides, old, strict=True):
        assert (site / side / "tls.crt").read_text() != before
        run("openssl", "verify", "-CAfile", site / "certificates/ca.crt", site / side / "tls.crt")
        run("cmp", site / "certificates/ca.crt", site / side / "ca.crt")
    assert not list((site / "certificates").rglob("tls.key"))


def test_a_site_that_is_taken_down_leaves_the_others_what_they_share(
    guide: Path, push: Path, tmp_path: Path
) -> None:
    run(guide / "site.sh", "analytics", "registry.example.org", push)
    parts = re.findall(r"kubectl delete -([kf]) (\S+)", shown("bindings.yaml"))
    gone: set[tuple[str, str]] = set()
    for option, path in parts:
        found = objects(tmp_path / path) if option == "k" else named((tmp_path / path).read_text())
        gone |= found.keys()

    stays = objects(guide / "analytics").keys() - gone

    assert stays == objects(guide / "cluster").keys()


def test_what_the_files_cite_is_a_heading_of_the_guide() -> None:
    headings = re.findall(r"^#+ (.*)$", PAGE.read_text("utf-8"), re.M)
    files = [path.read_text() for path in PAGE.with_suffix("").rglob("*.yaml")]
    text = re.sub(r"\n# ", " ", "".join(files))
    cited = re.findall(r'"([^"]+)" in the operators\' guide', text)
    assert len(cited) >= 4
    assert set(cited) <= set(headings)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("team a", "r.example.org"), "not the name of a namespace"),
        (("team-a", "r.example.org|x"), "not a registry's address"),
        (("team-a",), "usage"),
    ],
)
def test_a_site_with_a_wrong_name_is_not_made(
    guide: Path, push: Path, words: tuple[str, ...], said: str
) -> None:
    assert said in fails(guide / "site.sh", *words, *([push] if len(words) == 2 else []))
    assert not (guide / "team-a").exists()


@pytest.mark.parametrize(
    "config", [{"credsStore": "desktop"}, {"auths": {"r": {}}, "credHelpers": {"r": "gcloud"}}]
)
def test_a_password_that_is_in_a_program_is_told(
    guide: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    said = fails(guide / "site.sh", "team-a", "r.example.org", configured(tmp_path, config))

    assert "holds no password" in said and "kubectl create secret docker-registry" in said
    assert not (guide / "team-a").exists()


def test_the_guide_says_how_to_make_the_configuration(guide: Path, tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl here")
    text = PAGE.read_text("utf-8")
    (shown,) = re.findall(r"^\$ (kubectl create secret docker-registry .*?> push\.json)$", text, re.M | re.S)  # fmt: skip
    run("sh", "-ec", shown, cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "PASSWORD": "s3cr3t"})

    (row,) = json.loads((tmp_path / "push.json").read_text())["auths"].values()
    assert row["password"] == "s3cr3t"
    run(guide / "site.sh", "team-a", "registry.example.org", tmp_path / "push.json")


# --------------------------------------------------------------------------- images


# An image of a few megabytes, in whose place the guide has Python's and BuildKit's: a shell, and a pip that
# wants a wheel.
SMALL = r"""
FROM {base} AS all
RUN mkdir -p /small/bin /small/usr/bin /small/usr/local/bin \
 && cp /bin/sh /bin/rm /small/bin/ && cp /bin/true /small/usr/bin/buildctl \
 && for lib in $(ldd /bin/sh /bin/rm | grep -v : | grep -o '/[^ ]*'); do \
      mkdir -p /small$(dirname $lib) && cp $lib /small$lib; done \
 && printf '#!/bin/sh\nfor it; do :; done\ntest -f "$it"\n' > /small/bin/pip && chmod 755 /small/bin/pip
FROM scratch
COPY --from=all /small /
ENV PATH=/usr/local/bin:/usr/bin:/bin
"""


class Registry:
    """The distribution's registry, which keeps everything in memory."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        config = folder / "registry.yml"
        config.write_text(
            f"version: 0.1\nstorage: {{inmemory: {{}}}}\nhttp: {{addr: '{self.address}'}}\n"
        )
        self.log = (folder / "registry.log").open("wb")
        self.process = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=self.log, stderr=self.log
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                self.get("")
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)

    def get(self, path: str) -> Any:
        request = urllib.request.Request(
            f"http://{self.address}/v2/{path}", headers={"Accept": MANIFEST}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers.get("Docker-Content-Digest")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    if shutil.which("docker-registry") is None:
        pytest.skip("no docker-registry here")
    made = Registry(tmp_path)
    yield made
    made.close()


@pytest.fixture
def images(
    guide: Path, registry: Registry, docker_client: docker.DockerClient, bare_image: str
) -> Iterator[None]:
    """What the guide takes from Docker Hub is here under names of the test's own."""
    name = f"secxops-test-guide-{registry.address.partition(':')[2]}"
    (guide / "empty").mkdir()
    (guide / "empty" / "Dockerfile").write_text(SMALL.format(base=bare_image))
    small, _ = docker_client.images.build(
        path=str(guide / "empty"), tag=f"{name}/python:1", rm=True
    )
    small.tag(f"{name}/buildkit", "rootless")
    for file, there, here in (
        ("tools.Dockerfile", "python:3.12-slim", f"{name}/python:1"),
        ("tools.Dockerfile", "moby/buildkit:v0.32.2", f"{name}/buildkit:rootless"),
        ("builder/daemonset.yaml", "moby/buildkit:v0.32.2-rootless", f"{name}/buildkit:rootless"),
        ("site/builders/kustomization.yaml", "name: moby/buildkit", f"name: {name}/buildkit"),
    ):
        written = (guide / file).read_text()
        assert there in written
        (guide / file).write_text(written.replace(there, here))
    yield
    for image in docker_client.images.list():
        for tag in image.tags:
            if tag.startswith((f"{name}/", f"{registry.address}/")):
                docker_client.images.remove(tag)


def wheel(folder: Path, version: str) -> Path:
    """A folder with one wheel."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / f"small-{version}-py3-none-any.whl").write_text(version)
    return folder


@pytest.mark.docker
def test_the_images_are_pushed_and_named_in_the_site(
    guide: Path, push: Path, registry: Registry, images: None, tmp_path: Path
) -> None:
    site, repository = guide / "team-a", f"{registry.address}/secxops"
    run(guide / "site.sh", "team-a", registry.address, push)

    def pushed(version: str) -> tuple[str, str]:
        said = run(guide / "images.sh", repository, site, wheel(tmp_path / "wheels", version))
        tools, buildkit = said.split()
        for reference in (tools, buildkit):
            name, _, digest = reference.removeprefix(f"{registry.address}/").partition("@")
            assert registry.get(f"{name}/manifests/{digest}") == digest
        config = json.loads((site / "notebooks" / "jupyter_secxops_config.json").read_text())
        assert config["KubernetesEngine"]["tools_image"] == tools
        builders = yaml.safe_load((site / "builders" / "kustomization.yaml").read_text())
        assert builders["images"][0]["digest"] == buildkit.partition("@")[2]
        return tools, buildkit

    first = pushed("1.0")
    made = objects(site)
    builder = made["DaemonSet", "secxops-builder"]["spec"]["template"]["spec"]
    assert builder["containers"][0]["image"] == first[1]
    # The product's next version: the same command again.
    second = pushed("2.0")
    assert second[0] != first[0] and second[1] == first[1]


@pytest.mark.docker
def test_without_a_wheel_nothing_is_pushed(
    guide: Path, push: Path, registry: Registry, images: None, tmp_path: Path
) -> None:
    run(guide / "site.sh", "team-a", registry.address, push)
    (tmp_path / "none").mkdir()

    said = fails(
        guide / "images.sh", f"{registry.address}/secxops", guide / "team-a", tmp_path / "none"
    )

    assert "holds no wheel" in said
    with pytest.raises(urllib.error.HTTPError):
        registry.get("secxops/tools/manifests/1")
