"""The statements that `publications` asks: what may be published of a table, and what is."""

from __future__ import annotations

# The index that PostgreSQL itself would use: valid, not deferrable, chosen by relreplident (RelationGetReplicaIndex).
MEMBERS = """
WITH RECURSIVE members AS (
    SELECT c.oid AS root, c.oid, 0 AS depth FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %(schema)s AND c.relname = %(table)s
  UNION
    SELECT m.root, i.inhrelid, m.depth + 1 FROM members m JOIN pg_catalog.pg_inherits i ON i.inhparent = m.oid
)
SELECT DISTINCT ON (m.depth, c.oid)
       c.oid::int8, n.nspname, c.relname, c.relkind::text, c.relpersistence::text, c.relispartition,
       c.relreplident = 'f',
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY a.attnum)
        FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey::int2[])
        WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
          AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END),
       pg_catalog.pg_has_role(c.relowner, 'USAGE'), coalesce(a.amname::text, '')
FROM members m JOIN pg_catalog.pg_class c ON c.oid = m.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
ORDER BY m.depth, c.oid
"""
GENERATED = """
SELECT a.attname::text FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated::text = ANY(%(kinds)s)
ORDER BY a.attnum
"""
# An index that may be made the replica identity, as of a join table that has no primary key.
SERVES = """
SELECT c.relname::text FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = %(oid)s AND i.indisunique AND i.indimmediate AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                  WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey::int2[]) AND NOT a.attnotnull)
ORDER BY i.indnkeyatts, c.relname COLLATE "C" LIMIT 1
"""
COLUMNS = """
SELECT a.attname::text FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
PUBLICATIONS = """
SELECT p.pubname, p.oid::int8,
       coalesce((SELECT pg_catalog.array_agg(ARRAY[n.nspname::text, c.relname::text])
        FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE r.prpubid = p.oid), '{{}}'),
       ARRAY[p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate], {through_root}, {cut}
FROM pg_catalog.pg_publication p WHERE p.pubname = ANY(%(names)s)
"""


# Since 15 a publication may leave out columns and rows of a table.
CUT = """EXISTS (SELECT FROM pg_catalog.pg_publication_rel r
               WHERE r.prpubid = p.oid AND (r.prattrs IS NOT NULL OR r.prqual IS NOT NULL))"""
