"""The look from inside at what was copied: what is run in an environment, and what it says.

`copying.inside` is sent along with the paths, as an image has nothing of this package.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from .. import errors
from ..copying import inside
from ..copying.manifest import meta_path
from ..printable import printable
from .orders import InsideOrder, VolumeSeen

SECONDS = 900
"""After which a look gives up."""
SAID_BYTES = 1 << 20
"""How much is read of what it says."""
_CHUNK = 1 << 20
_ACTION = "look at the copy from inside"
_FIND = (
    # The interpreter that runs JupyterLab, as no PATH needs to have it; else any.
    'for e in /proc/[0-9]*/exe; do p=$(readlink "$e" 2>/dev/null); '
    'case "$p" in */python*) [ -x "$p" ] && break;; esac; p=; done; '
    '[ -n "$p" ] || p=$(command -v python3 || command -v python) || exit 127; '
)
_RUN = "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))"


class Look:
    """One look: its command, its input, and the reading of its answer."""

    def __init__(self, order: InsideOrder) -> None:
        self._order = order
        self._script = Path(inside.__file__).read_bytes()
        self._lists = [Path(meta_path(volume.manifest)) for volume in order.volumes]
        self._sizes = [path.stat().st_size for path in self._lists]
        self.size = len(self._script) + sum(self._sizes)
        """Bytes of its input."""

    def command(self, before: str = "") -> list[str]:
        """Return what is to be executed; ``before`` is shell text of ours that runs first."""
        volumes = [
            {
                "mount": volume.path,
                "size": size,
                "writes": volume.writes,
                "own": list(volume.own),
            }
            for volume, size in zip(self._order.volumes, self._sizes, strict=True)
        ]
        said = json.dumps({"seconds": SECONDS, "volumes": volumes})
        text = f'{before}{_FIND}exec "$p" -I -S -c "$1" "$2" "$3"'
        return ["/bin/sh", "-c", text, "secxops", _RUN, str(len(self._script)), said]

    def input(self) -> Iterator[bytes]:
        """Yield what it reads."""
        yield self._script
        for path, size in zip(self._lists, self._sizes, strict=True):
            with path.open("rb") as file:
                while size and (chunk := file.read(min(size, _CHUNK))):
                    size -= len(chunk)
                    yield chunk

    async def answer(self, output: AsyncGenerator[bytes]) -> list[VolumeSeen]:
        """Read what it prints while it runs, which ends with the reading.

        Raises
        ------
        errors.EngineFailed
            It takes too long, or is no answer.
        """
        said = bytearray()

        async def follow() -> None:
            async with aclosing(output) as chunks:
                async for chunk in chunks:
                    said.extend(chunk[: SAID_BYTES - len(said)])

        try:
            await asyncio.wait_for(follow(), SECONDS)
        except (asyncio.TimeoutError, TimeoutError):
            raise failed(f"it took longer than {SECONDS} seconds") from None
        return self.read(bytes(said))

    def read(self, said: bytes) -> list[VolumeSeen]:
        """Read its answer.

        Raises
        ------
        errors.EngineFailed
            It is none.
        """
        try:
            answer = json.loads(said.strip().rpartition(b"\n")[2])
            volumes = [volume_seen(row) for row in answer["volumes"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise failed("it gave no answer") from None
        if len(volumes) != len(self._order.volumes):
            raise failed("it gave half an answer")
        return volumes


def failed(reason: str) -> errors.EngineFailed:
    """Return the error of a look that did not come to its end."""
    return errors.EngineFailed(action=_ACTION, reason=reason)


def volume_seen(row: Any) -> VolumeSeen:
    """Return what `copying.inside` says of a volume."""

    def names(rows: Any) -> tuple[str, ...]:
        return tuple(printable(str(name)) for name in rows)

    first = row["first"]
    return VolumeSeen(
        paths=int(row["paths"]),
        hidden=int(row["hidden"]),
        unreadable=int(row["unreadable"]),
        unwritable=int(row["unwritable"]),
        locked=int(row["locked"]),
        covers=names(row["covers"]),
        first_hidden=names(first["hidden"]),
        first_unreadable=names(first["unreadable"]),
        first_unwritable=names(first["unwritable"]),
        first_locked=names(first["locked"]),
    )
