"""The suite that authors of engines run, on ours: Docker's and the one of directories."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_secxops_migrate.engines.conformance import FILES, Bench, Conformance
from jupyter_secxops_migrate.engines.directory import DirectoryEngine
from jupyter_secxops_migrate.engines.docker import DockerEngine


def source(folder: Path, dockerfile: str) -> tuple[str, str]:
    """Make a project and a folder of data as a person has them."""
    project, data = folder / "project", folder / "data"
    for name, content in {**FILES, "Dockerfile": dockerfile.encode()}.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(content)
    data.mkdir()
    (data / "flows.csv").write_text("1,2\n")
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0))
        if os.geteuid() == 0 and path != folder:
            os.chown(path, 1000, 1000)
    return str(project), str(data)


class TestDirectories(Conformance):
    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
        folder = tmp_path_factory.mktemp("directories")
        text = "FROM base\nRUN pip install jupyterlab\nCOPY . .\n"
        project, data = source(folder, text)
        engine = DirectoryEngine(folder / "engine")
        (folder / "manifests").mkdir()
        broken = (project, "FROM base\nRUN false\n")
        found = Bench(engine, project, data, text, folder / "manifests", broken)
        yield found
        found.close()
        assert engine.objects() == []


@pytest.mark.docker
class TestDocker(Conformance):
    @pytest.fixture(scope="class")
    @classmethod
    def bench(
        cls, bare_image: str, lab_image: str, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Bench]:
        folder = tmp_path_factory.mktemp("docker")
        text = f"FROM {lab_image}\nCOPY train.py /opt/train.py\n"
        project, data = source(folder, text)
        broken = (project, f"FROM {lab_image}\nRUN false\n")
        engine = DockerEngine(tools_base=bare_image, launch_timeout=60.0)
        (folder / "manifests").mkdir()
        found = Bench(engine, project, data, text, folder / "manifests", broken)
        yield found
        found.close()
