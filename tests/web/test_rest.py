"""The routes, from outside: what is answered, to whom, and what is never said."""

from __future__ import annotations

import json
import logging
import socket
import time

import httpx
import pytest

from jupyter_secxops_migrate.errors import SecxopsError
from jupyter_secxops_migrate.fields import WANTED
from jupyter_secxops_migrate.model import ShareRequest
from jupyter_secxops_migrate.web import statuses

from .contract import operations
from .host import ALICE, Host
from .memory import TOKEN
from .service import wait_until

ERROR = {"code", "message", "hint", "params"}
OPERATIONS = list(operations())


def shared(client: httpx.Client, **fields: object) -> str:
    response = client.post("migrations", json={"project": "/p", **fields})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def ended(client: httpx.Client, migration: str) -> dict[str, object]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = client.get(f"migrations/{migration}").json()
        if found["state"] in ("succeeded", "failed", "cancelled"):
            return dict(found)
        time.sleep(0.02)
    raise AssertionError(f"{migration} goes on and on")


# --------------------------------------------------------------------------- who asks


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_without_token_nothing_is_answered(nobody: httpx.Client, method: str, path: str) -> None:
    response = nobody.request(method, path.format(id="m1"), json={"project": "/p"})
    assert response.status_code == 401
    assert response.json()["code"] == "unauthenticated"


@pytest.mark.parametrize("header", ["token wrong", "Basic dG9rZW4=", f"{ALICE}", "token", ""])
def test_a_wrong_token_is_nobody(nobody: httpx.Client, header: str) -> None:
    assert nobody.get("doctor", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for method, path in OPERATIONS if "{id}" in path]
)
def test_what_is_somebody_elses_is_not_there(
    alice: httpx.Client, bob: httpx.Client, method: str, path: str
) -> None:
    of_alice = shared(alice, name="slow-one")
    theirs = bob.request(method, path.format(id=of_alice))
    absent = bob.request(method, path.format(id="no-such"))
    assert theirs.status_code == absent.status_code == 404
    assert theirs.json()["code"] == absent.json()["code"] == "not_found"
    assert alice.get(f"migrations/{of_alice}").json()["state"] in ("queued", "running")
    assert of_alice not in bob.get("migrations").text
    alice.delete(f"migrations/{of_alice}")


def test_events_of_somebody_elses_are_not_sent(alice: httpx.Client, bob: httpx.Client) -> None:
    of_alice = shared(alice)
    ended(alice, of_alice)
    assert bob.get("events", params={"migration": of_alice}).status_code == 404


def test_a_name_rebound_to_this_address_is_turned_away(alice: httpx.Client) -> None:
    response = alice.get("doctor", headers={"Host": "attacker.example"})
    assert response.status_code == 403
    assert response.json()["code"] == "forbidden"


def test_no_other_site_is_invited(alice: httpx.Client) -> None:
    response = alice.get("doctor", headers={"Origin": "https://attacker.example"})
    assert not [name for name in response.headers if name.startswith("access-control")]


# --------------------------------------------------------------------------- what is asked


