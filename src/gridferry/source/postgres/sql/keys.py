"""Rows that meet in one key: the SQL that groups by it, and how its columns compare in the target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from gridferry.errors import SourceRefused
from gridferry.model.epoch import Epoch
from gridferry.source.postgres.sql.epoch import stored_sql
from gridferry.source.postgres.sql.names import relation_sql


def key_columns_sql(schema: str, table: str) -> sql.Composed:
    """A statement with a row (column, whether it compares as text, the table's relkind, the type) for each column.

    The type is pg_type.typname, a domain's first base type. What an extension or a user made compares as text: its own
    operators are not in the search path.
    """
    return sql.SQL(
        "SELECT a.attname::text, a.attcollation <> 0 OR (coalesce(b.typtype, t.typtype) = 'b'"
        " AND coalesce(b.typnamespace, t.typnamespace) <> 'pg_catalog'::regnamespace), c.relkind::text,"
        " coalesce(b.typname, t.typname)::text"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid"
        " JOIN pg_catalog.pg_type t ON t.oid = a.atttypid LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype"
        " WHERE c.oid = pg_catalog.to_regclass({}) AND a.attnum > 0 AND NOT a.attisdropped"
    ).format(sql.Literal(relation_sql(schema, table).as_string(None)))


@dataclass(frozen=True)
class KeyParts:
    """A row key's parts as SQL expressions over one row: `split` of them come from the split column."""

    columns: tuple[str, ...]
    expressions: tuple[sql.Composable, ...]
    split: int

    @property
    def grouped(self) -> sql.Composed:
        """The expressions, with commas between."""
        return sql.SQL(", ").join(self.expressions)

    @property
    def complete(self) -> sql.Composable:
        """The condition that no part of the key itself is NULL; a NULL split value is a value like any other."""
        parts = [sql.SQL("{} IS NOT NULL").format(sql.Identifier(c)) for c in self.columns[self.split :]]
        return sql.SQL(" AND ").join(parts) if parts else sql.SQL("TRUE")

    @property
    def shown(self) -> sql.Composed:
        """The key as one text, for a message."""
        parts = [sql.SQL("coalesce(({})::text, 'NULL')").format(e) for e in self.expressions]
        return sql.SQL("concat_ws(', ', {})").format(sql.SQL(", ").join(parts))


def key_parts(
    rows: Iterable[Sequence[Any]],
    *,
    table: str,
    columns: Sequence[str],
    split: int,
    truncate: str | None = None,
    epoch: Epoch | None = None,
) -> KeyParts:
    """The key's expressions, from the rows of `key_columns_sql`; the column `truncate` is cut to milliseconds.

    `epoch` says how, where it is one of numbers.

    It is cut towards the past. Text is grouped by its bytes, as the target compares it: a collation of the source may
    call more texts equal.
    Raises: SourceRefused if the table has no such column.
    """
    textual = {row[0]: row[1] for row in rows}
    missing = [c for c in columns if c not in textual]
    if missing:
        raise SourceRefused(
            f"the table {table} has no column {', '.join(missing)}",
            next_step="correct `key` and `split_by` in the config file",
        )
    expressions = []
    for column in columns:
        expression: sql.Composable = sql.Identifier(column)
        if column == truncate:
            cut = sql.SQL("date_trunc('milliseconds', {})").format(expression)
            expression = cut if epoch is None else stored_sql(expression, epoch)
        elif textual[column]:
            expression = sql.SQL('({}::text COLLATE "C")').format(expression)
        expressions.append(expression)
    return KeyParts(tuple(columns), tuple(expressions), split)
