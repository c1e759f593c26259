"""What an admin or a user can say about the cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cached_property

from traitlets import Bool, Dict, Enum, Float, Integer, List, TraitError, Type, Unicode, default
from traitlets.config import Configurable

from ...registries import NamedRegistry, OciRegistry, Registries
from ...registries.kinds import load
from ...registries.settings import DEFAULT

CLONING = (
    "cephfs.csi.ceph.com",
    "cinder.csi.openstack.org",
    "csi.trident.netapp.io",
    "disk.csi.azure.com",
    "linstor.csi.linbit.com",
    "pd.csi.storage.gke.io",
    "pxd.portworx.com",
    "rbd.csi.ceph.com",
)
"""Drivers that clone volumes, by what their makers say: the table *Drivers* of kubernetes-csi.github.io,
for Azure and Google their drivers' own manuals. Not here: what does so from a late version on only, such
as ebs.csi.aws.com, and what does not, such as csi.vsphere.vmware.com."""


OLD = ("registry_address", "registry_secret", "registry_ca", "registry_class")
"""Settings of the release before, which described the one registry there was."""

_MOVE = (
    "%s %s the registry %r in Registries.named. Write it there, as the settings' reference shows: "
    "the next release no longer reads the settings named first."
)
log = logging.getLogger(__name__)


class KubernetesSettings(Configurable):
    """The settings of `KubernetesEngine`."""

    kubeconfig = Unicode(
        help="The kubeconfig file. Default: KUBECONFIG, else ~/.kube/config, else the service account "
        "of the pod in which the service runs."
    ).tag(config=True)
    context = Unicode(help="The context of the kubeconfig. Default: its current one.").tag(
        config=True
    )
    namespace = Unicode(
        help="Where the source runs and the new environment will. Default: the context's or the pod's."
    ).tag(config=True)
    source_pod = Unicode(
        help="The pod whose environment is shared where no other is named (--pod). Default: the one in "
        "which the service runs."
    ).tag(config=True)
    source_container = Unicode(
        help="The container in it. Default: the pod's default container, else its first."
    ).tag(config=True)

    notebook = Unicode(
        help="What tells this notebook's shares from those of others in the namespace, so that they are found "
        "again where the record is lost. Default: the lasting part of its pod's name with the volume of its "
        "home folder; outside of pods, only the record tells."
    ).tag(config=True)

    tools_image = Unicode(
        help="The image in which copies and build clients run, by digest. Needed. Default: the "
        "environment variable SECXOPS_TOOLS_IMAGE."
    ).tag(config=True)
    pull_secret = Unicode(
        help="The image pull secret (type kubernetes.io/dockerconfigjson) for the tools image and for "
        "what was built; it needs read access only."
    ).tag(config=True)

    builder_namespace = Unicode(
        "secxops-build", help="The namespace of the image builders, one on each node."
    ).tag(config=True)
    builder_selector = Unicode(
        "app.kubernetes.io/name=secxops-builder", help="The label selector of the builders' pods."
    ).tag(config=True)
    builder_port = Integer(1234, help="Where a builder listens.").tag(config=True)
    builder_server_name = Unicode(
        "secxops-builder", help="The name in the builders' server certificate."
    ).tag(config=True)
    builder_secret = Unicode(
        "secxops-builder-client",
        help="The secret with ca.crt, tls.crt and tls.key, by which a build's client and the builder "
        "know each other.",
    ).tag(config=True)
    build_seconds = Integer(3600, help="How long a build may take, in seconds.").tag(config=True)
    build_args = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="Build arguments for every image build. They end up in the image's history: no secrets.",
    ).tag(config=True)
    build_cache = Bool(True, help="Keep the builders' layer cache in the registry too.").tag(
        config=True
    )

    registry_name = Unicode(
        DEFAULT,
        help="Which of the registries in Registries.named images are pushed to.",
    ).tag(config=True)

    registry_address = Unicode(
        help="Until the next release; the address and prefix of the registry named default in "
        "Registries.named take its place. The registry, and a path in it, that images are pushed to. Default: "
        "the environment variable SECXOPS_REGISTRY."
    ).tag(config=True)
    registry_secret = Unicode(
        help="Until the next release; credentials in Registries.named take its place. The secret (type "
        "kubernetes.io/dockerconfigjson) with which builds push. Default: pull_secret."
    ).tag(config=True)
    registry_ca = Unicode(
        help="Until the next release; ca in Registries.named takes its place. The configmap whose ca.crt the "
        "registry's certificate is signed with, for a private one."
    ).tag(config=True)
    registry_class = Type(
        OciRegistry,
        klass=object,
        help="Until the next release; kind in Registries.named takes its place. The class that speaks to the "
        "registry, as package.module.Class.",
    ).tag(config=True)

    storage_classes = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="Storage class of a copy by the storage class of its source. Default: the same class.",
    ).tag(config=True)
    claim_size = Enum(
        ("content", "source"),
        "content",
        help="How large the claim of a copy is: by the files that it is for (content), or as its source's.",
    ).tag(config=True)
    claim_factor = Float(
        1.5, help="A copy's claim has so many bytes for each byte that its files take on disk."
    ).tag(config=True)
    claim_floor = Integer(
        1024**3,
        help="A copy's claim has at least so many bytes, unless its source's is smaller.",
    ).tag(config=True)
    cloning_drivers = List(
        Unicode(),
        [*CLONING],
        help="The CSI drivers that clone volumes (a claim's dataSourceRef), by their names; none: each "
        "volume is copied.",
    ).tag(config=True)

    gpu_resource = Unicode("nvidia.com/gpu", help="The extended resource that a GPU is.").tag(
        config=True
    )
    job_memory = Integer(
        1024**3, help="How much memory each process of a copy may use, in bytes."
    ).tag(config=True)
    job_requests = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        default_value={"cpu": "10m", "memory": "64Mi"},
        help="What a Job asks the scheduler for: as little as it runs with, as all of it has to be free on "
        "the notebook's node.",
    ).tag(config=True)
    root_capabilities = List(
        Unicode(),
        ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID"],
        help="What an environment that is root's may do, as far as its notebook may: what runtimes give by "
        "default, without AUDIT_WRITE, MKNOD, NET_RAW, SETFCAP and SYS_CHROOT. Others may do nothing of it.",
    ).tag(config=True)  # fmt: skip
    job_seconds = Integer(6 * 3600, help="How long one copy or check may take, in seconds.").tag(
        config=True
    )
    start_seconds = Float(
        180.0,
        help="How long a pod may take until its container runs, and an environment until its JupyterLab "
        "answers, in seconds.",
    ).tag(config=True)
    schedule_seconds = Float(
        15.0,
        help="How long a pod may be unschedulable before that counts as final, in seconds; longer "
        "where an autoscaler adds nodes.",
    ).tag(config=True)
    launcher_class = Type(
        "jupyter_secxops_migrate.engines.kubernetes.launcher.PodLauncher",
        klass=object,
        help="The class that starts environments, as package.module.Class. Default: as pods of their own.",
    ).tag(config=True)
    link = Unicode(
        help="The address of an environment behind an Ingress, with {name} for its Service, such as "
        "https://{name}.notebooks.example.org. Default: no Ingress, a port-forward is shown."
    ).tag(config=True)
    ingress_class = Unicode(help="The class of Ingresses that are made for ``link``.").tag(
        config=True
    )

    @default("tools_image")
    def _tools_image(self) -> str:
        return os.environ.get("SECXOPS_TOOLS_IMAGE", "")

    @default("registry_address")
    def _registry_address(self) -> str:
        return os.environ.get("SECXOPS_REGISTRY", "")

    def arguments(self) -> Mapping[str, str]:
        """Return the build arguments of every build."""
        return self.build_args

    @cached_property
    def pushes_to(self) -> NamedRegistry:
        """The registry that images are pushed to; it has no address where there is none.

        Raises
        ------
        TraitError
            None has the name that is set, or what it says is not of a cluster.
        """
        found = Registries(parent=self).get(self.registry_name)
        old = [f"KubernetesEngine.{name}" for name in OLD if self._is_set(name)]
        if found is None and self.registry_name != DEFAULT:
            raise TraitError(
                f"KubernetesEngine.registry_name is {self.registry_name!r}, but Registries.named has no "
                "registry of that name"
            )
        if found is None:
            if old:
                log.warning(_MOVE, ", ".join(old), "still make", "default")
            return NamedRegistry(
                kind=self.registry_class,
                address=self.registry_address,
                credentials=self.registry_secret,
                ca=self.registry_ca,
            )
        if old:
            log.warning(_MOVE, ", ".join(old), "are not used, as there is", self.registry_name)
        try:
            load(found.kind)
        except ValueError as error:
            raise TraitError(f"Registries.named.{self.registry_name}.kind: {error}") from None
        for name in ("ca", "credentials"):
            if "/" in getattr(found, name):
                raise TraitError(
                    f"Registries.named.{self.registry_name}.{name} is a path, but KubernetesEngine needs "
                    "the name of an object in its namespace"
                )
        return found

    @property
    def push_secret(self) -> str:
        """The name of the secret with the account that pushes; empty without one."""
        return self.pushes_to.credentials or self.pull_secret

    def _is_set(self, name: str) -> bool:
        return bool(getattr(self, name) != self.trait_defaults(name))