@pytest.mark.parametrize("path", ["migrations", "plans"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", ""),
        (b"{", ""),
        (b"[]", ""),
        (b"{}", "project"),
        (b'{"project": 1}', "project"),
        (b'{"project": ""}', "project"),
        (b'{"project": "/p\\u0000"}', "project"),
        (b'{"project": "/p", "cpu": "2"}', "cpu"),
        (b'{"project": "/p", "cpu": NaN}', ""),
        (b'{"project": "/p", "gpu": -1}', "gpu"),
        (b'{"project": "/p", "memory": "lots"}', "memory"),
        (b'{"project": "/p", "memory": 1}', "memory"),
        (b'{"project": "/p", "name": "a\\nb"}', "name"),
        (b'{"project": "/p", "surprise": true}', "surprise"),
        (b'{"project": "\xff"}', ""),
        (b'{"project": "/p", "data": ' + b"[" * 5000 + b"]" * 5000 + b"}", ""),
    ],
)
def test_a_malformed_body_is_400(alice: httpx.Client, path: str, body: bytes, field: str) -> None:
    response = alice.post(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert set(response.json()) == ERROR
    assert response.json()["code"] == "invalid_request"
    assert field in response.json()["params"]["fields"][0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"memory": -5}, "memory has to be a size from 64M to 1024T, such as 512M or 2G"),
        ({"cpu": "two"}, "cpu has to be a number of CPUs from 0.01 to 4096, such as 2 or 0.5"),
        ({"gpu": 1.5}, "gpu has to be a whole number of GPUs from 0 to 64"),
        ({"data": "/d"}, "data has to be paths of folders, at most 32"),
        ({"data": ["/d", 3]}, "data.1 has to be paths of folders, at most 32"),
        ({"colour": 1}, "there is no field colour"),
        ({"source": {"pod": "A"}}, "source.pod has to be a running pod's name"),
    ],
)
def test_a_wrong_field_is_told_what_it_has_to_be(
    alice: httpx.Client, wrong: dict[str, object], said: str
) -> None:
    answer = alice.post("plans", json={"project": "/p", **wrong}).json()
    assert answer["message"].startswith(f"The request is not valid: {said}")


def test_each_field_of_a_request_has_its_words() -> None:
    assert set(WANTED) == set(ShareRequest.model_fields)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_must_say_that_it_is_json(alice: httpx.Client, kind: str) -> None:
    response = alice.post(
        "migrations", content=b'{"project": "/p"}', headers={"Content-Type": kind}
    )
    assert response.status_code == 400


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 40 * 1024 * 1024])
@pytest.mark.parametrize("path", ["migrations", "plans", "migrations/m1/cancel"])
def test_a_huge_body_is_413(alice: httpx.Client, path: str, size: int) -> None:
    response = alice.post(path, content=b" " * size, headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert response.json()["code"] == "request_too_large"
    assert alice.get("doctor").status_code == 200


def test_a_huge_body_without_length_is_413(alice: httpx.Client) -> None:
    response = alice.post(
        "migrations",
        content=(b" " * 65536 for _ in range(40)),
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 413


def test_a_body_of_just_the_limit_is_read(alice: httpx.Client) -> None:
    body = b'{"project": "/p"}'
    response = alice.post(
        "plans",
        content=body + b" " * (1024 * 1024 - len(body)),
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        *("", "project=", "project=%00", "project=%ff", "project=/p&data=", "project=/p" * 3000),
        *("project=/p&pod=", "project=/p&pod=..", "project=/p&pod=a%2Fb", "project=/p&container=c"),
    ],
)
def test_a_malformed_query_is_400(alice: httpx.Client, query: str) -> None:
    response = alice.get(f"environment?{query}")
    assert response.status_code == 400
    assert set(response.json()) == ERROR


@pytest.mark.parametrize("fields", [{"project": "p"}, {"project": "/p", "data": ["/d", "../d"]}])
def test_a_relative_path_starts_nowhere(alice: httpx.Client, fields: dict[str, object]) -> None:
    for response in (
        alice.post("migrations", json=fields),
        alice.post("plans", json=fields),
        alice.get("environment", params=fields),  # type: ignore[arg-type]
    ):
        assert response.status_code == 400
        assert response.json()["code"] == "no_such_path"


@pytest.mark.parametrize("after", ["-1", "1.5", "x", "9" * 19, "１"])
def test_a_malformed_place_in_the_sequence_is_400(alice: httpx.Client, after: str) -> None:
    assert alice.get("events", params={"after": after}).status_code == 400


@pytest.mark.parametrize("limit", ["0", "-1", "x", "9" * 19])
def test_a_malformed_limit_is_400(alice: httpx.Client, limit: str) -> None:
    assert alice.get("migrations", params={"limit": limit}).status_code == 400


def test_the_list_comes_in_pages(alice: httpx.Client, bob: httpx.Client) -> None:
    made = [shared(alice) for _ in range(3)][::-1]

    def page(**asked: object) -> list[str]:
        answer = alice.get("migrations", params=asked)  # type: ignore[arg-type]
        return [one["id"] for one in answer.json()]

    assert page(limit=2) == made[:2]
    assert page(limit=1, before=made[1]) == made[2:]
    assert bob.get("migrations", params={"before": made[0]}).status_code == 404


@pytest.mark.parametrize("key", ["", "with space", "x" * 201, "é".encode()])
def test_a_malformed_idempotency_key_is_400(alice: httpx.Client, key: str | bytes) -> None:
    headers = [(b"Idempotency-Key", key if isinstance(key, bytes) else key.encode())]
    response = alice.post("migrations", json={"project": "/p"}, headers=headers)
    assert response.status_code == 400


@pytest.mark.parametrize("path", ["", "nope", "migrations/m1/explode", "migrations/", "%2e%2e/x"])
def test_an_unknown_address_is_404(alice: httpx.Client, path: str) -> None:
    response = alice.get(path)
    assert response.status_code == 404
    assert set(response.json()) == ERROR


@pytest.mark.parametrize("migration", ["..", "%2e%2e%2f", "a%0ab", "x" * 65, "-m", "%ff", "$(x)"])
def test_an_id_that_can_be_none_is_not_there(alice: httpx.Client, migration: str) -> None:
    response = alice.get(f"migrations/{migration}/log")
    assert response.status_code in (400, 404)
    assert set(response.json()) == ERROR


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "migrations/m1", "GET, DELETE"),
        ("GET", "plans", "POST"),
        ("PUT", "orphans", "GET, POST, DELETE"),
        ("DELETE", "migrations", "GET, POST"),
        ("OPTIONS", "migrations", "GET, POST"),
        ("TRACE", "doctor", "GET"),
        ("PATCH", "migrations/m1/cancel", "POST"),
    ],
)
def test_a_wrong_method_is_405_with_allow(
    alice: httpx.Client, method: str, path: str, allow: str
) -> None:
    response = alice.request(method, path)
    assert response.status_code == 405
    assert response.headers["Allow"] == allow
    assert response.json()["code"] == "method_not_allowed"


