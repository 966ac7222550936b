"""Databases in SQL_ASCII, where a text may be any bytes: columns and rows that hold no UTF-8 are found and named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.conftest import Database
from tests.e2e.changes import sync
from tests.e2e.ferry import QUARANTINE, Ferry

from gridferry.errors import DataError

TABLE = r"""
CREATE TABLE foo (id int PRIMARY KEY, t text, note varchar(9));
INSERT INTO foo VALUES (1, 'plain', 'a'), (2, E'\303\274ber', 'b'), (3, E'caf\351', 'c'), (4, NULL, NULL)
"""


@pytest.fixture
def ascii_only(postgres: Database) -> Iterator[Database]:
    """The same server, a database in SQL_ASCII."""
    name = f"ascii {postgres.name}"
    postgres.run(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        with postgres.server_connection(name) as connection:
            yield Database(postgres.server, name, connection)
    finally:
        postgres.run(f'DROP DATABASE "{name}" WITH (FORCE)')


def of(ferry: Ferry, database: Database, **options: object) -> Ferry:
    return replace(ferry, dsn=database.server.dsn(database.name)).of({"table": "foo", **options})


def test_a_column_that_holds_other_bytes_is_kept_as_bytes_and_told(ferry: Ferry, ascii_only: Database) -> None:
    ascii_only.connection.execute(TABLE)
    ferry = of(ferry, ascii_only, sync={"mode": "cdc"})
    with ferry.migration() as migration:
        (plan,) = migration.plan().tables
    (note,) = [f.message for f in plan.findings if f.subject == "t"]
    assert "stored as BLOB and not as STRING" in note
    assert "that are no text in UTF-8 (1 row)" in note
    ferry.load()
    stored = {row["id"]: (row["t"], row["note"]) for row in ferry.rows("foo")}
    assert stored == {
        1: (b"plain", "a"), 2: ("über".encode(), "b"), 3: (b"caf\xe9", "c"), 4: (None, None)
    }  # fmt: skip
    assert ferry.equal()
    ascii_only.connection.execute(r"UPDATE foo SET t = E'\377\376' WHERE id = 1")
    sync(ferry)
    assert {row["id"]: row["t"] for row in ferry.rows("foo")}[1] == b"\xff\xfe"
    assert ferry.equal()


def test_a_row_whose_key_is_no_text_is_put_aside_and_stored_once_it_is_one(ferry: Ferry, ascii_only: Database) -> None:
    ascii_only.connection.execute(
        r"CREATE TABLE foo (k varchar(9) PRIMARY KEY, v int); INSERT INTO foo VALUES ('a', 1), (E'\351', 2), ('z', 3)"
    )
    ferry = of(ferry, ascii_only, on_bad_row="quarantine", sync={"mode": "cdc"})
    (load,) = ferry.load()
    assert load.quarantined == 1
    for change in ("UPDATE foo SET v = -v", "DELETE FROM foo WHERE k = 'a'"):
        ascii_only.connection.execute(change)
        sync(ferry)
        assert ferry.equal()
    ascii_only.connection.execute("UPDATE foo SET k = 'e' WHERE v = -2")
    sync(ferry)
    assert sorted((row["k"], row["v"]) for row in ferry.rows("foo")) == [("e", -2), ("z", -3)]
    assert ferry.equal()


def test_rows_with_other_bytes_are_named_or_put_aside(ferry: Ferry, ascii_only: Database) -> None:
    ascii_only.connection.execute(
        TABLE + r"; UPDATE foo SET note = E'\351' WHERE id = 2"
    )  # declared short: not looked at
    with pytest.raises(DataError, match="note is not valid UTF-8, in the row with id = 2") as caught:
        of(ferry, ascii_only).load()
    assert caught.value.column == "note"
    aside = of(ferry, ascii_only, on_bad_row="quarantine", sync={"mode": "cdc"})
    (load,) = aside.load(replace=True)
    assert load.quarantined == 2
    assert sorted((r["row_key"], r["column_name"], r["reason"]) for r in aside.rows(QUARANTINE)) == [
        ("id = 2", "note", "encoding"), ("id = 3", "t", "encoding")
    ]  # fmt: skip
    ascii_only.connection.execute(r"UPDATE foo SET note = E'\351' WHERE id = 1; UPDATE foo SET note = 'x' WHERE id = 2")
    sync(aside)
    assert sorted(row["id"] for row in aside.rows("foo")) == [2, 4]
    assert aside.equal()
