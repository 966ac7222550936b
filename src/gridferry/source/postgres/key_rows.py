"""The rows of certain row keys, with the version of each: what a verification looks at once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from gridferry.plan.plan import ColumnPlan, Kernel, TablePlan
from gridferry.source.postgres.names import condition_sql, relation_sql
from gridferry.source.postgres.reader import Reader

_VERSION = "gridferry version"
_COMMA, _AND = sql.SQL(", "), sql.SQL(" AND ")
_CUT = frozenset({Kernel.TIME_MS_TRUNCATE})


@dataclass(frozen=True)
class KeyLookup:
    """How rows are found by key: `indexed` names columns that lead an index; `versions` says that rows have one.

    `by_text` compares as text whatever is no time: slower, and cannot fail for a key that is no value of the type.
    """

    indexed: frozenset[str]
    versions: bool
    by_text: bool = False


def read_keys(
    reader: Reader, plan: TablePlan, keys: pa.RecordBatch, values: Sequence[str | None], *, lookup: KeyLookup
) -> Iterator[tuple[pa.RecordBatch, pa.Array | None]]:
    """The source's rows that would go to the row keys `keys`, in the containers of the split values `values`.

    Args: keys: n keys as they are stored; values: (n,) split values as text, ignored where the table is not split.
    Yields: rows as `Reader.read_chunk` gives them, and their versions as text: a row version has another one than
        every other of the table. None where the relation has no such thing.
    Raises: SourceUnreachable; SourceRefused, also for a key that is no value of the source's type, unless the lookup
        is by text; SourceError.
    """
    selected = [sql.SQL("{} AS {}").format(v, sql.Identifier(n)) for n, v in reader.column_expressions(plan).items()]
    if lookup.versions:
        version = sql.SQL("(t.tableoid::text || ' ' || t.xmin::text || ' ' || t.ctid::text) AS {}")
        selected.append(version.format(sql.Identifier(_VERSION)))
    nulls = [value is None for value in values] if plan.split_by is not None else [False] * len(keys)
    for without_value in (False, True):
        rows = [row for row, null in enumerate(nulls) if null is without_value]
        if not rows:
            continue
        part = keys.take(pa.array(rows))
        splits = None if plan.split_by is None or without_value else [values[row] for row in rows]
        conditions = list(_conditions(plan, part, splits, lookup=lookup))
        if plan.split_by is not None and without_value:
            conditions.append(sql.SQL("t.{} IS NULL").format(sql.Identifier(plan.split_by)))
        statement = sql.SQL("SELECT {} FROM {} AS t WHERE {} AND {}").format(
            _COMMA.join(selected),
            relation_sql(plan.schema, plan.table),
            condition_sql(plan.where),
            _AND.join(conditions),
        )
        for batch in reader.read_statement(statement, doing=f"reading rows of {plan.qualified} by key"):
            yield _cut(batch, versions=lookup.versions)


def _cut(batch: pa.RecordBatch, *, versions: bool) -> tuple[pa.RecordBatch, pa.Array | None]:
    if not versions:
        return batch, None
    rows = pa.RecordBatch.from_arrays(batch.columns[:-1], names=batch.schema.names[:-1])
    return rows, batch.column(batch.num_columns - 1)


def _conditions(
    plan: TablePlan, keys: pa.RecordBatch, splits: Sequence[str | None] | None, *, lookup: KeyLookup
) -> Iterator[sql.Composable]:
    """That a row has one of the keys, in one comparison of all parts, so that PostgreSQL hashes or uses an index."""
    names: list[sql.Composable] = []
    arrays: list[sql.Composable] = []
    if splits is not None and plan.split_by is not None:
        # By its text, as the containers are told.
        names.append(sql.SQL('(t.{}::text COLLATE "C")').format(sql.Identifier(plan.split_by)))
        arrays.append(sql.SQL("{}::text[]").format(sql.Literal(list(splits))))
    wide: list[sql.Composable] = []
    for place, column in enumerate(plan.columns[: plan.key_length]):
        name = sql.SQL("t.{}").format(sql.Identifier(column.source))
        array = keys.column(place)
        texts = key_texts(column, array)
        if column.kernel in _CUT:
            names.append(sql.SQL("date_trunc('milliseconds', {})").format(name))
            if column.source in lookup.indexed:
                wide.append(_span(name, column, array))
        elif lookup.by_text and not pa.types.is_timestamp(array.type):
            names.append(sql.SQL('({}::text COLLATE "C")').format(name))
            arrays.append(sql.SQL("{}::text[]").format(sql.Literal(texts)))
            continue
        else:
            names.append(name)
        arrays.append(sql.SQL("{}::text[]::{}[]").format(sql.Literal(texts), sql.SQL(column.pg_type)))
    yield from wide
    yield sql.SQL("({}) IN (SELECT * FROM ROWS FROM ({}) AS k)").format(
        _COMMA.join(names), _COMMA.join(sql.SQL("pg_catalog.unnest({})").format(array) for array in arrays)
    )


def _span(name: sql.Composable, column: ColumnPlan, array: pa.Array) -> sql.Composable:
    """That a time lies between the least and the greatest key, which an index can answer."""
    numbers = array.view(pa.int64())
    low, high = pc.min(numbers).as_py(), pc.max(numbers).as_py()
    texts = pa.array([low, high + 1], pa.int64()).view(array.type)
    literals = [sql.Literal(text) for text in key_texts(column, texts)]
    return sql.SQL("({0} >= {1} AND {0} < {2})").format(name, *literals)


def key_texts(column: ColumnPlan, array: pa.Array) -> list[str]:
    """Stored values of a key column as text that PostgreSQL reads in the source column's type."""
    if pa.types.is_timestamp(array.type):
        plain = array.view(pa.timestamp(array.type.unit)).cast(pa.utf8()).to_pylist()
        return [text[:10] if column.kernel is Kernel.DATE_MS else f"{text}+00" for text in plain]
    found: list[str] = array.cast(pa.utf8()).to_pylist()
    return found
