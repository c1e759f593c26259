"""The documentation says everything, says it in words, and its commands exist.

After datasette's tests of its documentation. Reference pages are made from the code, so what these
tests find is what the code leaves unsaid: a setting without help, an error without a cause, a
command shown that nobody can type.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import fromcode  # noqa: E402

PAGES = [
    path
    for path in sorted(
        [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")],
        key=lambda path: path.as_posix(),
    )
    if "_build" not in path.parts
]
FENCE = re.compile(r"^( *)(`{3,})[^`\n]*\n(.*?)^\1\2$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"\s*(?:[$#] )?((?:jupyter secxops|jupyter-secxops|make)(?: .*)?)")
SPAN = re.compile(r"`(jupyter secxops(?: [^`]+)?)`")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def shown_commands(text: str) -> Iterator[str]:
    """Yield every command of ours in a block, continuation lines joined.

    Of ``cd x && make demo``, ``… | jq`` and ``… > file``, only the part that is ours.
    """
    for _, _, block in FENCE.findall(text):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            for part in re.split(r"\s(?:&&|\||>)\s", line):
                if match := COMMAND.fullmatch(part):
                    yield match[1]


def parse(line: str) -> None:
    """Parse a command line as ``jupyter secxops`` would, without running it.

    Only names, options and numbers of arguments are judged: paths of an example need not exist.
    """
    words = shlex.split(line, comments=True)
    assert words[:2] == ["jupyter", "secxops"] or words[0] == "jupyter-secxops", line
    rest = words[2:] if words[0] == "jupyter" else words[1:]
    command, context = fromcode.command_line()[0]
    while True:
        parsed, left, order = command.make_parser(context).parse_args(list(rest))
        if not isinstance(command, click.Group) or not left:
            break
        _, command, rest = command.resolve_command(context, left)  # type: ignore[assignment]
        assert command is not None
        if command.context_settings.get("ignore_unknown_options"):
            assert_settings(rest)
            return
        context = click.Context(command, info_name=command.name, parent=context)
    if isinstance(command, click.Group):
        return
    assert not left, f"{line}: {left} is too much"
    flags = {param.name for param in order}
    for param in command.get_params(context):
        if param.required and not flags & {"help", "version"}:
            # click stands for "not given" by None, or by a sentinel of its own; neither is text.
            given = parsed.get(param.name or "")
            assert isinstance(given, str | tuple) and given, f"{line}: no {param.name}"


def assert_settings(words: list[str]) -> None:
    """Check the words after a command that hands them to traitlets (``serve``)."""
    known = {
        f"--{cls.__name__}.{name}"
        for cls in fromcode.configurables()
        for name in fromcode.traits_of(cls)
    }
    for word in words:
        assert word.partition("=")[0] in known | {"--help", "--help-all", "--show-config"}, word


# --------------------------------------------------------------------------- what must be said


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as HTML, built with every warning an error."""
    out = tmp_path_factory.mktemp("docs")
    said = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-E", DOCS, out],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        check=False,
    )
    # A link that leads nowhere is one of these warnings.
    assert said.returncode == 0, said.stderr[-6000:]
    return out


def test_pages_build_without_a_warning(built: Path) -> None:
    assert (built / "index.html").is_file()


def test_every_part_made_from_the_code_is_on_a_page() -> None:
    used = [mark for page in PAGES for mark in fromcode.MARK.findall(page.read_text("utf-8"))]
    assert sorted(used) == sorted(fromcode.PARTS)


@pytest.mark.parametrize("code", fromcode.error_codes())
def test_error_has_a_cause_in_words_and_a_next_action(code: str) -> None:
    cls = fromcode.error_codes()[code]
    assert cls.text.strip() and cls.hint_text.strip()
    assert len(fromcode.causes().get(code, "").split()) >= 8, f"docs/_causes/: nothing on {code}"
    assert f"### {code}\n" in fromcode.errors()


def test_no_cause_is_left_of_an_error_that_is_gone() -> None:
    assert set(fromcode.causes()) <= set(fromcode.error_codes())


