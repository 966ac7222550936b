"""`drop-slot`: PostgreSQL as it was before a table was followed by mode cdc."""

from __future__ import annotations

from gridferry.cli import opening
from gridferry.cli.options import DEFAULT_CONFIG, ConfigFile, Tables, chosen
from gridferry.cli.output import Output


def drop_slot(output: Output, config: ConfigFile = DEFAULT_CONFIG, table: Tables = None) -> None:
    """Drop the replication slots and publications of tables, so that PostgreSQL is as it was. Ends their sync."""
    with opening.open_migration(config) as migration, output.waiting("asking PostgreSQL"):
        dropped = migration.drop_slot(chosen(table))
    output.document(lambda: {"dropped": dropped})
    for what in dropped:
        output.show(f"dropped: {what}")
    if not dropped:
        output.show("there is no replication slot of these tables")
