"""Makes the reference parts of these pages from the code, each time they are built.

A page holds a line ``<!-- from-code: errors -->``; on reading, Sphinx gets the Markdown that
`PARTS` makes in its place. Nothing generated is stored, so nothing can go stale, and a test can
ask for the same Markdown without Sphinx. This module explains nothing by itself: where the code
has no words (a setting without help), the page has none either, and ``tests/test_docs.py`` fails.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jupyter_secxops_migrate

if TYPE_CHECKING:
    import click
    from sphinx.application import Sphinx
    from traitlets.config import Configurable

DOCS = Path(__file__).parent.parent
PACKAGE = Path(jupyter_secxops_migrate.__file__).parent
MARK = re.compile(r"^<!-- from-code: ([a-z-]+) -->$", re.MULTILINE)


# --------------------------------------------------------------------------- Markdown


def words(text: str) -> str:
    """Return text from the code as Markdown: code spans stay, nothing else is markup."""
    parts = re.split(r"(`+[^`]+`+)", " ".join(text.split()))
    return "".join(
        part if part.startswith("`") else re.sub(r"([\\*<>\[\]|#])", r"\\\1", part)
        for part in parts
    )


def paragraphs(text: str) -> str:
    """Return a docstring as Markdown paragraphs."""
    return "\n\n".join(words(block) for block in re.split(r"\n\s*\n", inspect.cleandoc(text)))


def code(text: object) -> str:
    """Return a code span, whatever the text holds."""
    fence = "``" if "`" in str(text) else "`"
    return f"{fence}{text}{fence}"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table; a ``|`` in a cell is escaped."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in cells) + " |"

    heads = list(heads)
    return "\n".join([line(heads), line("---" for _ in heads), *(line(row) for row in rows)])


# --------------------------------------------------------------------------- errors


def template(text: str) -> str:
    """Return an error's sentence with its parameters in italics instead of braces."""
    return re.sub(r"\{(\w+)\}", r"*\1*", words(text))


