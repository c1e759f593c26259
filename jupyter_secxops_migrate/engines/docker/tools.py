"""The tools image: what Jobs run, and nothing of any project."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from importlib.abc import Traversable
from importlib.resources import files

from ..names import MANAGED_BY, MANAGER, ROLE
from ..orders import BuildOrder

HOME = "/opt/secxops"
REQUIREMENTS = ("blake3>=1.0", "pygit2>=1.16")
_PACKAGE = "jupyter_secxops_migrate"


def _sources() -> Iterator[tuple[str, bytes]]:
    package = files(_PACKAGE)
    for name in ("__init__.py", "errors.py", "printable.py"):
        yield f"{_PACKAGE}/{name}", (package / name).read_bytes()
    yield from _folder(package / "copying", f"{_PACKAGE}/copying")


def _folder(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_file() and entry.name.endswith(".py"):
            yield f"{name}/{entry.name}", entry.read_bytes()


def dockerfile(base: str) -> str:
    """Return the Dockerfile of the tools image."""
    wanted = " ".join(f"'{r}'" for r in REQUIREMENTS)
    return (
        f"FROM {base}\n"
        "USER 0:0\n"
        "ARG PIP_INDEX_URL\n"
        f"RUN python3 -m pip install --no-cache-dir --disable-pip-version-check --target {HOME} {wanted}\n"
        f"COPY {_PACKAGE} {HOME}/{_PACKAGE}\n"
        f"RUN python3 -m compileall -q {HOME}/{_PACKAGE}\n"
        f"ENV PYTHONPATH={HOME} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1\n"
        "WORKDIR /\n"
    )


def order(base: str) -> BuildOrder:
    """Return the order that builds it; its tag is the digest of its content."""
    text = dockerfile(base).encode()
    content = [("Dockerfile", text), *_sources()]
    digest = hashlib.sha256(repr(content).encode()).hexdigest()[:12]

    def context() -> Iterator[bytes]:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, body in content:
                entry = tarfile.TarInfo(name)
                entry.size = len(body)
                entry.mode = 0o644
                archive.addfile(entry, io.BytesIO(body))
        yield buffer.getvalue()

    labels: Mapping[str, str] = {MANAGED_BY: MANAGER, ROLE: "tools"}
    return BuildOrder(
        migration="tools",
        context=context,
        dockerfile="Dockerfile",
        repository="secxops-tools",
        tag=digest,
        digest=lambda: digest,
        labels=labels,
        text=text,
        lines=tuple(range(1, 1 + len(text.splitlines()))),
        froms=(1,),
    )
