"""One snapshot for all readers: on a primary, on a standby, and after it was lost."""

from __future__ import annotations

import re

import psycopg
import pytest

from gridferry.errors import SnapshotGone, SourceUnreachable
from gridferry.source.postgres.rows.reader import Reader
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.source import PostgresSource


def rows(reader, chunks, plan) -> int:
    return sum(batch.num_rows for chunk in chunks for batch in reader.read_chunk(chunk, plan))


def test_all_readers_see_the_state_at_the_snapshot(postgres_each, plan):
    postgres_each.run("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 100)")
    with postgres_each.source.open_snapshot() as snapshot:
        postgres_each.run("INSERT INTO t SELECT generate_series(1, 50)")
        postgres_each.run("DELETE FROM t WHERE a < 10")
        chunks = snapshot.plan_chunks(snapshot.fetch_tables(["t"])[0], rows_per_chunk=1000)
        with snapshot.open_reader() as one, snapshot.open_reader() as two:
            assert rows(one, chunks, plan("t", "a")) == rows(two, chunks, plan("t", "a")) == 100
        assert snapshot.count_rows(plan("t", "a")) == {None: 100}
        snapshot.check()
        taken = snapshot.snapshot
    assert re.fullmatch(r"[0-9A-F]+/[0-9A-F]+", taken.lsn)
    assert re.fullmatch(r"\d+:\d+:[\d,]*", taken.visible)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", taken.taken_at)


def test_a_reader_that_comes_too_late_is_told_so(postgres):
    with postgres.source.open_snapshot() as snapshot:
        taken = snapshot.snapshot
    with pytest.raises(SnapshotGone, match="does not exist any more") as caught:
        Reader(postgres.address, snapshot=taken)
    assert "same command again" in caught.value.next_step


@pytest.mark.parametrize("ddl", ["TRUNCATE t", "ALTER TABLE t ALTER a TYPE bigint", "VACUUM FULL t"])
@pytest.mark.parametrize("kind", ["table", "partition"])
def test_a_rewrite_between_snapshot_and_plan_is_no_empty_table(postgres, ddl, kind):
    postgres.run("CREATE TABLE t (a int, k int); INSERT INTO t SELECT generate_series(1, 100), 1")
    name = "t"
    if kind == "partition":
        postgres.run("CREATE TABLE p (a int, k int) PARTITION BY LIST (k); ALTER TABLE p ATTACH PARTITION t DEFAULT")
        name, ddl = "p", ddl.replace("ALTER TABLE t", "ALTER TABLE p")
    with postgres.source.open_snapshot() as snapshot:
        # Once the table was looked at, it is locked against rewrites.
        postgres.run(ddl)
        table = snapshot.fetch_tables([name])[0]
        with pytest.raises(SnapshotGone, match=r"public\.t was rewritten"):
            snapshot.plan_chunks(table, rows_per_chunk=10)


def test_a_planned_table_cannot_be_rewritten_under_the_snapshot(postgres, plan):
    postgres.run("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 100)")
    with postgres.source.open_snapshot() as snapshot:
        chunks = snapshot.plan_chunks(snapshot.fetch_tables(["t"])[0], rows_per_chunk=10)
        postgres.run("SET lock_timeout = '50ms'")
        for ddl in ("TRUNCATE t", "VACUUM FULL t", "ALTER TABLE t ALTER a TYPE bigint", "DROP TABLE t"):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                postgres.run(ddl)
        postgres.run("INSERT INTO t VALUES (101); UPDATE t SET a = a + 1; DELETE FROM t WHERE a > 50")
        with snapshot.open_reader() as reader:
            assert rows(reader, chunks, plan("t", "a")) == 100


def test_check_notices_that_the_session_was_ended(postgres):
    with postgres.source.open_snapshot() as snapshot:
        pid = snapshot.held.connection.info.backend_pid
        postgres.end_sessions(f"pid = {pid}")
        with pytest.raises(SnapshotGone, match="was lost"):
            snapshot.check()


def test_time_limits_of_the_database_do_not_end_the_snapshot(postgres, plan):
    postgres.run("CREATE TABLE t (a int)")
    limits = ["statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"]
    limits += ["transaction_timeout"] if postgres.version >= 17 else []
    for limit in limits:
        postgres.run(f"ALTER DATABASE \"{postgres.name}\" SET {limit} = '5s'")
    with postgres.source.open_snapshot() as snapshot:
        shown = {name: snapshot.held.connection.execute(f"SHOW {name}").fetchone()[0] for name in limits}
        with snapshot.open_reader() as reader:
            statement = "SELECT current_setting('statement_timeout') AS s, pg_sleep(0.01)::text AS p"
            (batch,) = reader.read_statement(_sql(statement), doing="testing")
    assert shown.pop("lock_timeout") == "1min"
    assert set(shown.values()) == {"0"}
    assert batch.column(0).to_pylist() == ["0"]


def test_both_sessions_are_read_only_and_in_utc(postgres):
    postgres.run(f"ALTER DATABASE \"{postgres.name}\" SET timezone = 'Asia/Tokyo'")
    postgres.run(f"ALTER DATABASE \"{postgres.name}\" SET datestyle = 'German, DMY'")
    wanted = ["timezone", "datestyle", "transaction_read_only", "application_name", "row_security", "search_path"]
    expected = ["UTC", "ISO, YMD", "on", "gridferry", "off", "pg_catalog, pg_temp"]
    with postgres.source.open_snapshot() as snapshot, snapshot.open_reader() as reader:
        seen = [snapshot.held.connection.execute(f"SHOW {name}").fetchone()[0] for name in wanted]
        columns = ", ".join(f"current_setting('{name}') AS {name}" for name in wanted)
        (batch,) = reader.read_statement(_sql(f"SELECT {columns}"), doing="testing")
    assert seen == expected
    assert [column[0].as_py() for column in batch.columns] == expected


def test_a_standby_exports_snapshots_and_says_where_it_stands(postgres, plan):
    if not postgres.server.program("pg_basebackup").exists():
        pytest.skip(f"the programs of PostgreSQL {postgres.version} that are here have no pg_basebackup")
    postgres.run("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)")
    with postgres.server.standby() as standby:
        source = PostgresSource(parse_address(standby.dsn(postgres.name)))
        with source.open_snapshot() as snapshot, snapshot.open_reader() as one, snapshot.open_reader() as two:
            chunks = snapshot.plan_chunks(snapshot.fetch_tables(["t"])[0], rows_per_chunk=300)
            assert snapshot.held.standby
            assert len(chunks) > 1
            assert rows(one, chunks, plan("t", "a")) == rows(two, chunks, plan("t", "a")) == 1000
            assert re.fullmatch(r"[0-9A-F]+/[0-9A-F]+", snapshot.snapshot.lsn)


def test_a_session_ended_in_mid_stream_is_unreachable_not_an_end_of_data(postgres, plan):
    postgres.run("CREATE TABLE t (a text); INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 60000)")
    with postgres.source.open_snapshot() as snapshot, snapshot.open_reader(batch_bytes=100_000) as reader:
        (chunk,) = snapshot.plan_chunks(snapshot.fetch_tables(["t"])[0], rows_per_chunk=10**9)
        batches = reader.read_chunk(chunk, plan("t", "a"))
        next(batches)
        postgres.end_sessions("query LIKE 'COPY%TO STDOUT%'")
        with pytest.raises(SourceUnreachable, match=r"broke off while reading chunk 0 of public\.t"):
            list(batches)


def _sql(text):
    from psycopg import sql

    return sql.SQL(text)
