"""A copy's JupyterLab says that it is a copy: window title and a bar that can be closed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from effort import soaked
from playwright.sync_api import Page, expect

from jupyter_secxops_migrate.model import (
    Migration,
    MigrationState,
    Plan,
    ProjectVersion,
    Route,
    ShareRequest,
)
from jupyter_secxops_migrate.sharing.banner import banner

from .jupyter import TOKEN, Lab, jupyterlab
from .stage import DARK, LIGHT

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
PROJECT = "<b>dga</b> \u2028 'detector'"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab with the extension where an engine puts it."""
    home = tmp_path_factory.mktemp("copy")
    root = home / "work"
    root.mkdir()
    (root / "train.py").write_text("1\n")
    made = Migration(
        id="m1",
        owner="alice@example.org",
        name="dga-2026-11-20",
        state=MigrationState.RUNNING,
        created=datetime(2026, 11, 20, 14, 2, tzinfo=timezone.utc),
        request=ShareRequest(project="/p"),
        plan=Plan(
            name="x", route=Route.STAY, node="here", version=ProjectVersion(commit="3f2c1a9" + "0" * 33)
        ),
    )  # fmt: skip
    # As a kubelet lays out a Secret's files; Docker's way is plainer.
    (home / "share" / "..at").mkdir(parents=True)
    (home / "share" / "..data").symlink_to("..at")
    (home / "share" / "labextensions").symlink_to("..data/labextensions")
    for path, content in banner(made, PROJECT).items():
        file = home / "share" / "..at" / "labextensions" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    env = {
        **os.environ,
        "HOME": str(home),
        "JUPYTER_PATH": str(home / "share"),
        "SECXOPS_DATA_DIR": str(home / "state"),
        "JUPYTER_NO_CONFIG": "1",
    }
    with jupyterlab(root, env, f"--LabApp.user_settings_dir={home / 'settings'}") as lab:
        yield lab


def opened(page: Page, lab: Lab) -> Page:
    page.goto(f"{lab.url}/lab/tree/train.py?reset&token={TOKEN}")
    expect(page.get_by_role("tab", name="train.py")).to_be_visible()
    return page


@pytest.mark.parametrize("theme", [LIGHT, soaked(DARK)])
def test_a_copy_says_of_what_and_from_whom(page: Page, copy: Lab, theme: str) -> None:
    copy.choose(theme, "en")
    opened(page, copy)
    bar = page.get_by_role("region", name=f"Copy of {PROJECT}")
    expect(bar).to_contain_text(
        re.compile(r"share dga-2026-11-20 · from alice · Nov 20, 2026, .+ · commit 3f2c1a9")
    )
    expect(page).to_have_title(re.compile(r"^Copy of <b>dga</b> .* · train\.py"))
    menu = page.get_by_role("menuitem", name="File", exact=True)
    above, below = bar.bounding_box(), menu.bounding_box()
    assert above and below and above["y"] + above["height"] <= below["y"] + 1, "it covers nothing"
    if out := os.environ.get("SECXOPS_PICTURES"):
        page.screenshot(path=Path(out) / f"banner-{theme.split()[-1]}.png")
    bar.get_by_role("button", name=re.compile("^Close")).click()
    expect(bar).to_have_count(0)
    closed = menu.bounding_box()
    assert closed and closed["y"] < below["y"]
    page.reload()
    expect(page).to_have_title(re.compile("^Copy of "))
    expect(bar).to_have_count(0)
