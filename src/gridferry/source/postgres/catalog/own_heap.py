"""Which relations do not keep all their rows in a heap of their own, so that ctid and xmin do not cover all of them.

Views, foreign tables and other access methods are known from the catalog. TimescaleDB keeps compressed rows of a plain
table in another one, and only a scan of the whole table brings them back. Whatever else takes a scan over shows in the
plan of one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
from psycopg import sql

from gridferry.model.table import Table
from gridferry.source.postgres.sql.names import relation_sql

Connection = psycopg.Connection[tuple[Any, ...]]

HYPERTABLE = "it is a hypertable of TimescaleDB"
CHUNK = "it is a chunk of a hypertable of TimescaleDB"
KINDS = {"v": "view", "f": "foreign table"}
_TOGETHER = 100  # tables in one plan
_SCHEMA = "_timescaledb_catalog"
_OPEN_BELOW, _OPEN_ABOVE = -(2**63), 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST_US, _LAST_US = -30_610_224_000_000_000, 253_402_300_799_999_999  # years of four digits

# What is read of TimescaleDB's catalog, and in which types. Anybody may be allowed to make a schema of that name: a
# view in it, or a column of a type with a cast of its own, would run its code as our role.
_CATALOG = {
    "hypertable": {"id": "int4", "schema_name": "name", "table_name": "name"},
    "chunk": {
        "id": "int4", "hypertable_id": "int4", "schema_name": "name", "table_name": "name",
        "compressed_chunk_id": "int4",
    },
    "dimension": {"id": "int4", "hypertable_id": "int4", "column_name": "name", "interval_length": "int8"},
    "dimension_slice": {"dimension_id": "int4", "range_start": "int8", "range_end": "int8"},
    "compression_chunk_size": {
        "chunk_id": "int4", "uncompressed_heap_size": "int8", "uncompressed_toast_size": "int8",
        "numrows_pre_compression": "int8",
    },
}  # fmt: skip

_FOUND = """
SELECT c.relname::text, a.attname::text, t.typname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid AND t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
WHERE n.nspname = %(schema)s AND c.relname = ANY(%(tables)s) AND c.relkind = 'r'
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
  AND NOT pg_catalog.row_security_active(c.oid)
"""

_KEPT = """
SELECT c.oid::pg_catalog.int8, k.chunk
FROM (SELECT h.schema_name, h.table_name, false FROM _timescaledb_catalog.hypertable h
      UNION ALL SELECT k.schema_name, k.table_name, true FROM _timescaledb_catalog.chunk k) AS k(schema, name, chunk)
JOIN pg_catalog.pg_namespace n ON n.nspname = k.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = k.name
WHERE c.oid = ANY(%(oids)s)
"""

# Rows and bytes that were there before they were compressed: the catalog's own numbers tell nothing of them.
_COMPRESSED = """
SELECT pg_catalog.sum(s.numrows_pre_compression)::pg_catalog.int8,
       pg_catalog.sum(s.uncompressed_heap_size + s.uncompressed_toast_size)::pg_catalog.int8
FROM _timescaledb_catalog.compression_chunk_size s
JOIN _timescaledb_catalog.chunk k ON k.id = s.chunk_id JOIN _timescaledb_catalog.hypertable h ON h.id = k.hypertable_id
WHERE (h.schema_name = %(schema)s AND h.table_name = %(name)s)
   OR (k.schema_name = %(schema)s AND k.table_name = %(name)s)
"""

_SLICES = """
SELECT d.column_name::text, t.typname::text, s.range_start, s.range_end
FROM _timescaledb_catalog.hypertable h
JOIN _timescaledb_catalog.dimension d ON d.hypertable_id = h.id AND d.interval_length IS NOT NULL
JOIN _timescaledb_catalog.dimension_slice s ON s.dimension_id = d.id
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = pg_catalog.to_regclass(%(relation)s) AND a.attname = d.column_name AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE h.schema_name = %(schema)s AND h.table_name = %(name)s
  AND d.id = (SELECT pg_catalog.min(o.id) FROM _timescaledb_catalog.dimension o
              WHERE o.hypertable_id = h.id AND o.interval_length IS NOT NULL)
ORDER BY s.range_start, s.range_end
"""

# A compressed chunk that the snapshot knows and that is gone now: its rows went back, where the snapshot sees none.
_UNPACKED = """
SELECT 1 FROM _timescaledb_catalog.hypertable h JOIN _timescaledb_catalog.chunk k ON k.hypertable_id = h.id
JOIN _timescaledb_catalog.chunk z ON z.id = k.compressed_chunk_id
JOIN pg_catalog.pg_namespace n ON n.nspname = z.schema_name
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = z.table_name
WHERE h.schema_name = %(schema)s AND h.table_name = %(name)s AND pg_catalog.pg_relation_filenode(c.oid) IS NULL
LIMIT 1
"""

# Of all that this session's open transaction has locked: the file node that its snapshot sees, and the one of now.
_REWRITTEN = """
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid() AND c.relkind IN ('r', 'm')
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
  AND c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)
ORDER BY 1, 2 LIMIT 1
"""


@dataclass(frozen=True)
class Slices:
    """The ranges of a hypertable's chunks: the column that it is cut by, and edges as text of its type, ascending."""

    column: str
    edges: tuple[str, ...]


def fetch_kept(connection: Connection, oids: Sequence[int]) -> dict[int, str]:
    """Those of these tables that TimescaleDB keeps, each with `HYPERTABLE` or `CHUNK`."""
    if not oids or not _has(connection, "hypertable", "chunk"):
        return {}
    rows = connection.execute(_KEPT, {"oids": list(oids)}).fetchall()
    return {oid: CHUNK if chunk else HYPERTABLE for oid, chunk in rows}


