"""Run what keeps the project right: lint, types, import layers, and the tests.

``test.py all`` also gets what the tests need (a Docker engine, tools of the distribution); ``quick``
runs the tests that need no engine; ``lint`` runs no test; ``soak`` runs those that ``all`` leaves out.
Tests of a cluster run beside those of Docker and the browser. Every part runs even if another failed,
and the exit status says whether all passed. Each part says where its time went; ``--durations`` also
writes that into the documentation of testing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import durations
import engine
from steps import CACHE, ROOT, is_root, need, run, say

BIN = ROOT / ".venv" / "bin"
TOOLS = {
    "git": "git",
    "mmdebstrap": "mmdebstrap",
    "rsync": "rsync",
    "b3sum": "b3sum",
    "mkfs.xfs": "xfsprogs",
    "setfattr": "attr",
    "chromium": "chromium",
    "docker-registry": "docker-registry",
    "pg_lsclusters": "postgresql",
}
SOAK_TOOLS = {"podman": "podman"}
SOAK_EXAMPLES = {"SECXOPS_EXAMPLES": "10"}
NO_TESTS = 5
# The tables of durations in the documentation.
TABLES = {"all": "make test", "soak": "make soak"}


def main() -> int:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("all", "quick", "lint", "soak"))
    parser.add_argument("--durations", action="store_true", help="write them into testing.md")
    arguments = parser.parse_args()
    what = arguments.what
    if arguments.durations and what not in TABLES:
        parser.error(f"--durations goes with {' and '.join(TABLES)}")
    began = time.monotonic()
    settings: dict[str, str] = {}
    if what in ("all", "soak"):
        _tools(TOOLS if what == "all" else {**TOOLS, **SOAK_TOOLS})
    run_self = [sys.executable, ROOT / "scripts" / "prepare.py", BIN.parent, "--lock", "dev"]
    if subprocess.run(run_self, check=False).returncode:
        return 1
    if what in ("all", "soak"):
        engine.start()
        settings = {**_base(), **(SOAK_EXAMPLES if what == "soak" else {})}
        if not _cluster_is_built():
            return 1
    ran = [part for stage in _stages(what) for part in _stage(stage, settings)]
    failed = [part.name for part in ran if not part.passed]
    took = [part.took for part in ran if part.took]
    seconds = time.monotonic() - began
    if arguments.durations:
        durations.write(TABLES[what], took, seconds)
    say(
        f"All in {seconds:.0f} s. " + ("Failed: " + ", ".join(failed) if failed else "All is well.")
    )
    return 1 if failed else 0


@dataclass(frozen=True)
class Ran:
    """A part that was run, and how long its tests took, if it had any."""

    name: str
    passed: bool
    took: durations.Part | None = None


# A part has a name and a command. The parts of a lane run one after the other.
Part = tuple[str, Sequence[str]]
Lane = Sequence[Part]


def _stage(lanes: Sequence[Lane], settings: Mapping[str, str]) -> Sequence[Ran]:
    """Run lanes side by side. What the parts of several print comes in one piece, as each ends."""
    if len(lanes) == 1:
        return [_part(part, settings) for part in lanes[0]]

    def run_lane(lane: Lane) -> Sequence[Ran]:
        return [_part(part, settings, apart=True) for part in lane]

    with ThreadPoolExecutor(len(lanes)) as pool:
        return [ran for lane in pool.map(run_lane, lanes) for ran in lane]


def _part(part: Part, settings: Mapping[str, str], *, apart: bool = False) -> Ran:
    name, (program, *words) = part
    is_tests = program.endswith("pytest")
    report = CACHE / "tests" / f"{name.replace(' ', '-')}.xml"
    if is_tests:
        report.unlink(missing_ok=True)
        words.append(f"--junitxml={report}")
    say(f"▸ {name}: {' '.join([Path(program).name, *words])}")
    began = time.monotonic()
    done = subprocess.run(
        [program, *words],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if apart else None,
        stderr=subprocess.STDOUT if apart else None,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    took = durations.read(name, seconds, report) if is_tests and report.exists() else None
    lines = [f"▸ {name}:", done.stdout] if apart else []
    lines.append(f"  {seconds:.1f} s")
    if took:
        lines.append(f"  slowest: {took.slowest()}")
    say("\n".join(lines))
    return Ran(name, done.returncode in ((0, NO_TESTS) if is_tests else (0,)), took)


def _tools(tools: Mapping[str, str]) -> None:
    """Install the tools that tests compare with; without root the tests that need one are skipped."""
    if is_root():
        need(tools)
        return
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [tool for tool in tools if not shutil.which(tool, path=path)]
    if missing:
        say(
            f"▸ Not here, and only root can install it: {', '.join(missing)}; some tests will be skipped"
        )


def _base() -> Mapping[str, str]:
    found = json.loads(run([BIN / "python", ROOT / "scripts" / "base_image.py"], seconds=1800))
    say(f"▸ Builds of the tests start from {found['base']}, network {found['network']}")
    return {"SECXOPS_TOOLS_BASE": found["base"], "SECXOPS_BUILD_NETWORK": found["network"]}


def _cluster_is_built() -> bool:
    """Build a Kubernetes ahead of its tests, where it can be; the first time takes ten minutes."""
    if "KUBECONFIG" in os.environ:
        return True
    if not is_root() or shutil.which("go") is None:
        say("▸ No Kubernetes for the tests that need one: it takes root, and Go to build it")
        return True
    build = [sys.executable, ROOT / "scripts" / "cluster.py", "build"]
    return subprocess.run(build, check=False).returncode == 0


def _stages(what: str) -> Sequence[Sequence[Lane]]:
    """The stages of a run, one after the other; each has the lanes that run side by side."""
    pytest = str(BIN / "pytest")
    lint = [
        ("lint", [str(BIN / "ruff"), "check", "."]),
        ("format", [str(BIN / "ruff"), "format", "--check", "."]),
        ("types", [str(BIN / "mypy")]),
        ("layers", [str(BIN / "lint-imports")]),
        ("sizes", [sys.executable, str(ROOT / "scripts" / "sizes.py")]),
        ("TypeScript", [sys.executable, str(ROOT / "scripts" / "typescript.py"), "lint"]),
    ]
    bare = "not docker and not root and not browser and not cluster"
    quick = [("quick tests", [pytest, "-q", "-n", "2", "-m", bare])]
    marks = "docker or root" if is_root() else "docker and not root"
    # Apart: Playwright keeps an event loop running, which the server's own fixtures can't have.
    others = ["--ignore=tests/ui", "--ignore=tests/cluster"]
    # Those of a cluster mostly wait, for the cluster: the others run beside them.
    real = [
        [
            ("tests with real parts", [pytest, "-q", "-m", marks, *others]),
            ("tests in a browser", [pytest, "-q", "-m", f"{marks} or browser", "tests/ui"]),
        ],
        [("tests on a Kubernetes", [pytest, "-q", "-m", "cluster", "tests/cluster"])],
    ]
    # More examples: as many times as many as ``tests/effort.py`` is told here.
    examples = [pytest, "-q", "-n", "2", "--timeout=1200", "-m", f"hypothesis and {bare}"]
    soak = [
        ("soak of examples", examples),
        ("soak", [pytest, "-q", "-m", "soak", *others]),
        ("soak on a Kubernetes", [pytest, "-q", "-m", "soak", "tests/cluster"]),
        ("soak in a browser", [pytest, "-q", "-m", "soak", "tests/ui"]),
    ]
    return {
        "all": [[[*lint, *quick]], real],
        "quick": [[quick]],
        "lint": [[lint]],
        "soak": [[soak]],
    }[what]


if __name__ == "__main__":
    sys.exit(main())
