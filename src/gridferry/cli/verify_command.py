"""`verify`: both sides compared by value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gridferry.cli import opening
from gridferry.cli.load_commands import repeated
from gridferry.cli.options import DEFAULT_CONFIG, AcceptQuarantined, ConfigFile, Tables, chosen
from gridferry.cli.output import Output
from gridferry.cli.repair_command import INTERRUPTED, RepairOptions, show_repair
from gridferry.cli.table_outcomes import code_of, kept_going, show_failed, telling
from gridferry.cli.verified import report_document, show_verified, verdict_code

if TYPE_CHECKING:
    from gridferry.engine.events import Event, Listener
    from gridferry.model.failed_tables import SomeTablesFailed
    from gridferry.model.verification import Verdict


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
    repair: Annotated[
        bool, typer.Option("--repair", help="Then write and delete exactly the rows that differ; can be undone.")
    ] = False,
    wait: Annotated[
        float,
        typer.Option("--wait", min=0.0, metavar="SECONDS", help="With --repair, --undo: wait for another run to end."),
    ] = 0.0,
    undo: Annotated[
        str | None,
        typer.Option("--undo", metavar="RUN", help="Store again the rows from before a repair; do not verify."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, max=256, help="How many read and compare at the same time."),
    ] = None,
    runs: Annotated[bool, typer.Option("--runs", help="List the repairs; verify nothing.")] = False,
    forget: Annotated[
        str | None,
        typer.Option("--forget", metavar="RUN|AGE", help="Delete a repair's journal, or those older than 30d."),
    ] = None,
    accept_quarantined: AcceptQuarantined = False,
) -> None:
    """Compare every value of both sides. Exit code 0 equal, 1 different or rows in quarantine, 75 not yet synced."""
    from gridferry.engine.workers import at_most

    asked = RepairOptions(repair, undo, runs, forget, wait)
    asked.check(quick=quick, output=file)
    if asked.verifies_nothing:
        asked.answer(output, config, table, listener=warnings(output))
        return
    if repair:
        output.interrupted = INTERRUPTED
        with (
            at_most(workers),
            opening.open_migration(config, listener=warnings(output)) as migration,
            output.waiting("repairing"),
        ):
            done, failed = kept_going(
                lambda: migration.repairs.make(
                    chosen(table),
                    wait_s=wait,
                    output=file,
                    settle_s=settle,
                    sync=sync,
                    most_differences=most_differences,
                )
            )
        show_repair(output, done, failed, config=config, table=table)
        _end(failed, done.verdict, accept_quarantined=accept_quarantined)
        return
    with (
        at_most(workers),
        opening.open_migration(config, listener=warnings(output)) as migration,
        output.waiting("comparing both sides"),
    ):
        report, failed = kept_going(
            lambda: migration.verify(
                chosen(table), quick=quick, output=file, settle_s=settle, sync=sync, most_differences=most_differences
            )
        )
    output.document(lambda: report_document(report, failed))
    show_verified(output, report, again=repeated(config, table))
    show_failed(output, failed)
    _end(failed, report.verdict, accept_quarantined=accept_quarantined)


def _end(failed: SomeTablesFailed | None, verdict: Verdict, *, accept_quarantined: bool) -> None:
    """Raises: typer.Exit with the worst exit code of the tables, unless it is 0."""
    code = code_of(failed, codes=[verdict_code(verdict, accept_quarantined=accept_quarantined)])
    if code:
        raise typer.Exit(code)


def warnings(output: Output) -> Listener:
    """A listener that shows warnings only."""
    from gridferry.engine.events import Note

    def hear(event: Event) -> None:
        if isinstance(event, Note) and event.level == "warning":
            output.warn(f"{event.table}: {event.message}")

    return telling(output, hear)
