"""``%secxops`` in a real kernel and in IPython's console, with a service that keeps shares in memory."""

from __future__ import annotations

import io
import json
import os
import queue
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from rich.console import Console
from web.memory import TOKEN, full_plan
from web.service import command, end, wait_until

from jupyter_secxops_migrate.model import Plan, Route
from jupyter_secxops_migrate.runtime import Runtime
from jupyter_secxops_migrate.sharing.terminal import show_plan

SECONDS = 30
FILE = "explore.ipynb"


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """The user's service, in a process of its own."""
    folder = tmp_path_factory.mktemp("magics")
    before = os.environ.get("SECXOPS_DATA_DIR")
    os.environ["SECXOPS_DATA_DIR"] = str(folder / "secxops")
    found = Runtime.find()
    found.make()
    process = subprocess.Popen(command(), start_new_session=True, cwd=folder)
    wait_until(lambda: found.listener() is not None)
    yield found
    end(found)
    process.wait(SECONDS)
    if before is None:
        del os.environ["SECXOPS_DATA_DIR"]
    else:
        os.environ["SECXOPS_DATA_DIR"] = before


@dataclass
class Cell:
    """What a cell showed: each display by its id, as it is now, and all it ever showed."""

    displays: dict[str, dict[str, str]] = field(default_factory=dict)
    shown: list[dict[str, str]] = field(default_factory=list)
    stream: str = ""
    error: list[str] = field(default_factory=list)
    status: str = ""

    @property
    def text(self) -> str:
        return "\n".join(data["text/plain"] for data in self.displays.values())

    @property
    def everything(self) -> str:
        return self.stream + "".join(part for data in self.shown for part in data.values())


class Notebook:
    """A person with a notebook whose kernel has the magic."""

    def __init__(self, client: BlockingKernelClient, manager: KernelManager, file: Path) -> None:
        self.client, self.manager, self.file = client, manager, file

    def run(
        self,
        code: str,
        until: Callable[[Cell], Any] = lambda _: True,
        then: Any = None,
        cell_id: str | None = None,
    ) -> Cell:
        """Run a cell until it is done and its outputs are as wanted; ``then`` is called once they are."""
        cell = Cell()
        asked = self.ask(code, cell_id)
        idle, deadline = False, time.monotonic() + SECONDS
        while not (idle and until(cell)):
            assert time.monotonic() < deadline, (cell, idle)
            try:
                message = self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                continue
            content = message["content"]
            kind = message["msg_type"]
            if kind in ("display_data", "update_display_data"):
                shown = content["transient"].get("display_id", str(len(cell.displays)))
                cell.displays[shown] = content["data"]
                cell.shown.append(content["data"])
            elif kind == "stream":
                cell.stream += content["text"]
            elif kind == "error":
                cell.error = content["traceback"]
            elif kind == "status" and message["parent_header"].get("msg_id") == asked:
                idle = idle or content["execution_state"] == "idle"
            if then is not None and until(cell):
                then()
                then = None
        cell.status = self.reply(asked)["status"]
        return cell

    def ask(self, code: str, cell_id: str | None) -> str:
        """Ask for a cell as JupyterLab does, which says which one it is."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        metadata = {} if cell_id is None else {"cellId": cell_id}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def reply(self, asked: str) -> dict[str, Any]:
        while True:
            reply = self.client.get_shell_msg(timeout=SECONDS)
            if reply["parent_header"].get("msg_id") == asked:
                return dict(reply["content"])

    def complete(self, code: str) -> list[str]:
        return list(self.reply(self.client.complete(code))["matches"])


@pytest.fixture(scope="module")
def notebook(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    manager = KernelManager(kernel_name="python3")
    project = tmp_path_factory.mktemp("project")
    manager.start_kernel(
        cwd=str(project),
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "JPY_SESSION_NAME": str(project / FILE),
        },
    )
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=SECONDS)
        person = Notebook(client, manager, project / FILE)
        assert person.run("%load_ext jupyter_secxops_migrate").status == "ok"
        yield person
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


class Page(HTMLParser):
    """What a browser makes of HTML: the tags with their attributes, and the lines that people read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.lines = [""]
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("div", "tr"):
            self.lines.append("")
        elif tag in ("td", "th"):
            self.lines[-1] += "  "

    def handle_data(self, data: str) -> None:
        self.lines[-1] += data

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)


def facts(lines: Iterable[str]) -> list[list[str]]:
    """The words of each line that has some."""
    return [line.split() for line in lines if line.strip()]


