"""What a verification found, on a screen: a line for each table, then what differs, where and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from gridferry import numbers
from gridferry.cli.tables import hanging, listing, visible
from gridferry.model import coverage_words
from gridferry.model.moment import shown
from gridferry.model.verdict_words import headline, rows_in_containers
from gridferry.model.verification import (
    ContainerVerification,
    Depth,
    Difference,
    DifferenceCount,
    DifferenceKind,
    TableVerification,
    Verdict,
    VerifyReport,
)

MOST_TABLES = 8  # of more only those are shown that are not plainly equal
MOST_CONTAINERS = 20
MOST_COUNTS = 12
_LONGEST_VALUE = 24
_STYLES = {
    Verdict.EQUAL: "green",
    Verdict.INCOMPLETE: "yellow",
    Verdict.UNSETTLED: "yellow",
    Verdict.DIFFERENT: "bold red",
}
_WORDS = {
    Verdict.EQUAL: "equal",
    Verdict.INCOMPLETE: "incomplete: rows are in quarantine",
    Verdict.UNSETTLED: "unsettled: not yet synced",
    Verdict.DIFFERENT: "different",
}


def report_view(report: VerifyReport) -> Iterator[RenderableType]:
    """All of a report; of many tables those of which something is to be said, and how many others are equal."""
    shown = report.tables
    if len(shown) > MOST_TABLES:
        shown = tuple(table for table in shown if table.verdict is not Verdict.EQUAL)
    for number, table in enumerate(shown):
        if number:
            yield Text()
        yield from table_view(table)
    if len(shown) < len(report.tables):
        others = numbers.plural(len(report.tables) - len(shown), "other table" if shown else "table")
        yield Text(f"{others}: equal; --json has each", style="dim")
        yield from _notes_of([table for table in report.tables if table not in shown])
    yield Text()
    yield _verdict(report)
    if report.others:
        yield Text(f"{coverage_words.other_tables(report.others)}.", style="dim")
    if report.new:
        yield Text(f"{coverage_words.new_tables(report.new)}. Next: gridferry load", style="yellow")
    for said in report.left_out:
        yield Text(f"left out: {said}", style="yellow")
    if report.removed:
        yield Text(f"removed, not compared: {', '.join(report.removed)}", style="yellow")
    if report.output:
        yield Text(f"{numbers.plural(report.differences, 'difference')} written to {report.output}")


def _notes_of(tables: Sequence[TableVerification]) -> Iterator[RenderableType]:
    """What is to be known of tables that are not shown, each once."""
    noted: dict[str, list[str]] = {}
    for table in tables:
        for note in (*coverage_words.remarks(table.coverage), *table.notes):
            noted.setdefault(note, []).append(table.table)
    for note, names in noted.items():
        whose = names[0] if len(names) == 1 else numbers.plural(len(names), "table")
        yield hanging("  ", f"{whose}: {note}", style="yellow")


def table_view(table: TableVerification) -> Iterator[RenderableType]:
    """One table: its line, the containers, and what differs."""
    yield _line(table)
    for note in (*coverage_words.remarks(table.coverage), *table.notes):
        yield hanging("  ", note, style="yellow")
    yield _containers(table)
    hidden = table.containers_total - min(len(table.containers), MOST_CONTAINERS)
    if hidden:
        yield Text(f"  … {hidden:,} more containers; --json lists all", style="dim")
    if table.summary:
        yield from _summary(table.summary)
    if table.first:
        yield Text()
        for difference in table.first:
            yield Padding(_difference(difference), (0, 0, 0, 2), expand=False)
        rest = table.differences - len(table.first)
        if rest > 0:
            yield Text(f"  … {rest:,} more; --output FILE.jsonl or FILE.parquet holds all", style="dim")


def _line(table: TableVerification) -> Text:
    line = Text.assemble((table.table, "bold"), ": ", (_WORDS[table.verdict], _STYLES[table.verdict]))
    kinds = [(kind.value, kind.words) for kind in DifferenceKind] + [("unsettled", "unsettled")]
    found = [f"{numbers.count(getattr(table, kind))} {words}" for kind, words in kinds if getattr(table, kind)]
    if found:
        line.append(f" ({', '.join(found)})", style=_STYLES[table.verdict])
    parts = [rows_in_containers([table])]
    parts.append(numbers.duration(table.seconds))
    if table.depth is Depth.FULL:
        parts.append(numbers.rate(table.rows_per_second))
    line.append("; " + ", ".join(parts))
    line.append(f"; as of {shown(table.snapshot_at)} UTC", style="dim")
    if table.rounds:
        line.append(f"; looked again {numbers.plural(table.rounds, 'time')}", style="dim")
    return line


def _containers(table: TableVerification) -> RenderableType:
    quick = table.depth is Depth.QUICK
    rows = [_container(c, quick=quick) for c in table.containers[:MOST_CONTAINERS]]
    headers = ["container", "in PostgreSQL", "in GridDB", "key bounds" if quick else "equal", "verdict"]
    right = ("in PostgreSQL", "in GridDB") if quick else ("in PostgreSQL", "in GridDB", "equal")
    return listing(headers, rows, right=right, indent=2)


def _container(container: ContainerVerification, *, quick: bool) -> list[RenderableType]:
    counts = [Text(numbers.count(n)) for n in (container.source_rows, container.target_rows)]
    if quick:
        same = container.bounds is None or container.bounds.equal
        third = Text("same" if same else "different", style="" if same else "bold red")
    else:
        third = Text(numbers.count(container.equal_rows))
    aside = ((container.quarantined, "in quarantine"), (container.superseded, "superseded"))
    said = ", ".join([container.verdict.value, *(f"{numbers.count(n)} {what}" for n, what in aside if n)])
    said += f"; {container.note}" if container.note else ""
    return [Text(container.name), *counts, third, Text(said, style=_STYLES[container.verdict])]


def _summary(counts: tuple[DifferenceCount, ...]) -> Iterator[RenderableType]:
    yield Text()
    rows = [
        [Text(c.container), Text(c.bucket), *(Text(numbers.count(n) if n else "") for n in _kinds(c))]
        for c in counts[:MOST_COUNTS]
    ]
    kinds = [kind.words for kind in DifferenceKind]
    yield listing(["container", "time", *kinds], rows, right=kinds, indent=2)
    if len(counts) > MOST_COUNTS:
        rest = sum(c.total for c in counts[MOST_COUNTS:])
        yield Text(f"  … {rest:,} more in {len(counts) - MOST_COUNTS:,} other places; --json lists them", style="dim")


def _kinds(count: DifferenceCount) -> tuple[int, int, int, int]:
    return count.missing, count.extra, count.different, count.doubled


def _difference(difference: Difference) -> Text:
    key = visible(", ".join(f"{name} {value}" for name, value in difference.key))
    line = Text.assemble((difference.kind.words, "red"), f" {difference.container} ", (key, "bold"))
    if difference.kind.value == "different":
        shown = [
            f"{c.name}: {_value(c.source)} in PostgreSQL, {_value(c.target)} in GridDB" for c in difference.columns
        ]
        line.append("  " + "; ".join(shown))
    return line


def _value(text: str | None) -> str:
    if text is None:
        return "NULL"
    shown = visible(text)
    cut = shown if len(shown) <= _LONGEST_VALUE else shown[: _LONGEST_VALUE - 1] + "…"
    return repr(cut) if not cut.strip() or cut != cut.strip() else cut


def _verdict(report: VerifyReport) -> Text:
    said, rest = headline(report)
    style = _STYLES[report.verdict]
    return Text.assemble((said, style if style.startswith("bold") else f"bold {style}"), rest)
