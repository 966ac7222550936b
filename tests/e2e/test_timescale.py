"""Hypertables of a real TimescaleDB: compressed or not, all rows come, and none is called equal that is not.

GRIDFERRY_TEST_TIMESCALE=DSN names a server that has the extension, and a role that may create databases and it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql
from tests.e2e.command import command
from tests.e2e.ferry import Ferry, Server, database_of
from tests.e2e.killer import Killer
from tests.e2e.planting import keys_of, open_all, stored

from gridferry.engine.events import TableSync
from gridferry.errors import PlanError, SnapshotGone
from gridferry.model.chunk import ChunkKind
from gridferry.model.verification import Verdict, VerifyReport
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.source import PostgresSource

DSN = os.environ.get("GRIDFERRY_TEST_TIMESCALE", "")
pytestmark = pytest.mark.skipif(not DSN, reason="GRIDFERRY_TEST_TIMESCALE names no server with TimescaleDB")

TABLE: dict[str, Any] = {
    "table": "public.conditions",
    "split_by": "device",
    "key": "time",
    "sync": {"mode": "watermark"},
}
OPTIONS: dict[str, Any] = {"rows_per_chunk": 1000, "workers": 2}
ROWS = 19_445
CREATE = (
    "CREATE TABLE conditions (time timestamptz NOT NULL, device text NOT NULL, temperature float8, humidity float8)"
)


class Timescale:
    """A database of a test's own."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.source = PostgresSource(parse_address(dsn))

    def run(self, *statements: str) -> list[Any]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str = "conditions") -> int:
        return int(self.run(f"SELECT count(*) FROM {table}")[0][0])

    def compress(self, before: str) -> None:
        self.run(
            "SELECT compress_chunk(c, if_not_compressed => true) "
            f"FROM show_chunks('conditions', older_than => '{before}'::timestamptz) c"
        )

    def decompress(self) -> None:
        self.run("SELECT decompress_chunk(c, if_compressed => true) FROM show_chunks('conditions') c")


