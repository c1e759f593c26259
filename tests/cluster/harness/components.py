"""The programs of the cluster, built from the pinned Go modules in ``components/`` and kept.

Each folder there is a Go module of its own: a wrapper which names the programs as its tools, or our
own source. What was built is kept beside the hash of all that it was built from, so that a change
builds again only what it touches. Nothing built goes into the repository.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from steps import Stop, run, say

FOLDER = Path(__file__).resolve().parents[1] / "components"
KEPT = (
    Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "secxops-migrate" / "cluster"
)
# The last one is for an image; the others make the cluster.
NEEDED = ("etcd", "kubernetes", "provisioner", "csifix", "buildkit")
ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
SECONDS_TO_BUILD = 3600
# A module whose path ends in its version gives its program that name.
NAMES = {"etcd": {"server": "etcd"}}
STAMPS = {
    "k8s.io/kubernetes": (
        "k8s.io/component-base/version.gitVersion={full} "
        "k8s.io/component-base/version.gitMajor={major} "
        "k8s.io/component-base/version.gitMinor={minor}"
    ),
    "github.com/moby/buildkit": "github.com/moby/buildkit/version.Version={full}",
}


class Programs:
    """Where the programs are, by their name."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders

    def __getitem__(self, name: str) -> Path:
        for folder in self._folders.values():
            if (folder / name).exists():
                return folder / name
        raise Stop(f"There is no {name} among what was built.")


def build(*components: str) -> Programs:
    """Build what is not built yet, and say where everything is.

    Raises
    ------
    Stop
        There is no Go here, or it does not build.
    """
    version = go_version()
    if version is None:
        raise Stop(
            "Go is not here; install Go 1.26 or newer (https://go.dev/dl) to build a cluster."
        )
    return Programs({name: _built(name, version) for name in components or NEEDED})


def go_version() -> str | None:
    """Return the version of Go on the path, None where there is none."""
    if shutil.which("go") is None:
        return None
    return run(["go", "version"]).strip()


def _built(name: str, version: str) -> Path:
    source = FOLDER / name
    flags = _linker_flags(source)
    folder = KEPT / f"bin-{name}-{_hash(source, version, flags)}"
    if folder.exists():
        return folder
    KEPT.mkdir(parents=True, exist_ok=True)
    say(f"▸ Building {name} with {version.split()[2]}, kept in {folder}")
    started = time.monotonic()
    # Built beside, then renamed: an interrupted build leaves nothing that looks whole.
    with tempfile.TemporaryDirectory(dir=KEPT, prefix=f"building-{name}-") as temporary:
        made = Path(temporary) / "bin"
        made.mkdir()
        _go_build(source, flags, made)
        for given, wanted in NAMES.get(name, {}).items():
            (made / given).rename(made / wanted)
        size = sum(file.stat().st_size for file in made.iterdir()) / 1e6
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    say(f"  {time.monotonic() - started:.0f} s, {size:.0f} MB")
    return folder


def _go_build(source: Path, flags: str, into: Path) -> None:
    tools = run(["go", "list", "tool"], cwd=source, env=ENVIRONMENT).split()
    command = ["go", "build", "-ldflags", flags, "-o", f"{into}/", *(tools or ["."])]
    try:
        run(command, cwd=source, env=ENVIRONMENT, seconds=SECONDS_TO_BUILD)
    except subprocess.SubprocessError as error:
        raise Stop(str(error)) from None


def _linker_flags(source: Path) -> str:
    """No symbols; and the programs that call themselves v0.0.0 are told what they are."""
    flags = ["-s", "-w"]
    for module, variables in STAMPS.items():
        pinned = re.search(rf"\b{module} v(\d+)\.(\d+)\.(\d+)\b", (source / "go.mod").read_text())
        if pinned:
            major, minor, patch = pinned.groups()
            text = variables.format(major=major, minor=minor, full=f"v{major}.{minor}.{patch}")
            flags += [f"-X {variable}" for variable in text.split()]
    return " ".join(flags)


def _hash(source: Path, version: str, flags: str) -> str:
    told = hashlib.sha256(f"{version} {flags} {sorted(ENVIRONMENT.items())}".encode())
    for path in _sources(source):
        told.update(f"{path.relative_to(source)} {path.stat().st_size}\n".encode())
        told.update(path.read_bytes())
    return told.hexdigest()[:16]


def _sources(source: Path) -> Iterator[Path]:
    for path in sorted(source.rglob("*")):
        if path.name in ("go.mod", "go.sum") or (
            path.suffix == ".go" and not path.name.endswith("_test.go")
        ):
            yield path
