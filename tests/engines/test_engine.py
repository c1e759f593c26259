"""What the engine does for a migration when source, image or an interruption are awkward."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import secrets
import stat
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import docker
import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.building.context import BuildContext
from jupyter_secxops_migrate.building.dockerfile import parse
from jupyter_secxops_migrate.building.errors import BaseImageMissing, BuildFailed, NeedsBuildKit
from jupyter_secxops_migrate.copying.errors import CopyFailed
from jupyter_secxops_migrate.engines.docker import DockerEngine
from jupyter_secxops_migrate.engines.errors import LaunchFailed
from jupyter_secxops_migrate.engines.names import Names, labels, owner_hash
from jupyter_secxops_migrate.engines.orders import (
    BuildOrder,
    BuildResult,
    BuildTrace,
    CopyOrder,
    CopyResult,
    ImageProbe,
    LaunchOrder,
    LogLine,
    Measure,
    Observation,
    OwnOrder,
    SourcePlace,
    VerifyOrder,
    VerifyResult,
    VolumeCheck,
    VolumeMount,
    result_of,
)

pytestmark = pytest.mark.docker

T = TypeVar("T")
OWNER = "tests of the engine"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def migration() -> str:
    return f"m{secrets.token_hex(5)}"


@pytest.fixture
def work(
    migration: str, bare_image: str, docker_client: docker.DockerClient
) -> Iterator[Callable[[Callable[[DockerEngine], Awaitable[T]]], T]]:
    """Run calls of an engine; what they made of the migration is deleted at the end."""

    async def ended(call: Callable[[DockerEngine], Awaitable[T]]) -> T:
        engine = DockerEngine(tools_base=bare_image, launch_timeout=60.0)
        try:
            return await call(engine)
        finally:
            await engine.close()

    yield lambda call: asyncio.run(ended(call))
    asyncio.run(ended(lambda engine: engine.delete(migration)))
    for image in docker_client.images.list(name=f"secxops-test-engine/{migration}"):
        docker_client.images.remove(image.id, force=True)


Work = Callable[[Callable[[DockerEngine], Awaitable[T]]], T]


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


class TestLaunch:
    def launch(
        self, work: Work[Observation], migration: str, tmp_path: Path, text: str
    ) -> tuple[Observation, str]:
        token = secrets.token_urlsafe(16)

        async def go(engine: DockerEngine) -> Observation:
            built = await result_of(
                engine.build(build_order(migration, tmp_path, text)), BuildResult
            )
            probe = await engine.probe(migration, OWNER, built.info, built.reference, {})
            volume = Names(migration).volume("code")
            marks = labels(OWNER, "code", migration)
            await engine._connection.call(
                "make a volume", lambda api: api.create_volume(volume, labels=marks)
            )
            return await engine.launch(
                LaunchOrder(
                    migration,
                    OWNER,
                    "test",
                    built.info.digest,
                    built.reference,
                    probe,
                    [VolumeMount(volume, "/home/jovyan/code")],
                    "/home/jovyan",
                    token,
                    extensions={
                        f"@a/ours/{name}": content for name, content in extension("@a/ours").items()
                    },
                )
            )

        return work(go), token

    def test_goes_by_its_own_token_though_the_image_names_one(
        self, work: Work[Observation], migration: str, tmp_path: Path, lab_image: str
    ) -> None:
        text = f"FROM {lab_image}\nENV JUPYTER_TOKEN=easy\n"
        # What else the image has for JupyterLab stays, beside what comes with the environment.
        text += "ENV JUPYTER_PATH=/home/jovyan/lab\n"
        for name, content in extension("theirs").items():
            file = f"/home/jovyan/lab/labextensions/theirs/{name}"
            text += f"RUN mkdir -p {os.path.dirname(file)} && echo '{content.decode()}' > {file}\n"

        seen, token = self.launch(work, migration, tmp_path, text)
        assert {"@a/ours", "theirs"} <= extensions_of(seen, token)

        assert status(seen, token) == 200
        assert status(seen, "easy") == 403
        assert status(seen) == 403

    @pytest.mark.parametrize("chosen", ["", "easy"])
    def test_refuses_an_image_whose_configuration_sets_the_token(
        self,
        work: Work[Observation],
        migration: str,
        tmp_path: Path,
        lab_image: str,
        chosen: str,
    ) -> None:
        text = (
            f"FROM {lab_image}\n"
            "RUN mkdir -p ~/.jupyter && "
            f"echo \"c.IdentityProvider.token = '{chosen}'\" > ~/.jupyter/jupyter_server_config.py\n"
        )

        with pytest.raises(LaunchFailed, match="own token"):
            self.launch(work, migration, tmp_path, text)

    def test_says_that_the_image_has_its_jupyterlab_elsewhere(
        self, work: Work[Observation], migration: str, tmp_path: Path, lab_image: str
    ) -> None:
        text = (
            f"FROM {lab_image}\n"
            "RUN mkdir -p ~/.jupyter && "
            "echo \"c.ServerApp.base_url = '/x/'\" > ~/.jupyter/jupyter_server_config.py\n"
        )

        with pytest.raises(LaunchFailed, match=r"sets base_url \(/x/\)") as failed:
            self.launch(work, migration, tmp_path, text)
        assert any("is running at" in line for line in failed.value.said)

    def test_mounts_are_ours_whatever_volumes_the_image_declares(
        self, work: Work[Observation], migration: str, tmp_path: Path, lab_image: str
    ) -> None:
        text = f"FROM {lab_image}\nVOLUME /home/jovyan/cache\n"

        seen, _ = self.launch(work, migration, tmp_path, text)

        assert seen.mounts == {"/home/jovyan/code": Names(migration).volume("code")}


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


class TestEntrypoint:
    """An image's own entrypoint runs where it runs what it is given, as with `docker run`."""

    def launch(
        self, work: Work[Observation], migration: str, tmp_path: Path, text: str
    ) -> tuple[Observation, str]:
        return TestLaunch().launch(work, migration, tmp_path, text)

    def test_activates_what_only_it_knows(
        self,
        work: Work[Observation],
        migration: str,
        tmp_path: Path,
        lab_image: str,
        docker_client: docker.DockerClient,
    ) -> None:
        script = '#!/bin/sh\\nexport PATH=/opt/venv/bin:$PATH ACTIVATED=yes\\nexec "$@"\\n'
        text = (
            f"FROM {lab_image}\nUSER root\n"
            f"RUN printf '{script}' > /entry && chmod 755 /entry\n"
            'USER jovyan\nENV PATH=/usr/bin:/bin\nENTRYPOINT ["/entry"]\n'
        )

        seen, token = self.launch(work, migration, tmp_path, text)

        assert status(seen, token) == 200
        container = docker_client.containers.get(seen.name)
        _, environment = container.exec_run(["sh", "-c", "cat /proc/[0-9]*/environ"])
        assert b"ACTIVATED=yes" in environment
        assert container.attrs["HostConfig"]["LogConfig"]["Config"]["max-size"] == "10m"

    @pytest.mark.parametrize("entry", ['["/bin/echo"]', '["/no/such"]', '["/usr/bin/yes"]'])
    def test_is_left_out_where_it_does_something_else(
        self,
        work: Work[ImageProbe],
        migration: str,
        tmp_path: Path,
        lab_image: str,
        entry: str,
    ) -> None:
        async def go(engine: DockerEngine) -> ImageProbe:
            text = f"FROM {lab_image}\nENTRYPOINT {entry}\n"
            built = await result_of(
                engine.build(build_order(migration, tmp_path, text)), BuildResult
            )
            return await engine.probe(migration, OWNER, built.info, built.reference, {})

        began = time.monotonic()
        found = work(go)

        assert (found.uid, found.entrypoint) == (1000, "bypassed")
        assert found.jupyter == ["/opt/venv/bin/jupyter-lab"]
        assert time.monotonic() - began < 30


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