def test_no_error_has_two_causes() -> None:
    """The last one would be shown, and a change of the first seen by nobody."""
    files = (DOCS / "_causes").glob("*.md")
    said = [
        code
        for path in files
        for code in re.findall(r"^## (\w+)$", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert [code for code, times in Counter(said).items() if times > 1] == []


def test_a_room_says_itself_why_its_errors_happen() -> None:
    for code, cls in fromcode.error_codes().items():
        room = cls.__module__.removeprefix("jupyter_secxops_migrate.").removesuffix(".errors")
        text = (DOCS / "_causes" / f"{room}.md").read_text("utf-8")
        assert f"## {code}\n" in text, f"{code} belongs into docs/_causes/{room}.md"


def test_errors_stand_in_one_tree_with_unique_codes() -> None:
    fromcode.import_all()
    from jupyter_secxops_migrate import errors
    from jupyter_secxops_migrate.rooms import ROOMS

    tree = list(errors.SecxopsError.catalogue())
    rooms = {f"jupyter_secxops_migrate.{room}.errors" for room in ROOMS}
    assert {cls.__module__ for cls in tree} == {errors.__name__, *rooms}
    codes = [cls.code for cls in tree]
    assert len(codes) == len(set(codes))


def test_every_setting_is_explained(built: Path) -> None:
    shown = (built / "operators" / "settings.html").read_text("utf-8")
    for cls in fromcode.configurables():
        assert (cls.__doc__ or "").strip(), cls
        for name, trait in fromcode.traits_of(cls).items():
            assert len(trait.help.split()) >= 3, f"{cls.__name__}.{name} has no help"
            assert f"{cls.__name__}.{name}" in shown


def environment_variables() -> set[str]:
    """Every name of an environment variable that the package reads or sets by name."""
    found = set()
    for path in fromcode.PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and re.fullmatch(r"SECXOPS_[A-Z_]+", str(node.value)):
                found.add(str(node.value))
            if isinstance(node, ast.Subscript):
                said, key = ast.unparse(node.value), node.slice
            elif isinstance(node, ast.Call) and node.args:
                said, key = ast.unparse(node.func), node.args[0]
            else:
                continue
            reads = re.search(r"\benviron(\.(get|pop|setdefault))?$|\bgetenv$", said)
            if reads and isinstance(key, ast.Constant):
                found.add(str(key.value))
    return found


def test_every_environment_variable_is_explained() -> None:
    text = (DOCS / "operators" / "settings.md").read_text("utf-8")
    missing = {name for name in environment_variables() if f"`{name}`" not in text}
    assert not missing


def test_every_right_on_a_cluster_is_explained() -> None:
    """What a rule allows has its purpose in a table of the guide."""
    text = (DOCS / "operators" / "kubernetes.md").read_text("utf-8")
    rows = " ".join(re.findall(r"^\| (`[^|]+)\|", text, re.MULTILINE))
    for name in ("cluster", "project"):
        path = DOCS / "operators" / "kubernetes" / name / "rights.yaml"
        for thing in yaml.safe_load_all(path.read_text("utf-8")):
            for rule in thing.get("rules", ()):
                assert {r for r in rule["resources"] if f"`{r}`" not in rows} == set(), name


def test_the_objects_of_the_guide_to_kubernetes_can_be_read() -> None:
    """They are YAML, and the settings in them exist."""
    text = (DOCS / "operators" / "kubernetes.md").read_text("utf-8")
    blocks = re.findall(r"```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    things = [thing for block in blocks for thing in yaml.safe_load_all(block)]
    # The others are parts of what JupyterHub and Kubeflow read.
    kinds = [thing["kind"] for thing in things if "kind" in thing]
    assert kinds == ["Pod", "PersistentVolumeClaim"]
    settings = DOCS / "operators/kubernetes/site/notebooks/jupyter_secxops_config.json"
    known = {cls.__name__: fromcode.traits_of(cls) for cls in fromcode.configurables()}
    for name, written in json.loads(settings.read_text()).items():
        assert set(written) <= set(known[name])


def test_every_command_and_option_is_explained(built: Path) -> None:
    shown = (built / "reference" / "command-line.html").read_text("utf-8")
    for command, context in fromcode.command_line():
        path = context.command_path
        assert len((command.help or "").split()) >= 4, f"{path} has no help"
        assert path in shown
        for param in command.get_params(context):
            if isinstance(param, click.Option) and not param.hidden:
                assert (param.help or "").strip(), f"{path} {param.opts[0]} has no help"
                assert param.opts[0] in shown


def test_every_route_is_explained(built: Path) -> None:
    shown = (built / "reference" / "rest.html").read_text("utf-8")
    for method, path, operation in fromcode.operations(fromcode.openapi()):
        assert len(operation.get("summary", "").split()) >= 2, f"{method} {path} has no summary"
        assert f"{method} {path}" in shown
        assert all(
            raw.get("description") or "$ref" in raw for raw in operation["responses"].values()
        ), f"{method} {path}: an answer has no description"


def test_every_json_object_is_explained(built: Path) -> None:
    shown = (built / "reference" / "json.html").read_text("utf-8")
    for name, cls in fromcode.models().items():
        assert (cls.__doc__ or "").strip(), f"{name} has no docstring"
        assert f'id="{name.lower()}"' in shown
        for field in cls.model_fields:
            assert field in shown


def test_every_room_is_on_the_map() -> None:
    text = (DOCS / "developers" / "architecture.md").read_text("utf-8")
    rooms = {
        path.stem if path.is_file() else f"{path.name}/"
        for path in fromcode.PACKAGE.iterdir()
        if path.name not in ("__pycache__", "py.typed", "__init__.py", "labextension")
        and (path.suffix == ".py" or path.is_dir())
    }
    missing = {room for room in rooms if room.removesuffix("/") not in text}
    assert not missing


# --------------------------------------------------------------------------- what is shown


def test_the_engine_of_the_pictures_is_asked_as_others_are() -> None:
    sys.path.append(str(ROOT / "scripts"))
    try:
        from picture_service import PictureEngine
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    double = PictureEngine.__mro__[1]
    own = [it for name, it in vars(PictureEngine).items() if callable(it) and name[0] != "_"]
    assert own
    for method in own:
        asked = inspect.signature(getattr(double, method.__name__))
        assert inspect.signature(method).parameters.keys() == asked.parameters.keys(), method


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_shown_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    if page.name == "troubleshooting.md":
        text += fromcode.errors()
    for line in shown_commands(text):
        if line.startswith("make"):
            assert set(shlex.split(line, comments=True)[1:]) <= make_targets(), line
        else:
            parse(line)
    for span in SPAN.findall(text):
        # In a sentence a command may stand without its arguments.
        words = shlex.split(span.replace("…", ""))
        known = {context.info_name for _, context in fromcode.command_line()}
        assert not words[2:3] or words[2].startswith("-") or words[2] in known, span


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_was_never_released_is_not_installed_by_its_name(page: Path) -> None:
    text = page.read_text("utf-8")
    if page.name == "troubleshooting.md":
        text += fromcode.errors()
    assert not re.findall(r"pip3? install[^\n`]*[ '\"]jupyter.secxops.migrate", text)


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([\w-]+):(?!=)", text, re.MULTILINE))


def test_a_command_that_does_not_exist_is_found() -> None:
    for wrong in (
        "jupyter secxops teleport .",
        "jupyter secxops share . --fast",
        "jupyter secxops share a b",
        "jupyter secxops show",
        "jupyter secxops serve --SecxopsService.idle_secs=1",
    ):
        with pytest.raises((click.UsageError, AssertionError)):
            parse(wrong)


# Parts of pages are left out: building the pages that hold them follows their links.
@pytest.mark.parametrize("page", [p for p in PAGES if p.name[0] != "_"], ids=name_of)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^( *)(`{3,}).*?^\1\2$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:|#", target):
            continue
        assert (page.parent / target.partition("#")[0]).exists(), f"{name_of(page)}: {target}"
