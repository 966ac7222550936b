"""A report of a verification as commands show it: `verify`, and `load` and `sync` where the config asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from gridferry.cli.output import Output, plain

if TYPE_CHECKING:
    from gridferry.model.verification import VerifyReport


def show_verified(output: Output, report: VerifyReport, *, again: str, fails: bool) -> None:
    """Print a report for people, and the next step. `again` are the options that the next command needs.

    Raises: typer.Exit with the report's exit code, if it `fails` the command.
    """
    from gridferry.cli.verify_view import report_view
    from gridferry.model.verification import Verdict

    output.show(*report_view(report))
    if report.verdict is Verdict.DIFFERENT:
        output.note(f"\nNext: gridferry verify --repair{again} writes exactly the rows that differ", style="bold")
    elif report.verdict is Verdict.UNSETTLED:
        output.note(f"\nNext: gridferry verify --sync{again}, or run it again after the next sync", style="bold")
    if fails:
        raise typer.Exit(report.exit_code)


def verified_document(report: VerifyReport | None) -> dict[str, Any]:
    """`{"verified": {...}}`, or nothing."""
    return {} if report is None else {"verified": report_document(report)}


def report_document(report: VerifyReport) -> dict[str, Any]:
    """A report as JSON, with what follows from it."""
    tables = [
        plain(t) | {"differences": t.differences, "rows_per_second": round(t.rows_per_second)} for t in report.tables
    ]
    found = {"verdict": report.verdict.value, "exit_code": report.exit_code, "differences": report.differences}
    return found | {
        "started": report.started,
        "seconds": report.seconds,
        "output": report.output,
        "tables": tables,
    }
