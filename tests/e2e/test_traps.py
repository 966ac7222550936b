"""The traps that others fell into, by their number in docs/traps.md: each body fails for the simple way of doing it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.sensors import CHUNK, ROWS, TABLE, add_sensors, assert_arrived, make_sensors

from gridferry.embedded.refusal import Code
from gridferry.embedded.server import Server as EmbeddedServer
from gridferry.engine.events import ChunkDone, Event
from gridferry.errors import ConfigError, DataError, FerryError, PlanError
from gridferry.griddb import BulkWriter
from gridferry.griddb.wire.statement import Statement
from gridferry.plan.config import parse_config
from gridferry.source.postgres.rows.reader import Reader

SMALL: dict[str, Any] = {"rows_per_chunk": CHUNK, "workers": 2}


@pytest.mark.parametrize("kind", ["auto", "collection"])
def test_trap_03_rows_within_one_millisecond_do_not_overwrite_each_other(
    ferry: Ferry, postgres: Database, kind: str
) -> None:
    postgres.run("CREATE TABLE t (ts timestamp PRIMARY KEY, n integer)")
    postgres.run(
        "INSERT INTO t SELECT timestamp '2020-01-01' + i * interval '1 microsecond', i FROM generate_series(0, 4999) i"
    )
    ferry = ferry.of({"table": "t", "kind": kind})
    ferry.load(**SMALL)
    start = round((datetime(2020, 1, 1) - datetime(1970, 1, 1)).total_seconds()) * 1_000_000
    assert sorted((r["ts"], r["n"]) for r in ferry.rows("t")) == [(start + i, i) for i in range(5000)]


def test_trap_03_a_time_series_that_was_asked_for_refuses_what_would_meet_in_a_millisecond(
    ferry: Ferry, postgres: Database
) -> None:
    postgres.run("CREATE TABLE t (ts timestamp PRIMARY KEY, n integer)")
    postgres.run("INSERT INTO t VALUES ('2020-01-01 00:00:00.000001', 1), ('2020-01-01 00:00:00.000999', 2)")
    with pytest.raises(PlanError) as caught:
        ferry.of({"table": "t", "kind": "timeseries"}).load()
    assert "share" in caught.value.problems[0]
    assert ferry.names() == []


def test_trap_07_a_device_that_no_list_names_has_its_container(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres, rows=50)
    add_sensors(postgres, 50, 60, device="never heard of")
    ferry = ferry.of({**TABLE, "containers": {"b8:27": "device1"}})
    ferry.load(**SMALL)
    assert ferry.catalog("public.sensor")["b8:27"] == "device1"
    assert len(ferry.rows(ferry.catalog("public.sensor")["never heard of"])) == 10
    assert_arrived(ferry, postgres)


def test_trap_08_a_second_run_drops_nothing(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres, rows=50)
    ferry = ferry.of(TABLE)
    ferry.load(**SMALL)
    name = ferry.catalog("public.sensor")["b8:27"]
    with ferry.store() as store:
        container = store.open_container(name)
        assert container is not None
        identity = container.handle.container_id
    before = ferry.everything()
    (again,) = ferry.load(**SMALL)
    assert again.outcome == "already loaded"
    assert ferry.everything() == before
    with ferry.store() as store:
        container = store.open_container(name)
        assert container is not None
        assert container.handle.container_id == identity


def test_trap_09_a_refused_put_fails_the_load(
    embedded_ferry: Ferry, postgres: Database, stand_in: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sensors(postgres, rows=50)
    ferry = embedded_ferry.of(TABLE)
    original = BulkWriter.put

    def refused(self: BulkWriter, schema: Any, *rest: Any) -> None:
        # Only the table's own rows, not gridferry's state.
        stand_in.faults.refuse_puts = Code.CM_IO_ERROR if "temp" in schema.names else None
        original(self, schema, *rest)

    monkeypatch.setattr(BulkWriter, "put", refused)
    try:
        with pytest.raises(FerryError) as caught:
            ferry.load(**SMALL)
    finally:
        stand_in.faults.refuse_puts = None
    assert caught.value.exit_code == 3
    with ferry.migration() as migration:
        assert migration.status.tables()[0].state != "loaded"
    monkeypatch.undo()
    ferry.load(**SMALL)
    assert_arrived(ferry, postgres)


def test_trap_10_no_more_than_a_batch_is_read_ahead_of_what_is_put(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.run("CREATE TABLE wide (id integer PRIMARY KEY, wide_text text)")
    postgres.run("ALTER TABLE wide ALTER wide_text SET STORAGE PLAIN")
    postgres.run("INSERT INTO wide SELECT i, repeat(chr(65 + i % 26), 6000) FROM generate_series(1, 4000) i")
    ahead, read = 0, 0
    most = 0
    read_chunk, put = Reader.read_chunk, BulkWriter.put

    def reading(self: Reader, chunk: Any, plan: Any) -> Any:
        nonlocal ahead, most, read
        for batch in read_chunk(self, chunk, plan):
            ahead, read = ahead + 1, read + 1
            most = max(most, ahead)
            yield batch

    def putting(self: BulkWriter, schema: Any, *rest: Any) -> None:
        nonlocal ahead
        if "wide_text" in schema.names:
            ahead -= 1
        put(self, schema, *rest)

    monkeypatch.setattr(Reader, "read_chunk", reading)
    monkeypatch.setattr(BulkWriter, "put", putting)
    ferry.of("wide").load(rows_per_chunk=10**6, workers=1)
    assert read > 4
    assert most == 1


def test_trap_11_rows_are_put_by_the_thousand(
    embedded_ferry: Ferry, postgres: Database, stand_in: EmbeddedServer
) -> None:
    make_sensors(postgres)
    asked: Counter[int] = Counter()
    stand_in.faults.on_statement = lambda number: asked.update([number])
    try:
        embedded_ferry.of(TABLE).load(workers=1)
    finally:
        stand_in.faults.on_statement = None
    puts = asked[Statement.PUT_MULTIPLE_ROWS] + asked[Statement.PUT_MULTIPLE_CONTAINER_ROWS] + asked[Statement.PUT_ROW]
    assert 0 < puts < ROWS / 100
    assert sum(asked.values()) < ROWS / 10


def test_trap_12_names_are_quoted_and_times_do_not_depend_on_the_session(ferry: Ferry, postgres: Database) -> None:
    table = "a \"b\" 'c'; DROP TABLE x; -- %s"
    quoted = '"' + table.replace('"', '""') + '"'
    postgres.run(f"ALTER DATABASE \"{postgres.name}\" SET timezone = 'America/New_York'")
    postgres.run(f"ALTER DATABASE \"{postgres.name}\" SET datestyle = 'SQL, DMY'")
    postgres.run(f"ALTER DATABASE \"{postgres.name}\" SET intervalstyle = 'sql_standard'")
    postgres.run(f'ALTER DATABASE "{postgres.name}" SET quote_all_identifiers = on')
    postgres.run(f'CREATE TABLE {quoted} (id int PRIMARY KEY, "x\'; --" date, z timestamptz, d timestamp, s text)')
    postgres.run(f"INSERT INTO {quoted} VALUES (1, '2020-03-02', '2020-07-12 00:00+00', '2020-07-12', '01/02/2020')")
    rename = {"rename": {"x'; --": "x"}}
    ferry.of({"table": quoted, "container": "odd", "split_by": "s", **rename, "containers": {"01/02/2020": "odd"}}
             | {"container": "odd_{value}"}).load()  # fmt: skip
    day = 86_400_000
    start = round((datetime(2020, 7, 12) - datetime(1970, 1, 1)).total_seconds()) * 1_000_000
    march = (datetime(2020, 3, 2) - datetime(1970, 1, 1)).days * day
    assert ferry.rows("odd") == [{"id": 1, "x": march, "z": start, "d": start}]


def test_trap_13_no_password_stands_in_config_state_or_messages(ferry: Ferry, postgres: Database) -> None:
    secret = "s3cret'of@mine/"
    postgres.run(f"CREATE ROLE \"{postgres.name}\" LOGIN SUPERUSER PASSWORD 's3cret''of@mine/'")
    make_sensors(postgres, rows=20)
    dsn = postgres.server.tcp_dsn(postgres.name, user=postgres.name, password=secret)
    with pytest.raises(ConfigError) as caught:
        parse_config(f"source: {dsn}\ntarget: {ferry.url}\ntables: [{{table: sensor}}]\n", env={})
    assert secret not in str(caught.value)
    known = Ferry(dsn, ferry.server, ferry.database).of(TABLE)
    known.load()
    for text in (json.dumps(known.everything(), default=repr), repr(known.config), repr(known.migration())):
        assert secret not in text
        assert "s3cret" not in text
    postgres.run(f"ALTER ROLE \"{postgres.name}\" PASSWORD 'another'")
    with pytest.raises(FerryError) as refused:
        known.load()
    assert "s3cret" not in repr(refused.value) + str(refused.value) + refused.value.next_step
    assert refused.value.exit_code == 2


def test_trap_15_an_empty_table_and_a_table_without_values_to_split_by_are_loaded(
    ferry: Ferry, postgres: Database
) -> None:
    make_sensors(postgres, rows=0)
    postgres.run("CREATE TABLE bare (id integer PRIMARY KEY)")
    ferry = ferry.of(TABLE, "bare")
    loads = ferry.load(**SMALL)
    assert [load.outcome for load in loads] == ["loaded", "loaded"]
    assert ferry.rows("bare") == []
    assert ferry.equal()
    with ferry.migration() as migration:
        assert [s.state for s in migration.status.tables()] == ["loaded", "loaded"]
        assert [c.rows for c in migration.status.containers()] == [0]


def test_trap_17_more_than_a_thousand_containers_are_loaded_with_one_scan(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.run("CREATE TABLE fleet (device integer, ts timestamp, v float8, PRIMARY KEY (device, ts))")
    postgres.run(
        "INSERT INTO fleet SELECT d, timestamp '2020-01-01' + i * interval '1 s', d + i / 10.0"
        " FROM generate_series(1, 1100) d, generate_series(1, 5) i"
    )
    reads: list[int] = []
    original = Reader.read_statement

    def counted(self: Reader, statement: Any, **options: Any) -> Any:
        reads.append(1)
        return original(self, statement, **options)

    chunks: list[int] = []
    read_chunk = Reader.read_chunk

    def chunk_counted(self: Reader, chunk: Any, plan: Any) -> Any:
        chunks.append(chunk.number)
        return read_chunk(self, chunk, plan)

    monkeypatch.setattr(Reader, "read_statement", counted)
    monkeypatch.setattr(Reader, "read_chunk", chunk_counted)
    ferry = ferry.of({"table": "fleet", "split_by": "device", "key": "ts"})
    (load,) = ferry.load(rows_per_chunk=10_000)
    assert chunks == [0]
    assert reads == []
    assert len(load.containers) == 1100
    assert {c.target_rows for c in load.containers} == {5}
    catalog = ferry.catalog("public.fleet")
    assert len(catalog) == 1100
    assert sorted(r["v"] for r in ferry.rows(catalog["777"])) == [777.1, 777.2, 777.3, 777.4, 777.5]


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("text", "repeat('x', 31745)", "31744 bytes"),
        ("text", "repeat('ä', 15873)", "31744 bytes"),
        ("timestamp", "'1969-12-31 23:59:59.999999'", "1970"),
        ("timestamp", "'10000-01-01'", "9999"),
        ("timestamptz", "'infinity'", ""),
        ("date", "'-infinity'", ""),
    ],
)
def test_trap_18_a_value_without_a_place_is_refused_or_put_aside_and_never_changed(
    ferry: Ferry, postgres: Database, kind: str, value: str, why: str
) -> None:
    postgres.run(f"CREATE TABLE t (id integer PRIMARY KEY, odd {kind})")
    postgres.run(f"INSERT INTO t VALUES (1, NULL), (2, {value}), (3, NULL)")
    default = {"text": "string", "date": "timestamp(3)"}.get(kind, "timestamp(6)")
    with pytest.raises(PlanError) as caught:
        ferry.of({"table": "t", "columns": {"odd": default}}).load()
    assert "odd" in caught.value.problems[0]
    assert why in caught.value.problems[0]
    (load,) = ferry.of({"table": "t", "on_bad_row": "quarantine"}).load()
    assert [r["id"] for r in ferry.rows("t")] == [1, 3]
    assert load.quarantined == 1


def test_trap_19_rows_that_vanish_behind_a_success_fail_the_load(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)

    taken: list[Any] = []

    def take_away(event: Event) -> None:
        """What an expiry does: acknowledged, flushed, gone."""
        if isinstance(event, ChunkDone) and not taken:
            with ferry.store() as store:
                container = store.open_container(ferry.catalog("public.sensor")["b8:27"])
                assert container is not None
                (batch,) = container.query("select *", limit=1).batches()
                taken.extend([1] * container.delete(batch.select(["ts"])))

    with pytest.raises(DataError, match=r"b8=3A27.* has 599 of 600 rows") as caught:
        ferry.load(listener=take_away, rows_per_chunk=CHUNK, workers=1)
    assert caught.value.exit_code == 3
    assert "--replace" in caught.value.next_step
    with ferry.migration() as migration:
        assert migration.status.tables()[0].state != "loaded"
    ferry.load(replace=True, **SMALL)
    assert_arrived(ferry, postgres)


def test_trap_20_rows_of_every_mixture_of_variable_sizes_come_back_as_they_were(
    ferry: Ferry, postgres: Database
) -> None:
    sizes = (0, 1, 62, 63, 64, 127, 128, 129, 16383, 16384, 31744)
    postgres.run("CREATE TABLE t (id integer PRIMARY KEY, a text, b bytea, c text)")
    rows = [(a, b) for a in (*sizes, None) for b in (*sizes, None)]
    with postgres.connection.cursor() as cursor:
        for number, (a, b) in enumerate(rows):
            text, octets = None if a is None else "é" * (a // 2) + "x" * (a % 2), None if b is None else b"\xff" * b
            cursor.execute("INSERT INTO t VALUES (%s, %s, %s, %s)", (number, text, octets, None if number % 2 else ""))
    ferry = ferry.of("t")
    ferry.load(rows_per_chunk=7, workers=2)
    stored = sorted(ferry.rows("t"), key=lambda r: r["id"])
    source = postgres.run("SELECT id, a, b, c FROM t ORDER BY id")
    assert [tuple(r.values()) for r in stored] == source
