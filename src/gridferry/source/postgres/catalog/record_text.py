"""Does PostgreSQL write records as `log.row_hash` does? A blank that only its locale knows is put in quotes too."""

from __future__ import annotations

from typing import Any

import psycopg

from gridferry.source.postgres.session.failures import mapped

Connection = psycopg.Connection[tuple[Any, ...]]

# Blanks are looked for octet by octet: these characters have every octet that one in UTF-8 may have beyond ASCII.
_OCTETS = """
SELECT coalesce(bool_and(ROW(c)::text = '(' || c || ')'), true) FROM (
    SELECT pg_catalog.chr(i) FROM pg_catalog.generate_series(128, 2047) AS i
    UNION ALL SELECT pg_catalog.chr(i * 4096 + 2048) FROM pg_catalog.generate_series(0, 12) AS i
    UNION ALL SELECT pg_catalog.chr(i) FROM pg_catalog.unnest(
        '{53248,57344,61440,65536,262144,524288,786432,1048576}'::int[]) AS i
) AS octets (c)
"""


def why_not_hashed(connection: Connection) -> str:
    """Why the log's rows cannot be hashed as PostgreSQL hashes them; "" where they can."""
    with mapped("looking how records are written"):
        ((encoding,),) = connection.execute("SELECT pg_catalog.getdatabaseencoding()::text").fetchall()
        if encoding != "UTF8":
            return f"the encoding of the database is {encoding} and not UTF8"
        ((plain,),) = connection.execute(_OCTETS).fetchall()
    return "" if plain else "the locale of the database knows blanks of its own"
