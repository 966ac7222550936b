"""What a repair did, on a screen: a line for each table that something is to be said of, and how both sides are now."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli.tables import hanging
from gridferry.model import coverage_words
from gridferry.model.coverage import total
from gridferry.model.repair import RepairReport, TableRepair
from gridferry.model.verification import Verdict

MOST_TABLES = 8  # of more only those are shown of which something is to be said


def repair_lines(report: RepairReport) -> Iterator[RenderableType]:
    """What a repair did, and whether both sides are equal now."""
    remarks = {table.table: tuple(coverage_words.remarks(table.coverage)) for table in report.standing}
    shown = report.tables
    if len(shown) > MOST_TABLES:
        shown = tuple(one for one in shown if one.run or one.moved or one.refused)
    for one in shown:
        yield _repair_line(one)
        for remark in remarks[one.table]:
            yield hanging("  ", remark, style="yellow")
        if one.created:
            yield hanging("  ", f"containers made: {', '.join(one.created)}")
        if one.emptied:
            yield hanging("  ", f"containers that are empty now, and stay: {', '.join(one.emptied)}")
        for key in one.skipped:
            yield hanging("  ", f"left alone: {key}", style="yellow")
    if len(shown) < len(report.tables):
        rest = len(report.tables) - len(shown)
        yield Text(f"{numbers.plural(rest, 'other table' if shown else 'table')}: nothing to repair", style="dim")
    yield Text()
    if len(report.tables) > 1 and report.run:
        repaired = sum(bool(one.run) for one in report.tables)
        of = f"{repaired} of {numbers.plural(len(report.tables), 'table')}"
        yield Text(f"{numbers.plural(report.rows, 'row')} repaired in {of}, run {report.run}")
    style = "bold green" if report.verdict is Verdict.EQUAL else "bold yellow"
    yield Text(_verdict(report), style=style)


def _verdict(report: RepairReport) -> str:
    """How both sides are now, in a sentence."""
    covered = total(table.coverage for table in report.standing)
    in_columns = f" in {coverage_words.columns(covered)}" if covered.left_out else ""
    if report.verdict is Verdict.EQUAL:
        return f"Both sides are equal now{in_columns}"
    if report.verdict is Verdict.UNSETTLED:
        if report.unsettled:
            return f"{numbers.plural(report.unsettled, 'row')} left alone: changes of them are not synced yet"
        return "Some rows changed meanwhile, and were left alone"
    if report.verdict is not Verdict.INCOMPLETE:
        return "Some differences are left"
    wrong = {failed.table for failed in report.failures} | set(report.not_tried)
    if report.verification.new:
        new = coverage_words.new_tables(report.verification.new)
        return f"What is loaded is equal now{in_columns}, but not all is: {new}"
    if report.verification.partly_left:
        return f"What was compared is equal now{in_columns}, and tables were left out"
    if wrong:
        return f"What was compared is equal now{in_columns}, but {numbers.plural(len(wrong), 'table')} failed"
    return f"What is stored is equal now{in_columns}, but not all is: {coverage_words.rows(covered)}"


def kinds_of(put: int, replaced: int, deleted: int) -> str:
    """How many rows were changed in which way: `2 put, 1 deleted`; "" for none."""
    kinds = (("put", put), ("replaced", replaced), ("deleted", deleted))
    return ", ".join(f"{numbers.count(n)} {kind}" for kind, n in kinds if n)


def _repair_line(one: TableRepair) -> Text:
    line = Text.assemble((one.table, "bold"), ": ")
    if not one.run:
        line.append("nothing was repaired", style="green" if not one.refused and not one.moved else "yellow")
    else:
        line.append(f"{numbers.plural(one.rows, 'row')} repaired", style="green")
        line.append(f" ({kinds_of(one.put, one.replaced, one.deleted)})")
        line.append(f", {numbers.count(one.confirmed)} re-read and confirmed, {numbers.duration(one.seconds)}")
        line.append(f", run {one.run}", style="dim")
    left = ((one.moved, "changed meanwhile"), (one.refused, "refused: several source rows share a key"))
    for count, why in left:
        if count:
            line.append(f", {numbers.plural(count, 'row')} {why}", style="yellow")
    return line
