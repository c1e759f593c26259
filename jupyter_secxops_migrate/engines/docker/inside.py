"""The look from inside a running container."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator, Sequence

from ..health import TOKEN_FOLDER
from ..inside import Look, failed
from ..names import Names
from ..orders import InsideOrder, VolumeSeen
from .connection import Connection, StreamingClient

_INPUT = f"{TOKEN_FOLDER}/inside"
# Gone from the container before it is read.
_BEFORE = f"exec <{_INPUT} && rm -f {_INPUT} || exit 1; "


async def look_inside(connection: Connection, order: InsideOrder) -> Sequence[VolumeSeen]:
    """Execute the look in the environment's container."""
    look = Look(order)
    output = connection.stream(
        "look at the copy from inside", lambda client: _output(client, order, look)
    )
    return await look.answer(output)


def _output(client: StreamingClient, order: InsideOrder, look: Look) -> Iterator[bytes]:
    """Yield what it prints (blocking)."""
    container = Names(order.migration).environment
    probe = order.probe
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            entry = tarfile.TarInfo(_INPUT.lstrip("/"))
            entry.size, entry.mode = look.size, 0o400
            entry.uid, entry.gid = probe.uid, probe.gid
            with tempfile.TemporaryFile() as content:
                for chunk in look.input():
                    content.write(chunk)
                content.seek(0)
                archive.addfile(entry, content)
        file.seek(0)
        client.put_archive(container, "/", file)
    # An entrypoint that runs JupyterLab may have become another user than the image names.
    user = f"{probe.uid}:{probe.gid}" if probe.entrypoint == "runs" else ""
    made = client.exec_create(container, look.command(_BEFORE), user=user, stdin=False)["Id"]
    errors_said = b""
    for out, error in client.exec_start(made, stream=True, demux=True):
        if out:
            yield out
        errors_said = (errors_said + (error or b""))[-500:]
    if status := client.exec_inspect(made)["ExitCode"]:
        reason = errors_said.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise failed(reason or f"it ended with status {status}")
