"""A kind of operation that knows no share gets everything that shares have."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.model import MigrationState, StepState
from jupyter_secxops_migrate.operations.errors import IdempotencyConflict
from jupyter_secxops_migrate.operations.service import Operations

from .counting import (
    ANNE,
    STEPS,
    AtWork,
    Counting,
    add,
    ended,
    hangs,
    working,
)


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtWork]:
    with working(tmp_path_factory.mktemp("counting")) as found:
        yield found


@pytest.fixture(autouse=True)
def undisturbed(at_work: AtWork) -> Iterator[None]:
    yield
    for path in at_work.folder.iterdir():
        if path.name.startswith(("trouble-", "hangs-")):
            path.unlink()


def test_its_steps_are_done_and_its_result_is_there(at_work: AtWork) -> None:
    async def body(operations: Operations, kind: Counting) -> None:
        record = await add(operations, kind, "n1")
        assert [step.name for step in record.steps] == list(STEPS)
        done = await ended(operations, kind, record)

        assert done.state is MigrationState.SUCCEEDED and done.total == 111
        assert all(step.state is StepState.DONE for step in done.steps)
        while operations.busy():  # noqa: ASYNC110 - as the host of the real service does
            await asyncio.sleep(0.01)
        # The same key gives the same one, another body is a conflict.
        key = await add(operations, kind, "two", "k")
        assert (await add(operations, kind, "two", "k")).id == key.id
        with pytest.raises(IdempotencyConflict):
            await add(operations, kind, "three", "k")
        await ended(operations, kind, key)

    at_work.run(body)


@pytest.mark.parametrize("step", STEPS)
def test_one_that_is_cancelled_in_a_step_leaves_nothing(at_work: AtWork, step: str) -> None:
    at_work.trouble(**{step: "hang"})

    async def body(operations: Operations, kind: Counting) -> None:
        record = await add(operations, kind, f"cancelled-{step}")
        await hangs(at_work.folder, step)
        await operations.cancel(kind.records, record.id, ANNE)
        done = await ended(operations, kind, record)

        assert done.state is MigrationState.CANCELLED
        assert done.error is not None and done.error.code == "cancelled"
        assert not any(s.state is StepState.RUNNING for s in done.steps)
        assert kind.left_behind(record.id) == []

    at_work.run(body)


def test_what_runs_beside_a_step_that_fails_ends_and_has_not_failed(at_work: AtWork) -> None:
    at_work.trouble(left="hang")

    async def body(operations: Operations, kind: Counting) -> None:
        record = await add(operations, kind, "n5")
        await hangs(at_work.folder, "left")
        done = await ended(operations, kind, record)

        assert done.error is not None and done.error.code == "engine_failed"
        states = {step.name: step.state for step in done.steps}
        assert states == {
            "first": StepState.DONE,
            "left": StepState.WAITING,
            "right": StepState.FAILED,
        }
        assert kind.left_behind(record.id) == []

    at_work.trouble(right="fail3")
    at_work.run(body)


def test_one_that_failed_is_tried_again_as_a_new_attempt(at_work: AtWork) -> None:
    at_work.trouble(first="fail3")

    async def body(operations: Operations, kind: Counting) -> None:
        record = await add(operations, kind, "n6")
        assert (await ended(operations, kind, record)).state is MigrationState.FAILED
        assert "Trying again." in await operations.log(kind.records, record.id, ANNE)

        again = await operations.retry(kind.records, record.id, ANNE)
        assert again.attempt == 2 and again.error is None
        done = await ended(operations, kind, record)

        assert done.state is MigrationState.SUCCEEDED and done.total == 111
        await operations.remove(record.id)
        with pytest.raises(errors.NotFound):
            await kind.records.get(record.id)

    at_work.run(body)


def test_what_could_not_be_removed_is_removed_by_the_next_attempt(at_work: AtWork) -> None:
    at_work.trouble(right="fail3")
    at_work.trouble(remove="fail3")

    async def body(operations: Operations, kind: Counting) -> None:
        record = await add(operations, kind, "n7")
        assert (await ended(operations, kind, record)).state is MigrationState.FAILED
        assert kind.left_behind(record.id) != [] and (await kind.records.document(record.id)).left

        await operations.retry(kind.records, record.id, ANNE)

        done = await ended(operations, kind, record)
        assert done.state is MigrationState.SUCCEEDED, done
        assert not (await kind.records.document(record.id)).left

    at_work.run(body)


def test_one_kind_does_not_see_anothers(at_work: AtWork) -> None:
    from jupyter_secxops_migrate.sharing.document import SHARES

    async def body(operations: Operations, kind: Counting) -> None:
        record = await add(operations, kind, "n9")
        await ended(operations, kind, record)
        shares = operations.records.of(SHARES)
        with pytest.raises(errors.NotFound):
            await shares.get(record.id)
        assert await shares.ids() == [] and await shares.documents() == {}
        assert await shares.free_name(ANNE, "n9") == "n9"

    at_work.run(body)


def test_fifty_who_follow_do_not_ask_the_record_fifty_times(at_work: AtWork) -> None:
    asked: list[str] = []

    def note(*told: Any) -> None:
        if told[2].startswith("SELECT events"):
            asked.append(told[2])

    async def body(operations: Operations, kind: Counting) -> None:
        heard: Counter[int] = Counter()
        last = await operations.records.last_event()

        async def follow(number: int) -> None:
            async for event in operations.events(kind.records, ANNE, None, last):
                heard[number] += event.state is MigrationState.SUCCEEDED

        following = [asyncio.create_task(follow(number)) for number in range(50)]
        for turn, name in enumerate(("warm", "counted"), start=1):
            asked.clear()
            await ended(operations, kind, await add(operations, kind, name))
            while sum(heard.values()) < 50 * turn:  # noqa: ASYNC110 - nobody says so
                await asyncio.sleep(0.01)
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)

    sa.event.listen(at_work.operations.store.engine, "before_cursor_execute", note)
    at_work.run(body)

    assert 0 < len(asked) < 50


def test_events_say_of_which_kind_they_are(at_work: AtWork) -> None:
    async def body(operations: Operations, kind: Counting) -> None:
        record = await add(operations, kind, "subject")
        await ended(operations, kind, record)
        await operations.remove(record.id)
        rows = await kind.records.owned_events(ANNE, 0, record.id)

        assert [event.kind for _, event in rows] == ["deleted"]
        for _, event in rows:
            assert json.loads(event.text)["subject"] == {"kind": "count", "id": record.id}
            assert event.migration == record.id

    at_work.run(body)
