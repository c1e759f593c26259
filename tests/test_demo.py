"""The sample project really detects, and the demo's scripts say clearly what they can't do."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "examples" / "dga-detector"
SCRIPTS = ROOT / "scripts"


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DNS logs of a few hours: the sample's data, only less of it."""
    folder = tmp_path_factory.mktemp("logs") / "domains"
    make_data = SimpleNamespace(**runpy.run_path(str(SAMPLE / "make_data.py")))
    make_data.write(folder, files=20, pool=2000)
    return folder


def test_the_data_are_the_same_every_time(tmp_path: Path) -> None:
    def made(name: str, seed: int) -> str:
        words = [SAMPLE / "make_data.py", tmp_path / name, "--files", "2", "--seed", str(seed)]
        assert script(*words).returncode == 0
        return (tmp_path / name / "2026-09-01" / "0015.csv").read_text()

    once = made("once", 7)
    assert once.startswith("time,client,name,label\n") and once.count("\n") == 801
    assert made("again", 7) == once
    assert made("other", 8) != once


def test_the_detector_finds_generated_names(logs: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SAMPLE / "detector.py", logs, "--results", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["auc"] > 0.9
    assert set(report["families"]) == {
        "congruential",
        "dictionary",
        "hexadecimal",
        "pronounceable",
    }
    assert (tmp_path / "model.joblib").stat().st_size > 1000


def test_entropy_and_registered_names() -> None:
    detector = SimpleNamespace(**runpy.run_path(str(SAMPLE / "detector.py")))
    assert detector.registered("www.guideprice.co.uk.") == "guideprice"
    assert detector.registered("m.joinalpha.net") == "joinalpha"
    assert detector.registered("localhost") == ""
    assert (detector.entropy("abab"), detector.entropy("")) == (1.0, 0.0)


def test_the_notebook_runs_from_top_to_bottom(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DGA_DATA", str(logs))
    monkeypatch.syspath_prepend(str(SAMPLE))
    notebook = json.loads((SAMPLE / "detector.ipynb").read_text())
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]), names)
    assert names["report"]["auc"] > 0.9  # type: ignore[index]


# --------------------------------------------------------------------------- scripts


def script(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_an_engine_that_does_not_answer_is_a_sentence(tmp_path: Path) -> None:
    done = script(SCRIPTS / "engine.py", "start", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 1
    assert "Nothing answers at DOCKER_HOST" in done.stderr and "Traceback" not in done.stderr


def test_only_a_dockerd_that_was_started_here_is_stopped(tmp_path: Path) -> None:
    """A recorded process id that another process has by now is left alone."""
    bystander = subprocess.Popen(["sleep", "60"])
    record = tmp_path / "engine" / "dockerd.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"pid": bystander.pid, "born": "1"}))
    try:
        stopped = script(SCRIPTS / "engine.py", "stop", SECXOPS_SCRIPTS_CACHE=str(tmp_path))
        assert stopped.returncode == 0
        assert bystander.poll() is None
        assert not record.exists()
    finally:
        bystander.kill()
        bystander.wait()


# --------------------------------------------------------------------------- from nothing


@pytest.mark.soak
@pytest.mark.docker
@pytest.mark.timeout(1800)
def test_make_demo_shares_from_nothing_and_make_demo_clean_leaves_nothing(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)

    def make(target: str) -> str:
        done = subprocess.run(
            ["make", f"PYTHON={sys.executable}", target],
            cwd=clone,
            capture_output=True,
            text=True,
            timeout=1200,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    client = docker.from_env()
    before = {container.id for container in client.containers.list(all=True)}
    try:
        said = make("demo")
        proof, url = (
            re.search(f"^{name} +(.+)$", said, re.M) for name in ("The proof", "Its share")
        )
        assert proof and "0 differences" in proof[1]
        assert url
        with urllib.request.urlopen(url[1], timeout=30) as answer:
            assert b"JupyterLab" in answer.read()
    finally:
        make("demo-clean")
    assert {container.id for container in client.containers.list(all=True)} <= before
    client.close()
    assert not (clone / ".cache" / "demo").exists()
