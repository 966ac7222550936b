"""Row keys as the target has them -> a condition that the source's rows of those keys meet, and few others.

What stands in the target need not be a value of the source's type at all (a text that is no uuid, a number too large).
So there are two forms: one that an index of the source serves, and may fail for such a value, and one that compares
texts, which reads the whole table and cannot fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from psycopg import sql

from gridferry.plan.plan import ColumnPlan, Kernel, TablePlan

FEW_KEYS = 50  # so many are written as comparisons, which can be joined by OR with those of other containers
_PLAIN_TEXTS = ("text", "character varying", "name")
_NUMBERS = (Kernel.SAME, Kernel.NUMBER, Kernel.DECIMAL_LONG)
_TIMES = (Kernel.TIME_MS, Kernel.TIME_US, Kernel.TIME_MS_TRUNCATE, Kernel.DATE_MS)


@dataclass(frozen=True)
class KeyForm:
    """How the keys of one table are compared: `indexed` with values of the column's type, else by text."""

    plan: TablePlan
    indexed: bool = True

    def condition(self, value: str | None, keys: pa.RecordBatch) -> str:
        """The condition for the rows of these keys (n >= 1, the row key's columns) within one split value.

        It may hold for other rows too, where the source calls values equal that the target tells apart.
        """
        own = self.plan.columns[: self.plan.key_length]
        distinct: dict[str, tuple[ColumnPlan, list[str]]] = {}
        for column, array in zip(own, keys.columns, strict=True):
            # A time cut to milliseconds stands twice in a row, but only its first form is in the key.
            distinct.setdefault(column.source, (column, _texts(array)))
        columns = [column for column, _ in distinct.values()]
        texts = list(zip(*(texts for _, texts in distinct.values()), strict=True))
        parts = list(self._split(value))
        parts.append(self._few(columns, texts) if len(texts) <= FEW_KEYS else self._many(columns, texts))
        return sql.SQL("({})").format(sql.SQL(" AND ").join(parts)).as_string(None)

    def _split(self, value: str | None) -> Iterator[sql.Composable]:
        if self.plan.split_by is None:
            return
        column = sql.Identifier(self.plan.split_by)
        if value is None:
            yield sql.SQL("{} IS NULL").format(column)
        elif self.indexed:
            yield sql.SQL("{} = {}").format(column, sql.Literal(value))
        else:
            yield sql.SQL("{}::text = {}").format(column, sql.Literal(value))

    def _few(self, columns: list[ColumnPlan], texts: list[tuple[str, ...]]) -> sql.Composable:
        rows = [
            sql.SQL("({})").format(
                sql.SQL(" AND ").join([self._same(c, self._value(c, t)) for c, t in zip(columns, row, strict=True)])
            )
            for row in texts
        ]
        return sql.SQL("({})").format(sql.SQL(" OR ").join(rows))

    def _many(self, columns: list[ColumnPlan], texts: list[tuple[str, ...]]) -> sql.Composable:
        names = [sql.Identifier(f"gridferry key {i}") for i in range(len(columns))]
        comma = sql.SQL(", ")
        arrays = [
            sql.SQL("pg_catalog.unnest({}::text[]::{}[])").format(
                sql.Literal(list(values)), sql.SQL(self._type(column))
            )
            for column, values in zip(columns, zip(*texts, strict=True), strict=True)
        ]
        same = [self._same(column, name) for column, name in zip(columns, names, strict=True)]
        return sql.SQL("EXISTS (SELECT FROM ROWS FROM ({}) AS k ({}) WHERE {})").format(
            comma.join(arrays), comma.join(names), sql.SQL(" AND ").join(same)
        )

    def _same(self, column: ColumnPlan, value: sql.Composable) -> sql.Composable:
        name = sql.Identifier(column.source)
        if column.kernel is Kernel.TIME_MS_TRUNCATE:
            # The first lets PostgreSQL hash, the others lead it through an index.
            return sql.SQL(
                "(date_trunc('milliseconds', {0}) = {1} AND {0} >= {1} AND {0} < {1} + interval '1 millisecond')"
            ).format(name, value)
        if self._by_text(column):
            return sql.SQL("{}::text = {}").format(name, value)
        return sql.SQL("{} = {}").format(name, value)

    def _value(self, column: ColumnPlan, text: str) -> sql.Composable:
        return sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(self._type(column)))

    def _type(self, column: ColumnPlan) -> str:
        if column.kernel in _TIMES:
            return "timestamp"
        if column.kernel in _NUMBERS:
            return "bigint"
        if self._by_text(column) or column.pg_type.startswith(_PLAIN_TEXTS):
            return "text"
        return "bpchar" if column.pg_type.startswith("character(") else column.pg_type

    def _by_text(self, column: ColumnPlan) -> bool:
        plain = column.kernel in _TIMES or column.kernel in _NUMBERS or column.pg_type.startswith(_PLAIN_TEXTS)
        return not (self.indexed or plain)


def _texts(array: pa.Array) -> list[str]:
    texts: list[str] = array.cast(pa.utf8()).to_pylist()
    return texts
