"""A service that is told to end does: nothing of the workflow engine stays behind and keeps the process."""

from __future__ import annotations

import threading
import time

from .world import World, eventually


def at_work() -> list[str]:
    """The threads of workflows that are still there."""
    return [t.name for t in threading.enumerate() if t.name.startswith("dbos-executor")]


def test_shares_that_begin_while_the_service_ends_keep_no_thread(asleep: World) -> None:
    for number in range(6):
        asleep.start()
        # Some are recorded and taken up, some are just being started when the end comes.
        starting = [asleep.submit(asleep.api().share(asleep.request())) for _ in range(3)]
        time.sleep(0.03 * number)
        asleep.stop()
        for share in starting:
            share.exception(timeout=10)
        eventually(lambda: not at_work(), 10)
