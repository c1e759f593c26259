"""What a person gets from ``pip install``: the wheel, in an environment that has no Node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parent.parent
LAB = "share/jupyter/labextensions/@jupyter-secxops/migrate"

pytestmark = pytest.mark.slow


def call(*words: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=env, capture_output=True, text=True, timeout=280
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of a fresh environment with the wheel and JupyterLab."""
    folder = tmp_path_factory.mktemp("fresh")
    call(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    locked = ("--constraint", ROOT / "requirements" / "dev.txt")
    uv = Path(sys.executable).with_name("uv")
    call(uv, "pip", "install", "--quiet", "--python", python, *locked, f"{wheel}[lab]")
    return folder / "bin"


def in_it(installed: Path, tmp_path: Path, *words: str) -> str:
    """Run a command of the fresh environment where there is nothing else: no Node, no settings."""
    clean = {"PATH": str(installed), "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    for name in ("SSL_CERT_FILE",):
        if name in os.environ:
            clean[name] = os.environ[name]
    return click.unstyle(call(installed / words[0], *words[1:], env=clean, cwd=tmp_path))


def test_the_wheel_holds_what_the_product_reads(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    inside = [n.removeprefix("jupyter_secxops_migrate/") for n in names]
    words = "locale/zh_CN/LC_MESSAGES/jupyter_secxops_migrate.json"
    for file in ("py.typed", "web/openapi.yaml", "labextension/package.json", words):
        assert file in inside
    assert [n for n in inside if n.startswith("operations/alembic/versions/") and n.endswith(".py")]
    assert [n for n in names if n.endswith(f"data/{LAB}/install.json")]
    assert [n for n in names if "/static/remoteEntry." in n]
    assert not [n for n in names if "node_modules" in n or n.startswith(("tests/", "docs/"))]


def test_jupyterlab_shows_the_extension(installed: Path, tmp_path: Path) -> None:
    said = in_it(installed, tmp_path, "jupyter", "labextension", "list")
    (line,) = [line for line in said.splitlines() if "@jupyter-secxops/migrate" in line]
    assert "enabled" in line and "OK" in line
    assert "jupyter_secxops_migrate" in line  # install.json: what to uninstall


def test_jupyterlab_finds_the_words_in_other_languages(installed: Path, tmp_path: Path) -> None:
    look = (
        "from jupyterlab_server.translation_utils import get_installed_packages_locale as look;"
        "found, _ = look('zh_CN'); print(found['jupyter_secxops_migrate']['Share environment'])"
    )
    assert "共享环境" in in_it(installed, tmp_path, "python", "-c", look)


def test_the_server_extension_is_enabled_and_valid(installed: Path, tmp_path: Path) -> None:
    said = in_it(installed, tmp_path, "jupyter", "server", "extension", "list")
    assert "jupyter_secxops_migrate enabled" in said
    (valid,) = [
        line for line in said.splitlines() if line.strip().endswith(" OK") and "secxops" in line
    ]
    assert valid.split()[0] == "jupyter_secxops_migrate"


def test_the_command_is_there(installed: Path, tmp_path: Path) -> None:
    said = in_it(installed, tmp_path, "jupyter", "secxops", "--help")
    assert "Exit status: 0 done, 1 failed, 2 wrong usage" in " ".join(said.split())


def test_a_checkout_that_was_built_before_needs_no_node_either(wheel: Path, tmp_path: Path) -> None:
    """The second ``make demo`` on a machine with nothing but Python."""
    assert wheel.exists()  # the extension is built by now
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("env", "git", "sh", "uname"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    env = {**os.environ, "PATH": str(programs)}
    folder = tmp_path / "wheels"
    words = ("-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT)

    call(sys.executable, *words, env=env)

    assert [path.name for path in folder.iterdir()] == [wheel.name]


def test_the_lock_files_name_no_place_to_fetch_from() -> None:
    lock = (ROOT / "labextension" / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    for path in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in path.read_text(), path
