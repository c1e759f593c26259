"""Send a project's build context to a BuildKit builder, from beside the project.

Runs in a Job: makes the context as `BuildContext` does, so that its digests can be compared with the
copy's manifest, has ``buildctl`` stream it, and passes on what the builder says. One JSON object a
line, as `copying.report` prints them; ``build`` lines hold BuildKit's own words.

    python -m jupyter_secxops_migrate.environment.send PROJECT --dockerfile FILE --builder ADDRESS …
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import errors
from ..copying.report import Report, run
from .context import BuildContext

BUILDCTL = "buildctl"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m jupyter_secxops_migrate.environment.send")
    parser.add_argument("project", type=Path)
    parser.add_argument("--dockerfile", type=Path, required=True)
    parser.add_argument("--commit")
    parser.add_argument("--work", type=Path, required=True, help="a folder for what is sent")
    parser.add_argument("--builder", required=True, metavar="tcp://HOST:PORT")
    parser.add_argument("--certificates", type=Path, required=True, help="ca.crt, tls.crt, tls.key")
    parser.add_argument("--server-name", required=True)
    parser.add_argument("--image", required=True, help="repository:tag, with {digest} in it")
    parser.add_argument("--push", action="store_true")
    parser.add_argument("--cache", default="", help="repository:tag for the layer cache")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(arguments)

    def work(report: Report) -> None:
        context = BuildContext(
            given.project, given.dockerfile.read_bytes(), given.commit, buildkit=True
        )
        folder = given.work / "context"
        folder.mkdir()
        with tarfile.open(fileobj=io.BufferedReader(_Stream(context.chunks())), mode="r|") as tar:
            # What it holds is what we just wrote ourselves.
            tar.extraction_filter = lambda member, _: member
            for member in tar:
                tar.extract(member, folder)
        sent = given.work / "context.json"
        sent.write_text(json.dumps(context.digests))
        image = given.image.format(digest=context.digest)
        # Before anything is pushed: whoever cleans up has to know.
        report.pass_on("build", image=image)
        found = _build(given, folder, image, report)
        report.result("built", image=image, digest=found["containerimage.digest"])

    return run(True, work)


def command(given: argparse.Namespace, folder: Path, image: str) -> list[str]:
    """Return the command that builds a folder."""
    tls: Path = given.certificates
    output = f"type=image,name={image},push={str(given.push).lower()}"
    words = [
        *(BUILDCTL, "--addr", given.builder, "--tlsservername", given.server_name),
        *("--tlscacert", str(tls / "ca.crt")),
        *("--tlscert", str(tls / "tls.crt"), "--tlskey", str(tls / "tls.key")),
        *("build", "--progress", "rawjson", "--frontend", "dockerfile.v0"),
        *("--local", f"context={folder}", "--local", f"dockerfile={folder}"),
        *("--opt", "filename=Dockerfile"),
        *("--output", output, "--metadata-file", str(given.work / "metadata.json")),
    ]
    for name, rows in (("build-arg", given.arg), ("label", given.label)):
        for row in rows:
            words += ["--opt", f"{name}:{row}"]
    if given.cache:
        words += ["--import-cache", f"type=registry,ref={given.cache}"]
        words += ["--export-cache", f"type=registry,ref={given.cache},mode=max,ignore-error=true"]
    return words


def _build(given: argparse.Namespace, folder: Path, image: str, report: Report) -> dict[str, str]:
    process = subprocess.Popen(
        command(given, folder, image),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    last = ""
    for line in process.stderr:
        text = line.decode("utf-8", "replace").strip()
        if text.startswith("{"):
            report.pass_on("build", status=json.loads(text))
        elif text:
            last = text
    if process.wait() != 0:
        reason = last.removeprefix("error: ")
        report.pass_on("build", error=reason)
        raise errors.EngineFailed(action="build the image", reason=reason)
    found: dict[str, str] = json.loads((given.work / "metadata.json").read_text())
    return found


class _Stream(io.RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


if __name__ == "__main__":
    sys.exit(main())
