"""What a terminal shows, as the output of a notebook's cell.

`terminal` prints to a console; here the same lines and tables become HTML, which a notebook lays out in
its own font and theme, and text for what shows no HTML. So both always say the same. Nothing that is
printed is taken for HTML, for markup or for mathematics, and nothing is folded.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from html import escape
from typing import Any

from rich.console import Console, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from .printable import printable

WIDTH = 4000
"""Columns of the text beside the HTML: no line of ours is folded there."""

# JupyterLab's own colours, which its themes set; elsewhere the notebook's text colour.
_COLOURS = {
    "cyan": "var(--jp-info-color1)",
    "green": "var(--jp-success-color1)",
    "red": "var(--jp-error-color1)",
    "yellow": "var(--jp-warn-color1)",
}
_CELL = "text-align: left; vertical-align: top; white-space: pre"


def bundle(show: Callable[[Console], None], *, log: bool = False) -> dict[str, str]:
    """Return what ``show`` prints, as text and as HTML in which everything is escaped.

    Parameters
    ----------
    show
        Prints lines and tables.
    log
        Whether it prints what programs wrote, in which columns count.
    """
    page = _Page()
    show(page)
    text = "\n".join(line.rstrip() for line in page.export_text().splitlines())
    lines = "white-space: pre-wrap; font-family: var(--jp-code-font-family, monospace)"
    style = lines if log else "white-space: pre-wrap"
    # File names may hold what looks like a formula.
    html = f'<div class="mathjax_ignore" style="{style}">{"".join(page.parts)}</div>'
    return {"text/plain": text, "text/html": html}


class _Page(Console):
    """A console that also keeps what it prints as HTML."""

    def __init__(self) -> None:
        super().__init__(
            record=True, file=io.StringIO(), width=WIDTH, highlight=False, force_jupyter=False
        )
        self.parts: list[str] = []

    def print(self, *objects: Any, style: str | Style | None = None, **how: Any) -> None:
        """Print lines and tables, and keep them."""
        super().print(*objects, style=style, **how)
        for it in objects:
            if isinstance(it, Table):
                self.parts.append(self._table(it))
            else:
                self.parts.append(f"<div>{self._line(it, style or '')}</div>")

    def _table(self, table: Table) -> str:
        """Return a table whose cells keep their spaces and are as wide as they have to be."""
        rows = []
        if table.show_header:
            titles = (self._line(column.header, table.header_style) for column in table.columns)
            # A title that is empty is none.
            tagged = ((title, "th" if title else "td") for title in titles)
            rows.append("".join(f'<{tag} style="{_CELL}">{it}</{tag}>' for it, tag in tagged))
        for cells in zip(*(column.cells for column in table.columns), strict=True):
            styled = zip(cells, table.columns, strict=True)
            row = (self._line(cell, column.style) for cell, column in styled)
            rows.append("".join(f'<td style="{_CELL}">{cell}</td>' for cell in row))
        inner = "".join(f"<tr>{row}</tr>" for row in rows)
        return f'<table style="margin: 0.3em 0">{inner}</table>'

    def _line(self, it: RenderableType, style: str | Style) -> str:
        """Return a line or a cell, each run of one style by itself."""
        text = it.copy() if isinstance(it, Text) else self.render_str(str(it))
        # Without a run of its own, rich forgets a line's style.
        for whole in (text.style, style):
            text.stylize_before(self.get_style(whole))
        return "".join(
            _run(segment.text, segment.style or Style.null())
            for segment in text.render(self)
            if segment.text
        )


def _run(text: str, style: Style) -> str:
    """Return a run of text, whose direction is its own affair."""
    found = []
    if style.color is not None and (colour := _COLOURS.get(style.color.name)):
        found.append(f"color: {colour}")
    if style.bold:
        found.append("font-weight: bold")
    if style.dim:
        # No grey can be read on both themes; half-seen text can.
        found.append("opacity: 0.7")
    styled = f' style="{"; ".join(found)}"' if found else ""
    return f"<bdi{styled}>{escape(printable(text))}</bdi>"
