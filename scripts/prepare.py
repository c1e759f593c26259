"""Make a virtual environment with exactly the locked packages, and the product in it.

``prepare.py FOLDER --lock run`` installs the product as a wheel (Lab extension built in);
``--lock demo`` adds JupyterLab and what the sample's notebook imports; ``--lock dev`` adds what tests, lint and benchmarks need and installs the product editable. Run by any
Python ≥ 3.10; does nothing when lock and sources are those of the last time.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import sys
from pathlib import Path

from steps import ROOT, Stop, apt_install, run, say, step


def main() -> None:
    """Make or renew the environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lock", choices=("run", "demo", "dev"), required=True)
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    if sys.version_info < (3, 10):  # noqa: UP036 - this is what tells people
        raise Stop("Python 3.10 or newer is needed; name one with `make PYTHON=python3.12 …`.")
    lock = ROOT / "requirements" / f"{arguments.lock}.txt"
    python = folder / "bin" / "python"
    locked = _digest(sys.executable, arguments.lock, lock.read_text())
    product = _digest(*(f"{p} {p.read_bytes()!r}" for p in _sources(arguments.lock)))
    stamps = folder / "prepared"
    done = stamps.read_text().split() if stamps.exists() else []
    if done == [locked, product]:
        return
    if done[:1] != [locked]:
        if (
            importlib.util.find_spec("ensurepip") is None
            or importlib.util.find_spec("venv") is None
        ):
            # Debian keeps these apart from Python itself.
            apt_install("python3-venv")
        with step(f"Installing the locked packages ({lock.relative_to(ROOT)}) into {folder}"):
            run([sys.executable, "-m", "venv", "--clear", folder])
            run([*_pip(python), "--require-hashes", "--only-binary=:all:", "-r", lock])
        stamps.write_text(locked)
    with step("Building the product with its Lab extension, and installing it"):
        editable = ["--editable"] if arguments.lock == "dev" else ["--force-reinstall"]
        run([*_pip(python), "--no-deps", *editable, str(ROOT)])
    stamps.write_text(f"{locked} {product}")
    say(f"  {folder}/bin/jupyter-secxops is ready")


def _pip(python: Path) -> list[str | Path]:
    return [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]


def _sources(lock: str) -> list[Path]:
    """What the installed product is made of; an editable one follows its Python by itself."""
    found = [ROOT / "pyproject.toml", ROOT / "hatch_build.py"]
    folders = ["labextension/src", "labextension/style", "jupyter-config"]
    if lock != "dev":
        folders.append("jupyter_secxops_migrate")
    for name in folders:
        built = ROOT / "jupyter_secxops_migrate" / "labextension"
        found += (
            path
            for path in sorted((ROOT / name).rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts and not path.is_relative_to(built)
        )
    return found


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:20]


if __name__ == "__main__":
    main()
