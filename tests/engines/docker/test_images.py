"""Images of a real Docker Engine: both builders, what they leave, and the look into an image."""

from __future__ import annotations

import io
import os
import secrets
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from jupyter_secxops_migrate.building.errors import BaseImageMissing, BuildFailed, NeedsBuildKit
from jupyter_secxops_migrate.engines.docker import DockerEngine
from jupyter_secxops_migrate.engines.orders import (
    BuildOrder,
    BuildResult,
    ImageProbe,
    LogLine,
    Measure,
    result_of,
)

from .bench import (
    OWNER,
    Work,
    build_order,
    images,
    running_commands,
    traced,
    until,
)

pytestmark = pytest.mark.docker


def test_the_limits_of_the_look_into_an_image_hold_in_it(
    work: Work[ImageProbe], migration: str, tmp_path: Path, bare_image: str
) -> None:
    """The image's own ``id`` answers with what its control group says."""
    script = (
        "cd /sys/fs/cgroup; case $1 in "
        "-u) cat memory.max memory/memory.limit_in_bytes;; "
        "-g) set -- $(cat pids.max pids/pids.max) $(cat cpu.max cpu/cpu.cfs_quota_us); echo $1$2;; "
        "esac 2>/dev/null; exit 0"
    )
    text = (
        f"FROM {bare_image}\n"
        "ENV PATH=/own:$PATH\n"
        f"RUN mkdir /own && echo '{script}' > /own/id && chmod 755 /own/id\n"
    )

    async def go(engine: DockerEngine) -> ImageProbe:
        order = build_order(migration, tmp_path, text)
        built = await result_of(engine.build(order), BuildResult)
        return await engine.probe(migration, OWNER, built.info, built.reference, {})

    seen = work(go)

    # Bytes of memory; then 64 processes, and a tenth of a second of each tenth.
    assert (seen.uid, seen.gid) == (256 * 1024**2, 64_100000)


def test_a_base_image_that_is_not_there_is_named_without_its_flags(
    work: Work[BuildResult], migration: str, tmp_path: Path
) -> None:
    order = build_order(migration, tmp_path, "FROM --platform=linux/amd64 none.invalid/a:1\n")

    with pytest.raises(BaseImageMissing) as missing:
        work(lambda engine: result_of(engine.build(order), BuildResult))

    assert missing.value.params["image"] == "none.invalid/a:1"