# --------------------------------------------------------------------------- what is answered


def test_a_share_is_accepted_and_found_at_its_location(alice: httpx.Client, host: Host) -> None:
    response = alice.post("migrations", json={"project": "/p", "memory": "2G", "cpu": 2})
    assert response.status_code == 202
    found = httpx.get(
        host.url + response.headers["Location"],
        headers={"Authorization": f"Bearer {ALICE}"},
        trust_env=False,
    )
    assert found.json()["id"] == response.json()["id"]
    assert found.json()["request"]["memory"] == 2 * 1024**3


def test_one_key_makes_one_share(alice: httpx.Client) -> None:
    headers = {"Idempotency-Key": "once"}
    first = alice.post("migrations", json={"project": "/p"}, headers=headers)
    second = alice.post("migrations", json={"project": "/p"}, headers=headers)
    other = alice.post("migrations", json={"project": "/q"}, headers=headers)
    assert first.status_code == second.status_code == 202
    assert first.json()["id"] == second.json()["id"]
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_conflict"


def test_only_a_single_get_tells_the_token(alice: httpx.Client) -> None:
    migration = shared(alice)
    ended(alice, migration)
    assert TOKEN in alice.get(f"migrations/{migration}").json()["result"]["url"]
    assert TOKEN not in alice.get("migrations").text
    assert TOKEN not in alice.get("events", params={"after": 0, "migration": migration}).text


