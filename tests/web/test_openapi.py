"""The contract and the server agree: by their fields, their routes, and by schemathesis.

schemathesis makes requests from the contract, good and bad ones, sends them to the running server,
and compares what comes back with what the contract promises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args

import pytest
import schemathesis
from effort import examples
from hypothesis import HealthCheck, Phase, settings
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from schemathesis.checks import CHECKS

from jupyter_secxops_migrate import model
from jupyter_secxops_migrate.routes import by_path
from jupyter_secxops_migrate.serverapp import forwarders
from jupyter_secxops_migrate.web.handlers import handlers
from jupyter_secxops_migrate.web.routes import table

from .contract import contract, operations
from .host import ALICE, Host, serving

SCHEMAS = contract()["components"]["schemas"]
NOUNS = {name: getattr(model, name) for name in model.__all__}
MODELS = {
    name: noun
    for name, noun in NOUNS.items()
    if isinstance(noun, type) and issubclass(noun, BaseModel)
}
ENUMS = {
    name: noun for name, noun in NOUNS.items() if isinstance(noun, type) and issubclass(noun, Enum)
}


# --------------------------------------------------------------------------- against the models


def written(schema: dict[str, Any]) -> dict[str, Any]:
    """The parts of a field's schema that are a promise, in one form."""
    found = {k: v for k, v in schema.items() if k not in ("title", "description", "default")}
    options = found.pop("anyOf", None)
    if options is not None:
        types: set[str] = set()
        for option in options:
            plain = written(option)
            kind = plain.pop("type", [])
            types |= set(kind)
            found.update(plain)
        found["type"] = sorted(types)
    elif isinstance(found.get("type"), str):
        found["type"] = [found["type"]]
    elif isinstance(found.get("type"), list):
        found["type"] = sorted(found["type"])
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = written(found[key])
    return found


MADE = models_json_schema(
    [(noun, "serialization") for noun in MODELS.values()],
    ref_template="#/components/schemas/{model}",
)[1]["$defs"]


@pytest.mark.parametrize("name", MODELS)
def test_every_field_of_a_model_is_in_the_contract_as_it_is(name: str) -> None:
    said, made = SCHEMAS[name], MADE[name]
    assert list(said["properties"]) == list(made["properties"])
    assert set(said.get("required", [])) == set(made.get("required", []))
    if name == "ShareRequest":
        # Its fields are narrower in words (patterns) than in types; schemathesis compares them.
        return
    if name == "Step":
        # Other kinds of operations have steps of their own; what routes there are show those of shares.
        made["properties"]["name"] = made["properties"]["name"]["anyOf"][0]
    for field, schema in made["properties"].items():
        assert written(said["properties"][field]) == written(schema), field


@pytest.mark.parametrize("name", ENUMS)
def test_every_set_of_values_is_in_the_contract(name: str) -> None:
    assert SCHEMAS[name]["enum"] == [value.value for value in ENUMS[name]]


def test_events_have_the_kinds_of_the_contract() -> None:
    kinds = get_args(model.Event.model_fields["kind"].annotation)
    assert SCHEMAS["Event"]["properties"]["kind"]["enum"] == list(kinds)


def test_a_request_takes_the_fields_of_the_contract_and_no_other() -> None:
    assert SCHEMAS["ShareRequest"]["additionalProperties"] is False
    assert model.ShareRequest.model_config["extra"] == "forbid"


# --------------------------------------------------------------------------- against the routes


def paths(routes: list[tuple[str, Any]], prefix: str) -> Iterator[tuple[str, str]]:
    for route, handler in routes:
        plain = re.sub(r"\(\[\^/\]\+\)", "{id}", route.removeprefix(prefix).replace("\\", ""))
        verbs = re.search(r"\((\w+(?:\|\w+)+)\)", plain)
        for path in [plain.replace(verbs[0], v) for v in verbs[1].split("|")] if verbs else [plain]:
            for method in handler.allowed_methods():
                yield method, path.lstrip("/")


def test_the_service_has_the_routes_of_the_contract_and_no_other() -> None:
    assert sorted(paths(handlers(table()), "")) == sorted(operations())


def test_the_jupyter_server_forwards_the_routes_of_the_contract_and_no_other() -> None:
    forwarded = set(paths(forwarders(table())[:-1], "secxops/api/v1/"))
    assert {pair for pair in forwarded if pair[0] != "OPTIONS"} == set(operations())


# --------------------------------------------------------------------------- against the server


@pytest.fixture(scope="module")
def running() -> Iterator[Host]:
    with serving() as host:
        yield host


def config() -> schemathesis.Config:
    return schemathesis.Config.from_dict(
        {
            "checks": {
                # The path of a request is judged by the service, which answers 400.
                "positive_data_acceptance": {
                    "expected-statuses": ["2xx", 400, 401, 403, 404, 409, 422]
                },
            },
        }
    )


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Make most projects absolute, so that more than the path is judged."""
    if isinstance(body, dict) and isinstance(body.get("project"), str) and body["project"]:
        return {**body, "project": f"/{body['project']}"[:4096]}
    return body


document = contract()
# A stream that starts now has no end; streams have tests of their own.
del document["paths"]["/events"]
# The memory has shares; every other room's own tests ask for what is its own.
for other in by_path([route for route in table() if route.room != "sharing"]):
    del document["paths"][other]
loaded = schemathesis.openapi.from_dict(document, config=config())


@loaded.parametrize()
@settings(
    max_examples=examples(25),
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_server_keeps_the_contract(case: schemathesis.Case, running: Host) -> None:
    case.call_and_validate(
        base_url=f"{running.url}/secxops/api/v1",
        headers={"Authorization": f"token {ALICE}"},
        timeout=20,
    )


def test_schemathesis_brings_all_its_checks() -> None:
    names = set(CHECKS.get_all_names())
    assert {"not_a_server_error", "status_code_conformance", "response_schema_conformance"} <= names