def fetch_compressed(connection: Connection, schema: str, name: str) -> tuple[int, int]:
    """Rows and bytes of a hypertable or chunk that are compressed, counted as they were before."""
    if not _has(connection, "hypertable", "chunk", "compression_chunk_size"):
        return 0, 0
    row = connection.execute(_COMPRESSED, {"schema": schema, "name": name}).fetchone()
    return (row[0] or 0, row[1] or 0) if row else (0, 0)


def fetch_slices(connection: Connection, table: Table, *, rows_per_chunk: int) -> Slices | None:
    """Where to cut a hypertable: at its chunks' edges, and evenly within one where rows are many; None where unknown.

    Nothing depends on the edges but the size of the parts: the first is open below, the last above.
    """
    if not _has(connection, "hypertable", "dimension", "dimension_slice"):
        return None
    asked = {
        "schema": table.schema,
        "name": table.name,
        "relation": relation_sql(table.schema, table.name).as_string(None),
    }
    rows = connection.execute(_SLICES, asked).fetchall()
    ranges = sorted({(low, high) for _, _, low, high in rows if low > _OPEN_BELOW and high < _OPEN_ABOVE})
    if not rows or not ranges:
        return None
    column, kind = rows[0][0], rows[0][1]
    form = _FORMS.get(kind)
    if form is None:
        return None
    parts = max(1, round(table.row_estimate / max(1, rows_per_chunk) / len(ranges)))
    inner = sorted({low + (high - low) * i // parts for low, high in ranges for i in range(parts)})
    texts = (text for edge in inner[1:] if (text := form(edge)) is not None)
    return Slices(column, tuple(dict.fromkeys(texts)))


def find_scans(connection: Connection, tables: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """What takes the scans of tables (schema, name) over, as "it is read by CustomThing"; not there where nothing does.

    Most often nothing does, which one plan over many tables says of all of them. Raises: psycopg.Error.
    """
    found: dict[tuple[str, str], str] = {}
    for start in range(0, len(tables), _TOGETHER):
        some = tables[start : start + _TOGETHER]
        if len(some) == 1 or _taken_over(connection, some):
            found |= {table: who for table in some if (who := _taken_over(connection, [table]))}
    return found


def _taken_over(connection: Connection, tables: Sequence[tuple[str, str]]) -> str:
    """What takes the scan of one of the tables over; "" where PostgreSQL reads their heaps itself."""
    row = connection.execute(_explain(tables, sql.SQL("(FORMAT JSON, COSTS OFF) "))).fetchone()
    plan = row[0] if row else []
    plan = json.loads(plan) if isinstance(plan, str) else plan
    for node in _nodes(plan):
        if node.get("Node Type") in ("Custom Scan", "Foreign Scan"):
            who = node.get("Custom Plan Provider") or "a foreign data wrapper"
            return f"it is read by {who}, not by PostgreSQL's own scan"
    return ""


def lock_for_scan(connection: Connection, schema: str, name: str) -> None:
    """Lock all that a scan of a table reads, against rewrites: to plan one takes the locks and reads no row."""
    connection.execute(_explain([(schema, name)], sql.SQL("")))


def find_rewritten(connection: Connection, table: Table) -> str:
    """A relation that was rewritten, or emptied, between this transaction's snapshot and its lock; "" if none was."""
    row = connection.execute(_REWRITTEN).fetchone()
    if row is not None:
        return f"{row[0]}.{row[1]}"
    if table.hypertable and _has(connection, "hypertable", "chunk"):
        row = connection.execute(_UNPACKED, {"schema": table.schema, "name": table.name}).fetchone()
        return "" if row is None else table.qualified
    return ""


def _explain(tables: Sequence[tuple[str, str]], options: sql.SQL) -> sql.Composed:
    scans = [sql.SQL("SELECT FROM {}").format(relation_sql(*table)) for table in tables]
    return sql.SQL("EXPLAIN {}{}").format(options, sql.SQL(" UNION ALL ").join(scans))


def _nodes(plan: Any) -> Iterator[Mapping[str, Any]]:
    """All nodes of a plan in JSON."""
    if isinstance(plan, list):
        for each in plan:
            yield from _nodes(each)
    elif isinstance(plan, dict):
        yield plan
        for each in plan.values():
            if isinstance(each, list | dict):
                yield from _nodes(each)


def _has(connection: Connection, *tables: str) -> bool:
    """Whether TimescaleDB's catalog is there, is plain tables, and may be read."""
    asked = {"schema": _SCHEMA, "tables": list(tables)}
    found = {(table, column): kind for table, column, kind in connection.execute(_FOUND, asked)}
    return all(found.get((t, c)) == kind for t in tables for c, kind in _CATALOG[t].items())


def _moment(value: int) -> str | None:
    """A time of the catalog as text; None where it is too far away to be written."""
    moment = _EPOCH + timedelta(microseconds=value) if _FIRST_US <= value <= _LAST_US else None
    return None if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S.%f+00")


def _whole(bits: int) -> Callable[[int], str | None]:
    """Whole numbers of a type, which the edges of the last chunk may be too large for."""
    return lambda value: str(value) if abs(value) < 2 ** (bits - 1) else None


_FORMS: dict[str, Callable[[int], str | None]] = {
    **{f"int{octets}": _whole(8 * octets) for octets in (2, 4, 8)},
    **dict.fromkeys(("timestamptz", "timestamp", "date"), _moment),
}
