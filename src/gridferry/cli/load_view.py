"""What a load did, on a screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli.tables import hanging, listing
from gridferry.model import coverage_words
from gridferry.model.outcomes import LoadOutcome

if TYPE_CHECKING:
    from gridferry.engine.events import TableLoad

MOST_CONTAINERS = 20


def load_view(loads: Sequence[TableLoad]) -> Iterator[RenderableType]:
    """A line for each table, its notes, and how many rows both sides of its containers have."""
    for number, load in enumerate(loads):
        if number:
            yield Text()
        yield headline(load)
        for remark in coverage_words.remarks(load.coverage):
            yield hanging("  ", remark, style="yellow")
        for note in load.notes:
            yield hanging("  ", note, style="dim")
        if load.containers:
            yield from _counts(load)


def headline(load: TableLoad) -> Text:
    """What happened to one table: outcome, rows, time, speed."""
    line = Text.assemble((load.table, "bold"), ": ", (load.outcome.value, "yellow" if load.quarantined else "green"))
    if not load.rows and load.outcome not in (LoadOutcome.LOADED, LoadOutcome.RESUMED):
        if load.quarantined:
            line.append(f", {coverage_words.rows(load.coverage, otherwise=load.coverage.stored or 0)}", style="yellow")
        return line
    parts = [f"{numbers.plural(load.rows, 'row')} in {numbers.plural(load.chunks, 'chunk')}"]
    if load.seconds:
        parts += [numbers.duration(load.seconds), numbers.rate(load.rows_per_second)]
    if load.octets:
        parts.append(numbers.size(load.octets))
    line.append(", " + ", ".join(parts))
    if coverage_words.has_gaps(load.coverage):
        line.append(f"; {coverage_words.rows(load.coverage)}", style="yellow")
    return line


def _counts(load: TableLoad) -> Iterator[RenderableType]:
    ordered = sorted(load.containers, key=lambda c: (c.source_rows == c.target_rows, c.name))
    rows = []
    for c in ordered[:MOST_CONTAINERS]:
        style = "green" if c.source_rows == c.target_rows else "yellow"
        held = Text(numbers.count(c.target_rows), style=style)
        rows.append([Text(c.name), Text(c.value or ""), Text(numbers.count(c.source_rows)), held])
    yield listing(
        ["container", "value", "rows in PostgreSQL", "rows in GridDB"],
        rows,
        right=("rows in PostgreSQL", "rows in GridDB"),
        indent=2,
    )
    yield from _more(len(ordered))


def _more(total: int) -> Iterator[RenderableType]:
    if total > MOST_CONTAINERS:
        yield Text(f"  … {total - MOST_CONTAINERS:,} more containers; --json lists all", style="dim")
