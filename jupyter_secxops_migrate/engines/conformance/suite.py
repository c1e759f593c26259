"""The tests themselves. Each says what an operation relies on."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ...building.errors import BuildFailed
from ...copying.errors import VerifyFailed
from ...model import EnvironmentStatus
from ..names import Names
from ..orders import CopyResult, OwnOrder, ReadOrder, VerifyResult, VolumeCheck, result_of
from ..roles import Pushes, ReadsProjects, ReadsVolumes
from .bench import FILES, Bench, Share, patiently

WHOLE = {"Dockerfile", *FILES}
AT = "/home/jovyan/conformance"
"""Where copies have the project."""


class Conformance:
    """All engines do this. The fixture ``bench`` gives the one that is tried."""

    @pytest.fixture
    def share(self, bench: Bench) -> Iterator[Share]:
        """A share that leaves nothing behind."""
        found = bench.share()
        yield found
        bench.run(found.end())

    # ------------------------------------------------------------------ what is not there

    def test_to_end_what_is_not_there_is_success(self, bench: Bench, share: Share) -> None:
        async def go() -> EnvironmentStatus:
            for _ in range(2):
                await bench.engine.end_jobs(share.id)
                await bench.engine.stop(share.id)
                await bench.engine.delete(share.id)
                await bench.engine.remove([])
            return (await bench.engine.inspect(share.id)).status

        assert bench.run(go()) is EnvironmentStatus.GONE

    def test_says_what_it_has(self, bench: Bench) -> None:
        async def go() -> None:
            checks = await bench.engine.doctor()
            assert checks
            assert {check.state for check in checks} <= {"ok", "warning"}, checks
            source = await bench.engine.source()
            assert source.node
            features = await bench.engine.features()
            assert ("push" in features) <= isinstance(bench.engine, Pushes)
            await bench.engine.capacity([])

        bench.run(go())

    # ------------------------------------------------------------------ volumes

    def test_a_copy_is_proven_by_its_manifest(self, bench: Bench, share: Share) -> None:
        async def go() -> tuple[CopyResult, VerifyResult, set[tuple[str, str, str | None]]]:
            copied = await share.copy()
            equal = await share.verify((copied.volume, share.manifest("code")))
            owned = await bench.engine.owned(bench.owner)
            return copied, equal, {(o.name, o.role, o.migration) for o in owned}

        copied, equal, owned = bench.run(go())
        assert copied.volume == share.names.volume("code")
        assert copied.files == equal.files == len(WHOLE)
        assert copied.bytes == equal.bytes
        assert (copied.volume, "code", share.id) in owned

    def test_a_copy_that_differs_is_told(self, bench: Bench, share: Share) -> None:
        async def go() -> None:
            code = await share.copy()
            data = await share.copy("data-1", bench.data)
            with pytest.raises(VerifyFailed):
                await share.verify((code.volume, share.manifest("data-1")))
            await share.verify(
                (code.volume, share.manifest("code")), (data.volume, share.manifest("data-1"))
            )

        bench.run(go())

    def test_a_copy_is_done_again_from_the_beginning(self, bench: Bench, share: Share) -> None:
        async def go() -> tuple[CopyResult, CopyResult]:
            first = await share.copy()
            again = await share.copy()
            await share.verify((again.volume, share.manifest("code")))
            return first, again

        first, again = bench.run(go())
        assert (first.volume, first.digest, first.files) == (
            again.volume,
            again.digest,
            again.files,
        )

    def test_a_copy_that_is_cancelled_ends(self, bench: Bench, share: Share) -> None:
        async def go() -> list[str]:
            order = await share.copy_order()
            copying = asyncio.ensure_future(result_of(bench.engine.copy(order), CopyResult))
            await asyncio.sleep(0.2)
            copying.cancel()
            with suppress(asyncio.CancelledError):
                await copying
            await bench.engine.end_jobs(share.id)
            await patiently(lambda: bench.engine.delete(share.id))
            return await share.left_at_last()

        assert bench.run(go()) == []

    def test_files_change_hands_and_are_still_equal(self, bench: Bench, share: Share) -> None:
        async def go() -> VerifyResult:
            copied = await share.copy()
            checks = [VolumeCheck(copied.volume, share.manifest("code"))]
            order = OwnOrder(share.id, bench.owner, checks, copied.owner, copied.owner)
            await patiently(lambda: result_of(bench.engine.own(order), VerifyResult))
            return await share.verify((copied.volume, share.manifest("code")))

        assert bench.run(go()).files == len(WHOLE)

    def test_a_volume_that_can_be_read_is_read_whole(self, bench: Bench, share: Share) -> None:
        engine = bench.engine
        if not isinstance(engine, ReadsVolumes):
            return  # it makes build contexts itself, from the volume

        copied = bench.run(share.copy())
        stream = engine.read_volume(share.id, bench.owner, copied.volume)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            files = {e.name.removeprefix("./") for e in archive if e.isfile()}
        assert files == WHOLE

    def test_a_project_that_can_be_read_is_read_whole(self, bench: Bench) -> None:
        engine = bench.engine
        if not isinstance(engine, ReadsProjects):
            return  # its projects are seen from here, or it builds beside them

        stream = engine.read_project(ReadOrder(bench.owner, bench.project))
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            files = {e.name.removeprefix("./") for e in archive if e.isfile()}
        assert files == WHOLE

    # ------------------------------------------------------------------ images and environments

    def test_a_build_that_fails_leaves_nothing(self, bench: Bench, share: Share) -> None:
        async def go() -> list[str]:
            with pytest.raises(BuildFailed):
                await share.build(*bench.broken)
            await bench.engine.end_jobs(share.id)
            await patiently(lambda: bench.engine.delete(share.id))
            return await share.left_at_last()

        assert bench.run(go()) == []

    def test_a_share_from_image_to_environment(self, bench: Bench, share: Share) -> None:
        """One long test, as an environment takes long to make."""
        engine, names = bench.engine, Names(share.id)

        async def go() -> None:
            built, copied = await share.build(), await share.copy()
            assert (built.sent is None) is isinstance(engine, ReadsVolumes)
            again = await share.build()
            assert (again.reference, again.info.digest) == (built.reference, built.info.digest)
            probe = await share.probe(built)
            assert probe.jupyter
            assert probe.home.is_absolute()

            order = share.launch_order(built, probe, AT)
            started = await patiently(lambda: engine.launch(order))
            adopted = await patiently(lambda: engine.launch(order))
            assert started.name == adopted.name == names.environment
            seen = await engine.inspect(share.id)
            assert seen.status is EnvironmentStatus.RUNNING
            assert seen.mounts.get(AT) == copied.volume
            assert share.token not in repr(seen)
            assert seen.image == built.info.digest

            [inside] = await engine.look_inside(share.inside_order(probe, AT))
            assert inside.paths >= len(WHOLE)
            assert (inside.hidden, inside.unreadable) == (0, 0)

            await engine.stop(share.id)
            await engine.stop(share.id)
            assert (await engine.inspect(share.id)).status is EnvironmentStatus.STOPPED
            await patiently(lambda: engine.start(share.id))
            assert (await engine.inspect(share.id)).status is not EnvironmentStatus.STOPPED

            await self._all_goes(bench, share)
            await engine.remove_image(built.reference, pushed=built.pushed)
            await engine.remove_image(built.reference, pushed=built.pushed)

        bench.run(go())

    async def _all_goes(self, bench: Bench, share: Share) -> None:
        """What is there is its owner's and nobody else's; deleted, it is gone."""
        mine = [o for o in await bench.engine.owned(bench.owner) if o.migration == share.id]
        assert {"code", "environment"} <= {o.role for o in mine}
        others = await bench.engine.owned("somebody else")
        assert not {o.name for o in mine} & {o.name for o in others}
        await patiently(lambda: bench.engine.delete(share.id))
        assert await share.left_at_last() == []
        assert (await bench.engine.inspect(share.id)).status is EnvironmentStatus.GONE

    def test_what_is_listed_can_be_removed(self, bench: Bench, share: Share) -> None:
        async def go() -> list[str]:
            await share.copy()
            listed = await share.left()
            assert listed
            await bench.engine.remove(listed)
            await bench.engine.remove(listed)
            return await share.left_at_last()

        assert bench.run(go()) == []
