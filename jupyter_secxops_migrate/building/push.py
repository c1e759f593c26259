"""Push an image that a node has in its own store: the builder of that node does it.

Runs in a Job, for an image that was to stay on its node and moves after all. The project may have
changed since, so the image itself is what the builder begins and ends with: a Dockerfile of one FROM,
found in the node's store. That it is the same one, its digest says.

    python -m jupyter_secxops_migrate.building.push --image REPOSITORY:TAG --digest DIGEST …
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import errors
from ..copying.report import Report, run
from .buildctl import Builder
from .send import registry


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m jupyter_secxops_migrate.building.push")
    Builder.arguments(parser)
    parser.add_argument("--work", type=Path, required=True, help="a folder for what is sent")
    parser.add_argument("--image", required=True, help="repository:tag")
    parser.add_argument("--digest", required=True)
    given = parser.parse_args(arguments)

    def work(report: Report) -> None:
        folder = given.work / "push"
        folder.mkdir(exist_ok=True)
        # With its tag, as BuildKit looks only for tags in the node's store; the digest must fit too.
        (folder / "Dockerfile").write_text(f"FROM {given.image}@{given.digest}\n")
        found = Builder.of(given).build(
            folder,
            registry(given.image),
            ("--opt", "image-resolve-mode=local"),
            given.work,
            report,
        )
        digest = found["containerimage.digest"]
        if digest != given.digest:
            raise errors.EngineFailed(
                action="push the image", reason=f"{digest} was pushed instead of {given.digest}"
            )
        report.result("pushed", digest=digest)

    return run(True, work)


if __name__ == "__main__":
    sys.exit(main())
