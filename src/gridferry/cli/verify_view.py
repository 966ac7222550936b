"""What a verification found, on a screen: a line for each table, then what differs, where and when."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from gridferry import numbers
from gridferry.cli.tables import hanging, listing, visible
from gridferry.model.verification import (
    ContainerVerification,
    Depth,
    Difference,
    DifferenceCount,
    TableVerification,
    Verdict,
    VerifyReport,
)

MOST_CONTAINERS = 20
MOST_COUNTS = 12
_LONGEST_VALUE = 24
_STYLES = {Verdict.EQUAL: "green", Verdict.UNSETTLED: "yellow", Verdict.DIFFERENT: "bold red"}
_WORDS = {Verdict.EQUAL: "equal", Verdict.UNSETTLED: "unsettled: not yet synced", Verdict.DIFFERENT: "different"}


def report_view(report: VerifyReport) -> Iterator[RenderableType]:
    """All of a report."""
    for number, table in enumerate(report.tables):
        if number:
            yield Text()
        yield from table_view(table)
    yield Text()
    yield _verdict(report)
    if report.output:
        yield Text(f"{numbers.plural(report.differences, 'difference')} written to {report.output}")


def table_view(table: TableVerification) -> Iterator[RenderableType]:
    """One table: its line, the containers, and what differs."""
    yield _line(table)
    for note in table.notes:
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
    kinds = ("missing", "extra", "different", "doubled", "unsettled")
    found = [f"{numbers.count(getattr(table, kind))} {kind}" for kind in kinds if getattr(table, kind)]
    if found:
        line.append(f" ({', '.join(found)})", style=_STYLES[table.verdict])
    rows = max(table.source_rows, table.target_rows)
    parts = [f"{numbers.plural(rows, 'row')} in {numbers.plural(table.containers_total, 'container')}"]
    parts.append(numbers.duration(table.seconds))
    if table.depth is Depth.FULL:
        parts.append(numbers.rate(table.rows_per_second))
    line.append("; " + ", ".join(parts))
    line.append(f"; as of {table.snapshot_at[:19].replace('T', ' ')} UTC", style="dim")
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
    words = {Verdict.EQUAL: "equal", Verdict.UNSETTLED: "unsettled", Verdict.DIFFERENT: "different"}
    said = words[container.verdict] + (
        f", {numbers.count(container.explained)} explained" if container.explained else ""
    )
    said += f"; {container.note}" if container.note else ""
    return [Text(container.name), *counts, third, Text(said, style=_STYLES[container.verdict])]


def _summary(counts: tuple[DifferenceCount, ...]) -> Iterator[RenderableType]:
    yield Text()
    rows = [
        [Text(c.container), Text(c.bucket), *(Text(numbers.count(n) if n else "") for n in _kinds(c))]
        for c in counts[:MOST_COUNTS]
    ]
    kinds = ("missing", "extra", "different", "doubled")
    yield listing(["container", "time", *kinds], rows, right=kinds, indent=2)
    if len(counts) > MOST_COUNTS:
        rest = sum(c.total for c in counts[MOST_COUNTS:])
        yield Text(f"  … {rest:,} more in {len(counts) - MOST_COUNTS:,} other places; --json lists them", style="dim")


def _kinds(count: DifferenceCount) -> tuple[int, int, int, int]:
    return count.missing, count.extra, count.different, count.doubled


def _difference(difference: Difference) -> Text:
    key = visible(", ".join(f"{name} {value}" for name, value in difference.key))
    line = Text.assemble((difference.kind.value, "red"), f" {difference.container} ", (key, "bold"))
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
    quick = any(table.depth is Depth.QUICK for table in report.tables)
    rows = sum(max(t.source_rows, t.target_rows) for t in report.tables)
    containers = sum(t.containers_total for t in report.tables)
    total = f"{numbers.plural(rows, 'row')} in {numbers.plural(containers, 'container')}"
    if report.verdict is Verdict.EQUAL:
        said = "Row numbers and key bounds are equal" if quick else "All values are equal"
        return Text.assemble((said, "bold green"), f" ({total}, compared in {numbers.duration(report.seconds)})")
    if report.verdict is Verdict.UNSETTLED:
        count = numbers.plural(sum(t.unsettled for t in report.tables), "row")
        return Text.assemble((f"{count} not yet synced", "bold yellow"), f", all others are equal ({total})")
    if quick and not report.differences:
        return Text.assemble(("Both sides differ in their key bounds", "bold red"), f" ({total})")
    count = numbers.plural(report.differences, "row")
    return Text.assemble((f"{count} {'differs' if report.differences == 1 else 'differ'}", "bold red"), f" ({total})")
