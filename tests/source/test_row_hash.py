"""The hash of a row's values: equal for equal rows, another one for every difference that PostgreSQL's text shows."""

from __future__ import annotations

from psycopg import sql
from tests.conftest import Database

from gridferry.source.postgres.sql.row_hash import row_hash_sql

ROWS = """
    (NULL, NULL), ('', NULL), (NULL, ''), ('', ''), ('a', 'b'), ('a,b', ''), ('a', ',b'), ('"', ''), ('""', ''),
    (',', NULL), ('(', ')'), ('\\', ''), ('\\\\', ''), (' a', NULL), ('a ', NULL), ('NULL', NULL), ('ä', '日')
"""


def test_no_two_different_rows_have_one_hash(postgres_each: Database) -> None:
    postgres_each.run("CREATE TABLE t (a text, b text)")
    postgres_each.run(f"INSERT INTO t VALUES {ROWS}")
    postgres_each.run(f"INSERT INTO t VALUES {ROWS}")
    counts = sql.SQL("SELECT count(*), count(DISTINCT (a, b)), count(DISTINCT {0}), min(length({0})) FROM t")
    text = counts.format(row_hash_sql(["a", "b"])).as_string(None)
    assert postgres_each.run(text) == [(34, 17, 17, 32)]


def test_the_hash_of_no_column_and_of_other_columns(postgres: Database) -> None:
    postgres.run("CREATE TABLE t (a text, b text)")
    postgres.run("INSERT INTO t VALUES ('x', 'y')")
    hashes = [
        postgres.run(sql.SQL("SELECT {} FROM t").format(row_hash_sql(names)).as_string(None))[0][0]
        for names in ([], ["a"], ["b"], ["a", "b"], ["b", "a"])
    ]
    assert len(set(hashes)) == 5
