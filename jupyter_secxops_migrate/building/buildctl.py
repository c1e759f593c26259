"""BuildKit's client as Jobs run it: a builder is asked what it can do, and told what to do.

What a builder says of its work is passed on as it is, in ``build`` lines (`copying.report`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import errors
from ..copying.report import Report

BUILDCTL = "buildctl"
TRIES = 3
# What a registry answers to a manifest whose layers it does not find. Image and layer cache are pushed
# side by side, and Docker's registry empties a layer's link before it writes it anew.
_LOST_LAYER = "blob unknown to registry"
LABEL = "org.mobyproject.buildkit.worker"
NODE_STORE = "k8s.io"
"""The namespace of containerd in which a kubelet looks for images."""


@dataclass(frozen=True)
class Builder:
    """A builder and what it is reached with: ``certificates`` has ca.crt, tls.crt and tls.key."""

    address: str
    server_name: str
    certificates: Path

    @staticmethod
    def arguments(parser: argparse.ArgumentParser) -> None:
        """Add the options that say which one."""
        parser.add_argument("--builder", required=True, metavar="tcp://HOST:PORT")
        parser.add_argument(
            "--certificates", type=Path, required=True, help="ca.crt, tls.crt, tls.key"
        )
        parser.add_argument("--server-name", required=True)

    @classmethod
    def of(cls, given: argparse.Namespace) -> Builder:
        """Return the one that the options say."""
        return cls(given.builder, given.server_name, given.certificates)

    def command(self, *words: str) -> list[str]:
        """Return a command of the client."""
        return [
            *(BUILDCTL, "--addr", self.address, "--tlsservername", self.server_name),
            *("--tlscacert", str(self.certificates / "ca.crt")),
            *("--tlscert", str(self.certificates / "tls.crt")),
            *("--tlskey", str(self.certificates / "tls.key")),
            *words,
        ]

    def fills_node_store(self) -> bool:
        """Whether what it builds is where the kubelet of its node looks for images.

        Raises
        ------
        errors.EngineFailed
            It does not answer.
        """
        workers = json.loads(self._ask("debug", "workers", "--format", "{{json .}}"))
        # The first is the one that builds.
        marks = (workers[0].get("labels") or {}) if workers else {}
        return (marks.get(f"{LABEL}.executor"), marks.get(f"{LABEL}.containerd.namespace")) == (
            "containerd",
            NODE_STORE,
        )

    def blob(self, digest: str) -> bytes:
        """Return something small that it keeps, such as a manifest, as its digest says.

        Raises
        ------
        errors.EngineFailed
            It is not there, or damaged.
        """
        found = self._ask("debug", "get", digest)
        if f"sha256:{hashlib.sha256(found).hexdigest()}" != digest:
            raise errors.EngineFailed(action="read the image", reason=f"{digest} is damaged")
        return found

    def _ask(self, *words: str) -> bytes:
        done = subprocess.run(
            self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if done.returncode:
            reason = done.stderr.decode("utf-8", "replace").strip().removeprefix("error: ")
            raise errors.EngineFailed(action="ask the builder", reason=reason)
        return done.stdout

    def build(
        self, folder: Path, output: str, more: Sequence[str], work: Path, report: Report
    ) -> dict[str, Any]:
        """Build a folder with a Dockerfile, and return what the builder says of the result.

        Tried `TRIES` times where the registry lost sight of a layer that had just been pushed: what is
        built and what has arrived is kept, so that costs seconds. Each new try is passed on as ``again``.

        Parameters
        ----------
        output
            Where the result goes, as ``--output`` takes it.
        more
            More options of ``buildctl build``.
        work
            A folder for what is written on the way.

        Raises
        ------
        errors.EngineFailed
            It fails; why was passed on.
        """
        metadata = work / "metadata.json"
        _make_new(folder)
        words = self.command(
            *("build", "--progress", "rawjson", "--frontend", "dockerfile.v0"),
            *("--local", f"context={folder}", "--local", f"dockerfile={folder}"),
            *("--opt", "filename=Dockerfile"),
            *("--output", output, "--metadata-file", str(metadata)),
            *more,
        )
        tries = 1
        while (reason := _run(words, report)) is not None:
            if tries == TRIES or _LOST_LAYER not in reason:
                report.pass_on("build", error=reason)
                raise errors.EngineFailed(action="build the image", reason=reason)
            report.pass_on("build", again=reason)
            tries += 1
        found: dict[str, Any] = json.loads(metadata.read_text())
        return found


def _run(words: Sequence[str], report: Report) -> str | None:
    """Run a build and pass on what is said of it; return why it failed, None if it did not."""
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said: list[str] = []
    with process.stderr:
        for line in process.stderr:
            text = line.decode("utf-8", "replace").strip()
            if text.startswith("{"):
                report.pass_on("build", status=json.loads(text))
            elif text:
                said.append(text)
    if process.wait() == 0:
        return None
    # Before it comes an excerpt of the Dockerfile; it has more lines where a registry says more.
    begin = next((n for n, text in enumerate(said) if text.startswith("error: ")), -1)
    return "; ".join(said[begin:]).removeprefix("error: ")


def _make_new(folder: Path) -> None:
    """Give all files a time that no builder has seen, in fractions of a second that no image keeps.

    A builder keeps the files that any client sent it last, and takes one for unchanged that has the
    same path, size and time. In a context all times are the same: it would build with another's file.
    """
    fraction = secrets.randbelow(10**9)
    for path, _, files in os.walk(folder):
        for name in files:
            file = Path(path, name)
            second = int(file.lstat().st_mtime)
            time = second * 10**9 + fraction
            os.utime(file, ns=(time, time), follow_symlinks=False)
