"""Edits that wait together are written together, and none of them notices."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.model import MigrationState, StepState, utcnow
from jupyter_secxops_migrate.operations import journal
from jupyter_secxops_migrate.operations.editing import Edit
from jupyter_secxops_migrate.operations.record import Draft
from jupyter_secxops_migrate.operations.records import Records
from jupyter_secxops_migrate.operations.store import Store
from jupyter_secxops_migrate.operations.writing import Writing

from .counting import ANNE, STEPS, Count, Counting

NAMES = [f"c{number}" for number in range(20)]
Counts = Draft[Any, Any]


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    found = filled(database)
    yield found
    found.close()


@pytest.fixture
def writing(store: Store) -> Iterator[Writing]:
    found = Writing(store)
    yield found
    found.close()


def filled(url: str) -> Store:
    """Return a store with some operations."""
    store = Store(url, [Counting.schema])
    store.open()
    for name in NAMES:
        state, now = MigrationState.RUNNING, utcnow()
        steps = [{"name": step} for step in STEPS]
        count = {"id": name, "owner": ANNE, "name": name, "state": state, "created": now}
        store.add("count", Count.model_validate({**count, "steps": steps}))
    return store


@contextmanager
def held(writing: Writing) -> Iterator[None]:
    """Have all that is asked for meanwhile wait in the line."""
    go_on = threading.Event()
    holding = writing.run(go_on.wait, urgent=True)
    while not holding.running():
        pass
    try:
        yield
    finally:
        go_on.set()


def add(number: int) -> Callable[[Counts], int]:
    def change(draft: Counts) -> int:
        draft.record.total += number
        return int(draft.record.total)

    return change


def measure(done: int) -> Callable[[Counts], None]:
    def change(draft: Counts) -> None:
        step = draft.step("left")
        step.state, step.done = StepState.RUNNING, done

    return change


def fails(draft: Counts) -> None:
    draft.record.total = 1_000_000
    draft.record.state = MigrationState.FAILED
    raise ZeroDivisionError


def refused(draft: Counts) -> None:
    """Take the id of another one, which only the database finds out."""
    draft.record = draft.record.model_copy(update={"id": "c19"})


def test_many_cost_as_many_questions_as_one(store: Store, writing: Writing) -> None:
    asked: list[str] = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    sa.event.listen(store.engine, "commit", lambda *_: asked.append("COMMIT"))

    writing.edit(Edit("c0", measure(1), lines=["a line"])).result()
    of_one = len(asked)
    asked.clear()
    with held(writing):
        told = [writing.edit(Edit(name, measure(2), lines=["a line"])) for name in NAMES]
    for one in told:
        one.result()

    assert len(asked) == of_one == 5  # read, replaced measures, update, events, the end of it
    assert {store.get(name).steps[1].done for name in NAMES} == {2}


def test_they_are_made_and_told_in_their_order(store: Store, writing: Writing) -> None:
    before = store.last_event()
    with held(writing):
        sums = [writing.edit(Edit("c1", add(number))) for number in (1, 2, 3)]
        for number in range(3):
            writing.edit(Edit("c2", measure(number), lines=[f"{number} of c2"]))
            last = writing.edit(Edit("c3", lambda _: None, lines=[f"{number} of c3"]))
    last.result()

    assert [one.result() for one in sums] == [1, 3, 6]
    events = [event for _, event in store.owned_events(ANNE, before)]
    lines = [event.line for event in events if event.kind == "log"]
    assert lines == [f"{number} of {name}" for number in range(3) for name in ("c2", "c3")]
    (measured,) = [event.step for event in events if event.kind == "step"]  # only the newest
    assert measured is not None and measured.done == 2


def test_one_whose_log_is_refused_is_not_half_written(
    store: Store, writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each line is one too many, and what would be removed for it stays.
    monkeypatch.setattr(journal, "_PRUNE_EVERY", 1)
    monkeypatch.setattr(journal, "LOG_LINES", 0)

    def refuse(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if statement.startswith("DELETE FROM events"):
            raise sa.exc.OperationalError(statement, None, Exception("no"))

    writing.edit(Edit("c0", add(1), lines=["kept"])).result()
    sa.event.listen(store.engine, "before_cursor_execute", refuse)
    with held(writing):
        bad = writing.edit(Edit("c0", add(1), lines=["more"]))
        good = writing.edit(Edit("c1", add(1)))

    assert isinstance(bad.exception(), sa.exc.OperationalError)
    assert good.result() == 1
    assert (store.get("c0").total, store.get("c1").total) == (1, 1)


def test_one_that_fails_leaves_its_neighbours_alone(store: Store, writing: Writing) -> None:
    before = store.last_event()
    with held(writing):
        good = writing.edit(Edit("c0", add(1)))
        bad = writing.edit(Edit("c0", fails, lines=["unsaid"]))
        absent = writing.edit(Edit("nobody", add(1)))
        other = writing.edit(Edit("c1", add(1), owner="bob"))
        last = writing.edit(Edit("c0", add(1)))

    assert (good.result(), last.result()) == (1, 2)
    assert isinstance(bad.exception(), ZeroDivisionError)
    assert isinstance(absent.exception(), errors.NotFound)
    assert isinstance(other.exception(), errors.NotFound)
    assert store.get("c0").state is MigrationState.RUNNING
    assert store.last_event() == before


def test_one_that_the_database_refuses_leaves_them_alone_too(
    store: Store, writing: Writing
) -> None:
    with held(writing):
        first = writing.edit(Edit("c0", add(1), lines=["once"]))
        bad = writing.edit(Edit("c1", refused))
        last = writing.edit(Edit("c2", add(2)))

    assert (first.result(), last.result()) == (1, 2)
    assert isinstance(bad.exception(), sa.exc.IntegrityError)
    assert store.log_text("c0") == "once\n" and store.get("c1").id == "c1"


def test_one_that_cannot_be_read_leaves_them_alone_too(store: Store, writing: Writing) -> None:
    with store.engine.begin() as connection:
        connection.execute(sa.text("UPDATE operations SET record = '{}' WHERE id = 'c1'"))
    with held(writing):
        bad = writing.edit(Edit("c1", add(1)))
        good = writing.edit(Edit("c2", add(2)))

    assert good.result() == 2 and isinstance(bad.exception(), ValueError)


def test_what_is_asked_for_after_a_removal_comes_after_it(store: Store, writing: Writing) -> None:
    with held(writing):
        before = writing.edit(Edit("c0", add(1)), urgent=True)
        removed = writing.run(lambda: store.remove("c0"), urgent=True)
        after = writing.edit(Edit("c0", add(1)), urgent=True)

    removed.result()
    assert before.result() == 1 and isinstance(after.exception(), errors.NotFound)


def test_what_a_person_asks_for_goes_first(store: Store, writing: Writing) -> None:
    with held(writing):
        told = writing.edit(Edit("c0", add(1)))
        asked = writing.edit(Edit("c0", add(10)), urgent=True)

    assert (asked.result(), told.result()) == (10, 11)


def test_one_that_nobody_waits_for_any_more_is_not_made(store: Store, writing: Writing) -> None:
    with held(writing):
        gone = writing.edit(Edit("c0", add(1)))
        good = writing.edit(Edit("c0", add(2)))
        alone = writing.run(lambda: store.remove("c1"))
        assert gone.cancel() and alone.cancel()

    assert good.result() == 2
    assert writing.run(lambda: store.get("c1").id).result() == "c1"


def test_whoever_is_cancelled_waits_for_the_end_of_the_edit(store: Store) -> None:
    async def body() -> None:
        records: Records[Any, Any] = Records(store)
        go_on = threading.Event()
        holding = asyncio.create_task(records.change(go_on.wait))
        await asyncio.sleep(0)
        edits = [asyncio.create_task(records.edit(name, add(1))) for name in ("c0", "c1")]
        await asyncio.sleep(0)
        edits[0].cancel()
        await asyncio.sleep(0.01)
        assert not edits[0].done()
        go_on.set()
        await asyncio.wait(edits)

        assert edits[0].cancelled() and edits[1].result() == 1
        assert (await records.get("c0")).total == 1
        await holding
        await asyncio.to_thread(records.close)

    asyncio.run(body())


def test_a_kill_leaves_all_of_a_group_or_nothing(database: str) -> None:
    killed = subprocess.run(
        [sys.executable, "-m", "operations.test_writing", database],
        cwd=Path(__file__).parents[1],
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL

    store = Store(database, [Counting.schema])
    store.open()
    assert {store.get(name).total for name in NAMES} == {1}  # what was told before, and no more
    assert store.log_text("c0") == "stored\n"
    store.close()


def _die(url: str) -> None:
    store = filled(url)
    writing = Writing(store)
    with held(writing):
        told = [writing.edit(Edit(name, add(1), lines=["stored"])) for name in NAMES]
    for one in told:
        one.result()

    def end(*_: Any) -> None:
        signal.raise_signal(signal.SIGKILL)

    sa.event.listen(store.engine, "commit", end)  # all is written, and not stored yet
    with held(writing):
        told = [writing.edit(Edit(name, add(1), lines=["lost"])) for name in NAMES]
    told[0].result()


if __name__ == "__main__":
    _die(sys.argv[1])
