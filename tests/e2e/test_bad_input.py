"""Bad input and broken servers: the right error, which names the thing and the next step, and nothing lost (P4, P8)."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry, Server
from tests.e2e.sensors import CHUNK, TABLE, assert_arrived, make_sensors
from tests.e2e.test_lost_server import once_at
from tests.proxy import Switches, proxy_to

from gridferry.embedded.server import Server as EmbeddedServer
from gridferry.engine.events import RowsPut
from gridferry.errors import (
    AuthenticationFailed,
    FerryError,
    GridDBError,
    NodeUnreachable,
    PlanError,
    SnapshotGone,
    SourceError,
    SourceRefused,
    SourceUnreachable,
)
from gridferry.local.postgres import LocalPostgres

SMALL: dict[str, Any] = {"rows_per_chunk": CHUNK, "workers": 2}


def refused(ferry: Ferry, kind: type[FerryError], *, names: str) -> FerryError:
    """The error of a load, checked for what every error has to say."""
    with pytest.raises(kind) as caught:
        ferry.load(**SMALL)
    error = caught.value
    text = "\n".join([str(error), *getattr(error, "problems", ())])
    assert names in text
    assert error.next_step
    assert error.exit_code in (2, 3, 75)
    assert ferry.server.password == "admin" or ferry.server.password not in text
    return error


def test_no_server_at_the_source(ferry: Ferry, postgres: Database) -> None:
    error = refused(
        replace(ferry, dsn="postgresql://u@127.0.0.1:1/d").of("t"), SourceUnreachable, names="127.0.0.1:1/d"
    )
    assert error.exit_code == 75
    assert ferry.everything() == {}


def test_a_wrong_password_at_the_source(ferry: Ferry, postgres: Database) -> None:
    dsn = postgres.server.tcp_dsn(postgres.name, password="wr0ng+secret")
    error = refused(replace(ferry, dsn=dsn).of("t"), SourceRefused, names="password authentication failed")
    assert "wr0ng" not in str(error) + repr(error)


def test_a_database_that_is_missing_at_the_source(ferry: Ferry, postgres: Database) -> None:
    refused(replace(ferry, dsn=postgres.server.dsn("nowhere")).of("t"), SourceRefused, names="nowhere")


def test_a_table_that_is_missing(ferry: Ferry, postgres: Database) -> None:
    error = refused(ferry.of("no_such_table"), FerryError, names="no_such_table")
    assert error.exit_code == 2
    assert ferry.everything() == {}


def test_a_table_without_privilege(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres, rows=10)
    postgres.run(f'CREATE ROLE "{postgres.name} reader" LOGIN')
    error = refused(
        replace(ferry, dsn=postgres.dsn_as(f"{postgres.name} reader")).of(TABLE), FerryError, names="sensor"
    )
    assert error.exit_code == 2
    assert ferry.names() == []
    postgres.run(f'DROP ROLE "{postgres.name} reader"')


@pytest.mark.parametrize(
    ("create", "options", "names"),
    [
        ("CREATE TABLE t (a integer)", {}, "no usable key"),
        ("CREATE TABLE t (a text, b integer, PRIMARY KEY (a, b)); INSERT INTO t VALUES ('x', 1), ('X', 1)",
         {"split_by": "a"}, "meet in one container"),
        ("CREATE TABLE t (a float8 PRIMARY KEY)", {"columns": {"a": "double"}}, "cannot become DOUBLE as a row key"),
        ("CREATE TABLE t (a numeric(9,0) PRIMARY KEY); INSERT INTO t VALUES ('NaN')", {}, "values of a "),
        ("CREATE TABLE t (a timestamp PRIMARY KEY); INSERT INTO t VALUES ('1969-12-31')",
         {"columns": {"a": "timestamp(6)"}}, "before 1970"),
        ("CREATE TABLE t (a text); INSERT INTO t VALUES (NULL)", {"key": "a"}, "NULL in the key"),
        ("CREATE TABLE t (a integer PRIMARY KEY, b integer)", {"exclude": ["nope"]}, "nope"),
        ("CREATE TABLE t (a integer PRIMARY KEY, \"b c\" integer)", {}, "b c"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_loaded(
    ferry: Ferry, postgres: Database, create: str, options: dict[str, Any], names: str
) -> None:
    postgres.run(create)
    refused(ferry.of({"table": "t", **options}), PlanError, names=names)
    assert ferry.names() == []


def test_a_condition_that_is_no_sql(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE t (a integer PRIMARY KEY)")
    error = refused(ferry.of({"table": "t", "where": "a > > 1"}), SourceRefused, names="syntax error")
    assert error.exit_code == 2


def test_a_wrong_password_and_a_wrong_cluster_at_the_target(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres, rows=10)
    wrong = replace(ferry.server, password="wr0ng+secret")
    error = refused(replace(ferry, server=wrong).of(TABLE), AuthenticationFailed, names="admin")
    assert "wr0ng" not in str(error) + repr(error)
    other = replace(ferry.server, cluster="elsewhere")
    error = refused(replace(ferry, server=other).of(TABLE), GridDBError, names="")
    assert "cluster" in error.next_step
    assert error.exit_code == 2


def test_no_server_at_the_target(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres, rows=10)
    error = refused(replace(ferry, server=Server("127.0.0.1:1")).of(TABLE), NodeUnreachable, names="127.0.0.1:1")
    assert error.exit_code == 75


@pytest.mark.parametrize("call", [1, 4])
def test_a_full_disk_at_the_target_stops_the_load_and_a_later_one_goes_on(
    embedded_ferry: Ferry, postgres: Database, faulty: EmbeddedServer, impatient: None, call: int
) -> None:
    make_sensors(postgres)
    ferry = embedded_ferry.of(TABLE)

    def fill() -> None:
        faulty.faults.disk_full = True

    full = once_at(call, fill)
    with pytest.raises(GridDBError, match="no space left") as caught:
        ferry.load(listener=lambda event: full() if isinstance(event, RowsPut) else None, **SMALL)
    assert caught.value.exit_code == 3
    faulty.faults.disk_full = False
    (load,) = ferry.load(**SMALL)
    assert load.outcome == "resumed"
    assert_arrived(ferry, postgres)


@pytest.mark.parametrize("octets", [0, 3, 20, 100, 1000, 3000])
def test_a_message_that_ends_in_the_middle_is_asked_for_again(
    embedded_ferry: Ferry, postgres: Database, faulty: EmbeddedServer, octets: int
) -> None:
    make_sensors(postgres)
    ferry = embedded_ferry.of(TABLE)

    def cut() -> None:
        faulty.faults.close_after_bytes = octets

    cutting = once_at(2, cut)
    for _ in range(2):
        try:
            ferry.load(listener=lambda event: cutting() if isinstance(event, RowsPut) else None, **SMALL)
            break
        except FerryError as error:
            if error.exit_code != 75:
                raise
    assert_arrived(ferry, postgres)


def test_a_target_that_falls_silent_ends_the_load_with_try_later(
    embedded_ferry: Ferry, postgres: Database, faulty: EmbeddedServer, impatient: None
) -> None:
    make_sensors(postgres)
    ferry = embedded_ferry.of(TABLE)

    def stall() -> None:
        faulty.faults.stall = True

    stalling = once_at(3, stall)
    with pytest.raises(GridDBError) as caught:
        ferry.load(listener=lambda event: stalling() if isinstance(event, RowsPut) else None, **SMALL)
    assert caught.value.exit_code == 75
    faulty.faults.stall = False
    ferry.load(**SMALL)
    assert_arrived(ferry, postgres)


@pytest.mark.parametrize("call", [1, 4])
def test_sessions_of_the_source_that_are_ended_in_the_middle_end_the_load_with_try_later(
    ferry: Ferry, postgres: Database, call: int
) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    lock = threading.Lock()

    def end_sessions() -> None:
        with lock:
            postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gridferry'")

    ending = once_at(call, end_sessions)
    # A worker that was reading lost its session; one that only begins finds the snapshot gone.
    with pytest.raises((SourceUnreachable, SnapshotGone)) as caught:
        ferry.load(listener=lambda event: ending() if isinstance(event, RowsPut) else None, **SMALL)
    assert caught.value.exit_code == 75
    assert caught.value.next_step
    assert ferry.load(**SMALL)[0].outcome == "resumed"
    assert_arrived(ferry, postgres)


@pytest.mark.parametrize("octets", [2_000, 20_000, 60_000, 120_000])
def test_a_source_whose_network_breaks_in_the_middle_of_a_message_is_read_on_later(
    ferry: Ferry, postgres: Database, octets: int
) -> None:
    make_sensors(postgres)
    server = postgres.server
    switches = Switches(cut_down=octets)
    with proxy_to(("127.0.0.1", server.port), switches, cuts_all=True) as proxy:
        dsn = server.tcp_dsn(postgres.name).replace(f"127.0.0.1:{server.port}", f"127.0.0.1:{proxy.port}")
        ferry = replace(ferry, dsn=dsn + "?sslmode=disable").of(TABLE)
        with pytest.raises(SourceError) as caught:
            ferry.load(**SMALL)
        assert switches.cuts == 1
        assert caught.value.exit_code == 75
        assert caught.value.next_step
        ferry.load(**SMALL)
    assert_arrived(ferry, postgres)


def test_a_source_that_is_killed_in_the_middle_is_read_on_when_it_is_back(ferry: Ferry) -> None:
    with LocalPostgres(version=18, settings={"fsync": "on", "full_page_writes": "on"}) as server:
        import psycopg

        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            make_sensors(Database(server, "postgres", connection))
            connection.execute("CHECKPOINT")
        ferry = replace(ferry, dsn=server.dsn()).of(TABLE)
        kill = once_at(3, server.kill)
        with pytest.raises(SourceUnreachable) as caught:
            ferry.load(listener=lambda event: kill() if isinstance(event, RowsPut) else None, **SMALL)
        assert caught.value.exit_code == 75
        server.start()
        ferry.load(**SMALL)
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            assert_arrived(ferry, Database(server, "postgres", connection))
