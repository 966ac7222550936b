"""Partitions, children and chunks that join or leave a table with their rows: read or told, and settled as advised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import sync
from tests.e2e.command import command
from tests.e2e.ferry import Ferry

from gridferry.model.verification import Verdict

WATERMARK: dict[str, Any] = {
    "table": "log",
    "key": "id",
    "sync": {"mode": "watermark", "column": "id", "lookback_values": 5},
}
SETTLE = "run `gridferry repair` once"


def make_tree(database: Database, kind: str) -> None:
    """Two parts with ten rows each, and a third table that is none yet and is older than any cursor."""
    if kind == "partitions":
        database.run("CREATE TABLE log (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)")
        for low in (100, 200):
            database.run(f"CREATE TABLE log_{low} PARTITION OF log FOR VALUES FROM ({low}) TO ({low + 100})")
    else:
        database.run("CREATE TABLE log (id int PRIMARY KEY, v text)")
        for low in (100, 200):
            database.run(f"CREATE TABLE log_{low} (PRIMARY KEY (id)) INHERITS (log)")
    database.run("CREATE TABLE log_0 (id int PRIMARY KEY, v text)")
    for low in (0, 100, 200):
        database.run(f"INSERT INTO log_{low} SELECT i, 'row ' || i FROM generate_series({low + 1}, {low + 10}) AS i")


def join(database: Database, kind: str, low: int = 0) -> None:
    if kind == "partitions":
        database.run(f"ALTER TABLE log ATTACH PARTITION log_{low} FOR VALUES FROM ({low}) TO ({low + 100})")
    else:
        database.run(f"ALTER TABLE log_{low} INHERIT log")


def leave(database: Database, kind: str, low: int) -> None:
    if kind == "partitions":
        database.run(f"ALTER TABLE log DETACH PARTITION log_{low}")
    else:
        database.run(f"ALTER TABLE log_{low} NO INHERIT log")


def level(ferry: Ferry, database: Database) -> bool:
    there = sorted((row["id"], row["v"]) for row in ferry.rows("log"))
    return there == sorted(database.run("SELECT id, v FROM log"))


def repaired(ferry: Ferry, database: Database, folder: Path) -> None:
    """Follow the advice: both sides are equal then, and nothing is told any more."""
    assert SETTLE in command(ferry, folder, "status").text
    done = command(ferry, folder, "repair")
    assert done.code == 0, done.text
    assert level(ferry, database)
    assert SETTLE not in command(ferry, folder, "status").text
    assert "log_" not in command(ferry, folder, "sync").text


@pytest.mark.parametrize("sweep", [False, True])
@pytest.mark.parametrize("kind", ["partitions", "children"])
def test_rows_of_a_part_that_joins_are_read_though_they_are_older_than_the_cursor(
    ferry: Ferry, postgres: Database, tmp_path: Path, kind: str, sweep: bool
) -> None:
    make_tree(postgres, kind)
    followed = ferry.of(WATERMARK)
    followed.load()
    for _ in range(3):
        postgres.run("SELECT txid_current()")
        sync(followed)
    join(postgres, kind)
    postgres.run("INSERT INTO log_200 VALUES (250, 'new')")
    said = command(followed, tmp_path, "sync", *(["--sweep"] if sweep else []))
    assert said.code == 0
    assert "log_0 joined the table with 10 rows older than the last sync" in said.text
    assert level(followed, postgres)
    said = command(followed, tmp_path, "sync")
    assert "joined" not in said.text
    assert "nothing new" in said.text
    with followed.migration() as migration:
        assert migration.verifications.verify().verdict is Verdict.EQUAL


@pytest.mark.parametrize("kind", ["partitions", "children"])
def test_a_part_that_left_and_joined_again_meanwhile_is_read_whole(
    ferry: Ferry, postgres: Database, tmp_path: Path, kind: str
) -> None:
    make_tree(postgres, kind)
    followed = ferry.of(WATERMARK)
    followed.load()
    for _ in range(3):
        sync(followed)
    leave(postgres, kind, 100)
    postgres.run("INSERT INTO log_100 VALUES (105 + 50, 'below the lookback')")
    join(postgres, kind, 100)
    assert "log_100 joined the table" in command(followed, tmp_path, "sync").text
    assert level(followed, postgres)


@pytest.mark.parametrize("how", ["leaves", "drop", "truncate"])
@pytest.mark.parametrize("kind", ["partitions", "children"])
def test_a_part_that_goes_is_told_until_a_repair_has_settled_it(
    ferry: Ferry, postgres: Database, tmp_path: Path, kind: str, how: str
) -> None:
    make_tree(postgres, kind)
    followed = ferry.of(WATERMARK)
    followed.load()
    sync(followed)
    if how == "leaves":
        leave(postgres, kind, 100)
    else:
        postgres.run(f"{how} TABLE log_100")
    said = command(followed, tmp_path, "sync")
    assert said.code == 0
    what = "log_100 was emptied or written anew" if how == "truncate" else "log_100 left the table"
    assert what in said.text
    assert not level(followed, postgres)
    repaired(followed, postgres, tmp_path)


def test_a_part_below_a_part(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    make_tree(postgres, "partitions")
    postgres.run("CREATE TABLE old (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)")
    postgres.run("CREATE TABLE old_3 PARTITION OF old FOR VALUES FROM (300) TO (350)")
    postgres.run("INSERT INTO old VALUES (301, 'a'), (302, 'b')")
    followed = ferry.of(WATERMARK)
    followed.load()
    sync(followed)
    postgres.run("INSERT INTO log VALUES (299, 'high')")
    sync(followed)
    postgres.run("ALTER TABLE log ATTACH PARTITION old FOR VALUES FROM (300) TO (400)")
    assert "old_3 joined the table with 2 rows" in command(followed, tmp_path, "sync").text
    assert level(followed, postgres)
    postgres.run("ALTER TABLE log DETACH PARTITION old")
    assert "old_3 left the table" in command(followed, tmp_path, "sync").text
    repaired(followed, postgres, tmp_path)


def test_a_partition_that_the_application_makes_as_it_goes_is_no_news(
    ferry: Ferry, postgres: Database, tmp_path: Path
) -> None:
    make_tree(postgres, "partitions")
    followed = ferry.of(WATERMARK)
    followed.load()
    for low in (300, 400):
        sync(followed)
        postgres.run(f"CREATE TABLE log_{low} PARTITION OF log FOR VALUES FROM ({low}) TO ({low + 100})")
        postgres.run(f"INSERT INTO log VALUES ({low}, 'x')")
        said = command(followed, tmp_path, "sync").text
        assert "1 row" in said
        assert "joined" not in said
        assert level(followed, postgres)


def test_a_part_that_may_be_read_through_its_table_only(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    make_tree(postgres, "partitions")
    role = f"reader_{postgres.name}".replace(" ", "_")
    postgres.run(f'CREATE ROLE "{role}" LOGIN; GRANT SELECT ON log TO "{role}"')
    try:
        followed = Ferry(postgres.dsn_as(role), ferry.server, ferry.database).of(WATERMARK)
        followed.load()
        sync(followed)
        postgres.run("INSERT INTO log VALUES (290, 'high')")
        sync(followed)
        join(postgres, "partitions")
        assert "log_0 joined the table with 10 rows" in command(followed, tmp_path, "sync").text
        assert level(followed, postgres)
        leave(postgres, "partitions", 100)
        assert "log_100 left" in command(followed, tmp_path, "sync").text
    finally:
        postgres.run(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


def test_a_chunk_that_is_attached_to_a_hypertable(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    """A catalog in TimescaleDB's shape: new rows are told by value there, and an old chunk lies below the lookback."""
    make_tree(postgres, "children")
    postgres.run(
        "CREATE SCHEMA _timescaledb_catalog; CREATE TABLE _timescaledb_catalog.hypertable"
        " (id int, schema_name name, table_name name); CREATE TABLE _timescaledb_catalog.chunk"
        " (id int, hypertable_id int, schema_name name, table_name name, compressed_chunk_id int);"
        " INSERT INTO _timescaledb_catalog.hypertable VALUES (1, 'public', 'log');"
        " CREATE TABLE _timescaledb_catalog.dimension"
        " (id int, hypertable_id int, column_name name, interval_length int8);"
        " CREATE TABLE _timescaledb_catalog.dimension_slice (dimension_id int, range_start int8, range_end int8);"
        " CREATE TABLE _timescaledb_catalog.compression_chunk_size (chunk_id int, uncompressed_heap_size int8,"
        " uncompressed_toast_size int8, numrows_pre_compression int8)"
    )
    followed = ferry.of(WATERMARK)
    followed.load()
    for _ in range(3):
        sync(followed)
    join(postgres, "children")
    assert "log_0 joined the table with 10 rows" in command(followed, tmp_path, "sync").text
    assert level(followed, postgres)
    postgres.run("DROP TABLE log_100")
    assert "log_100 left the table" in command(followed, tmp_path, "sync").text
    repaired(followed, postgres, tmp_path)


