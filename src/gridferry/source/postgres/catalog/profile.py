"""A look at one table's data: one scan for all columns, one grouping by split value, one or two for the key."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from gridferry.errors import ConfigError, SourceError
from gridferry.model.profile import ColumnProfile, KeyProfile, KeyRequest, ProfileRequest, SplitValue, TableProfile
from gridferry.source.postgres.catalog.profile_sql import Dialect, column_profile, facts_sql
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.sql.keys import KeyParts, key_columns_sql, key_parts
from gridferry.source.postgres.sql.names import condition_sql, relation_sql
from gridferry.source.postgres.sql.row_hash import row_hash_sql

Connection = psycopg.Connection[tuple[Any, ...]]

SPLIT_LIMIT = 1_000_000
EXAMPLES = 5
_SHOWN_CHARACTERS = 80  # of a whole row
_FETCH_ROWS = 10_000
_SAMPLED_KINDS = "rpm"  # relkinds that TABLESAMPLE takes


@dataclass(frozen=True)
class _Scan:
    """What every statement reads: FROM, WHERE, and by how much a count of a sample is multiplied."""

    source: sql.Composable
    condition: sql.Composable
    factor: float = 1.0

    def scaled(self, count: int) -> int:
        return round(count * self.factor)


def fetch_profile(
    connection: Connection,
    request: ProfileRequest,
    *,
    sample_percent: float | None = None,
) -> TableProfile:
    """The facts that `request` asks for, over every row, all under the snapshot of the connection's transaction.

    With `sample_percent` only that
    share of the pages is read: the result has `exact` False, counts are scaled up, and keys that meet only outside
    the sample are not seen; views and foreign tables are always read whole.
    Raises: ConfigError if the split column has more than 1,000,000 values; SourceError.
    """
    name = f"{request.schema}.{request.table}"
    with mapped(f"looking at the data of {name}"):
        catalog = connection.execute(key_columns_sql(request.schema, request.table)).fetchall()
        _check_condition(connection, request)
        scan = _scan(connection, request, sample_percent)
        rows, key_nulls, columns = _column_facts(connection, request, scan, catalog)
        split = _split_values(connection, request, scan) if request.split_by is not None else ()
        key = None
        if request.key is not None:
            keys = partial(key_parts, catalog, table=name, split=request.key.split)
            key = _key_facts(connection, request.key, scan=scan, nulls=key_nulls, columns=columns, keys=keys)
    return TableProfile(rows=rows, columns=columns, key=key, split=split, exact=scan.factor == 1.0)


def _check_condition(connection: Connection, request: ProfileRequest) -> None:
    """Raises: SourceRefused for a `where` that is not one whole condition.

    Without its parentheses one that closes them, `a) OR (true`, is the mistake that it is: within them it would let
    every chunk read every row. It is sent by the extended protocol (`binary`), which takes one statement and no more,
    and reads nothing.
    """
    if request.where.strip():
        bare = sql.SQL("SELECT FROM {} WHERE {}\nLIMIT 0").format(
            relation_sql(request.schema, request.table), sql.SQL(request.where)
        )
        with mapped(f"reading the condition of {request.schema}.{request.table}"):
            connection.execute(bare, binary=True)


def _scan(connection: Connection, request: ProfileRequest, sample_percent: float | None) -> _Scan:
    source = relation_sql(request.schema, request.table)
    condition = condition_sql(request.where)
    if sample_percent is None or sample_percent >= 100 or not request.sampled:
        return _Scan(source, condition)
    if sample_percent <= 0:
        raise ConfigError(f"a sample of {sample_percent} percent holds no rows", next_step="give more than 0")
    kind = sql.SQL("SELECT relkind::text FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass({})")
    row = connection.execute(kind.format(sql.Literal(source.as_string(None)))).fetchone()
    if row is None or row[0] not in _SAMPLED_KINDS:
        return _Scan(source, condition)
    sampled = sql.SQL("{} TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(source, sql.Literal(sample_percent))
    return _Scan(sampled, condition, 100.0 / sample_percent)


def _column_facts(
    connection: Connection, request: ProfileRequest, scan: _Scan, catalog: Sequence[tuple[Any, ...]]
) -> tuple[int, int, tuple[ColumnProfile, ...]]:
    """Rows, rows with a NULL in the key, and each column's facts: the one scan over everything."""
    dialect = Dialect(
        server_version=connection.info.server_version,
        encoding=connection.info.parameter_status("server_encoding") or "",
        padded=frozenset(row[0] for row in catalog if row[3] == "bpchar"),
    )
    own_key = request.key.columns[request.key.split :] if request.key and not request.key.whole else ()
    missing = [sql.SQL("{} IS NULL").format(sql.Identifier(c)) for c in own_key]
    key_null = sql.SQL("count(*) FILTER (WHERE {})").format(sql.SQL(" OR ").join(missing)) if missing else sql.SQL("0")
    parts = [facts_sql(c, dialect) for c in request.columns]
    texts = [sql.SQL("{}::text").format(part) for part in parts]
    statement = sql.SQL("SELECT {} FROM {} WHERE {}").format(
        sql.SQL(", ").join([sql.SQL("count(*)"), key_null, *texts]), scan.source, scan.condition
    )
    row = connection.execute(statement).fetchone()
    if row is None:
        raise SourceError(f"PostgreSQL gave no facts about {request.schema}.{request.table}")
    rows, key_nulls, *answers = row
    columns = tuple(
        column_profile(c, json.loads(answer, parse_float=Decimal), dialect)
        for c, answer in zip(request.columns, answers, strict=True)
    )
    return scan.scaled(rows), scan.scaled(key_nulls), columns