def terminals(show: Callable[[Console], None]) -> list[list[str]]:
    """What a terminal that is wide enough says."""
    file = io.StringIO()
    show(Console(file=file, width=4000, highlight=False))
    return facts(file.getvalue().splitlines())


def test_a_plan_is_tables_of_the_notebook_with_the_terminals_facts(notebook: Notebook) -> None:
    cell = notebook.run("%secxops plan --name full-1")

    shown = cell.shown[0]
    page = Page(shown["text/html"])
    plan = full_plan(Plan(name="full-1", route=Route.STAY, node="here"))
    wanted = terminals(lambda console: show_plan(console, plan))
    assert facts(page.lines) == wanted
    assert facts(shown["text/plain"].splitlines()) == wanted, "nothing is folded"
    assert (page.count("table"), page.count("tr"), page.count("pre")) == (3, 4, 0)


def test_a_strangers_name_is_text_in_a_table(notebook: Notebook) -> None:
    shown = notebook.run("%secxops plan --name full-1").shown[0]

    page = Page(shown["text/html"])
    assert {tag for tag, _ in page.tags} == {"div", "table", "tr", "td", "bdi"}
    assert all(set(attributes) <= {"class", "style"} for _, attributes in page.tags)
    assert page.tags[0][1]["class"] == "mathjax_ignore", "no name is a formula"
    text = "\n".join(page.lines)
    assert "<img src=x onerror=alert(1)> [red]$x_1$ \\x1b[31m\\u202etxt.exe" in text
    for said in (text, shown["text/plain"]):
        assert not {"\x1b", "\u202e"} & set(said)


def test_the_list_is_a_table_with_titles(notebook: Notebook) -> None:
    notebook.run("%secxops share --name 'a [b] <i>' --wait")
    shown = notebook.run("%secxops status").shown[0]

    page = Page(shown["text/html"])
    assert (page.count("table"), page.count("th"), page.count("i")) == (1, 4, 0)
    assert facts(page.lines)[0] == ["Name", "State", "Created", "Id"]
    assert ["✓", "a", "[b]", "<i>", "Running"] in [line[:5] for line in facts(page.lines)]
    assert facts(page.lines) == facts(shown["text/plain"].splitlines())


def test_colours_are_the_themes(notebook: Notebook) -> None:
    notebook.run("%secxops share --name coloured --wait")
    for line, names in (
        ("plan --name full-1", {"error", "warn"}),
        ("status coloured", {"success"}),
        ("status", {"success"}),
    ):
        html = notebook.run(f"%secxops {line}").shown[0]["text/html"]
        assert not re.search(r"#[0-9a-f]{3,8}\b|rgb|background", html), line
        assert {f"var(--jp-{name}-color1)" for name in names} <= set(
            re.findall(r"[^-]color: ([^;\"]*)", html)
        )


@pytest.mark.parametrize("ids", [True, False])
def test_a_notebook_that_is_not_saved_is_named(notebook: Notebook, ids: bool) -> None:
    """As far as a kernel can know it: by the cell that runs; what is no notebook's cell says nothing."""
    code = "%secxops plan --name mine"

    def warned(saved: str | None, cell_id: str | None = "b") -> bool:
        cells = [{"source": ["1\n", "2"]}, {"source": saved or "nothing"}]
        cells = [
            {**cell, "id": name} if ids else cell for cell, name in zip(cells, "ab", strict=True)
        ]
        notebook.file.write_text("{" if saved is None else json.dumps({"cells": cells}))
        return f"{notebook.file} is shared as saved" in notebook.run(code, cell_id=cell_id).text

    try:
        assert not warned(code)
        assert warned("%secxops plan")
        assert not warned("%secxops plan", cell_id=None), "a console's line"
        assert not warned(None), "no notebook that can be read"
    finally:
        notebook.file.unlink()


def test_a_share_returns_at_once_and_its_output_goes_on(notebook: Notebook) -> None:
    cell = notebook.run("%secxops share --name first", until=lambda c: "Running" in c.text)

    assert cell.status == "ok"
    assert len(cell.displays) == 1, "one output, which changes"
    assert cell.shown[0]["text/plain"].startswith("○ first  Waiting")
    assert "http://127.0.0.1:9999/lab" in cell.text


def test_no_token_is_left_in_a_notebook(notebook: Notebook) -> None:
    shared = notebook.run("%secxops share --name quiet", until=lambda c: "Running" in c.text)
    shown = notebook.run("%secxops status quiet")
    assert "The source has changed since: 3 files, such as project/train.py" in shown.text

    assert "http://127.0.0.1:9999/lab" in shown.text
    assert TOKEN not in shared.everything + shown.everything


