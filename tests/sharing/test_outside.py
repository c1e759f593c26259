"""Shares of a source that this process does not see: the engine looks, and is asked for that source."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.engines.directory import DirectoryEngine
from jupyter_secxops_migrate.engines.kubernetes.errors import NotOnClaim, SourceUnusable
from jupyter_secxops_migrate.engines.orders import (
    LookOrder,
    ReadOrder,
    SourceEnvironment,
    SourcePlace,
)
from jupyter_secxops_migrate.model import MigrationState, PodSource, ShareRequest

from .world import World


class PodEngine(DirectoryEngine):
    """Its pods are folders below ``pods``; a path of a pod is one below its folder.

    Like a cluster's it knows no source but a pod that is named, in each call that has to do with one.
    """

    outside = False
    pod = ""

    def at(self, source: PodSource | None) -> PodEngine:
        if source is None:
            return self
        found = copy.copy(self)
        found.pod, found.outside = source.pod, True
        return found

    def _folder(self) -> Path:
        folder = self.root / "pods" / self.pod
        if not self.pod or not folder.is_dir():
            raise SourceUnusable(pod=self.pod, reason="it is not there")
        return folder

    async def _middle(self, call: str) -> None:
        if call not in ("inspect", "look_inside", "delete"):
            self._folder()
        await super()._middle(call)

    async def source(self) -> SourceEnvironment:
        self._folder()
        return SourceEnvironment("pod", "here", container=f"{self.pod}/n", outside=self.outside)

    async def locate(self, path: Path) -> SourcePlace:
        if not path.is_relative_to(self._folder()):
            raise NotOnClaim(path=str(path), kind="no claim", mounts=[str(self._folder())])
        return await super().locate(path)

    def read_project(self, order: ReadOrder) -> Iterator[bytes]:
        assert order.commit is None
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as archive:
            archive.add(order.project, arcname=".")
        yield made.getvalue()

    async def look(self, order: LookOrder) -> Mapping[str, Any]:
        for path in (order.project, *order.data):
            await self.locate(Path(path))
        with tempfile.TemporaryDirectory() as work:
            command = [sys.executable, "-m", "jupyter_secxops_migrate.environment.look"]
            more = [] if order.version is None else [f"--version={order.version}"]
            process = await asyncio.create_subprocess_exec(
                *(*command, "--work", work, *more, "--", order.project, *order.data),
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await process.communicate()
            if process.returncode:
                raise errors.SecxopsError.from_dict(json.loads(said.splitlines()[-1]))
            found: Mapping[str, Any] = json.loads((Path(work) / "survey.json").read_bytes())
            return found


@pytest.fixture
def far(tmp_path: Path) -> Iterator[World]:
    """A world with a pod ``alice`` and its project."""
    world = World(tmp_path)
    world.engine = PodEngine(tmp_path / "engine")
    pod = tmp_path / "engine" / "pods" / "alice"
    world.project, world.data = pod / "detector", pod / "domains"
    for path in (world.project, world.data):
        path.mkdir(parents=True)
    (world.project / "Dockerfile").write_text("FROM base\nRUN pip install jupyterlab\n")
    (world.data / "list").write_text("a.example\n")
    world.start()
    yield world
    world.end()


ALICE = {"pod": "alice"}


def test_a_share_from_outside_is_planned_made_and_says_where_it_is_from(far: World) -> None:
    plan = far.run(far.api().plan(far.request(source=ALICE)))
    assert [r.params for r in plan.reasons if r.code == "from_outside"] == [{"source": "alice/n"}]
    environment = far.run(
        far.api().environment(str(far.project), [str(far.data)], PodSource(pod="alice"))
    )
    assert (environment.container, environment.data[0].files) == ("alice/n", 1)

    made = far.ended(far.share(source=ALICE).id)

    assert made.state is MigrationState.SUCCEEDED, made.error
    assert made.name == plan.name
    assert {row.source for row in made.plan.copied if row.role != "packages"} == {
        str(far.project),
        str(far.data),
    }


def test_a_restart_still_knows_the_pod(far: World) -> None:
    far.engine.hang("copy")
    share = far.share(source=ALICE)
    far.hangs_in("copy")
    far.stop()
    far.engine.release("copy")
    far.start()
    ended = far.ended(share.id)
    assert ended.state is MigrationState.SUCCEEDED, ended.error


def test_what_cannot_be_looked_at_is_refused_as_by_a_plan(far: World) -> None:
    for request, code in (
        (far.request(source={"pod": "nobody"}), "source_unusable"),
        (far.request(source=ALICE, data=["/tmp/../tmp"]), "not_on_claim"),
        (far.request(source=ALICE, project=f"{far.project}/../../bob"), "not_on_claim"),
    ):
        with pytest.raises(errors.Refusal) as refused:
            far.run(far.api().plan(request))
        assert refused.value.code == code
        ended = far.ended(far.run(far.api().share(request)).id)
        assert ended.error is not None
        assert (ended.error.code, ended.error.params["codes"]) == ("refused", [code])


def test_what_was_mistyped_leaves_no_record_from_outside_either(far: World) -> None:
    for asked, code in (
        ({"project": f"{far.project}/absent"}, "no_such_path"),
        ({"data": [f"{far.data}s"]}, "no_such_path"),
        ({"version": "no-such-branch"}, "no_such_version"),
    ):
        with pytest.raises(errors.RequestError) as caught:
            far.share(source=ALICE, **asked)
        assert caught.value.code == code
    assert far.run(far.api().list()) == []


def test_an_engine_without_pods_says_so_at_once(world: World) -> None:
    with pytest.raises(errors.InvalidRequest):
        world.run(world.api().share(world.request(source=ALICE)))


@pytest.mark.parametrize(
    "pod", ["", "..", "../secrets/x", "a/b", "A", "a?b", "a\n", "-a", "a" * 254]
)
def test_a_pod_has_the_name_of_one(pod: str) -> None:
    with pytest.raises(ValueError, match="pod"):
        ShareRequest.model_validate({"project": "/home/a/p", "source": {"pod": pod}})
