"""Mode cdc end to end: what changes in the source, and what the target holds after a sync."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, sync, without_slots
from tests.e2e.ferry import QUARANTINE, Ferry
from tests.readings import make_numbered_readings

from gridferry.errors import DataError, DuplicateKeys

BIG = "(SELECT string_agg(md5(i::text || {seed}), '') FROM generate_series(1, 400) AS i)"


@pytest.fixture
def clean(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    with without_slots(postgres):
        yield ferry


@pytest.fixture
def loaded(clean: Ferry, postgres: Database) -> Ferry:
    make_numbered_readings(postgres)
    ferry = clean.of(READING)
    ferry.load()
    assert_level(ferry, postgres)
    return ferry


def test_inserts_updates_deletes_and_key_changes_arrive(loaded: Ferry, postgres: Database) -> None:
    postgres.run("INSERT INTO reading VALUES (100, 'd0', 1, NULL), (101, 'new device', 2, 'x')")
    postgres.run("UPDATE reading SET n = -n, note = NULL WHERE k < 5")
    postgres.run("DELETE FROM reading WHERE k BETWEEN 10 AND 14")
    postgres.run("UPDATE reading SET k = k + 1000 WHERE k BETWEEN 15 AND 19")
    postgres.run("UPDATE reading SET device = 'moved' WHERE k = 20")
    (done,) = sync(loaded)
    assert (done.mode, done.outcome, done.read) == ("cdc", "synced", 18)
    assert len(done.created) == 2
    assert_level(loaded, postgres)
    assert loaded.equal()
    (again,) = sync(loaded)
    assert (again.outcome, again.read) == ("nothing new", 0)


def test_many_changes_of_one_row_end_as_the_last(loaded: Ferry, postgres: Database) -> None:
    for number in range(20):
        postgres.run(f"UPDATE reading SET n = {number} WHERE k = 3")
    postgres.run("DELETE FROM reading WHERE k = 4; INSERT INTO reading VALUES (4, 'd1', 44, 'again')")
    postgres.run("INSERT INTO reading VALUES (500, 'd1', 1, ''); DELETE FROM reading WHERE k = 500")
    postgres.run("UPDATE reading SET k = 600 WHERE k = 5; UPDATE reading SET k = 601 WHERE k = 600")
    postgres.run("INSERT INTO reading VALUES (5, 'd2', 55, 'took the place')")
    sync(loaded)
    assert_level(loaded, postgres)


def test_values_stored_out_of_line_stay_when_they_were_not_sent(loaded: Ferry, postgres: Database) -> None:
    postgres.run(f"UPDATE reading SET note = {BIG.format(seed=1)} WHERE k < 6")
    sync(loaded)
    postgres.run("UPDATE reading SET n = 77 WHERE k < 3")  # the note is not sent
    postgres.run("UPDATE reading SET k = k + 300 WHERE k = 3")  # nor here, and the row moves
    postgres.run("UPDATE reading SET device = 'd9' WHERE k = 4")
    postgres.run(f"UPDATE reading SET note = {BIG.format(seed=2)} WHERE k = 5")
    postgres.run("UPDATE reading SET n = 78 WHERE k = 5; UPDATE reading SET k = 505 WHERE k = 5")
    sync(loaded)
    assert_level(loaded, postgres)


def test_a_value_that_is_nowhere_in_the_target_is_read_from_the_source(loaded: Ferry, postgres: Database) -> None:
    postgres.run(f"UPDATE reading SET note = {BIG.format(seed=1)} WHERE k = 3")
    sync(loaded)
    name = loaded.catalog("public.reading")["d0"]
    with loaded.store() as store:
        container = store.open_container(name)
        assert container is not None
        container.delete(pa.record_batch([pa.array([3], pa.int32())], names=["k"]))
    postgres.run("UPDATE reading SET n = 77 WHERE k = 3; UPDATE reading SET device = 'far', k = 4000 WHERE k = 3")
    sync(loaded)
    assert_level(loaded, postgres)


def test_truncate_stops_until_it_is_to_be_applied(loaded: Ferry, postgres: Database) -> None:
    postgres.run("INSERT INTO reading VALUES (100, 'd0', 1, NULL)")
    postgres.run("TRUNCATE reading")
    postgres.run("INSERT INTO reading VALUES (1, 'd0', 5, 'after')")
    with pytest.raises(DataError, match="TRUNCATE"):
        sync(loaded)
    applying = loaded.of({**READING, "sync": {"mode": "cdc", "on_truncate": "apply"}})
    sync(applying)
    assert_level(applying, postgres)


def test_an_added_column_is_taken_over_with_the_default_of_old_rows(loaded: Ferry, postgres: Database) -> None:
    postgres.run("INSERT INTO reading VALUES (100, 'd0', 1, NULL)")
    postgres.run("ALTER TABLE reading ADD COLUMN extra int DEFAULT 7, ADD COLUMN late text")
    postgres.run("INSERT INTO reading VALUES (101, 'd1', 1, NULL, 8, 'x')")
    postgres.run("UPDATE reading SET n = 5 WHERE k = 7")
    sync(loaded)
    assert_level(loaded, postgres)
    postgres.run("UPDATE reading SET late = 'y' WHERE k = 8")
    sync(loaded)
    assert_level(loaded, postgres)
    assert loaded.equal()


def test_columns_added_one_after_the_other_in_one_group_are_all_taken_over(loaded: Ferry, postgres: Database) -> None:
    postgres.run(
        "BEGIN; INSERT INTO reading VALUES (100, 'd0', 1, NULL);"
        " ALTER TABLE reading ADD COLUMN one int DEFAULT 7; INSERT INTO reading VALUES (101, 'd1', 1, NULL, 8);"
        " ALTER TABLE reading ADD COLUMN two text; INSERT INTO reading VALUES (102, 'd1', 1, NULL, 8, 'x'); COMMIT"
    )
    sync(loaded)
    assert_level(loaded, postgres)


def test_a_column_added_with_no_change_after_it_is_taken_over(loaded: Ferry, postgres: Database) -> None:
    postgres.run("INSERT INTO reading VALUES (100, 'd0', 1, NULL)")
    postgres.run("ALTER TABLE reading ADD COLUMN extra int DEFAULT 7")
    sync(loaded)
    assert_level(loaded, postgres)
    postgres.run("INSERT INTO reading VALUES (101, 'd1', 1, NULL, 8); UPDATE reading SET extra = 9 WHERE k = 3")
    sync(loaded)
    assert_level(loaded, postgres)


def test_a_column_added_within_a_transaction_keeps_its_values(loaded: Ferry, postgres: Database) -> None:
    postgres.run(
        "BEGIN; INSERT INTO reading VALUES (100, 'd0', 1, 'a'); UPDATE reading SET n = 6 WHERE k = 6;"
        " ALTER TABLE reading ADD COLUMN extra int DEFAULT 7; INSERT INTO reading VALUES (101, 'd0', 1, 'b', 9);"
        " DELETE FROM reading WHERE k = 9; COMMIT"
    )
    sync(loaded)
    assert_level(loaded, postgres)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE reading RENAME COLUMN device TO device_2", "dropped or renamed, and the config names it"),
        ("ALTER TABLE reading ALTER COLUMN n TYPE text", "n was bigint and is now text"),
        ('ALTER TABLE reading ADD COLUMN "odd one" point', "only ASCII letters"),
    ],
)
def test_other_changes_of_columns_stop_and_lose_nothing(
    loaded: Ferry, postgres: Database, change: str, named: str
) -> None:
    postgres.run("UPDATE reading SET n = 99 WHERE k = 1")
    postgres.run(change)
    postgres.run("UPDATE reading SET n = 98 WHERE k = 2")
    with pytest.raises(DataError, match=named) as stopped:
        sync(loaded)
    assert "--replace" in stopped.value.next_step
    assert "PostgreSQL keeps the rest" in stopped.value.state


def test_a_column_too_many_stops_before_anything_is_changed(clean: Ferry, postgres: Database) -> None:
    columns = ", ".join(f"c{i} int" for i in range(1023))
    postgres.run(f"CREATE TABLE wide (k int PRIMARY KEY, {columns})")
    ferry = clean.of({"table": "wide", "sync": {"mode": "cdc"}})
    ferry.load()
    postgres.run("ALTER TABLE wide ADD COLUMN more int; INSERT INTO wide (k, c7, more) VALUES (1, 7, 8)")
    with pytest.raises(DataError, match=r"public\.wide: the column more .* 1024 columns") as stopped:
        sync(ferry)
    assert "drop the column" in stopped.value.next_step
    postgres.run("ALTER TABLE wide DROP COLUMN more")
    sync(ferry)
    assert [(r["k"], r["c7"]) for r in ferry.rows("wide")] == [(1, 7)]


def test_a_default_that_cannot_be_stored_stops_the_sync_in_words_of_a_sync(loaded: Ferry, postgres: Database) -> None:
    postgres.run("ALTER TABLE reading ADD COLUMN old date DEFAULT '0001-01-01 BC'")
    with pytest.raises(DataError, match="old lies before 1970") as stopped:
        sync(loaded)
    assert "PostgreSQL keeps the rest" in stopped.value.state
    assert "run the same command again" in stopped.value.next_step


def test_rows_whose_default_cannot_be_stored_are_put_aside_and_do_not_stay_as_they_were(
    clean: Ferry, postgres: Database
) -> None:
    make_numbered_readings(postgres)
    ferry = clean.of({**READING, "on_bad_row": "quarantine"})
    ferry.load()
    postgres.run("ALTER TABLE reading ADD COLUMN old date DEFAULT '0001-01-01 BC'")
    postgres.run("UPDATE reading SET old = '2020-02-02' WHERE k < 3")
    sync(ferry)
    stored = {row["k"] for name in ferry.catalog("public.reading").values() for row in ferry.rows(name)}
    assert stored == {0, 1, 2}
    rows = postgres.run("SELECT count(*) FROM reading")[0][0]
    assert len(ferry.rows(QUARANTINE)) == rows - 3
    assert ferry.equal()


def test_changes_made_while_the_table_had_another_name_are_followed(ferry: Ferry, postgres: Database) -> None:
    make_numbered_readings(postgres)
    with without_slots(postgres):
        ferry = ferry.of(READING)
        ferry.load()
        postgres.run(
            "CREATE SCHEMA attic; ALTER TABLE reading SET SCHEMA attic; ALTER TABLE attic.reading RENAME TO old"
        )
        postgres.run("INSERT INTO attic.old VALUES (100, 'd0', 1); UPDATE attic.old SET n = -1 WHERE k = 3")
        postgres.run("DELETE FROM attic.old WHERE k = 4")
        postgres.run("ALTER TABLE attic.old RENAME TO reading; ALTER TABLE attic.reading SET SCHEMA public")
        (done,) = sync(ferry)
        assert done.read == 3
        assert_level(ferry, postgres)


def test_two_tables_have_a_stream_each(clean: Ferry, postgres: Database) -> None:
    make_numbered_readings(postgres)
    postgres.run("CREATE TABLE other (id int PRIMARY KEY, v float8); INSERT INTO other VALUES (1, 1.5)")
    ferry = clean.of(READING, {"table": "other", "sync": {"mode": "cdc"}})
    ferry.load()
    postgres.run("BEGIN; INSERT INTO other VALUES (2, 2.5); DELETE FROM reading WHERE k < 9; COMMIT")
    assert [done.read for done in sync(ferry)] == [9, 1]
    assert_level(ferry, postgres)
    assert_level(ferry, postgres, "other", None)


def test_a_large_streamed_transaction_with_rolled_back_parts(loaded: Ferry, postgres: Database) -> None:
    with postgres.connect() as session:
        if postgres.version >= 13:
            session.execute("SET logical_decoding_work_mem = '64kB'")
        session.execute(
            "DO $$ BEGIN FOR b IN 0..9 LOOP BEGIN"
            " INSERT INTO reading SELECT i, 'big' || i % 2, i, repeat('y', 20)"
            " FROM generate_series(b * 1000 + 5000, b * 1000 + 5999) AS i;"
            " IF b % 3 = 1 THEN RAISE EXCEPTION 'no'; END IF; EXCEPTION WHEN raise_exception THEN NULL; END;"
            " END LOOP; END $$"
        )
    (done,) = sync(loaded)
    assert done.read == 7000
    assert_level(loaded, postgres)


def test_a_table_without_identity_is_followed_for_its_inserts_and_its_application_goes_on(
    clean: Ferry, postgres: Database
) -> None:
    postgres.run("CREATE TABLE device (ts timestamp NOT NULL, device text NOT NULL, n int)")
    postgres.run("INSERT INTO device VALUES ('2020-01-01', 'a', 1), ('2020-01-02', 'a', 2)")
    ferry = clean.of({"table": "device", "split_by": "device", "key": "ts", "sync": {"mode": "cdc"}})
    notes: list[object] = []
    ferry.load(listener=notes.append)
    assert any("ALTER TABLE" in getattr(note, "message", "") for note in notes)
    postgres.run("UPDATE device SET n = 3 WHERE n = 1")
    postgres.run("DELETE FROM device WHERE n = 2")
    postgres.run("INSERT INTO device VALUES ('2020-01-03', 'b', 4)")
    (done,) = sync(ferry)
    assert done.read == 1
    assert sorted(row["n"] for name in ferry.catalog("public.device").values() for row in ferry.rows(name)) == [1, 2, 4]
    postgres.run("INSERT INTO device VALUES ('2020-01-03', 'b', 5)")
    with pytest.raises(DuplicateKeys):
        sync(ferry)
    assert sync(ferry.of({**ferry.tables[0], "on_duplicate": "last"}))[0].rows == 1
    with ferry.migration() as migration:
        (status,) = migration.status.tables()
    assert status.sync is not None
    assert any("ALTER TABLE" in note for note in status.sync.notes)


def test_bad_rows_are_refused_or_put_aside_and_take_the_old_row_with_them(loaded: Ferry, postgres: Database) -> None:
    postgres.run("UPDATE reading SET note = repeat('x', 40000) WHERE k = 3")
    with pytest.raises(DataError, match="longer than"):
        sync(loaded)
    careful = loaded.of({**READING, "on_bad_row": "quarantine"})
    (done,) = sync(careful)
    assert done.quarantined == 1
    assert len(careful.rows(QUARANTINE)) == 1
    assert 3 not in [row["k"] for row in careful.rows(careful.catalog("public.reading")["d0"])]
    postgres.run("UPDATE reading SET note = 'short' WHERE k = 3")
    sync(careful)
    assert_level(careful, postgres)
