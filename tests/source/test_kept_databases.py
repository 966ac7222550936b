"""The driver's look at all types of a database: once for many sessions, and again where they may have changed."""

from __future__ import annotations

import pyarrow as pa
import pytest
from tests.conftest import Database

from gridferry.source.postgres.session import arrow_session
from gridferry.source.postgres.session.arrow_session import connect_arrow
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.session.kept_databases import KeptDatabase, KeptDatabases


@pytest.fixture
def made(monkeypatch) -> list[KeptDatabase]:
    """The databases that the driver was asked to open."""
    found: list[KeptDatabase] = []

    def make(dsn: str) -> KeptDatabase:
        found.append(KeptDatabase(dsn))
        return found[-1]

    kept = KeptDatabases(most=2, make=make)
    monkeypatch.setattr(arrow_session, "_kept", lambda: kept)
    return found


def test_many_sessions_ask_for_the_types_once(postgres: Database, made):
    for _ in range(3):
        connect_arrow(postgres.address).close()
    assert len(made) == 1


def test_a_database_that_was_made_again_is_asked_again(postgres: Database, made):
    name = f"again {postgres.name}"
    address = parse_address(postgres.server.dsn(name))
    for _ in range(2):
        postgres.run(f'CREATE DATABASE "{name}"')
        try:
            connect_arrow(address).close()
        finally:
            postgres.server.drop_database(name)
    assert len(made) == 2
    assert made[0].open() is None


def test_the_last_few_are_kept_and_one_in_use_stays_open(postgres: Database, made):
    addresses = [parse_address(f"{postgres.dsn}&connect_timeout={seconds}") for seconds in (11, 12, 13)]
    first = connect_arrow(addresses[0])
    for address in addresses[1:]:
        connect_arrow(address).close()
    assert len(made) == 3
    assert first.ask("SELECT 7") == (7,)
    assert made[0].open() is None
    first.close()
    connect_arrow(addresses[2]).close()
    assert len(made) == 3


def test_a_type_that_is_newer_than_what_the_driver_knows_is_read_as_text(postgres: Database, made, plan):
    connect_arrow(postgres.address).close()
    postgres.run("CREATE TYPE mood AS ENUM ('glad'); CREATE TABLE t (id int PRIMARY KEY, m mood)")
    postgres.run("INSERT INTO t VALUES (1, 'glad')")
    read = plan("t", "id m")
    with postgres.source.open_snapshot() as snapshot, snapshot.open_reader() as reader:
        chunks = snapshot.plan_chunks(snapshot.fetch_tables(["public.t"])[0], rows_per_chunk=10)
        batches = [batch for chunk in chunks for batch in reader.read_chunk(chunk, read)]
    assert pa.Table.from_batches(batches).to_pylist() == [{"id": 1, "m": "glad"}]
    assert {batch.schema.field("m").type for batch in batches} == {pa.string()}
    assert len(made) == 1
