"""A JupyterLab whose panel shows a scene: in either theme and language, however wide, however large.

One JupyterLab and one service for a module's tests; what differs is chosen before a page is opened.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from web.service import TESTS, wait_until

from jupyter_secxops_migrate.client import ensure_service
from jupyter_secxops_migrate.runtime import Runtime

from .jupyter import NOTEBOOK, TOKEN, Lab, jupyterlab

SERVICE = (
    f"import sys; sys.path[:0] = [{str(TESTS)!r}, {str(TESTS.parent)!r}]; "
    "from ui.scenes import SceneHost; "
    "from jupyter_secxops_migrate.hosts.user import main; main(application=SceneHost)"
)
LIGHT, DARK = ("JupyterLab Light", "JupyterLab Dark")
TITLE = {"en": "Share environment", "zh_CN": "共享环境"}
SHARE = {"en": "Share environment…", "zh_CN": "共享环境…"}
PLAN = {"en": "What will happen", "zh_CN": "共享方案"}


@dataclass
class Stage:
    """A JupyterLab and what it shows."""

    lab: Lab
    data: Path
    language: str = "en"

    def scene(self, name: str) -> None:
        """Choose what is in the list of shares from the next load of a page on."""
        (self.data / "scene").write_text(name)

    def choose(self, theme: str = LIGHT, language: str = "en") -> None:
        """Choose theme and language, as a person does in JupyterLab's settings."""
        self.language = language
        self.lab.choose(theme, language)

    def open(
        self,
        page: Page,
        project: str | None = "detector",
        width: int | None = None,
        before: Callable[[], object] = lambda: None,
    ) -> Scene:
        """Open JupyterLab, with a notebook of a project or without, and the panel in it.

        ``before`` is called when all is there but the panel.
        """
        file = f"/tree/{project}/explore.ipynb" if project else ""
        page.goto(f"{self.lab.url}/lab{file}?reset&token={TOKEN}")
        tab = page.get_by_role("tab", name=TITLE[self.language])
        expect(tab).to_be_visible()
        if width is not None:
            # JupyterLab's own limit is 250 pixels, but themes may set another.
            page.add_style_tag(content=":root {--jp-sidebar-min-width: 200px !important}")
        if project:
            expect(page.get_by_role("tab", name="explore.ipynb")).to_be_visible()
        before()
        if tab.get_attribute("aria-selected") != "true":
            tab.click()
        region = page.get_by_role("region", name=TITLE[self.language], exact=True)
        expect(region).to_be_visible()
        scene = Scene(page, region, self.language)
        if width is not None:
            scene.width(width)
        return scene


@dataclass
class Scene:
    """The panel as it is opened."""

    page: Page
    region: Locator
    language: str

    def button(self, name: str) -> Locator:
        return self.region.get_by_role("button", name=name, exact=True)

    @property
    def share_button(self) -> Locator:
        return self.button(SHARE[self.language])

    def form(self) -> None:
        """Open the form, and wait for its plan."""
        self.share_button.click()
        plan = self.region.get_by_role("group", name=PLAN[self.language])
        expect(plan.get_by_role("list").nth(2)).to_be_visible()

    def unfold(self) -> None:
        """Show all that can be shown of every share: details, log, the way from elsewhere."""
        folded = self.region.locator("[aria-expanded=false]")
        while folded.count():
            one = folded.first.element_handle()
            one.click()
            self.page.wait_for_function("e => e.ariaExpanded === 'true'", arg=one)

    def width(self, pixels: int) -> None:
        """Drag the panel's edge until it is that wide."""
        box = self.region.bounding_box()
        assert box is not None
        edge = box["x"] + box["width"] + 1
        self.page.mouse.move(edge, box["y"] + 200)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + pixels + 1, box["y"] + 200, steps=4)
        self.page.mouse.up()
        box = self.region.bounding_box()
        assert box is not None and abs(box["width"] - pixels) < 3, box


def states(stage: Stage, page: Page, width: int | None = None) -> Iterator[tuple[str, Scene]]:
    """Bring the panel into each of its states, one after the other."""

    def opened(scene: str, project: str | None) -> Scene:
        stage.scene(scene)
        return stage.open(page, project, width)

    scene = opened("empty", None)
    expect(scene.region.get_by_role("button").nth(1)).to_be_visible()
    yield "nothing open", scene

    scene = opened("empty", "detector")
    expect(scene.share_button).to_be_visible()
    yield "empty", scene
    scene.form()
    scene.region.get_by_role("radio").nth(1).click()
    yield "form and plan with warnings", scene

    scene = opened("empty", "refused")
    scene.share_button.click()
    expect(scene.region.get_by_role("alert")).to_be_visible()
    yield "refusal", scene

    scene = opened("each", "broken")
    expect(scene.region).to_contain_text("docker.sock")
    yield "error", scene
    expect(scene.region.get_by_role("progressbar").first).to_be_visible()
    expect(scene.region.get_by_role("listitem", name="gone")).to_be_visible()
    yield "list with progress", scene
    scene.unfold()
    yield "list with all details", scene


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A JupyterLab with the extension as it was built, and the service of the scenes."""
    home = tmp_path_factory.mktemp("stage")
    root = home / "work"
    for project in ("detector", "refused", "broken"):
        (root / project).mkdir(parents=True)
        (root / project / "explore.ipynb").write_text(json.dumps(NOTEBOOK))
    data = home / "state"
    before = os.environ.get("SECXOPS_DATA_DIR")
    os.environ["SECXOPS_DATA_DIR"] = str(data)
    try:
        runtime = Runtime.find()
    finally:
        if before is None:
            del os.environ["SECXOPS_DATA_DIR"]
        else:
            os.environ["SECXOPS_DATA_DIR"] = before
    runtime.make()
    (data / "scene").write_text("empty")
    ensure_service(runtime, (sys.executable, "-c", SERVICE))
    env = {
        **os.environ,
        "HOME": str(home),
        "SECXOPS_DATA_DIR": str(data),
        "JUPYTER_NO_CONFIG": "1",
    }
    with jupyterlab(
        root,
        env,
        f"--LabApp.user_settings_dir={home / 'settings'}",
        f"--LabApp.workspaces_dir={home / 'workspaces'}",
    ) as lab:
        yield Stage(lab, data)
    listener = runtime.listener()
    if listener is not None:
        os.kill(listener, signal.SIGTERM)
        wait_until(lambda: runtime.listener() is None)
