"""`drop-slot`: PostgreSQL as it was before a table was followed by mode cdc."""

from __future__ import annotations

from typing import Annotated

import typer

from gridferry.cli import opening
from gridferry.cli.options import DEFAULT_CONFIG, ConfigFile, Tables, chosen
from gridferry.cli.output import Output
from gridferry.cli.table_outcomes import kept_going, show_failed, tables_document
from gridferry.errors import ConfigError


def drop_slot(
    output: Output,
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    unneeded: Annotated[
        bool,
        typer.Option("--unneeded", help="Only slots of this migration that no table of the config needs any more."),
    ] = False,
) -> None:
    """Drop the replication slots and publications of tables. PostgreSQL is then as it was, and their sync ends.

    Changes: slots and publications in PostgreSQL; state in GridDB, no row.
    """
    if unneeded and table:
        raise ConfigError("--unneeded is about no table of the config", next_step="leave out --table")
    failed = None
    with opening.open_migration(config) as migration, output.waiting("asking PostgreSQL"):
        if unneeded:
            dropped = migration.lives.drop_unneeded_slots()
        else:
            dropped, failed = kept_going(lambda: migration.syncs.drop_slots(chosen(table)))
    output.document(lambda: {"dropped": dropped, **tables_document([], failed)})
    for what in dropped:
        output.show(f"dropped: {what}")
    if not dropped and not failed:
        output.show(
            "there is no replication slot that is not needed"
            if unneeded
            else "there is no replication slot of these tables"
        )
    show_failed(output, failed)
    if failed is not None:
        raise typer.Exit(failed.exit_code)
