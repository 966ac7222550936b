"""A table cut into chunks that hold every row exactly once, and what to read again when a load goes on later.

Heap relations are cut by pages: `ctid` ranges, which PostgreSQL 14 and newer read without looking at other pages.
Older servers get ranges of an indexed column, with bounds from a sample. What does not keep all of its rows in a heap
of its own is cut by the values of a column: a hypertable at the edges of its chunks, others by the column's statistics
where an index begins with it. What has neither is read whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from gridferry.errors import SnapshotGone
from gridferry.model.chunk import Chunk, ChunkKind, Snapshot
from gridferry.model.table import Relation, Table, TypeKind
from gridferry.source.postgres.catalog.own_heap import fetch_slices, find_rewritten, lock_for_scan
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.sql.names import relation_sql
from gridferry.source.selection import Resume

Connection = psycopg.Connection[tuple[Any, ...]]

PAGE_RANGES_FROM = 140000  # PostgreSQL 14 has the TID range scan
SAMPLE_ROWS_A_CHUNK = 200
_MOST_HISTOGRAM_PARTS = 100  # about as many as a column's statistics have by default
XID_SPAN = 2**31  # transaction ids are compared modulo 2**32: half of them are "younger" than a given one
XID_MARGIN = 10_000_000

# The first as this transaction's snapshot sees the catalog, the second as it is now.
_STORAGE = """
SELECT coalesce(nullif(c.relfilenode, 0)::text, ''), coalesce(pg_catalog.pg_relation_filenode(c.oid)::text, '')
FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass(%s)
"""
_STORAGE_OF_EACH = """
SELECT n.number, CASE WHEN c.oid IS NOT NULL THEN coalesce(nullif(c.relfilenode, 0)::text, '') END,
       coalesce(pg_catalog.pg_relation_filenode(c.oid)::text, '')
