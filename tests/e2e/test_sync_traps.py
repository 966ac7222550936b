"""The traps that a sync can fall into, by their number in docs/traps.md, in both modes where they apply."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import without_slots
from tests.e2e.command import command, refused
from tests.e2e.ferry import Ferry
from tests.e2e.readings import TABLE, add, load_readings, open_transaction, source, stands, sync
from tests.readings import DAY

from gridferry.checkpoint.cursors import CursorStore
from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.positions import PositionStore
from gridferry.griddb import BulkWriter
from gridferry.source.postgres.log.stream import ChangeStream

MODES = {"watermark": TABLE, "cdc": {**TABLE, "sync": {"mode": "cdc"}}}


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database, mode: str) -> Iterator[Ferry]:
    """Readings with a key that both modes can follow."""
    postgres.run("CREATE TABLE reading (ts timestamp, device text, n bigint, PRIMARY KEY (device, ts))")
    postgres.run("CREATE INDEX ON reading (ts)")
    postgres.run(
        f"INSERT INTO reading SELECT {DAY} + i * interval '1 second', 'd' || i % 2, i FROM generate_series(0, 9) AS i"
    )
    with without_slots(postgres):
        ferry = ferry.of(MODES[mode])
        ferry.load()
        yield ferry


def test_trap_01_a_later_row_with_an_older_stamp_is_not_lost(loaded: Ferry, postgres: Database) -> None:
    """Neither the target's MAX nor the source's is the bound: rows up to the lookback behind it are still found."""
    add(postgres, "2 hours", n=1)
    sync(loaded)
    add(postgres, "2 hours -14 minutes", n=2)
    add(postgres, "1 hours 50 minutes", device="d1", n=3)
    assert sync(loaded).read == 2
    assert stands(loaded) == source(postgres)


def test_trap_02_a_row_microseconds_after_the_last_one_is_not_lost(loaded: Ferry, postgres: Database) -> None:
    add(postgres, "1 hour 0.999998 seconds", n=1)
    sync(loaded)
    for n, micros in enumerate(("0.999997", "0.999998", "0.999999", "1.0"), start=2):
        add(postgres, f"1 hour {micros} seconds", device=f"d{n}", n=n)
    assert sync(loaded).read == 4
    assert stands(loaded) == source(postgres)


def test_trap_02_the_position_has_microseconds(ferry: Ferry, postgres: Database) -> None:
    ferry = load_readings(ferry, postgres)
    add(postgres, "1 hour 0.999998 seconds", n=1)
    assert sync(ferry).position == "2024-05-01 01:00:00.999998"


def test_trap_04_a_run_that_is_stopped_leaves_no_hole(loaded: Ferry, postgres: Database, mode: str) -> None:
    """What is stored is always the beginning of what there is; the rest is read by the next run."""
    for first in range(1, 400, 50):
        postgres.run(
            f"INSERT INTO reading SELECT {DAY} + i * interval '1 minute', 'd' || i % 3, i"
            f" FROM generate_series({first}, {first} + 49) AS i"
        )
    stopped = sync(loaded, rows_per_chunk=100, until=lambda: True)
    assert stopped.read <= 400
    if mode == "watermark":
        assert (stopped.outcome, stopped.read) == ("stopped", 100)
    reached = max(ts for _, ts, _ in stands(loaded))
    assert [row for row in stands(loaded) if row[1] <= reached] == [r for r in source(postgres) if r[1] <= reached]
    add(postgres, "90 seconds", n=-1)  # below where the run stopped
    assert sync(loaded, rows_per_chunk=100).outcome == "synced"
    assert stands(loaded) == source(postgres)
    assert sync(loaded).outcome == "nothing new"


def test_trap_05_a_transaction_open_at_read_time_is_found_when_it_is_committed(
    loaded: Ferry, postgres: Database
) -> None:
    with open_transaction(postgres) as slow:
        slow.execute(f"INSERT INTO reading VALUES ({DAY} + interval '1 hour', 'slow', 1)")
        slow.execute("SAVEPOINT inner_one")
        slow.execute(f"INSERT INTO reading VALUES ({DAY} + interval '2 hours', 'slow', 2)")
        slow.execute("RELEASE SAVEPOINT inner_one")
        for turn in range(3):
            add(postgres, f"{10 + turn} days", n=turn)
            assert sync(loaded).outcome == "synced"
        assert "slow" not in loaded.catalog("public.reading")
    assert sync(loaded).created
    assert stands(loaded) == source(postgres)
    add(postgres, "20 days")
    assert sync(loaded).read == 1


@pytest.mark.parametrize("mode", ["watermark"])
def test_trap_05_the_floor_waits_for_an_open_transaction_and_then_moves_on(loaded: Ferry, postgres: Database) -> None:
    """Marks made before the open transaction wrote stay the floor, however far the stamps run on meanwhile."""
    add(postgres, "1 day", n=1)
    sync(loaded)
    assert not sync(loaded).swept
    with open_transaction(postgres) as slow:
        slow.execute(f"INSERT INTO reading VALUES ({DAY} + interval '1 day 1 second', 'slow', 1)")
        for turn in range(3):
            add(postgres, f"{10 + turn} days", n=turn)
            assert not sync(loaded).swept
    done = sync(loaded)
    assert (done.swept, done.created) == (False, ("reading_slow",))
    assert stands(loaded) == source(postgres)
    sync(loaded)
    add(postgres, "2 days", n=7)  # later than the lookback, and nothing was open: only a sweep finds it
    assert sync(loaded).outcome == "nothing new"
    swept = sync(loaded, sweep=True)
    assert swept.swept
    assert stands(loaded) == source(postgres)


@pytest.mark.parametrize("mode", ["watermark"])
def test_trap_06_the_plan_and_the_status_say_that_updates_and_deletes_are_not_seen(
    loaded: Ferry, postgres: Database, tmp_path: Any
) -> None:
    postgres.run("UPDATE reading SET n = -1 WHERE n = 3; DELETE FROM reading WHERE n = 4")
    for verb in ("plan", "status"):
        assert "updates and deletes in the source are not seen" in command(loaded, tmp_path, verb).text


@pytest.mark.parametrize("mode", ["cdc"])
def test_trap_06_updates_and_deletes_are_followed(loaded: Ferry, postgres: Database, tmp_path: Any) -> None:
    postgres.run("UPDATE reading SET n = -1 WHERE n = 3; DELETE FROM reading WHERE n = 4")
    postgres.run("UPDATE reading SET device = 'moved', n = 50 WHERE n = 5")
    sync(loaded)
    assert stands(loaded) == source(postgres)
    assert "not seen" not in command(loaded, tmp_path, "plan").text


def test_trap_14_a_sync_beside_a_load_or_another_sync_is_refused(
    loaded: Ferry, postgres: Database, tmp_path: Any
) -> None:
    add(postgres, "1 hour")
    with loaded.migration() as migration, Lease(migration.endpoints.state.documents, "public.reading"):
        refused(loaded, tmp_path, "sync", code=75, says="another run works on public.reading", advises="--wait")
        refused(loaded, tmp_path, "load", "--replace", "--yes", code=75, says="another run works on", advises="--wait")
    assert sync(loaded).read == 1
    assert stands(loaded) == source(postgres)


def test_trap_16_no_checkpoint_runs_ahead_of_what_is_on_disk(
    loaded: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Rows, then flush, then the checkpoint; and PostgreSQL hears of a position only after that."""
    postgres.run(
        f"INSERT INTO reading SELECT {DAY} + i * interval '1 minute', 'd1', i FROM generate_series(1, 90) AS i"
    )
    if mode == "cdc":
        postgres.run("DELETE FROM reading WHERE n < 5")
    order: list[str] = []
    writers: set[int] = set()  # those that carry rows of the table, and not gridferry's own documents

    def noted(owner: type, name: str, shown: str) -> None:
        original = getattr(owner, name)

        def note(self: Any, *args: Any, **options: Any) -> Any:
            if shown == "rows" and (name == "delete" or "n" in args[0].names):
                writers.add(id(self))
            if owner is not BulkWriter or id(self) in writers:
                order.append(shown)
            return original(self, *args, **options)

        monkeypatch.setattr(owner, name, note)

    for name in ("put", "delete"):
        noted(BulkWriter, name, "rows")
    noted(BulkWriter, "flush_log", "flush")
    noted(CursorStore, "save", "checkpoint")
    noted(PositionStore, "save_all", "checkpoint")
    noted(ChangeStream, "confirm", "confirm")
    sync(loaded, rows_per_chunk=30)
    flushed = saved = True
    for event in order:
        flushed = event != "rows" and (flushed or event == "flush")
        saved = event != "rows" and (saved or event == "checkpoint")
        assert event != "checkpoint" or flushed, order
        assert event != "confirm" or saved, order
    assert "rows" in order
    assert order.count("checkpoint") >= 2
    assert ("confirm" in order) == (mode == "cdc")
    assert stands(loaded) == source(postgres)
