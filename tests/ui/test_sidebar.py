"""The sidebar as a person uses it: from the button to the opened copy, and what goes wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from share.conftest import Leftovers, Person, Project

from .conftest import TOKEN, Lab, Panel

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]
NOTEBOOK = "detector/notebooks/explore.ipynb"
LAUNCHED = 90_000


def test_the_whole_story(
    page: Page,
    panel: Panel,
    person: Person,
    project: Project,
    data: Path,
    engine_objects: Leftovers,
) -> None:
    """See the environment, read the plan, share, watch, open the copy, stop, start, delete."""
    panel.open(NOTEBOOK)
    environment = panel.region.get_by_role("region", name="Environment")
    expect(environment).to_contain_text("detector")
    expect(environment).to_contain_text("found")
    expect(environment).to_contain_text("CPU free")

    form = panel.form()
    plan = form.get_by_role("group", name="What will happen")
    expect(plan).to_contain_text("Shares no data.")
    expect(plan.get_by_role("list", name="Not copied")).to_contain_text("running kernels")
    expect(form.get_by_role("checkbox")).to_have_count(0)
    form.get_by_role("textbox", name="Data folder").fill(str(data))
    panel.button("Add folder").click()
    expect(form.get_by_role("checkbox", name=re.compile("domains"))).to_be_checked()
    expect(plan.get_by_role("list", name="Copied", exact=True)).to_contain_text(str(data))
    form.get_by_role("textbox", name="Name", exact=True).fill("the-story")
    panel.button("Share").click()

    share = panel.item("the-story")
    expect(share.get_by_role("progressbar").first).to_be_visible()
    expect(share.get_by_role("progressbar").first).to_have_attribute(
        "aria-valuetext", re.compile("%|running")
    )
    expect(page.get_by_role("button", name=re.compile("^Sharing the-story: "))).to_be_visible()
    expect(share.get_by_role("status").first).to_have_text(re.compile("Running$"), timeout=LAUNCHED)
    expect(share).to_contain_text(re.compile(r"\d+ files equal · image sha256:\w+…\w+ · 0 differ"))
    expect(page.get_by_text("the-story is running.")).to_be_visible()

    # The next time the same data is offered as it was chosen.
    expect(panel.form().get_by_role("checkbox", name=re.compile("domains"))).to_be_checked()
    panel.button("Cancel").click()
    expect(panel.button("Share environment…")).to_be_focused()

    with page.context.expect_page() as opened:
        panel.button("Open: the-story").click()
    copy = opened.value
    expect(copy.get_by_role("menuitem", name="File")).to_be_visible(timeout=LAUNCHED)
    assert "127.0.0.1" in copy.url or "localhost" in copy.url
    assert copy.evaluate("window.opener") is None
    port = copy.url.split(":")[2].split("/")[0]
    copy.close()

    panel.open(NOTEBOOK, host="another-machine.example")
    panel.button("Open: the-story").click()
    expect(panel.region).to_contain_text(
        f"ssh -N -L {port}:127.0.0.1:{port} another-machine.example"
    )
    assert len(page.context.pages) == 1
    panel.open(NOTEBOOK)

    panel.open_details("the-story")
    panel.button("Stop: the-story").click()
    expect(share.get_by_role("status").first).to_have_text(re.compile("Stopped"))
    panel.button("Start: the-story").click()
    expect(share.get_by_role("status").first).to_have_text(re.compile("Running"))

    [migration] = [m["id"] for m in person.ok("list")]
    assert engine_objects.of(migration)
    panel.button("Delete: the-story").click()
    dialog = page.get_by_role("dialog", name="Delete the-story?")
    dialog.get_by_role("button", name="Keep").click()
    expect(share).to_be_visible()
    panel.button("Delete: the-story").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(share).to_have_count(0, timeout=30_000)
    assert engine_objects.of(migration) == []


def test_a_refusal_says_why_and_what_to_do(panel: Panel, project: Project) -> None:
    """Without a Dockerfile there is no button, but the reason; with one there is."""
    recipe = project.path / "Dockerfile"
    text = recipe.read_text()
    recipe.unlink()
    project.git("init", "-q")
    panel.open(NOTEBOOK)
    environment = panel.region.get_by_role("region", name="Environment")
    expect(environment).to_contain_text("missing")
    panel.button("Share environment…").click()
    expect(panel.region.get_by_role("alert")).to_contain_text("has no Dockerfile")
    expect(panel.region.get_by_role("alert")).to_contain_text("Write a file named Dockerfile")
    expect(panel.button("Share")).to_have_count(0)
    expect(panel.button("Copy details")).to_be_visible()
    recipe.write_text(text)
    panel.button("Check again").click()
    expect(panel.button("Share")).to_be_enabled()


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


def test_a_reload_in_the_middle_of_a_step(page: Page, panel: Panel, project: Project) -> None:
    """The panel comes back as it was, with the same step, and tells the end."""
    recipe = project.path / "Dockerfile"
    recipe.write_text(recipe.read_text() + "RUN sleep 6\n")
    share = panel.open(NOTEBOOK).share("reloaded")
    building = share.get_by_role("progressbar", name="Building the image")
    expect(building).to_be_visible()
    page.reload()
    expect(building).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Sharing reloaded: "))).to_be_visible()
    expect(share.get_by_role("status").first).to_have_text(re.compile("Running$"), timeout=LAUNCHED)
    expect(page.get_by_text("reloaded is running.")).to_be_visible()


def test_the_service_and_the_server_may_end_meanwhile(
    page: Page, panel: Panel, lab: Lab, person: Person, project: Project
) -> None:
    """A killed service and a restarted Jupyter interrupt the panel, not the share."""
    recipe = project.path / "Dockerfile"
    recipe.write_text(recipe.read_text() + "RUN sleep 5\n")
    share = panel.open(NOTEBOOK).share("interrupted")
    expect(share.get_by_role("progressbar", name="Building the image")).to_be_visible()
    person.kill_service()
    lab.stop()
    expect(panel.region).to_contain_text("The Jupyter server does not answer.")
    lab.start()
    expect(panel.region).not_to_contain_text("The Jupyter server does not answer.")
    expect(share.get_by_role("status").first).to_have_text(re.compile("Running$"), timeout=LAUNCHED)


def test_cancelling_seen_from_two_tabs(
    page: Page, panel: Panel, lab: Lab, project: Project
) -> None:
    """*Cancel* in one tab ends it, and both say so."""
    recipe = project.path / "Dockerfile"
    recipe.write_text(recipe.read_text() + "RUN sleep 60\n")
    share = panel.open(NOTEBOOK).share("regretted")
    expect(share.get_by_role("progressbar", name="Building the image")).to_be_visible()
    other = Panel(page.context.new_page(), lab).open(NOTEBOOK)
    elsewhere = other.item("regretted")
    expect(elsewhere.get_by_role("progressbar", name="Building the image")).to_be_visible()
    panel.button("Cancel: regretted").click()
    for seen in (share, elsewhere):
        expect(seen.get_by_role("status").first).to_have_text(re.compile("Cancelled"))


def test_the_keyboard_reaches_everything(page: Page, panel: Panel, project: Project) -> None:
    """From the command palette into the form and back, without a mouse."""
    panel.open(NOTEBOOK)
    expect(panel.button("Share environment…")).to_be_visible()
    page.keyboard.press("Control+Shift+c")
    page.keyboard.type("Share Environment…")
    page.keyboard.press("Enter")
    expect(panel.region.get_by_role("textbox", name="Name", exact=True)).to_be_focused()
    expect(panel.button("Share")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(panel.button("Share environment…")).to_be_focused()


def test_a_folder_of_the_file_browser(page: Page, panel: Panel, lab: Lab, project: Project) -> None:
    """A folder's context menu leads to its form."""
    project.path.with_name("other").mkdir()
    (project.path.with_name("other") / "Dockerfile").write_text("FROM scratch\n")
    page.goto(f"{lab.url}/lab?token={TOKEN}")
    page.get_by_role("listitem", name=re.compile("^Name: other")).click(button="right")
    page.get_by_role("menuitem", name="Share Environment of This Folder…").click()
    expect(panel.region.get_by_role("heading", name="Share other")).to_be_visible()
