"""The hash of a row's values, in SQL: what a generated key is made of.

The text of a record is the text of each value, with quotes where they are needed and nothing at all for NULL, so two
records of the same columns have the same text if and only if all their values have. The session's settings, which are
fixed, decide how values are written.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from gridferry.plan.generated_key import hashed_columns
from gridferry.plan.plan import TablePlan

_DIGITS = 32
# A database in SQL_ASCII may hold octets that are no text: they count as they are.
_ENCODING = "CASE pg_catalog.getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END"
ZERO = sql.SQL("0::pg_catalog.int8")


def row_hash_sql(columns: Sequence[str]) -> sql.Composed:
    """The hash of some columns of a row, as text of 32 hexadecimal digits."""
    record = sql.SQL("ROW({})::pg_catalog.text").format(sql.SQL(", ").join(map(sql.Identifier, columns)))
    octets = sql.SQL("pg_catalog.convert_to({}, {})").format(record, sql.SQL(_ENCODING))
    whole = sql.SQL("pg_catalog.encode(pg_catalog.sha256({}), 'hex')").format(octets)
    # A collation of the database would sort the digits by its own rules, and slower.
    return sql.SQL('(pg_catalog.left({}, {}) COLLATE "C")').format(whole, sql.Literal(_DIGITS))


def plan_hash_sql(plan: TablePlan) -> sql.Composed:
    """The hash of a row as the plan's generated key has it."""
    return row_hash_sql(hashed_columns(plan))


def ordinal_sql(plan: TablePlan) -> sql.Composed:
    """The number of a row among those with its values, which must all be in the same SELECT.

    By their place where rows have one, so that a version of a row keeps its number while nothing is changed.
    """
    order = sql.SQL(" ORDER BY tableoid, ctid" if plan.own_heap else "")
    return sql.SQL("(pg_catalog.row_number() OVER (PARTITION BY {}{}) - 1)").format(plan_hash_sql(plan), order)


def same_hash_sql(plan: TablePlan, hashes: Sequence[str]) -> sql.Composed:
    """That a row has one of some hashes."""
    return sql.SQL("{} = ANY ({}::pg_catalog.text[])").format(plan_hash_sql(plan), sql.Literal(list(hashes)))
