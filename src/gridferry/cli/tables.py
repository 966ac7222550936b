"""Tables on a screen: one plain style for all commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text


def listing(
    headers: Sequence[str], rows: Iterable[Sequence[RenderableType]], *, right: Sequence[str] = (), indent: int = 0
) -> RenderableType:
    """A table with a line under its head. Columns named in `right` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)
    for header in headers:
        numeric = header in right
        table.add_column(header, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    for row in rows:
        table.add_row(*(_literal(cell) for cell in row))
    return Padding(table, (0, 0, 0, indent), expand=False)


def facts(pairs: Iterable[tuple[RenderableType, RenderableType]], *, indent: int = 0) -> RenderableType:
    """Labels and what they say, in two columns."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, value in pairs:
        grid.add_row(_literal(label), _literal(value))
    return Padding(grid, (0, 0, 0, indent), expand=False)


def hanging(lead: str | Text, text: str | Text, *, style: str = "") -> RenderableType:
    """`lead`, and `text` after it; where the text wraps, its lines begin where the first one does."""
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", style=style)
    grid.add_row(_literal(lead), _literal(text))
    return grid


def visible(text: str) -> str:
    """`text`, a value or a name out of a database, with what would move the cursor or set colours spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _literal(cell: RenderableType) -> RenderableType:
    """Text as it is: a name with brackets in it is no markup, one with control characters commands no terminal."""
    if isinstance(cell, Text):
        return cell if cell.spans else Text(_lines(cell.plain), style=cell.style)
    return Text(_lines(cell)) if isinstance(cell, str) else cell


def _lines(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))
