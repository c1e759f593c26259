"""A person at the sidebar of a JupyterLab in the cluster: where a share goes, why, how to reach it.

With ``SECXOPS_PICTURES`` naming a folder, the pictures for the documentation are left there, in the theme
that ``SECXOPS_THEME`` names (light or dark).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from stage import DATA, PROJECT, Stage, forwarded

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
PICTURES = os.environ.get("SECXOPS_PICTURES", "")
THEME = os.environ.get("SECXOPS_THEME", "light")
NOTEBOOK = {
    "cells": [],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@contextmanager
def chromium() -> Iterator[Browser]:
    program = os.environ.get("SECXOPS_CHROMIUM") or shutil.which("chromium")
    assert program, "no Chromium here; `apt install chromium`"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


class Panel:
    """The panel in the notebook pod's own JupyterLab, which is at a port here."""

    def __init__(self, page: Page, port: int) -> None:
        self.page = page
        self.lab = f"http://127.0.0.1:{port}"
        self.region = page.get_by_role("region", name="Share environment", exact=True)

    def open(self) -> None:
        self._choose("themes", theme=THEMES[THEME])
        self._choose("notification", fetchNews="false")
        path = f"{PROJECT.removeprefix('/home/jovyan/')}/detector.ipynb"
        self.page.goto(f"{self.lab}/lab/tree/{path}?token=source")
        expect(self.page.get_by_role("tab", name="detector.ipynb")).to_be_visible(timeout=60_000)
        tab = self.page.get_by_role("tab", name="Share environment")
        if tab.get_attribute("aria-selected") != "true":
            tab.click()
        expect(self.region).to_be_visible()

    def _choose(self, setting: str, **values: str) -> None:
        self.page.request.put(
            f"{self.lab}/lab/api/settings/@jupyterlab/apputils-extension:{setting}",
            headers={"Authorization": "token source"},
            data={"raw": json.dumps(values)},
        )

    def button(self, name: str) -> Locator:
        return self.region.get_by_role("button", name=name, exact=True)

    def plan(self, name: str, memory: str, gpu: str) -> Locator:
        """Fill in the form, and return what will happen."""
        self.button("Share environment…").click()
        form = self.region.get_by_role("region", name=re.compile("^Share ."))
        form.get_by_role("textbox", name="Data folder").fill(DATA)
        self.button("Add folder").click()
        expect(form.get_by_role("checkbox")).to_be_checked()
        for label, value in (("CPU", "0.2"), ("Memory (GB)", memory), ("GPU", gpu)):
            form.get_by_label(label).fill(value)
        form.get_by_role("textbox", name="Name", exact=True).fill(name)
        expect(form.get_by_role("status").last).to_have_text("The plan is ready.", timeout=30_000)
        return form.get_by_role("group", name="What will happen")

    def picture(self, name: str) -> None:
        """Leave a picture where pictures are wanted."""
        if not PICTURES:
            return
        self.page.mouse.move(1300, 800)
        lowest = self.region.evaluate(
            """panel => Math.max(...[...panel.querySelectorAll('*')]
                .filter(e => !e.childElementCount && e.getClientRects().length)
                .map(e => e.getBoundingClientRect().bottom))"""
        )
        box = self.region.bounding_box()
        assert box is not None
        clip = {**box, "height": min(box["height"], lowest + 12 - box["y"])}
        self.page.screenshot(path=Path(PICTURES) / f"cluster-{THEME}-{name}.png", clip=clip)


def moves_to(stage: Stage) -> re.Pattern[str]:
    """What is said of a share that any other node gets."""
    others = "|".join(map(re.escape, stage.cluster.others))
    return re.compile(f"Moves to node ({others})")


def shared(
    stage: Stage,
    name: str,
    needs: tuple[str, str],
    route: str | re.Pattern[str],
    reasons: Sequence[str],
) -> Any:
    """Share in the panel: the plan for memory (GB) and GPUs says a route and its reasons, and it goes there.

    Returns the share's record.
    """
    tunnel = f"kubectl port-forward --namespace={stage.namespace}"
    at_notebook = forwarded(stage.cluster, f"{tunnel} pod/notebook 8888:8888")
    stage.answers()
    with chromium() as browser, at_notebook as port:
        page = browser.new_page(viewport={"width": 1400, "height": 1500})
        panel = Panel(page, port)
        panel.open()
        plan = panel.plan(name, *needs)
        expect(plan).to_contain_text(route)
        for reason in reasons:
            expect(plan).to_contain_text(reason)
        panel.picture(f"{name}-plan")

        panel.button("Share").click()
        item = panel.region.get_by_role("listitem", name=name, exact=True)
        expect(item.get_by_role("button", name=f"Open: {name}")).to_be_visible(timeout=120_000)
        head = item.get_by_role("button", name=name, exact=True)
        if head.get_attribute("aria-expanded") != "true":
            head.click()
        expect(item).to_contain_text(route)
        item.get_by_role("button", name=f"Open: {name}").click()
        expect(item.get_by_label("Command for a tunnel")).to_contain_text(
            f"{tunnel} service/secxops-"
        )
        panel.picture(name)
    _, rows = stage.secxops("list")
    return stage.show(next(row["id"] for row in rows if row["name"] == name))
