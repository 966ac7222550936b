"""`repair`: exactly the rows that differ, made equal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

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
from gridferry.cli.verified import end_with_verdict, report_document

if TYPE_CHECKING:
    from gridferry.model.failed_tables import SomeTablesFailed
    from gridferry.model.repair import RepairReport

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
    from gridferry.cli.repair_view import repair_lines
    from gridferry.cli.verify_view import report_view
    from gridferry.model.verification import STORED_ARE_EQUAL

    output.document(lambda: repair_document(report, failed))
    if any(t.verdict not in STORED_ARE_EQUAL for t in report.verification.tables):
        output.show(*report_view(report.verification), Text())
    if report.tables:
        output.show(*repair_lines(report))
    show_failed(output, failed)
    again = repeated(config, table)
    undoing = f"\nTo bring the old rows back: gridferry undo {report.run}{repeated(config, None)}" if report.run else ""
    if failed:  # each failed table has its own next step
        output.note(undoing, style="bold")
    else:
        output.note(_next_step(report, again) or undoing, style="bold")


def _next_step(report: RepairReport, again: str) -> str:
    """What is to be done after a repair that did not fail; "" where all is equal."""
    from gridferry.model.coverage_words import QUARANTINE_STEP
    from gridferry.model.verification import Verdict

    if report.verdict is Verdict.INCOMPLETE and report.verification.new:
        return "\nNext: gridferry load, which takes what is new"
    if report.verdict is Verdict.INCOMPLETE and report.verification.partly_left:
        return "\nNext: gridferry status, which says what brings the tables back"
    if report.verdict is Verdict.INCOMPLETE:
        return f"\nNext: {QUARANTINE_STEP}"
    if report.unsettled:
        return f"\nNext: gridferry repair --sync{again}, which syncs what is left first"
    return f"\nNext: gridferry repair{again} once more, for what is left" if report.verdict is not Verdict.EQUAL else ""


def repair_document(report: RepairReport, failed: SomeTablesFailed | None = None) -> dict[str, Any]:
    """A repair as JSON."""
    return {
        "verdict": report.verdict.value,
        "exit_code": report.exit_code,
        "run": report.run,
        "rows": report.rows,
        "verification": report_document(report.verification),
        "after": None if report.after is None else report_document(report.after),
        "repairs": [plain(one) | {"rows": one.rows} for one in report.tables] + failed_documents(failed),
        "summary": summary_document([plain(one) for one in report.tables], failed),
    }