@pytest.fixture
def timescale() -> Iterator[Timescale]:
    name = sql.Identifier(f"gridferry_{uuid.uuid4().hex[:10]}")
    with psycopg.connect(DSN, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        found = Timescale(conninfo.make_conninfo(DSN, dbname=name.as_string(None).strip('"')))
        found.run("CREATE EXTENSION timescaledb")
        yield found
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def ferry(timescale: Timescale, griddb: Server) -> Iterator[Ferry]:
    database = f"e2e_{uuid.uuid4().hex[:10]}"
    with database_of(griddb, database):
        yield Ferry(timescale.dsn, griddb, database).of(TABLE)


def plain(t: Timescale) -> None:
    t.run(
        CREATE,
        "SELECT create_hypertable('conditions', 'time', chunk_time_interval => interval '7 days')",
        "INSERT INTO conditions SELECT t, 'dev' || d, 20 + d, 50 FROM "
        "generate_series('2024-01-01'::timestamptz, '2024-01-28', '10 min') t, generate_series(1, 5) d",
        "CREATE UNIQUE INDEX ON conditions (device, time)",
        "ALTER TABLE conditions SET (timescaledb.compress, timescaledb.compress_segmentby = 'device')",
    )


def compressed(t: Timescale) -> None:
    plain(t)
    t.compress("2024-01-19")


def all_compressed(t: Timescale) -> None:
    plain(t)
    t.compress("2025-01-01")


def with_aggregate(t: Timescale) -> None:
    compressed(t)
    t.run(
        "CREATE MATERIALIZED VIEW hourly WITH (timescaledb.continuous) AS "
        "SELECT time_bucket('1 hour', time) b, device, avg(temperature) t FROM conditions GROUP BY 1, 2"
    )


def space_partitioned(t: Timescale) -> None:
    t.run(
        CREATE,
        "SELECT create_hypertable('conditions', 'time', 'device', 3, chunk_time_interval => interval '7 days')",
        "INSERT INTO conditions SELECT t, 'dev' || d, 20 + d, 50 FROM "
        "generate_series('2024-01-01'::timestamptz, '2024-01-28', '10 min') t, generate_series(1, 5) d",
        "ALTER TABLE conditions SET (timescaledb.compress, timescaledb.compress_segmentby = 'device')",
    )
    t.compress("2024-01-10")


def with_policies(t: Timescale) -> None:
    plain(t)
    t.run(
        "CALL add_columnstore_policy('conditions', after => interval '10 days')",
        "SELECT add_retention_policy('conditions', drop_after => interval '100 years')",
    )
    for (job,) in t.run("SELECT job_id FROM timescaledb_information.jobs WHERE hypertable_name = 'conditions'"):
        t.run(f"CALL run_job({job})")


SHAPES = [plain, compressed, all_compressed, with_aggregate, space_partitioned, with_policies]


@pytest.fixture(params=SHAPES, ids=lambda made: made.__name__)
def shaped(request: pytest.FixtureRequest, timescale: Timescale) -> Timescale:
    make: Callable[[Timescale], None] = request.param
    make(timescale)
    return timescale


def verified(ferry: Ferry, **options: Any) -> VerifyReport:
    with ferry.migration() as migration:
        return migration.verifications.verify(**options)


def proven(ferry: Ferry, rows: int) -> None:
    report = verified(ferry)
    assert (report.verdict, report.tables[0].source_rows, report.tables[0].target_rows) == (Verdict.EQUAL, rows, rows)


def synced(ferry: Ferry, **options: Any) -> TableSync:
    with ferry.migration() as migration:
        (done,) = migration.syncs.sync(**options)
        return done


def test_every_shape_is_loaded_whole_in_parts_and_proven_equal(shaped: Timescale, ferry: Ferry, tmp_path: Path) -> None:
    assert shaped.count() == ROWS
    (load,) = ferry.load(**OPTIONS)
    assert (load.outcome, load.rows) == ("loaded", ROWS)
    assert load.chunks > 5
    proven(ferry, ROWS)
    said = command(ferry, tmp_path, "verify", "--quick")
    assert said.code == 0, said.text


def test_a_verification_by_ranges_reads_every_row(
    timescale: Timescale, ferry: Ferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, rows in (("ROWS_IN_MEMORY", 10), ("LEAST_ROWS_A_PART", 10), ("ROWS_A_PART", 1500)):
        monkeypatch.setattr(f"gridferry.engine.comparison.ranges.{name}", rows)
    compressed(timescale)
    ferry.load(**OPTIONS)
    proven(ferry, ROWS)


def test_new_rows_in_compressed_and_other_chunks_come_whatever_is_compressed_meanwhile(
    timescale: Timescale, ferry: Ferry, tmp_path: Path
) -> None:
    ferry = ferry.of({**TABLE, "sync": {"mode": "watermark", "lookback": "40d"}})
    compressed(timescale)
    ferry.load(**OPTIONS)
    synced(ferry)
    timescale.run(
        "INSERT INTO conditions SELECT t, 'dev' || d, 1, 2 FROM "
        "generate_series('2024-01-03 00:05'::timestamptz, '2024-01-04', '1 hour') t, generate_series(1, 6) d",
        "INSERT INTO conditions SELECT t, 'dev' || d, 3, 4 FROM "
        "generate_series('2024-01-28 00:05'::timestamptz, '2024-01-29', '1 hour') t, generate_series(1, 6) d",
    )
    assert timescale.count() == ROWS + 2 * 6 * 24
    synced(ferry)
    proven(ferry, timescale.count())
    for change in (timescale.decompress, lambda: timescale.compress("2025-01-01"), timescale.decompress):
        change()
        timescale.run("INSERT INTO conditions SELECT max(time) + interval '1 minute', 'dev1', 5, 6 FROM conditions")
        synced(ferry)
        proven(ferry, timescale.count())
    timescale.compress("2024-01-19")
    assert synced(ferry, sweep=True).swept
    proven(ferry, timescale.count())
    with ferry.store() as store:
        containers = open_all(ferry, store, "public.conditions")
        standing = stored(containers["dev2"])
        containers["dev2"].delete(keys_of(standing.slice(0, 700), containers["dev2"]))
    assert verified(ferry).tables[0].missing == 700
    said = command(ferry, tmp_path, "repair")
    assert said.code == 0, said.text
    proven(ferry, timescale.count())
    said = command(ferry, tmp_path, "cutover")
    assert said.code == 0, said.text
    assert "READY" in said.text


def test_a_row_later_than_the_lookback_is_found_by_a_sweep_and_told_until_then(
    timescale: Timescale, ferry: Ferry, tmp_path: Path
) -> None:
    compressed(timescale)
    ferry.load(**OPTIONS)
    synced(ferry)
    timescale.run("INSERT INTO conditions VALUES ('2024-01-02 00:00:30', 'dev1', 1, 1)")
    synced(ferry)
    report = verified(ferry)
    assert (report.verdict, report.tables[0].missing) == (Verdict.DIFFERENT, 1)
    assert any("by a sweep only" in note for note in report.tables[0].notes)
    assert "by a sweep only" in " ".join(command(ferry, tmp_path, "status").text.split())
    synced(ferry, sweep=True)
    proven(ferry, ROWS + 1)


def test_a_load_that_was_killed_goes_on_across_compressions(timescale: Timescale, ferry: Ferry, killer: Killer) -> None:
    compressed(timescale)
    points: list[dict[str, Any]] = [
        {"point": "checkpoint", "moment": "after", "call": 5},
        {"point": "put", "moment": "after", "call": 3},
    ]
    for point in points:
        killer.run_noting(ferry, "load", **OPTIONS, **point)
        timescale.decompress()
        timescale.run("INSERT INTO conditions SELECT max(time) + interval '1 minute', 'dev1', 5, 6 FROM conditions")
        killer.run_noting(ferry, "load", **OPTIONS, **point)
        timescale.compress("2025-01-01")
    (load,) = ferry.load(**OPTIONS)
    assert load.outcome == "resumed"
    proven(ferry, timescale.count())


def test_changes_of_a_hypertable_are_refused_in_mode_cdc(timescale: Timescale, ferry: Ferry, tmp_path: Path) -> None:
    plain(timescale)
    ferry = ferry.of({**TABLE, "sync": {"mode": "cdc"}})
    said = command(ferry, tmp_path, "plan")
    assert "it is a hypertable of TimescaleDB" in " ".join(said.text.split())
    with pytest.raises(PlanError):
        ferry.load()


def test_a_chunk_and_an_aggregate_are_read_whole_as_tables_of_their_own(timescale: Timescale, ferry: Ferry) -> None:
    with_aggregate(timescale)
    ((schema, name),) = timescale.run(
        "SELECT chunk_schema, chunk_name FROM timescaledb_information.chunks WHERE is_compressed ORDER BY 2 LIMIT 1"
    )
    key = {"key": ["device", "time"]}
    ferry = ferry.of(
        {"table": f"{schema}.{name}", **key},
        {"table": "public.hourly", "key": ["device", "b"]},
    )
    loads = ferry.load()
    assert [load.rows for load in loads] == [timescale.count(f"{schema}.{name}"), timescale.count("hourly")]
    assert verified(ferry).verdict is Verdict.EQUAL


def test_a_list_of_tables_has_the_hypertable_and_none_of_its_parts(timescale: Timescale) -> None:
    with_aggregate(timescale)
    listing = timescale.source.fetch_listing()
    assert [t.qualified for t in listing.tables] == ["public.conditions"]
    assert listing.tables[0].hypertable
    why = {each.why for each in listing.left_out}
    assert "their rows come with public.conditions" in why
    assert any("timescaledb keeps them" in each for each in why)


def test_a_chunk_compressed_between_snapshot_and_lock_ends_the_snapshot(timescale: Timescale) -> None:
    for change in (timescale.decompress, lambda: timescale.compress("2025-01-01")):
        if not timescale.run("SELECT to_regclass('conditions')")[0][0]:
            compressed(timescale)
        with timescale.source.open_snapshot() as view:
            (table,) = timescale.source.fetch_tables(["conditions"])
            change()
            with pytest.raises(SnapshotGone, match="rewritten after the snapshot"):
                view.plan_chunks(table, rows_per_chunk=1000)
        with timescale.source.open_snapshot() as view:
            chunks = view.plan_chunks(table, rows_per_chunk=1000)
            assert {chunk.kind for chunk in chunks} == {ChunkKind.KEYS}


def test_foreign_tables_as_partitions_and_children_are_read_with_the_rest(timescale: Timescale, ferry: Ferry) -> None:
    """The server has contrib, which the wheel has not."""
    info = conninfo.conninfo_to_dict(timescale.dsn)
    timescale.run(
        "CREATE EXTENSION postgres_fdw",
        f"CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{info['host']}', port '{info['port']}', "
        f"dbname '{info['dbname']}')",
        f"CREATE USER MAPPING FOR CURRENT_USER SERVER here OPTIONS (user '{info['user']}')",
        "CREATE TABLE old (id int, v int)",
        "INSERT INTO old SELECT i, i FROM generate_series(1, 4000) i",
        "CREATE TABLE p (id int, v int) PARTITION BY RANGE (id)",
        "CREATE FOREIGN TABLE p_old PARTITION OF p FOR VALUES FROM (0) TO (5001) "
        "SERVER here OPTIONS (table_name 'old')",
        "CREATE TABLE p_new PARTITION OF p FOR VALUES FROM (5001) TO (99999)",
        "INSERT INTO p SELECT i, i FROM generate_series(5001, 9000) i",
        "CREATE TABLE c (id int, v int)",
        "CREATE FOREIGN TABLE c_old () INHERITS (c) SERVER here OPTIONS (table_name 'old')",
        "INSERT INTO c SELECT i, i FROM generate_series(5001, 9000) i",
        "CREATE VIEW v AS SELECT * FROM p",
        "ANALYZE",
    )
    tables = [{"table": t, "key": "id", "sync": {"mode": "watermark"}} for t in ("p", "c", "v", "p_old")]
    ferry = ferry.of(*tables)
    assert [load.rows for load in ferry.load(**OPTIONS)] == [8000, 8000, 8000, 4000]
    timescale.run(
        "INSERT INTO old SELECT i, i FROM generate_series(4001, 4100) i",
        "INSERT INTO p SELECT i, i FROM generate_series(9001, 9100) i",
        "INSERT INTO c SELECT i, i FROM generate_series(9001, 9100) i",
    )
    with ferry.migration() as migration:
        migration.syncs.sync()
    report = verified(ferry)
    assert [(t.table, t.verdict, t.source_rows) for t in report.tables] == [
        ("public.p", Verdict.EQUAL, 8200),
        ("public.c", Verdict.EQUAL, 8200),
        ("public.v", Verdict.EQUAL, 8200),
        ("public.p_old", Verdict.EQUAL, 4100),
    ]
