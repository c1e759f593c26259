"""Credentials in a repository's own files, and which of those files hold any.

``.git`` travels with a project, so that its history does; a token in the URL of a remote must not.
What is changed: user and password in URLs (of ``http`` and its kind the user too, because a token
often stands there), ``credential`` sections, extra HTTP headers, and settings whose name says that
they are a secret. Nothing here runs git, reads its configuration as git would, or touches objects:
what was committed stays what was committed.
"""

from __future__ import annotations

import re

__all__ = ["GIT_FOLDER", "enters", "holds_credentials", "is_repository", "scrubbed"]

GIT_FOLDER = b".git"
_URL = re.compile(rb"(?i)\b((?:https?|ftps?|socks5?h?)://)[^/?#\s]*@")
_URL_PASSWORD = re.compile(
    rb"(?i)\b((?:ssh|git|git\+ssh|ssh\+git|sftp|rsync|imaps?|smtps?)://[^/?#\s:@]*):[^/?#\s]*@"
)
_SECTION = re.compile(rb"""\s*\[\s*([A-Za-z0-9.-]+)(?:\s+"(?:[^"\\]|\\.)*")?\s*\]""")
_SECRET_KEY = re.compile(
    rb"(?i)\s*(extraheader|.*(?:token|password|passwd|secret|smtppass|sslcertpassword|pat))\s*(?:=|\Z)"
)
_REPOSITORY = frozenset({b"HEAD", b"objects/", b"refs/"})


def is_repository(names: frozenset[bytes]) -> bool:
    """Say whether a folder with these names (folders end in ``/``) is a git directory."""
    return names >= _REPOSITORY


def enters(where: bytes | None, name: bytes) -> bytes | None:
    """Return where inside its git directory a subfolder lies (``b""`` is the git directory).

    ``where`` is the same for its parent, None outside of any.
    """
    if name == GIT_FOLDER:
        return b""
    if where is None:
        return None
    return where + b"/" + name if where else name


def holds_credentials(where: bytes, name: bytes) -> bool:
    """Say whether the file ``name``, ``where`` in a git directory, is one to be scrubbed."""
    parts = where.split(b"/") if where else []
    if b"objects" in parts or b"refs" in parts:
        # Named by people or by digests; a submodule called "objects" is not worth guessing.
        return False
    if name.startswith(b"config") or name in (b"FETCH_HEAD", b"sourcetreeconfig"):
        return True
    return bool({b"logs", b"remotes", b"branches"} & set(parts))


def scrubbed(name: bytes, data: bytes) -> bytes:
    """Return the content of one of git's own files without credentials.

    Equal to ``data`` when it held none.

    Examples
    --------
    >>> scrubbed(b"config", b"[remote \\"o\\"]\\n\\turl = https://me:secret@host/x.git\\n")
    b'[remote "o"]\\n\\turl = https://host/x.git\\n'
    """
    if not name.startswith(b"config"):
        return _without_userinfo(data)
    out: list[bytes] = []
    dropped = False
    for line in _logical_lines(data):
        body = line
        section = _SECTION.match(line)
        if section is not None:
            dropped = section[1].lower().split(b".")[0] == b"credential"
            if not dropped:
                out.append(_without_userinfo(section[0]))
            body = line[section.end() :]
        if dropped:
            continue
        joined = body.replace(b"\\\r\n", b"").replace(b"\\\n", b"")
        if _SECRET_KEY.match(joined.split(b"=")[0] + b"="):
            if section is not None:
                out.append(b"\n")
            continue
        clean = _without_userinfo(joined)
        out.append(body if clean == joined else clean)
    return b"".join(out)


def _without_userinfo(data: bytes) -> bytes:
    return _URL_PASSWORD.sub(rb"\1@", _URL.sub(rb"\1", data))


def _logical_lines(data: bytes) -> list[bytes]:
    """Split lines, one that ends in a backslash together with the next."""
    lines: list[bytes] = []
    current = b""
    for line in data.splitlines(keepends=True):
        current += line
        stripped = line.rstrip(b"\r\n")
        trailing = len(stripped) - len(stripped.rstrip(b"\\"))
        if trailing % 2 == 0:
            lines.append(current)
            current = b""
    return [*lines, current] if current else lines
