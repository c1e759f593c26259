"""Take the pictures of the story for the documentation: the panel from the first look to the copy.

JupyterLab, the panel and the service are real; the engine has no containers, and the clock stands
where a picture wants it (`picture_service.py`). The page is told the sample's paths and ids in place of
this machine's. Pictures that the pages show go to ``docs/_static/screenshots``; ``--all`` takes every one,
in both themes and languages, at 100 % and at 200 %, for somebody to look at. Needs Chromium and
``pngquant``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright
from steps import Stop, apt_install, need, run, step
from ui.held import Held, eventually, holding
from ui.jupyter import TOKEN

from jupyter_secxops_migrate.building.errors import BuildFailed

OUT = ROOT / "docs" / "_static" / "screenshots"
LOCALE = ROOT / "jupyter_secxops_migrate" / "locale"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
NOW = datetime(2026, 11, 23, 9, 41, tzinfo=timezone.utc)
NAME = "dga-detector-2026-11-23"
WIDTH, HEIGHT = 900, 660
LARGE = {"width": 640, "height": 450}
"""A window of 1280 by 900 dots, at 200 %."""
PANEL = 320
LARGEST = 60 * 1024
IDLE = re.compile("ipykernel. [|] (Idle|空闲)")
NO_SHARES = (
    "A share is a second, independent environment of this project, proven equal: its packages, "
    "its code and the data you choose."
)
DATA = "/data/domains"
API = re.compile(r"/secxops/api/v1/(environment|plans|migrations)")
# What the pages show; everything else is taken with --all only.
SHOWN = {
    "light-en": ("environment", "form", "progress", "finished", "list", "error", "refused"),
    "dark-en": ("environment", "form", "progress", "finished", "list"),
    "light-zh_CN": ("form", "progress"),
}


class Sample(Held):
    """The sample project with its data, on the service of the pictures."""

    program = Path(__file__).with_name("picture_service.py")

    def make(self) -> None:
        """Write project and data, with dates that do not change."""
        home = self.root / "home"
        source = ROOT / "examples" / "dga-detector"
        self.path = home / "dga-detector"
        shutil.copytree(source, self.path, ignore=shutil.ignore_patterns("__pycache__", "results"))
        (self.path / ".gitignore").write_text(".ipynb_checkpoints\n")
        then = {f"GIT_{who}_DATE": "2026-11-18T08:00:00Z" for who in ("AUTHOR", "COMMITTER")}
        git = ["git", "-C", self.path, "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        git += ["-c", "gc.auto=0"]
        run([*git, "init", "--quiet", "--template=", "--initial-branch=main"])
        run([*git, "add", "--all"])
        run([*git, "commit", "--quiet", "--no-gpg-sign", "--message=The sample"], env=then)
        run([sys.executable, source / "make_data.py", home / "domains"])
        bare = home / "notes"
        bare.mkdir()
        (bare / ".git").mkdir()
        shutil.copy(source / "detector.ipynb", bare / "notes.ipynb")

    def at(self, moment: datetime) -> None:
        """Set the service's clock."""
        (self.engine.root / "clock").write_text(str(moment.timestamp()))

    def hold_data(self) -> None:
        """Let copies of data wait when more than half is there."""
        (self.engine.root / "trouble" / "data").write_text(json.dumps({"hang": True}))


class Mask:
    """Tells the page the sample's paths and ids where this machine's stand."""

    def __init__(self, home: Path) -> None:
        self.names = [(str(home / "domains"), DATA), (str(home), "/home/ada")]

    def __call__(self, route: Route) -> None:
        """Send a request on with the real names, and its answer back with the sample's."""
        asked = route.request
        url, body = asked.url, asked.post_data
        for real, shown in self.names:
            url = url.replace(quote(shown, safe=""), quote(real, safe=""))
            body = body and body.replace(f'"{shown}', f'"{real}')
        answer = route.fetch(url=url, post_data=body)
        text = answer.text()
        for real, shown in self.names:
            text = text.replace(real, shown)
        text = re.sub(r'"secxops-m[a-z2-7]{9}"', '"secxops-ma3dtivat6"', text)
        route.fulfill(response=answer, body=text)


