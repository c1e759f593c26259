"""The command line on a small desk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_secxops_migrate.cli import run

from .desk import Desk, Said


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    store = tmp_path / "store"
    store.mkdir()
    return Desk(store)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "dga-detector"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM base\n")
    (folder / "code.py").write_text("print(1)\n")
    return folder


@pytest.fixture
def secxops(desk: Desk, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*words: str | Path) -> Said:
        status = run([str(word) for word in words], connect=desk.connect)
        return Said(status, *capsys.readouterr())

    return call
