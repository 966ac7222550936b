"""The rows that share a row key with another row: the only ones for which `on_duplicate` has to choose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from psycopg import sql

from gridferry.plan.epochs import epoch_of
from gridferry.plan.keys import CUT_TIMES
from gridferry.plan.plan import ColumnPlan, TablePlan
from gridferry.source.postgres.rows.reader import Reader
from gridferry.source.postgres.sql.keys import KeyParts, key_columns_sql, key_parts
from gridferry.source.postgres.sql.names import condition_sql, relation_sql
from gridferry.source.postgres.sql.row_hash import plan_hash_sql

_ALL = sql.SQL("TRUE")
_WITH_PLACE = "rpm"  # relkinds whose rows have a place, ctid, to order by when nothing else decides


def read_duplicates(
    reader: Reader, plan: TablePlan, *, near: sql.Composable = _ALL, fresh: sql.Composable | None = None
) -> Iterator[pa.RecordBatch]:
    """All rows of every row key that occurs more than once; columns as `Reader.read_chunk` gives them.

    With `fresh`, a condition, only the keys of the rows that meet it; `near` is a condition that every row of those
    keys meets, and keeps the search short.

    The key is `plan.key` within one value of `plan.split_by`, cut to milliseconds where the plan cuts it. Rows of one
    key are next to each other, by `plan.order_by` ascending with NULL last, then by their physical place; where they
    have none that stays, by their values as text. A generated key is its hash alone here.
    Rows with a NULL in their key share it with none.
    Raises: SourceRefused if a column is missing; SourceUnreachable, SourceError.
    """
    doing = f"reading the rows of {plan.qualified} that share a key"
    catalog = [
        tuple(row.values())
        for batch in reader.read_statement(key_columns_sql(plan.schema, plan.table), doing=doing)
        for row in batch.to_pylist()
    ]
    key = _key(plan, catalog)
    values = reader.column_expressions(plan)
    names = [sql.Identifier(f"gridferry key {i}") for i in range(len(key.expressions))]
    orders = [sql.Identifier(f"gridferry order {i}") for i in range(len(plan.order_by))]
    place = (
        [sql.Identifier(n) for n in ("gridferry tableoid", "gridferry ctid")]
        if plan.own_heap and not plan.numbered and catalog[0][2] in _WITH_PLACE
        else []
    )
    keyed = [sql.SQL("{} AS {}").format(e, n) for e, n in zip(key.expressions, names, strict=True)]
    extra = [sql.SQL("{} AS {}").format(sql.Identifier(c), n) for c, n in zip(plan.order_by, orders, strict=True)]
    extra += [sql.SQL("{} AS {}").format(sql.SQL(c), n) for c, n in zip(("tableoid", "ctid"), place, strict=False)]
    shown = [sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in values.items()]
    source = sql.SQL("FROM {} WHERE {} AND {} AND {}").format(
        relation_sql(plan.schema, plan.table), condition_sql(plan.where), key.complete, near
    )
    # `=` lets PostgreSQL hash. The parts of the key itself are never NULL here; the split value may be, and is told
    # by its text, as the containers are.
    split_same = "(r.{0} IS NULL) = (d.{0} IS NULL) AND coalesce(r.{0}::text, '') = coalesce(d.{0}::text, '')"
    same = [sql.SQL(split_same if i < key.split else "r.{0} = d.{0}").format(name) for i, name in enumerate(names)]
    comma = sql.SQL(", ")
    if fresh is None:
        shared = sql.SQL(
            "(SELECT {inner} {source}) AS r"
            " JOIN (SELECT {keyed} {source} GROUP BY {grouped} HAVING count(*) > 1) AS d ON {same}"
        )
    else:
        # No join: how many rows are fresh is not known to the planner, which may then compare all with all.
        shared = sql.SQL(
            "(SELECT i.*, count(*) OVER w AS {count}, bool_or({fresh}) OVER w AS {wanted}"
            " FROM (SELECT {inner}, {condition} AS {fresh} {source}) AS i WINDOW w AS (PARTITION BY {keys})) AS r"
            " WHERE r.{count} > 1 AND r.{wanted}"
        )
    rows = shared.format(
        inner=comma.join([*shown, *keyed, *extra]),
        source=source,
        keyed=comma.join(keyed),
        grouped=key.grouped,
        same=sql.SQL(" AND ").join(same),
        condition=_ALL if fresh is None else fresh,
        keys=comma.join(names),
        **{name: sql.Identifier(f"gridferry {name}") for name in ("fresh", "count", "wanted")},
    )
    order: list[sql.Composable] = [sql.SQL("r.{}").format(name) for name in [*names, *orders, *place]]
    # A load and a verification must not choose differently among rows that nothing else tells apart.
    if not place and not plan.numbered:
        order += [sql.SQL('(r.{}::text) COLLATE "C"').format(sql.Identifier(name)) for name in values]
    statement = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
        comma.join(sql.SQL("r.{}").format(sql.Identifier(name)) for name in values), rows, comma.join(order)
    )
    yield from reader.read_statement(statement, doing=doing)


def _key(plan: TablePlan, catalog: Sequence[tuple[Any, ...]]) -> KeyParts:
    if plan.numbered:
        return KeyParts((), (plan_hash_sql(plan),), 0)
    split = () if plan.split_by is None else (plan.split_by,)
    cut = _truncated(plan)
    return key_parts(
        catalog,
        table=plan.qualified,
        columns=(*split, *plan.key),
        split=len(split),
        truncate=None if cut is None else cut.source,
        epoch=None if cut is None else epoch_of(cut),
    )


def _truncated(plan: TablePlan) -> ColumnPlan | None:
    """The key column that the plan cuts to milliseconds, or None."""
    own = plan.columns[: plan.key_length]
    return next((column for column in own if column.kernel in CUT_TIMES), None)
