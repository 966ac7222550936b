"""What of the database a config speaks of, and what not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gridferry.model.table import TableName
from gridferry.plan.table_options import TableOptions


class ListsTables(Protocol):
    """Knows the names of all tables of the source."""

    def fetch_table_names(self) -> list[TableName]:
        """The name of each; partitions belong to their table."""


def other_tables(view: ListsTables, named: Sequence[TableOptions]) -> tuple[str, ...]:
    """The tables of the database that no entry of the config names, as `schema.table`."""
    known = {options.full_name for options in named}
    return tuple(str(name) for name in view.fetch_table_names() if name not in known)
