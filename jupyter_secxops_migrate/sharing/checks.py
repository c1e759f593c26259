"""What `doctor` says of the record of shares."""

from __future__ import annotations

from pathlib import Path

from ..model import Check
from ..operations.store import Store
from ..printable import counted
from ..runtime import lost_with, on_network

_LOST = {
    "container": "in the container's own layer, and lost with it",
    "pod": "in an emptyDir, and lost with the pod",
    "memory": "in memory, and lost when that is cleared",
}


def record_check(store: Store) -> Check:
    """Say where the record lies, and whether it stays there (blocking)."""
    shares = counted(len(store.ids()), "share is", "shares are")
    message = f"{shares} on record, in {store.place}."
    if store.shared:
        return Check(name="store", state="ok", message=message)
    folder = Path(store.place).absolute()
    hint = (
        "Set SECXOPS_DATA_DIR to a folder on a volume that is no network file system, or "
        "SecxopsService.store_url to a database."
    )
    if lost := lost_with(folder):
        message = f"{message[:-1]}: {_LOST[lost]}."
    elif on_network(folder):
        message = f"{message[:-1]}: on a network file system, whose locks can't be trusted."
    else:
        return Check(name="store", state="ok", message=message)
    return Check(name="store", state="warning", message=message, hint=hint)
