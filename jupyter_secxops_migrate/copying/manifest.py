r"""What a copy is proven with: the manifest, and the metadata side file beside it.

**Manifest** (``FILE``). A line for each regular file, sorted by the bytes of the path, as ``b3sum``
writes them: 64 hex digits, two spaces, the path relative to the root. Where a path holds a newline
or a backslash, the line starts with a backslash and they are written ``\n`` and ``\\``. So
``b3sum --check FILE`` inside the copy checks it.

Names that are not UTF-8 can't be written as ``b3sum`` would. In such a line (it starts with a
backslash, too) each byte that does not belong to UTF-8 is written ``\xHH``. ``b3sum`` says that it
can't read this line and goes on with the others; `verify` reads it. No two paths have the same
line, and nothing is left out of the manifest, so its digest stands for all content.

**Metadata** (``FILE.meta``). JSON, one object a line, keys without a value left out. The first line
is the header: ``format`` (1), ``tool`` (name and version), ``owner`` ([uid, gid] of the source's
root), ``files`` and ``bytes``; after `own` also ``before`` and ``after``. Then, in the order of
`walk`, the entries:

======== ===========================================================================
path     the root is ``.``; bytes that are not UTF-8 are lone surrogates (``\udcHH``), as Python's
         ``surrogateescape`` makes them
type     ``file``, ``directory``, ``symlink``, ``skipped``, ``changed`` (beside the entry of that path)
mode     permission bits, octal, a string (not for a symlink)
uid, gid numeric owner of the copy
before   [uid, gid] at the source, where `own` changed it
mtime_ns modification time, nanoseconds since 1970
size     bytes, of a file
target   of a symlink
link     path of an earlier file that this is a hard link to; the metadata stand there
xattrs   BLAKE3 over the sorted extended attributes (ACLs among them)
flags    ``scrubbed`` (credentials were removed: the digest is of what was written), ``sqlite-backup``
         (the digest is of the backup), ``commit`` (content of a git commit), ``chosen`` (it may hold
         credentials and was asked for)
reason   why it was skipped, or how it was changed
======== ===========================================================================
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

__all__ = [
    "FORMAT",
    "changed_line",
    "entry_line",
    "from_text",
    "holds_folder",
    "manifest_line",
    "meta_path",
    "read_manifest",
    "read_meta",
    "skipped_line",
    "sort_key",
    "to_text",
    "xattrs_digest",
]

FORMAT = 1
_ESCAPE = re.compile(rb"\\(\\|n|x[0-9a-f]{2})")
_PLAIN = re.compile(rb"[A-Za-z0-9_./ ,+=@#%:()-]*").fullmatch


def meta_path(manifest: str | os.PathLike[str]) -> str:
    """Return the path of the metadata side file of a manifest."""
    return os.fspath(manifest) + ".meta"


def to_text(path: bytes) -> str:
    """Return a path as text that `from_text` turns back into the same bytes."""
    return path.decode("utf-8", "surrogateescape")


def from_text(text: str) -> bytes:
    """Undo `to_text`."""
    return text.encode("utf-8", "surrogateescape")


# --------------------------------------------------------------------------- the manifest


def manifest_line(digest: str, path: bytes) -> bytes:
    """Return one line of the manifest, with its newline."""
    if _PLAIN(path):
        return b"%s  %s\n" % (digest.encode(), path)
    escaped = path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    try:
        escaped.decode()
    except UnicodeDecodeError:
        # backslashreplace writes the bytes that are not UTF-8, and only them, as \xHH.
        escaped = escaped.decode("utf-8", "backslashreplace").encode()
    mark = b"\\" if escaped != path else b""
    return b"%s%s  %s\n" % (mark, digest.encode(), escaped)


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code == b"\\":
        return b"\\"
    return b"\n" if code == b"n" else bytes([int(code[1:], 16)])


def read_manifest(lines: Iterable[bytes]) -> Iterator[tuple[bytes, str]]:
    """Yield path and digest (hex) of each line.

    Raises
    ------
    ValueError
        A line is not of this form.
    """
    for number, line in enumerate(lines, 1):
        escaped = line.startswith(b"\\")
        body = line[1:] if escaped else line
        digest, gap, path = body[:64], body[64:66], body[66:-1]
        if gap != b"  " or not body.endswith(b"\n") or not path:
            raise ValueError(f"line {number} of the manifest is not one of b3sum's")
        yield (_ESCAPE.sub(_unescape, path) if escaped else path), digest.decode("ascii", "replace")


# --------------------------------------------------------------------------- the side file


def _quoted(path: bytes) -> bytes:
    # Most names need no escaping, and a JSON encoder costs more than all the rest of a line.
    return b'"%s"' % path if _PLAIN(path) else json.dumps(to_text(path)).encode()


def entry_line(
    path: bytes,
    kind: bytes,
    *,
    mode: int | None = None,
    owner: tuple[int, int] | None = None,
    mtime_ns: int | None = None,
    size: int | None = None,
    target: bytes | None = None,
    link: bytes | None = None,
    xattrs: str | None = None,
    flags: Sequence[bytes] = (),
) -> bytes:
    """Return one entry of the side file, with its newline."""
    out = [b'{"path": %s, "type": "%s"' % (_quoted(path or b"."), kind)]
    if mode is not None:
        out.append(b'"mode": "%04o"' % mode)
    if owner is not None:
        out.append(b'"uid": %d, "gid": %d' % owner)
    if mtime_ns is not None:
        out.append(b'"mtime_ns": %d' % mtime_ns)
    if size is not None:
        out.append(b'"size": %d' % size)
    if target is not None:
        out.append(b'"target": ' + _quoted(target))
    if link is not None:
        out.append(b'"link": ' + _quoted(link))
    if xattrs is not None:
        out.append(b'"xattrs": "%s"' % xattrs.encode())
    if flags:
        out.append(b'"flags": ["%s"]' % b'", "'.join(flags))
    return b", ".join(out) + b"}\n"


def skipped_line(path: bytes, reason: str) -> bytes:
    """Return the side file's line for something that was not copied."""
    return json.dumps({"path": to_text(path), "type": "skipped", "reason": reason}).encode() + b"\n"


