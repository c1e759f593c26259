"""One click makes a second, independent, proven environment of a running notebook."""

from __future__ import annotations

from typing import Any


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Tell JupyterLab where the built extension lies, for a development install."""
    return [{"src": "labextension", "dest": "@jupyter-secxops/migrate"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell the Jupyter server what to load."""
    from .serverapp import SecxopsExtension

    return [{"module": "jupyter_secxops_migrate", "app": SecxopsExtension}]


def load_ipython_extension(shell: Any) -> None:
    """Give IPython the ``%secxops`` magic: ``%load_ext jupyter_secxops_migrate``."""
    from .magics import register

    register(shell)
