"""`make demo` ends at a button that leads to an opened copy."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from playwright.sync_api import Page, expect

from .conftest import Panel

pytestmark = [pytest.mark.docker, pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.soak]
ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "demo.py"
# So that the next run finds the layers of the sample's image.
KEPT = "secxops-test-sample:latest"


@pytest.fixture
def said(tmp_path: Path, docker_client: docker.DockerClient) -> Iterator[str]:
    """What the demo prints in the end; its environment is this one, its data are little."""
    folder = tmp_path / "demo"
    (folder / "work" / "domains").mkdir(parents=True)
    (folder / "work" / "domains" / "0000.csv").write_text("time,client,name,label\n")
    (folder / "venv").symlink_to(sys.prefix)
    env = {**os.environ, "SECXOPS_SCRIPTS_CACHE": str(tmp_path)}

    def demo(what: str) -> str:
        done = subprocess.run(
            [sys.executable, SCRIPT, what], env=env, capture_output=True, text=True, timeout=500
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        yield demo("start")
    finally:
        mark = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        for image in docker_client.images.list(name=f"secxops-demo-{mark}"):
            image.tag(KEPT)
        record = folder / "state.json"
        if record.exists():
            # Other tests may use the tools image by now.
            record.write_text(json.dumps({**json.loads(record.read_text()), "tools": []}))
        demo("clean")
        assert not folder.exists()


def test_the_demo_leaves_a_button_that_leads_to_an_opened_copy(page: Page, said: str) -> None:
    """Follow what it prints, word for word."""
    url = re.search(r"^The button +(\S+)$", said, re.M)
    data = re.search(r"^ +add (\S+), Share; then Open\.$", said, re.M)
    assert url and data, said
    page.goto(url[1])
    page.get_by_role("tab", name="Share environment").click()
    panel = Panel(page, None)
    expect(panel.environment).to_contain_text("dga-detector")
    shared = panel.region.get_by_role("list", name="Shares").get_by_role("listitem")
    expect(shared).to_have_count(1)  # what the demo shared itself

    form = panel.form()
    form.get_by_role("textbox", name="Data folder").fill(data[1])
    panel.button("Add folder").click()
    expect(form.get_by_role("checkbox", name=re.compile("domains"))).to_be_checked()
    form.get_by_role("textbox", name="Name", exact=True).fill("from-the-button")
    panel.button("Share").click()
    expect(panel.status("from-the-button")).to_have_text(re.compile("Running$"), timeout=120_000)
    with page.context.expect_page() as opened:
        panel.button("Open: from-the-button").click()
    copy = opened.value
    expect(copy.get_by_role("listitem", name=re.compile("^Name: detector.ipynb"))).to_be_visible(
        timeout=60_000
    )
    assert copy.url.partition("?")[0] != url[1].partition("?")[0]
