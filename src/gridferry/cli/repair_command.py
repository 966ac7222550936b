"""`repair`: exactly the rows that differ, made equal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli import opening
from gridferry.cli.load_commands import repeated
from gridferry.cli.options import (
    DEFAULT_CONFIG,
    AcceptQuarantined,
    ComparingWorkers,
    ConfigFile,
    DifferencesFile,
    MostDifferences,
    Settle,
    SyncBetween,
    Tables,
    Wait,
    chosen,
)
from gridferry.cli.output import Output, plain
from gridferry.cli.table_outcomes import failed_documents, kept_going, show_failed, summary_document, warnings
from gridferry.cli.tables import hanging
from gridferry.cli.verified import end_with_verdict, report_document

if TYPE_CHECKING:
    from gridferry.model.failed_tables import SomeTablesFailed
    from gridferry.model.repair import RepairReport, TableRepair

INTERRUPTED = "Interrupted. What was written is in the journal: run the same command again, or see `gridferry repairs`."


def repair(
    output: Output,
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    file: DifferencesFile = None,
    most_differences: MostDifferences = 10,
    settle: Settle = None,
    sync: SyncBetween = False,
    wait: Wait = 0.0,
    workers: ComparingWorkers = None,
    accept_quarantined: AcceptQuarantined = False,
) -> None:
    """Verify, then write and delete exactly the rows that differ. `undo` brings them back.

    Exit code 0 equal now, 1 differences or rows in quarantine are left, 75 run it again.

    Changes: rows and state in GridDB; nothing in PostgreSQL without --sync.
    """
    from gridferry.engine.workers import at_most

    output.interrupted = INTERRUPTED
    with (
        at_most(workers),
        opening.open_migration(config, listener=warnings(output)) as migration,
        output.waiting("repairing"),
    ):
        done, failed = kept_going(
            lambda: migration.repairs.repair(
                chosen(table),
                wait_s=wait,
                output=file,
                settle_s=settle,
                sync=sync,
                most_differences=most_differences,
            )
        )
    _show(output, done, failed, config=config, table=table)
    end_with_verdict(failed, done.verdict, accept_quarantined=accept_quarantined and not done.verification.partly_left)


def _show(
    output: Output,
    report: RepairReport,
    failed: SomeTablesFailed | None = None,
    *,
    config: Path,
    table: list[str] | None,
) -> None:
    """Print what a verification found and a repair did, and the next step."""
    from gridferry.cli.verify_view import report_view
    from gridferry.model.coverage_words import QUARANTINE_STEP
    from gridferry.model.verification import STORED_ARE_EQUAL, Verdict

    output.document(lambda: repair_document(report, failed))
    if any(t.verdict not in STORED_ARE_EQUAL for t in report.verification.tables):
        output.show(*report_view(report.verification), Text())
    if report.tables:
        output.show(*repair_lines(report))
    show_failed(output, failed)
    again = repeated(config, table)
    runs = [one.run for one in report.tables if one.run]
    if failed:
        return  # each failed table has its own next step
    if report.verdict is Verdict.INCOMPLETE and report.verification.new:
        output.note("\nNext: gridferry load, which takes what is new", style="bold")
    elif report.verdict is Verdict.INCOMPLETE and report.verification.partly_left:
        output.note("\nNext: gridferry status, which says what brings the tables back", style="bold")
    elif report.verdict is Verdict.INCOMPLETE:
        output.note(f"\nNext: {QUARANTINE_STEP}", style="bold")
    elif report.unsettled:
        output.note(f"\nNext: gridferry repair --sync{again}, which syncs what is left first", style="bold")
    elif report.verdict is not Verdict.EQUAL:
        output.note(f"\nNext: gridferry repair{again} once more, for what is left", style="bold")
    elif runs:
        undoing = [f"gridferry undo {run}{repeated(config, None)}" for run in runs]
        output.note("\n".join(["", f"To bring the old rows back: {undoing[0]}", *undoing[1:]]), style="bold")


def repair_document(report: RepairReport, failed: SomeTablesFailed | None = None) -> dict[str, Any]:
    """A repair as JSON."""
    return {
        "verdict": report.verdict.value,
        "exit_code": report.exit_code,
        "verification": report_document(report.verification),
        "after": None if report.after is None else report_document(report.after),
        "repairs": [plain(one) | {"rows": one.rows} for one in report.tables] + failed_documents(failed),
        "summary": summary_document([plain(one) for one in report.tables], failed),
    }


def repair_lines(report: RepairReport) -> Iterator[RenderableType]:
    """What a repair did, and whether both sides are equal now."""
    from gridferry.model import coverage_words
    from gridferry.model.coverage import total as total_coverage

    remarks = {table.table: tuple(coverage_words.remarks(table.coverage)) for table in report.standing}
    covered = total_coverage(table.coverage for table in report.standing)
    for one in report.tables:
        yield _repair_line(one)
        for remark in remarks[one.table]:
            yield hanging("  ", remark, style="yellow")
        if one.created:
            yield hanging("  ", f"containers made: {', '.join(one.created)}")
        if one.emptied:
            yield hanging("  ", f"containers that are empty now, and stay: {', '.join(one.emptied)}")
        for key in one.skipped:
            yield hanging("  ", f"left alone: {key}", style="yellow")
    yield Text()
    in_columns = f" in {coverage_words.columns(covered)}" if covered.left_out else ""
    words = {
        "equal": f"Both sides are equal now{in_columns}",
        "incomplete": f"What is stored is equal now{in_columns}, but not all is: {coverage_words.rows(covered)}",
        "unsettled": "Some rows changed meanwhile, and were left alone",
    }
    if report.verification.new:
        new = coverage_words.new_tables(report.verification.new)
        words["incomplete"] = f"What is loaded is equal now{in_columns}, but not all is: {new}"
    elif report.verification.partly_left:
        words["incomplete"] = f"What was compared is equal now{in_columns}, and tables were left out"
    if report.unsettled:
        waiting = f"{numbers.plural(report.unsettled, 'row')} left alone: changes of them are not synced yet"
        words["unsettled"] = waiting
    said = words.get(report.verdict.value, "Some differences are left")
    yield Text(said, style="bold green" if report.verdict.value == "equal" else "bold yellow")


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
