"""The contract, as tests read it."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from typing import Any

import yaml


def contract() -> dict[str, Any]:
    text = importlib.resources.files("jupyter_secxops_migrate.web").joinpath("openapi.yaml")
    loaded: dict[str, Any] = yaml.safe_load(text.read_bytes())
    return loaded


def operations() -> Iterator[tuple[str, str]]:
    """Every method and path, relative, with ``{id}`` still in it."""
    for path, item in contract()["paths"].items():
        for method in item:
            if method != "parameters":
                yield method.upper(), path.lstrip("/")
