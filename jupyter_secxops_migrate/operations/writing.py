"""The line in which all changes of the record wait for their turn.

They are made one after another, in the order in which they were asked for, the urgent ones first. Edits that
wait behind each other are made together, so the line moves as fast with twenty operations that tell of their
work as with one. Nobody is told that a change was made before it is stored.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa

from ..threads import Line
from .editing import Edit
from .store import Store

T = TypeVar("T")
Group: TypeAlias = list[tuple[Edit, "Future[Any]"]]


class Writing:
    """Changes a store, from a thread of its own.

    Parameters
    ----------
    store
        What is changed. Threads other than an event loop's may change it as well.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._line = Line("record")
        self._joining = threading.Lock()
        self._open: dict[bool, Group | None] = {True: None, False: None}
        """The last in the line, by urgency, where that is a group: more may join it."""

    def run(self, function: Callable[[], T], *, urgent: bool = False) -> Future[T]:
        """Have any change made: edits that are asked for later come after it."""
        with self._joining:
            self._open[urgent] = None
            return self._line.run(function, urgent=urgent)

    def edit(self, edit: Edit, *, urgent: bool = False) -> Future[Any]:
        """Have an edit made, together with those that it waits behind."""
        told: Future[Any] = Future()
        with self._joining:
            group = self._open[urgent]
            if group is None:
                group = self._open[urgent] = []
                self._line.run(lambda: self._make(group, urgent), urgent=urgent)
            group.append((edit, told))
        return told

    def close(self) -> None:
        """End once all that was asked for is done (blocking)."""
        self._line.close()

    def _make(self, group: Group, urgent: bool) -> None:
        with self._joining:
            if self._open[urgent] is group:
                self._open[urgent] = None
        wanted = [(edit, told) for edit, told in group if told.set_running_or_notify_cancel()]
        self._make_together(wanted)

    def _make_together(self, wanted: Group) -> None:
        try:
            self._store.edit_all([edit for edit, _ in wanted])
        except BaseException as error:
            if len(wanted) > 1 and isinstance(error, sa.exc.SQLAlchemyError):
                # The database is there, and refuses something of one of them: nothing of this is stored.
                for edit, told in wanted:
                    edit.result = edit.error = None
                    self._make_together([(edit, told)])
                return
            for _, told in wanted:
                told.set_exception(error)
        else:
            for edit, told in wanted:
                _tell(edit, told)


def _tell(edit: Edit, told: Future[Any]) -> None:
    if edit.error is None:
        told.set_result(edit.result)
    else:
        told.set_exception(edit.error)
