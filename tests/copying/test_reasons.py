"""Whether each reason why something stays has a code that a client can translate."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from jupyter_secxops_migrate.copying import commit, copier, never, source, why
from jupyter_secxops_migrate.copying.reasons import REASONS, code_of


def given(module: str) -> set[str]:
    """The reasons that a module of the copy gives in words of its own."""
    calls = (n for n in ast.walk(ast.parse(Path(module).read_text())) if isinstance(n, ast.Call))
    return {
        part.value
        for call in calls
        if ast.unparse(call.func) in ("Skip", "self._outcome.skip", "self._batches.skip")
        for argument in call.args
        for part in ast.walk(argument)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


@pytest.mark.parametrize(
    "reasons",
    [
        {rule.reason for rule in never.NEVER},
        {reason for _, reason in never.CONTENT.values()},
        set(why.KINDS.values()),
        given(source.__file__),
        given(commit.__file__),
        given(copier.__file__),
    ],
)
def test_each_reason_has_a_code(reasons: set[str]) -> None:
    assert reasons
    assert {reason for reason in reasons if not code_of(reason)} == set()


def test_a_reason_that_names_something_has_one_too() -> None:
    assert code_of("its attribute user.x can't be read") == "attribute_lost"
    assert code_of("and 12 more, which the metadata file lists") == "more_listed"
    assert code_of("because") == ""
    assert len(set(REASONS.values())) == len(REASONS)
