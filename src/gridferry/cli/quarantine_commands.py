"""`quarantine list` and `quarantine replay`: quarantined rows."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from gridferry import numbers
from gridferry.cli import opening
from gridferry.cli.options import DEFAULT_CONFIG, ConfigFile, Tables, chosen
from gridferry.cli.output import Output, plain
from gridferry.cli.table_outcomes import code_of, kept_going, show_failed, tables_document
from gridferry.cli.tables import listing

STILL_HELD_EXIT_CODE = 1
MOST_ROWS = 50


def list_rows(output: Output, config: ConfigFile = DEFAULT_CONFIG, table: Tables = None) -> None:
    """List the rows in the quarantine, and why each is there.

    Changes nothing.
    """
    with opening.open_migration(config) as migration, output.waiting("asking GridDB"):
        found = migration.status.quarantine(chosen(table))
    output.document(lambda: {"rows": found})
    if not found:
        output.show(Text("No row is in the quarantine."))
        return
    rows = [[Text(r.id), Text(r.table), Text(r.column), Text(r.key), Text(r.sentence or r.reason)] for r in found]
    output.show(listing(["id", "table", "column", "key", "why"], rows[:MOST_ROWS]))
    if len(rows) > MOST_ROWS:
        output.show(Text(f"… {len(rows) - MOST_ROWS:,} more rows; --json lists all", style="dim"))
    output.note("\nNext: solve the reason, then gridferry quarantine replay", style="bold")


def replay(
    output: Output,
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    row: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Only this row. Can be given several times.")
    ] = None,
) -> None:
    """Read the quarantined rows again from the source and store them. Exit code 1 if some stay.

    Changes: rows, quarantine and state in GridDB; nothing in PostgreSQL.
    """
    output.interrupted = "Interrupted. Rows that were not stored stay in quarantine: run the same command again."
    with opening.open_migration(config) as migration, output.waiting("putting the rows again"):
        done, failed = kept_going(lambda: migration.repairs.replay(chosen(table), ids=chosen(row)))
    output.document(lambda: tables_document([plain(one) | {"outcome": "replayed"} for one in done], failed))
    for one in done:
        gone = f", {numbers.plural(one.gone, 'row')} gone from the source" if one.gone else ""
        held = f", {numbers.plural(one.still_held, 'row')} still held" if one.still_held else ""
        output.show(Text.assemble((one.table, "bold"), f": {numbers.plural(one.replayed, 'row')} stored{gone}{held}"))
    if not done and not failed:
        output.show(Text("No row is in the quarantine."))
    show_failed(output, failed)
    code = code_of(failed, codes=[STILL_HELD_EXIT_CODE] if any(one.still_held for one in done) else [])
    if code:
        raise typer.Exit(code)
