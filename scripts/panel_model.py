"""Make the panel's types of what the service says and takes, from its contract (``openapi.yaml``).

Run by ``catalogues.py``. Only what the roots below lead to is declared. An answer has every field: the service
writes its defaults as well, and one of an earlier version is replaced before it answers. What a client sends,
and an event, leave out what they don't need.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import contract
import yaml

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "labextension" / "src" / "core" / "model.ts"
ROOTS = ("Environment", "Event", "Migration", "Plan")
SPARSE = {"Event", "PodSource", "ShareRequest"}
HEAD = """\
/**
 * What the service says and takes: made of its contract, `openapi.yaml`, by scripts/catalogues.py.
 *
 * Sizes are bytes, times are UTC in RFC 3339, CPUs are cores. An answer has every field; requests and events
 * have those that they need.
 */
"""
PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean"}
REF = re.compile(r"#/components/schemas/(\w+)")

Schema = Mapping[str, Any]


def source() -> str:
    """Return the text of ``model.ts``."""
    schemas: Mapping[str, Schema] = yaml.safe_load(contract.source())["components"]["schemas"]
    return "\n".join([HEAD, *(_declared(name, schemas) for name in sorted(_reached(schemas)))])


def _reached(schemas: Mapping[str, Schema]) -> set[str]:
    found: set[str] = set()
    ahead = list(ROOTS)
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += REF.findall(json.dumps(schemas[name]))
    return {name for name in found if _is_named(schemas[name])}


def _is_named(schema: Schema) -> bool:
    """Say whether a schema has a declaration of its own; a plain text with a pattern has none."""
    return "properties" in schema or "enum" in schema


def _declared(name: str, schemas: Mapping[str, Schema]) -> str:
    schema = schemas[name]
    said = _comment(schema.get("description"), "")
    if "enum" in schema:
        return f"{said}export type {name} =\n  {_type(schema, schemas)};\n"
    lines = [f"{said}export interface I{name} {{"]
    lines += _fields(schema, schema.get("required", ()) if name in SPARSE else None, schemas)
    return "\n".join([*lines, "}", ""])


def _fields(
    schema: Schema, required: Sequence[str] | None, schemas: Mapping[str, Schema]
) -> Iterator[str]:
    for name, field in schema["properties"].items():
        comment = _comment(field.get("description"), "  ")
        optional = "" if required is None or name in required else "?"
        yield f"{comment}  {name}{optional}: {_type(field, schemas)};"


def _type(schema: Schema, schemas: Mapping[str, Schema]) -> str:
    if "$ref" in schema:
        [name] = REF.findall(schema["$ref"])
        target = schemas[name]
        if not _is_named(target):
            return _type(target, schemas)
        return name if "enum" in target else f"I{name}"
    if "enum" in schema:
        return " | ".join(f"'{value}'" for value in schema["enum"])
    if "anyOf" in schema:
        return _either(_type(one, schemas) for one in schema["anyOf"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return _either(_type({**schema, "type": one}, schemas) for one in kind)
    if kind == "null":
        return "null"
    if kind == "array":
        inner = _type(schema["items"], schemas)
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if kind == "object":
        more = schema.get("additionalProperties", True)
        return f"Record<string, {_type(more, schemas) if isinstance(more, dict) else 'unknown'}>"
    return PLAIN[str(kind)]


def _either(types: Iterator[str]) -> str:
    """Return a union, each of its members once."""
    return " | ".join(dict.fromkeys(types))


def _comment(text: str | None, indent: str) -> str:
    """Return a description as a comment above what it describes."""
    if not text:
        return ""
    paragraphs = [" ".join(part.split()) for part in text.replace("*/", "* /").split("\n\n")]
    lines: Sequence[str] = [
        line
        for n, part in enumerate(paragraphs)
        for line in (*([""] if n else []), *textwrap.wrap(part, 96))
    ]
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    body = "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines)
    return f"{indent}/**\n{body}{indent} */\n"
