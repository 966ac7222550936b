"""One bad table among several: the others are done, each has its words, and the exit code is that of the worst."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.changes import without_slots
from tests.e2e.command import command, refused
from tests.e2e.ferry import STATE, Ferry
from tests.e2e.processes import ended, running
from tests.e2e.scraping import scrape, scrape_until, value
from typer.testing import CliRunner

from gridferry.cli.main import app
from gridferry.engine.status.status import Status
from gridferry.errors import ConnectionLost, FerryError, StatementError

NAMES = ("ba", "bb", "bc")
TOO_LONG = "repeat('L', 40000)"


@pytest.fixture
def tables(postgres: Database) -> None:
    for name in NAMES:
        postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY, v text); INSERT INTO {name} VALUES (1, 'x')")


@pytest.fixture
def three(ferry: Ferry, tables: None) -> Ferry:
    # A type of the config's: otherwise a text that is too long for a STRING makes its column a BLOB.
    return ferry.of(*({"table": f"public.{name}", "columns": {"v": "string"}} for name in NAMES))


@pytest.fixture
def followed(ferry: Ferry, tables: None) -> Ferry:
    return ferry.of(*({"table": f"public.{name}", "sync": {"mode": "watermark"}} for name in NAMES))


def document(ferry: Ferry, folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    file = folder / "gridferry.yaml"
    file.write_text(ferry.text)
    result = CliRunner().invoke(app, [*arguments, "--json", "--config", str(file)], env=ferry.env)
    return result.exit_code, json.loads(result.stdout)


def outcomes(found: dict[str, Any]) -> dict[str, str]:
    return {table["table"]: table["outcome"] for table in found["tables"]}


def test_load_does_the_others_and_says_what_became_of_each(three: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run(f"INSERT INTO bb VALUES (2, {TOO_LONG})")
    said = refused(
        three, tmp_path, "load", code=2, says="1 of 3 tables failed to load", advises="loaded tables are left"
    )
    assert "loaded: public.ba, public.bc; failed: public.bb" in said.text
    assert set(three.names()) >= {"ba", "bc"}
    code, found = document(three, tmp_path, "load")
    assert code == 2
    assert outcomes(found) == {
        "public.ba": "already loaded", "public.bc": "already loaded", "public.bb": "failed"
    }  # fmt: skip
    (bad,) = [table for table in found["tables"] if table["outcome"] == "failed"]
    assert bad["error"]["problems"]
    assert bad["next_step"]
    assert found["summary"]["failed"] == ["public.bb"]


def test_a_table_that_is_not_there_is_one_problem_of_the_plan(three: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run("DROP TABLE bb; CREATE TABLE nokey (v text)")
    ferry = three.of(*three.tables, {"table": "public.nokey"})
    said = refused(ferry, tmp_path, "plan", code=2, says="there is no table public.bb")
    for name in ("public.ba becomes", "public.bc becomes", "public.nokey becomes", "2 problems"):
        assert name in said.text
    code, found = document(ferry, tmp_path, "plan")
    assert code == 2
    assert {t["table"]: t["sound"] for t in found["tables"]} == {
        "public.ba": True, "public.bb": False, "public.bc": True, "public.nokey": False
    }  # fmt: skip
    assert command(ferry, tmp_path, "load").code == 2
    assert set(three.names()) >= {"ba", "bc"}


def test_bytes_that_are_no_text_are_a_problem_of_their_table_alone(
    ferry: Ferry, postgres: Database, tmp_path: Path
) -> None:
    postgres.run("CREATE TABLE good (id int PRIMARY KEY); CREATE VIEW broken AS SELECT 1/(id - id) AS id FROM good")
    postgres.run("INSERT INTO good VALUES (1)")
    of = ferry.of({"table": "public.broken", "key": "id"}, "public.good")
    said = refused(of, tmp_path, "plan", code=2, says="division by zero")
    assert "public.good becomes" in said.text


def test_verify_compares_the_others(three: Ferry, postgres: Database, tmp_path: Path) -> None:
    three.load()
    postgres.run("ALTER TABLE bb ALTER COLUMN v TYPE bytea USING v::bytea; INSERT INTO bc VALUES (7, 'new')")
    said = refused(three, tmp_path, "verify", code=3, says="1 of 3 tables failed to verify", advises="gridferry verify")
    assert "compared: public.ba, public.bc; failed: public.bb" in said.text
    assert "Database differs" in said.text
    assert "1 row in 1 of 2 compared tables: public.bc" in said.text
    assert "All values are equal" not in said.text
    code, found = document(three, tmp_path, "verify", "--quick")
    assert code == 3
    assert outcomes(found) == {"public.ba": "compared", "public.bc": "compared", "public.bb": "failed"}
    code, found = document(three, tmp_path, "repair")
    assert code == 3
    assert found["verdict"] == "incomplete"  # what could be repaired is equal
    assert found["summary"]["failed"] == ["public.bb"]
    assert [row["id"] for row in three.rows("bc")] == [1, 7]


def test_a_table_that_was_not_loaded_does_not_hide_the_others(three: Ferry, postgres: Database, tmp_path: Path) -> None:
    three.of(*three.tables[::2]).load()
    said = refused(three, tmp_path, "verify", code=2, says="public.bb was not loaded")
    assert "1 row in 1 container" in said.text
    said = refused(three, tmp_path, "quarantine", "replay", code=2, says="public.bb was not loaded")
    assert "replayed: public.ba, public.bc" in said.text
    assert "NOT READY" in command(three, tmp_path, "cutover").text


def test_a_bounded_sync_does_the_others(followed: Ferry, postgres: Database, tmp_path: Path) -> None:
    followed.load()
    postgres.run(
        f"INSERT INTO ba VALUES (2, 'y'); INSERT INTO bb VALUES (2, {TOO_LONG}); INSERT INTO bc VALUES (2, 'y')"
    )
    said = refused(followed, tmp_path, "sync", code=3, says="1 of 3 tables failed to sync", advises="gridferry sync")
    assert "synced: public.ba, public.bc; failed: public.bb" in said.text
    assert [len(followed.rows(name)) for name in NAMES] == [2, 1, 2]


def test_follow_goes_on_with_the_others_and_ends_with_the_worst_code(
    followed: Ferry, postgres: Database, tmp_path: Path
) -> None:
    followed.of(*followed.tables[:2]).load()
    postgres.run(f"INSERT INTO bb VALUES (2, {TOO_LONG})")
    with running(
        followed, tmp_path, "sync", "--follow", "--interval", "1s", "--json", "--metrics-port", "0"
    ) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]
        scrape_until(
            url, lambda seen: value(seen, "runs_total", table="public.bb", mode="watermark", outcome="failed") == 1
        )
        postgres.run("INSERT INTO ba VALUES (2, 'later')")
        of = {"table": "public.ba", "mode": "watermark"}
        scrape_until(url, lambda seen: value(seen, "rows_read_total", **of) == 1)
        seen = scrape(url)
        assert value(seen, "up", **of) == 1
        assert value(seen, "up", table="public.bb", mode="watermark") == 0
        followed.of(followed.tables[2]).load()  # joins without a restart
        postgres.run("INSERT INTO bc VALUES (2, 'later')")
        scrape_until(url, lambda seen: value(seen, "rows_read_total", table="public.bc", mode="watermark") == 1)
        process.terminate()
        out, errors = ended(process, code=3)
    assert outcomes(json.loads(out)) == {"public.ba": "synced", "public.bc": "synced", "public.bb": "failed"}
    assert re.search(r"error +public\.bb: failed", errors)
    assert [len(followed.rows(name)) for name in NAMES] == [2, 1, 2]


def reported(ferry: Ferry, folder: Path) -> tuple[int, dict[str, Any], dict[str, dict[str, Any]]]:
    """The exit code of `report --format json`, its document, and the tables in it by name."""
    file = folder / "facts.json"
    code = command(ferry, folder, "report", "--format", "json", "--output", str(file)).code
    facts = json.loads(file.read_text())
    return code, facts, {table["table"]: table for table in facts["tables"]}


def raising(monkeypatch: pytest.MonkeyPatch, table: str, error: FerryError) -> None:
    """The quarantined rows of one table cannot be read."""
    really = Status.quarantine

    def quarantine(self: Status, tables: Any = ()) -> Any:
        if table in tables:
            raise error
        return really(self, tables)

    monkeypatch.setattr(Status, "quarantine", quarantine)


def test_a_report_goes_on_past_a_table_that_cannot_be_read(
    three: Ferry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three.load()
    assert command(three, tmp_path, "verify").code == 0
    raising(monkeypatch, "public.bb", StatementError("GridDB refused to read (10099)", code=10099, next_step="look"))
    code, facts, tables = reported(three, tmp_path)
    assert code == facts["exit_code"] == 3
    assert facts["headline"]["tone"] == "failed"
    headline = "Nothing can be reported of public.bb; 2 tables are proven equal, as of "
    assert facts["headline"]["sentence"].startswith(headline)
    assert [tables[f"public.{name}"]["headline"]["tone"] for name in NAMES] == ["equal", "failed", "equal"]
    failure = tables["public.bb"]["failure"]
    assert (failure["type"], failure["exit_code"], failure["next_step"]) == ("StatementError", 3, "look")
    assert "GridDB refused to read" in tables["public.bb"]["headline"]["sentence"]
    assert tables["public.bc"]["failure"] is None
    assert tables["public.bc"]["containers"][0]["source_rows"] == 1
    page = tmp_path / "r.html"
    said = command(three, tmp_path, "report", "--output", str(page))
    assert said.code == 3
    assert "The report is not whole: public.bb: GridDB refused to read (10099)" in said.text
    assert "The report is not whole" in page.read_text()
    code, found = document(three, tmp_path, "report", "--output", str(page))
    assert (code, found["summary"]["failed"], found["summary"]["exit_code"]) == (3, ["public.bb"], 3)


def test_a_report_says_which_tables_it_did_not_come_to(
    three: Ferry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three.load()
    raising(monkeypatch, "public.bb", ConnectionLost("the connection to 127.0.0.1 broke"))
    code, facts, tables = reported(three, tmp_path)
    assert code == 75
    assert facts["headline"]["sentence"] == "Nothing can be reported of 2 of 3 tables."
    assert "was not looked at" in tables["public.bc"]["headline"]["sentence"]
    raising(monkeypatch, "public.ba", ConnectionLost("the connection to 127.0.0.1 broke"))
    assert command(three, tmp_path, "report", "--output", str(tmp_path / "none.html")).code == 75
    assert not (tmp_path / "none.html").exists()


def test_a_table_that_postgresql_cannot_count_is_told_and_the_others_are_counted(
    three: Ferry, postgres: Database, tmp_path: Path
) -> None:
    three.load()
    assert command(three, tmp_path, "verify").code == 0
    postgres.run("ALTER TABLE ba RENAME COLUMN id TO number; DROP TABLE bc")
    code, facts, tables = reported(three, tmp_path)
    assert code == facts["exit_code"] == 3
    assert 'column "id" does not exist' in tables["public.ba"]["failure"]["message"]
    assert "public.bc is not in the source any more" in tables["public.bc"]["failure"]["message"]
    assert [tables[f"public.{name}"]["containers"][0]["source_rows"] for name in NAMES] == [None, 1, None]
    assert [bool(tables[f"public.{name}"]["failure"]) for name in NAMES] == [True, False, True]
    assert tables["public.ba"]["headline"]["tone"] == "equal"  # as it was when it was last compared
    assert [table["containers"][0]["target_rows"] for table in tables.values()] == [1, 1, 1]


def test_each_failure_says_what_replace_would_drop(followed: Ferry, postgres: Database, tmp_path: Path) -> None:
    followed.load()
    for name in ("ba", "bb"):
        postgres.run(f"ALTER TABLE {name} ALTER v TYPE int USING 1; INSERT INTO {name} VALUES (2, 3)")
    goes = "--replace drops 1 container with 1 row of public.{}, and loads it again"
    for arguments in (("sync",), ("verify",), ("load",), ("load", "--table", "ba", "--table", "bb")):
        code, found = document(followed, tmp_path, *arguments)
        assert code == 3, found
        failed = {each["table"]: each for each in found["tables"] if each["outcome"] == "failed"}
        assert set(failed) == {"public.ba", "public.bb"}, found
        for table, each in failed.items():
            assert goes.format(table.removeprefix("public.")) in each["error"]["next_step"], each
        said = command(followed, tmp_path, *arguments).text
        assert said.count(goes.format("ba")) >= 1, said
        assert said.count(goes.format("bb")) >= 1, said


def test_checks_and_notes_say_what_replace_would_drop(ferry: Ferry, tables: None, tmp_path: Path) -> None:
    ferry.of("public.ba").load()
    changed = ferry.of({"table": "public.ba", "exclude": ["v"]})
    goes = "--replace drops 1 container with 1 row of public.ba, and loads it again"
    for arguments in (("cutover",), ("verify",)):
        said = command(changed, tmp_path, *arguments).text
        assert goes in said, said


def failures(ferry: Ferry) -> dict[str, Any]:
    with ferry.migration() as migration:
        return {one.table: one.sync.failure if one.sync else None for one in migration.status.tables()}


def kept_failure(ferry: Ferry, table: str) -> dict[str, Any]:
    """What the state holds of a table's failure, with the time of writing."""
    with ferry.migration() as migration:
        documents = migration.endpoints.look_at_state().documents
        full, found = documents.full(f"failure:{table}"), documents.container().scan().read_all().to_pylist()
    return {row["item"]: row for row in found if row["scope"] == full}