@cache
def causes() -> dict[str, str]:
    """Return the hand-written text of ``docs/_causes/``, a file for each room: error code to Markdown."""
    found = {}
    for path in sorted((DOCS / "_causes").glob("*.md")):
        pieces = re.split(r"^## (\w+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        found |= {pieces[i]: pieces[i + 1].strip() for i in range(0, len(pieces), 2)}
    return found


@cache
def error_codes() -> dict[str, type[Any]]:
    """Return every error code and its class: those of ``errors.py``, then each room's, as they stand there."""
    from jupyter_secxops_migrate.errors import SecxopsError
    from jupyter_secxops_migrate.rooms import ROOMS

    order = [f"{PACKAGE.name}.errors", *(f"{PACKAGE.name}.{room}.errors" for room in ROOMS)]

    def place(cls: type[SecxopsError]) -> tuple[int, int]:
        return order.index(cls.__module__), inspect.getsourcelines(cls)[1]

    return {cls.code: cls for cls in sorted(SecxopsError.catalogue(), key=place)}


@cache
def errors() -> str:
    """Every error: code, message, what to do, and the causes written by hand."""
    from jupyter_secxops_migrate import errors as tree

    why = causes()
    groups = {
        "Refused by the plan": tree.Refusal,
        "A step failed": tree.StepFailed,
        "Requests": tree.RequestError,
        "Engine and service": tree.SecxopsError,
    }
    placed: dict[str, list[str]] = {title: [] for title in groups}
    for name, cls in error_codes().items():
        title = next(t for t, base in groups.items() if issubclass(cls, base))
        again = "*Trying again later may help.*\n\n" if issubclass(cls, tree.TemporaryError) else ""
        placed[title].append(
            f"### {name}\n\n> {template(cls.text)}\n\n{again}{why.get(name, '')}\n\n"
            f"**What to do:** {template(cls.hint_text)}\n"
        )
    return "\n".join(f"## {title}\n\n" + "\n".join(found) for title, found in placed.items())


def reasons() -> str:
    """What a plan says besides warnings and refusals."""
    from jupyter_secxops_migrate.sharing.reasons import REASONS

    rows = [[code(name), template(" ".join(said[:2]))] for name, said in REASONS.items()]
    return table(["Code", "Sentence"], rows)


# --------------------------------------------------------------------------- settings


def import_all() -> list[str]:
    """Import every module of the package, so that nothing configurable is overlooked."""
    names = [
        module.name
        for module in pkgutil.walk_packages(
            jupyter_secxops_migrate.__path__, "jupyter_secxops_migrate."
        )
        # What `python -m` runs, and the store's migrations, do something when imported.
        if not module.name.endswith(".__main__") and ".alembic" not in module.name
    ]
    for name in names:
        importlib.import_module(name)
    return names


def configurables() -> list[type[Configurable]]:
    """Return the package's own classes that have settings, by name."""
    from traitlets.config import Configurable

    import_all()

    def below(cls: type[Configurable]) -> Iterator[type[Configurable]]:
        for sub in cls.__subclasses__():
            yield sub
            yield from below(sub)

    own = {cls for cls in below(Configurable) if cls.__module__.startswith(PACKAGE.name + ".")}
    # A class that another one of ours is made from is configured under that one's name.
    final = (cls for cls in own if not any(cls in other.__mro__[1:] for other in own))
    return sorted((cls for cls in final if traits_of(cls)), key=lambda cls: cls.__name__)


def traits_of(cls: type[Configurable]) -> dict[str, Any]:
    """Return a class's settings by name, without those of Jupyter's own classes."""
    found = cls.class_traits(config=True)
    return {
        name: trait
        for name, trait in sorted(found.items())
        if trait.this_class.__module__.startswith(PACKAGE.name + ".")
    }


def settings() -> str:
    """Every setting: name, type, default, help."""
    out = []
    for cls in configurables():
        out.append(f"## {cls.__name__}\n\n{paragraphs(cls.__doc__ or '').split(chr(10) * 2)[0]}\n")
        for name, trait in traits_of(cls).items():
            made = any(name in vars(c).get("_trait_default_generators", {}) for c in cls.__mro__)
            default = "found out at start" if made else code(trait.default_value_repr())
            out.append(
                f"### {cls.__name__}.{name}\n\n"
                f"*Takes {words(trait.info())}. Default: {default}.*\n\n{paragraphs(trait.help)}\n"
            )
    return "\n".join(out)


# --------------------------------------------------------------------------- command line


def commands_of(
    command: click.Command, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield a command and all below it, each with the context that it is used in."""
    import click

    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            if sub is not None and not sub.hidden:
                yield from commands_of(sub, click.Context(sub, info_name=name, parent=context))


def command_line() -> list[tuple[click.Command, click.Context]]:
    """Return every command of ``jupyter secxops``."""
    import click

    from jupyter_secxops_migrate import cli
    from jupyter_secxops_migrate.commands import PROGRAM

    group = cli.command_line()
    context = click.Context(group, info_name=PROGRAM, **group.context_settings)
    return list(commands_of(group, context))


def commands() -> str:
    """Every command with its options."""
    out = []
    for command, context in command_line():
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        # click's mark for "do not wrap this paragraph" is not for readers.
        text = paragraphs((command.help or "").replace("\b", "").split("\f")[0])
        out.append(f"## {context.command_path}\n\n```text\n{usage}\n```\n\n{text}\n")
        for param in command.get_params(context):
            record = param.get_help_record(context)
            # An argument without a text of its own stands in the usage line.
            if record is not None and record[1]:
                out.append(f"{code(record[0])}\n: {words(record[1])}\n")
    return "\n".join(out)


# --------------------------------------------------------------------------- REST


def openapi() -> dict[str, Any]:
    """Return the contract, ``web/openapi.yaml``."""
    import yaml

    text = (PACKAGE / "web" / "openapi.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def operations(spec: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each method, path and operation of the contract."""
    for path, item in spec["paths"].items():
        for method in ("get", "put", "post", "patch", "delete"):
            if method in item:
                shared = item.get("parameters", [])
                operation = dict(item[method])
                operation["parameters"] = [*shared, *operation.get("parameters", [])]
                yield method.upper(), path, operation


def resolved(spec: Mapping[str, Any], item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a ``$ref`` inside the contract."""
    while "$ref" in item:
        found: Any = spec
        for key in item["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        item = found
    return item


def body_of(spec: Mapping[str, Any], holder: Mapping[str, Any]) -> str:
    """Say what a request or response body holds."""
    said = []
    for kind, media in holder.get("content", {}).items():
        schema = media.get("schema", {})
        said.append(f"{code(kind)}: {typed(schema)}" if schema else code(kind))
    return "; ".join(said)


def rest() -> str:
    """Every route: what it does, what it takes, what it answers."""
    from jupyter_secxops_migrate.web.statuses import status_of

    spec = openapi()
    out = [f"{paragraphs(spec['info'].get('description', ''))}\n\n## Routes\n"]
    common: dict[str, str] = {}
    for method, path, operation in operations(spec):
        text = paragraphs(operation.get("description", ""))
        out.append(f"### {method} {path}\n\n{words(operation.get('summary', ''))}\n\n{text}\n")
        for raw in operation["parameters"]:
            param = resolved(spec, raw)
            need = "required" if param.get("required") else "optional"
            out.append(
                f"{code(param['name'])} ({param['in']}, {need})\n"
                f": {typed(param.get('schema', {}))}. {words(param.get('description', ''))}\n"
            )
        body = resolved(spec, operation.get("requestBody", {}))
        if body:
            out.append(f"Body: {body_of(spec, body)}. {words(body.get('description', ''))}\n")
        rows: list[list[str]] = []
        failures: list[str] = []
        for status, raw in operation.get("responses", {}).items():
            answer = resolved(spec, raw)
            said = words(answer.get("description", ""))
            if "$ref" in raw and "schemas/Error" in str(answer):
                # Told once for all routes, below.
                failures.append(str(status))
                common[str(status)] = said
            else:
                rows.append([str(status), said, body_of(spec, answer)])
        out.append(table(["Status", "Meaning", "Body"], rows) + "\n")
        numbers = ", ".join(status for status in sorted(failures) if status != "default")
        out.append(f"[Errors](#errors): {numbers}.\n")
    statuses = [[code(name), str(int(status_of(cls())))] for name, cls in error_codes().items()]
    out.append("## Errors\n\nEvery body is an [Error](#error).\n")
    out.append(table(["Status", "Meaning"], ([code(k), common[k]] for k in sorted(common))) + "\n")
    out.append(table(["Code", "HTTP status"], statuses) + "\n")
    own = {
        name: schema
        for name, schema in spec.get("components", {}).get("schemas", {}).items()
        if name not in nouns()
    }
    if own:
        out.append("## Bodies of the API alone\n")
    out.extend(object_of(name, schema) for name, schema in own.items())
    return "\n".join(out)


# --------------------------------------------------------------------------- JSON


def models() -> dict[str, type[Any]]:
    """Return the nouns that are JSON objects, the record of a share first."""
    from pydantic import BaseModel

    from jupyter_secxops_migrate import model

    found = {
        name: thing
        for name in model.__all__
        if isinstance(thing := getattr(model, name), type) and issubclass(thing, BaseModel)
    }
    first = ["Migration", "ShareRequest", "Plan", "Step", "MigrationResult", "Evidence", "Finding"]
    return {name: found[name] for name in [*first, *(n for n in found if n not in first)]}


def nouns() -> list[str]:
    """Return the names that the page on JSON explains, objects and sets of values."""
    from jupyter_secxops_migrate import model

    return [name for name in model.__all__ if isinstance(getattr(model, name), type)]


def typed(schema: Mapping[str, Any]) -> str:
    """Say in words what a JSON schema allows."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        target = "/reference/json.md" if name in nouns() else "/reference/rest.md"
        return f"[{name}]({target}#{name.lower()})"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(typed(one) for one in schema[key])
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return ", ".join(code(value) for value in schema["enum"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(typed({**schema, "type": one}) for one in kind)
    if kind == "array":
        return f"list of {typed(schema.get('items', {}))}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"object of {typed(inner)}" if isinstance(inner, dict) else "object"
    if kind == "string" and "format" in schema:
        known = {"date-time": "time (RFC 3339, UTC)"}
        return known.get(schema["format"], str(schema["format"]))
    return str(kind) if kind else "any JSON"


def object_of(name: str, schema: Mapping[str, Any]) -> str:
    """Describe one JSON object: its fields, their types and defaults."""
    out = [f"### {name}\n\n{paragraphs(schema.get('description', ''))}\n"]
    if "properties" not in schema:
        return "\n".join([*out, f"{typed(schema)}\n"])
    rows = []
    for field, entry in schema["properties"].items():
        always = field in schema.get("required", [])
        default = "" if always or entry.get("default") is None else code(entry["default"])
        note = words(entry.get("description", ""))
        rows.append([code(field), typed(entry), "always" if always else default, note])
    return "\n".join([*out, table(["Field", "Type", "Default", ""], rows) + "\n"])


def json() -> str:
    """Every JSON object, from the models themselves."""
    from enum import Enum

    from jupyter_secxops_migrate import model

    out = []
    for name, cls in models().items():
        out.append(object_of(name, cls.model_json_schema(mode="serialization")))
    for name in model.__all__:
        thing = getattr(model, name)
        if isinstance(thing, type) and issubclass(thing, Enum):
            values = ", ".join(code(value.value) for value in thing)
            out.append(f"### {name}\n\n{paragraphs(thing.__doc__ or '')}\n\nOne of {values}.\n")
    return "\n".join(out)


# --------------------------------------------------------------------------- copying


def never() -> str:
    """What is never copied, from the copy's own table."""
    from jupyter_secxops_migrate.copying.never import CONTENT, NEVER

    why: dict[str, list[str]] = {}
    for rule in NEVER:
        why.setdefault(rule.reason, []).append(code(rule.path))
    for name, (_, reason) in CONTENT.items():
        why.setdefault(reason, []).append(f"{code(name.decode())} if it holds one")
    rows = [[words(reason), ", ".join(names)] for reason, names in why.items()]
    return table(["Why", "Files and folders"], rows)


def held() -> str:
    """What may hold credentials, from the copy's own tables."""
    from jupyter_secxops_migrate.copying.credentials import HELD, HELD_IF

    why: dict[str, list[str]] = {}
    for rule in HELD:
        why.setdefault(rule.reason, []).append(code(rule.path))
    for row in HELD_IF:
        why.setdefault(row.reason, []).append(f"{code(row.name)} if it holds one")
    rows = [[words(reason), ", ".join(names)] for reason, names in why.items()]
    return table(["Why", "Files and folders"], rows)


PARTS: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "errors": errors,
    "held": held,
    "json": json,
    "never": never,
    "reasons": reasons,
    "rest": rest,
    "settings": settings,
}


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the made Markdown in place of its marks, as Sphinx reads a page."""
    from sphinx.util import logging

    def made(mark: re.Match[str]) -> str:
        try:
            return PARTS[mark[1]]()
        except Exception as error:
            # A warning, so that a build with --keep-going shows all that is wrong; it fails anyway.
            logging.getLogger(__name__).warning(
                "from-code: %s: %r", mark[1], error, location=docname
            )
            return ""

    source[0] = MARK.sub(made, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
