"""A person in a browser: a real JupyterLab, the service it starts, and a real Docker Engine.

Everything is found as a person finds it, by its role and its name.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, expect
from share.conftest import (  # noqa: F401 - fixtures
    Leftovers,
    Person,
    Project,
    data,
    engine_objects,
    person,
)
from share.conftest import project as bare_project  # noqa: F401 - a fixture

from .held import Held, holding
from .jupyter import NOTEBOOK, TOKEN, Lab, jupyterlab

HERE = Path(__file__).parent
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


@pytest.fixture
def lab(person: Person, tmp_path: Path) -> Iterator[Lab]:  # noqa: F811
    """A JupyterLab started as the person."""
    with jupyterlab(tmp_path, person.env) as made:
        yield made


@pytest.fixture(scope="session")
def held_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """One JupyterLab for all tests that need no containers."""
    with holding(tmp_path_factory.mktemp("held")) as made:
        yield made


@pytest.fixture
def held(held_lab: Held) -> Iterator[Held]:
    """That JupyterLab, with nothing held when the test is over."""
    yield held_lab
    held_lab.calm()


@pytest.fixture
def project(bare_project: Project) -> Project:  # noqa: F811
    """A project with a notebook that opens without a question."""
    bare_project.write("notebooks/explore.ipynb", json.dumps(NOTEBOOK))
    return bare_project


class Panel:
    """The panel in one tab of a browser, and how a person finds their way in it."""

    _workspaces = itertools.count(1)

    def __init__(self, page: Page, lab: Lab | None) -> None:
        self.page = page
        self.lab = lab
        self.region = page.get_by_role("region", name="Share environment", exact=True)
        self.environment = self.region.get_by_role("region", name="Environment")
        # What another test left open is not restored here.
        self.workspace = f"test-{next(self._workspaces)}"
        self.streams: set[Request] = set()
        self.most_streams = 0
        page.on("request", self._asked)
        page.on("requestfinished", self._ended)
        page.on("requestfailed", self._ended)

    def _asked(self, request: Request) -> None:
        if request.url.partition("?")[0].endswith("/secxops/api/v1/events"):
            self.streams.add(request)
            self.most_streams = max(self.most_streams, len(self.streams))

    def _ended(self, request: Request) -> None:
        self.streams.discard(request)

    def open(self, notebook: str, host: str = "127.0.0.1") -> Panel:
        """Open JupyterLab with a notebook, then the panel."""
        assert self.lab is not None
        url = self.lab.url.replace("127.0.0.1", host)
        self.page.goto(f"{url}/lab/workspaces/{self.workspace}/tree/{notebook}?token={TOKEN}")
        self.show(notebook)
        return self

    def show(self, notebook: str) -> None:
        """Have the panel in front, once the page has restored what it had."""
        # A restored page may show the panel already, and a click on its tab would close it; or it puts
        # another panel in front later. Its splash goes when it has restored all.
        expect(self.page.get_by_role("tab", name=notebook.rsplit("/")[-1])).to_be_visible()
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0, timeout=30_000)
        tab = self.page.get_by_role("tab", name="Share environment")
        if tab.get_attribute("aria-selected") != "true":
            tab.click()
        expect(self.region).to_be_visible()

    def button(self, name: str) -> Locator:
        return self.region.get_by_role("button", name=name, exact=True)

    def form(self) -> Locator:
        """Open the form, and wait for its plan."""
        self.button("Share environment…").click()
        found = self.region.get_by_role("region", name=re.compile("^Share ."))
        expect(found.get_by_role("group", name="What will happen")).to_contain_text("Copied")
        return found

    def share(self, name: str) -> Locator:
        """Fill in a name, click *Share*, and return the share in the list."""
        self.fill_in(name)
        self.button("Share").click()
        return self.item(name)

    def fill_in(self, name: str) -> Locator:
        """Fill in a name, and wait until its plan is there."""
        form = self.form()
        form.get_by_role("textbox", name="Name", exact=True).fill(name)
        expect(form.get_by_role("status")).to_have_text("The plan is ready.")
        return form

    def item(self, name: str) -> Locator:
        return self.region.get_by_role("listitem", name=name, exact=True)

    def status(self, name: str) -> Locator:
        """A share's state in a few words."""
        return self.item(name).get_by_role("status").first

    def open_details(self, name: str) -> None:
        head = self.item(name).get_by_role("button", name=name, exact=True)
        if head.get_attribute("aria-expanded") != "true":
            head.click()


@pytest.fixture
def panel(page: Page, lab: Lab) -> Panel:
    return Panel(page, lab)


@pytest.fixture
def held_panel(page: Page, held: Held) -> Panel:
    return Panel(page, held.lab)
