"""A report of a verification as commands show it: `verify`, and `load` and `sync` where the config asks for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from gridferry import numbers
from gridferry.cli.failures import failure_document
from gridferry.cli.output import Output, plain
from gridferry.cli.table_outcomes import code_of, kept_going, show_failed, tables_document
from gridferry.errors import FerryError
from gridferry.model.failed_tables import SomeTablesFailed

QUARANTINED_EXIT_CODE = 1

if TYPE_CHECKING:
    from gridferry.engine.migration import Migration
    from gridferry.model.coverage import Coverage
    from gridferry.model.verification import TableVerification, Verdict, VerifyReport


@dataclass(frozen=True)
class Wished:
    """The verification that the config asks for after a load or sync: its report, and why some or all of it failed."""

    report: VerifyReport | None = None
    error: FerryError | None = None

    @classmethod
    def of(
        cls, migration: Migration, tables: Sequence[str], failed: SomeTablesFailed | None, *, synced: bool
    ) -> Wished:
        """Verify the tables that did not fail, if the config asks for it."""
        without = [] if failed is None else [*(each.table for each in failed.failures), *failed.not_tried]
        try:
            report, error = kept_going(
                lambda: migration.verifications.verify_as_configured(tables, synced=synced, without=without)
            )
        except FerryError as other:
            return cls(None, other)
        return cls(report, error)

    @property
    def document(self) -> dict[str, Any]:
        """`{"verified": {...}}`, or nothing; where there is no report, with the error."""
        if self.report is None:
            return {} if self.error is None else {"verified": failure_document(self.error)}
        failed = self.error if isinstance(self.error, SomeTablesFailed) else None
        return {"verified": report_document(self.report, failed)}


def end_with_verified(
    output: Output, wished: Wished, failed: SomeTablesFailed | None, *, again: str, codes: Sequence[int]
) -> None:
    """Print the verification after a load or sync, then what failed. Raises: typer.Exit with the worst exit code."""
    if wished.report is not None:
        show_verified(output, wished.report, again=again)
    show_failed(output, failed, wished.error)
    code = code_of(failed, wished.error, codes=codes)
    if code:
        raise typer.Exit(code)


def show_verified(output: Output, report: VerifyReport, *, again: str) -> None:
    """Print a report for people, and the next step. `again` are the options that the next command needs."""
    from gridferry.cli.verify_view import report_view
    from gridferry.model.coverage_words import QUARANTINE_STEP
    from gridferry.model.verification import Verdict

    if not report.tables and not report.missing:
        return
    output.show(*report_view(report))
    if report.verdict is Verdict.DIFFERENT:
        output.note(f"\nNext: gridferry repair{again} writes exactly the rows that differ", style="bold")
    elif report.verdict is Verdict.INCOMPLETE and report.coverage.quarantined:
        output.note(f"\nNext: {QUARANTINE_STEP}", style="bold")
    elif report.verdict is Verdict.UNSETTLED:
        output.note(f"\nNext: gridferry verify --sync{again}, or run it again after the next sync", style="bold")


def verdict_code(report: VerifyReport, *, accept_quarantined: bool) -> int:
    """The exit code of a verdict; 0 where all that is missing is in the quarantine, and that is accepted."""
    accepted = accept_quarantined and not report.partly_left
    return _verdict_code(report.verdict, accept_quarantined=accepted)


def _verdict_code(verdict: Verdict, *, accept_quarantined: bool) -> int:
    from gridferry.model.verification import EXIT_CODES, Verdict

    return 0 if accept_quarantined and verdict is Verdict.INCOMPLETE else EXIT_CODES[verdict]


def end_with_verdict(failed: SomeTablesFailed | None, verdict: Verdict, *, accept_quarantined: bool) -> None:
    """Raises: typer.Exit with the worst exit code of the tables, unless it is 0."""
    code = code_of(failed, codes=[_verdict_code(verdict, accept_quarantined=accept_quarantined)])
    if code:
        raise typer.Exit(code)


def report_document(report: VerifyReport, failed: SomeTablesFailed | None = None) -> dict[str, Any]:
    """A report as JSON, with what follows from it."""
    from gridferry.model.verdict_words import sentence

    found = {"verdict": report.verdict.value, "exit_code": report.exit_code, "differences": report.differences}
    tables = [_table_document(table) for table in report.tables]
    return found | {
        "headline": sentence(report),
        "coverage": coverage_document(report.coverage),
        "started": report.started,
        "seconds": report.seconds,
        "output": report.output,
        "new": list(report.new),
        "left_out": list(report.left_out),
        "removed": list(report.removed),
        "others": list(report.others),
        "not_asked_for": list(report.unasked),
        "snapshots": [{"at": at, "lsn": lsn} for at, lsn in report.snapshots],
        **tables_document(tables, failed),
    }


def coverage_document(covered: Coverage) -> dict[str, Any]:
    """How much of a table is in the target: columns and rows, and those that are not."""
    return {**plain(covered), "compared": covered.compared}


def _table_document(table: TableVerification) -> dict[str, Any]:
    fields: dict[str, Any] = plain(table)
    del fields["covered"]
    more = {"outcome": "compared", "differences": table.differences, "rows_per_second": round(table.rows_per_second)}
    return fields | more | {"coverage": coverage_document(table.coverage)}


def quarantine_code(output: Output, covered: Sequence[Coverage], *, accepted: bool) -> int:
    """The exit code of a load or sync that went well: 1 while rows of its tables are in the quarantine, else 0.

    Says so, and what to do; not where the user has `accepted` it.
    """
    from gridferry.model.coverage_words import QUARANTINE_STEP

    held = sum(each.quarantined for each in covered)
    if not held or accepted:
        return 0
    rows = numbers.plural(held, "row")
    output.note(f"\n{rows} in quarantine, not in the containers: exit code 1. {QUARANTINE_STEP}.", style="bold yellow")
    return QUARANTINED_EXIT_CODE