def test_status_says_why_the_last_sync_failed_until_one_ends_well(
    followed: Ferry, postgres: Database, tmp_path: Path
) -> None:
    followed.load()
    assert set(failures(followed).values()) == {None}
    postgres.run(f"INSERT INTO bb VALUES (2, {TOO_LONG})")
    assert command(followed, tmp_path, "sync").code == 3
    first = kept_failure(followed, "public.bb")
    assert len(first) == 1
    code, found = document(followed, tmp_path, "status")
    assert code == 0
    tables = {table["table"]: table["sync"] for table in found["tables"]}
    assert {name: sync["state"] for name, sync in tables.items()} == {
        "public.ba": "idle", "public.bb": "failed", "public.bc": "idle"
    }  # fmt: skip
    failure = tables["public.bb"]["failure"]
    assert (failure["type"], failure["try_again"], failure["exit_code"]) == ("DataError", False, 3)
    assert tables["public.ba"]["failure"] is None
    said = command(followed, tmp_path, "status").text
    assert "mode watermark, failed" in said
    assert f"failed since {failure['since'][:10]}" in said
    assert failure["next_step"] in said
    assert command(followed, tmp_path, "sync").code == 3
    assert kept_failure(followed, "public.bb") == first  # not written again
    (told,) = [t for t in reported(followed, tmp_path)[2].values() if t["table"] == "public.bb"]
    assert any(step.startswith("the last sync failed (") for step in told["next_steps"])
    postgres.run("UPDATE bb SET v = 'short' WHERE id = 2")
    assert command(followed, tmp_path, "sync").code == 0
    assert set(failures(followed).values()) == {None}
    assert kept_failure(followed, "public.bb") == {}


