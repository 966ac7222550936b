"""A schema full of objects that hide PostgreSQL's own, first in the role's search path: none of them is ever run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.conftest import Database, database_on, local_postgres
from tests.e2e.changes import without_slots
from tests.e2e.command import command
from tests.e2e.ferry import Ferry, Server, database_of
from tests.e2e.statistics import wait_for_statistics
from tests.shadows import plant, songs
from typer.testing import CliRunner

from gridferry.cli.main import app
from gridferry.embedded.server import Server as EmbeddedServer

ROLE = "ferry"


@pytest.fixture(scope="module", params=[18, 14])
def hostile(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database where `public` and the role's own schema are full of shadows, and come first."""
    with local_postgres(request.param) as server:
        for database in database_on(server):
            database.run("SET search_path = pg_catalog, pg_temp")  # the test's own statements are not in danger
            database.run(f"CREATE ROLE {ROLE} LOGIN REPLICATION; CREATE SCHEMA {ROLE}; CREATE SCHEMA data")
            database.run(f'GRANT CREATE ON DATABASE "{database.name}" TO {ROLE}; GRANT ALL ON SCHEMA data TO {ROLE}')
            plant(database, "public")
            plant(database, ROLE)
            path = '"$user", public, data, pg_catalog'
            database.run(f"ALTER ROLE {ROLE} SET search_path = {path}")
            database.run(f'ALTER DATABASE "{database.name}" SET search_path = {path}')
            yield database


@pytest.fixture
def ferry(hostile: Database, stand_in: EmbeddedServer) -> Iterator[Ferry]:
    host, port = stand_in.address
    server = Server(f"{host}:{port}")
    with database_of(server, "hostile"), without_slots(hostile):
        hostile.run("DROP TABLE IF EXISTS data.reading, data.log")
        hostile.run(
            "CREATE TABLE data.reading (device varchar(20), ts timestamptz(6), v float8, n numeric(8,2), f float4,"
            " d date, b bytea, k int8, PRIMARY KEY (device, ts));"
            "INSERT INTO data.reading SELECT 'd' || i % 3, timestamptz '2024-01-01' + i * interval '1.0005 s', i, i, i,"
            " date '2024-01-01', '\\xff', i FROM generate_series(1, 500) AS i;"
            "CREATE TABLE data.log (id int8 PRIMARY KEY, at timestamp, note text);"
            "INSERT INTO data.log SELECT i, timestamp '2024-01-01' + i * interval '1 s', 'x'"
            " FROM generate_series(1, 50) AS i;"
            "CREATE INDEX ON data.log (at); ANALYZE data.reading; ANALYZE data.log;"
            f"ALTER TABLE data.reading OWNER TO {ROLE}; ALTER TABLE data.log OWNER TO {ROLE}"
        )
        yield Ferry(hostile.dsn_as(ROLE), server, "hostile")


def test_the_shadows_are_in_front(hostile: Database) -> None:
    with psycopg.connect(hostile.dsn_as(ROLE), autocommit=True) as connection:
        for question in ("SELECT 1::float4 / 2::int4", "SELECT lower('A'::pg_catalog.text)"):
            with pytest.raises(psycopg.errors.RaiseException, match="CANARY"):
                connection.execute(question)


@pytest.mark.parametrize("mode", ["cdc", "watermark"])
def test_no_command_runs_what_hides_postgresqls_own(ferry: Ferry, hostile: Database, tmp_path: Path, mode: str) -> None:
    before = len(songs(hostile))
    where = {} if mode == "cdc" else {"where": "k > 0 -- all"}
    sync = {"mode": mode} if mode == "cdc" else {"mode": mode, "column": "ts"}
    log = {"mode": mode} if mode == "cdc" else {"mode": mode, "column": "at"}
    asked = ferry.of(
        {
            "table": "data.reading",
            "split_by": "device",
            "on_duplicate": "last",
            "order_by": "k",
            **where,
            "sync": sync,
        },
        {"table": "data.log", "sync": log},
    )

    def run(*arguments: str, code: int = 0) -> str:
        said = command(asked, tmp_path, *arguments)
        assert said.code == code, said.text
        return said.text

    run("plan")
    run("load")
    run("status")
    for step in range(2):
        hostile.run(
            "INSERT INTO data.reading"
            f" VALUES ('d1', timestamptz '2025-01-0{step + 1}', 1, 2, 3, '2024-01-01', '', 900);"
            f"INSERT INTO data.log VALUES ({900 + step}, timestamp '2025-01-0{step + 1}', 'y')"
        )
        run("sync")
    if mode == "watermark":
        run("sync", "--sweep")
    run("verify")
    run("verify", "--quick")
    with asked.store() as store:
        container = store.open_container(asked.catalog("data.reading")["d1"])
        assert container is not None
        batch = next(iter(container.scan().batches()))
        container.delete(batch.select(batch.schema.names[:1]).slice(0, 1))
    run("verify", code=1)
    run("repair")
    run("verify")
    run("report", "-o", str(tmp_path / "report.html"))
    made = CliRunner().invoke(app, ["init", asked.dsn, "--target", asked.url, "-o", str(tmp_path / "made.yaml")])
    assert made.exit_code == 0, made.output
    wait_for_statistics(hostile)
    run("cutover")
    run("drop-slot")
    assert songs(hostile)[before:] == []
