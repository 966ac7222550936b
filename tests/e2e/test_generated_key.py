"""Tables without a key, with NULL where a key would be, with rows that are equal in every column: a generated key."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.killer import Killer

from gridferry.engine.comparison import ranges
from gridferry.errors import CheckpointError
from gridferry.model.verification import Verdict

EVENTS = {"table": "event_log", "key": "generated", "sync": {"mode": "watermark", "column": "at"}}


@pytest.fixture
def events(postgres: Database) -> Database:
    """The rows of shared case c09, and one of each kind more."""
    postgres.run("CREATE TABLE event_log (at timestamptz, device text, level int, msg text)")
    postgres.run(
        "INSERT INTO event_log VALUES ('2024-01-01', 'a', 1, 'boot'), ('2024-01-01', 'a', 1, 'boot'),"
        " ('2024-01-01', 'b', 1, 'boot'), (NULL, 'b', 2, 'x'), (NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL),"
        " (NULL, '', NULL, ''), ('2024-01-02', 'a', 1, 'boot,\"(\\')"
    )
    return postgres


def stored(ferry: Ferry, *names: str) -> Counter[tuple[Any, ...]]:
    """How often the containers have each row, without the generated key."""
    rows = [row for name in names or ferry.names() for row in ferry.rows(name)]
    return Counter(tuple(v for n, v in row.items() if not n.startswith("gridferry_")) for row in rows)


def source(postgres: Database, query: str = "SELECT at, device, level, msg FROM event_log") -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row) for row in postgres.run(query))


def same(ferry: Ferry, postgres: Database) -> bool:
    return sorted(Counter(t[1:] for t in stored(ferry).elements()).items(), key=str) == sorted(
        Counter(t[1:] for t in source(postgres).elements()).items(), key=str
    )


def verdict(ferry: Ferry, *, quick: bool = False) -> Verdict:
    with ferry.migration() as migration:
        return migration.verifications.verify(quick=quick).verdict


def test_every_row_is_loaded_compared_and_kept_in_step(ferry: Ferry, events: Database) -> None:
    table = ferry.of(EVENTS)
    (done,) = table.load()
    assert (done.rows, done.quarantined, done.superseded) == (8, 0, 0)
    assert same(table, events)
    assert verdict(table) is Verdict.EQUAL
    assert verdict(table, quick=True) is Verdict.EQUAL
    events.run(
        "INSERT INTO event_log VALUES ('2024-01-01', 'a', 1, 'boot'), (NULL, NULL, NULL, NULL), (now(), 'c', 1, '')"
    )
    with table.migration() as migration:
        migration.syncs.sync()
    assert same(table, events)
    assert verdict(table) is Verdict.EQUAL


def test_rows_that_are_gone_or_doubled_are_found_repaired_and_brought_back(ferry: Ferry, events: Database) -> None:
    table = ferry.of({"table": "event_log", "key": "generated"})
    table.load()
    events.run("DELETE FROM event_log WHERE ctid = (SELECT min(ctid) FROM event_log WHERE device = 'a')")
    events.run("INSERT INTO event_log SELECT * FROM event_log WHERE device = 'b' AND level = 2")
    with table.migration() as migration:
        report = migration.verifications.verify()
        (found,) = report.tables
        assert (found.missing, found.extra, found.different) == (1, 1, 0)
        done = migration.repairs.repair()
        assert done.verdict is Verdict.EQUAL
        (repaired,) = done.tables
        assert (repaired.put, repaired.deleted) == (1, 1)
    assert same(table, events)
    with table.migration() as migration:
        migration.repairs.undo(repaired.run)
        (found,) = migration.verifications.verify().tables
        assert (found.missing, found.extra) == (1, 1)


def test_a_split_table_without_a_key(ferry: Ferry, events: Database) -> None:
    table = ferry.of({"table": "event_log", "key": "generated", "split_by": "device"})
    table.load()
    assert sorted(len(table.rows(name)) for name in table.names()) == [1, 2, 2, 3]
    assert verdict(table) is Verdict.EQUAL


def many(postgres: Database) -> None:
    """3,000 rows; of each third n one, two or three are equal in every column."""
    postgres.run("CREATE TABLE reading (at timestamptz, device text, n int)")
    postgres.run(
        "INSERT INTO reading SELECT '2024-01-01'::timestamptz + (g / 3) * interval '1 s', 'd' || (g / 3) % 7,"
        " g / 3 + CASE WHEN g % 3 >= (g / 3) % 3 THEN g % 3 ELSE 0 END FROM generate_series(0, 2999) AS g"
    )


@pytest.mark.parametrize("index", ["", "CREATE INDEX ON reading (device)"])
def test_a_large_table_is_compared_part_by_part(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    for name, value in {"ROWS_IN_MEMORY": 0, "ROWS_A_PART": 200, "LEAST_ROWS_A_PART": 100}.items():
        monkeypatch.setattr(ranges, name, value)
    many(postgres)
    postgres.run(index or "SELECT")
    table = ferry.of({"table": "reading", "key": "generated", "split_by": "device"})
    table.load(rows_per_chunk=500)
    assert verdict(table) is Verdict.EQUAL
    assert verdict(table, quick=True) is Verdict.EQUAL
    postgres.run("INSERT INTO reading SELECT * FROM reading WHERE n % 100 = 0")
    more = postgres.run("SELECT count(*) - 3000 FROM reading")[0][0]
    postgres.run("DELETE FROM reading WHERE n = 17")
    with table.migration() as migration:
        (found,) = migration.verifications.verify().tables
        assert (found.missing, found.different) == (more, 0)
        assert found.extra > 0
        assert migration.repairs.repair().verdict is Verdict.EQUAL
    assert sum(len(table.rows(name)) for name in table.names()) == postgres.run("SELECT count(*) FROM reading")[0][0]


@pytest.mark.parametrize(("point", "call"), [("put", 2), ("checkpoint", 2), ("loaded", 1)])
def test_a_load_killed_anywhere_and_gone_on_with_has_each_row_as_often_as_the_source(
    ferry: Ferry, postgres: Database, killer: Killer, point: str, call: int
) -> None:
    many(postgres)
    table = ferry.of({"table": "reading", "key": "generated"})
    status, _ = killer.run_noting(table, "load", rows_per_chunk=700, workers=1, point=point, moment="before", call=call)
    assert status < 0, "the point was not reached"
    # As many rows go as come: the counts of both sides would agree.
    postgres.run("DELETE FROM reading WHERE n = (SELECT min(n) FROM reading)")
    gone = 3000 - postgres.run("SELECT count(*) FROM reading")[0][0]
    postgres.run(f"INSERT INTO reading SELECT at, device, n FROM reading ORDER BY n DESC LIMIT {gone}")
    status, _ = killer.run_noting(table, "load", rows_per_chunk=700, workers=1)
    assert status == 0
    with table.migration() as migration:
        (found,) = migration.verifications.verify().tables
        assert (found.missing, found.different) == (0, 0)
        assert migration.repairs.repair().verdict is Verdict.EQUAL  # what the source lost before it was resumed
    assert len(table.rows("reading")) == 3000


def test_equal_rows_that_the_plan_did_not_count_are_numbered(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridferry.plan.keys.COMPARED_ROWS", -1)
    many(postgres)
    postgres.run("ANALYZE reading")
    table = ferry.of({"table": "reading", "key": "generated"})
    (done,) = table.load(rows_per_chunk=500)
    assert len(table.rows("reading")) == done.rows == 3000
    assert verdict(table) is Verdict.EQUAL


@pytest.mark.parametrize("seed", range(3))
def test_any_course_of_inserts_and_syncs_ends_with_each_row_as_often_as_the_source(
    ferry: Ferry, postgres: Database, seed: int
) -> None:
    """Rows of few values, most of them equal to others: in one window, to old rows, and where nothing grows."""
    chance = random.Random(seed)
    postgres.run("CREATE TABLE event (at timestamptz, device text, n int)")
    entry = {"table": "event", "key": "generated", "sync": {"mode": "watermark", "column": "at", "lookback": "1s"}}
    table = ferry.of({**entry, **({"split_by": "device"} if seed % 2 else {})})

    def write(hour: int) -> None:
        for _ in range(chance.randrange(1, 6)):
            grown = f"timestamptz '2024-01-01' + {hour + chance.randrange(2)} * interval '1 h'"
            device = chance.choice(["NULL", "''", "'a'", "'A-'"])
            row = f"({chance.choice(['NULL', grown])}, {device}, {chance.choice(['NULL', '1', '2'])})"
            postgres.run(f"INSERT INTO event VALUES {', '.join([row] * chance.choice([1, 1, 2, 3]))}")

    write(0)
    table.load(rows_per_chunk=2)
    for hour in range(1, 7):
        write(hour)
        with table.migration() as migration:
            migration.syncs.sync(rows_per_chunk=chance.choice([1, 3, 1000]), sweep=chance.random() < 0.3)
    query = "SELECT device, n, at IS NULL FROM event"
    there = [(row.get("device"), row["n"], row["at"] is None) for name in table.names() for row in table.rows(name)]
    if "split_by" in table.tables[0]:
        assert Counter(t[1:] for t in there) == Counter(tuple(t[1:]) for t in postgres.run(query))
    else:
        assert Counter(there) == Counter(map(tuple, postgres.run(query)))
    assert verdict(table) is Verdict.EQUAL


def test_a_sync_killed_anywhere_and_run_again_has_each_row_as_often_as_the_source(
    ferry: Ferry, events: Database, killer: Killer
) -> None:
    table = ferry.of(EVENTS)
    table.load()
    events.run("INSERT INTO event_log SELECT * FROM event_log; INSERT INTO event_log VALUES (now(), 'z', 1, '')")
    for point, call in (("put", 1), ("flush", 1), ("put", 2), ("flush", 2)):
        killer.run_noting(table, "sync", point=point, moment="after", call=call)
    assert killer.run_noting(table, "sync")[0] == 0
    assert same(table, events)
    assert verdict(table) is Verdict.EQUAL


def test_a_view_and_a_table_without_columns(ferry: Ferry, events: Database) -> None:
    events.run("CREATE VIEW seen AS SELECT device, level FROM event_log")
    events.run("CREATE TABLE bare ()")
    events.run("INSERT INTO bare SELECT FROM generate_series(1, 3)")
    table = ferry.of({"table": "seen", "key": "generated"}, {"table": "bare", "key": "generated"})
    table.load()
    assert verdict(table) is Verdict.EQUAL
    assert [row["gridferry_ordinal"] for row in sorted(table.rows("bare"), key=str)] == [0, 1, 2]
    assert len(table.rows("seen")) == 8


def test_columns_that_change_after_the_load(ferry: Ferry, events: Database) -> None:
    """A renamed one is followed, a new one is left out and told of, another type needs a new load."""
    table = ferry.of(EVENTS)
    table.load()
    events.run("ALTER TABLE event_log RENAME device TO unit")
    events.run("ALTER TABLE event_log ADD note text DEFAULT 'n'")
    events.run("INSERT INTO event_log VALUES ('2024-01-01', 'a', 1, 'boot')")
    told: list[Any] = []
    with table.migration(told.append) as migration:
        migration.syncs.sync()
        assert any("note is left out" in str(getattr(event, "message", "")) for event in told)
        assert migration.verifications.verify().verdict is Verdict.EQUAL
    events.run("ALTER TABLE event_log ALTER level TYPE bigint")
    with table.migration() as migration, pytest.raises(CheckpointError, match="generated row key"):
        migration.syncs.sync()
