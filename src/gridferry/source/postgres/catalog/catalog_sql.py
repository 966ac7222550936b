"""The statements that `catalog` asks, one for each kind of fact. `oids` is bound: pg_class oids of the tables."""

from __future__ import annotations

# The role's own search path, as it would be without ours, and the role itself.
PATH = """
SELECT s.reset_val, current_user::text FROM pg_catalog.pg_settings s WHERE s.name = 'search_path'
"""

# Those of some schemas that the role may use: PostgreSQL passes over the others in a path.
USABLE = """
SELECT n.nspname FROM pg_catalog.pg_namespace n
WHERE n.nspname = ANY(%(schemas)s) AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
"""

# Every relation that a name may mean; of some names, or all.
ENTRIES = """
SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relispartition,
       EXISTS (SELECT FROM pg_catalog.pg_depend d
               WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'),
       coalesce((SELECT e.extname::text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
                 WHERE d.classid = 'pg_catalog.pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e'
                   AND d.refclassid = 'pg_catalog.pg_extension'::regclass), ''),
       EXISTS (SELECT FROM pg_catalog.pg_attribute a
               WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND n.nspname NOT LIKE 'pg\\_temp\\_%%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp\\_%%'
  AND (%(names)s::text[] IS NULL OR c.relname = ANY(%(names)s::text[]))
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""

# Of a list of all tables: what lies below what.
CHILDREN = """
SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = ANY(%(oids)s)
"""

# Columns of children that their parents do not have.
OWN_COLUMNS = """
SELECT a.attrelid, a.attname::text FROM pg_catalog.pg_attribute a
WHERE a.attrelid = ANY(%(oids)s) AND a.attnum > 0 AND NOT a.attisdropped AND a.attinhcount = 0
ORDER BY a.attrelid, a.attnum
"""

TABLES = """
SELECT c.oid, size.bytes,
       pg_catalog.has_table_privilege(c.oid, 'SELECT'),
       pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'),
       pg_catalog.row_security_active(c.oid),
       current_user::text
FROM pg_catalog.pg_class c
CROSS JOIN LATERAL (
    WITH RECURSIVE members AS (
        SELECT c.oid AS oid
      UNION
        SELECT i.inhrelid FROM members m JOIN pg_catalog.pg_inherits i ON i.inhparent = m.oid
    )
    SELECT coalesce(sum(pg_catalog.pg_table_size(k.oid)), 0)::int8 AS bytes
    FROM members m JOIN pg_catalog.pg_class k ON k.oid = m.oid WHERE k.relkind IN ('r', 'm')
) AS size
WHERE c.oid = ANY(%(oids)s)
"""

# Domains are followed down to their base: `chain` has one row a step, and the deepest one is the base type.
COLUMNS = """
WITH RECURSIVE chain AS (
    SELECT a.attrelid, a.attnum, t.oid AS type, t.typbasetype, t.typtypmod, t.typnotnull, a.atttypmod AS typmod,
           t.typtype, 0 AS depth, CASE WHEN t.typtype = 'd' THEN t.typname::text ELSE '' END AS domain
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = ANY(%(oids)s) AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
    SELECT c.attrelid, c.attnum, t.oid, t.typbasetype, t.typtypmod, c.typnotnull OR t.typnotnull,
           CASE WHEN c.typmod < 0 THEN c.typtypmod ELSE c.typmod END, t.typtype, c.depth + 1, c.domain
    FROM chain c JOIN pg_catalog.pg_type t ON t.oid = c.typbasetype
    WHERE c.typtype = 'd'
)
SELECT a.attrelid, a.attname, a.attnotnull OR b.typnotnull, a.attgenerated <> '',
       pg_catalog.format_type(a.atttypid, a.atttypmod), b.domain,
       t.typname, n.nspname, t.typtype::text, t.typcategory::text,
       n.nspname <> 'pg_catalog' AND EXISTS (
           SELECT FROM pg_catalog.pg_type p
           WHERE p.typname = t.typname AND p.typnamespace = 'pg_catalog'::regnamespace),
       b.typmod,
       pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT'), a.attnum::int4
FROM chain b
JOIN pg_catalog.pg_attribute a ON a.attrelid = b.attrelid AND a.attnum = b.attnum
JOIN pg_catalog.pg_type t ON t.oid = b.type
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE b.typtype <> 'd'
ORDER BY a.attrelid, a.attnum
"""

_KEYS = """
SELECT i.indrelid, c.relname,
       ARRAY(SELECT a.attname::text
             FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE k.place <= i.indnkeyatts ORDER BY k.place),
       i.indisprimary, {nulls_distinct}
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY(%(oids)s) AND i.indisunique AND i.indimmediate AND i.indisvalid AND NOT i.indisexclusion
  AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY i.indrelid, i.indisprimary DESC, c.relname COLLATE "C"
"""

INDEXED = """
SELECT DISTINCT i.indrelid, a.attname
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'btree'
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = ANY(%(oids)s) AND i.indisvalid AND i.indpred IS NULL
"""

# The relations that hold a table's rows: leaves of a partitioned table, a table and its inheritance children, or
# itself. reltuples is -1 (0 before PostgreSQL 14) until the first VACUUM or ANALYZE: then rows are guessed from the
# pages there are now and the columns' widths, much as the planner does.
RELATIONS = """
WITH RECURSIVE members AS (
    SELECT c.oid AS root, c.oid FROM pg_catalog.pg_class c WHERE c.oid = ANY(%(oids)s)
  UNION
    SELECT m.root, i.inhrelid FROM members m JOIN pg_catalog.pg_inherits i ON i.inhparent = m.oid
), facts AS (
    SELECT m.root, n.nspname, c.relname, c.relkind::text AS relkind,
           c.relkind IN ('r', 'm') AND coalesce(a.amname = 'heap', false) AS heap, coalesce(a.amname::text, '') AS am,
           CASE WHEN c.relkind IN ('r', 'm')
                THEN coalesce(pg_catalog.pg_relation_size(c.oid, 'main'), 0) / s.block_size ELSE 0 END AS pages,
           c.reltuples, c.relpages, s.block_size,
           pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE')
               AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
               AND NOT pg_catalog.row_security_active(c.oid) AS readable,
           28 + (SELECT coalesce(sum(CASE WHEN t.attlen > 0 THEN t.attlen ELSE 32 END), 0)
                 FROM pg_catalog.pg_attribute t
                 WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped) AS width
    FROM members m
    JOIN pg_catalog.pg_class c ON c.oid = m.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
    CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::int8 AS block_size) s
    WHERE c.relkind <> 'p'
)
SELECT root, nspname, relname, relkind, heap, am, pages,
       CASE WHEN relkind IN ('v', 'f') OR pages = 0 THEN greatest(reltuples, 0)
            WHEN reltuples >= 0 AND relpages > 0 THEN reltuples / relpages * pages
            ELSE pages * greatest(block_size / width, 1) END::int8,
       readable
FROM facts ORDER BY root, nspname COLLATE "C", relname COLLATE "C"
"""


def keys(server_version: int) -> str:
    """Unique, immediate, valid indexes over plain columns of the whole table, the primary key first."""
    return _KEYS.format(nulls_distinct="NOT i.indnullsnotdistinct" if server_version >= 150000 else "true")