FROM pg_catalog.unnest(%(names)s::text[]) WITH ORDINALITY AS n(name, number)
LEFT JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(n.name)
"""
_LOCKED_AT_ONCE = 200
_NEXT_XID = "SELECT pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())"


def plan_chunks(
    connection: Connection, table: Table, *, rows_per_chunk: int, page_ranges: bool | None = None
) -> tuple[Chunk, ...]:
    """Chunks of about `rows_per_chunk` rows, numbered from 0 in the order of `table.relations`.

    Together they hold every row that a snapshot shows, whenever it was taken: the first chunk of a relation is open
    below, the last one above. `page_ranges` overrules what the server's version says about reading by pages.
    Raises: SnapshotGone if the table was rewritten since the connection's snapshot; no rewrite can follow (a lock).
    """
    by_pages = connection.info.server_version >= PAGE_RANGES_FROM if page_ranges is None else page_ranges
    chunks: list[Chunk] = []
    with mapped(f"planning the chunks of {table.qualified}"):
        held = held_storage(connection, table)
        for relation in table.relations:
            if relation.heap and by_pages:
                bounds, kind, column = _page_bounds(relation, rows_per_chunk), ChunkKind.PAGES, ""
            elif not relation.heap:
                column, bounds = _value_bounds(connection, table, relation, rows_per_chunk=rows_per_chunk)
                kind = ChunkKind.KEYS
            else:
                column = _range_column(table)
                kind = ChunkKind.KEYS
                bounds = _key_bounds(connection, relation, column, rows_per_chunk=rows_per_chunk) if column else []
            storage = held[relation.schema, relation.name]
            chunks += _cut(relation, bounds, kind=kind if bounds or kind is ChunkKind.PAGES else ChunkKind.WHOLE,
                           column=column, first_number=len(chunks), storage=storage)  # fmt: skip
    return tuple(chunks)


def chunks_to_resume(
    connection: Connection,
    table: Table,
    *,
    planned: Sequence[Chunk],
    finished: frozenset[int],
    old: Snapshot,
    rows_per_chunk: int,
    page_ranges: bool | None = None,
) -> Resume:
    """What to read now, under a later snapshot, so that every row it shows has been read at least once.

    `planned` are all chunks of the load so far, `finished` the numbers of those that were read, and `old` the last
    snapshot they were read under. Chunks of a run before that one may be older: the run's own RECENT chunk remembers
    how old, until it is finished and they are as new as the rest. A row may have moved behind them since: an UPDATE
    writes it to another page, under a new transaction id, so rows too young for them are read again (`recent_chunk`).
    A rewrite of the relation (VACUUM FULL, CLUSTER, REFRESH) moves rows and leaves their transaction ids alone: it is
    seen by the file node, and the whole relation is read again; so is what has no transaction ids, and everything
    when ids may have wrapped round.
    Rows that were deleted since, or whose key was changed, are not found this way.
    """
    fresh = plan_chunks(connection, table, rows_per_chunk=rows_per_chunk, page_ranges=page_ranges)
    with mapped(f"planning the rest of {table.qualified}"):
        next_xid = _next_xid(connection)
        storage = held_storage(connection, table)
    chunks: list[Chunk] = []
    added: list[Chunk] = []
    kept: set[int] = set()
    dropped: set[int] = set()
    for relation in table.relations:
        name = (relation.schema, relation.name)
        mine = [c for c in planned if (c.schema, c.relation) == name]
        whole_again = not mine or any(c.storage != storage[name] or c.tree != relation.tree for c in mine)
        some_finished = any(c.number in finished for c in mine)
        since = _oldest_xmin(mine, finished, old)
        comparable = relation.heap and 0 <= next_xid - since < XID_SPAN - XID_MARGIN
        if whole_again or (some_finished and not comparable):
            dropped.update(c.number for c in mine)
            added += [c for c in fresh if (c.schema, c.relation) == name]
            continue
        chunks += [c for c in mine if c.number not in finished and c.kind is not ChunkKind.RECENT]
        kept.update(c.number for c in mine if c.number in finished)
        dropped.update(c.number for c in mine if c.kind is ChunkKind.RECENT and c.number not in finished)
        if some_finished:
            added.append(recent_chunk(relation, since, storage=storage[name]))
    dropped.update(c.number for c in planned if c.number not in kept and c.number not in {k.number for k in chunks})
    first = max((c.number for c in planned), default=-1) + 1
    renumbered = [_numbered(c, first + i) for i, c in enumerate(added)]
    return Resume((*chunks, *renumbered), frozenset(kept), frozenset(dropped), added=len(renumbered))


def recent_chunk(relation: Relation, xmin: int, *, number: int = 0, storage: str = "") -> Chunk:
    """The rows of `relation` that a snapshot of this xmin may not have shown, and some that it did.

    Its xmin is the bound, not its xmax: every transaction that was running then (long, prepared, or inside a
    subtransaction) has an id at or above it, and every row version below it was settled.
    """
    return Chunk(
        number=number,
        kind=ChunkKind.RECENT,
        schema=relation.schema,
        relation=relation.name,
        low=str(xmin),
        storage=storage,
        tree=relation.tree,
    )


def snapshot_xmin(snapshot: Snapshot) -> int:
    """The 64-bit id below which every transaction had ended. `visible` is xmin:xmax:xip_list."""
    return int(snapshot.visible.split(":")[0])


def chunk_condition(chunk: Chunk) -> sql.Composable:
    """The SQL condition that a row of the chunk's relation lies in the chunk."""
    if chunk.kind is ChunkKind.RECENT:
        # age() counts back from one and the same id within a transaction, so the two ages compare as the ids do.
        xid = str(int(chunk.low or "0") % 2**32)
        return sql.SQL("pg_catalog.age(xmin) <= pg_catalog.age({}::pg_catalog.xid)").format(sql.Literal(xid))
    if chunk.kind is ChunkKind.PAGES:
        tid = sql.SQL("{}::pg_catalog.tid")
        low = tid.format(sql.Literal(f"({int(chunk.low or 0)},0)"))
        high = tid.format(sql.Literal(f"({int(chunk.high)},0)")) if chunk.high is not None else None
        return _between(sql.SQL("ctid"), low if chunk.low is not None else None, high)
    if chunk.kind is ChunkKind.KEYS:
        column = sql.Identifier(chunk.column)
        low_value = None if chunk.low is None else sql.Literal(chunk.low)
        high_value = None if chunk.high is None else sql.Literal(chunk.high)
        condition = _between(column, low_value, high_value)
        # Rows without a value belong to the first chunk.
        return condition if chunk.low is not None else sql.SQL("({} OR {} IS NULL)").format(condition, column)
    return sql.SQL("TRUE")


