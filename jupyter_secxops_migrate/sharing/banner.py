"""What a copy's JupyterLab needs to say that it is one: a Lab extension, made for each copy.

It is no part of the project's image. The engine puts it where JupyterLab finds it; one that can't load
it shows nothing and works as before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..model import Migration

__all__ = ["NAME", "banner"]

NAME = "@jupyter-secxops/copy"
_PACKAGE = {
    "name": NAME,
    "version": "1.0.0",
    "license": "BSD-3-Clause",
    "jupyterlab": {
        "extension": True,
        "_build": {"load": "static/remoteEntry.js", "extension": "./extension"},
    },
}
_EMPTY = "var COPY = {};"


def banner(migration: Migration, project: str) -> Mapping[str, bytes]:
    """Return the extension's files, by their paths in JupyterLab's folder of extensions.

    Parameters
    ----------
    migration
        The share that made the copy.
    project
        The name of what it is a copy of.
    """
    version = migration.plan.version if migration.plan is not None else None
    copy = {
        "id": migration.id,
        "name": migration.name,
        "project": project,
        "owner": migration.owner.partition("@")[0],
        "created": migration.created.isoformat(),
        "commit": (version.commit or "")[:7] if version is not None else "",
    }
    script = Path(__file__).with_name("banner.js").read_text("utf-8")
    assert _EMPTY in script
    filled = script.replace(_EMPTY, f"var COPY = {json.dumps(copy)};")
    return {
        f"{NAME}/package.json": json.dumps(_PACKAGE).encode(),
        f"{NAME}/static/remoteEntry.js": filled.encode(),
    }