def test_images_are_listed_by_their_names_and_those_without_one(
    work: Work[None],
    migration: str,
    bare_image: str,
    docker_client: docker.DockerClient,
    tmp_path: Path,
) -> None:
    text = f"FROM {bare_image}\nRUN echo {migration} > /a\n"
    order = replace(
        build_order(migration, tmp_path, text),
        repository=f"secxops/{owner_hash(migration)}/x",
        labels=labels(migration, "environment"),
    )

    async def listed(engine: DockerEngine) -> list[str]:
        return [o.name for o in await engine.owned(migration) if o.kind == "image"]

    async def list_and_remove(engine: DockerEngine) -> None:
        built = await result_of(engine.build(order), BuildResult)
        assert await listed(engine) == [built.reference]
        image = docker_client.images.get(built.info.digest)
        image.tag("secxops-test-engine/theirs", migration)
        docker_client.images.remove(built.reference)
        assert await listed(engine) == []  # it has a name that somebody gave it
        theirs = docker_client.containers.run(image.id, "sleep 60", detach=True)
        docker_client.images.remove(f"secxops-test-engine/theirs:{migration}", force=True)
        assert await listed(engine) == []  # and it is theirs as long as they use it
        theirs.remove(force=True)
        assert await listed(engine) == [image.id]
        await engine.remove(await engine.owned(migration))
        assert await listed(engine) == [] and await engine.image(image.id) is None

    work(list_and_remove)