def changed_line(path: bytes, reason: str) -> bytes:
    """Return the side file's line for something that arrives otherwise than it is."""
    return json.dumps({"path": to_text(path), "type": "changed", "reason": reason}).encode() + b"\n"


def sort_key(path: bytes, is_directory: bool) -> bytes:
    """Return what entries are ordered by: folders as if their name ended in ``/``, the root first."""
    if path in (b"", b"."):
        return b""
    return path + b"/" if is_directory else path


def read_meta(file: BinaryIO) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """Return the header and an iterator of the entries.

    Raises
    ------
    ValueError
        It is not a side file, or of a format that this version does not know.
    """
    header = json.loads(file.readline() or b"null")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError("not a metadata file of format 1")
    return header, map(json.loads, file)


def holds_folder(manifest: str | os.PathLike[str], path: str) -> bool:
    """Return whether a copy has a folder at a relative path."""
    with open(meta_path(manifest), "rb") as file:
        _, entries = read_meta(file)
        return any(row["path"] == path and row["type"] == "directory" for row in entries)


def xattrs_digest(attributes: Iterable[tuple[str, bytes]]) -> str | None:
    """Return BLAKE3 (hex) over extended attributes; None when there are none.

    Each is hashed as its name, a zero byte, the value's length as eight bytes (little endian), and
    the value, in the order of their names.
    """
    from blake3 import blake3

    found = sorted(attributes)
    if not found:
        return None
    hasher = blake3()
    for name, value in found:
        hasher.update(os.fsencode(name) + b"\0" + len(value).to_bytes(8, "little") + value)
    return hasher.hexdigest()
