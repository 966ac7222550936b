"""`cutover`: may the application be pointed at GridDB?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli import opening
from gridferry.cli.options import DEFAULT_CONFIG, ConfigFile, Tables, chosen
from gridferry.cli.output import Output, plain
from gridferry.cli.table_outcomes import kept_going, show_failed, tables_document, warnings
from gridferry.cli.tables import hanging

if TYPE_CHECKING:
    from gridferry.model.cutover import CutoverReport, TableCutover
    from gridferry.model.failed_tables import SomeTablesFailed

MOST_TABLES = 8  # of more only those are shown of which something is missing
MOST_BLOCKED = 50
_LABELS = {"quiet": "no writes", "sessions": "no open changes", "slot": "slot healthy"}


def cutover(
    output: Output,
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    wait: Annotated[
        float,
        typer.Option("--wait", min=0.0, metavar="SECONDS", help="How long to wait for another run, or a running sync."),
    ] = 0.0,
    accept_excluded: Annotated[
        bool,
        typer.Option("--accept-excluded", help="Columns that are not in GridDB are not needed: do not ask why."),
    ] = False,
    accept_quarantined: Annotated[
        bool, typer.Option("--accept-quarantined", help="Rows in the quarantine are not needed in the containers.")
    ] = False,
) -> None:
    """Store what is left, verify, and say READY or what is missing. Of all tables; exit code 0 ready, 1 not.

    Changes: as `sync`, and the stored verdict; nothing in the application.
    """
    from gridferry.model.cutover import Accepted

    output.interrupted = "Interrupted. Nothing was changed but what a sync stores."
    with (
        opening.open_migration(config, listener=warnings(output)) as migration,
        output.waiting("storing what is left, and comparing both sides"),
    ):
        accepted = Accepted(columns=accept_excluded, quarantined=accept_quarantined)
        report, failed = kept_going(lambda: migration.cutover(chosen(table), wait_s=wait, accepted=accepted))
    output.document(lambda: _document(report, failed))
    output.show(*_view(report))
    show_failed(output, failed)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _document(report: CutoverReport, failed: SomeTablesFailed | None) -> dict[str, object]:
    from gridferry.cli.verified import coverage_document

    tables = [
        plain(table) | {"outcome": "checked", "ready": table.ready, "coverage": coverage_document(table.coverage)}
        for table in report.tables
    ]
    found = {
        "ready": report.ready,
        "started": report.started,
        "seconds": report.seconds,
        "log_end": report.log_end,
        "snapshots": [{"at": at, "lsn": lsn} for at, lsn in report.snapshots],
    }
    coverage = {"coverage": coverage_document(report.coverage), "others": list(report.others), "new": list(report.new)}
    left = {
        "left_out": list(report.left_out),
        "removed": list(report.removed),
        "not_asked_for": list(report.unasked),
    }
    return found | tables_document(tables, failed) | coverage | left


def _view(report: CutoverReport) -> Iterator[RenderableType]:
    from gridferry.model import coverage_words

    shown = report.tables
    if len(shown) > MOST_TABLES:
        shown = tuple(table for table in shown if not table.ready)
    for table in shown:
        yield from _table(table)
        yield Text()
    if len(shown) < len(report.tables):
        others = numbers.plural(len(report.tables) - len(shown), "other table" if shown else "table")
        yield Text(f"{others}: nothing is missing; --json has each", style="dim")
        yield Text()
    if report.others:
        yield Text(f"{coverage_words.other_tables(report.others)}.", style="yellow")
    if report.new:
        yield Text(f"{coverage_words.new_tables(report.new)}. Next: gridferry load", style="bold yellow")
    for left in report.left_out:
        yield Text(f"left out: {left}", style="bold yellow")
    if report.removed:
        yield Text(f"removed, not looked at: {', '.join(report.removed)}", style="yellow")
    yield from _ready(report) if report.ready else _not_ready(report)


def _ready(report: CutoverReport) -> Iterator[RenderableType]:
    from gridferry.model import coverage_words
    from gridferry.model.database_verdict import snapshots_words

    covered = report.coverage
    rows = coverage_words.rows(covered, otherwise=sum(table.rows for table in report.tables))
    what = f"{rows}, {coverage_words.columns(covered)}: equal" if covered.left_out else f"{rows} are equal"
    if coverage_words.has_gaps(covered):
        columns = f", {coverage_words.columns(covered)}" if covered.left_out else ""
        what = f"what is stored is equal ({rows}{columns})"
    if len(report.tables) > 1:
        tables = numbers.plural(len(report.tables), "table")
        what = f"the whole database as of {snapshots_words(report.snapshots)}: {tables}, {what}"
    yield Text.assemble(("READY", "bold green"), f": {what}, and nothing was written meanwhile.")
    for table in report.tables:
        for accepted in table.accepted:
            yield hanging("accepted: ", f"{table.table}: {accepted}", style="yellow")
    yield Text("Point the application at GridDB now. When it runs, `gridferry drop-slot` leaves PostgreSQL clean.")


def _not_ready(report: CutoverReport) -> Iterator[RenderableType]:
    """That the database is not ready, and what of each table is missing, in a word."""
    yield Text.assemble(("NOT READY", "bold yellow"), f": {'; '.join(_missing(report))}.")
    wrong = [table for table in report.tables if not table.ready]
    for table in wrong[:MOST_BLOCKED] if len(report.tables) > 1 else ():
        names = ", ".join(_LABELS.get(check.name, check.name) for check in table.checks if not check.ok)
        yield hanging("  ", f"{table.table}: {names}")
    if len(wrong) > MOST_BLOCKED:
        yield Text(f"  and {numbers.plural(len(wrong) - MOST_BLOCKED, 'more table')}; --json has each")
    if report.unasked:
        yield Text("Next: gridferry cutover without --table, which looks at all tables of the config.", style="bold")


def _missing(report: CutoverReport) -> Iterator[str]:
    """What a cut-over still needs, in short."""
    missing = sum(not check.ok for table in report.tables for check in table.checks)
    wrong = sum(not table.ready for table in report.tables)
    if missing:
        where = f" in {wrong} of {numbers.plural(len(report.tables), 'table')}" if len(report.tables) > 1 else ""
        yield f"{numbers.plural(missing, 'thing')} missing{where}, see above"
    elif report.removed and not report.tables:
        yield f"no table is left: {numbers.plural(len(report.removed), 'table')} removed"
    if report.new:
        yield f"{numbers.plural(len(report.new), 'table')} not loaded"
    if report.left_out:
        yield f"{numbers.plural(len(report.left_out), 'table')} left out"
    if report.unasked:
        yield f"{numbers.plural(len(report.unasked), 'table')} of the config not looked at"
    if report.failures or report.not_tried:
        yield f"{numbers.plural(len(report.failures) + len(report.not_tried), 'table')} could not be checked"


def _table(table: TableCutover) -> Iterator[RenderableType]:
    yield Text.assemble((table.table, "bold"), f", mode {table.mode}" if table.mode else ", not followed")
    for check in table.checks:
        mark = Text("  ok       ", style="green") if check.ok else Text("  missing  ", style="bold yellow")
        yield hanging(mark, f"{_LABELS.get(check.name, check.name)}: {check.detail}")
        if check.next_step:
            yield hanging("           ", f"next: {check.next_step}", style="bold")
    for line in table.info:
        yield hanging("  note     ", line, style="dim")