def test_a_share_has_a_life(alice: httpx.Client) -> None:
    failing = shared(alice, name="fail-it")
    assert ended(alice, failing)["error"]["code"] == "build_failed"  # type: ignore[index]
    assert alice.post(f"migrations/{failing}/cancel").status_code == 409
    retried = alice.post(f"migrations/{failing}/retry")
    assert (retried.status_code, retried.json()["attempt"]) == (202, 2)
    slow = shared(alice, name="slow-one")
    assert alice.post(f"migrations/{slow}/stop").status_code == 409
    assert alice.post(f"migrations/{slow}/cancel").status_code == 202
    assert ended(alice, slow)["state"] == "cancelled"
    done = shared(alice)
    ended(alice, done)
    stopped = alice.post(f"migrations/{done}/stop")
    assert (stopped.status_code, stopped.json()["environment"]) == (200, {"status": "stopped"})
    assert alice.post(f"migrations/{done}/start").json()["environment"] == {"status": "running"}
    log = alice.get(f"migrations/{done}/log")
    assert log.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "één" in log.text
    deleted = alice.delete(f"migrations/{done}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert alice.get(f"migrations/{done}").status_code == 404


def test_an_exception_that_is_none_of_ours_says_nothing(
    alice: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="jupyter_secxops_migrate"):
        response = alice.get("environment", params={"project": "/crash/s3cret"})
    assert response.status_code == 500
    assert response.json()["code"] == "internal"
    assert "s3cret" not in response.text
    assert "RuntimeError" in caplog.text
    assert "s3cret" not in caplog.text


def test_the_access_log_has_no_query_body_or_token(
    alice: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="jupyter_secxops_migrate"):
        alice.get("environment", params={"project": "/q-secret"})
        alice.post("plans", json={"project": "/b-secret"})
        # The line is written after the answer was.
        wait_until(lambda: "/plans" in caplog.text)
    assert "GET /secxops/api/v1/environment 200" in caplog.text
    assert "POST /secxops/api/v1/plans 200" in caplog.text
    assert not [word for word in ("q-secret", "b-secret", ALICE) if word in caplog.text]


def test_every_error_has_a_status() -> None:
    for cls in SecxopsError.catalogue():
        assert 400 <= statuses.status_of(cls()) < 600


# --------------------------------------------------------------------------- the stream


def read_events(text: str) -> list[tuple[str, dict[str, object]]]:
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def test_a_stream_replays_and_ends_with_its_migration(alice: httpx.Client) -> None:
    migration = shared(alice)
    response = alice.get("events", params={"migration": migration, "after": 0})
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.text.startswith("retry: ")
    events = read_events(response.text)
    assert events[-1] == ("end", {})
    assert events[-2][1]["state"] == "succeeded"
    numbers = [data["id"] for _, data in events[:-1]]
    assert numbers == sorted(set(numbers))  # type: ignore[type-var]


def test_a_stream_is_taken_up_where_it_was_left(alice: httpx.Client) -> None:
    migration = shared(alice)
    everything = read_events(alice.get("events", params={"migration": migration, "after": 0}).text)
    middle = everything[4][1]["id"]
    # The header is the later word: the query is that of the first connection.
    rest = alice.get(
        "events",
        params={"migration": migration, "after": 0},
        headers={"Last-Event-ID": str(middle)},
    )
    assert read_events(rest.text) == everything[5:]


def test_a_stream_that_nobody_reads_any_more_ends(alice: httpx.Client, host: Host) -> None:
    with alice.stream("GET", "events") as response:
        # Held: the connection closes with its iterator.
        chunks = response.iter_raw()
        next(chunks)
        assert not host.application.activity.quiet
    wait_until(lambda: host.application.activity.quiet)


def test_a_client_that_leaves_in_the_middle_of_its_body_is_not_waited_for(host: Host) -> None:
    address = host.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as peer:
        peer.sendall(
            f"POST /secxops/api/v1/plans HTTP/1.1\r\nHost: {':'.join(address)}\r\n"
            f"Authorization: token {ALICE}\r\nContent-Length: 100\r\n\r\n{{".encode()
        )
        wait_until(lambda: not host.application.activity.quiet)
    wait_until(lambda: host.application.activity.quiet)


def test_a_silent_stream_is_kept_alive(
    alice: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_secxops_migrate.web.stream.KEEP_ALIVE_SECONDS", 0.05)
    with alice.stream("GET", "events") as response:
        text = ""
        for chunk in response.iter_text():
            text += chunk
            if "\n: \n\n: \n" in text:
                return
    raise AssertionError(text)