REWRITES = [
    "VACUUM FULL log", "CLUSTER log USING log_pkey", "VACUUM FREEZE log", "ALTER TABLE log ALTER COLUMN w TYPE bigint",
    "ALTER TABLE log SET UNLOGGED", "REINDEX TABLE log",
]  # fmt: skip


@pytest.mark.parametrize("rewrite", REWRITES)
def test_a_table_that_is_written_anew_misses_no_row(
    ferry: Ferry, postgres: Database, tmp_path: Path, rewrite: str
) -> None:
    """Some keep each row's xmin, some give all rows a new one: either way what was not read is found."""
    postgres.run("CREATE TABLE log (id int PRIMARY KEY, v text, w int)")
    postgres.run("INSERT INTO log SELECT i, 'row ' || i FROM generate_series(101, 120) AS i")
    followed = ferry.of({**WATERMARK, "exclude": ["w"]})
    followed.load()
    sync(followed)
    postgres.run("INSERT INTO log VALUES (130, 'before it')")
    postgres.run(rewrite)
    postgres.run("INSERT INTO log VALUES (131, 'after it'), (129, 'late')")
    said = command(followed, tmp_path, "sync")
    assert said.code == 0, said.text
    assert level(followed, postgres)
    rewritten = "ALTER TABLE" in rewrite
    assert ("written anew" in said.text) == rewritten
    if rewritten:
        repaired(followed, postgres, tmp_path)


