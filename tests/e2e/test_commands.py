"""Every command against a PostgreSQL and the embedded target, as a user would follow one another."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from typer.testing import CliRunner, Result

from gridferry.cli.main import app
from gridferry.embedded.server import serve
from gridferry.griddb import ColumnSpec, ContainerKind, ContainerSchema, GridType, Store, connect

PASSWORD = "quite-secret"
SCHEMA = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (
        ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False),
        ColumnSpec("value", GridType.DOUBLE),
        ColumnSpec("name", GridType.STRING),
        ColumnSpec("tags", GridType.STRING, array=True),
    ),
)
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    """An embedded server with one container of 30 rows."""
    server = serve(port=0, password=PASSWORD)
    try:
        url = "griddb://admin@{}:{}/myCluster/public".format(*server.address)
        with connect(url, password=PASSWORD) as store:
            _fill(store)
        yield url
    finally:
        server.stop()


def _fill(store: Store) -> None:
    container = store.create_container("Things", SCHEMA)
    stamps = [datetime(2026, 1, 1, 0, 0, second, tzinfo=timezone.utc) for second in range(30)]
    names = ["[red]", None, *(f"name {i}" for i in range(28))]
    columns: list[Any] = [stamps, [i / 3 for i in range(30)], names, [["a"]] * 30]
    container.put(pa.record_batch(columns, schema=SCHEMA.arrow_schema))
    container.create_index(["name"], name="by_name")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRIDDB_PASSWORD", PASSWORD)
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


class TestShow:
    def test_describes_a_container(self, run: Run, target: str) -> None:
        result = run("show", "things", "--target", target)
        assert result.exit_code == 0
        lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
        for line in (
            "name Things", "type TIME_SERIES", "rows 30", "0 ts TIMESTAMP(3) NOT NULL row key", "3 tags STRING[]",
            "by_name TREE name",
        ):  # fmt: skip
            assert line in lines

    def test_as_json(self, run: Run, target: str) -> None:
        found = json.loads(run("show", "Things", "--target", target, "--json").stdout)
        assert found["columns"][0] == {"name": "ts", "type": "TIMESTAMP(3)", "nullable": False, "key": True}
        assert {"name": "by_name", "kind": "TREE", "columns": ["name"]} in found["indexes"]

    def test_a_container_that_is_not_there(self, run: Run, target: str) -> None:
        result = run("show", "nothing", "--target", target)
        assert result.exit_code == 2
        assert 'there is no container "nothing"' in result.stderr


class TestTql:
    def test_shows_the_first_rows_and_says_that_there_are_more(self, run: Run, target: str) -> None:
        result = run("tql", "Things", "select *", "--target", target)
        assert result.exit_code == 0
        assert "[red]" in result.stdout
        assert "name 17" in result.stdout
        assert "name 18" not in result.stdout
        assert "… more rows" in result.stdout

    def test_says_nothing_of_more_where_there_are_none(self, run: Run, target: str) -> None:
        result = run("tql", "Things", "select *", "--limit", "30", "--target", target)
        assert "name 27" in result.stdout
        assert "more rows" not in result.stdout

    def test_no_rows(self, run: Run, target: str) -> None:
        assert "no rows" in run("tql", "Things", "select * where value > 1000", "--target", target).stdout

    def test_records(self, run: Run, target: str) -> None:
        out = run("tql", "Things", "select * limit 2", "--records", "--target", target).stdout
        assert "row 2" in out
        assert "0.3333333333333333" in out

    def test_csv_has_all(self, run: Run, target: str) -> None:
        rows = list(csv.DictReader(io.StringIO(run("tql", "Things", "select *", "--csv", "--target", target).stdout)))
        assert len(rows) == 30
        assert rows[1] == {
            "ts": "2026-01-01T00:00:01.000Z", "value": "0.3333333333333333", "name": "", "tags": '["a"]'
        }  # fmt: skip

    def test_json_has_all(self, run: Run, target: str) -> None:
        found = json.loads(run("tql", "Things", "select *", "--json", "--target", target).stdout)
        assert len(found["rows"]) == 30
        assert found["columns"][0] == {"name": "ts", "type": "TIMESTAMP(3)"}
        assert found["rows"][1]["name"] is None

    def test_a_limit_holds_for_json_too(self, run: Run, target: str) -> None:
        found = json.loads(run("tql", "Things", "select *", "--json", "--limit", "3", "--target", target).stdout)
        assert len(found["rows"]) == 3

    @pytest.mark.parametrize(
        ("query", "text"),
        [("select MAX(ts)", "2026-01-01T00:00:29.000Z"), ("select count(*)", "30"),
         ("select MAX(value) where value > 99", "NULL")],
    )  # fmt: skip
    def test_an_aggregation_is_a_value(self, run: Run, target: str, *, query: str, text: str) -> None:
        assert run("tql", "Things", query, "--target", target).stdout == f"{text}\n"

    def test_an_aggregation_as_json(self, run: Run, target: str) -> None:
        found = json.loads(run("tql", "Things", "select count(*)", "--json", "--target", target).stdout)
        assert found == {"container": "Things", "query": "select count(*)", "value": 30}

    def test_wrong_tql_names_what_is_wrong(self, run: Run, target: str) -> None:
        result = run("tql", "Things", "select * where nonsense = 1", "--target", target)
        assert result.exit_code == 3
        assert "nonsense" in result.stderr
        assert result.stdout == ""


def test_containers_lists_a_database(run: Run, target: str) -> None:
    found = json.loads(run("containers", "--target", target, "--json").stdout)["containers"]
    assert {"name": "Things", "kind": "TIME_SERIES", "rows": 30, "partition": found[-1]["partition"]} in found
    assert "Things" in run("containers", "--target", target).stdout


class TestOneAfterTheOther:
    @pytest.fixture
    def target(self) -> Iterator[str]:
        """A server of its own: another database's containers are those of another migration."""
        server = serve(port=0, password=PASSWORD)
        try:
            yield "griddb://admin@{}:{}/myCluster/public".format(*server.address)
        finally:
            server.stop()

    @pytest.fixture
    def tables(self, postgres: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
        postgres.run("CREATE TABLE meter (id bigint PRIMARY KEY, reading float8 NOT NULL, at timestamptz)")
        postgres.run("INSERT INTO meter SELECT i, i / 7.0, '2026-01-01Z' FROM generate_series(1, 500) AS i")
        monkeypatch.setenv("SOURCE_DSN", postgres.dsn)
        return postgres

    def test_from_init_to_verify(self, run: Run, tables: Database, target: str) -> None:
        for arguments, part in (
            (["init", "--target", target], "wrote gridferry.yaml with 1 table"),
            (["plan"], "public.meter becomes a COLLECTION"),
            (["status"], "public.meter: planned"),
            (["load", "--dry-run"], "public.meter: planned"),
            (["load"], "public.meter: loaded, 500 rows"),
            (["load"], "public.meter: already loaded\n  was loaded at 20"),
            (["status"], "public.meter: loaded"),
            (["containers"], "500"),
            (["verify"], "All values are equal (500 rows"),
            (["quarantine", "list"], "No row is in the quarantine."),
        ):
            result = run(*arguments)
            assert result.exit_code == 0, (arguments, result.output)
            assert part in result.stdout, arguments
            as_json = run(*arguments, "--json", *(["-o", "other.yaml"] if arguments[0] == "init" else []))
            assert as_json.exit_code == 0
            json.loads(as_json.stdout)

    def test_a_change_is_a_difference(self, run: Run, tables: Database, target: str) -> None:
        run("init", "--target", target)
        again = run("load", "--replace", "--yes")
        assert again.exit_code == 0, again.stderr
        tables.run("UPDATE meter SET reading = reading + 1e-9 WHERE id = 77")
        result = run("verify")
        assert result.exit_code == 1
        assert "different" in result.stdout

    def test_init_leaves_a_file_alone(self, run: Run, tables: Database, tmp_path: Path) -> None:
        (tmp_path / "gridferry.yaml").write_text("mine")
        result = run("init")
        assert result.exit_code == 2
        assert "is there already" in result.stderr
        assert (tmp_path / "gridferry.yaml").read_text() == "mine"
        assert run("init", "--force").exit_code == 0
        assert "public.meter" in (tmp_path / "gridferry.yaml").read_text()

    def test_init_writes_no_password(self, run: Run, tables: Database, tmp_path: Path) -> None:
        dsn = tables.server.tcp_dsn(tables.name)
        result = run("init", dsn)
        assert result.exit_code == 0
        text = (tmp_path / "gridferry.yaml").read_text()
        assert tables.server.password not in text + result.output
        assert "source: ${SOURCE_DSN}" in text
        assert "SOURCE_DSN" in result.stderr

    def test_init_writes_an_address_without_a_password_as_it_is(
        self, run: Run, tables: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SOURCE_DSN")
        assert run("init", tables.dsn).exit_code == 0
        assert json.dumps(tables.dsn) in (tmp_path / "gridferry.yaml").read_text()
        assert run("plan").exit_code == 0

    def test_init_to_stdout_makes_no_file(self, run: Run, tables: Database, tmp_path: Path) -> None:
        result = run("init", "-o", "-", "--quiet")
        assert result.stdout.startswith("#")
        assert "public.meter" in result.stdout
        assert list(tmp_path.iterdir()) == []

    def test_init_to_stdout_is_the_file_however_narrow_the_terminal(
        self, run: Run, tables: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("COLUMNS", "30")
        assert run("init", "--quiet").exit_code == 0
        assert run("init", "-o", "-", "--quiet").stdout == (tmp_path / "gridferry.yaml").read_text()

    def test_init_of_a_table_that_is_not_there(self, run: Run, tables: Database) -> None:
        result = run("init", "--table", "metre")
        assert result.exit_code == 2
        assert "did you mean" in result.stderr


class TestServe:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_runs_until_a_signal_and_keeps_its_folder(self, tmp_path: Path, number: signal.Signals) -> None:
        folder = tmp_path / "data"
        for expected in ([], ["kept"]):
            with self._serve(["--path", str(folder), "--json"], {"GRIDDB_PASSWORD": PASSWORD}) as process:
                target = json.loads(self._document(process))["target"]
                with connect(target, password=PASSWORD) as store:
                    assert store.container_names() == expected
                    store.create_container("kept", SCHEMA)
                process.send_signal(number)
                _, stderr = process.communicate(timeout=60)
            assert process.returncode == 0, stderr
            assert "Traceback" not in stderr

    def test_says_what_it_is_and_how_to_log_in(self) -> None:
        with self._serve([], {"COLUMNS": "200"}) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            results = process.stdout.readline() + process.stdout.readline()
            notes = "".join(process.stderr.readline() for _ in range(3))
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        assert process.returncode == 0
        assert "griddb://admin@127.0.0.1:" in results
        assert "in production use a real GridDB" in results
        assert "in memory" in notes
        assert 'The password is "admin"' in notes
        assert "SQL is at 127.0.0.1:" in notes

    def test_its_sql_answers_the_command_line(self, run: Run) -> None:
        server = serve(port=0, password=PASSWORD)
        try:
            target = "griddb://admin@{}:{}/myCluster/public?sql={}:{}".format(*server.address, *server.sql_address)
            with connect(target, password=PASSWORD) as store:
                store.create_container("kept", SCHEMA)
            made = run("sql", 'SELECT COLUMN_NAME FROM "#columns" ORDER BY ORDINAL_POSITION', "--target", target)
            assert made.exit_code == 0, made.output
            assert all(column.name in made.stdout for column in SCHEMA.columns)
            refused = run("sql", "EXPLAIN SELECT 1", "--target", target)
            assert refused.exit_code == 3
            assert "no statement EXPLAIN" in " ".join(refused.stderr.split())
            elsewhere = run("sql", "SELECT 1", "--target", target.partition("?")[0])
            assert "is the port of the node's transaction service" in " ".join(elsewhere.stderr.split())
        finally:
            server.stop()

    def test_a_port_in_use(self, target: str) -> None:
        port = target.partition("@")[2].partition("/")[0].rpartition(":")[2]
        with self._serve(["--port", port], {}) as process:
            _, stderr = process.communicate(timeout=60)
        assert process.returncode == 2
        assert f"cannot listen on 127.0.0.1:{port}" in stderr

    def _serve(self, options: list[str], variables: dict[str, str]) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if k != "GRIDDB_PASSWORD"}
        command = [sys.executable, "-m", "gridferry.cli.main", "serve", "--port", "0", *options]
        return subprocess.Popen(
            command, env={**environment, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def _document(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("}"):
                break
        return "".join(lines)


def test_a_closed_pipe_is_no_defect(target: str) -> None:
    command = f"{sys.executable} -m gridferry.cli.main tql Things 'select *' --json --target {target} | head -c 5"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env={**os.environ, "GRIDDB_PASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "defect" not in done.stderr
    assert "Traceback" not in done.stderr
