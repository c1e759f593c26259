"""A record of an earlier version is taken over, with the share that was in its copy step."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from jupyter_secxops_migrate.copying.identity import identity_of
from jupyter_secxops_migrate.model import Migration, MigrationState, StepState, Subject

from .world import World

BEFORE = Path(__file__).parent / "before"
"""What a service left that was killed while it copied: its records, as SQL, and the engine's files."""
ID = "mqjvpv23bn"


def left_by_an_earlier_version(world: World) -> None:
    """Put everything where the killed service had it, with this test's own folders."""
    places = {
        "@HERE@": str(world.folder),
        "@CODE@": identity_of(world.project),
        "@DATA@": identity_of(world.data),
    }
    for name in ("store", "dbos"):
        text = (BEFORE / f"{name}.sql").read_text()
        for mark, place in places.items():
            text = text.replace(mark, place)
        database = sqlite3.connect(world.data_dir / f"{name}.sqlite")
        database.executescript(text)
        database.close()
    for place, content in json.loads((BEFORE / "files.json").read_text()).items():
        path = world.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_a_share_that_an_earlier_version_was_copying_goes_on(asleep: World) -> None:
    left_by_an_earlier_version(asleep)

    asleep.start()

    shared = asleep.ended(ID)
    assert shared.state is MigrationState.SUCCEEDED, shared.error
    assert shared.attempt == 1 and shared.name == "detector-2026-11-27"
    assert all(s.state in (StepState.DONE, StepState.SKIPPED) for s in shared.steps)
    assert shared.result is not None and shared.result.evidence.files_equal == 23
    assert asleep.engine.environments() == [ID]
    assert asleep.engine.jobs() == [] and len(asleep.engine.images()) == 1
    # Its log and the events of before are still there, in their order.
    events = asleep.events(ID)
    assert [e.id for e in events] == sorted(e.id for e in events) and events[0].id == 1
    assert "Step 2/2 : COPY . ." in asleep.run(asleep.api().log(ID))
    assert asleep.run(asleep.api().orphans()) == []


def test_a_share_that_an_earlier_version_was_copying_can_be_deleted(asleep: World) -> None:
    left_by_an_earlier_version(asleep)
    asleep.engine.hang("verify")
    asleep.start()
    asleep.hangs_in("verify")

    asleep.run(asleep.api().delete(ID))

    assert asleep.engine.objects() == []
    assert asleep.run(asleep.api().list()) == []


def test_a_record_of_an_earlier_version_is_written_in_its_own_order() -> None:
    database = sqlite3.connect(":memory:")
    database.executescript((BEFORE / "store.sql").read_text())
    (record,) = database.execute("SELECT record FROM migrations").fetchone()
    database.close()
    kept = json.loads(record)

    written = Migration.model_validate(kept).model_dump(mode="json")

    assert [name for name in written if name in kept] == list(kept)
    assert json.loads(Migration.model_validate(kept).model_dump_json()) == written
    for name in ("request", "plan", "result"):
        if kept[name] is not None:
            assert [part for part in written[name] if part in kept[name]] == list(kept[name])


def test_an_event_of_an_earlier_version_is_about_a_share(asleep: World) -> None:
    left_by_an_earlier_version(asleep)
    asleep.start()
    asleep.ended(ID)

    events = asleep.events(ID)

    assert all(event.subject == Subject(kind="share", id=ID) for event in events)
