"""Everyone: in both themes and both languages, by keyboard, at 240 pixels, at 200 % zoom."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from effort import soaked
from playwright.sync_api import Browser, Page, expect

from .stage import DARK, LIGHT, Scene, Stage, stage, states  # noqa: F401 - a fixture

AXE = Path(__file__).parents[2] / "labextension" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = os.environ.get("SECXOPS_PICTURES")
"""A folder for pictures of every state, for people to look at."""

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@contextmanager
def in_full(scene: Scene, most: int = 20_000) -> Iterator[None]:
    """Make the window so high that all of the panel is in sight."""
    size = scene.page.viewport_size
    assert size is not None
    height = scene.region.evaluate("panel => panel.scrollHeight")
    scene.page.set_viewport_size({"width": size["width"], "height": min(height + 100, most)})
    try:
        yield
    finally:
        scene.page.set_viewport_size(size)


def faults_of_access(scene: Scene) -> list[Any]:
    """What axe-core finds in the panel and in what it puts into the status bar, by every rule."""
    if not scene.page.evaluate("'axe' in window"):
        scene.page.add_script_tag(path=str(AXE))
        # JupyterLab's page has no height of its own, and axe takes what is in it for invisible.
        scene.page.add_style_tag(content="html, body {height: 100%}")
    # Contrast is judged of what is in sight only.
    with in_full(scene):
        found: dict[str, Any] = scene.region.evaluate(
            """async panel => {
                const status = document.querySelectorAll('.jp-secxops-Status');
                return axe.run({include: [panel, ...status]}, {resultTypes: ['violations']});
            }"""
        )
    looked = {rule["id"] for rule in [*found["passes"], *found["violations"]]}
    assert {"button-name", "color-contrast"} <= looked, "axe did not look"
    return [
        (rule["id"], node["target"], node["failureSummary"])
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


MEASURE = """panel => {
    const faults = [];
    const say = (what, e) => faults.push(
        `${what}: <${e.tagName.toLowerCase()} class="${e.className}"> ${e.textContent.slice(0, 80)}`);
    const scroller = panel;
    if (scroller.scrollWidth > scroller.clientWidth) say('scrolls sideways', scroller);
    const edge = scroller.getBoundingClientRect();
    const shown = [...panel.querySelectorAll('*')].filter(e =>
        e.checkVisibility({visibilityProperty: true, contentVisibilityAuto: false})
        && !e.closest('.jp-secxops-Unseen') && !e.closest('svg') && e.getClientRects().length);
    for (const e of shown) {
        const box = e.getBoundingClientRect();
        if (box.left < edge.left - 1 || box.right > edge.left + scroller.clientWidth + 1)
            say('sticks out', e);
        const style = getComputedStyle(e);
        if (style.overflowX !== 'visible' && e.scrollWidth > e.clientWidth + 1 && e.clientWidth)
            say('is cut at the side', e);
        if (style.overflowY !== 'auto' && style.overflowY !== 'visible'
            && e.scrollHeight > e.clientHeight + 1 && e.clientHeight)
            say('is cut below', e);
    }
    // What is clicked or read may lie in something, but not on something of another branch.
    const things = shown.filter(e =>
        e.matches('button, input, label, pre, [role=progressbar]')
        || [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
    const boxes = things.map(e => [e, [...e.getClientRects()]]);
    for (let i = 0; i < boxes.length; i++)
        for (let j = i + 1; j < boxes.length; j++) {
            const [a, of_a] = boxes[i], [b, of_b] = boxes[j];
            if (a.contains(b) || b.contains(a) || a.closest('.jp-secxops-Submit')
                || b.closest('.jp-secxops-Submit')) continue;
            if (of_a.some(p => of_b.some(q =>
                Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1
                && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 3)))
                say(`overlaps "${b.textContent.slice(0, 40)}"`, a);
        }
    return faults;
}"""


@pytest.mark.parametrize(
    ("theme", "language", "width", "zoom"),
    [
        pytest.param(LIGHT, "en", 240, 1, id="light-english-narrow"),
        pytest.param(DARK, "zh_CN", None, 2, id="dark-chinese-large"),
        soaked(DARK, "zh_CN", 240, 1, id="dark-chinese-narrow"),
        soaked(LIGHT, "zh_CN", None, 2, id="light-chinese-large"),
        soaked(DARK, "en", None, 2, id="dark-english-large"),
    ],
)
def test_every_state_can_be_read(
    browser: Browser,
    stage: Stage,  # noqa: F811
    theme: str,
    language: str,
    width: int | None,
    zoom: int,
) -> None:
    """axe-core finds nothing, and nothing is cut, overlaps or scrolls sideways."""
    assert AXE.exists(), "axe-core is not there; `npm ci` in labextension"
    stage.choose(theme, language)
    # A page at 200 % is half as wide and high, in dots that are twice as large.
    viewport = {"width": 1280 // zoom, "height": 900 // zoom}
    context = browser.new_context(
        viewport=viewport, device_scale_factor=zoom, locale="en-US" if language == "en" else "zh-CN"
    )
    faults = []
    for name, scene in states(stage, context.new_page(), width):
        if PICTURES:
            picture(scene, Path(PICTURES) / f"{theme[11:]}-{language}-{width}-{zoom}x-{name}.png")
        faults += [(name, fault) for fault in faults_of_access(scene)]
        faults += [(name, fault) for fault in scene.region.evaluate(MEASURE)]
    context.close()
    assert not faults, "\n".join(map(str, faults))


def test_the_judges_find_faults(page: Page, stage: Stage) -> None:  # noqa: F811
    """What would be wrong is found: a name that is too wide, a cut path, words on words, a pale text."""
    stage.choose()
    stage.scene("each")
    scene = stage.open(page)
    expect(scene.region.get_by_role("listitem", name="gone")).to_be_visible()
    expect(scene.share_button).to_be_visible()
    for style, judge, fault in (
        (".jp-secxops-ShareName {overflow-wrap: normal}", MEASURE, "sticks out"),
        (".jp-secxops-Path {display: block; overflow: hidden; height: 9px}", MEASURE, "cut below"),
        (".jp-secxops-Summary {margin-top: -14px}", MEASURE, "overlaps"),
        (".jp-secxops-Quiet {color: #bbb}", None, "contrast"),
    ):
        added = page.add_style_tag(content=style)
        found = scene.region.evaluate(judge) if judge else faults_of_access(scene)
        assert any(fault in str(one) for one in found), (style, found)
        added.evaluate("e => e.remove()")
    assert scene.region.evaluate(MEASURE) == faults_of_access(scene) == []


def picture(scene: Scene, path: Path) -> None:
    """Take a picture of the page, and one of all that is in the panel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scene.page.screenshot(path=path)
    with in_full(scene, 4000):
        scene.region.screenshot(path=path.with_suffix(".panel.png"))


SEEN = """() => {
    const e = document.activeElement;
    const style = getComputedStyle(e);
    const name = e.ariaLabel || e.labels?.[0]?.textContent || e.textContent || e.placeholder;
    const box = e.getBoundingClientRect();
    // What lies at the middle of it: a person does not see a focus below something else.
    const top = document.elementFromPoint(box.left + box.width / 2, box.top + Math.min(box.height / 2, 8));
    return {
        inside: !!e.closest('.jp-secxops-Panel'),
        name,
        ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
        covered: !(e === top || e.contains(top) || top?.contains(e)),
    };
}"""


def walked(scene: Scene, most: int = 200) -> list[dict[str, Any]]:
    """Go through the panel with the Tab key from what has the focus, until it is left."""
    found = []
    for _ in range(most):
        seen = scene.page.evaluate(SEEN)
        if not seen["inside"]:
            return found
        found.append(seen)
        scene.page.keyboard.press("Tab")
    raise AssertionError(f"the focus does not leave the panel: {found[-5:]}")


@pytest.mark.parametrize("theme", [LIGHT, soaked(DARK)])
def test_the_tab_key_reaches_everything_in_sight(page: Page, stage: Stage, theme: str) -> None:  # noqa: F811
    """Each control once, with a ring around it, not below the buttons that stay in sight."""
    stage.choose(theme)
    stage.scene("each")
    scene = stage.open(page)
    expect(scene.region.get_by_role("listitem", name="gone")).to_be_visible()
    scene.form()
    expect(scene.region.get_by_role("textbox", name="Name")).to_be_focused()
    seen = walked(scene)
    assert [one["name"] for one in seen if not one["ring"]] == []
    assert [one["name"] for one in seen if one["covered"]] == []
    names = [one["name"].strip() for one in seen]
    for name in ("as it is now", "Data folder", "Add folder", "Browse…", "CPU", "GPU", "Share"):
        assert name in names, names
    for button in scene.region.get_by_role("button").all():
        label = button.get_attribute("aria-label") or button.inner_text()
        assert any(label.strip() in name for name in names), label


@pytest.mark.parametrize("theme", [LIGHT, soaked(DARK)])
def test_what_was_left_out_is_amber_and_said_in_words(page: Page, stage: Stage, theme: str) -> None:  # noqa: F811
    """Green and a tick only where everything arrived as it was; never colour alone."""
    stage.choose(theme)
    stage.scene("each")
    scene = stage.open(page)
    whole = scene.region.get_by_role("listitem", name=re.compile("^a-name-without"))
    expect(whole.get_by_role("status").first).to_have_text("✓ Running")
    share = scene.region.get_by_role("listitem", name="some-left-out")
    state = share.get_by_role("status").first
    expect(state).to_have_text("● Running · 9 left out · 1,204 changed")
    expect(share).to_contain_text(
        "6,522 of 6,531 files equal · 9 left out (keys of its owner; socket) · "
        "1,204 changed (its set-user-id or set-group-id bit does not travel) · image sha256:3f00…009c"
    )
    expect(share).not_to_contain_text("difference")
    warn, sign = page.evaluate(
        """() => {
            const probe = document.createElement('i');
            probe.style.color = 'var(--jp-warn-color1)';
            document.body.append(probe);
            const sign = document.querySelector('.jp-secxops-State.jp-mod-warn > span');
            return [probe, sign].map(one => getComputedStyle(one).color);
        }"""
    )
    assert sign == warn
    if PICTURES:
        share.screenshot(path=str(Path(PICTURES) / f"left-out-{theme[11:]}.png"))


def test_arrows_go_from_share_to_share(page: Page, stage: Stage) -> None:  # noqa: F811
    stage.choose()
    stage.scene("each")
    scene = stage.open(page)
    expect(scene.region.get_by_role("listitem", name="gone")).to_be_visible()
    scene.button("under-way").focus()
    page.keyboard.press("ArrowDown")
    expect(scene.button("in-the-queue")).to_be_focused()
    page.keyboard.press("End")
    expect(scene.button("gone")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(scene.button("gone")).to_be_focused()
    page.keyboard.press("Enter")
    expect(scene.button("gone")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Home")
    expect(scene.button("under-way")).to_be_focused()


def test_escape_leads_back_to_where_one_was(page: Page, stage: Stage) -> None:  # noqa: F811
    """From the form to its button, from a question to the button that asked it."""
    stage.choose()
    stage.scene("each")
    scene = stage.open(page)
    expect(scene.share_button).to_be_visible()
    scene.share_button.focus()
    page.keyboard.press("Enter")
    expect(scene.region.get_by_role("textbox", name="Name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(scene.share_button).to_be_focused()

    scene.button("gone").focus()
    page.keyboard.press("Enter")
    delete = scene.button("Delete: gone")
    delete.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Delete gone?")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(delete).to_be_focused()
    # Nothing was deleted; on a second thought it is, and the focus goes to its neighbour.
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Keep")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(scene.region.get_by_role("listitem", name="gone")).to_have_count(0)
    expect(scene.button("stopped")).to_be_focused()
