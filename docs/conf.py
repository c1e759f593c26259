"""Sphinx's settings for these pages; `make docs` builds them with every warning an error."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

project = "jupyter-secxops-migrate"
author = "the jupyter-secxops-migrate contributors"
copyright = "the jupyter-secxops-migrate contributors, BSD-3-Clause"
_version = re.search(
    r'^version = "(.+)"$', (HERE.parent / "pyproject.toml").read_text(encoding="utf-8"), re.M
)
release = _version[1] if _version else ""

extensions = ["myst_parser", "fromcode"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_*.md", "_causes"]
nitpicky = True
# "--name" must stay "--name".
smartquotes = False
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# The theme's colours configure the root logger; what the reference imports must not chat there.
logging.getLogger("alembic").setLevel(logging.WARNING)

html_theme = "furo"
html_title = "jupyter-secxops-migrate"
html_static_path = ["_static"]
html_css_files = ["extra.css"]
# Pages are small and reading them offline matters more than their source beside them.
html_copy_source = False