def relation_source(chunk: Chunk, table: str | None = None) -> sql.Composed:
    """What comes after FROM: ONLY the relation, unless the ones below it come with it.

    A partition or child goes by the name of `table`, which the plan's condition may use.
    """
    renamed = sql.SQL("") if table in (None, chunk.relation) else sql.SQL(" AS {}").format(sql.Identifier(table or ""))
    return sql.SQL("{}{}{}").format(
        sql.SQL("") if chunk.tree else sql.SQL("ONLY "), relation_sql(chunk.schema, chunk.relation), renamed
    )


def _between(value: sql.Composable, low: sql.Composable | None, high: sql.Composable | None) -> sql.Composable:
    parts = []
    if low is not None:
        parts.append(sql.SQL("{} >= {}").format(value, low))
    if high is not None:
        parts.append(sql.SQL("{} < {}").format(value, high))
    return sql.SQL(" AND ").join(parts) if parts else sql.SQL("TRUE")


def _page_bounds(relation: Relation, rows_per_chunk: int) -> list[str]:
    """The inner bounds, as page numbers. Pages added later belong to the last chunk."""
    # At least a row a page: an estimate from before the last bulk load must not make one chunk of everything.
    rows_per_page = max(relation.row_estimate / relation.pages, 1.0) if relation.pages else 1.0
    pages_per_chunk = max(1, round(rows_per_chunk / rows_per_page))
    return [str(page) for page in range(pages_per_chunk, relation.pages, pages_per_chunk)]


def _range_column(table: Table) -> str:
    """The column to cut by: the first of a unique key, else any that leads an index; "" where there is none.

    Not one of an extension's type: its values are sorted by its own operators, and a condition on it compares as text.
    """
    candidates = [key.columns[0] for key in table.keys] + sorted(table.indexed)
    for name in candidates:
        column = table.column(name)
        if name not in table.indexed or column is None or not column.type.builtin:
            continue
        if column.type.kind in (TypeKind.BASE, TypeKind.ENUM):
            return name
    return ""


def _value_bounds(
    connection: Connection, table: Table, relation: Relation, *, rows_per_chunk: int
) -> tuple[str, list[str]]:
    """A column and the inner bounds to cut a relation by that is no heap; "" and none where it is read whole."""
    if table.hypertable:
        slices = fetch_slices(connection, table, rows_per_chunk=rows_per_chunk)
        return ("", []) if slices is None else (slices.column, list(slices.edges))
    column = _range_column(table) if relation.relkind in "rpm" else ""
    parts = min(_MOST_HISTOGRAM_PARTS, math.ceil(relation.row_estimate / max(rows_per_chunk, 1)))
    if not column or parts < 2:
        return "", []
    # Ascending, as the column compares: they were sorted by its own operators and collation.
    statement = sql.SQL(
        "SELECT s.histogram_bounds::pg_catalog.text::pg_catalog.text[] FROM pg_catalog.pg_stats AS s"
        " WHERE s.schemaname = {} AND s.tablename = {} AND s.attname = {} AND s.histogram_bounds IS NOT NULL"
        " ORDER BY s.inherited DESC LIMIT 1"
    ).format(*(sql.Literal(name) for name in (relation.schema, relation.name, column)))
    row = connection.execute(statement).fetchone()
    edges = row[0][1:-1] if row else []
    step = max(1, math.ceil((len(edges) + 1) / parts))
    return column, edges[step - 1 :: step]


def _key_bounds(connection: Connection, relation: Relation, column: str, *, rows_per_chunk: int) -> list[str]:
    """The inner bounds, as text of the column's type, ascending and distinct, from a sample of pages."""
    parts = math.ceil(relation.row_estimate / max(rows_per_chunk, 1))
    if parts < 2:
        return []
    percent = min(100.0, 100.0 * parts * SAMPLE_ROWS_A_CHUNK / max(relation.row_estimate, 1))
    statement = sql.SQL(
        "SELECT bound::text FROM (SELECT DISTINCT bound FROM pg_catalog.unnest(("
        "SELECT percentile_disc({fractions}::float8[]) WITHIN GROUP (ORDER BY {column})"
        " FROM ONLY {relation} TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1))) AS b(bound)) AS d"
        " WHERE bound IS NOT NULL ORDER BY d.bound"
    ).format(
        fractions=sql.Literal([i / parts for i in range(1, parts)]),
        column=sql.Identifier(column),
        relation=relation_sql(relation.schema, relation.name),
        percent=sql.Literal(percent),
    )
    return [row[0] for row in connection.execute(statement)]


