"""A report of a verification as commands show it: `verify`, and `load` and `sync` where the config asks for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from gridferry import numbers
from gridferry.cli.output import Output, plain

QUARANTINED_EXIT_CODE = 1

if TYPE_CHECKING:
    from gridferry.model.coverage import Coverage
    from gridferry.model.verification import TableVerification, VerifyReport


def show_verified(
    output: Output, report: VerifyReport, *, again: str, fails: bool, accept_quarantined: bool = False
) -> None:
    """Print a report for people, and the next step. `again` are the options that the next command needs.

    Args: accept_quarantined: rows in the quarantine are told, and do not fail the command.
    Raises: typer.Exit with the report's exit code, if it `fails` the command.
    """
    from gridferry.cli.verify_view import report_view
    from gridferry.model.coverage_words import QUARANTINE_STEP
    from gridferry.model.verification import Verdict

    output.show(*report_view(report))
    if report.verdict is Verdict.DIFFERENT:
        output.note(f"\nNext: gridferry verify --repair{again} writes exactly the rows that differ", style="bold")
    elif report.verdict is Verdict.INCOMPLETE:
        output.note(f"\nNext: {QUARANTINE_STEP}", style="bold")
    elif report.verdict is Verdict.UNSETTLED:
        output.note(f"\nNext: gridferry verify --sync{again}, or run it again after the next sync", style="bold")
    if fails and not (accept_quarantined and report.verdict is Verdict.INCOMPLETE):
        raise typer.Exit(report.exit_code)


def verified_document(report: VerifyReport | None) -> dict[str, Any]:
    """`{"verified": {...}}`, or nothing."""
    return {} if report is None else {"verified": report_document(report)}


def report_document(report: VerifyReport) -> dict[str, Any]:
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
        "tables": tables,
    }


def coverage_document(covered: Coverage) -> dict[str, Any]:
    """How much of a table is in the target: columns and rows, and those that are not."""
    return {**plain(covered), "compared": covered.compared}


def _table_document(table: TableVerification) -> dict[str, Any]:
    fields: dict[str, Any] = plain(table)
    del fields["covered"]
    more = {"differences": table.differences, "rows_per_second": round(table.rows_per_second)}
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
