"""The record: its schema, its sequence of events, its limits and what a list asks of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.model import (
    Migration,
    MigrationState,
    ShareRequest,
    Step,
    StepName,
    StepState,
    utcnow,
)
from jupyter_secxops_migrate.operations import journal as module
from jupyter_secxops_migrate.operations.store import Store
from jupyter_secxops_migrate.operations.tables import metadata
from jupyter_secxops_migrate.sharing.document import SHARES


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    found = Store(database, [SHARES])
    found.open()
    yield found
    found.close()


def migration(n: int = 1) -> Migration:
    return Migration(
        id=f"m{n:09d}",
        owner="anne",
        name=f"share-{n}",
        state=MigrationState.QUEUED,
        created=utcnow(),
        request=ShareRequest(project="/p", name=f"share-{n}"),
        steps=[Step(name=name) for name in StepName],
    )


def test_the_shipped_changes_make_the_tables_that_the_code_uses(store: Store) -> None:
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_record_of_today_is_opened_again(store: Store) -> None:
    store.add("share", migration())

    again = Store(store.url.render_as_string(hide_password=False), [SHARES])
    again.open()

    assert again.get("m000000001").name == "share-1"
    again.close()


def test_progress_replaces_progress_and_keeps_the_order(store: Store) -> None:
    made = store.add("share", migration())
    for done in range(200):
        with store.edit(made.id) as draft:
            step = draft.step(StepName.COPY)
            step.state, step.done = StepState.RUNNING, done

    events = [event for _, event in store.owned_events("anne", 0)]

    assert [e.kind for e in events] == ["state", "step"]
    assert events[-1].step is not None and events[-1].step.done == 199
    assert events[-1].id == store.last_event() == 201
    with store.edit(made.id) as draft:
        draft.step(StepName.COPY).state = StepState.DONE
    ((_, last),) = store.owned_events("anne", events[-1].id)
    assert last.id == 202 and last.step is not None and last.step.state is StepState.DONE


def test_an_edit_that_fails_changes_nothing(store: Store) -> None:
    made = store.add("share", migration())
    before = store.last_event()

    with pytest.raises(ZeroDivisionError), store.edit(made.id) as draft:
        draft.record.state = MigrationState.RUNNING
        raise ZeroDivisionError

    assert store.get(made.id).state is MigrationState.QUEUED
    assert store.last_event() == before


def test_a_long_log_keeps_its_newest_lines(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_LINES", 1000)
    made = store.add("share", migration())
    for n in range(0, 5000, 100):
        store.log(made, [f"line {k}" for k in range(n, n + 100)])

    lines = store.log_text(made.id).splitlines()

    assert 1000 <= len(lines) < 1600 and lines[-1] == "line 4999"


def test_a_line_is_cut_and_holds_no_escapes(store: Store) -> None:
    made = store.add("share", migration())

    store.log(made, ["x" * 10_000, "\x1b[31mred\x00\tend"])

    first, second = store.log_text(made.id).splitlines()
    assert len(first) == module.LINE_LENGTH
    assert second == "red\\x00\tend"


def test_a_listener_hears_of_every_change(store: Store) -> None:
    heard = []
    unlisten = store.listen(lambda _: heard.append(store.last_event()))

    store.add("share", migration(1))
    unlisten()
    store.add("share", migration(2))

    assert heard == [1]


def test_the_one_queued_first_is_next_in_line(store: Store) -> None:
    for n in (1, 2, 3):
        store.add("share", migration(n))
    assert store.next_in_line(2) == "m000000001"

    with store.edit("m000000001") as draft:
        draft.record.state = MigrationState.RUNNING
    assert store.next_in_line(1) is None
    assert store.next_in_line(2) == "m000000002"

    with store.edit("m000000001") as draft:  # tried again: it goes to the end of the line
        draft.record.state = MigrationState.FAILED
    with store.edit("m000000001") as draft:
        draft.record.state, draft.record.attempt = MigrationState.QUEUED, 2
    assert store.next_in_line(1) == "m000000002"


def test_a_thousand_are_listed_with_as_few_questions_as_ten(store: Store) -> None:
    asked: list[str] = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))

    def questions() -> int:
        asked.clear()
        store.list("share", "anne")
        return len(asked)

    for n in range(10):
        store.add("share", migration(n))
    of_ten = questions()
    for n in range(10, 1000):
        store.add("share", migration(n))

    assert 0 < questions() == of_ten
    found = store.list("share", "anne")
    assert len(found) == 1000 and found[0].id == "m000000999"


def test_a_page_and_a_log_are_one_question_each(store: Store) -> None:
    asked: list[str] = []
    for n in range(5):
        store.add("share", migration(n))
    store.log(migration(1), ["a line"])
    sa.event.listen(store.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))

    page = store.list("share", "anne", 2, "m000000003")
    assert [one.id for one in page] == ["m000000002", "m000000001"] and len(asked) == 1
    assert store.log_text("m000000001", "anne", "share") == "a line\n" and len(asked) == 2
    assert store.log_text("m000000002", "anne") == ""
    assert store.list("share", "anne", 2, "m000000000") == []
    for absent, owner in (("m000000009", "anne"), ("m000000001", "bob")):
        with pytest.raises(errors.NotFound):
            store.list("share", owner, 2, absent)
        with pytest.raises(errors.NotFound):
            store.log_text(absent, owner)


def test_an_event_says_what_it_is_about_as_the_tables_have_it(store: Store) -> None:
    made = store.add("share", migration())
    store.log(made, ["a line"])
    about = {"kind": "share", "id": made.id}

    with store.engine.connect() as connection:
        bodies = connection.scalars(sa.select(metadata.tables["events"].c.body)).all()
    assert [body["subject"] for body in bodies] == [about, about]
    assert [e.subject.model_dump() for _, e in store.owned_events("anne", 0)] == [about, about]
