"""The rows of certain row keys: the one place where rows are looked up by key.

A verification or a repair has keys as the target stores them, and asks for the version of each row, too (`fetch_keys`).
A sync or the quarantine has rows as they were read, whose keys need not fit into the target (`read_rows_like`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from typing_extensions import Self

from gridferry.errors import SourceError, Transient
from gridferry.model.chunk import Chunk, ChunkKind
from gridferry.model.table import Table
from gridferry.model.time_text import day_text, moment_text
from gridferry.plan.epochs import CUT_EPOCHS, epoch_of
from gridferry.plan.generated_key import HASH_COLUMN, ORDINAL_COLUMN
from gridferry.plan.keys import CUT_TIMES
from gridferry.plan.plan import ColumnPlan, Kernel, TablePlan
from gridferry.source.contract import ReadsRows
from gridferry.source.postgres.rows.epoch_keys import epoch_keys, epoch_span
from gridferry.source.postgres.rows.reader import Reader
from gridferry.source.postgres.sql.epoch import NUMBER_SQL, stored_sql
from gridferry.source.postgres.sql.key_text import key_text
from gridferry.source.postgres.sql.names import condition_sql, relation_sql
from gridferry.source.postgres.sql.row_hash import ordinal_sql, same_hash_sql

_VERSION, _NUMBER = "gridferry version", "gridferry number"
_COMMA, _AND = sql.SQL(", "), sql.SQL(" AND ")
KEYS_A_READ = 200
_MS = 1000  # microseconds in a millisecond
_CUT = frozenset({Kernel.TIME_MS_TRUNCATE})
_FAR = {Kernel.DATE_LONG: day_text, Kernel.TIME_LONG: moment_text}


@dataclass(frozen=True)
class KeyLookup:
    """How rows are found by key: `indexed` names columns that lead an index; `versions` says that rows have one.

    `bases` are the types' own names, domains followed, as `PgType.name`.

    `types` are what format_type() says of the table's columns, by name, as the catalog has them now. `by_text` compares
    as text whatever is no time: slower, and cannot fail for a key that is no value of the type.
    """

    indexed: frozenset[str]
    versions: bool
    types: Mapping[str, str]
    by_text: bool = False
    bases: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table) -> Self:
        """That of a table as it is."""
        types = {column.name: column.type.formatted for column in table.columns}
        bases = {column.name: column.type.name for column in table.columns}
        return cls(table.indexed, versions=table.own_heap, types=types, bases=bases)


class OpensReaders(Protocol):
    """A held snapshot."""

    def open_reader(self) -> AbstractContextManager[Reader]:
        """A reader of it, with a session of its own."""


@dataclass(frozen=True)
class KeyRows:
    """Batches of rows as `Reader.read_chunk` gives them, with their versions as text: a row version has another one
    than every other of the table; None where the relation has no such thing. `lookup` is how they were found.
    """

    batches: tuple[tuple[pa.RecordBatch, pa.Array | None], ...]
    lookup: KeyLookup


def fetch_keys(
    view: OpensReaders, plan: TablePlan, keys: pa.RecordBatch, values: Sequence[str | None], *, lookup: KeyLookup
) -> KeyRows:
    """The source's rows that would go to the row keys `keys`, in the containers of the split values `values`.

    What is in the target need not be a value of the source's type at all (a text that is no uuid, a number too
    large): then all are compared as text.

    Args: keys: n keys as they are stored; values: (n,) split values as text, ignored where the table is not split.
    Raises: SourceUnreachable, SnapshotGone, SourceError.
    """
    if not lookup.by_text:
        try:
            with view.open_reader() as reader:
                return KeyRows(tuple(_read(reader, plan, keys, values, lookup)), lookup)
        except SourceError as error:
            if isinstance(error, Transient):
                raise
    lookup = replace(lookup, by_text=True)
    # Another reader: the session of the failed statement is given up.
    with view.open_reader() as reader:
        return KeyRows(tuple(_read(reader, plan, keys, values, lookup)), lookup)


def key_condition(plan: TablePlan, keys: pa.RecordBatch, values: Sequence[str | None], *, lookup: KeyLookup) -> str:
    """The condition that the rows of `fetch_keys` meet. Others meet it too that the source calls equal to them."""
    parts = [sql.SQL("({})").format(part) for part in _conditions(plan, keys, values, lookup)]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(parts)).as_string(None)


def read_rows_like(reader: ReadsRows, plan: TablePlan, rows: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The source's rows that would go to the same row keys as `rows`, each a batch of one row as it was read."""
    for start in range(0, len(rows), KEYS_A_READ):
        narrow = narrowed_to(plan, rows[start : start + KEYS_A_READ])
        for batch in reader.read_chunk(Chunk(0, ChunkKind.WHOLE, plan.schema, plan.table, tree=True), narrow):
            if len(batch):
                yield batch