def test_rows_that_were_frozen_when_they_were_copied(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    """COPY FREEZE: every snapshot sees them, also an older one, but they keep the id of who wrote them."""
    make_tree(postgres, "partitions")
    followed = ferry.of(WATERMARK)
    followed.load()
    sync(followed)
    postgres.run("INSERT INTO log VALUES (299, 'high')")
    sync(followed)
    with postgres.connection.transaction():
        postgres.run("CREATE TABLE log_300 PARTITION OF log FOR VALUES FROM (300) TO (400)")
        with postgres.connection.cursor() as cursor, cursor.copy("COPY log_300 FROM STDIN (FREEZE)") as copy:
            copy.write("301\tfrozen\n302\tfrozen\n")
    with postgres.connection.transaction():
        postgres.run("TRUNCATE log_100")
        with postgres.connection.cursor() as cursor, cursor.copy("COPY log_100 FROM STDIN (FREEZE)") as copy:
            copy.write("".join(f"{i}\tanother\n" for i in range(101, 111)))
    postgres.run("VACUUM FREEZE log_300")
    said = command(followed, tmp_path, "sync")
    assert said.code == 0
    rows = {row["id"]: row["v"] for row in followed.rows("log")}
    assert rows[301] == rows[302] == "frozen"
    assert "log_100 was emptied or written anew" in said.text
    repaired(followed, postgres, tmp_path)
