"""JupyterLab's language setting chooses the panel's: not a word of it stays English."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from playwright.sync_api import Browser, Page, expect

import jupyter_secxops_migrate

from . import scenes
from .stage import SHARE, Stage, stage, states  # noqa: F401 - a fixture

LOCALE = Path(jupyter_secxops_migrate.__file__).parent / "locale"
DOMAIN = "jupyter_secxops_migrate"
WORD = re.compile(r"(?<![\w./:@=-])[A-Za-z]{2,}(?![\w./:@=-])")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SAID = """panel => {
    const said = [];
    for (const e of [panel, ...panel.querySelectorAll('*')]) {
        // A log, a command and the name that a person gave are in no language of ours.
        if (e.closest('pre, .jp-secxops-ShareName')) continue;
        for (const name of ['aria-label', 'aria-valuetext', 'title', 'placeholder'])
            if (e.hasAttribute(name)) said.push(e.getAttribute(name));
        // A path is one word, though it may break anywhere.
        if (e.matches('.jp-secxops-Path')) said.push(e.textContent);
        else for (const n of e.childNodes) if (n.nodeType === 3) said.push(n.data);
    }
    return said;
}"""


def words(*texts: object) -> set[str]:
    return {word.lower() for text in texts for word in WORD.findall(str(text))}


def english_words() -> set[str]:
    """The words of the English catalogue that the Chinese one does not keep, such as `docker`."""
    with (LOCALE / "zh_CN" / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
        messages = [message for message in read_po(file) if message.id]
    return words(*(m.id for m in messages)) - words(*(m.string for m in messages))


def test_not_a_word_stays_english(browser: Browser, stage: Stage) -> None:  # noqa: F811
    """In every state of the panel, with sentences from the service in it, read aloud or seen."""
    stage.choose(language="zh_CN")
    english = english_words()
    assert {"the", "files", "running", "copied", "share"} <= english
    names = sorted((one.name for one in scenes.of_each("")), key=len, reverse=True)
    context = browser.new_context(locale="en-US")
    # A name is what it is, even where it is a word.
    named = "copy 已在共享中（m1）。"
    left = []
    seen = set()
    for state, scene in states(stage, context.new_page()):
        for text in scene.region.evaluate(SAID):
            seen.add(text.strip())
            plain = text
            for name in names:
                plain = plain.replace(name, "")
            if words(plain) & english and text != named:
                left.append((state, text))
    context.close()
    assert not left, "\n".join(map(str, left))
    assert named in seen
    # Plurals, dates and numbers too.
    assert "6,522 个文件一致" in seen
    assert any(text.startswith("2026年11月23日") for text in seen)
    assert any("将共享文件的当前状态" in text and "1,204 个文件已修改" in text for text in seen)


def test_english_is_what_the_sources_say(page: Page, stage: Stage) -> None:  # noqa: F811
    stage.choose(language="en")
    stage.scene("empty")
    scene = stage.open(page)
    expect(scene.region.get_by_role("heading", name="Environment")).to_be_visible()
    expect(scene.region).to_contain_text("312 files")


def test_menus_palette_and_status_bar_too(page: Page, stage: Stage) -> None:  # noqa: F811
    """What leads to the panel is in the same language."""
    stage.choose(language="zh_CN")
    stage.scene("each")
    scene = stage.open(page)
    expect(page.get_by_role("button", name="3 个共享正在进行")).to_be_visible()
    page.get_by_role("menuitem", name="文件", exact=True).click()
    expect(page.get_by_role("menuitem", name="共享环境…")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Shift+c")
    page.keyboard.type("显示我的共享")
    page.keyboard.press("Enter")
    expect(scene.region.get_by_role("button", name=SHARE["zh_CN"])).to_be_visible()
    scene.region.get_by_role("button", name="cancelled", exact=True).click()
    scene.region.get_by_role("button", name="删除：cancelled").click()
    expect(page.get_by_role("dialog", name="删除 cancelled？")).to_contain_text("此操作无法撤销。")


def test_a_language_without_a_catalogue_is_english(page: Page, stage: Stage) -> None:  # noqa: F811
    """Nothing breaks where only JupyterLab itself knows the language, or nobody does."""
    stage.choose(language="fr_FR")
    stage.language = "en"
    stage.scene("empty")
    expect(stage.open(page).region).to_contain_text("312 files")
