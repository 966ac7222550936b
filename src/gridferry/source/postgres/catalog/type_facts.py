"""What types are that the log names by oid and typmod: domains are followed down to their base, as in `catalog`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from gridferry.model.table import PgType, TypeKind
from gridferry.source.postgres.catalog.pg_types import RawType, pg_type

Connection = psycopg.Connection[tuple[Any, ...]]

_TYPES = """
WITH RECURSIVE asked AS (
    SELECT a.oid, a.typmod, a.place
    FROM ROWS FROM (unnest(%(oids)s::oid[]), unnest(%(typmods)s::int4[])) WITH ORDINALITY AS a(oid, typmod, place)
), chain AS (
    SELECT a.place, t.oid AS type, t.typbasetype, t.typtypmod, a.typmod, t.typtype,
           CASE WHEN t.typtype = 'd' THEN t.typname::text ELSE '' END AS domain
    FROM asked a JOIN pg_catalog.pg_type t ON t.oid = a.oid
  UNION ALL
    SELECT c.place, t.oid, t.typbasetype, t.typtypmod, CASE WHEN c.typmod < 0 THEN c.typtypmod ELSE c.typmod END,
           t.typtype, c.domain
    FROM chain c JOIN pg_catalog.pg_type t ON t.oid = c.typbasetype
    WHERE c.typtype = 'd'
)
SELECT a.place, pg_catalog.format_type(a.oid, a.typmod), b.domain, t.typname::text, n.nspname::text, t.typtype::text,
       t.typcategory::text,
       n.nspname <> 'pg_catalog' AND EXISTS (
           SELECT FROM pg_catalog.pg_type p
           WHERE p.typname = t.typname AND p.typnamespace = 'pg_catalog'::regnamespace),
       b.typmod
FROM asked a
LEFT JOIN chain b ON b.place = a.place AND b.typtype <> 'd'
LEFT JOIN pg_catalog.pg_type t ON t.oid = b.type
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
ORDER BY a.place
"""


def fetch_types(connection: Connection, asked: Sequence[tuple[int, int]]) -> list[PgType]:
    """The type of each oid and typmod, in order; one that is gone is formatted `???`."""
    oids, typmods = [oid for oid, _ in asked], [typmod for _, typmod in asked]
    found = []
    for _, formatted, domain, name, *rest in connection.execute(_TYPES, {"oids": oids, "typmods": typmods}):
        if name is None:
            found.append(PgType("", formatted, TypeKind.OTHER, builtin=False))
            continue
        schema, typtype, category, shadows, typmod = rest
        raw = RawType(name, schema, typtype, category, shadows=shadows, typmod=typmod)
        found.append(pg_type(raw, formatted=formatted, domain=domain))
    return found
