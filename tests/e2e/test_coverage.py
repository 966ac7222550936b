"""Nothing is called equal, loaded or ready without what it holds for: columns left out, rows not stored, conditions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.command import Said, command
from tests.e2e.ferry import Ferry
from tests.e2e.statistics import wait_for_statistics
from typer.testing import CliRunner

from gridferry.cli.main import app

CONTRACT = {"table": "contract", "on_bad_row": "quarantine"}
BOOK = {"table": "book", "exclude": ["keywords", "span"]}
GONE = "2 of 5 columns are not in GridDB: keywords text[] (excluded, no reason given), span interval (excluded, no"


@pytest.fixture
def contracts(ferry: Ferry, postgres: Database) -> Ferry:
    """Three of four rows end in a time that GridDB cannot hold."""
    postgres.run("CREATE TABLE contract (id int PRIMARY KEY, holder text, ends timestamptz NOT NULL)")
    postgres.run(
        "INSERT INTO contract VALUES (1, 'a', 'infinity'), (2, 'b', '2030-01-01'), (3, 'c', '-infinity'),"
        " (4, 'd', 'infinity')"
    )
    wait_for_statistics(postgres)
    return ferry.of(CONTRACT)


@pytest.fixture
def books(ferry: Ferry, postgres: Database) -> Ferry:
    """Two of five columns have types without a rule."""
    postgres.run("CREATE TABLE book (id int PRIMARY KEY, title text, keywords text[], span interval, price float8)")
    postgres.run("INSERT INTO book SELECT i, 'title ' || i, ARRAY['k'], '1 day', i FROM generate_series(1, 9) AS i")
    wait_for_statistics(postgres)
    return ferry.of(BOOK)


def document(ferry: Ferry, folder: Path, *arguments: str) -> dict[str, Any]:
    """The JSON document that a command prints."""
    file = folder / "gridferry.yaml"
    file.write_text(ferry.text)
    result = CliRunner().invoke(app, [*arguments, "--json", "--config", str(file)], env=ferry.env)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def ends(said: Said, code: int, *parts: str) -> None:
    assert said.code == code, said.text
    for part in parts:
        assert part in said.text, said.text


def test_rows_in_quarantine_are_in_every_headline_and_exit_code(contracts: Ferry, tmp_path: Path) -> None:
    stored = "1 of 4 rows stored, 3 in quarantine"
    ends(command(contracts, tmp_path, "load"), 1, stored, "gridferry quarantine list")
    ends(command(contracts, tmp_path, "load"), 1, "already loaded", "3 in quarantine")
    ends(command(contracts, tmp_path, "load", "--accept-quarantined"), 0, "3 in quarantine")
    for depth in ([], ["--quick"]):
        said = command(contracts, tmp_path, "verify", *depth)
        ends(said, 1, f"Not all rows are stored: {stored}", "gridferry quarantine replay")
        assert "All values are equal" not in said.text
        ends(command(contracts, tmp_path, "verify", *depth, "--accept-quarantined"), 0, stored)
    ends(command(contracts, tmp_path, "repair"), 1, stored)
    ends(command(contracts, tmp_path, "status"), 0, "3 rows, not stored", "incomplete", stored)
    ends(command(contracts, tmp_path, "report", "-o", str(tmp_path / "r.html")), 0, stored)
    assert stored in (tmp_path / "r.html").read_text()
    found = document(contracts, tmp_path, "verify")
    assert (found["verdict"], found["exit_code"], found["coverage"]["quarantined"]) == ("incomplete", 1, 3)
    assert stored in found["headline"]
    covered = document(contracts, tmp_path, "status")["tables"][0]["coverage"]
    assert (covered["quarantined"], covered["columns"], covered["left_out"]) == (3, 3, [])


def test_rows_in_quarantine_hold_back_a_cut_over_until_they_are_stored_or_accepted(
    contracts: Ferry, postgres: Database, tmp_path: Path
) -> None:
    command(contracts, tmp_path, "load")
    wait_for_statistics(postgres)
    ends(command(contracts, tmp_path, "cutover"), 1, "NOT READY: 1 thing missing", "--accept-quarantined")
    accepted = command(contracts, tmp_path, "cutover", "--accept-quarantined")
    ends(
        accepted,
        0,
        "READY: what is stored is equal (1 of 4 rows stored, 3 in quarantine)",
        "accepted: public.contract: 3 rows in quarantine",
    )
    # The advice of the messages: mend at the source, and replay.
    postgres.run("UPDATE contract SET ends = '2040-01-01' WHERE ends::text LIKE '%infinity'")
    wait_for_statistics(postgres)
    ends(command(contracts, tmp_path, "quarantine", "replay"), 0)
    ends(command(contracts, tmp_path, "verify"), 0, "All values are equal (4 rows in 1 container")
    ends(command(contracts, tmp_path, "cutover"), 0, "READY: 4 rows are equal")
    ends(command(contracts, tmp_path, "load"), 0, "already loaded")


def test_a_sync_ends_with_1_while_rows_of_its_tables_are_in_quarantine(
    ferry: Ferry, postgres: Database, tmp_path: Path
) -> None:
    postgres.run("CREATE TABLE event (id int PRIMARY KEY, at timestamptz NOT NULL)")
    postgres.run("INSERT INTO event VALUES (1, '2024-01-01')")
    ferry = ferry.of(
        {
            "table": "event",
            "on_bad_row": "quarantine",
            "sync": {"mode": "watermark", "column": "id", "new_columns": "ignore"},
        }
    )
    ends(command(ferry, tmp_path, "load"), 0)
    ends(command(ferry, tmp_path, "sync"), 0)
    postgres.run("INSERT INTO event VALUES (2, 'infinity'), (3, '2024-01-02')")
    ends(command(ferry, tmp_path, "sync"), 1, "1 row in quarantine (1 by this run)", "gridferry quarantine list")
    ends(command(ferry, tmp_path, "sync"), 1, "1 row in quarantine")
    ends(command(ferry, tmp_path, "sync", "--accept-quarantined"), 0, "1 row in quarantine")
    postgres.run("ALTER TABLE event ADD COLUMN late text DEFAULT 'x'")
    ends(command(ferry, tmp_path, "sync"), 1, "1 of 3 columns is not in GridDB: late text (added to the source after")
    ends(command(ferry, tmp_path, "verify"), 1, "of the stored rows all values of 2 of 3 columns are equal")


def test_duplicates_that_gave_way_are_in_the_numbers_and_fail_nothing(
    ferry: Ferry, postgres: Database, tmp_path: Path
) -> None:
    postgres.run("CREATE TABLE log (at timestamp(3), v int)")
    postgres.run(
        "INSERT INTO log SELECT timestamp '2024-01-01' + i % 6 * interval '1 s', i FROM generate_series(0, 8) AS i"
    )
    wait_for_statistics(postgres)
    ferry = ferry.of({"table": "log", "key": "at", "on_duplicate": "last", "order_by": "v"})
    stored = "6 of 9 rows stored, 3 superseded by another of their key"
    ends(command(ferry, tmp_path, "load"), 0, stored)
    for depth in ([], ["--quick"]):
        ends(command(ferry, tmp_path, "verify", *depth), 0, "are equal", stored)
    ends(command(ferry, tmp_path, "cutover"), 0, f"READY: what is stored is equal ({stored})")


def test_columns_that_are_left_out_are_named_by_every_command(books: Ferry, tmp_path: Path) -> None:
    ends(command(books, tmp_path, "plan"), 0, "2 of 5 columns are left out", "keywords text[]", "3 of 5 columns")
    for arguments in (["load"], ["verify"], ["verify", "--quick"], ["repair"], ["status"]):
        ends(command(books, tmp_path, *arguments), 0, GONE)
    ends(command(books, tmp_path, "verify"), 0, "All values of 3 of 5 columns are equal (9 rows in 1 container")
    ends(command(books, tmp_path, "repair"), 0, "Both sides are equal now in 3 of 5 columns")
    said = command(books, tmp_path, "report", "-o", str(tmp_path / "r.html"))
    ends(said, 0, "All values of 3 of 5 columns of 9 stored rows", "keywords text[]")
    page = (tmp_path / "r.html").read_text()
    assert "All values of 3 of 5 columns" in page
    assert page.count("left out") >= 2
    for arguments in (["plan"], ["load"], ["verify"], ["status"], ["cutover"]):
        covered = document(books, tmp_path, *arguments)["tables"][0]["coverage"]
        assert [c["name"] for c in covered["left_out"]] == ["keywords", "span"], arguments
        assert (covered["columns"], covered["compared"], covered["exact"]) == (5, 3, 3)
    said = command(books, tmp_path, "report", "--format", "json", "-o", str(tmp_path / "r.json"))
    (table,) = json.loads((tmp_path / "r.json").read_text())["tables"]
    assert [c["name"] for c in table["coverage"]["left_out"]] == ["keywords", "span"]


def test_a_cut_over_asks_for_the_reason_of_each_column_that_is_left_out(books: Ferry, tmp_path: Path) -> None:
    command(books, tmp_path, "load")
    said = command(books, tmp_path, "cutover")
    ends(said, 1, "NOT READY: 1 thing missing", "3 of 5 columns in GridDB", "`exclude: {COLUMN: reason}`")
    accepted = command(books, tmp_path, "cutover", "--accept-excluded")
    ends(accepted, 0, "READY: 9 rows, 3 of 5 columns: equal", "accepted: public.book: columns that are not in GridDB")
    # The reason can be given after the load: it is the same load.
    half = books.of({**BOOK, "exclude": {"keywords": "search is elsewhere"}})
    assert command(half, tmp_path, "load").code != 0  # `span` is to be loaded now, and cannot
    reasons = books.of({**BOOK, "exclude": {"span": "always a day", "keywords": "search is elsewhere"}})
    ends(command(reasons, tmp_path, "load"), 0, "already loaded")
    ends(command(reasons, tmp_path, "verify"), 0, "keywords text[] (excluded: search is elsewhere)")
    ends(command(reasons, tmp_path, "cutover"), 0, "READY: 9 rows, 3 of 5 columns: equal")
    nothing = books.of({**BOOK, "exclude": {"span": ""}})
    ends(command(nothing, tmp_path, "verify"), 2, 'the column "span" needs a reason')


def test_a_column_that_came_after_the_load_holds_back_a_cut_over(
    books: Ferry, postgres: Database, tmp_path: Path
) -> None:
    postgres.run("ALTER TABLE book DROP COLUMN keywords, DROP COLUMN span")
    books = books.of("book")
    ends(command(books, tmp_path, "load"), 0)
    postgres.run("ALTER TABLE book ADD COLUMN isbn text")
    wait_for_statistics(postgres)
    late = "isbn text (added to the source after the load)"
    ends(command(books, tmp_path, "verify"), 0, "All values of 3 of 4 columns are equal", late)
    ends(command(books, tmp_path, "status"), 0, late)
    ends(command(books, tmp_path, "cutover"), 1, "NOT READY: 1 thing missing", late)
    ends(command(books, tmp_path, "cutover", "--accept-excluded"), 0, "READY: 9 rows, 3 of 4 columns: equal", late)


def test_a_condition_and_loss_are_part_of_the_headline(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run("CREATE TABLE price (id int PRIMARY KEY, live bool, amount numeric)")
    postgres.run("INSERT INTO price SELECT i, i % 2 = 0, i + 0.12345678901234567891 FROM generate_series(1, 9) AS i")
    rounded = {"amount": {"type": "double", "exact": False}}
    ferry = ferry.of({"table": "price", "where": "live -- only these", "columns": rounded})
    wait_for_statistics(postgres)
    condition = "only rows that meet this condition are loaded and compared: live -- only these"
    ends(command(ferry, tmp_path, "plan"), 0, "only rows that meet `where`")
    ends(command(ferry, tmp_path, "load"), 0, condition)
    said = command(ferry, tmp_path, "verify")
    ends(said, 0, "(4 rows in 1 container, 1 column compared after loss, in 1 table only rows that meet `where`")
    ends(said, 0, "1 column stored with loss, compared after it: amount", condition)
    # A condition is what the user wished for: it is told, and holds nothing back.
    ends(command(ferry, tmp_path, "cutover"), 0, "READY: 4 rows are equal", condition)


def test_tables_that_the_config_does_not_name_are_told(books: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run("CREATE TABLE forgotten (id int PRIMARY KEY)")
    postgres.run("CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    postgres.run("CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (9)")
    others = "2 tables of the database are not in this config: public.forgotten, public.parts"
    ends(command(books, tmp_path, "plan"), 0, others)
    command(books, tmp_path, "load")
    ends(command(books, tmp_path, "cutover", "--accept-excluded"), 0, others, "READY")
    command(books, tmp_path, "report", "-o", str(tmp_path / "r.html"))
    assert others in (tmp_path / "r.html").read_text()
    assert document(books, tmp_path, "plan")["others"] == ["public.forgotten", "public.parts"]


def test_a_role_that_may_read_some_columns_loads_them_and_says_which_not(
    ferry: Ferry, postgres: Database, tmp_path: Path
) -> None:
    postgres.run("CREATE TABLE staff (id int PRIMARY KEY, badge text, salary int, name text)")
    postgres.run("INSERT INTO staff SELECT i, 'b' || i, 1000 * i, 'n' || i FROM generate_series(1, 20) AS i")
    postgres.run("DROP ROLE IF EXISTS clerk")
    postgres.run("CREATE ROLE clerk LOGIN; GRANT SELECT (id, badge, name) ON staff TO clerk")
    try:
        clerk = replace(ferry, dsn=postgres.dsn_as("clerk")).of("staff")
        said = command(clerk, tmp_path, "plan")
        ends(said, 2, "the role may not read the column salary", 'GRANT SELECT ("salary") ON "public"."staff"')
        assert "GRANT SELECT ON" not in said.text
        clerk = clerk.of({"table": "staff", "exclude": {"salary": "private"}, "sync": {"mode": "watermark"}})
        ends(command(clerk, tmp_path, "load"), 0, "salary integer (excluded: private)")
        assert {tuple(row) for row in ferry.rows("staff")} == {("id", "badge", "name")}
        postgres.run("INSERT INTO staff VALUES (21, 'b21', 1, 'n21')")
        ends(command(clerk, tmp_path, "sync"), 0, "public.staff: synced")
        for words, told in (
            (["verify"], "3 of 4 columns"),
            (["verify", "--quick"], "21 rows"),
            (["repair"], "3 of 4 columns"),
        ):
            ends(command(clerk, tmp_path, *words), 0, told)
        postgres.run("UPDATE staff SET name = 'other' WHERE id = 7")
        ends(command(clerk, tmp_path, "repair", "--sync"), 0, "Both sides are equal now in 3 of 4 columns")
        assert next(row["name"] for row in ferry.rows("staff") if row["id"] == 7) == "other"
        file = tmp_path / "init.yaml"
        result = CliRunner().invoke(app, ["init", "--output", str(file), clerk.dsn], env=clerk.env)
        assert result.exit_code == 0, result.output
        assert "exclude: [salary]    # this role may not read salary" in file.read_text()
        postgres.run("REVOKE SELECT (name) ON staff FROM clerk")
        said = command(clerk, tmp_path, "verify")
        assert said.code in (2, 3)
        assert "permission denied" in said.text or "may not read" in said.text
    finally:
        postgres.run("DROP OWNED BY clerk; DROP ROLE clerk")