def _cut(
    relation: Relation, bounds: Sequence[str], *, kind: ChunkKind, column: str, first_number: int, storage: str
) -> list[Chunk]:
    """One chunk more than there are inner bounds."""
    edges: list[str | None] = [None, *bounds, None]
    rows = relation.row_estimate // (len(bounds) + 1)
    return [
        Chunk(
            number=first_number + i,
            kind=kind,
            schema=relation.schema,
            relation=relation.name,
            column=column if kind is ChunkKind.KEYS else "",
            low=edges[i],
            high=edges[i + 1],
            rows=rows,
            storage=storage,
            tree=relation.tree,
        )
        for i in range(len(bounds) + 1)
    ]


def held_storage(connection: Connection, table: Table) -> dict[tuple[str, str], str]:
    """Each relation's file node as text ("" where it is no heap), once all that they read is locked against rewrites.

    The lock (ACCESS SHARE, as any read takes) lasts as long as the transaction, so as long as a held snapshot. It has
    to be taken: TRUNCATE and a rewriting ALTER TABLE make a table look empty to every older snapshot.
    Raises: SnapshotGone if one of them came between the snapshot and the lock.
    """
    storage: dict[tuple[str, str], str] = {}
    for relation in table.relations:
        name = relation_sql(relation.schema, relation.name)
        if not relation.heap:
            lock_for_scan(connection, relation.schema, relation.name)
            storage[relation.schema, relation.name] = ""
            continue
        connection.execute(sql.SQL("SELECT FROM {} WHERE false").format(name))
        row = connection.execute(_STORAGE, (name.as_string(None),)).fetchone()
        if row is None or row[0] != row[1]:
            raise _was_rewritten(f"{relation.schema}.{relation.name}")
        storage[relation.schema, relation.name] = row[1]
    if not table.own_heap and (rewritten := find_rewritten(connection, table)):
        raise _was_rewritten(rewritten)
    return storage


def held_heaps(connection: Connection, relations: Sequence[Relation]) -> dict[tuple[str, str], SnapshotGone]:
    """The same for heaps of many tables: those that were rewritten, each with its error."""
    gone: dict[tuple[str, str], SnapshotGone] = {}
    for start in range(0, len(relations), _LOCKED_AT_ONCE):
        some = relations[start : start + _LOCKED_AT_ONCE]
        names = [relation_sql(each.schema, each.name) for each in some]
        locks = (sql.SQL("SELECT FROM {} WHERE false").format(name) for name in names)
        connection.execute(sql.SQL(" UNION ALL ").join(locks))
        asked = {"names": [name.as_string(None) for name in names]}
        for number, seen, now in connection.execute(_STORAGE_OF_EACH, asked):
            if seen is None or seen != now:
                each = some[number - 1]
                gone[each.schema, each.name] = _was_rewritten(f"{each.schema}.{each.name}")
    return gone


def _was_rewritten(name: str) -> SnapshotGone:
    return SnapshotGone(
        f"the table {name} was rewritten after the snapshot was taken",
        state="nothing was read under this snapshot",
        next_step="run the same command again: it takes a new snapshot",
    )


def _next_xid(connection: Connection) -> int:
    """The 64-bit id that the next transaction gets, or a little less."""
    row = connection.execute(_NEXT_XID).fetchone()
    return int(row[0]) if row else 0


def _oldest_xmin(planned: Sequence[Chunk], finished: frozenset[int], old: Snapshot) -> int:
    """The xmin of the oldest snapshot that a finished chunk may have been read under and not brought up to date."""
    waiting = [c for c in planned if c.kind is ChunkKind.RECENT and c.number not in finished]
    return min([snapshot_xmin(old), *(int(c.low or 0) for c in waiting)])


def _numbered(chunk: Chunk, number: int) -> Chunk:
    values = {**chunk.__dict__, "number": number}
    return Chunk(**values)
