"""The command line on a real connection to the real routes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from web.host import ALICE, serving

from jupyter_secxops_migrate.cli import run
from jupyter_secxops_migrate.client import MigrationClient
from jupyter_secxops_migrate.commands import Exit

from .desk import Said, Secxops


@pytest.fixture
def over_http(capsys: pytest.CaptureFixture[str]) -> Iterator[Secxops]:
    """The command line on a real connection to the real routes."""
    with serving() as host:

        def call(*words: str | Path) -> Said:
            status = run(
                [str(word) for word in words],
                connect=lambda: MigrationClient(host.url, ALICE),
            )
            return Said(status, *capsys.readouterr())

        yield call


def test_a_share_over_http_from_first_to_last(over_http: Secxops, project: Path) -> None:
    said = over_http("share", project, "--name", "mine", "--json")
    assert (said.status, said.document["state"]) == (Exit.DONE, "succeeded")
    assert "?token=" in said.document["result"]["url"]
    assert "Verify  done" in said.err
    lines = over_http("logs", "mine", "--json").document["lines"]
    assert [line for line in lines if line.startswith("build:")] == ["build: Zeile \u2028 één"]
    assert over_http("stop", "mine", "--json").document["environment"]["status"] == "stopped"
    assert over_http("delete", "mine", "--yes").status == Exit.DONE
    assert over_http("list", "--json").document == []


def test_cancelling_over_http(over_http: Secxops, project: Path) -> None:
    over_http("share", project, "--name", "slow-one", "--no-wait")
    said = over_http("cancel", "slow-one", "--json")
    assert (said.status, said.document["state"]) == (Exit.DONE, "cancelled")


def test_a_failure_over_http_and_its_retry(over_http: Secxops, project: Path) -> None:
    assert over_http("share", project, "--name", "fail-here").status == Exit.FAILED
    said = over_http("retry", "fail-here", "--json")
    assert (said.status, said.document["attempt"]) == (Exit.FAILED, 2)
    assert said.document["error"]["code"] == "build_failed"


def test_an_answer_of_the_service_is_the_same_error_here(over_http: Secxops) -> None:
    said = over_http("check", "/missing", "--json")
    assert (said.status, said.document["code"]) == (Exit.USAGE, "no_such_path")
