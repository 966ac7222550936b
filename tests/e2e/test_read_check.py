"""Whatever loses rows on the way from PostgreSQL, its own count tells: nothing is called loaded, synced or equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.command import command
from tests.e2e.ferry import Ferry
from tests.e2e.killer import Killer
from tests.e2e.planting import keys_of, open_all, stored

from gridferry.errors import DataError, ReadIncomplete
from gridferry.model.verification import Verdict
from gridferry.source.postgres.rows import key_bounds
from gridferry.source.postgres.rows.reader import Reader

TABLE: dict[str, Any] = {"table": "reading", "split_by": "device", "key": "id", "sync": {"mode": "watermark"}}
WHOLE = {**TABLE, "split_by": None}
OPTIONS: dict[str, Any] = {"rows_per_chunk": 500, "workers": 2}
ROWS = 3000
LOST = 7


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database) -> Ferry:
    ferry = made(ferry, postgres)
    ferry.load(**OPTIONS)
    return ferry


def made(ferry: Ferry, postgres: Database) -> Ferry:
    postgres.run("CREATE TABLE reading (id int PRIMARY KEY, device text, v float8)")
    postgres.run(f"INSERT INTO reading SELECT i, 'd' || i % 3, i FROM generate_series(1, {ROWS}) AS i")
    return ferry.of(TABLE)


def lose(patch: pytest.MonkeyPatch, *, where: Callable[[pa.RecordBatch], bool] = lambda _: True) -> None:
    """Plant a reader that loses some rows of the first batch that `where` holds of, each time anew."""
    original = Reader._stream

    def losing(self: Reader, statement: Any, *, doing: str) -> Iterator[pa.RecordBatch]:
        counted = doing.startswith(("reading chunk", "reading the new rows"))
        for batch in original(self, statement, doing=doing):
            if counted and where(batch) and len(batch) > LOST:
                counted = False
                yield batch.slice(LOST)
            else:
                yield batch

    patch.setattr(Reader, "_stream", losing)


def has_first(batch: pa.RecordBatch) -> bool:
    return 1 in batch.column(batch.schema.get_field_index("id")).to_pylist()


def state_of(ferry: Ferry) -> str:
    with ferry.migration() as migration:
        return migration.status.tables()[0].state


def test_a_load_that_lost_rows_is_not_loaded_and_says_both_numbers(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ferry = made(ferry, postgres)
    lose(monkeypatch, where=has_first)
    with pytest.raises(ReadIncomplete) as caught:
        ferry.load(**OPTIONS)
    assert f"PostgreSQL counts {ROWS:,} rows under the snapshot, and {ROWS - LOST:,} were read" in caught.value.message
    assert caught.value.exit_code == 3
    assert state_of(ferry) != "loaded"


def test_a_load_that_goes_on_after_a_kill_is_counted_too(
    ferry: Ferry, postgres: Database, killer: Killer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ferry = made(ferry, postgres)
    killer.run(ferry, "load", **OPTIONS, point="checkpoint", moment="after", call=1)
    with monkeypatch.context() as patch:
        lose(patch)
        with pytest.raises(ReadIncomplete, match=f"counts {ROWS:,} rows"):
            ferry.load(**OPTIONS)
    assert state_of(ferry) != "loaded"


def test_a_load_shared_by_several_is_counted_at_its_end(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ferry = made(ferry, postgres)
    with ferry.migration() as migration:
        migration.loads.prepare("reading", rows_per_chunk=500)
        migration.loads.load_bucket("reading", bucket=0, of=2)
        with monkeypatch.context() as patch:
            lose(patch)
            migration.loads.load_bucket("reading", bucket=1, of=2)
        postgres.run("UPDATE reading SET v = -1 WHERE id < 3")
        with pytest.raises(ReadIncomplete, match=f"counts {ROWS:,} rows"):
            migration.loads.finish("reading", rows_per_chunk=500)


def test_changes_between_the_runs_of_one_load_are_no_loss(ferry: Ferry, postgres: Database, killer: Killer) -> None:
    ferry = made(ferry, postgres)
    killer.run(ferry, "load", **OPTIONS, point="checkpoint", moment="after", call=3)
    postgres.run("UPDATE reading SET v = -1 WHERE id % 5 = 0")
    postgres.run("INSERT INTO reading SELECT i, 'd9', i FROM generate_series(5001, 5100) AS i")
    postgres.run("DELETE FROM reading WHERE id % 2 = 0")
    (load,) = ferry.load(**OPTIONS)
    assert load.outcome == "resumed"
    assert state_of(ferry) == "loaded"


@pytest.mark.parametrize("way", ["whole", "ranges", "split values"])
def test_no_verification_calls_it_equal_when_both_sides_lack_the_same_rows(
    loaded: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    """What TimescaleDB's compressed chunks once did: the target lacks just the rows that are not read."""
    if way != "whole":
        for name in ("ROWS_IN_MEMORY", "LEAST_ROWS_A_PART", "ROWS_A_PART"):
            monkeypatch.setattr(f"gridferry.engine.comparison.ranges.{name}", 400)
    if way == "split values":
        postgres.run("ALTER TABLE reading DROP CONSTRAINT reading_pkey; CREATE INDEX ON reading (device)")
    lost = postgres.run("SELECT id FROM reading WHERE device = 'd1' ORDER BY id LIMIT 5")
    missing = {row[0] for row in lost}
    with loaded.store() as store:
        container = open_all(loaded, store, "public.reading")["d1"]
        rows = stored(container)
        there = [i for i, key in enumerate(rows.column(0).to_pylist()) if key in missing]
        container.delete(keys_of(rows.take(pa.array(there)), container))
    original = Reader.read_chunk

    def losing(self: Reader, chunk: Any, plan: Any) -> Iterator[pa.RecordBatch]:
        for batch in original(self, chunk, plan):
            keys = batch.column(batch.schema.get_field_index("id")).to_pylist()
            yield batch.take(pa.array([i for i, key in enumerate(keys) if key not in missing], pa.int64()))

    with monkeypatch.context() as patch:
        patch.setattr(Reader, "read_chunk", losing)
        with (
            loaded.migration() as migration,
            pytest.raises(ReadIncomplete, match=r"counts 3,000 rows .* 2,995 were read"),
        ):
            migration.verifications.verify()
    report = command(loaded, tmp_path, "verify")
    assert (report.code, "5 rows differ" in report.text) == (1, True), report.text


