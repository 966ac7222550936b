"""Tables that a command names: those of the config, and those that the target knows and the config has no more."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from gridferry.checkpoint.state import TargetState
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.ownership.tables import loaded_tables
from gridferry.errors import ConfigError, SourceError
from gridferry.model.table import TableName
from gridferry.plan.table_options import TableOptions, is_pattern, table_options
from gridferry.plan.table_patterns import listed, name_pattern


@dataclass(frozen=True)
class NamedTable:
    """A table by its name; `options` are None where the config has it no more."""

    name: TableName
    options: TableOptions | None

    @property
    def table(self) -> str:
        """`schema.table`."""
        return str(self.name)


def named_tables(ends: Endpoints, state: TargetState, names: Sequence[str]) -> list[NamedTable]:
    """The tables that names or patterns mean, each once. A name may be of a table that is gone from config or source.

    Raises: ConfigError for none, and for one that neither the config nor the target knows.
    """
    if not names:
        raise ConfigError("no table was named", state="nothing was changed", next_step="name one, or a pattern")
    configured: dict[TableName, TableOptions] = {}
    with suppress(SourceError):
        configured = {options.full_name: options for options in ends.known()}
    known = {**configured, **dict.fromkeys((*loaded_tables(state.runs), *_left_out(state)))}
    found: dict[TableName, NamedTable] = {}
    for written in names:
        for name in _meant(written, list(known)):
            found[name] = NamedTable(name, configured.get(name))
    return list(found.values())


def _meant(written: str, known: Sequence[TableName]) -> list[TableName]:
    if is_pattern(written):
        pattern = name_pattern(written)
        found = [] if pattern is None else [name for name in known if pattern.matches(name)]
    else:
        wanted = table_options(table=written).full_name
        found = [name for name in known if name == wanted]
    if not found:
        raise ConfigError(
            f"neither the config nor the target has a table {written}; they have {listed(list(map(str, known)))}",
            state="nothing was changed",
            next_step="see `gridferry status` for their names",
        )
    return found


def _left_out(state: TargetState) -> list[TableName]:
    return [TableName(*table.split(".", 1)) for table in state.standings.all() if "." in table]
