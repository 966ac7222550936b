"""A plan on a screen, and as a document for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli.output import plain
from gridferry.cli.tables import facts, listing
from gridferry.cli.verified import coverage_document
from gridferry.model import coverage_words

if TYPE_CHECKING:
    from gridferry.plan.plan import ColumnPlan, Finding, Plan, TablePlan, UnreadTable

FIRST_NAMES = 5
WIDE = 120  # columns of a screen on which every rule has room beside its column
_VERDICT_STYLES = {"exact": "green", "widened": "cyan", "text": "cyan", "lossy": "yellow", "refused": "bold red"}
_SEVERITIES = {"problem": ("problem", "bold red"), "risk": ("risk", "yellow"), "info": ("note", "dim")}
_SHORT_TYPES = {
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "character varying": "varchar",
}


def plan_view(plan: Plan, *, width: int) -> Iterator[RenderableType]:
    """What becomes what, table by table, in at most `width` columns."""
    yield facts([("from", Text(f"PostgreSQL {plan.source}")), ("to", Text(plan.target))])
    if plan.findings:
        yield Text()
        yield facts(_findings(plan.findings))
    for table in plan.tables:
        yield Text()
        yield from _table_view(table, wide=width >= WIDE)
    for unread in plan.unread:
        yield Text()
        yield Text.assemble((unread.table, "bold"), " cannot be read")
        yield facts([(Text("problem", style="bold red"), _sentence(unread.finding))], indent=2)
    if plan.others:
        yield Text()
        yield Text(f"{coverage_words.other_tables(plan.others)}.", style="dim")


def _table_view(table: TablePlan, *, wide: bool) -> Iterator[RenderableType]:
    kind = table.kind.name
    becomes = f"a {kind}" if len(table.containers) == 1 else f"{len(table.containers):,} {kind} containers"
    yield Text.assemble((table.qualified, "bold"), " becomes ", (becomes, "bold"))
    yield facts(_table_facts(table), indent=2)
    yield Text()
    yield _columns(table, wide=wide)
    if not wide:
        yield from _rules(table)
    if table.findings:
        yield Text()
        yield facts(_findings(table.findings), indent=2)


def _table_facts(table: TablePlan) -> Iterator[tuple[str, RenderableType]]:
    yield "rows", Text(f"{numbers.count(table.rows)}, {numbers.size(table.size_bytes)} in PostgreSQL")
    keys = ", ".join(f"{c.target.name} {c.target.label}" for c in table.columns[: table.key_length])
    yield "row key", Text(keys or "none")
    if table.split_by is not None:
        yield "one for each", Text(table.split_by)
    names = ", ".join(f"{c.name} ({numbers.count(c.rows)})" for c in table.containers[:FIRST_NAMES])
    more = len(table.containers) - FIRST_NAMES
    yield "containers", Text(names + (f" and {more:,} more" if more > 0 else ""))
    if table.where:
        yield "only rows", Text(table.where)
    if table.left_out:
        from gridferry.plan.coverage import coverage_of

        yield "columns", Text(coverage_words.columns(coverage_of(table)), style="yellow")


def _columns(table: TablePlan, *, wide: bool) -> RenderableType:
    headers = ["column", "PostgreSQL", "in GridDB", "type", "verdict"] + (["rule"] if wide else [])
    rows: list[list[RenderableType]] = []
    for column in table.columns:
        verdict = Text(column.verdict.value, style=_VERDICT_STYLES[column.verdict.value])
        cells: list[RenderableType] = [
            *_at_source(column), Text(column.target.name), Text(column.target.label)
        ]  # fmt: skip
        rows.append([*cells, verdict, *([Text(column.rule, style="dim")] if wide else [])])
    for left_out in table.left_out:
        rule = [Text(coverage_words.why(left_out), style="dim")] if wide else []
        type_ = _short_type(left_out.type)
        cells = [Text(left_out.name), Text(type_), Text("-"), Text("-")]
        rows.append([*cells, Text("left out", style="yellow"), *rule])
    return listing(headers, rows, indent=2)


def _at_source(column: ColumnPlan) -> tuple[Text, Text]:
    """The name and the type there; nothing of a column of a generated key."""
    from gridferry.plan.generated_key import is_generated

    if is_generated(column):
        return Text("-"), Text("-")
    return Text(column.source), Text(_short_type(column.pg_type))


def _rules(table: TablePlan) -> Iterator[RenderableType]:
    """The rules of columns that are not simply the same, each once."""
    groups: dict[tuple[str, str], list[ColumnPlan]] = {}
    for column in table.columns:
        if column.verdict.value != "exact":
            groups.setdefault((column.verdict.value, column.rule), []).append(column)
    if groups:
        yield Text()
    for (verdict, rule), columns in groups.items():
        names = ", ".join(c.source for c in columns)
        yield facts([(verdict, Text.assemble((names, "bold"), f": {rule}"))], indent=2)


def _findings(findings: Iterable[Finding]) -> Iterator[tuple[Text, RenderableType]]:
    found = list(findings)
    for severity, (label, style) in _SEVERITIES.items():
        for finding in found:
            if finding.severity.value == severity:
                yield Text(label, style=style), _sentence(finding)


def _sentence(finding: Finding) -> Text:
    text = Text.assemble((finding.subject, "bold"), f": {finding.message}")
    if finding.advice:
        text.append(f"\n{finding.advice}", style="italic")
    return text


def _short_type(name: str) -> str:
    for long, short in _SHORT_TYPES.items():
        name = name.replace(long, short)
    return name


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan with names in place of the wire's numbers; `sound` says whether it can be loaded."""
    return {
        "source": plan.source,
        "target": plan.target,
        "sound": not plan.problems,
        "findings": plain(plan.findings),
        "tables": [*(_table_document(t) for t in plan.tables), *(_unread_document(u) for u in plan.unread)],
        "others": list(plan.others),
    }


def _table_document(table: TablePlan) -> dict[str, Any]:
    from gridferry.plan.coverage import coverage_of

    return {
        "table": table.qualified,
        "sound": not table.problems,
        "kind": table.kind.name,
        "row_key": [c.target.name for c in table.columns[: table.key_length]],
        "split_by": table.split_by,
        "where": table.where,
        "rows": table.rows,
        "size_bytes": table.size_bytes,
        "colliding_rows": table.colliding,
        "on_duplicate": table.on_duplicate.value,
        "on_bad_row": table.on_bad_row.value,
        "containers": plain(table.containers),
        "columns": [
            {
                "source": c.source,
                "pg_type": c.pg_type,
                "target": c.target.name,
                "type": c.target.label,
                "nullable": c.target.nullable,
                "verdict": c.verdict.value,
                "rule": c.rule,
            }
            for c in table.columns
        ],
        "findings": plain(table.findings),
        "coverage": coverage_document(coverage_of(table)),
    }


def _unread_document(unread: UnreadTable) -> dict[str, Any]:
    """As `_table_document`, of which only the finding is known."""
    lists: dict[str, Any] = {name: [] for name in ("row_key", "containers", "columns")}
    unknown = ("kind", "split_by", "where", "rows", "size_bytes", "colliding_rows", "on_duplicate", "on_bad_row")
    return {
        "table": unread.table,
        "sound": False,
        **dict.fromkeys(unknown),
        **lists,
        "findings": plain([unread.finding]),
    }
