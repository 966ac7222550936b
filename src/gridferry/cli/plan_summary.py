"""The plan of many tables on a screen: a line for each, then what was found, grouped; the details are for later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli.tables import facts, hanging, listing, visible
from gridferry.model import coverage_words

if TYPE_CHECKING:
    from gridferry.plan.finding_groups import FindingGroup
    from gridferry.plan.plan import Plan, Severity, TablePlan

MOST_DETAILED = 5  # tables that are shown in full where nobody asks for it
_NAMED = 20
_KEY_WIDTH = 16
_STYLES = {
    "exact": "green",
    "widened": "cyan",
    "text": "cyan",
    "lossy": "yellow",
    "not read": "bold red",
    "no key": "bold red",
}
_ORDER = ("exact", "widened", "text", "lossy", "refused")
_GAPS = 11  # blanks between six columns
_LEAST_NAME = 20


def plan_summary(plan: Plan, *, width: int) -> Iterator[RenderableType]:
    """A line a table, and all problems and risks by kind, in at most `width` columns."""
    from gridferry.plan.finding_groups import grouped
    from gridferry.plan.plan import Severity

    yield facts([("from", Text(f"PostgreSQL {plan.source}")), ("to", Text(plan.target))])
    yield Text()
    yield _tables(plan, width=width)
    yield Text()
    yield Text(_total(plan), style="bold")
    for severity, label, style in ((Severity.PROBLEM, "problem", "bold red"), (Severity.RISK, "risk", "yellow")):
        yield from _of_source(plan, severity, label=label, style=style)
        for group in grouped(plan, severity):
            yield Text()
            yield from _group(group, label=label, style=style)
    for group in grouped(plan, Severity.INFO):
        if group.first.advice:  # the others say how the plan was made: they are details
            yield Text()
            yield from _group(group, label="hint", style="cyan")
    yield from _of_source(plan, Severity.INFO, label="note", style="dim")
    if plan.others:
        yield Text()
        yield Text(f"{coverage_words.other_tables(plan.others)}.", style="dim")


def shortened(name: str, width: int) -> str:
    """A name in at most `width` letters, cut in the middle: beginning and end tell tables apart."""
    shown = visible(name)
    if len(shown) <= width:
        return shown
    tail = (width - 1) // 2
    return f"{shown[: width - 1 - tail]}…{shown[len(shown) - tail :]}"


def _tables(plan: Plan, *, width: int) -> RenderableType:
    rows: list[list[str]] = []
    for table in plan.tables:
        keys = ", ".join(column.target.name for column in table.columns[: table.key_length])
        count = len(table.problems)
        rows.append(
            [
                table.qualified,
                numbers.count(table.rows),
                _becomes(table),
                shortened(keys, _KEY_WIDTH) or "none",
                _verdict(table),
                numbers.count(count) if count else "",
            ]
        )
    rows += [[unread.table, "", "", "", "not read", "1"] for unread in plan.unread]
    headers = ["table", "rows", "becomes", "key", "verdict", "problems"]
    others = sum(max(len(header), *(len(row[i]) for row in rows)) for i, header in enumerate(headers) if i)
    room = max(_LEAST_NAME, width - others - _GAPS)
    cells: list[list[RenderableType]] = [
        [
            Text(shortened(row[0], room), style="bold red" if row[5] else ""),
            *row[1:4],
            Text(row[4], style=_STYLES.get(row[4], "")),
            Text(row[5], style="bold red"),
        ]
        for row in rows
    ]
    return listing(headers, cells, right=("rows", "problems"))


def _becomes(table: TablePlan) -> str:
    kind = table.kind.name.replace("_", " ").lower()
    return kind if table.split_by is None else f"{numbers.count(len(table.containers))} {kind}"


def _verdict(table: TablePlan) -> str:
    """The worst of its columns; and whether some are left out, which is a loss of another sort."""
    worst = max((column.verdict.value for column in table.columns), key=_ORDER.index, default="exact")
    return f"{worst}, -{len(table.left_out)}" if table.left_out else worst


def _total(plan: Plan) -> str:
    tables = len(plan.tables) + len(plan.unread)
    rows, size = sum(t.rows for t in plan.tables), sum(t.size_bytes for t in plan.tables)
    verdicts = Counter(_verdict(table).partition(",")[0] for table in plan.tables)
    parts = [f"{numbers.count(verdicts[name])} {name}" for name in _ORDER if verdicts[name]]
    left_out = sum(len(table.left_out) for table in plan.tables)
    parts += [f"{numbers.plural(left_out, 'column')} left out (-N)"] if left_out else []
    parts += [f"{len(plan.unread)} not read"] if plan.unread else []
    whole = f"{numbers.plural(tables, 'table')}, {numbers.plural(rows, 'row')}, {numbers.size(size)} in PostgreSQL"
    return f"{whole}: {', '.join(parts)}"


def _of_source(plan: Plan, severity: Severity, *, label: str, style: str) -> Iterator[RenderableType]:
    for finding in plan.findings:
        if finding.severity is severity:
            yield Text()
            yield hanging(Text(f"{label}  ", style=style), f"{finding.subject}: {finding.message}")
            if finding.advice:
                yield hanging(" " * (len(label) + 2), finding.advice, style="italic")


def _group(group: FindingGroup, *, label: str, style: str) -> Iterator[RenderableType]:
    lead, indent = Text(f"{label}  ", style=style), " " * (len(label) + 2)
    finding, many = group.first, len(group.tables) > 1
    who = f"{numbers.plural(len(group.tables), 'table')}: {_named(group.tables)}" if many else group.tables[0]
    yield hanging(lead, Text(who, style="bold"))
    subject = "" if finding.subject in finding.message or finding.subject == group.tables[0] else f"{finding.subject}: "
    first = f"{group.tables[0]}: " if many else ""
    yield hanging(indent, f"{first}{subject}{finding.message}")
    if finding.advice:
        yield hanging(indent, finding.advice, style="italic")
    if group.findings > len(group.tables):
        yield hanging(indent, f"{numbers.count(group.findings)} times in all", style="dim")


def _named(tables: Sequence[str]) -> str:
    more = f" and {numbers.count(len(tables) - _NAMED)} more" if len(tables) > _NAMED else ""
    return ", ".join(visible(name) for name in tables[:_NAMED]) + more
