"""`undo` and `repairs`: what the journal of repairs is for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli import opening
from gridferry.cli.options import DEFAULT_CONFIG, ConfigFile, Tables, Wait, chosen
from gridferry.cli.output import Output, plain
from gridferry.cli.repair_command import INTERRUPTED
from gridferry.cli.table_outcomes import code_of, kept_going, show_failed, tables_document, warnings
from gridferry.cli.tables import hanging
from gridferry.model.moment import shown

if TYPE_CHECKING:
    from gridferry.model.failed_tables import SomeTablesFailed
    from gridferry.model.repair import RepairStatus, RepairUndo, TableUndo


def undo(
    output: Output,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The repair; `gridferry repairs` lists them.")],
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    wait: Wait = 0.0,
) -> None:
    """Store the rows from before a repair again, of all its tables. Exit code 1 if some were kept, since somebody
    changed them.

    Changes: rows and state in GridDB; nothing in PostgreSQL.
    """
    output.interrupted = INTERRUPTED
    with (
        opening.open_migration(config, listener=warnings(output)) as migration,
        output.waiting("bringing rows back"),
    ):
        undone, failed = kept_going(lambda: migration.repairs.undo(run, chosen(table), wait_s=wait))
    _show_undo(output, undone, failed)


def repairs(output: Output, config: ConfigFile = DEFAULT_CONFIG, table: Tables = None) -> None:
    """List the repairs. Run, when, by whom, how many rows, and whether it was interrupted.

    Changes nothing.
    """
    with opening.open_migration(config, listener=warnings(output)) as migration, output.waiting("asking GridDB"):
        found = migration.repairs.all(chosen(table))
    _show_repairs(output, found)


def _show_undo(output: Output, undone: RepairUndo, failed: SomeTablesFailed | None) -> None:
    output.document(lambda: _undo_document(undone, failed))
    for table in undone.tables:
        output.show(*_undo_lines(table))
    if len(undone.tables) > 1:
        rows = numbers.plural(undone.restored, "row")
        said = f"The repair {undone.run} is undone in {len(undone.tables)} tables: {rows} brought back"
        output.show(Text(said + (f", {numbers.count(undone.kept)} kept" if undone.kept else ""), style="bold"))
    show_failed(output, failed)
    code = code_of(failed, codes=[undone.exit_code])
    if code:
        raise typer.Exit(code)


def _undo_document(undone: RepairUndo, failed: SomeTablesFailed | None) -> dict[str, Any]:
    counts = {"restored": undone.restored, "already": undone.already, "kept": undone.kept}
    tables = [plain(table) | {"outcome": "undone", "exit_code": table.exit_code} for table in undone.tables]
    return {"run": undone.run, **counts, "exit_code": undone.exit_code, **tables_document(tables, failed)}


def _undo_lines(undone: TableUndo) -> Iterator[RenderableType]:
    line = Text.assemble((undone.table, "bold"), f": {numbers.plural(undone.restored, 'row')} brought back")
    if undone.already:
        line.append(f", {numbers.plural(undone.already, 'row')} already as before")
    if undone.kept:
        line.append(f", {numbers.plural(undone.kept, 'row')} kept: changed since the repair", style="yellow")
    yield line
    for key in undone.changed:
        yield hanging("  ", f"kept: {key}", style="yellow")


def _show_repairs(output: Output, found: list[RepairStatus]) -> None:
    output.document(
        lambda: {
            "runs": [
                plain(one.record) | {"whole": one.record.whole, "rows": one.record.rows, "note": one.note}
                for one in found
            ]
        }
    )
    if not found:
        output.show(Text("There was no repair, or its journal was forgotten."))
        return
    wholes: dict[str, list[RepairStatus]] = {}
    for status in found:
        wholes.setdefault(status.record.whole or status.record.run, []).append(status)
    for whole, parts in wholes.items():
        if parts[0].record.whole:
            rows = numbers.plural(sum(part.record.rows for part in parts), "row")
            output.show(Text.assemble((whole, "bold"), f": a repair of {numbers.plural(len(parts), 'table')}, {rows}"))
        for status in parts:
            output.show(*_status_lines(status))


def _status_lines(status: RepairStatus) -> Iterator[RenderableType]:
    """A repair in lines, not in a table: on a narrow terminal a column would break the run, which `undo` is given."""
    from gridferry.cli.repair_view import kinds_of

    record = status.record
    kinds = kinds_of(record.put, record.replaced, record.deleted)
    rows = f"{numbers.plural(record.rows, 'row')} ({kinds})" if kinds else "no row"
    yield Text.assemble((record.run, "bold"), f": {record.table}, {rows}, {record.state.value}")
    yield hanging("  ", f"{shown(record.started)} UTC, by {record.by}", style="dim")
    if status.note:
        yield hanging("  ", status.note, style="yellow")
