"""Columns that change at the source after the load: followed where the containers hold them, in each mode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import sync, without_slots
from tests.e2e.ferry import Ferry

from gridferry.engine.events import Event, Note
from gridferry.engine.sync.cdc.table import FollowedTable
from gridferry.errors import CheckpointError, DataError, FerryError
from gridferry.model.verification import Verdict

ITEM: dict[str, Any] = {"table": "item", "sync": {"mode": "cdc"}}
BY_WATERMARK: dict[str, Any] = {"table": "item", "sync": {"mode": "watermark", "column": "id"}}


@pytest.fixture
def clean(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    with without_slots(postgres):
        yield ferry


def loaded(ferry: Ferry, postgres: Database, **options: Any) -> Ferry:
    postgres.run(
        "CREATE TABLE item (id int PRIMARY KEY, name varchar(20), price numeric(10,2), n int, note text,"
        " small numeric(5,0) NOT NULL DEFAULT 0)"
    )
    postgres.run("INSERT INTO item SELECT i, 'item ' || i, i + 0.25, i, 'note ' || i FROM generate_series(1, 9) i")
    ferry = ferry.of({**ITEM, **options})
    ferry.load()
    return ferry


def change(postgres: Database, first: int) -> None:
    """A row each that is inserted, updated and deleted, whatever the columns are called now."""
    postgres.run(f"INSERT INTO item (id, n) VALUES ({first}, {first}), ({first + 1}, 0)")
    postgres.run(f"UPDATE item SET n = -n WHERE id = {first % 9 + 1}; DELETE FROM item WHERE id = {first + 1}")


def by_id(ferry: Ferry) -> dict[int, dict[str, Any]]:
    return {row["id"]: row for row in ferry.rows("item")}


def crash_once_when_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first run that follows a change of columns end just when it is written down."""
    adopt = FollowedTable._adopt
    crashed: list[bool] = []

    def crash(self: FollowedTable, *given: Any, **named: Any) -> None:
        adopt(self, *given, **named)
        if not crashed:
            crashed.append(True)
            raise RuntimeError("killed")

    monkeypatch.setattr(FollowedTable, "_adopt", crash)


FOLLOWED = {
    "a bigint": ("ALTER TABLE item ALTER n TYPE bigint", "n was integer and is now bigint"),
    "a longer varchar": ("ALTER TABLE item ALTER name TYPE varchar(200)", "is now character varying\\(200\\)"),
    "a varchar to text": ("ALTER TABLE item ALTER name TYPE text", "is now text"),
    "a wider numeric": ("ALTER TABLE item ALTER price TYPE numeric(30,4)", "is now numeric\\(30,4\\)"),
    "a numeric without limits": ("ALTER TABLE item ALTER price TYPE numeric", "is now numeric in the source"),
    "a wider whole numeric": ("ALTER TABLE item ALTER small TYPE numeric(30,0)", "is now numeric\\(30,0\\)"),
    "a rename": ("ALTER TABLE item RENAME note TO remark", "note was renamed to remark"),
    "two renames": ("ALTER TABLE item RENAME note TO x; ALTER TABLE item RENAME x TO remark", "renamed to remark"),
    "a renamed key": ("ALTER TABLE item RENAME id TO number; ALTER TABLE item RENAME number TO id", ""),
    "two names swapped": (
        "ALTER TABLE item RENAME name TO x; ALTER TABLE item RENAME note TO name; ALTER TABLE item RENAME x TO note",
        "note was renamed to name",
    ),
    "a new one in the name of an old one": (
        "ALTER TABLE item RENAME note TO old; ALTER TABLE item ADD note_2 text DEFAULT 'new'",
        "note was renamed to old",
    ),
    "a dropped column": ("ALTER TABLE item DROP note", "note \\(text\\) was dropped"),
    "a dropped one and a new one": ("ALTER TABLE item DROP note, ADD more text DEFAULT 'x'", "was dropped"),
    "a column that comes again": (
        "ALTER TABLE item DROP note; ALTER TABLE item ADD note text DEFAULT 'again'",
        "was dropped",
    ),
    "no more NOT NULL, a default": ("ALTER TABLE item ALTER small DROP NOT NULL, ALTER n SET DEFAULT 3", ""),
    "NOT NULL": ("UPDATE item SET note = '' WHERE note IS NULL; ALTER TABLE item ALTER n SET NOT NULL", ""),
    "the whole row as identity": ("ALTER TABLE item REPLICA IDENTITY FULL", ""),
    "other limits of the key": ("ALTER TABLE item ALTER id TYPE bigint", "id was integer and is now bigint"),
}


KILLED = {
    "a wider numeric",
    "two names swapped",
    "a dropped one and a new one",
    "a column that comes again",
}


