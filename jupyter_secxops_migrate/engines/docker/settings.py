"""What an admin or a user can say about Docker, and what their own environment says already."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from traitlets import Dict, Enum, Float, Integer, List, Type, Unicode, default
from traitlets.config import Configurable

from ...proxies import PROXIES
from ..errors import CertificatesUnreadable


class DockerSettings(Configurable):
    """The settings of `DockerEngine`."""

    endpoint = Unicode(
        help="Where Docker listens, such as unix:///var/run/docker.sock or tcp://host:2376. "
        "Default: DOCKER_HOST, else Docker's usual socket."
    ).tag(config=True)
    build_network = Unicode(
        help="The network mode of image builds, such as host. Default: the environment variable "
        "SECXOPS_BUILD_NETWORK, else Docker's own."
    ).tag(config=True)
    build_args = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="Build arguments for every image build. They end up in the image's history: no secrets.",
    ).tag(config=True)
    proxies = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="Proxies for image builds (HTTP_PROXY, HTTPS_PROXY, NO_PROXY …); Docker keeps these out "
        "of the image. Default: those of the environment that the service was started in.",
    ).tag(config=True)
    package_index = Unicode(
        help="The package index for pip in image builds, given to Dockerfiles that declare ARG "
        "PIP_INDEX_URL. Default: PIP_INDEX_URL of the environment. One with a password is not passed."
    ).tag(config=True)
    ca_bundle = Unicode(
        help="A file of CA certificates that image builds are to trust besides their own; it is put "
        "into every stage as /etc/ssl/certs/secxops-ca.pem and named to pip, Python, curl and Node "
        "while they build."
    ).tag(config=True)
    builder = Enum(
        ["auto", "classic", "buildkit"],
        "auto",
        help="What builds images: ``classic``, ``buildkit``, or ``auto``: what ``docker build`` uses on "
        "this engine, so that both share their layer cache, and BuildKit where a Dockerfile needs it.",
    ).tag(config=True)
    tools_image = Unicode(
        help="The image in which copies run. Default: made on first use from this package on tools_base."
    ).tag(config=True)
    tools_base = Unicode(
        help="The image with Python 3.10 or newer that the tools image is made from. Default: the "
        "environment variable SECXOPS_TOOLS_BASE, else python:3.12-slim."
    ).tag(config=True)
    job_memory = Integer(
        1024**3, help="How much memory each process of a copy may use, in bytes."
    ).tag(config=True)
    pids_limit = Integer(4096, help="How many processes an environment may have.").tag(config=True)
    root_capabilities = List(
        Unicode(),
        ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID"],
        help="What environments may do whose image runs as root: what Docker gives by default, without "
        "AUDIT_WRITE, MKNOD, NET_RAW, SETFCAP and SYS_CHROOT. Others may do nothing of it.",
    ).tag(config=True)  # fmt: skip
    launcher_class = Type(
        "jupyter_secxops_migrate.engines.docker.launcher.ContainerLauncher",
        klass=object,
        help="The class that starts environments, as package.module.Class. Default: as containers of their own.",
    ).tag(config=True)
    launch_timeout = Float(
        120.0, help="How long JupyterLab may take to answer after its start, in seconds."
    ).tag(config=True)
    probe_timeout = Float(
        60.0, help="How long looking into a freshly built image may take, in seconds."
    ).tag(config=True)

    @default("endpoint")
    def _endpoint(self) -> str:
        return os.environ.get("DOCKER_HOST", "")

    @default("build_network")
    def _build_network(self) -> str:
        return os.environ.get("SECXOPS_BUILD_NETWORK", "")

    @default("proxies")
    def _proxies(self) -> dict[str, str]:
        return {name: os.environ[name] for name in PROXIES if os.environ.get(name)}

    @default("package_index")
    def _package_index(self) -> str:
        return os.environ.get("PIP_INDEX_URL", "")

    @default("tools_base")
    def _tools_base(self) -> str:
        return os.environ.get("SECXOPS_TOOLS_BASE") or "python:3.12-slim"

    @property
    def index_has_password(self) -> bool:
        """Whether the package index can't be passed, as the image's history would show it."""
        return "@" in urlsplit(self.package_index).netloc

    def certificates(self) -> bytes:
        """Return the CA bundle.

        Raises
        ------
        CertificatesUnreadable
            The file can't be read.
        """
        try:
            return Path(self.ca_bundle).read_bytes()
        except OSError as error:
            raise CertificatesUnreadable(
                path=self.ca_bundle, reason=error.strerror or ""
            ) from error

    def arguments(self) -> Mapping[str, str]:
        """Return the build arguments of every build."""
        found = {**self.proxies, **self.build_args}
        if self.package_index and not self.index_has_password:
            found.setdefault("PIP_INDEX_URL", self.package_index)
        return found
