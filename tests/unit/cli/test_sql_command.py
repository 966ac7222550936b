"""`gridferry sql` against a node in memory: what it prints, writes and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.unit.griddb.sql.node import ID, SqlNode, pages
from typer.testing import CliRunner, Result

from gridferry.cli import sql_prompt
from gridferry.cli.main import app
from gridferry.cli.output import Output
from gridferry.griddb import sql
from gridferry.griddb.schema import GridType
from gridferry.griddb.wire.sql_rows import SqlColumn

TARGET = "griddb://admin@node:10001/c"
MANY = pages(ID, [{"id": n} for n in range(15)], [{"id": n} for n in range(15, 30)])
NAMES = (SqlColumn("TABLE_NAME", GridType.STRING), SqlColumn("COLUMN_NAME", GridType.STRING))


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> SqlNode:
    made = SqlNode({"SELECT id FROM t": MANY, "SELECT none": pages(ID, [])}, refuse={"SELEC 1": 240001}, changes=3)
    monkeypatch.setattr(sql, "connect", lambda address, **options: made.connection(**options))
    return made


def run(*arguments: str, text: str = "") -> Result:
    environment = {"GRIDDB_PASSWORD": "admin", "COLUMNS": "80", "GRIDFERRY_DEBUG": None}
    return CliRunner().invoke(app, ["sql", *arguments, "--target", TARGET], input=text, env=environment)


def test_rows_as_a_table_of_the_first_and_what_there_is_more(node: SqlNode) -> None:
    shown = run("SELECT id FROM t")
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert [line.strip() for line in lines[2:-1]] == [str(n) for n in range(20)]
    assert lines[-1] == "… more rows"
    assert run("SELECT id FROM t", "--limit", "30").stdout.splitlines()[-1].strip() == "29"
    assert run("SELECT none").stdout.splitlines()[-1] == "no rows"
    assert run("SELECT id FROM t", "--limit", "1", "--records").stdout.splitlines()[0] == "row 1"


def test_rows_as_csv_json_and_arrow(node: SqlNode, tmp_path: Path) -> None:
    assert run("SELECT id FROM t", "--csv").stdout == "id\n" + "".join(f"{n}\n" for n in range(30))
    assert run("SELECT id FROM t", "--csv", "--limit", "1").stdout == "id\n0\n"
    document = json.loads(run("SELECT id FROM t", "--json").stdout)
    assert document["columns"] == [{"name": "id", "type": "LONG"}]
    assert document["rows"] == [{"id": n} for n in range(30)]
    file = tmp_path / "rows.arrow"
    assert run("SELECT id FROM t", "--arrow", str(file)).exit_code == 0
    assert pa.ipc.open_file(file).read_all().column("id").to_pylist() == list(range(30))
    assert run("SELECT id FROM t", "--arrow", str(file), "--limit", "16").stdout.startswith("16 rows in ")
    assert pa.ipc.open_file(file).read_all().num_rows == 16


def test_a_statement_without_a_result_says_what_it_changed(node: SqlNode) -> None:
    assert run("DELETE FROM t").stdout == "done, 3 rows written or deleted\n"
    assert json.loads(run("DELETE FROM t", "--json").stdout) == {"statement": "DELETE FROM t", "changed": 3}


def test_a_statement_from_a_file_and_from_stdin(node: SqlNode, tmp_path: Path) -> None:
    file = tmp_path / "statement.sql"
    file.write_text("SELECT none")
    assert run("--file", str(file)).stdout.endswith("no rows\n")
    assert run("--file", "-", text="SELECT none").stdout.endswith("no rows\n")
    (tmp_path / "latin.sql").write_bytes(b"\xff")
    for wrong, said in ((tmp_path / "no", "No such file"), (tmp_path / "latin.sql", "it is not UTF-8")):
        refused = run("--file", str(wrong))
        assert refused.exit_code == 2
        assert said in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["SELEC 1"], 3, "no [240001"),
        (["SELECT 1", "--file", "x"], 2, "two statements"),
        (["SELECT 1", "--csv", "--json"], 2, "exclude each other"),
        ([], 2, "there is no statement"),
        (["SELECT id FROM t", "--arrow", "/no/such/folder/file"], 2, "cannot be written"),
    ],
)
def test_what_cannot_be_done_says_why(node: SqlNode, arguments: list[str], code: int, said: str) -> None:
    refused = run(*arguments)
    assert refused.exit_code == code, refused.output
    assert said in " ".join((refused.stdout + refused.stderr).split())
    assert "Traceback" not in refused.output


def test_the_prompt_asks_until_the_end_and_tells_what_is_refused(
    node: SqlNode, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    said: Iterator[Any] = iter(["", "SELECT", "id FROM t;", "SELEC 1;", KeyboardInterrupt(), "DELETE FROM t ;", "EXIT"])
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        word = next(said)
        if isinstance(word, BaseException):
            raise word
        return str(word)

    node.results["SELECT\nid FROM t"] = MANY
    shown: list[object] = []
    with node.connection() as connection:
        sql_prompt.ask_for_statements(Output(), connection, lambda cursor: shown.append(cursor.fetchone()), ask=ask)
    assert shown == [(0,)]
    assert [request.text for request in node.asked if request.text] == [
        "SELECT\nid FROM t",
        "SELEC 1",
        "DELETE FROM t ",
    ]
    assert prompts == ["sql> ", "sql> ", "  -> ", "sql> ", "sql> ", "sql> ", "sql> "]
    words = capsys.readouterr()
    assert "done, 3 rows written or deleted" in words.out
    assert "no [240001" in words.err


@pytest.mark.parametrize(
    ("text", "ended"),
    [("SELECT 1;", True), ("SELECT 1 ; -- all", True), ("SELECT ';", False), ("SELECT 1 -- ;", False), ("", False)],
)
def test_where_a_statement_ends(text: str, ended: bool) -> None:
    assert sql_prompt.ends(text) is ended


def test_words_and_names_are_completed() -> None:
    assert sql_prompt.completions(["device", "id"], "de") == ["DELETE FROM", "device"]


def test_the_names_of_the_database_are_read_from_its_catalog(node: SqlNode) -> None:
    from gridferry.cli.sql_command import names_in

    rows: list[dict[str, object]] = [{"TABLE_NAME": "t", "COLUMN_NAME": "a"}, {"TABLE_NAME": "t", "COLUMN_NAME": "b"}]
    node.results['SELECT TABLE_NAME, COLUMN_NAME FROM "#columns"'] = pages(NAMES, rows)
    assert names_in(node.connection()) == ["t", "a", "b"]
