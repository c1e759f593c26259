"""What a database's refusals mean: no room, no right to write, not what it was, not there.

SQLite says little of what the operating system told it; where its words may mean several things, a
small file beside the record shows which.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import URL, Engine, ExceptionContext

from .. import errors
from ..runtime import NO_ROOM, refusal
from .errors import StoreCorrupt, StoreFailed, StoreFull, StoreReadOnly

# By their words: a SQLite error has its number only from Python 3.11 on.
_MEANS: tuple[tuple[str, type[errors.SecxopsError]], ...] = (
    ("database or disk is full", StoreFull),
    ("no space left on device", StoreFull),
    ("could not extend file", StoreFull),
    ("readonly database", StoreReadOnly),
    ("file is not a database", StoreCorrupt),
    ("disk image is malformed", StoreCorrupt),
)
# No inode for a file beside it is "unable to open", a used-up quota an "I/O error".
_UNCLEAR = ("disk i/o error", "unable to open database file")
_PROBE_BYTES = 65_536
"""SQLite maps half as much for its readers, and writes the rest page by page."""


def place(url: URL) -> str:
    """Return where a database is: a file's path, or a URL without its password."""
    file = url.get_backend_name() == "sqlite" and url.database
    return file or url.render_as_string(hide_password=True)


def meaning(error: BaseException, store: str) -> errors.SecxopsError | None:
    """Return what an error of a database, or of a file beside it, says about the store.

    Parameters
    ----------
    error
        The database driver's, SQLAlchemy's, or the operating system's.
    store
        Where the store is, see `place`.
    """
    if isinstance(error, OSError):
        return StoreFull(store=store) if error.errno in NO_ROOM else None
    said = str(getattr(error, "orig", None) or error).lower()
    if any(words in said for words in _UNCLEAR):
        return _tried(Path(store))
    return next((kind(store=store) for words, kind in _MEANS if words in said), None)


def _tried(store: Path) -> errors.SecxopsError:
    """Return what hinders a small file beside the store."""
    try:
        with tempfile.TemporaryFile(dir=store.resolve().parent) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        found = refusal(error, store)
        return found or StoreFailed(store=str(store), reason=error.strerror or str(error))
    if store.exists() and not os.access(store, os.W_OK):
        return StoreReadOnly(store=str(store))
    return StoreFailed(store=str(store), reason="its disk reports an input/output error")


def speak_our_words(engine: Engine) -> None:
    """Raise our own error wherever a database refuses for one of these reasons."""
    store = place(engine.url)

    @event.listens_for(engine, "handle_error")
    def translate(context: ExceptionContext) -> None:
        found = meaning(context.original_exception, store)
        nobody = context.is_disconnect or context.connection is None
        if found is None and nobody:
            found = StoreFailed(store=store, reason="its database server does not answer")
        if found is not None:
            raise found from context.original_exception