def test_rows_that_were_not_read_are_never_told_as_extra_or_repaired(
    loaded: Ferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    with monkeypatch.context() as patch, loaded.migration() as migration:
        lose(patch)
        with pytest.raises(ReadIncomplete):
            migration.verifications.verify(sink=told.append)
        with pytest.raises(ReadIncomplete):
            migration.repairs.repair()
        assert told == []
        assert migration.repairs.all() == []
    assert loaded.equal()


def test_a_quick_look_holds_its_numbers_against_the_count_too(loaded: Ferry, monkeypatch: pytest.MonkeyPatch) -> None:
    original = key_bounds.fetch_key_spread
    with monkeypatch.context() as patch, loaded.migration() as migration:
        patch.setattr(key_bounds, "fetch_key_spread", lambda *args: original(*args)[1:])
        with pytest.raises(ReadIncomplete, match="counts 3,000 rows"):
            migration.verifications.verify(quick=True)


def test_a_table_that_is_not_read_whole_is_not_ready(loaded: Ferry, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, loaded.migration() as migration:
        lose(patch)
        report = migration.cutover()
    (table,) = report.tables
    assert not report.ready
    assert report.exit_code != 0
    assert any("were read" in check.detail for check in table.checks if not check.ok)


@pytest.mark.parametrize("table", [TABLE, WHOLE], ids=["split", "whole"])
def test_a_sync_that_lost_rows_stands_where_it_stood_and_reads_them_again(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch, table: dict[str, Any]
) -> None:
    ferry = made(ferry, postgres).of(table)
    ferry.load(**OPTIONS)
    with ferry.migration() as migration:
        migration.syncs.sync()
        postgres.run(
            f"INSERT INTO reading SELECT i, 'd' || i % 3, i FROM generate_series({ROWS + 1}, {ROWS + 300}) AS i"
        )
        with monkeypatch.context() as patch:
            lose(patch)
            with pytest.raises(ReadIncomplete, match=r"counts 300 rows .* 293 were read"):
                migration.syncs.sync(rows_per_chunk=50)
        assert migration.verifications.verify().verdict is not Verdict.EQUAL
        (done,) = migration.syncs.sync()
        assert done.read == 300
        assert migration.verifications.verify().verdict is Verdict.EQUAL


def test_a_sweep_ends_with_the_numbers_of_both_sides(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    """Rows that no rule of the sync finds: they were read in the eyes of the cursor, and are not there."""
    with loaded.migration() as migration:
        migration.syncs.sync()
        with loaded.store() as store:
            container = open_all(loaded, store, "public.reading")["d1"]
            container.delete(keys_of(stored(container).slice(0, 50), container))
        with pytest.raises(DataError, match="counts 3,000 rows, and its containers hold 2,950") as caught:
            migration.syncs.sync(sweep=True)
        assert "gridferry repair" in caught.value.next_step
    assert command(loaded, tmp_path, "repair").code == 0
    said = command(loaded, tmp_path, "sync", "--sweep")
    assert said.code == 0, said.text


def test_a_condition_that_moves_is_named_as_one(ferry: Ferry, postgres: Database) -> None:
    ferry = made(ferry, postgres).of({**TABLE, "where": "id % 2 = 0 OR random() < 0.5"})
    with pytest.raises(ReadIncomplete) as caught:
        ferry.load(**OPTIONS)
    assert "random()" in caught.value.next_step


MADE = {
    "access method": "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler; "
    "CREATE TABLE reading (id int PRIMARY KEY, device text, v float8) USING heap2",
    "view": "CREATE TABLE base (id int PRIMARY KEY, device text, v float8); CREATE VIEW reading AS SELECT * FROM base",
    "mixed partitions": "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler; "
    "CREATE TABLE reading (id int, device text, v float8, PRIMARY KEY (id)) PARTITION BY RANGE (id); "
    "CREATE TABLE r1 PARTITION OF reading FOR VALUES FROM (0) TO (1500); "
    "CREATE TABLE r2 PARTITION OF reading FOR VALUES FROM (1500) TO (99999) USING heap2",
    "mixed children": "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler; "
    "CREATE TABLE reading (id int, device text, v float8); CREATE TABLE child () INHERITS (reading) USING heap2",
}


@pytest.mark.parametrize("kind", MADE)
def test_rows_outside_heaps_are_loaded_followed_repaired_and_ready(
    ferry: Ferry, postgres: Database, killer: Killer, tmp_path: Path, kind: str
) -> None:
    postgres.run(MADE[kind])
    into = {"view": "base", "mixed children": "child"}.get(kind, "reading")
    postgres.run(f"INSERT INTO {into} SELECT i, 'd' || i % 3, i FROM generate_series(1, {ROWS}) AS i")
    postgres.run("ANALYZE")
    ferry = ferry.of({**TABLE, "sync": {"mode": "watermark", "column": "id"}})
    killer.run(ferry, "load", **OPTIONS, point="checkpoint", moment="after", call=1)
    postgres.run(f"INSERT INTO {into} SELECT i, 'd9', i FROM generate_series({ROWS + 1}, {ROWS + 50}) AS i")
    (load,) = ferry.load(**OPTIONS)
    assert load.outcome == "resumed"
    with ferry.migration() as migration:
        assert migration.verifications.verify().verdict is Verdict.EQUAL
        assert migration.verifications.verify(quick=True).verdict is Verdict.EQUAL
        postgres.run(f"INSERT INTO {into} SELECT i, 'd9', i FROM generate_series({ROWS + 51}, {ROWS + 99}) AS i")
        (done,) = migration.syncs.sync()
        assert done.fresh == 49
        (status,) = migration.status.tables()
        assert status.sync is not None
        assert (status.sync.lag_rows, any("by a sweep only" in note for note in status.sync.notes)) == (0, True)
        assert migration.verifications.verify().verdict is Verdict.EQUAL
    with ferry.store() as store:
        container = open_all(ferry, store, "public.reading")["d1"]
        container.delete(keys_of(stored(container).slice(0, 300), container))
    assert command(ferry, tmp_path, "verify").code == 1
    said = command(ferry, tmp_path, "repair")
    assert said.code == 0, said.text
    with ferry.migration() as migration:
        assert migration.verifications.verify().verdict is Verdict.EQUAL
        (table,) = migration.cutover().tables
    # Of views PostgreSQL does not tell who writes.
    wrong = {check.name for check in table.checks if not check.ok}
    assert wrong <= ({"quiet"} if kind == "view" else set()), table.checks
