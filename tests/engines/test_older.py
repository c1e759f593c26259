"""What other packages made for the release before works in this one, and says that it is of that."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sharing.conftest import asleep as asleep
from sharing.world import World
from traitlets.config import Config

from jupyter_secxops_migrate.engines.directory import DirectoryEngine
from jupyter_secxops_migrate.engines.errors import LaunchFailed
from jupyter_secxops_migrate.engines.older import OlderEngine, adapted
from jupyter_secxops_migrate.engines.orders import LaunchOrder, VolumeMount
from jupyter_secxops_migrate.hosts import application
from jupyter_secxops_migrate.hosts.errors import EngineUnknown
from jupyter_secxops_migrate.model import MigrationState
from jupyter_secxops_migrate.placement import strategies

MODULE = "engines.workshop"


@pytest.fixture
def workshop() -> Iterator[ModuleType]:
    """The other package, whose imports say where things are now."""
    with pytest.warns(DeprecationWarning, match=r"engines\.base\.\w+ is .* now"):
        found = importlib.import_module(MODULE)
    yield found
    sys.modules.pop(MODULE)


def installed(
    monkeypatch: pytest.MonkeyPatch, module: Any, group: str, name: str, cls: str
) -> None:
    point = EntryPoint(name, f"{MODULE}:{cls}", group)
    monkeypatch.setattr(module, "entry_points", lambda group: [point])


def test_an_engine_of_the_release_before_carries_a_share_to_its_end_and_warns(
    workshop: ModuleType,
    asleep: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    installed(monkeypatch, application, application.ENGINES, "workshop", "WorkshopEngine")
    config = Config({"WorkshopEngine": {"root": str(asleep.folder / "engine")}})
    app = application.ServiceApp(config=config, engine="workshop")

    engine: Any = app.make_engine()

    assert isinstance(engine, OlderEngine)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "release before" in caplog.text and "newer version" in caplog.text
    folders, asleep.engine = asleep.engine, engine
    asleep.start()
    share = asleep.ended(asleep.share().id)
    assert share.state is MigrationState.SUCCEEDED, share.error
    assert share.result is not None and share.result.evidence is not None
    # What it can't prove is not said to be proved.
    assert share.result.evidence.seen_inside == 0
    assert share.result.evidence.files_equal > 0
    assert {row.code for row in share.result.evidence.changed} >= {"unseen_inside"}
    checks = asyncio.run(engine.doctor())
    assert [check.state for check in checks] == ["ok", "warning"]
    asleep.run(asleep.api().delete(share.id))
    assert folders.objects() == []


def test_what_an_engine_of_the_release_before_can_not_do_is_said(
    workshop: ModuleType, tmp_path: Path
) -> None:
    engine = adapted(workshop.WorkshopEngine(root=str(tmp_path)))
    part = VolumeMount("v", "/home/jovyan/detector/cache", part="cache")
    order: dict[str, Any] = dict.fromkeys(LaunchOrder.__dataclass_fields__, "")
    launch = LaunchOrder(**{**order, "migration": "m1", "mounts": (part,)})
    with pytest.raises(LaunchFailed, match=r"VOLUME .*newer version of the engine"):
        asyncio.run(engine.launch(launch))


def test_an_engine_of_this_release_is_taken_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = DirectoryEngine(tmp_path)
    assert adapted(engine) is engine
    assert caplog.text == ""


class Nothing:
    """What somebody has registered as an engine."""

    def __init__(self, parent: object) -> None:
        self.parent = parent


def test_what_is_no_engine_is_told_with_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("nothing", f"{__name__}:Nothing", application.ENGINES)
    monkeypatch.setattr(application, "entry_points", lambda group: [point])
    with pytest.raises(EngineUnknown, match=r"it has no .*launch"):
        application.ServiceApp(engine="nothing").make_engine()


def test_a_strategy_of_the_release_before_needs_no_change(
    workshop: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, strategies, strategies.GROUP, "oldest-first", "OldestFirst")
    found = strategies.load("oldest-first")
    assert isinstance(found, workshop.OldestFirst)
