"""`verify`: both sides compared by value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridferry.cli import opening
from gridferry.cli.load_commands import repeated
from gridferry.cli.options import DEFAULT_CONFIG, ConfigFile, Tables, chosen
from gridferry.cli.output import Output, plain

if TYPE_CHECKING:
    from gridferry.engine.events import Event, Listener
    from gridferry.model.verification import VerifyReport


def verify(
    output: Output,
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only rows, least and greatest key of each container; no values.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write every difference: FILE.parquet or FILE.jsonl."),
    ] = None,
    most_differences: Annotated[
        int, typer.Option("--max-differences", metavar="N", min=0, help="How many a table to show here.")
    ] = 10,
    settle: Annotated[
        float | None,
        typer.Option(
            "--settle",
            metavar="SECONDS",
            min=0.0,
            help="How long to look again at rows that differ while the table is synced.  [default: 60 while a sync "
            "runs, else 0]",
            show_default=False,
        ),
    ] = None,
    sync: Annotated[
        bool, typer.Option("--sync", help="Sync in between, where nobody else does, so that nothing is left to come.")
    ] = False,
) -> None:
    """Compare every value of both sides. Exit code 0 equal, 1 different, 75 not yet synced."""
    with opening.open_migration(config, listener=warnings(output)) as migration, output.waiting("comparing both sides"):
        report = migration.verify(
            chosen(table), quick=quick, output=file, settle_s=settle, sync=sync, most_differences=most_differences
        )
    show_report(output, report, config=config, table=table)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def show_report(output: Output, report: VerifyReport, *, config: Path, table: list[str] | None) -> None:
    """Print a report, and the next step."""
    from gridferry.cli.verify_view import report_view
    from gridferry.model.verification import Verdict

    output.document(lambda: report_document(report))
    output.show(*report_view(report))
    again = repeated(config, table)
    if report.verdict is Verdict.DIFFERENT:
        output.note(f"\nNext: gridferry load --replace{again} loads again from the start", style="bold")
    elif report.verdict is Verdict.UNSETTLED:
        output.note(f"\nNext: gridferry verify --sync{again}, or run it again after the next sync", style="bold")


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


def warnings(output: Output) -> Listener:
    """A listener that shows warnings only."""
    from gridferry.engine.events import Note

    def hear(event: Event) -> None:
        if isinstance(event, Note) and event.level == "warning":
            output.warn(f"{event.table}: {event.message}")

    return hear