@dataclass
class View:
    """One page: a theme and a language."""

    page: Page
    sample: Sample
    theme: str
    language: str
    zooms: Sequence[int]
    out: Path
    everything: bool

    def __post_init__(self) -> None:
        self.words: dict[str, list[str]] = {}
        path = LOCALE / self.language / "LC_MESSAGES" / "jupyter_secxops_migrate.json"
        if path.exists():
            self.words = json.loads(path.read_text())
        self.region = self.page.get_by_role(
            "region", name=self.say("Share environment"), exact=True
        )

    @property
    def kind(self) -> str:
        """What tells this view's pictures from another's."""
        return f"{self.theme}-{self.language}"

    def say(self, text: str, *values: str) -> str:
        """Return what the panel says for an English text."""
        [said] = self.words.get(text, [text])[:1]
        for number, value in enumerate(values, 1):
            said = said.replace(f"%{number}", value)
        return said

    def button(self, text: str, share: str | None = None) -> Locator:
        """Find a button of the panel, or of one share in it."""
        name = self.say(text)
        if share is not None:
            name = self.say("%1: %2", name, share)
        return self.region.get_by_role("button", name=name, exact=True)

    def item(self, name: str) -> Locator:
        """Find a share in the list."""
        return self.region.get_by_role("listitem", name=name, exact=True)

    def open(self, path: str = "") -> None:
        """Open JupyterLab with a file, and the panel in it."""
        self.sample.lab.choose(THEMES[self.theme], self.language)
        self.at(NOW)
        self.page.goto(
            f"{self.sample.lab.url}/lab/workspaces/{self.kind}{path and '/tree/' + path}"
            f"?reset&token={TOKEN}"
        )
        tab = self.page.get_by_role("tab", name=self.say("Share environment"))
        expect(tab).to_be_visible()
        if path:
            file = self.page.get_by_role("tab", name=path.rsplit("/")[-1])
            expect(file).to_be_visible()
            expect(self.page.get_by_role("button", name=IDLE)).to_be_visible()
        if tab.get_attribute("aria-selected") != "true":
            tab.click()
        expect(self.region).to_be_visible()
        self._widen()

    def at(self, moment: datetime) -> None:
        """Set the page's clock."""
        self.page.clock.set_fixed_time(moment)

    def _widen(self) -> None:
        box = self.region.bounding_box()
        assert box is not None
        edge = box["x"] + box["width"] + 1
        self.page.mouse.move(edge, box["y"] + 300)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + PANEL + 1, box["y"] + 300, steps=4)
        self.page.mouse.up()
        self.page.mouse.move(WIDTH - 200, HEIGHT - 200)

    def form(self, data: str | None = None) -> Locator:
        """Open the form, add data, and wait for the plan."""
        self.button("Share environment…").click()
        form = self.region.get_by_role("region", name=self.say("Share %1", "dga-detector"))
        if data is not None:
            # Beside it there may be one for documents that are not saved.
            taken = form.get_by_role("checkbox", name=data)
            if taken.count() == 0:
                form.get_by_role("textbox", name=self.say("Data folder")).fill(data)
                self.button("Add folder").click()
            expect(taken).to_be_checked()
        expect(form.get_by_role("status").last).to_have_text(self.say("The plan is ready."))
        return form

    def share(self, name: str, data: str | None = None) -> None:
        """Share from the form."""
        form = self.form(data)
        form.get_by_role("textbox", name=self.say("Name"), exact=True).fill(name)
        expect(form.get_by_role("status").last).to_have_text(self.say("The plan is ready."))
        self.button("Share").click()
        expect(self.item(name)).to_be_visible()

    def wait_for(self, share: str, button: str) -> None:
        """Wait until something can be done with a share."""
        expect(self.button(button, share)).to_be_visible(timeout=60_000)

    def unfold(self, name: str, wanted: bool = True) -> None:
        """Show or hide a share's details."""
        head = self.item(name).get_by_role("button", name=name, exact=True)
        if head.get_attribute("aria-expanded") != str(wanted).lower():
            head.click()
        self.page.mouse.move(WIDTH - 200, HEIGHT - 200)

    # ------------------------------------------------------------------ pictures

    def picture(self, name: str, part: Locator | None = None, *, window: bool = False) -> None:
        """Take a picture of the panel, a part of it, or the whole window."""
        if not self.everything and name not in SHOWN.get(self.kind, ()):
            return
        self.page.mouse.move(WIDTH - 200, HEIGHT - 200)
        if 100 in self.zooms:
            if window:
                self._save(name, self.page.screenshot())
            else:
                with self._tall():
                    self._save(name, self.page.screenshot(clip=self._box(part)))
        if 200 in self.zooms:
            self.page.set_viewport_size(LARGE)
            if part is not None:
                part.scroll_into_view_if_needed()
            self._save(f"{name}-200", self.page.screenshot())
            self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})

    @contextmanager
    def _tall(self) -> Iterator[None]:
        height = self.region.evaluate("panel => panel.scrollHeight")
        self.page.set_viewport_size({"width": WIDTH, "height": max(HEIGHT, height + 120)})
        self.page.wait_for_function(
            "panel => panel.scrollHeight <= panel.clientHeight", arg=self.region.element_handle()
        )
        yield
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})

    def _box(self, part: Locator | None) -> dict[str, float]:
        box = (part or self.region).bounding_box()
        assert box is not None
        if part is None:
            # Below the last words there is only background.
            lowest = self.region.evaluate(
                """panel => Math.max(...[...panel.querySelectorAll('*')]
                    .filter(e => !e.childElementCount && e.getClientRects().length)
                    .map(e => e.getBoundingClientRect().bottom))"""
            )
            box["height"] = min(box["height"], lowest + 12 - box["y"])
        else:
            box = {k: v + d for (k, v), d in zip(box.items(), (-8, -8, 16, 16), strict=True)}
        return {**box}

    def _save(self, name: str, picture: bytes) -> None:
        path = self.out / f"{self.kind}-{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        for colours in (96, 48, 24, 12):
            done = subprocess.run(
                ["pngquant", "--speed=1", "--nofs", "--strip", str(colours), "-"],
                input=picture,
                capture_output=True,
                check=True,
            )
            if len(done.stdout) <= LARGEST:
                break
        path.write_bytes(done.stdout)


