"""What a load did, on a screen."""

from __future__ import annotations

from collections import Counter
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
MOST_TABLES = 8  # each with its containers; of more, the sums
MOST_SHOWN = 8


def load_view(loads: Sequence[TableLoad], *, seconds: float = 0.0) -> Iterator[RenderableType]:
    """A line for each table, its notes, and how many rows both sides of its containers have.

    Of many tables the sums, and a line for those that there is something to say of. `seconds` is how long it took.
    """
    if len(loads) > MOST_TABLES and not any(load.outcome is LoadOutcome.PLANNED for load in loads):
        yield from _summary(loads, seconds)
        return
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


def _summary(loads: Sequence[TableLoad], seconds: float) -> Iterator[RenderableType]:
    outcomes = Counter(load.outcome for load in loads)
    rows, octets = sum(load.rows for load in loads), sum(load.octets for load in loads)
    line = Text.assemble((numbers.plural(len(loads), "table"), "bold"), ": ")
    line.append(", ".join(f"{numbers.count(count)} {outcome.value}" for outcome, count in outcomes.items()), "green")
    if rows:
        parts = [numbers.plural(rows, "row"), numbers.duration(seconds)]
        parts += [numbers.rate(rows / seconds)] if seconds else []
        line.append("; " + ", ".join([*parts, numbers.size(octets)]))
    yield line
    remarks = {load.table: (*coverage_words.remarks(load.coverage), *_said(load)) for load in loads}
    odd = [load for load in loads if load.quarantined or remarks[load.table]]
    for load in odd[:MOST_SHOWN]:
        yield headline(load)
        for remark in remarks[load.table]:
            yield hanging("  ", remark, style="yellow")
    if len(odd) > MOST_SHOWN:
        yield Text(f"… {len(odd) - MOST_SHOWN:,} more tables with something to say", style="dim")
    yield Text("each table: gridferry status, or --json", style="dim")


def _said(load: TableLoad) -> tuple[str, ...]:
    """The notes that are worth a line among many tables: not that there was nothing to do."""
    return () if load.outcome is LoadOutcome.ALREADY_LOADED else load.notes


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
