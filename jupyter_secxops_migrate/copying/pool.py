"""A few processes that work on batches, and one that hands them out.

Made for trees: the parent finds out what is to be done faster than the children do it, so what
waits is kept marshalled (a batch of 250 names is a few kilobytes) and never grows over
``QUEUE_BYTES``. Children answer with small messages. A child that finds its parent gone ends; a
parent that leaves `Pool` kills its children. No threads, and no knowledge of copying.
"""

from __future__ import annotations

import contextlib
import errno
import marshal
import os
import select
import signal
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Orphaned", "Pool", "default_workers"]

QUEUE_BYTES = 24 << 20
# How large batches are made by whoever walks a tree.
BATCH_ENTRIES = 256
# Large enough that two processes seldom make files in one folder, where they would wait for each other.
BATCH_BYTES = 16 << 20
LARGE = 64 << 20
AHEAD = 3  # batches that a child has at hand, so that it never waits for the parent

Message = Any
Send = Callable[[Message], None]
Work = Callable[[Message], None]


class Orphaned(BaseException):
    """The parent is gone; a child ends on this."""


def default_workers() -> int:
    """Return as many processes as there are CPUs for us, eight at most.

    A process with other threads is not forked (what they hold locked would stay locked in the
    child), so there the answer is 1, which means no child at all.
    """
    if threading.active_count() > 1:
        return 1
    return max(1, min(8, len(os.sched_getaffinity(0))))


class _Child:
    def __init__(self, pid: int, tasks: int, answers: int) -> None:
        self.pid, self.tasks, self.answers = pid, tasks, answers
        self.outstanding = 0
        self.buffer = bytearray()


class Pool:
    """Run ``start(index, send)`` in ``workers`` processes; it returns what works on a batch.

    With one worker the work is done in this process, when `messages` is drained. ``on_message`` gets
    what the children send, in no fixed order. A batch is answered by a message of its own from the
    work, so the pool needs none.
    """

    def __init__(
        self,
        workers: int,
        start: Callable[[int, Send], Work],
        on_message: Callable[[Message], None],
    ) -> None:
        self._start, self._on_message = start, on_message
        self._waiting: deque[bytes] = deque()
        self._urgent: deque[bytes] = deque()
        self.waiting_bytes = 0
        self._children: list[_Child] = []
        self._by_fd: dict[int, _Child] = {}
        self._own: Work | None = None
        self._poll = select.poll()
        self._workers = workers

    def __enter__(self) -> Pool:
        if self._workers == 1:
            self._own = self._start(0, self._on_message)
            return self
        for index in range(self._workers):
            self._fork(index)
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        for child in self._children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, 0)
            os.close(child.tasks)
            os.close(child.answers)
        self._children.clear()

    def _fork(self, index: int) -> None:
        task_out, task_in = os.pipe()
        answer_out, answer_in = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                os.close(task_in)
                os.close(answer_out)
                # Ends of an elder sibling's pipes: held open here, that one would not see its end.
                for child in self._children:
                    os.close(child.tasks)
                    os.close(child.answers)
                _serve(self._start, index, parent, task_out, answer_in)
                status = 0
            except (Orphaned, BrokenPipeError):
                pass
            except MemoryError:
                status = errno.ENOMEM
            except BaseException:
                import traceback  # takes as long to load as all of this

                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(task_out)
        os.close(answer_in)
        child = _Child(pid, task_in, answer_out)
        self._children.append(child)
        self._by_fd[answer_out] = child
        self._poll.register(answer_out, select.POLLIN)

    @property
    def full(self) -> bool:
        """Whether so much waits that nothing more should be added now."""
        return self.waiting_bytes > QUEUE_BYTES

    @property
    def busy(self) -> bool:
        """Whether anything waits or is worked on."""
        return bool(
            self._waiting or self._urgent or any(child.outstanding for child in self._children)
        )

    def add(self, batch: Message, *, urgent: bool = False) -> None:
        """Put a batch (what `marshal` writes) into the queue, or at its front."""
        data = marshal.dumps(batch)
        (self._urgent if urgent else self._waiting).append(data)
        self.waiting_bytes += len(data)

    def turn(self, timeout: float) -> None:
        """Hand out what can be, and take what comes within ``timeout`` seconds."""
        if self._own is not None:
            if self._waiting or self._urgent:
                self._own(marshal.loads(self._next()))
            return
        self._hand_out()
        if not any(child.outstanding for child in self._children):
            return
        for descriptor, _ in self._poll.poll(timeout * 1000):
            self._receive(self._by_fd[descriptor])
        self._hand_out()

    def drain(self) -> Iterator[None]:
        """Work until nothing waits and nobody works; yields several times a second."""
        while self.busy:
            self.turn(0.2)
            yield

    def _next(self) -> bytes:
        data = (self._urgent or self._waiting).popleft()
        self.waiting_bytes -= len(data)
        return data

    def _hand_out(self) -> None:
        while self._waiting or self._urgent:
            child = min(self._children, key=lambda c: c.outstanding)
            if child.outstanding >= AHEAD:
                return
            data = self._next()
            try:
                _write(child.tasks, struct.pack("<I", len(data)) + data)
            except BrokenPipeError:
                raise _end_of(child) from None
            child.outstanding += 1

    def _receive(self, child: _Child) -> None:
        data = os.read(child.answers, 1 << 16)
        if not data:
            raise _end_of(child)
        child.buffer += data
        view = child.buffer
        while len(view) >= 4:
            (length,) = struct.unpack_from("<I", view)
            if len(view) < 4 + length:
                break
            message = marshal.loads(bytes(view[4 : 4 + length]))
            del view[: 4 + length]
            if message is None:
                child.outstanding -= 1
            else:
                self._on_message(message)


def _end_of(child: _Child) -> Exception:
    """Return how a child that is gone ended."""
    status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    if status == errno.ENOMEM:
        return MemoryError()
    return ChildProcessError(f"a copying process ended ({status})")


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _serve(
    start: Callable[[int, Send], Work], index: int, parent: int, tasks: int, answers: int
) -> None:
    def send(message: Message) -> None:
        if os.getppid() != parent:
            raise Orphaned
        data = marshal.dumps(message)
        _write(answers, struct.pack("<I", len(data)) + data)

    work = start(index, send)
    with open(tasks, "rb", buffering=1 << 16) as pipe:
        while len(head := pipe.read(4)) == 4:
            (length,) = struct.unpack("<I", head)
            batch = marshal.loads(pipe.read(length))
            work(batch)
            send(None)
