"""Get a base image for builds, and the network that builds need.

The base is ``python:3.12-slim`` where the engine has it or a registry gives it within a short time;
else a small Debian made here with ``mmdebstrap``: Python with pip and venv, git, and this machine's
certificate authorities, so that pip works behind a proxy that this machine trusts.

Prints one JSON line: ``{"base": …, "network": …, "made": …}``. Run by the Python that has docker-py.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from steps import Stop, apt_install, is_root, need, run, say, step

FROM_A_REGISTRY = "python:3.12-slim"
RECIPE_LABEL = "secxops.io/recipe"
PACKAGES = "python3,python3-pip,python3-venv,git,ca-certificates"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
SECONDS_TO_ANSWER = 15
SECONDS_TO_PULL = 240
# Asks the package index that this machine's pip is set up for; "pip" is small and always there.
REACHES_AN_INDEX = [
    "pip",
    "download",
    "--quiet",
    "--disable-pip-version-check",
    "--no-deps",
    "--retries",
    "0",
    "--timeout",
    "6",
    "--dest",
    "/tmp/probe",
    "wheel",
]
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
INDEX = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")


def release() -> str:
    """Return the Debian release to make: this machine's where its Python is new enough."""
    try:
        told = Path("/etc/os-release").read_text()
    except OSError:
        return "bookworm"
    name = re.search(r"^VERSION_CODENAME=([a-z]+)$", told, re.MULTILINE)
    is_debian = re.search(r"^ID=debian$", told, re.MULTILINE)
    old = ("buster", "bullseye")
    return name.group(1) if name and is_debian and name.group(1) not in old else "bookworm"


def pulled() -> bool:
    """Say whether a registry gave the base within the time."""
    started = time.monotonic()
    repository, _, tag = FROM_A_REGISTRY.partition(":")
    patient = docker.from_env(timeout=SECONDS_TO_ANSWER)
    try:
        for line in patient.api.pull(repository, tag, stream=True, decode=True):
            if "error" in line or time.monotonic() - started > SECONDS_TO_PULL:
                return False
        return has(patient, FROM_A_REGISTRY) is not None
    except (DockerException, OSError):
        return False
    finally:
        patient.close()


def has(client: docker.DockerClient, reference: str) -> Mapping[str, str] | None:
    """Return the labels of an image in the engine's store, None when it is not there."""
    try:
        return dict(client.images.get(reference).labels)
    except ImageNotFound:
        return None


def made(client: docker.DockerClient) -> tuple[str, bool]:
    """Return the name of the small Debian, and whether it was made just now."""
    suite = release()
    name = f"secxops-base:{suite}"
    certificates = Path(CERTIFICATES).read_bytes() if Path(CERTIFICATES).exists() else b""
    recipe = hashlib.sha256(f"{suite} {PACKAGES}".encode() + certificates).hexdigest()[:16]
    labels = has(client, name)
    # One without our label was put there by somebody on purpose.
    if labels is not None and labels.get(RECIPE_LABEL, recipe) == recipe:
        say(f"▸ Base image: {name} is there")
        return name, False
    need({"mmdebstrap": "mmdebstrap"})
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        apt_install("debian-archive-keyring")
    with step(f"Base image: no registry answers, making {name} with mmdebstrap"):
        with tempfile.TemporaryDirectory() as folder:
            tar = Path(folder) / "base.tar"
            upload = (
                [f"--customize-hook=upload {CERTIFICATES} {CERTIFICATES}"] if certificates else []
            )
            run(
                [
                    "mmdebstrap",
                    "--variant=minbase",
                    *([] if is_root() else ["--mode=unshare"]),
                    f"--include={PACKAGES}",
                    *upload,
                    "--dpkgopt=path-exclude=/usr/share/doc/*",
                    "--dpkgopt=path-exclude=/usr/share/man/*",
                    suite,
                    tar,
                ],
                seconds=900,
            )
            repository, _, tag = name.partition(":")
            answer = client.api.import_image(
                str(tar),
                repository=repository,
                tag=tag,
                changes=[f"ENV PIP_CERT={CERTIFICATES}", f"LABEL {RECIPE_LABEL}={recipe}"],
            )
        if has(client, name) is None:
            raise Stop(f"The engine did not take the image: {answer}")
    return name, True


def network(client: docker.DockerClient, base: str) -> str:
    """Return the network mode in which a build reaches a package index.

    Raises
    ------
    Stop
        Neither the default network nor the host's does.
    """
    environment = {k: v for k, v in os.environ.items() if k.lower() in PROXIES or k in INDEX}
    for mode in ("bridge", "host"):
        try:
            client.containers.run(
                base,
                ["python3", "-m", *REACHES_AN_INDEX],
                remove=True,
                network_mode=mode,
                environment=environment,
                labels={"secxops.io/role": "job"},
            )
        except (APIError, DockerException):
            continue
        say(f"▸ Builds reach a package index through the network {mode}")
        return mode
    raise Stop(
        "No container reaches a package index, neither through the default network nor through the "
        "host's. Set http_proxy and https_proxy, or PIP_INDEX_URL, and try again."
    )


def main() -> None:
    """Find or make the base and print what was found."""
    client = docker.from_env()
    fresh = False
    if has(client, FROM_A_REGISTRY) is not None:
        say(f"▸ Base image: {FROM_A_REGISTRY} is there")
        base = FROM_A_REGISTRY
    else:
        suite_base = f"secxops-base:{release()}"
        base = suite_base
        if has(client, suite_base) is None:
            with step(f"Base image: asking a registry for {FROM_A_REGISTRY}"):
                if pulled():
                    base, fresh = FROM_A_REGISTRY, True
        if base == suite_base:
            base, fresh = made(client)
    print(json.dumps({"base": base, "network": network(client, base), "made": fresh}))


if __name__ == "__main__":
    try:
        main()
    except subprocess.SubprocessError as error:
        raise Stop(str(error)) from None
