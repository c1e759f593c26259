"""The cluster's API with nothing but the standard library: JSON over TLS as the cluster's admin."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from steps import Stop

MERGE = "application/merge-patch+json"


class Refused(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """Asks one API server.

    Parameters
    ----------
    address
        Its host and port.
    ca, certificate, key
        Whom to believe, and who asks; without the last two nobody does.
    """

    def __init__(
        self, address: str, ca: Path, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        self._address = address
        self.headers: dict[str, str] = {}
        self._context = ssl.create_default_context(cafile=str(ca))
        if certificate is not None:
            self._context.load_cert_chain(certificate, key)

    def __call__(
        self, method: str, path: str, body: object = None, content: str = "application/json"
    ) -> Any:
        """Send one request and return the answer's JSON, or its text where it is none.

        Raises
        ------
        Refused
            The status is 400 or more.
        OSError
            Nobody answers.
        """
        connection = http.client.HTTPSConnection(self._address, timeout=15, context=self._context)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": content, **self.headers})
            answer = connection.getresponse()
            text = answer.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from None
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(answer.status, text[:500])
        return json.loads(text) if text.startswith("{") else text

    def create(self, path: str, item: Mapping[str, object]) -> None:
        """Create an object; one that is there already is left as it is."""
        try:
            self("POST", path, item)
        except Refused as error:
            if error.status != 409:
                raise


def is_there(api: Api, path: str) -> bool:
    """Say whether somebody answers, if only that we may not ask."""
    try:
        api("GET", path)
    except Refused as refused:
        return refused.status == 401
    return True


def wait(
    what: str, holds: Callable[[], bool], seconds: float, unless: Callable[[], str] = lambda: ""
) -> None:
    """Ask again and again until it holds, or until there is a reason why it never will.

    Raises
    ------
    Stop
        There is one, or the time is over.
    """
    deadline = time.monotonic() + seconds
    last = ""
    while True:
        try:
            if holds():
                return
        except (OSError, Refused) as error:
            last = f" ({error})"
        if reason := unless():
            raise Stop(f"{what}: {reason}")
        if time.monotonic() > deadline:
            raise Stop(f"Not within {seconds:.0f} s: {what}{last}.")
        time.sleep(0.05)
