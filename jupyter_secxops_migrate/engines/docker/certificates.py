"""Image builds that trust more certificates than their base image does.

A build sees no file of the machine, so a configured CA bundle is put into every stage, and named to
the usual programs while the stage is built; the image's own settings stay as they are. What is sent
is a Dockerfile beside the project's own; errors still name the lines of the project's.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace

from ..orders import BuildOrder

BUNDLE = "/etc/ssl/certs/secxops-ca.pem"
_SENT_BUNDLE = ".secxops-ca.pem"
_SENT_DOCKERFILE = ".secxops.Dockerfile"
_VARIABLES = (
    "PIP_CERT",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
# ARG, not ENV: known to what runs in the build, and to nothing after it.
_INSTRUCTIONS = (
    f"COPY {_SENT_BUNDLE} {BUNDLE}",
    *(f"ARG {name}={BUNDLE}" for name in _VARIABLES),
)


def trusting(order: BuildOrder, bundle: bytes) -> BuildOrder:
    """Return an order whose stages trust ``bundle`` (PEM) as well."""
    text: list[bytes] = []
    ends = set(order.froms)
    for number, row in enumerate(order.text.split(b"\n"), 1):
        text.append(row)
        if number in ends:
            text += [instruction.encode() for instruction in _INSTRUCTIONS]
    lines: list[int] = []
    left = sorted(ends)
    for position, first in enumerate(order.lines):
        lines.append(first)
        beyond = order.lines[position + 1 : position + 2]
        if left and first <= left[0] and all(after > left[0] for after in beyond):
            lines += [first] * len(_INSTRUCTIONS)
            left.pop(0)
    sent = _archive({_SENT_BUNDLE: bundle, _SENT_DOCKERFILE: b"\n".join(text)})

    def context() -> Iterator[bytes]:
        yield sent
        yield from order.context()

    return replace(order, context=context, dockerfile=_SENT_DOCKERFILE, lines=lines)


def _archive(content: dict[str, bytes]) -> bytes:
    """Return the files as the beginning of a tar stream, without its end."""
    buffer = io.BytesIO()
    for name, body in content.items():
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(body), 0o644
        buffer.write(entry.tobuf() + body + bytes(-len(body) % tarfile.BLOCKSIZE))
    return buffer.getvalue()
