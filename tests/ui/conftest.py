"""A person in a browser: a real JupyterLab, the service it starts, and a real Docker Engine.

Everything is found as a person finds it, by its role and its name.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from share.conftest import (  # noqa: F401 - fixtures
    Leftovers,
    Person,
    Project,
    data,
    engine_objects,
    person,
)
from share.conftest import project as bare_project  # noqa: F401 - a fixture

import jupyter_secxops_migrate

HERE = Path(__file__).parent
TOKEN = "a-token-of-the-tests"
CHROMIUM = os.environ.get("SECXOPS_CHROMIUM") or shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that is not loopback's, as a browser on another machine sees this one.
    "--host-resolver-rules=MAP another-machine.example 127.0.0.1",
]
NOTEBOOK = {
    "cells": [],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}
expect.set_options(timeout=20_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these last: Playwright keeps an event loop running until the session ends, and no other
    test could start one."""
    items.sort(key=lambda item: HERE in item.path.parents)


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here; `apt install chromium`")
    return {"executable_path": CHROMIUM, "args": FLAGS}


@pytest.fixture
def browser_context_args() -> dict[str, Any]:
    return {"viewport": {"width": 1280, "height": 900}, "locale": "en-US"}


@dataclass
class Lab:
    """A JupyterLab of a person."""

    url: str
    root: Path
    process: subprocess.Popen[bytes]
    command: list[str]
    env: dict[str, str]
    log: Path

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/api?token={TOKEN}", timeout=5).close()
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.1)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


@pytest.fixture
def lab(person: Person, tmp_path: Path) -> Iterator[Lab]:  # noqa: F811
    """A JupyterLab with the extension as it was built, started as the person."""
    built = Path(jupyter_secxops_migrate.__file__).parent / "labextension"
    assert (built / "package.json").exists(), "the Lab extension is not built; `pip install .`"
    extensions = tmp_path / "labextensions" / "@jupyter-secxops"
    extensions.mkdir(parents=True)
    (extensions / "migrate").symlink_to(built)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        *("-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        f"--ServerApp.root_dir={tmp_path}",
        f"--IdentityProvider.token={TOKEN}",
        f"--LabApp.extra_labextensions_path={extensions.parent}",
        "--ServerApp.allow_remote_access=True",
        "--ServerApp.jpserver_extensions={'jupyter_secxops_migrate': True}",
    ]
    made = Lab(
        f"http://127.0.0.1:{port}",
        tmp_path,
        None,  # type: ignore[arg-type]
        command,
        person.env,
        tmp_path / "lab.log",
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture
def project(bare_project: Project) -> Project:  # noqa: F811
    """A project with a notebook that opens without a question."""
    bare_project.write("notebooks/explore.ipynb", json.dumps(NOTEBOOK))
    return bare_project


class Panel:
    """The panel, and how a person finds their way in it."""

    def __init__(self, page: Page, lab: Lab) -> None:
        self.page = page
        self.lab = lab
        self.region = page.get_by_role("region", name="Share environment", exact=True)

    def open(self, notebook: str, host: str = "127.0.0.1") -> Panel:
        """Open JupyterLab with a notebook, then the panel."""
        url = self.lab.url.replace("127.0.0.1", host)
        self.page.goto(f"{url}/lab/tree/{notebook}?token={TOKEN}")
        # A restored page may show the panel already, and a click on its tab would close it.
        expect(self.page.get_by_role("tab", name=notebook.rsplit("/")[-1])).to_be_visible()
        tab = self.page.get_by_role("tab", name="Share environment")
        if tab.get_attribute("aria-selected") != "true":
            tab.click()
        expect(self.region).to_be_visible()
        return self

    def button(self, name: str) -> Locator:
        return self.region.get_by_role("button", name=name, exact=True)

    def form(self) -> Locator:
        """Open the form, and wait for its plan."""
        self.button("Share environment…").click()
        found = self.region.get_by_role("region", name="Share ")
        expect(found.get_by_role("group", name="What will happen")).to_contain_text("Copied")
        return found

    def share(self, name: str) -> Locator:
        """Fill in a name, click *Share*, and return the share in the list."""
        form = self.form()
        form.get_by_role("textbox", name="Name", exact=True).fill(name)
        self.button("Share").click()
        return self.item(name)

    def item(self, name: str) -> Locator:
        return self.region.get_by_role("listitem", name=name, exact=True)

    def open_details(self, name: str) -> None:
        head = self.item(name).get_by_role("button", name=name, exact=True)
        if head.get_attribute("aria-expanded") != "true":
            head.click()


@pytest.fixture
def panel(page: Page, lab: Lab) -> Panel:
    return Panel(page, lab)