@pytest.mark.parametrize(
    ("name", "crash"), [*((name, False) for name in FOLLOWED), *((name, True) for name in sorted(KILLED))]
)
def test_a_change_is_followed_in_one_stream(
    clean: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch, name: str, crash: bool
) -> None:
    statement, words = FOLLOWED[name]
    ferry = loaded(clean, postgres)
    change(postgres, 100)
    postgres.run(f"BEGIN; INSERT INTO item (id, n) VALUES (150, 1); {statement}; COMMIT")
    change(postgres, 200)
    said: list[Event] = []
    if crash:
        crash_once_when_followed(monkeypatch)
        with pytest.raises(RuntimeError, match="killed"):
            sync(ferry, listener=said.append)
    sync(ferry, listener=said.append)
    notes = " ".join(event.message for event in said if isinstance(event, Note))
    assert re.search(words, notes), notes
    assert ferry.equal()
    change(postgres, 300)
    sync(ferry)
    assert ferry.equal()
    assert {150, 200, 300} <= set(by_id(ferry))
    assert 201 not in by_id(ferry)


def test_changes_after_each_other_are_followed_and_a_load_again_finds_nothing_to_do(
    clean: Ferry, postgres: Database
) -> None:
    ferry = loaded(clean, postgres)
    for number, (statement, _) in enumerate(
        [FOLLOWED["a bigint"], FOLLOWED["a rename"], FOLLOWED["a wider numeric"], ("ALTER TABLE item ADD late int", "")]
    ):
        change(postgres, 100 + 10 * number)
        postgres.run(statement)
    change(postgres, 200)
    sync(ferry)
    assert ferry.equal()
    (again,) = ferry.load()
    assert again.outcome.value == "already loaded"


def test_a_verification_and_a_load_go_by_a_change_that_no_sync_has_seen(clean: Ferry, postgres: Database) -> None:
    ferry = loaded(clean, postgres)
    postgres.run("ALTER TABLE item RENAME note TO remark; ALTER TABLE item ALTER n TYPE bigint")
    postgres.run("ALTER TABLE item DROP name")
    assert ferry.equal()
    (again,) = ferry.load()
    assert again.outcome.value == "already loaded"
    sync(ferry)
    assert ferry.equal()


def test_a_dropped_column_keeps_what_it_had_and_is_named_where_something_is_called_equal(
    clean: Ferry, postgres: Database
) -> None:
    ferry = loaded(clean, postgres)
    postgres.run("ALTER TABLE item DROP note; UPDATE item SET n = 77 WHERE id = 2; INSERT INTO item (id) VALUES (20)")
    sync(ferry)
    rows = by_id(ferry)
    assert (rows[1]["note"], rows[2]["note"], rows[20]["note"]) == ("note 1", None, None)
    with ferry.migration() as migration:
        report = migration.verifications.verify()
    assert report.verdict is Verdict.EQUAL
    assert report.tables[0].covered is not None
    assert report.tables[0].covered.dropped == ("note",)


def test_a_repair_leaves_a_dropped_column_out(clean: Ferry, postgres: Database) -> None:
    ferry = loaded(clean, postgres)
    postgres.run("ALTER TABLE item DROP note; UPDATE item SET n = 77 WHERE id = 2")
    sync(ferry)
    with ferry.store() as store:
        container = store.open_container("item")
        assert container is not None
        whole = next(iter(container.scan().batches()))
        container.delete(whole.slice(0, 1).select(["id"]))
    with ferry.migration() as migration:
        report = migration.repairs.repair()
    assert report.verdict is Verdict.EQUAL
    assert by_id(ferry)[4]["note"] == "note 4"
    assert len(by_id(ferry)) == 9


def test_a_value_that_its_column_does_not_hold_any_more_is_refused_by_name(clean: Ferry, postgres: Database) -> None:
    ferry = loaded(clean, postgres)
    postgres.run("ALTER TABLE item ALTER n TYPE bigint; INSERT INTO item (id, n) VALUES (50, 5)")
    sync(ferry)
    postgres.run("INSERT INTO item (id, n) VALUES (51, 3000000000)")
    with pytest.raises(DataError, match=r"n is too large for the column's type, .* id = 51") as stopped:
        sync(ferry)
    assert "load" in stopped.value.next_step
    assert 50 in by_id(ferry)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE item ALTER n TYPE numeric", "n was integer and is now numeric, which INTEGER"),
        ("ALTER TABLE item ALTER price TYPE numeric(10,0)", "price was numeric.10,2. and is now numeric.10,0."),
        ("ALTER TABLE item ALTER name TYPE char(20)", "name was character varying.20. and is now character.20."),
        ("ALTER TABLE item ALTER note TYPE bytea USING note::bytea", "note was text and is now bytea"),
        ("ALTER TABLE item DROP small", "small was dropped, and small of the containers takes no NULL"),
        ("ALTER TABLE item DROP id, ADD PRIMARY KEY (n)", "id was dropped, and the row key"),
    ],
)
def test_what_the_containers_do_not_hold_stops_the_table_and_loses_nothing(
    clean: Ferry, postgres: Database, statement: str, words: str
) -> None:
    ferry = loaded(clean, postgres)
    postgres.run("INSERT INTO item (id, n) VALUES (20, 20)")
    postgres.run(statement)
    postgres.run("INSERT INTO item (n) VALUES (21)" if "DROP id" in statement else "INSERT INTO item (id) VALUES (21)")
    with pytest.raises(FerryError, match=words) as stopped:
        sync(ferry)
    assert "--replace" in stopped.value.next_step
    with pytest.raises(CheckpointError, match=words), ferry.migration() as migration:
        migration.verifications.verify()