def story(sample: Sample, views: list[View]) -> None:
    """Go through the story once, with every view looking on."""
    sample.at(NOW)
    for view in views:
        with step(f"{view.kind}: the environment, the form"):
            show_form(view)
    with step("Sharing, held in the middle"):
        hold_in_the_middle(sample, views)
    with step("To its end"):
        finish(sample, views)
    with step("Earlier ones: a failure, a stopped one; and one under way"):
        add_earlier_ones(sample, views)


def show_form(view: View) -> None:
    """Show the panel before the first share: empty, refused, the environment, the form."""
    view.open()
    expect(view.button("Use the folder of the file browser")).to_be_visible()
    expect(view.region).to_contain_text(view.say(NO_SHARES))
    view.picture("empty")
    view.open("home/notes/notes.ipynb")
    view.button("Share environment…").click()
    expect(view.region.get_by_role("alert")).to_be_visible()
    view.picture("refused")
    view.button("Cancel").click()
    view.open("home/dga-detector/detector.ipynb")
    expect(view.button("Share environment…")).to_be_visible()
    view.picture("environment", window=True)
    form = view.form(DATA)
    form.get_by_role("textbox", name=view.say("Name"), exact=True).blur()
    view.picture("form")
    plan = form.get_by_role("group", name=view.say("What will happen"))
    view.picture("not-copied", plan)
    view.button("Cancel").click()
    # The clock of the page stands a little later than the service's.
    view.at(NOW + timedelta(seconds=6))


def hold_in_the_middle(sample: Sample, views: Sequence[View]) -> None:
    """Share, and hold the share in the middle of build and copy."""
    sample.engine.hang("build")
    sample.hold_data()
    views[0].share(NAME, DATA)
    for view in views:
        bars = view.item(NAME).get_by_role("progressbar")
        expect(bars).to_have_count(2)
        expect(bars.last).to_have_attribute("aria-valuetext", re.compile(r"117\sMB"))
        expect(bars.first).to_have_attribute("aria-valuetext", re.compile(r"4"))
        view.picture("progress")


