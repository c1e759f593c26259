from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from .host import ALICE, BOB, Host, serving


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with serving() as found:
        yield found


def client_of(host: Host, token: str | None) -> httpx.Client:
    headers = {"Authorization": f"token {token}"} if token else {}
    return httpx.Client(
        base_url=f"{host.url}/secxops/api/v1/", headers=headers, trust_env=False, timeout=20
    )


@pytest.fixture
def alice(host: Host) -> Iterator[httpx.Client]:
    with client_of(host, ALICE) as client:
        yield client


@pytest.fixture
def bob(host: Host) -> Iterator[httpx.Client]:
    with client_of(host, BOB) as client:
        yield client


@pytest.fixture
def nobody(host: Host) -> Iterator[httpx.Client]:
    with client_of(host, None) as client:
        yield client