def test_a_renamed_column_that_the_config_names_stops_the_table(clean: Ferry, postgres: Database) -> None:
    ferry = loaded(clean, postgres, rename={"note": "text"})
    postgres.run("ALTER TABLE item RENAME note TO remark; INSERT INTO item (id) VALUES (20)")
    with pytest.raises(DataError, match="note was renamed to remark, and the config names it under `rename`"):
        sync(ferry)
    postgres.run("ALTER TABLE item RENAME remark TO note; INSERT INTO item (id) VALUES (21)")
    sync(ferry)
    assert ferry.equal()


def test_a_new_column_is_left_out_where_the_option_says_so(clean: Ferry, postgres: Database) -> None:
    ferry = loaded(clean, postgres, sync={"mode": "cdc", "new_columns": "ignore"})
    postgres.run('ALTER TABLE item ADD "odd one" point; INSERT INTO item (id, "odd one") VALUES (20, point(1, 2))')
    sync(ferry)
    assert 20 in by_id(ferry)
    assert "odd one" not in by_id(ferry)[20]
    with ferry.migration() as migration:
        (table,) = migration.verifications.verify().tables
    assert table.covered is not None
    assert [column.name for column in table.covered.left_out] == ["odd one"]
    taken = ferry.of(ITEM)  # the option may be changed: then the column is one that cannot be stored
    postgres.run("INSERT INTO item (id) VALUES (21)")
    with pytest.raises(DataError, match="only ASCII letters") as stopped:
        sync(taken)
    assert "new_columns: ignore" in stopped.value.next_step


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE item ALTER n TYPE bigint",
        "ALTER TABLE item RENAME note TO remark",
        "ALTER TABLE item DROP note",
        "ALTER TABLE item ADD late text DEFAULT 'x'",
        "ALTER TABLE item DROP note; ALTER TABLE item ADD note text DEFAULT 'again'",
    ],
)
def test_mode_watermark_follows_the_same_changes(clean: Ferry, postgres: Database, statement: str) -> None:
    ferry = loaded(clean, postgres, **BY_WATERMARK)
    postgres.run("INSERT INTO item (id) VALUES (20)")
    postgres.run(statement)
    postgres.run("INSERT INTO item (id) VALUES (21)")
    sync(ferry)
    assert ferry.equal()
    postgres.run("INSERT INTO item (id) VALUES (22)")
    sync(ferry)
    assert ferry.equal()
    assert {20, 21, 22} <= set(by_id(ferry))


def test_mode_watermark_stops_at_a_change_that_it_cannot_follow(clean: Ferry, postgres: Database) -> None:
    ferry = loaded(clean, postgres, **BY_WATERMARK)
    postgres.run("ALTER TABLE item ALTER n TYPE numeric; INSERT INTO item (id) VALUES (20)")
    with pytest.raises(CheckpointError, match="n was integer and is now numeric"):
        sync(ferry)


def test_a_row_in_the_quarantine_is_replayed_after_its_key_was_renamed(clean: Ferry, postgres: Database) -> None:
    ferry = loaded(clean, postgres, on_bad_row="quarantine")
    postgres.run("ALTER TABLE item ADD day date; INSERT INTO item (id, day) VALUES (30, 'infinity')")
    sync(ferry)
    postgres.run("ALTER TABLE item RENAME id TO number; INSERT INTO item (number) VALUES (31)")
    sync(ferry)
    postgres.run("SET session_replication_role = replica; UPDATE item SET day = '2026-01-01' WHERE number = 30")
    with ferry.migration() as migration:
        (replayed,) = migration.repairs.replay()
    assert (replayed.replayed, replayed.still_held) == (1, 0)
    assert {30, 31} <= set(by_id(ferry))
    sync(ferry)
    assert ferry.equal()