def test_a_load_that_replaces_forgets_the_failure_of_a_sync(
    followed: Ferry, postgres: Database, tmp_path: Path
) -> None:
    followed.load()
    postgres.run(f"INSERT INTO bb VALUES (2, {TOO_LONG})")
    assert command(followed, tmp_path, "sync", "--table", "public.bb").code == 3
    assert kept_failure(followed, "public.bb")
    postgres.run("DELETE FROM bb WHERE id = 2")
    followed.load(tables=["public.bb"], replace=True)
    assert kept_failure(followed, "public.bb") == {}


@pytest.mark.parametrize("mode", ["watermark", "cdc"])
def test_a_follower_tells_its_failure_and_takes_it_back_when_it_works_again(
    ferry: Ferry, tables: None, postgres: Database, tmp_path: Path, mode: str
) -> None:
    each = ferry.of(*({"table": f"public.{name}", "sync": {"mode": mode}} for name in NAMES[:2]))
    with without_slots(postgres):
        each.load()
        of = {"table": "public.bb", "mode": mode}
        with running(
            each, tmp_path, "sync", "--follow", "--interval", "1s", "--json", "--metrics-port", "0"
        ) as process:
            assert process.stderr is not None
            url = process.stderr.readline().split()[-1]
            postgres.run(f"INSERT INTO bb VALUES (2, {TOO_LONG})")
            seen = scrape_until(url, lambda seen: value(seen, "up", **of) == 0)
            assert value(seen, "failing", **of, error="DataError") == 1
            assert value(seen, "last_failure_timestamp_seconds", **of)
            failure = failures(each)["public.bb"]
            assert (failure.type, failure.try_again) == ("DataError", False)
            assert failures(each)["public.ba"] is None
            process.terminate()
            ended(process, code=3)
        shorter = each.of(*({**table, "on_bad_row": "quarantine"} for table in each.tables))
        with running(
            shorter, tmp_path, "sync", "--follow", "--interval", "1s", "--json", "--metrics-port", "0"
        ) as again:
            assert again.stderr is not None
            url = again.stderr.readline().split()[-1]
            scrape_until(url, lambda seen: value(seen, "rows_quarantined_total", **of) == 1)
            scrape_until(url, lambda seen: value(seen, "up", **of) == 1)
            deadline = time.monotonic() + 20
            while failures(each)["public.bb"] is not None and time.monotonic() < deadline:
                time.sleep(0.2)
            assert failures(each)["public.bb"] is None
            again.terminate()
            ended(again, code=1)


def test_the_status_and_the_page_say_what_replace_would_drop(ferry: Ferry, tables: None, tmp_path: Path) -> None:
    followed = ferry.of({"table": "public.ba", "sync": {"mode": "cdc"}})
    ferry.of("public.ba").load()  # without a slot
    goes = "--replace drops 1 container with 1 row of public.ba, and loads it again"
    assert goes in command(followed, tmp_path, "status").text
    with followed.store() as store:
        state = store.open_container(STATE)
        assert state is not None
        (row,) = [
            r
            for r in state.scan().read_all().to_pylist()
            if r["scope"].endswith("load:public.ba") and r["item"] == "run"
        ]
        state.put(pa.RecordBatch.from_pylist([{**row, "body": b"{}"}], schema=state.schema.arrow_schema))
        state.flush()
    page = tmp_path / "report.json"
    said = command(followed, tmp_path, "report", "--offline", "--format", "json", "--output", str(page))
    assert said.code == 3, said.text
    assert goes in page.read_text()