def narrowed_to(plan: TablePlan, rows: Sequence[pa.RecordBatch]) -> TablePlan:
    """The plan for the rows of `read_rows_like` alone.

    No more than `KEYS_A_READ`: the statement has a condition for each.
    """
    keys = [sql.SQL("({})").format(_AND.join(list(_same_key(plan, row)))) for row in rows]
    return plan.narrowed(sql.SQL("({})").format(sql.SQL(" OR ").join(keys)).as_string(None))


def _read(
    reader: Reader, plan: TablePlan, keys: pa.RecordBatch, values: Sequence[str | None], lookup: KeyLookup
) -> Iterator[tuple[pa.RecordBatch, pa.Array | None]]:
    selected = [sql.SQL("{} AS {}").format(v, sql.Identifier(n)) for n, v in reader.column_expressions(plan).items()]
    if lookup.versions:
        version = sql.SQL("(tableoid::text || ' ' || xmin::text || ' ' || ctid::text) AS {}")
        selected.append(version.format(sql.Identifier(_VERSION)))
    source = sql.SQL("{} WHERE {}").format(relation_sql(plan.schema, plan.table), condition_sql(plan.where))
    if plan.numbered:
        statements = [_numbered(reader, plan, keys, selected, source, versions=lookup.versions)]
    else:
        statements = [
            sql.SQL("SELECT {} FROM {} AND {}").format(_COMMA.join(selected), source, condition)
            for condition in _conditions(plan, keys, values, lookup)
        ]
    for statement in statements:
        for batch in reader.read_statement(statement, doing=f"reading rows of {plan.qualified} by key"):
            yield _cut(batch, versions=lookup.versions)