def test_a_share_that_fails_is_a_sentence_and_fails_the_cell(notebook: Notebook) -> None:
    cell = notebook.run("%secxops share --name fail-it --wait")

    assert cell.status == "error"
    assert cell.error[0].startswith("✕ The image build failed at line 7")
    assert "Traceback" not in "".join(cell.error)
    assert "✕ fail-it  Failed" in cell.text


def test_a_share_that_is_not_there_is_a_sentence(notebook: Notebook) -> None:
    cell = notebook.run("%secxops status no-such-share")
    assert cell.status == "error"
    assert "no-such-share" in cell.error[0] and len(cell.error) <= 2


def test_wrong_usage_is_a_sentence(notebook: Notebook) -> None:
    cell = notebook.run("%secxops share --cpu many")
    assert "--cpu has to be a number of CPUs" in cell.stream and "Traceback" not in cell.stream


def test_names_are_text_and_not_markup(notebook: Notebook) -> None:
    name = "<b>[red]x</b>"
    cell = notebook.run(f"%secxops share --name '{name}'", until=lambda c: "Running" in c.text)

    assert name in cell.text
    html = cell.shown[-1]["text/html"]
    assert "&lt;b&gt;[red]x&lt;/b&gt;" in html and name not in html
    assert 'style="opacity: 0.7"' in html and "#888888" not in html, "dim on either theme"


def test_the_list_the_log_and_one_share(notebook: Notebook) -> None:
    notebook.run("%secxops share --name one-of-them --wait")

    assert "one-of-them" in notebook.run("%secxops status").text
    assert "build: Zeile" in notebook.run("%secxops log").text
    assert "build: Zeile" in notebook.run("%secxops log one-of-them").text
    assert "✓ one-of-them  Running" in notebook.run("%secxops status one-of-them").text


def test_the_only_share_under_way_is_cancelled_without_its_id(notebook: Notebook) -> None:
    notebook.run("%secxops share --name slow-1", until=lambda c: "slow-1  Sharing" in c.text)

    notebook.run("%secxops cancel", until=lambda c: "slow-1  Cancelled" in c.text)

    assert "no share under way" in notebook.run("%secxops cancel").stream


def test_an_interrupt_ends_the_waiting_and_not_the_share(notebook: Notebook) -> None:
    cell = notebook.run(
        "%secxops share --name slow-2 --wait",
        until=lambda c: "slow-2  Sharing" in c.text and "Build" in c.text,
        then=notebook.manager.interrupt_kernel,
    )

    assert "the share goes on" in cell.text
    assert "Traceback" not in "".join(cell.error)
    still = notebook.run("%secxops status slow-2", until=lambda c: "slow-2" in c.text)
    assert "slow-2  Sharing" in still.text
    notebook.run("%secxops cancel slow-2", until=lambda c: "slow-2  Cancelled" in c.text)


def test_help_and_completion(notebook: Notebook) -> None:
    assert "Usage: %secxops" in notebook.run("%secxops").stream
    assert "--data PATH" in notebook.run("%secxops share --help").stream
    assert notebook.complete("%secxops sh") == ["share"]
    assert notebook.complete("%secxops share --wa") == ["--wait"]
    assert {"plan", "share", "status", "log", "cancel"} <= set(notebook.complete("%secxops "))


class TestConsole:
    @pytest.fixture
    def shell(
        self, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[InteractiveShell]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        shell = InteractiveShell()
        shell.history_manager.end_session() if shell.history_manager else None
        shell.run_line_magic("load_ext", "jupyter_secxops_migrate")
        yield shell

    def test_says_how_to_follow(
        self, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.run_line_magic("secxops", "share --name in-console")

        said = capsys.readouterr().out
        assert "Under way: `%secxops status m" in said and "<pre" not in said

    def test_waits_with_plain_lines(
        self, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.run_line_magic("secxops", "share --name waited-for --wait")

        said = capsys.readouterr().out
        assert "Build  done" in said and "✓ waited-for  Running" in said
        assert TOKEN not in said

    def test_fails_with_a_sentence(
        self, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
    ) -> None:
        done = shell.run_cell("%secxops share --name fail-here --wait")

        assert not done.success
        said = "".join(capsys.readouterr())
        assert "✕ The image build failed at line 7" in said and "Traceback" not in said
