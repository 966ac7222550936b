"""What domains are made of, for a stream that names a column's type by its oid alone."""

from __future__ import annotations

from gridferry.source.postgres.connection import PostgresAddress, connect
from gridferry.source.postgres.failures import mapped

_FIRST_OF_USERS = 16384  # oids below belong to PostgreSQL itself (FirstNormalObjectId)

_DOMAINS = """
WITH RECURSIVE chain AS (
    SELECT t.oid AS domain, t.typbasetype AS base FROM pg_catalog.pg_type t WHERE t.typtype = 'd'
  UNION ALL
    SELECT c.domain, t.typbasetype FROM chain c JOIN pg_catalog.pg_type t ON t.oid = c.base WHERE t.typtype = 'd'
)
SELECT c.domain::int8, c.base::int8
FROM chain c JOIN pg_catalog.pg_type t ON t.oid = c.base WHERE t.typtype <> 'd'
"""


class Domains:
    """The base types of a database's domains. Asks once, and again for each type that is new since. One thread's."""

    def __init__(self, address: PostgresAddress) -> None:
        """Raises: SourceUnreachable or SourceRefused."""
        self._address = address
        self._known = self._fetch()

    def base_type(self, oid: int) -> int:
        """The oid of the type under all domains; `oid` itself where it is no domain, or is gone."""
        if oid < _FIRST_OF_USERS:
            return oid
        if oid not in self._known:
            self._known = {oid: oid, **self._known, **self._fetch()}
        return self._known[oid]

    def _fetch(self) -> dict[int, int]:
        with connect(self._address) as connection, mapped("reading the domains"):
            return dict(connection.execute(_DOMAINS).fetchall())