def read_hashes(reader: Reader, plan: TablePlan, hashes: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """All rows of some hashes of a generated key, with the numbers that they have among those of their hash.

    The table is read whole: no index has the hash.
    """
    selected = [
        sql.SQL("{} AS {}").format(ordinal_sql(plan) if name == ORDINAL_COLUMN else value, sql.Identifier(name))
        for name, value in reader.column_expressions(plan).items()
    ]
    statement = sql.SQL("SELECT {} FROM {} WHERE {} AND {}").format(
        _COMMA.join(selected),
        relation_sql(plan.schema, plan.table),
        condition_sql(plan.where),
        same_hash_sql(plan, hashes),
    )
    yield from reader.read_statement(statement, doing=f"reading rows of {plan.qualified} by the hash of their values")


def _numbered(
    reader: Reader,
    plan: TablePlan,
    keys: pa.RecordBatch,
    selected: Sequence[sql.Composable],
    source: sql.Composable,
    *,
    versions: bool,
) -> sql.Composed:
    """The rows of generated keys. The number is that among all rows of the hash, so it is asked of after it is given.

    The hash tells values of the split column apart too.
    """
    names = [*reader.column_expressions(plan), *([_VERSION] if versions else [])]
    inner = [*selected, sql.SQL("{} AS {}").format(ordinal_sql(plan), sql.Identifier(_NUMBER))]
    outer = sql.SQL("SELECT {} FROM (SELECT {} FROM {} AND {}) AS n").format(
        _COMMA.join(
            sql.SQL("{} AS {}").format(sql.Identifier("n", _NUMBER), sql.Identifier(name))
            if name == ORDINAL_COLUMN
            else sql.Identifier("n", name)
            for name in names
        ),
        _COMMA.join(inner),
        source,
        same_hash_sql(plan, sorted(set(keys.column(0).to_pylist()))),
    )
    wanted = sql.SQL("ROWS FROM (pg_catalog.unnest({}::text[]), pg_catalog.unnest({}::int8[]))").format(
        sql.Literal(keys.column(0).to_pylist()), sql.Literal(keys.column(1).to_pylist())
    )
    return sql.SQL("{} WHERE (n.{}, n.{}) IN (SELECT * FROM {} AS k)").format(
        outer, sql.Identifier(HASH_COLUMN), sql.Identifier(_NUMBER), wanted
    )


def _cut(batch: pa.RecordBatch, *, versions: bool) -> tuple[pa.RecordBatch, pa.Array | None]:
    if not versions:
        return batch, None
    rows = pa.RecordBatch.from_arrays(batch.columns[:-1], names=batch.schema.names[:-1])
    return rows, batch.column(batch.num_columns - 1)


def _conditions(
    plan: TablePlan, keys: pa.RecordBatch, values: Sequence[str | None], lookup: KeyLookup
) -> Iterator[sql.Composable]:
    """Conditions that together hold for all keys: one for those of a split value, one for those of none."""
    nulls = [value is None for value in values] if plan.split_by is not None else [False] * len(keys)
    for without_value in (False, True):
        rows = [row for row, null in enumerate(nulls) if null is without_value]
        if not rows:
            continue
        part = keys.take(pa.array(rows))
        splits = None if plan.split_by is None or without_value else [values[row] for row in rows]
        conditions = list(_same_keys(plan, part, splits, lookup=lookup))
        if plan.split_by is not None and without_value:
            conditions.append(sql.SQL("{} IS NULL").format(sql.Identifier(plan.split_by)))
        yield _AND.join(conditions)


def _same_keys(
    plan: TablePlan, keys: pa.RecordBatch, splits: Sequence[str | None] | None, *, lookup: KeyLookup
) -> Iterator[sql.Composable]:
    """That a row has one of the keys, in one comparison of all parts, so that PostgreSQL hashes or uses an index."""
    names: list[sql.Composable] = []
    arrays: list[sql.Composable] = []

    def compare(column: sql.Composable, texts: Sequence[str | None], pg_type: str, *, by_text: bool) -> None:
        if by_text:  # the bytes of the text: the source's encoding may have no letters for what is in the target
            column = sql.SQL("pg_catalog.convert_to({}::text, 'UTF8')").format(column)
            texts, pg_type = [None if text is None else "\\x" + text.encode().hex() for text in texts], "bytea"
        names.append(column)
        arrays.append(sql.SQL("{}::text[]::{}[]").format(sql.Literal(list(texts)), sql.SQL(pg_type)))

    if splits is not None and plan.split_by is not None:
        compare(sql.Identifier(plan.split_by), splits, lookup.types.get(plan.split_by, "text"), by_text=lookup.by_text)
    for place, column in enumerate(plan.columns[: plan.key_length]):
        name: sql.Composable = sql.Identifier(column.source)
        array = keys.column(place)
        epoch = epoch_of(column)
        if epoch is not None:
            if column.source in lookup.indexed and column.kernel in CUT_EPOCHS:
                yield epoch_span(name, epoch, array)
            name, texts, kind = epoch_keys(name, column, epoch, array, base=lookup.bases.get(column.source, ""))
            compare(name, texts, kind, by_text=False)
            continue
        if column.kernel in _CUT:
            if column.source in lookup.indexed:
                yield _span(name, column, array)
            name = sql.SQL("date_trunc('milliseconds', {})").format(name)
        by_text = lookup.by_text and not pa.types.is_timestamp(array.type)
        compare(name, key_texts(column, array), lookup.types.get(column.source, "text"), by_text=by_text)
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
    if column.kernel in _FAR:
        return [_FAR[column.kernel](number) for number in array.to_pylist()]
    if column.kernel is Kernel.DECIMAL_SCALED:
        return [str(Decimal(number).scaleb(-(column.scale or 0))) for number in array.to_pylist()]
    if pa.types.is_timestamp(array.type):
        plain = array.view(pa.timestamp(array.type.unit)).cast(pa.utf8()).to_pylist()
        return [text[:10] if column.kernel is Kernel.DATE_MS else f"{text}+00" for text in plain]
    found: list[str] = array.cast(pa.utf8()).to_pylist()
    return found


def _same_key(plan: TablePlan, row: pa.RecordBatch) -> Iterator[sql.Composable]:
    if plan.numbered:
        hashes = row.column(row.schema.get_field_index(HASH_COLUMN)).to_pylist()
        yield same_hash_sql(plan, hashes)
        return
    names = ([plan.split_by] if plan.split_by is not None else []) + [k for k in plan.key if k != plan.split_by]
    cut = {c.source: c for c in plan.columns[: plan.key_length] if c.kernel in CUT_TIMES}
    for name in names:
        value = row.column(row.schema.get_field_index(name))
        column = sql.Identifier(name)
        if value.null_count:
            yield sql.SQL("{} IS NULL").format(column)
            continue
        text = key_text(value)
        if text is None and not pa.types.is_temporal(value.type):  # bytes that are no text, in a database in SQL_ASCII
            octets = sql.Literal("\\x" + value.view(pa.binary())[0].as_py().hex())
            yield sql.SQL("pg_catalog.convert_to({}::text, 'SQL_ASCII') = {}::bytea").format(column, octets)
        elif text is None:
            yield sql.SQL("NOT ({0} >= '1970-01-01' AND {0} < '10000-01-01')").format(column)
        elif name in cut and (epoch := epoch_of(cut[name])) is not None:
            # Of a value that is no time, NULL: it meets itself alone, and is stored nowhere.
            same = sql.SQL("{} = {}").format(column, sql.Literal(text))
            literal = stored_sql(sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(NUMBER_SQL[epoch.numbers])), epoch)
            yield sql.SQL("({} OR {} = {})").format(same, stored_sql(column, epoch), literal)
        elif name in cut:
            yield sql.SQL("({0} >= {1} AND {0} < {2})").format(column, *_millisecond(value))
        else:
            yield sql.SQL("{} = {}").format(column, sql.Literal(text))


def _millisecond(value: pa.Array) -> tuple[sql.Literal, sql.Literal]:
    """Where the millisecond of a time begins, and where the next one does."""
    low = value.view(pa.int64())[0].as_py() // _MS * _MS
    texts = pa.array([low, low + _MS], pa.int64()).view(value.type).cast(pa.utf8()).to_pylist()
    return sql.Literal(texts[0]), sql.Literal(texts[1])
