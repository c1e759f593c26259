"""``python -m jupyter_secxops_migrate.copying SOURCE DESTINATION --manifest FILE``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..printable import counted
from .destination import mark_incomplete
from .report import Report, run
from .tree import copy_tree


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = _given(arguments)

    def work(report: Report) -> None:
        if given.afresh:
            mark_incomplete(given.destination)
        result = copy_tree(
            given.source,
            given.destination,
            manifest=given.manifest,
            exclude=given.exclude,
            mount_points=given.mount_point,
            keep=given.keep,
            data=given.data,
            workers=given.workers,
            progress=lambda now: report.progress(*now),
            sync=given.sync,
            commit=given.commit,
            subfolder=given.subfolder,
            cloned=given.cloned,
            identity=given.identity,
        )
        report.result(
            f"{counted(result.files, 'file', 'files')}, {counted(result.bytes, 'byte', 'bytes')} copied and compared; manifest {result.digest}",
            files=result.files,
            bytes=result.bytes,
            digest=result.digest,
            owner=list(result.owner),
            skipped=[row._asdict() for row in result.skipped],
            changed=[row._asdict() for row in result.changed],
            kept=result.kept,
            chosen=[row._asdict() for row in result.chosen],
        )

    return run(given.as_json, work)


def _given(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments; what does not go together ends in the usual way."""
    parser = argparse.ArgumentParser(
        prog="python -m jupyter_secxops_migrate.copying",
        description="Copy a folder and prove that what arrived equals what left.",
    )
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("destination", metavar="DESTINATION")
    parser.add_argument("--manifest", required=True, metavar="FILE")
    parser.add_argument("--exclude", action="append", default=[], metavar="REL")
    parser.add_argument(
        "--mount-point", action="append", default=[], metavar="REL", help="made, and left empty"
    )
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="REL",
        help="copy this although it may hold credentials",
    )
    parser.add_argument(
        "--data",
        action="store_true",
        help="SOURCE is data: --keep also keeps what is never copied of code",
    )
    parser.add_argument("--commit", metavar="HEX", help="the files of this git commit")
    parser.add_argument(
        "--subfolder", default="", metavar="REL", help="with --commit: only this folder of it"
    )
    parser.add_argument(
        "--cloned",
        type=float,
        metavar="TIME",
        help="the destination is a clone of the source, ordered then (seconds since 1970)",
    )
    parser.add_argument("--identity", default="", help="which folder SOURCE has to be")
    parser.add_argument("--workers", type=int, metavar="N")
    parser.add_argument(
        "--afresh", action="store_true", help="remove what lies in DESTINATION, a finished copy too"
    )
    parser.add_argument("--sync", action="store_true", help="force all to disk")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)
    if given.workers is not None and given.workers < 1:
        parser.error("--workers must be 1 or more")
    if given.subfolder and given.commit is None:
        parser.error("--subfolder goes with --commit")
    parts = given.exclude or given.mount_point
    if given.cloned is not None and (given.commit is not None or parts or given.afresh):
        parser.error("--cloned goes without --commit, --exclude, --mount-point and --afresh")
    return given


if __name__ == "__main__":
    sys.exit(main())