def traced(order: BuildOrder) -> tuple[BuildOrder, list[BuildTrace]]:
    """Return an order whose traces are in a list."""
    traces: list[BuildTrace] = []
    return replace(order, traced=traces.append), traces


async def images(engine: DockerEngine) -> set[str]:
    """All images of the engine, by the 11 digits that all builders print."""
    rows = await engine._connection.call("list images", lambda api: api.images(all=True))
    return {row["Id"].removeprefix("sha256:")[:11] for row in rows}


def build_order(migration: str, tmp_path: Path, text: str) -> BuildOrder:
    folder = tmp_path / "project"
    folder.mkdir()
    dockerfile = parse(text)
    return BuildOrder(
        migration=migration,
        context=BuildContext(folder, dockerfile.source).chunks,
        dockerfile="Dockerfile",
        repository=f"secxops-test-engine/{migration}",
        tag="1",
        digest=lambda: "",
        labels={"secxops-test": "yes"},
        text=dockerfile.source,
        lines=[i.line for i in dockerfile.instructions],
        froms=[i.end_line for i in dockerfile.instructions if i.keyword == "FROM"],
        bases=dockerfile.bases(),
        buildkit=bool(dockerfile.needs_buildkit()),
    )


async def until(happened: Callable[[], object]) -> None:
    """Wait for something that takes a moment."""
    for _ in range(100):
        if happened():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not happen")


def running_commands(command: str) -> list[str]:
    """The processes of this machine with exactly this command line."""
    words = command.replace(" ", "\0") + "\0"
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if process.read_text() == words:
                found.append(process.parent.name)
    return found


def extension(name: str) -> dict[str, bytes]:
    """A Lab extension that does nothing."""
    build = {"load": "static/remoteEntry.js", "extension": "./extension"}
    about = {"name": name, "version": "1.0.0", "jupyterlab": {"extension": True, "_build": build}}
    return {"package.json": json.dumps(about).encode(), "static/remoteEntry.js": b"1"}


def extensions_of(seen: Observation, token: str) -> set[str]:
    """The extensions that an environment's page loads: found in their folders, and served."""
    assert seen.url is not None
    with urllib.request.urlopen(f"{seen.url}?token={token}", timeout=10) as answer:
        page = answer.read().decode()
    text = page.partition('id="jupyter-config-data" type="application/json">')[2]
    config = json.loads(text.partition("</script>")[0])
    return {row["name"] for row in config["federated_extensions"]}


def status(seen: Observation, token: str | None = None) -> int:
    assert seen.url is not None
    request = urllib.request.Request(seen.url.removesuffix("/lab") + "/api/status")
    if token is not None:
        request.add_header("Authorization", f"token {token}")
    try:
        with _DIRECT.open(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code