def finish(sample: Sample, views: Sequence[View]) -> None:
    """Let the share go on, step by step, to its end."""
    for call, held_next, seconds in (("build", "verify", 24), ("verify", "launch", 26)):
        before = sample.engine.calls(held_next)
        sample.engine.hang(held_next)
        sample.at(NOW + timedelta(seconds=seconds))
        sample.engine.release(call)
        if call == "build":
            sample.engine.release("data")
        eventually(lambda call=held_next, n=before: sample.engine.calls(call) > n)  # type: ignore[misc]
    sample.at(NOW + timedelta(seconds=29))
    sample.engine.release("launch")
    for view in views:
        view.wait_for(NAME, "Open")
        view.unfold(NAME)
        told = view.page.get_by_role("alert").filter(has_text=view.say("%1 is running.", NAME))
        # It glides in; what could be clicked has come to rest.
        told.get_by_role("button", name=view.say("Open")).click(trial=True)
        view.picture("finished", window=True)
        view.unfold(NAME, False)


def add_earlier_ones(sample: Sample, views: Sequence[View]) -> None:
    """Add a share that failed, one that was stopped and one under way."""
    first = views[0]
    sample.at(NOW - timedelta(days=5))
    wrong = {"line": 5, "instruction": "RUN pip install scikit-laern==1.9.1"}
    sample.engine.fail_next("build", BuildFailed(id="ma3dtivat6", **wrong))
    first.share("dga-detector-2026-11-18")
    for view in views:
        view.wait_for("dga-detector-2026-11-18", "Retry")
        view.unfold("dga-detector-2026-11-18")
        expect(view.item("dga-detector-2026-11-18").get_by_role("log")).to_contain_text("pip")
        view.picture("error", view.item("dga-detector-2026-11-18"))
        view.unfold("dga-detector-2026-11-18", False)
    sample.at(NOW - timedelta(days=3))
    first.share("dga-detector-2026-11-20")
    first.wait_for("dga-detector-2026-11-20", "Open")
    first.unfold("dga-detector-2026-11-20")
    first.button("Stop", "dga-detector-2026-11-20").click()
    first.wait_for("dga-detector-2026-11-20", "Start")
    first.unfold("dga-detector-2026-11-20", False)
    sample.at(NOW + timedelta(minutes=4))
    sample.hold_data()
    name = "dga-detector-all-data"
    for view in views:
        view.at(NOW + timedelta(minutes=4, seconds=6))
    first.share(name, DATA)
    for view in views:
        bar = view.item(name).get_by_role("progressbar")
        expect(bar.last).to_have_attribute("aria-valuetext", re.compile(r"117\sMB"))
        view.wait_for("dga-detector-2026-11-20", "Start")
        view.picture("list")
    sample.engine.release("data")
    first.wait_for(name, "Open")


def main() -> None:
    """Take the pictures that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every picture, also at 200 %%")
    parser.add_argument("--language", nargs="+", default=["en", "zh_CN"])
    parser.add_argument("--theme", nargs="+", choices=tuple(THEMES), default=list(THEMES))
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    need({"chromium": "chromium", "pngquant": "pngquant", "git": "git", "fc-list": "fontconfig"})
    if not run(["fc-list", ":lang=zh"]).strip():
        # Without one, every Chinese character is an empty box.
        apt_install("fonts-wqy-zenhei")
    languages = [one for one in asked.language if one == "en" or (LOCALE / one).is_dir()]
    kinds = [(theme, language) for language in languages for theme in asked.theme]
    if not asked.all:
        kinds = [kind for kind in kinds if "-".join(kind) in SHOWN]
    if not kinds:
        raise Stop("There is nothing to take a picture of.")
    expect.set_options(timeout=30_000)
    with (
        tempfile.TemporaryDirectory(prefix="secxops-pictures-") as folder,
        holding(Path(folder), Sample) as sample,
        sync_playwright() as playwright,
    ):
        assert isinstance(sample, Sample)
        with step("Making the sample project and its data"):
            sample.make()
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        views = [_view(browser, sample, *kind, asked.all, asked.out) for kind in kinds]
        story(sample, views)
        browser.close()


def _view(
    browser: Browser, sample: Sample, theme: str, language: str, everything: bool, out: Path
) -> View:
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT},
        # Small enough for a page, sharp enough to be read.
        device_scale_factor=1.25,
        locale=language.replace("_", "-") if language != "en" else "en-US",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    context.route(API, Mask(sample.root / "home"))
    zooms = (100, 200) if everything else (100,)
    return View(context.new_page(), sample, theme, language, zooms, out, everything)


if __name__ == "__main__":
    os.umask(0o022)
    main()
