"""Hand a copy to another owner, and have its side file record both.

What belonged to the project's owner becomes the image user's; every other numeric owner stays, unless
everything is to be given away. The side file says who owned what at the source, and that alone decides: so a call that was killed half
way is finished by the next one, and nothing that happened to have the new owner's number before is
ever mistaken. Runs as ``python -m jupyter_secxops_migrate.copying.own DIRECTORY --manifest FILE
--before UID:GID --after UID:GID``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from blake3 import blake3

from ..printable import counted, printable
from .account import Progress
from .destination import FULL
from .errors import CopyFailed, DiskFull
from .manifest import from_text, meta_path, read_meta
from .report import Report, run
from .verify import VerifyResult
from .walk import Descent, open_root

__all__ = ["own_tree"]

Owner = tuple[int, int]


def own_tree(
    directory: str | os.PathLike[str],
    *,
    manifest: str | os.PathLike[str],
    before: Owner,
    after: Owner,
    everything: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> VerifyResult:
    """Give what belonged to uid (and, separately, gid) ``before`` at the source to ``after``.

    Calling it again changes nothing; calling it with another ``after`` starts from the source's
    owners again.

    Parameters
    ----------
    directory
        The copy.
    manifest
        Its manifest; the side file beside it is replaced by one that records both owners.
    before, after
        Numeric uid and gid.
    everything
        Give what belonged to others to ``after`` as well.
    progress
        Called up to five times a second.

    Returns
    -------
    VerifyResult
        Files and bytes of the copy (not of what changed hands).

    Raises
    ------
    CopyFailed
        Something can't be given away (only root can), or is missing.
    DiskFull
        The side file can't be written.
    """
    try:
        return _own(os.fspath(directory), os.fspath(manifest), before, after, everything, progress)
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(step="change of owner") from error
        raise CopyFailed(
            path=os.fspath(directory), reason=f"its owner can't be changed ({error.strerror})"
        ) from error
    except ValueError as error:
        raise CopyFailed(path=os.fspath(directory), reason=str(error)) from error


def _own(
    directory: str,
    manifest: str,
    before: Owner,
    after: Owner,
    everything: bool,
    progress: Callable[[Progress], None] | None,
) -> VerifyResult:
    side = meta_path(manifest)
    root = open_root(directory)
    descent = Descent(root)
    told = time.monotonic()
    files = 0
    try:
        with open(side, "rb") as old, open(side + ".part", "wb") as new:
            header, entries = read_meta(old)
            header["before"], header["after"] = before, after
            new.write(json.dumps(header).encode() + b"\n")
            for entry in entries:
                files += entry["type"] == "file"
                if "uid" in entry:
                    _give(descent, entry, None if everything else before, after)
                new.write(json.dumps(entry).encode() + b"\n")
                if progress is not None and time.monotonic() - told > 0.2:
                    told = time.monotonic()
                    progress(Progress(files, 0, header["files"], header["bytes"]))
        os.replace(side + ".part", side)
    finally:
        descent.close()
        os.close(root)
    hasher = blake3()
    with open(manifest, "rb") as lines:
        while data := lines.read(1 << 20):
            hasher.update(data)
    return VerifyResult(
        header["files"], header["bytes"], hasher.hexdigest(), tuple(header["owner"])
    )


def _give(descent: Descent, entry: dict[str, Any], before: Owner | None, after: Owner) -> None:
    """Give one entry to ``after`` where it was of ``before``, None for whoever."""
    uid, gid = entry.pop("before", None) or (entry["uid"], entry["gid"])
    now = after
    if before is not None:
        now = (after[0] if uid == before[0] else uid, after[1] if gid == before[1] else gid)
    entry["uid"], entry["gid"] = now
    if now != (uid, gid):
        entry["before"] = [uid, gid]
    path = b"" if entry["path"] == "." else from_text(entry["path"])
    folder, _, name = path.rpartition(b"/")
    parent = descent.to(folder)
    state = os.stat(name, dir_fd=parent, follow_symlinks=False) if name else os.fstat(parent)
    if (state.st_uid, state.st_gid) == now:
        return
    if name:
        os.chown(name, *now, dir_fd=parent, follow_symlinks=False)
    else:
        os.chown(parent, *now)
    if entry["type"] == "directory" and int(entry["mode"], 8) & 0o6000:
        # Giving a folder away can take its set-group-id bit; it is a folder, checked just above.
        os.chmod(descent.to(path), int(entry["mode"], 8))


def _pair(text: str) -> Owner:
    uid, colon, gid = text.partition(":")
    if (
        not colon
        or not uid.isdecimal()
        or not gid.isdecimal()
        or max(int(uid), int(gid)) >= 2**32 - 1
    ):
        raise argparse.ArgumentTypeError(f"{printable(os.fsencode(text))!r} is not UID:GID")
    return int(uid), int(gid)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m jupyter_secxops_migrate.copying.own",
        description="Hand a copy to another owner.",
    )
    parser.add_argument("directory", metavar="DIRECTORY")
    parser.add_argument("--manifest", required=True, metavar="FILE")
    parser.add_argument("--before", required=True, type=_pair, metavar="UID:GID")
    parser.add_argument("--after", required=True, type=_pair, metavar="UID:GID")
    parser.add_argument("--everything", action="store_true", help="and what belongs to others")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)

    def work(report: Report) -> None:
        result = own_tree(
            given.directory,
            manifest=given.manifest,
            before=given.before,
            after=given.after,
            everything=given.everything,
            progress=lambda now: report.progress(*now),
        )
        report.result(
            f"{counted(result.files, 'file', 'files')} given to {given.after[0]}:{given.after[1]}, of "
            f"{'anybody' if given.everything else f'{given.before[0]}:{given.before[1]}'}",
            **result._asdict(),
            skipped=[],
        )

    return run(given.as_json, work)


if __name__ == "__main__":
    sys.exit(main())
