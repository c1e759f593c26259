"""Whether what answers at an environment's port is a JupyterLab that goes by its own token.

Whatever an image starts there is asked, so its answer is hostile: it is read up to `MOST_BYTES` and
`ANSWER_SECONDS` in all, no redirect in it is followed, and nothing in it says where to ask next. How
the bytes come and go is the engine's.
"""

from __future__ import annotations

import http
import http.client
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import LaunchFailed
from .orders import LaunchOrder

PORT = 8888
"""Where an environment's JupyterLab listens."""
TOKEN_FOLDER = "/run/secxops"  # noqa: S105 - a folder
"""Where an environment has what only its own user may read."""
ANSWER_SECONDS = 2.0
"""How long a whole answer may take, from connecting to its last byte."""
MOST_BYTES = 64 * 1024
"""How long an answer may be. Jupyter's are a few hundred bytes."""
VERSION = "/api"
"""What anybody may ask a Jupyter server."""
STATUS = "/api/status"
"""What only those may ask who have the token."""
LINES_LOOKED_AT = 500
"""How many of the last lines of an environment's log are searched for why it does not answer."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,9})\r\n", re.IGNORECASE)
_RUNNING = "is running at:"
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?:\[[0-9a-fA-F:.]{2,45}\]|[\w.-]{1,253})(?::\d{1,5})?"
    r"(?P<path>/(?:[^\s?#/]{1,200}/){0,9})(?:lab|tree|notebooks|doc)?/?(?=[?\s]|$)"
)
_TOKEN = re.compile(r"(token=)[^\s&]+")
_LINES_SAID = 20
_OF_STATUS = {"started", "last_activity", "connections", "kernels"}


@dataclass(frozen=True)
class Answer:
    """What came back; ``status`` is 0 for what is no HTTP, is too long or was not ended in time."""

    status: int = 0
    body: bytes = b""

    @property
    def said(self) -> Mapping[str, Any]:
        """The JSON object in it; empty for anything else."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def request(path: str, port: int, token: str | None = None) -> bytes:
    """Return what to send; ``token`` only for what `is_jupyter`."""
    lines = [f"GET {path} HTTP/1.0", f"Host: 127.0.0.1:{port}", "Accept: application/json"]
    if token is not None:
        lines.append(f"Authorization: token {token}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def complete(data: bytes) -> bool:
    """Whether an answer is whole, or too long to wait for the rest; else it ends with its connection."""
    head, end, body = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n") if end else None
    return len(data) > MOST_BYTES or (length is not None and len(body) >= int(length[1]))


def read(data: bytes) -> Answer:
    """Read an answer that is complete."""
    if len(data) > MOST_BYTES:
        return Answer()
    response = http.client.HTTPResponse(_Received(data))  # type: ignore[arg-type]  # all it asks of a socket is `makefile`
    try:
        response.begin()
        return Answer(response.status, response.read())
    except (http.client.HTTPException, ValueError, OSError):
        return Answer()


def is_jupyter(version: Answer) -> bool:
    """Whether a Jupyter server gave this answer to `VERSION`."""
    return version.status == http.HTTPStatus.OK and isinstance(version.said.get("version"), str)


def refuses(stranger: Answer) -> bool:
    """Whether this is how a Jupyter server answers `STATUS` to who has no token."""
    return stranger.status == http.HTTPStatus.FORBIDDEN


def admits(known: Answer) -> bool:
    """Whether this is how a Jupyter server answers `STATUS` to who has its token."""
    return known.status == http.HTTPStatus.OK and known.said.keys() >= _OF_STATUS


def elsewhere(log: str) -> str:
    """Return why JupyterLab can't be asked though it runs, by the addresses in its log; empty if it can.

    An image may bring a Jupyter configuration that has it answer at other addresses than an environment's.
    """
    said = log.rpartition(_RUNNING)[2] if _RUNNING in log else ""
    for address in _ADDRESS.finditer(said):
        sets = []
        if address["path"] != "/":
            sets.append(f"base_url ({address['path']})")
        if address["scheme"] == "https":
            sets.append("certfile")
        if sets:
            return (
                "its JupyterLab runs, but not at an environment's address: the image's Jupyter "
                f"configuration sets {' and '.join(sets)}"
            )
    return ""


def launch_failed(order: LaunchOrder, log: str, reason: str) -> LaunchFailed:
    """Return the error of an environment that did not start, with what its JupyterLab has logged."""
    lines = _TOKEN.sub(r"\1…", log.replace(order.token, "…")).strip().splitlines()
    error = LaunchFailed(reason=reason, id=order.migration)
    # How we have asked is of no interest.
    error.said = [line for line in lines if f" GET {VERSION} " not in line][-_LINES_SAID:]
    return error


class _Received:
    """Bytes as a socket, for the standard library's reader of HTTP."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)
