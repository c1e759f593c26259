"""The panel costs little: to load, before it is opened, and with a thousand shares in it."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

import jupyter_secxops_migrate

from .scenes import MANY
from .stage import Stage, stage  # noqa: F401 - a fixture

BUILT = Path(jupyter_secxops_migrate.__file__).parent / "labextension" / "static"
STUB, ALL = 10_000, 100_000
"""Compressed bytes that may be loaded before the panel is opened, and altogether."""

FRAME, SLOW = 1000 / 60, 50
"""Milliseconds: a frame, and what a person feels (a long task, by the browser's definition)."""

pytestmark = [pytest.mark.timeout(240)]


def compressed(name: str) -> int:
    return len(gzip.compress((BUILT / name).read_bytes(), 6))


def test_all_of_it_is_small() -> None:
    """What a browser may ever load."""
    scripts = [path.name for path in BUILT.glob("*.js")]
    assert any(name.startswith("remoteEntry.") for name in scripts), "the extension is not built"
    sizes = {name: compressed(name) for name in scripts}
    print(f"compressed: {sum(sizes.values())} bytes, {json.dumps(sizes)}")
    assert sum(sizes.values()) <= ALL, sizes


@pytest.mark.browser
def test_only_a_stub_is_loaded_before_the_panel_is_opened(page: Page, stage: Stage) -> None:  # noqa: F811
    """Neither the panel's code, nor a question to the service."""
    loaded: list[str] = []
    asked: list[str] = []

    def note(request: Request) -> None:
        for part, seen in (("@jupyter-secxops/migrate/static/", loaded), ("/secxops/api/", asked)):
            if part in request.url:
                seen.append(request.url.split("?")[0])

    page.on("request", note)
    stage.choose()
    scene = stage.open(page, before=lambda: (loaded.append("|"), asked.append("|")))
    expect(scene.share_button).to_be_visible()
    before = [url.rsplit("/")[-1] for url in loaded[: loaded.index("|")]]
    after = [url.rsplit("/")[-1] for url in loaded[loaded.index("|") + 1 :]]
    print(f"stub: {sum(map(compressed, before))} bytes, then {sum(map(compressed, after))}")
    assert before and sum(map(compressed, before)) <= STUB, before
    assert sum(map(compressed, after)) > sum(map(compressed, before)), "nothing is loaded later"
    assert asked[0] == "|" and len(asked) > 1


THEIRS = """
let shared;
(window._JUPYTERLAB ??= {}).theirs = {
    init: scope => { shared = scope; },
    get: async () => {
        const [ours] = Object.values(shared['@jupyter-secxops/migrate']);
        const { ISharing } = (await ours.get())();
        const activate = (app, sharing) => { window.sharing = sharing; };
        const plugin = { id: 'theirs:plugin', autoStart: true, requires: [ISharing], activate };
        return () => ({ __esModule: true, default: plugin });
    }
};
"""
"""An extension that somebody else made, as JupyterLab loads it; it uses our token."""

ENDED = """async () => {
    const shares = await window.sharing.shares();
    while (shares.items === null) {
        await new Promise(resolve => shares.changed.connect(resolve));
    }
    return shares.items.map(one => one.state);
}"""


@pytest.mark.browser
def test_another_extension_follows_the_shares_and_opens_the_form(page: Page, stage: Stage) -> None:  # noqa: F811
    """By a token that costs nothing until it is used."""
    folder = stage.lab.root / "labextensions" / "theirs"
    (folder / "static").mkdir(parents=True)
    (folder / "static" / "remoteEntry.js").write_text(THEIRS)
    build = {"load": "static/remoteEntry.js", "extension": "./extension"}
    about = {"name": "theirs", "version": "1.0.0", "jupyterlab": {"_build": build}}
    (folder / "package.json").write_text(json.dumps(about))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    stage.scene("many")
    stage.choose()

    def use_it() -> None:
        page.wait_for_function("window.sharing")
        assert not [url for url in asked if "/secxops/api/" in url]
        assert len(page.evaluate(ENDED)) == MANY
        page.evaluate("window.sharing.open()")

    try:
        scene = stage.open(page, before=use_it)
        expect(scene.button("Share")).to_be_visible()
    finally:
        shutil.rmtree(folder)


@pytest.mark.browser
@pytest.mark.soak  # by the clock, which says little on a busy machine
def test_a_thousand_shares_scroll_without_stutter(page: Page, stage: Stage) -> None:  # noqa: F811
    """Hardly a frame is late while the whole list passes by and one share tells how far it is."""
    stage.scene("many")
    stage.choose()
    scene = stage.open(page)
    expect(scene.share_button).to_be_visible()
    expect(scene.region.get_by_role("listitem", name="share-0001")).to_be_visible()
    box = scene.region.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.evaluate(
        """() => {
            window.frames_ = []; window.long_ = [];
            new PerformanceObserver(list =>
                window.long_.push(...list.getEntries().map(e => e.duration))
            ).observe({type: 'longtask'});
            let last = performance.now();
            const next = now => { window.frames_.push(now - last); last = now; requestAnimationFrame(next); };
            requestAnimationFrame(next);
        }"""
    )
    last = scene.region.get_by_role("listitem", name=f"share-{MANY - 1:04}")
    for _ in range(400):
        page.mouse.wheel(0, 400)
        if scene.region.evaluate("e => e.scrollTop + e.clientHeight >= e.scrollHeight - 2"):
            break
    expect(last).to_be_in_viewport()
    frames, long = page.evaluate("[window.frames_, window.long_]")
    frames = sorted(frames)
    print(
        f"{len(frames)} frames, median {frames[len(frames) // 2]:.1f} ms, "
        f"p99 {frames[int(len(frames) * 0.99)]:.1f} ms, worst {frames[-1]:.1f} ms, long {long}"
    )
    assert frames[len(frames) // 2] < 1.5 * FRAME
    assert frames[int(len(frames) * 0.95)] < SLOW
    # Not none: what else the machine does may fall into one.
    assert sum(long) < 0.05 * sum(frames)
