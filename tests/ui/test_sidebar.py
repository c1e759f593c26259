"""Single things of the sidebar; the story as a whole is in `test_story`."""

from __future__ import annotations

import json
import os
import re
import time

import pytest
from playwright.sync_api import Page, expect
from share.conftest import Leftovers, Project

from jupyter_secxops_migrate.copying.errors import DiskFull

from .conftest import Panel
from .held import Held
from .jupyter import NOTEBOOK as NOTEBOOK_NOW
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
    name = panel.region.get_by_role("textbox", name="Name", exact=True)
    expect(name).to_be_focused()
    expect(panel.button("Share")).to_be_enabled()
    page.keyboard.type("not-by-enter")
    form = panel.region.get_by_role("region", name=re.compile("^Share ."))
    expect(form.get_by_role("status")).to_have_text("The plan is ready.")
    page.keyboard.press("Enter")  # ends what was typed; only the button shares
    expect(name).to_be_focused()
    expect(panel.button("Share")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(panel.button("Share environment…")).to_be_focused()
    assert not [one for one in held.shares() if "not-by-enter" in one["name"]]


def test_a_failed_share_says_of_what_and_how_far_it_came(held: Held, held_panel: Panel) -> None:
    """Its details have source and resources, and nothing of it waits any more."""
    project = held.project("detector")
    held.engine.fail_next("copy", DiskFull(step="copy"))
    share = held_panel.open(NOTEBOOK).share("out-of-room")
    expect(held_panel.status("out-of-room")).to_have_text(re.compile("Copy failed$"))
    steps = share.get_by_role("list", name="Steps").get_by_role("listitem")
    expect(steps.filter(has_text="Launch")).to_contain_text("not begun")
    expect(steps.filter(has_text="waiting")).to_have_count(0)
    expect(share).to_contain_text(str(project))
    expect(share.get_by_text("Resources")).to_be_visible()


def test_every_tab_says_that_one_is_being_stopped(
    page: Page, held: Held, held_panel: Panel
) -> None:
    held.project("detector")
    here = held_panel.open(NOTEBOOK)
    here.share("to-be-stopped")
    expect(here.status("to-be-stopped")).to_have_text(re.compile("Running$"))
    there = Panel(page.context.new_page(), held.lab).open(NOTEBOOK)
    expect(there.status("to-be-stopped")).to_have_text(re.compile("Running$"))
    held.engine.hang("stop")
    here.open_details("to-be-stopped")
    here.button("Stop: to-be-stopped").click()
    for panel in (here, there):
        expect(panel.status("to-be-stopped")).to_have_text(re.compile("Stopping…$"))
        expect(panel.button("Open: to-be-stopped")).to_have_count(0)
    held.engine.release("stop")
    for panel in (here, there):
        expect(panel.status("to-be-stopped")).to_have_text(re.compile("Stopped$"))


def test_a_folder_of_the_file_browser(page: Page, held: Held, held_panel: Panel) -> None:
    """A folder's context menu leads to its form."""
    held.project("other")
    page.goto(f"{held.lab.url}/lab/workspaces/{held_panel.workspace}?token={TOKEN}")
    page.get_by_role("listitem", name=re.compile("^Name: other")).click(button="right")
    page.get_by_role("menuitem", name="Share Environment of This Folder…").click()
    expect(held_panel.region.get_by_role("heading", name="Share other")).to_be_visible()


def edit(page: Page, text: str) -> None:
    """Type into the first cell of the notebook in front."""
    page.get_by_role("tabpanel").get_by_role("textbox").first.click()
    page.keyboard.type(text)
    expect(page.locator(".jp-mod-dirty").first).to_be_attached()


def copied(held: Held, name: str, path: str = "notebooks/explore.ipynb") -> str:
    """What a copy has of a file."""
    [found] = [one for one in held.shares() if one["name"] == name]
    [volume] = [one["name"] for one in found["result"]["volumes"]]
    return (held.engine.folder(volume) / path).read_text()


def test_unsaved_edits_come_along(page: Page, held: Held, held_panel: Panel) -> None:
    """What is only in an editor is saved first, and the copy opens where the person was."""
    held.project("detector")
    panel = held_panel.open(NOTEBOOK)
    edit(page, "answer = 42")
    form = panel.form()
    plan = form.get_by_role("group", name="What will happen")
    expect(plan).to_contain_text("unsaved changes (1, such as detector/notebooks/explore.ipynb)")
    expect(plan.get_by_role("checkbox", name="Save them before sharing")).to_be_checked()
    form.get_by_role("textbox", name="Name", exact=True).fill("with-edits")
    panel.button("Share").click()
    expect(page.get_by_text("1 document was saved.")).to_be_visible()
    expect(panel.status("with-edits")).to_have_text(re.compile("Running$"))
    assert "answer = 42" in copied(held, "with-edits")
    [made] = [one for one in held.shares() if one["name"] == "with-edits"]
    assert made["result"]["url"].endswith("/lab/tree/notebooks/explore.ipynb")
    assert [w["code"] for w in made["plan"]["warnings"]].count("unsaved_documents") == 0

    # What is edited afterwards is not in the copy; its details say so.
    (held.root / "detector" / "train.py").write_text("print('another')\n")
    panel.open_details("with-edits")
    expect(panel.item("with-edits")).to_contain_text(
        "The source has changed since: 1 file, detector/train.py"
    )


def test_what_can_not_be_saved_is_not_shared_silently(
    page: Page, held: Held, held_panel: Panel
) -> None:
    """A document that changed on the disk is named; it goes as it is there only if somebody says so."""
    project = held.project("detector")
    panel = held_panel.open(NOTEBOOK)
    edit(page, "mine = 1")
    file = project / "notebooks" / "explore.ipynb"
    file.write_text(json.dumps({**NOTEBOOK_NOW, "metadata": {"theirs": 2}}))
    os.utime(file, (time.time() + 60, time.time() + 60))
    form = panel.fill_in("without-edits")
    panel.button("Share").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    alert = form.get_by_role("alert")
    expect(alert).to_contain_text(
        "could not be saved (1, such as detector/notebooks/explore.ipynb)"
    )
    assert not [one for one in held.shares() if one["name"] == "without-edits"]

    form.get_by_role("checkbox", name="Save them before sharing").uncheck()
    panel.button("Share").click()
    expect(panel.status("without-edits")).to_have_text(re.compile("Running · 1 changed$"))
    assert "theirs" in copied(held, "without-edits")
    [made] = [one for one in held.shares() if one["name"] == "without-edits"]
    [named] = [w for w in made["plan"]["warnings"] if w["code"] == "unsaved_documents"]
    assert named["params"]["paths"] == ["detector/notebooks/explore.ipynb"]


@pytest.mark.root
def test_what_a_plan_warns_of_can_be_done_beside_it(
    page: Page, held: Held, held_panel: Panel
) -> None:
    """Take along what links lead to, leave owners theirs, keep a file of which there is no row."""
    project = held.project("detector")
    outside = held.root / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "model.bin").write_text("weights")
    (project / "models").symlink_to(outside)
    for number in range(60):
        (project / f"{number:02}.env").write_text("TOKEN=hunter2hunter2")
    others = project / "theirs.csv"
    others.write_text("1")
    others.chmod(0o600)
    os.chown(others, 12345, 12345)

    panel = held_panel.open(NOTEBOOK)
    form = panel.form()
    plan = form.get_by_role("group", name="What will happen")
    expect(plan).to_contain_text("Links in detector will lead nowhere in the copy (1)")
    plan.get_by_role("button", name=f"Take along {project}/models").press("Enter")
    expect(form.get_by_role("checkbox", name=re.compile("models"))).to_be_checked()
    expect(plan).not_to_contain_text("lead nowhere")
    expect(plan).to_be_focused()

    owners = form.get_by_role("checkbox", name="Leave files of other accounts to their owners")
    owners.press("Space")
    expect(plan).to_contain_text("the copy's user may not read or save files of other accounts")
    expect(owners).to_be_focused()

    expect(plan.get_by_role("button", name="Keep: detector/59.env")).to_have_count(0)
    path = plan.get_by_role("textbox", name="Another file or folder to keep")
    path.fill("59.env")
    path.press("Enter")
    kept = plan.get_by_role("list", name="Copied, may hold credentials")
    expect(kept).to_contain_text("detector/59.env")

    form.get_by_role("textbox", name="Name", exact=True).fill("with-all")
    expect(form.get_by_role("status")).to_have_text("The plan is ready.")
    panel.button("Share").click()
    expect(panel.status("with-all")).to_have_text(re.compile("Running"))
    [made] = [one for one in held.shares() if one["name"] == "with-all"]
    asked = made["request"]
    assert (asked["data"], asked["keep"], asked["keep_owners"]) == (
        [f"{project}/models"],
        ["59.env"],
        True,
    )