def _split_values(connection: Connection, request: ProfileRequest, scan: _Scan) -> tuple[SplitValue, ...]:
    """Every value of the split column as text, in the order of its bytes, NULL last."""
    statement = sql.SQL(
        'SELECT value, count(*) FROM (SELECT {column}::text COLLATE "C" AS value FROM {source} WHERE {condition}) AS v'
        " GROUP BY value ORDER BY value LIMIT {limit}"
    ).format(
        column=sql.Identifier(request.split_by or ""),
        source=scan.source,
        condition=scan.condition,
        limit=sql.Literal(SPLIT_LIMIT + 1),
    )
    values = []
    with connection.cursor(name="gridferry_split") as cursor:
        cursor.itersize = _FETCH_ROWS
        cursor.execute(statement)
        for value, rows in cursor:
            values.append(SplitValue(value, scan.scaled(rows)))
    if len(values) > SPLIT_LIMIT:
        raise ConfigError(
            f"{request.split_by} of {request.schema}.{request.table} has more than {SPLIT_LIMIT:,} values:"
            " each would be a container",
            state="nothing was changed",
            next_step="split by a column that names a device, or leave `split_by` out",
        )
    return tuple(values)


def _key_facts(
    connection: Connection,
    key: KeyRequest,
    *,
    scan: _Scan,
    nulls: int,
    columns: tuple[ColumnProfile, ...],
    keys: Callable[..., KeyParts],
) -> KeyProfile:
    """Args: keys: the key's parts of some columns, as `key_parts` of the table."""
    if key.whole:
        whole = KeyParts((), (row_hash_sql(key.columns),), 0)
        colliding, examples = _collisions(connection, whole, scan, shown=_shown_row(key.columns))
        return KeyProfile(key.columns, colliding, examples)
    full = keys(columns=key.columns)
    truncated: int | None = None
    truncated_examples: tuple[str, ...] = ()
    fine = next((c.fine for c in columns if c.name == key.truncate), None)
    if key.truncate is not None and fine != 0:
        cut = keys(columns=key.columns, truncate=key.truncate, epoch=key.epoch)
        truncated, truncated_examples = _collisions(connection, cut, scan)
    # Rows that meet in a key meet in the cut key too: where none do there, the second look is spared.
    colliding, examples = (0, ()) if key.unique or truncated == 0 else _collisions(connection, full, scan)
    if key.truncate is not None and fine == 0:  # nothing is cut off, so the same rows meet
        truncated, truncated_examples = colliding, examples
    return KeyProfile(key.columns, colliding, examples, truncated, truncated_examples, nulls)


def _shown_row(columns: Sequence[str]) -> sql.Composable:
    """One of some rows, as a text that is not too long for a message."""
    values = [sql.SQL("coalesce({}::text, 'NULL')").format(sql.Identifier(c)) for c in columns]
    row = sql.SQL("concat_ws(', ', {})").format(sql.SQL(", ").join([sql.SQL("NULL"), *values]))
    return sql.SQL("left(min({}), {})").format(row, sql.Literal(_SHOWN_CHARACTERS))


def _collisions(
    connection: Connection, key: KeyParts, scan: _Scan, *, shown: sql.Composable | None = None
) -> tuple[int, tuple[str, ...]]:
    """How many rows there are beyond the first of their key, and up to five such keys.

    Args: shown: how a key is shown, where that is not by its parts.
    """
    met = sql.SQL("FROM {} WHERE {} AND {} GROUP BY {} HAVING count(*) > 1").format(
        scan.source, scan.condition, key.complete, key.grouped
    )
    row = connection.execute(
        sql.SQL("SELECT coalesce(sum(n - 1), 0)::int8 FROM (SELECT count(*) AS n {}) AS met").format(met)
    ).fetchone()
    colliding = row[0] if row else 0
    if not colliding:
        return 0, ()
    examples = sql.SQL("SELECT {} {} ORDER BY {} LIMIT {}").format(
        shown or key.shown, met, key.grouped, sql.Literal(EXAMPLES)
    )
    return scan.scaled(colliding), tuple(r[0] for r in connection.execute(examples))
