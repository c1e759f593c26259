"""Single things of the sidebar; the story as a whole is in `test_story`."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from share.conftest import Leftovers, Project

from .conftest import Panel
from .held import Held
from .jupyter import TOKEN

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
NOTEBOOK = "detector/notebooks/explore.ipynb"
LAUNCHED = 90_000


@pytest.mark.docker
def test_a_failed_build_shows_its_line(
    panel: Panel, project: Project, engine_objects: Leftovers
) -> None:
    """Line, instruction and last lines of the log; *Retry* works once it is mended."""
    recipe = project.path / "Dockerfile"
    good = recipe.read_text()
    recipe.write_text(good + "RUN echo before the fault && exit 3\n")
    share = panel.open(NOTEBOOK).share("ill-fated")
    expect(share.get_by_role("status").first).to_have_text(
        re.compile("Build failed at line 4"), timeout=60_000
    )
    expect(share).to_contain_text("RUN echo before the fault")
    expect(share).to_contain_text("Nothing is left behind")
    expect(share.get_by_role("log", name="Last lines of the log of ill-fated")).to_contain_text(
        "before the fault"
    )
    recipe.write_text(good)
    panel.button("Retry: ill-fated").click()
    expect(share.get_by_role("status").first).to_have_text(re.compile("Running$"), timeout=LAUNCHED)


def test_the_keyboard_reaches_everything(page: Page, held: Held, held_panel: Panel) -> None:
    """From the command palette into the form and back, without a mouse."""
    held.project("detector")
    panel = held_panel.open(NOTEBOOK)
    expect(panel.button("Share environment…")).to_be_visible()
    page.keyboard.press("Control+Shift+c")
    page.keyboard.type("Share Environment…")
    page.keyboard.press("Enter")
    expect(panel.region.get_by_role("textbox", name="Name", exact=True)).to_be_focused()
    expect(panel.button("Share")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(panel.button("Share environment…")).to_be_focused()


def test_a_folder_of_the_file_browser(page: Page, held: Held, held_panel: Panel) -> None:
    """A folder's context menu leads to its form."""
    held.project("other")
    page.goto(f"{held.lab.url}/lab/workspaces/{held_panel.workspace}?token={TOKEN}")
    page.get_by_role("listitem", name=re.compile("^Name: other")).click(button="right")
    page.get_by_role("menuitem", name="Share Environment of This Folder…").click()
    expect(held_panel.region.get_by_role("heading", name="Share other")).to_be_visible()
