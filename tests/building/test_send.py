"""Sending a context to a builder, with a ``buildctl`` that is a small program of the test's own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Answers as buildctl does, from files; notes the words and the times of the files that it is sent.
_BUILDCTL = """
import json, os, pathlib, sys
here = pathlib.Path(os.environ["BUILDCTL_HOME"])
words = sys.argv[1:]
if "debug" in words:
    kind = words[words.index("debug") + 1]
    name = "workers" if kind == "workers" else words[-1].replace(":", "-")
    sys.stdout.buffer.write((here / name).read_bytes())
    sys.exit()
folder = next(w for w in words if w.startswith("context=")).partition("=")[2]
files = {p.name: [p.stat().st_mtime_ns, p.read_text()] for p in pathlib.Path(folder).iterdir() if p.is_file()}
with (here / "builds").open("a") as file:
    print(json.dumps({"words": words, "files": files}), file=file)
failures = here / "failures"
if failures.exists() and (left := json.loads(failures.read_text())):
    failures.write_text(json.dumps(left[1:]))
    sys.exit(left[0])
metadata = pathlib.Path(words[words.index("--metadata-file") + 1])
metadata.write_text((here / "metadata").read_text())
"""


class Buildctl:
    def __init__(self, home: Path) -> None:
        self.home = home
        config = {"config": {"User": "1000", "WorkingDir": "/srv"}}
        manifest = {
            "config": {"digest": self.keep(config)},
            "layers": [{"size": 300}, {"size": 41}],
        }
        self.digest = self.keep(manifest)
        (home / "metadata").write_text(json.dumps({"containerimage.digest": self.digest}))

    def keep(self, thing: object) -> str:
        data = json.dumps(thing).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self.home / f"sha256-{digest}").write_bytes(data)
        return f"sha256:{digest}"

    def has_worker(self, executor: str, namespace: str) -> None:
        prefix = "org.mobyproject.buildkit.worker"
        marks = {f"{prefix}.executor": executor, f"{prefix}.containerd.namespace": namespace}
        (self.home / "workers").write_text(json.dumps([{"id": "1", "labels": marks}]))

    def fails(self, *said: str) -> None:
        """Let that many builds fail, with these words on standard error."""
        (self.home / "failures").write_text(json.dumps(said))

    def builds(self) -> list[Any]:
        try:
            return [json.loads(row) for row in (self.home / "builds").read_text().splitlines()]
        except FileNotFoundError:
            return []


@pytest.fixture
def buildctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Buildctl:
    home = tmp_path / "buildctl"
    home.mkdir()
    program = home / "buildctl"
    program.write_text(f"#!{sys.executable}\n{_BUILDCTL}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    monkeypatch.setenv("BUILDCTL_HOME", str(home))
    return Buildctl(home)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    found = tmp_path / "project"
    found.mkdir()
    (found / "Dockerfile").write_text("FROM base\nCOPY . .\n")
    (found / "a.txt").write_text("one\n")
    return found


COMMON = ("--builder", "tcp://b:1", "--server-name", "b", "--certificates", "/none")


PUT = (
    "error: failed to solve: failed to push r.example/p:1: unexpected status from PUT request: 400"
)
# As Docker's registry says it of a layer that another push of the same build is just linking.
LOST = (
    f"{PUT}\nerrors:\nunknown: provided digest did not match\nunknown: blob unknown to registry\n"
)


def sent(project: Path, *more: str) -> Any:
    """Send a project; return the last line that was said."""
    work = project.parent / f"work-{len(list(project.parent.iterdir()))}"
    work.mkdir()
    words = [str(project), "--dockerfile", str(project / "Dockerfile"), "--work", str(work)]
    return run("send", *words, "--image", "r.example/p:{digest:.8}", "--cache", "r/c", *more)


def run(module: str, *words: str) -> Any:
    """Run a command of the Jobs; return the last line that it said."""
    return said_by(module, *words)[-1]


def said_by(module: str, *words: str) -> list[Any]:
    program = [sys.executable, "-m", f"jupyter_secxops_migrate.building.{module}"]
    done = subprocess.run([*program, *words, *COMMON], capture_output=True, text=True, timeout=60)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode == 0) == (said[-1]["type"] == "result"), done.stderr
    return said


def output(build: Any) -> str:
    return str(build["words"][build["words"].index("--output") + 1])


def test_a_builder_that_shares_its_nodes_store_leaves_there_what_stays(
    buildctl: Buildctl, project: Path
) -> None:
    buildctl.has_worker("containerd", "k8s.io")

    said = sent(project, "--push", "--here")

    assert (said["type"], said["digest"], said["pushed"]) == ("result", buildctl.digest, False)
    assert (said["size"], said["layers"], said["user"], said["workdir"]) == (341, 2, "1000", "/srv")
    (build,) = buildctl.builds()
    assert f'"name={said["image"]},r.example/p"' in output(build)
    assert "push=false" in output(build)
    assert "--export-cache" not in build["words"]


@pytest.mark.parametrize(
    ("executor", "namespace", "wanted"),
    [
        ("oci", "", ("--push", "--here")),
        # Another's namespace is no store of a kubelet.
        ("containerd", "buildkit", ("--push", "--here")),
        ("containerd", "k8s.io", ("--push",)),
    ],
)
def test_what_moves_or_can_be_left_nowhere_goes_to_the_registry(
    buildctl: Buildctl,
    project: Path,
    executor: str,
    namespace: str,
    wanted: tuple[str, ...],
) -> None:
    buildctl.has_worker(executor, namespace)

    said = sent(project, *wanted)

    assert said["pushed"] is True
    (build,) = buildctl.builds()
    assert output(build) == f"type=image,name={said['image']},push=true"
    assert "--export-cache" in build["words"]


def test_without_a_registry_nothing_is_built_that_can_be_left_nowhere(
    buildctl: Buildctl, project: Path
) -> None:
    buildctl.has_worker("oci", "")

    said = sent(project, "--here")

    assert (said["type"], said["code"]) == ("error", "registry_failed")
    assert buildctl.builds() == []


def test_what_the_store_has_damaged_is_not_believed(buildctl: Buildctl, project: Path) -> None:
    buildctl.has_worker("containerd", "k8s.io")
    (buildctl.home / buildctl.digest.replace(":", "-")).write_text('{"layers": []}')

    said = sent(project, "--here")

    assert (said["type"], said["code"]) == ("error", "engine_failed")


def test_a_build_argument_is_read_from_the_environment_where_it_is_not_to_be_seen(
    buildctl: Buildctl, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "http://me:secret@proxy:3128")
    sent(project, "--push", "--arg-from", "HTTPS_PROXY=OURS", "--arg-from", "NO_PROXY=NOT_SET")
    [build] = buildctl.builds()
    given = [word for word in build["words"] if word.startswith("build-arg:")]
    assert given == ["build-arg:HTTPS_PROXY=http://me:secret@proxy:3128"]


def test_the_builder_finds_the_ignore_file_of_a_dockerfile_elsewhere(
    buildctl: Buildctl, project: Path
) -> None:
    (project / "docker").mkdir()
    (project / "docker" / "Dockerfile.dockerignore").write_text("a.txt\n")
    sent(project, "--push", "--path=docker/Dockerfile")
    [build] = buildctl.builds()
    assert "a.txt" not in build["files"]
    assert build["files"]["Dockerfile.dockerignore"][1] == "a.txt\n"


def test_no_two_builds_send_files_that_look_the_same(buildctl: Buildctl, project: Path) -> None:
    buildctl.has_worker("oci", "")
    first = sent(project, "--push")
    (project / "a.txt").write_text("two\n")
    second = sent(project, "--push")

    assert first["image"] != second["image"]
    before, after = (build["files"] for build in buildctl.builds())
    for name in ("a.txt", "Dockerfile"):
        assert before[name][0] != after[name][0]
        # In whole seconds, which is what layers keep, they are equal.
        assert before[name][0] // 10**9 == after[name][0] // 10**9
    assert after["a.txt"][1] == "two\n"


def test_an_image_is_pushed_as_it_is_or_not_at_all(buildctl: Buildctl, tmp_path: Path) -> None:
    words = ("--work", str(tmp_path), "--image", "r.example/p:1", "--digest")
    assert run("push", *words, buildctl.digest)["digest"] == buildctl.digest
    (build,) = buildctl.builds()
    assert build["files"]["Dockerfile"][1] == f"FROM r.example/p:1@{buildctl.digest}\n"
    assert output(build) == "type=image,name=r.example/p:1,push=true"

    said = run("push", *words, "sha256:" + "0" * 64)
    assert (said["type"], said["code"]) == ("error", "engine_failed")


def test_a_layer_that_the_registry_lost_sight_of_is_pushed_again(
    buildctl: Buildctl, tmp_path: Path
) -> None:
    words = ("--work", str(tmp_path), "--image", "r.example/p:1", "--digest", buildctl.digest)
    buildctl.fails(LOST, LOST)

    *said, end = said_by("push", *words)

    assert end["digest"] == buildctl.digest
    assert len(buildctl.builds()) == 3
    assert ["blob unknown to registry" in each["again"] for each in said] == [True, True]


@pytest.mark.parametrize(
    ("failures", "why", "builds"),
    [
        ([LOST] * 9, "400; errors:; unknown: provided digest did not match; unknown: blob unk", 3),
        # Anything else is final, and what comes before it is an excerpt of the Dockerfile.
        ([f"Dockerfile:2\n 2 | >>> RUN no\n{PUT}"], "failed to push r.example/p:1", 1),
        (["rpc: said otherwise"], "rpc: said otherwise", 1),
    ],
)
def test_all_that_is_said_of_a_failure_is_its_reason(
    buildctl: Buildctl, tmp_path: Path, failures: list[str], why: str, builds: int
) -> None:
    words = ("--work", str(tmp_path), "--image", "r.example/p:1", "--digest", buildctl.digest)
    buildctl.fails(*failures)

    *_, said, end = said_by("push", *words)

    assert (end["type"], end["code"]) == ("error", "engine_failed")
    assert said["type"] == "build" and why in said["error"]
    assert said["error"].startswith(("failed to solve:", "rpc"))
    assert len(buildctl.builds()) == builds
