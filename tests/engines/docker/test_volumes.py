"""Volumes of a real Docker Engine: copying, handing over, proving."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import docker
import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.copying.errors import CopyFailed
from jupyter_secxops_migrate.engines.docker import DockerEngine
from jupyter_secxops_migrate.engines.names import Names
from jupyter_secxops_migrate.engines.orders import (
    CopyOrder,
    CopyResult,
    OwnOrder,
    SourcePlace,
    VerifyOrder,
    VerifyResult,
    VolumeCheck,
    result_of,
)

from .bench import (
    OWNER,
    Work,
)

pytestmark = pytest.mark.docker


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder as teams share them: new files belong to the group."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.csv").write_text("1,2\n")
    if os.geteuid() == 0:
        for path in (folder / "sub" / "a.csv", folder / "sub", folder):
            os.chown(path, 1234, 2345)
    for path in (folder, folder / "sub"):
        path.chmod(0o2775)
    return folder


def copy_order(migration: str, data: Path, tmp_path: Path) -> CopyOrder:
    place = SourcePlace("bind", str(data))
    return CopyOrder(migration, OWNER, "data-1", "data", place, tmp_path / "manifest")


class TestCopy:
    def test_keeps_a_groups_folder_through_the_change_of_owner(
        self, work: Work[VerifyResult], migration: str, data: Path, tmp_path: Path
    ) -> None:
        assert data.stat().st_mode & stat.S_ISGID

        async def share(engine: DockerEngine) -> VerifyResult:
            copied = await result_of(engine.copy(copy_order(migration, data, tmp_path)), CopyResult)
            checks = [VolumeCheck(copied.volume, tmp_path / "manifest")]
            own = OwnOrder(migration, OWNER, checks, copied.owner, (1000, 1000))
            await result_of(engine.own(own), VerifyResult)
            return await result_of(
                engine.verify(VerifyOrder(migration, OWNER, checks)), VerifyResult
            )

        assert work(share).files == 1

    def test_begins_with_an_empty_volume_when_its_job_is_gone(
        self, work: Work[CopyResult], migration: str, data: Path, tmp_path: Path
    ) -> None:
        """As when the service was ended between the Job's end and its record."""
        order = copy_order(migration, data, tmp_path)

        async def twice(engine: DockerEngine) -> CopyResult:
            await result_of(engine.copy(order), CopyResult)
            await engine.end_jobs(migration)
            (data / "sub" / "b.csv").write_text("3\n")
            return await result_of(engine.copy(order), CopyResult)

        assert work(twice).files == 2

    def test_what_it_copies_does_not_count_as_its_memory(
        self, work: Work[CopyResult], migration: str, data: Path, tmp_path: Path
    ) -> None:
        (data / "large").write_bytes(os.urandom(150 << 20))

        async def copy(engine: DockerEngine) -> CopyResult:
            engine.job_memory = 64 << 20
            return await result_of(engine.copy(copy_order(migration, data, tmp_path)), CopyResult)

        assert work(copy).bytes > 150 << 20

    def test_a_job_that_runs_out_of_memory_says_so(
        self, work: Work[CopyResult], migration: str, data: Path, tmp_path: Path
    ) -> None:
        async def copy(engine: DockerEngine) -> CopyResult:
            engine.job_memory = 4 << 20
            return await result_of(engine.copy(copy_order(migration, data, tmp_path)), CopyResult)

        with pytest.raises(errors.EngineFailed, match="memory"):
            work(copy)

    def test_takes_no_volume_of_somebody_elses(
        self,
        work: Work[CopyResult],
        migration: str,
        data: Path,
        tmp_path: Path,
        docker_client: docker.DockerClient,
    ) -> None:
        name = Names(migration).volume("data-1")
        others = docker_client.volumes.create(name, labels={"secxops-test": "yes"})
        kept = Path(others.attrs["Mountpoint"], "kept")
        try:
            if not os.access(kept.parent, os.W_OK):
                pytest.skip("the engine's folder can't be written from here")
            kept.write_text("of somebody else")
            with pytest.raises(CopyFailed):
                order = copy_order(migration, data, tmp_path)
                work(lambda engine: result_of(engine.copy(order), CopyResult))
            assert kept.read_text() == "of somebody else"
        finally:
            work(lambda engine: engine.end_jobs(migration))
            others.remove(force=True)
