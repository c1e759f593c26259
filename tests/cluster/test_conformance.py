"""The suite that authors of engines run, on Kubernetes: an engine outside of the cluster, a notebook in a pod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from harness.cluster import Cluster
from stage import DATA, PROJECT, Stage
from traitlets.config import Config

from jupyter_secxops_migrate.engines.conformance import FILES, Bench, Conformance
from jupyter_secxops_migrate.engines.kubernetes import KubernetesEngine


class TestKubernetes(Conformance):
    @pytest.fixture(scope="class")
    @classmethod
    def bench(
        cls,
        cluster: Cluster,
        clients: Mapping[str, str],
        notebook_image: str,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Iterator[Bench]:
        stage = Stage(cluster, clients, notebook_image)
        try:
            stage.notebook()
            text = f"FROM {cluster.images['jupyter']}\nCOPY train.py /opt/train.py\n"
            files = {name: content.decode() for name, content in FILES.items()}
            stage.fill({**files, "Dockerfile": text})
            stage.run("sh", "-c", f"echo 1,2 >{DATA}/flows.csv")
            engine = KubernetesEngine(
                config=Config(stage.settings()),
                kubeconfig=str(cluster.kubeconfig),
                namespace=stage.namespace,
                source_pod="notebook",
            )
            broken = (PROJECT, f"FROM {cluster.images['jupyter']}\nRUN false\n")
            folder = tmp_path_factory.mktemp("kubernetes")
            found = Bench(engine, PROJECT, DATA, text, folder, broken)
            yield found
            found.close()
        finally:
            stage.close()
