"""Send a project's build context to a BuildKit builder, from beside the project.

Runs in a Job: makes the context as `BuildContext` does, so that its digests can be compared with the
copy's manifest, has ``buildctl`` stream it, and passes on what the builder says. One JSON object a
line, as `copying.report` prints them; ``build`` lines hold BuildKit's own words.

The image goes to its registry (``--push``), or into the store of the builder's node (``--here``).
With both, into the node's store where the builder can do that, else to the registry: which it was is
in the result, as ``pushed``.

    python -m jupyter_secxops_migrate.building.send PROJECT --dockerfile FILE --builder ADDRESS …
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..copying.report import Report, run
from ..registries.errors import RegistryFailed
from .buildctl import Builder
from .context import SENT_AS, BuildContext


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m jupyter_secxops_migrate.building.send")
    parser.add_argument("project", type=Path)
    parser.add_argument("--dockerfile", type=Path, required=True, help="its content")
    parser.add_argument("--path", default=SENT_AS, help="where in the project the Dockerfile is")
    parser.add_argument("--commit")
    parser.add_argument("--keep", action="append", default=[], metavar="REL")
    parser.add_argument("--identity", default="", help="which folder the project has to be")
    parser.add_argument("--work", type=Path, required=True, help="a folder for what is sent")
    Builder.arguments(parser)
    parser.add_argument("--image", required=True, help="repository:tag, with {digest} in it")
    parser.add_argument("--push", action="store_true", help="to the image's registry")
    parser.add_argument("--here", action="store_true", help="into the node's own store")
    parser.add_argument("--cache", default="", help="repository:tag for the layer cache")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--arg-from",
        action="append",
        default=[],
        metavar="NAME=VARIABLE",
        help="of the environment",
    )
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(arguments)

    def work(report: Report) -> None:
        context = BuildContext(
            given.project,
            given.dockerfile.read_bytes(),
            given.commit,
            identity=given.identity,
            buildkit=True,
            keep=given.keep,
            path=given.path,
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
        report.result("built", image=image, **_build(given, folder, image, report))

    return run(True, work)


def _build(given: argparse.Namespace, folder: Path, image: str, report: Report) -> dict[str, Any]:
    """Build a folder; return the result's digest, and where the node has it what it is."""
    builder = Builder.of(given)
    here = given.here and builder.fills_node_store()
    if not here and not given.push:
        raise RegistryFailed(
            registry="of this cluster",
            action="take the image",
            reason="none is set, and the builder does not put images into the node's own store",
        )
    where = node_store(image) if here else registry(image)
    found = builder.build(folder, where, _options(given, here), given.work, report)
    digest = found["containerimage.digest"]
    if not here:
        return {"digest": digest, "pushed": True}
    manifest = json.loads(builder.blob(digest))
    layers = manifest["layers"]
    config = json.loads(builder.blob(manifest["config"]["digest"])).get("config") or {}
    return {
        "digest": digest,
        "pushed": False,
        "size": sum(int(row["size"]) for row in layers),
        "layers": len(layers),
        "user": config.get("User") or "",
        "workdir": config.get("WorkingDir") or "",
        "volumes": list(config.get("Volumes") or ()),
        "entrypoint": config.get("Entrypoint") or [],
        "command": config.get("Cmd") or [],
    }


def registry(image: str) -> str:
    """Return the output by which an image goes to its registry."""
    return f"type=image,name={image},push=true"


def node_store(image: str) -> str:
    """Return the output by which an image goes into the node's store, unpacked.

    It is found there by ``repository:tag`` and ``repository@digest``. BuildKit makes the second of a
    name without a tag; of one with a tag it makes ``repository:tag@digest``, for which no kubelet asks.
    """
    names = f"{image},{image.rpartition(':')[0]}"
    return f'type=image,"name={names}",name-canonical=true,unpack=true,push=false,store=true'


def _options(given: argparse.Namespace, here: bool) -> list[str]:
    words = []
    for name, rows in (("build-arg", given.arg), ("label", given.label)):
        for row in rows:
            words += ["--opt", f"{name}:{row}"]
    for row in given.arg_from:
        name, _, variable = row.partition("=")
        if value := os.environ.get(variable):
            words += ["--opt", f"build-arg:{name}={value}"]
    # A builder of the node's own store has its layers there, and nothing needs a registry.
    if given.cache and not here:
        words += ["--import-cache", f"type=registry,ref={given.cache}"]
        words += ["--export-cache", f"type=registry,ref={given.cache},mode=max,ignore-error=true"]
    return words


class _Stream(io.RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer, which 3.12 can say
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