class TestBuildKit:
    """Where the engine has it, it builds what needs it, and says the same as the classic builder."""

    def build(
        self, work: Work[list[object]], order: BuildOrder, **settings: object
    ) -> tuple[BuildResult, list[LogLine], list[Measure]]:
        async def go(engine: DockerEngine) -> list[object]:
            for name, value in settings.items():
                setattr(engine, name, value)
            return [item async for item in engine.build(order)]

        items = work(go)
        results = [i for i in items if isinstance(i, BuildResult)]
        return (
            results[0],
            [i for i in items if isinstance(i, LogLine)],
            [i for i in items if isinstance(i, Measure)],
        )

    def test_runs_what_the_classic_builder_does_not_know(
        self, work: Work[list[object]], migration: str, bare_image: str, tmp_path: Path
    ) -> None:
        text = f"FROM {bare_image}\nRUN --mount=type=cache,target=/c echo {migration} && echo rld\n"
        order = build_order(migration, tmp_path, text)
        assert order.buildkit

        built, log, measures = self.build(work, order)

        assert built.info.digest.startswith("sha256:")
        assert {migration, "rld"} <= {line.text for line in log}
        assert any("RUN --mount" in str(measure.message) for measure in measures)
        assert all(measure.total and measure.done <= measure.total for measure in measures)

    def test_builds_an_unchanged_project_to_the_same_image(
        self, work: Work[list[object]], migration: str, bare_image: str, tmp_path: Path
    ) -> None:
        text = f"FROM {bare_image}\nCOPY a.txt /\nRUN cat /a.txt > /b\n"
        order = build_order(migration, tmp_path, text)
        (tmp_path / "project" / "a.txt").write_text(migration)

        first, _, _ = self.build(work, order, builder="buildkit", build_network="bridge")
        again, log, _ = self.build(work, order, builder="buildkit")

        assert first.info == again.info
        assert [line.text for line in log if "unchanged" in line.text]

    @pytest.mark.parametrize("builder", ["classic", "buildkit"])
    def test_ends_what_it_runs_when_it_is_cancelled(
        self,
        work: Work[None],
        migration: str,
        bare_image: str,
        tmp_path: Path,
        builder: str,
    ) -> None:
        naps = f"sleep 3{secrets.randbelow(10**6):06d}"
        text = f"FROM {bare_image}\nRUN echo asleep; exec {naps}\n"
        order = build_order(migration, tmp_path, text)

        async def cancel(engine: DockerEngine) -> None:
            engine.builder = builder
            items = engine.build(order)
            async for item in items:
                if isinstance(item, LogLine) and item.text == "asleep":
                    break
            await until(lambda: running_commands(naps))
            await items.aclose()  # type: ignore[attr-defined]
            await until(lambda: not running_commands(naps))

        work(cancel)

    def test_leaves_no_image_that_its_trace_does_not_tell(
        self,
        work: Work[None],
        migration: str,
        bare_image: str,
        docker_client: docker.DockerClient,
        tmp_path: Path,
    ) -> None:
        """Of the classic builder: a stage's image, a ``COPY`` that it is in when it is ended, a kill."""
        order, traces = traced(
            build_order(
                migration,
                tmp_path,
                f"FROM scratch AS files\nCOPY secret /\nFROM {bare_image}\nCOPY --from=files secret /\n"
                "COPY large /\nRUN exit 1\n",
            )
        )
        (tmp_path / "project" / "secret").write_text(migration)
        with (tmp_path / "project" / "large").open("wb") as file:
            for _ in range(100):
                file.write(os.urandom(1 << 20))

        base = docker_client.images.get(bare_image).id.removeprefix("sha256:")[:11]

        async def broken(engine: DockerEngine) -> None:
            engine.builder = "classic"
            before = await images(engine)
            items = engine.build(order)
            async for item in items:
                if isinstance(item, Measure) and "COPY large" in str(item.message):
                    break
            await items.aclose()  # type: ignore[attr-defined]
            assert len(await images(engine) - before) == 3  # it ended its instruction
            await engine.clear_build(traces[-1])
            assert await images(engine) == before

            with pytest.raises(BuildFailed):
                await result_of(engine.build(order), BuildResult)
            # As if killed before the last layer was told of, and in the middle of a command.
            layers = traces[-1].layers[:-1]
            killed = replace(traces[-1], layers=layers, tip=layers[-1], container="0" * 11)
            await engine.clear_build(killed, spare=layers[:1])
            assert await images(engine) - before == {layers[0]}
            await engine.clear_build(killed)
            assert await images(engine) == before

            with pytest.raises(BuildFailed):
                await result_of(engine.build(order), BuildResult)
            # As if the builder was several layers ahead of what was written down.
            first, *_ = layers = traces[-1].layers
            early = replace(traces[-1], layers=[first], tip=base, container="")
            assert len(layers) == 3
            await engine.clear_build(early)
            assert await images(engine) == before

        work(broken)

    def test_layers_that_something_uses_stay(
        self,
        work: Work[None],
        migration: str,
        bare_image: str,
        docker_client: docker.DockerClient,
        tmp_path: Path,
    ) -> None:
        text = f"FROM {bare_image}\nRUN echo {migration} > /a\nRUN echo b > /b\n"
        order, traces = traced(build_order(migration, tmp_path, text))

        async def build(engine: DockerEngine) -> None:
            engine.builder = "classic"
            before = await images(engine)
            built = await result_of(engine.build(order), BuildResult)
            made = await images(engine) - before
            await engine.clear_build(traces[-1])
            assert await images(engine) - before == made
            await engine.remove_image(built.reference, layers=False)
            first, second, _ = traces[-1].layers
            assert await images(engine) - before == {first, second}
            # What was there before a build is not its own, whatever a command of it prints.
            await engine.clear_build(replace(traces[-1], began=time.time() + 60))
            await engine.clear_build(traces[-1], spare={first, second})
            assert await images(engine) - before == {first, second}
            # A container of the builder, which an engine leaves that is killed.
            left = docker_client.containers.create(second, "true")
            await engine.clear_build(traces[-1])
            assert await images(engine) == before
            with pytest.raises(docker.errors.NotFound):
                left.reload()

        work(build)

    @pytest.mark.parametrize("builder", ["classic", "buildkit"])
    def test_names_the_line_that_failed(
        self,
        work: Work[list[object]],
        migration: str,
        bare_image: str,
        tmp_path: Path,
        builder: str,
    ) -> None:
        text = f"FROM {bare_image}\n# a comment\nRUN true\nRUN echo so \\\n && cat /no/such\n"
        order = build_order(migration, tmp_path, text)

        with pytest.raises(BuildFailed) as failed:
            self.build(work, order, builder=builder)

        assert failed.value.params["line"] == 4
        assert "RUN echo so" in failed.value.params["instruction"]

    @pytest.mark.parametrize("builder", ["classic", "buildkit"])
    def test_a_proxys_password_is_in_no_log_and_no_error(
        self,
        work: Work[list[object]],
        migration: str,
        bare_image: str,
        tmp_path: Path,
        builder: str,
    ) -> None:
        said = "asked http://ada:hunter2@proxy.invalid:3128/"
        text = f'FROM {bare_image}\nRUN echo "{said}"; exit 1\n'
        order = build_order(migration, tmp_path, text)
        log: list[str] = []

        async def go(engine: DockerEngine) -> list[object]:
            engine.builder = builder
            async for item in engine.build(order):
                if isinstance(item, LogLine):
                    log.append(item.text)
            return []

        with pytest.raises(BuildFailed) as failed:
            work(go)

        assert "asked http://…@proxy.invalid:3128/" in log
        assert "hunter2" not in "".join(log)
        assert "hunter2" not in str(failed.value.as_dict()["message"])

    @pytest.mark.parametrize("builder", ["classic", "buildkit"])
    def test_names_the_line_that_it_can_not_read(
        self,
        work: Work[list[object]],
        migration: str,
        bare_image: str,
        tmp_path: Path,
        builder: str,
    ) -> None:
        order = build_order(migration, tmp_path, f"FROM {bare_image}\n")
        text = f"FROM {bare_image}\n\nRUM x\n".encode()
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
        order = replace(order, context=lambda: iter([archive.getvalue()]), text=text)

        with pytest.raises(BuildFailed) as failed:
            self.build(work, order, builder=builder)

        assert failed.value.params["line"] == 3

    def test_names_a_base_image_that_is_not_there(
        self, work: Work[list[object]], migration: str, tmp_path: Path
    ) -> None:
        order = build_order(migration, tmp_path, "FROM none.invalid/a:1\n")

        with pytest.raises(BaseImageMissing) as missing:
            self.build(work, order, builder="buildkit")

        assert missing.value.params["image"] == "none.invalid/a:1"

    def test_is_not_used_where_an_admin_wants_the_classic_builder(
        self, work: Work[list[object]], migration: str, bare_image: str, tmp_path: Path
    ) -> None:
        async def features(engine: DockerEngine) -> list[object]:
            engine.builder = "classic"
            return [await engine.features()]

        assert work(features) == [frozenset()]
        text = f"FROM {bare_image}\nRUN --mount=type=cache,target=/c true\n"
        order = build_order(migration, tmp_path, text)
        with pytest.raises(NeedsBuildKit) as refused:
            self.build(work, order, builder="classic")
        assert refused.value.params["line"] == 2
