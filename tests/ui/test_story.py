"""The whole story in a browser: once with everything real, and its interruptions held in place.

The story runs on a real Docker Engine. What interrupts it (a reload in a step, a second tab, a killed
service) is tried on an engine of folders, where a step lasts exactly as long as the test wants.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from effort import soaked
from playwright.sync_api import Page, expect
from share.conftest import Leftovers, Person, Project

from .conftest import Panel
from .held import Held, eventually
from .jupyter import jupyterlab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
NOTEBOOK = "detector/notebooks/explore.ipynb"
LAUNCHED = 90_000
RUNNING = re.compile("Running$")

# Which call of the engine holds a step, and what the step is called while it runs.
STEPS = {
    "check": ("capacity", "Checking"),
    "build": ("build", "Building the image"),
    "copy": ("copy", "Copying code and data"),
    "verify": ("verify", "Copying code and data"),
    "launch": ("launch", "Launching"),
}


# --------------------------------------------------------------------------- the story, on Docker


@pytest.mark.docker
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
    expect(panel.region).to_contain_text("A share is a second, independent environment")
    expect(panel.environment).to_contain_text("detector")
    expect(panel.environment).to_contain_text("found")
    expect(panel.environment).to_contain_text("CPU free")

    form = panel.form()
    plan = form.get_by_role("group", name="What will happen")
    expect(plan).to_contain_text("Shares no data.")
    expect(plan.get_by_role("list", name="Not copied")).to_contain_text("running kernels")
    expect(form.get_by_role("group", name="Take along").get_by_role("checkbox")).to_have_count(0)
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
    expect(panel.status("the-story")).to_have_text(RUNNING, timeout=LAUNCHED)
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
    # It opens where the person was, and says that it is a copy.
    expect(copy.get_by_role("tab", name="explore.ipynb")).to_be_visible()
    bar = copy.get_by_role("region", name="Copy of detector")
    expect(bar).to_contain_text(re.compile("share the-story · from "))
    expect(copy).to_have_title(re.compile("^Copy of detector · "))
    port = copy.url.split(":")[2].split("/")[0]
    copy.close()

    panel.open(NOTEBOOK, host="another-machine.example")
    panel.button("Open: the-story").click()
    expect(panel.region).to_contain_text(
        f"ssh -N -L {port}:127.0.0.1:{port} another-machine.example"
    )
    assert len(page.context.pages) == 1
    panel.open(NOTEBOOK)

    # A second one is thought better of in the middle of its build; the first does not notice.
    recipe = project.path / "Dockerfile"
    recipe.write_text(recipe.read_text() + "RUN sleep 300\n")
    regretted = panel.share("regretted")
    expect(regretted.get_by_role("progressbar", name="Building the image")).to_be_visible()
    panel.button("Cancel: regretted").click()
    expect(panel.status("regretted")).to_have_text(re.compile("Cancelled"))
    expect(panel.status("the-story")).to_have_text(RUNNING)

    ids = {m["name"]: m["id"] for m in person.ok("list")}
    assert engine_objects.of(ids["regretted"]) == []
    assert engine_objects.of(ids["the-story"])

    panel.open_details("the-story")
    panel.button("Stop: the-story").click()
    expect(panel.status("the-story")).to_have_text(re.compile("Stopped"))
    panel.button("Start: the-story").click()
    expect(panel.status("the-story")).to_have_text(RUNNING)

    panel.button("Delete: the-story").click()
    dialog = page.get_by_role("dialog", name="Delete the-story?")
    dialog.get_by_role("button", name="Keep").click()
    expect(share).to_be_visible()
    panel.button("Delete: the-story").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(share).to_have_count(0, timeout=30_000)
    assert engine_objects.of(ids["the-story"]) == []
    assert panel.most_streams == 1


@pytest.mark.docker
def test_an_engine_that_is_not_there_yet(
    page: Page, person: Person, project: Project, tmp_path: Path
) -> None:
    """The panel names the engine and what to do, and finds it once it is there."""
    socket = tmp_path / "docker.sock"
    person.env["DOCKER_HOST"] = f"unix://{socket}"
    with jupyterlab(tmp_path, person.env) as lab:
        panel = Panel(page, lab).open(NOTEBOOK)
        expect(panel.environment).to_contain_text(f"No container engine answers at unix://{socket}")
        panel.button("Share environment…").click()
        alert = panel.region.get_by_role("alert")
        expect(alert).to_contain_text("Start Docker")
        expect(alert.get_by_role("button", name="Copy details")).to_be_visible()
        expect(panel.button("Share")).to_have_count(0)
        socket.symlink_to("/var/run/docker.sock")
        panel.button("Check again").click()
        expect(panel.button("Share")).to_be_enabled()
        panel.button("Cancel").click()
        panel.button("Refresh environment").click()
        expect(panel.environment).to_contain_text("CPU free")


# --------------------------------------------------------------------------- reload in every step


@pytest.mark.parametrize("step", ["copy", *(soaked(step) for step in STEPS if step != "copy")])
def test_a_reload_in_the_middle_of_a_step(
    page: Page, held: Held, held_panel: Panel, step: str
) -> None:
    """The same share comes back in the same step, with its progress, and goes on to its end."""
    call, doing = STEPS[step]
    name = f"reloaded-in-{step}"
    held.project("detector")
    panel = held_panel.open(NOTEBOOK)
    panel.fill_in(name)
    held.engine.hang(call)
    known = held.engine.calls(call)
    panel.button("Share").click()
    bar = panel.item(name).get_by_role("progressbar", name=doing)
    expect(bar).to_be_visible()
    # Copy and its check share a bar; the last measure of the copy may be on its way.
    eventually(lambda: held.engine.calls(call) > known)
    page.wait_for_timeout(500)
    before = bar.get_attribute("aria-valuetext")
    steps = panel.item(name).get_by_role("list", name="Steps").get_by_role("listitem")
    [made] = [m["id"] for m in held.shares() if m["name"] == name]

    def needed() -> int:
        # What runs beside the held step may end, and decide that there is nothing to push.
        [share] = [m for m in held.shares() if m["id"] == made]
        return sum(one["state"] != "skipped" for one in share["steps"])

    page.reload()

    expect(bar).to_be_visible()
    expect(bar).to_have_attribute("aria-valuetext", str(before))
    eventually(lambda: steps.count() == needed())
    expect(page.get_by_role("button", name=re.compile(f"^Sharing {name}: "))).to_be_visible()
    expect(panel.item(name)).to_have_count(1)
    held.engine.release(call)
    expect(panel.status(name)).to_have_text(RUNNING)
    expect(page.get_by_text(f"{name} is running.")).to_be_visible()
    assert [m["id"] for m in held.shares() if m["name"] == name] == [made]
    assert panel.most_streams == 1


def test_a_reload_while_the_plan_is_decided(page: Page, held: Held, held_panel: Panel) -> None:
    """Nothing was touched, nothing is shared, and the form can be opened again."""
    held.project("detector")
    panel = held_panel.open(NOTEBOOK)
    expect(panel.button("Share environment…")).to_be_visible()
    known = len(held.shares())
    held.engine.hang("capacity")
    panel.button("Share environment…").click()
    expect(panel.region).to_contain_text("Deciding…")
    page.reload()
    panel.show(NOTEBOOK)  # JupyterLab notes what was open a second later
    expect(panel.environment).to_contain_text("Looking at the environment…")
    held.engine.release("capacity")
    expect(panel.fill_in("undecided").get_by_role("status")).to_have_text("The plan is ready.")
    assert len(held.shares()) == known


# --------------------------------------------------------------------------- two tabs, restarts


def test_two_tabs_show_the_same(page: Page, held: Held, held_panel: Panel) -> None:
    """What one tab does the other shows, each from one stream of events."""
    held.project("detector")
    held.engine.hang("copy")
    panel = held_panel.open(NOTEBOOK)
    panel.share("seen-twice")
    other = Panel(page.context.new_page(), held.lab).open(NOTEBOOK)
    for tab in (panel, other):
        bar = tab.item("seen-twice").get_by_role("progressbar", name="Copying code and data")
        expect(bar).to_be_visible()
    held.engine.release("copy")
    for tab in (panel, other):
        expect(tab.status("seen-twice")).to_have_text(RUNNING)
    held.engine.hang("build")
    other.share("regretted-here")
    expect(panel.item("regretted-here").get_by_role("progressbar").first).to_be_visible()
    panel.button("Cancel: regretted-here").click()
    for tab in (panel, other):
        expect(tab.status("regretted-here")).to_have_text(re.compile("Cancelled"))
    other.open_details("seen-twice")
    other.button("Delete: seen-twice").click()
    dialog = other.page.get_by_role("dialog", name="Delete seen-twice?")
    dialog.get_by_role("button", name="Delete").click()
    for tab in (panel, other):
        expect(tab.item("seen-twice")).to_have_count(0)
        assert tab.most_streams == len(tab.streams) == 1


def test_a_killed_service_goes_on(page: Page, held: Held, held_panel: Panel) -> None:
    """The panel has the next service started by itself, which takes up the same share."""
    held.project("detector")
    panel = held_panel.open(NOTEBOOK)
    held.engine.hang("build")
    panel.share("killed-under")
    bar = panel.item("killed-under").get_by_role("progressbar", name="Building the image")
    expect(bar).to_be_visible()
    builds = held.engine.calls("build")
    killed = held.kill_service()
    eventually(lambda: held.runtime.listener() not in (None, killed))
    eventually(lambda: held.engine.calls("build") > builds)
    expect(bar).to_be_visible()
    held.engine.release("build")
    expect(panel.status("killed-under")).to_have_text(RUNNING)
    assert [m["name"] for m in held.shares()].count("killed-under") == 1
    assert panel.most_streams == 1


def test_a_restarted_jupyter_is_found_again(page: Page, held: Held, held_panel: Panel) -> None:
    """The panel says that the server is away, and shows what happened meanwhile."""
    held.project("detector")
    panel = held_panel.open(NOTEBOOK)
    held.engine.hang("build")
    panel.share("went-on")
    expect(panel.item("went-on").get_by_role("progressbar").first).to_be_visible()
    held.lab.stop()
    expect(panel.region).to_contain_text("The Jupyter server does not answer.")
    expect(panel.region).to_contain_text("Shares go on")
    held.engine.release("build")
    held.lab.start()
    expect(panel.region).not_to_contain_text("The Jupyter server does not answer.")
    expect(panel.status("went-on")).to_have_text(RUNNING)
    expect(page.get_by_text("went-on is running.")).to_be_visible()
    assert panel.most_streams == 1


# --------------------------------------------------------------------------- what is refused


def test_without_a_dockerfile_there_is_a_reason_and_no_button(
    held: Held, held_panel: Panel
) -> None:
    """With one there is, and one of another tool is a click away."""
    recipe = held.project("detector") / "Dockerfile"
    text = recipe.read_text()
    recipe.unlink()
    (recipe.parent / ".git").mkdir()  # what makes a folder a project where there is no Dockerfile
    panel = held_panel.open(NOTEBOOK)
    expect(panel.environment).to_contain_text("missing")
    panel.button("Share environment…").click()
    expect(panel.region.get_by_role("alert")).to_contain_text("has no Dockerfile")
    expect(panel.region.get_by_role("alert")).to_contain_text("Write a file named Dockerfile")
    expect(panel.button("Share")).to_have_count(0)
    expect(panel.button("Copy details")).to_be_visible()
    elsewhere = recipe.parent / "binder" / "Dockerfile"
    elsewhere.parent.mkdir()
    elsewhere.write_text(text)
    panel.button("Check again").click()
    panel.button("Use binder/Dockerfile").click()
    expect(panel.button("Share")).to_be_enabled()
    elsewhere.unlink()
    panel.region.get_by_role("textbox", name="Name").fill("another")
    expect(panel.region.get_by_role("alert")).to_contain_text("has no binder/Dockerfile")
    elsewhere.write_text(text)
    panel.button("Check again").click()
    expect(panel.button("Share")).to_be_enabled()


def test_too_little_memory(held: Held, held_panel: Panel) -> None:
    """Refused before the click when more is asked for than is free, and after it when it went."""
    held.project("detector")
    panel = held_panel.open(NOTEBOOK)
    form = panel.fill_in("too-large")
    memory = form.get_by_role("spinbutton", name="Memory (GB)")
    memory.fill("100")
    alert = form.get_by_role("alert")
    expect(alert).to_contain_text("of memory; ")
    expect(alert).to_contain_text("Ask for less memory")
    expect(panel.button("Share")).to_have_count(0)
    memory.fill("2")
    expect(alert).to_have_count(0)
    held.engine.hang("verify")
    panel.button("Share").click()
    share = panel.item("too-large")
    expect(share.get_by_role("progressbar", name="Copying code and data")).to_be_visible()
    held.engine.set_memory_available(1024**3)
    held.engine.release("verify")
    expect(panel.status("too-large")).to_have_text(re.compile("Refused by the plan$"))
    expect(share).to_contain_text("of memory; ")
    expect(share).to_contain_text("Nothing is left behind")
    held.engine.set_memory_available(8 * 1024**3)
    panel.button("Retry: too-large").click()
    expect(panel.status("too-large")).to_have_text(RUNNING)
