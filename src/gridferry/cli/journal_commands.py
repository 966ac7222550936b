"""`undo` and `repairs`: what the journal of repairs is for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli import opening
from gridferry.cli.options import DEFAULT_CONFIG, ConfigFile, Tables, Wait, chosen
from gridferry.cli.output import Output, plain
from gridferry.cli.repair_command import INTERRUPTED, kinds_of
from gridferry.cli.table_outcomes import warnings
from gridferry.cli.tables import hanging
from gridferry.model.moment import shown

if TYPE_CHECKING:
    from gridferry.model.repair import RepairStatus, TableUndo


def undo(
    output: Output,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The repair; `gridferry repairs` lists them.")],
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    wait: Wait = 0.0,
) -> None:
    """Store the rows from before a repair again. Exit code 1 if some were kept, since somebody changed them.

    Changes: rows and state in GridDB; nothing in PostgreSQL.
    """
    output.interrupted = INTERRUPTED
    with (
        opening.open_migration(config, listener=warnings(output)) as migration,
        output.waiting("bringing rows back"),
    ):
        undone = migration.repairs.undo(run, chosen(table), wait_s=wait)
    _show_undo(output, undone)


def repairs(output: Output, config: ConfigFile = DEFAULT_CONFIG, table: Tables = None) -> None:
    """List the repairs. Run, when, by whom, how many rows, and whether it was interrupted.

    Changes nothing.
    """
    with opening.open_migration(config, listener=warnings(output)) as migration, output.waiting("asking GridDB"):
        found = migration.repairs.all(chosen(table))
    _show_repairs(output, found)


def _show_undo(output: Output, undone: TableUndo) -> None:
    output.document(lambda: plain(undone) | {"exit_code": undone.exit_code})
    line = Text.assemble((undone.table, "bold"), f": {numbers.plural(undone.restored, 'row')} brought back")
    if undone.already:
        line.append(f", {numbers.plural(undone.already, 'row')} already as before")
    if undone.kept:
        line.append(f", {numbers.plural(undone.kept, 'row')} kept: changed since the repair", style="yellow")
    output.show(line, *(hanging("  ", f"kept: {key}", style="yellow") for key in undone.changed))
    if undone.exit_code:
        raise typer.Exit(undone.exit_code)


def _show_repairs(output: Output, found: list[RepairStatus]) -> None:
    output.document(
        lambda: {"runs": [plain(one.record) | {"rows": one.record.rows, "note": one.note} for one in found]}
    )
    if not found:
        output.show(Text("There was no repair, or its journal was forgotten."))
        return
    for status in found:
        output.show(*_status_lines(status))


def _status_lines(status: RepairStatus) -> Iterator[RenderableType]:
    """A repair in lines, not in a table: on a narrow terminal a column would break the run, which `undo` is given."""
    record = status.record
    kinds = kinds_of(record.put, record.replaced, record.deleted)
    rows = f"{numbers.plural(record.rows, 'row')} ({kinds})" if kinds else "no row"
    yield Text.assemble((record.run, "bold"), f": {record.table}, {rows}, {record.state.value}")
    yield hanging("  ", f"{shown(record.started)} UTC, by {record.by}", style="dim")
    if status.note:
        yield hanging("  ", status.note, style="yellow")
