"""Mode cdc over a table with a generated key: each value that changes name ends stored as often as at the source."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import sync, without_slots
from tests.e2e.ferry import Ferry
from tests.e2e.killer import Killer

from gridferry.errors import ConfigError, DataError, PlanError
from gridferry.model.verification import Verdict

CDC: dict[str, Any] = {"table": "event", "key": "generated", "sync": {"mode": "cdc", "on_truncate": "apply"}}


@pytest.fixture
def events(postgres: Database) -> Iterator[Database]:
    postgres.run("CREATE TABLE event (at timestamptz, device text, n numeric, body text)")
    postgres.run("ALTER TABLE event REPLICA IDENTITY FULL")
    postgres.run(
        "INSERT INTO event SELECT '2024-01-01', 'd' || g % 2, g % 3, NULL FROM generate_series(0, 11) g;"
        "INSERT INTO event VALUES (NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL), (NULL, '', 1.00, 'a,\"(\\ ')"
    )
    with without_slots(postgres):
        yield postgres


def same(ferry: Ferry, postgres: Database) -> bool:
    rows = [row for name in ferry.names() for row in ferry.rows(name)]
    there = Counter((row["n"] and float(row["n"]), row["body"], row["at"] is None) for row in rows)
    query = "SELECT n::float8, body, at IS NULL FROM event"
    return there == Counter((n, body, none) for n, body, none in postgres.run(query))


def verdict(ferry: Ferry) -> Verdict:
    with ferry.migration() as migration:
        return migration.verifications.verify().verdict


def test_one_more_one_less_and_another_value(ferry: Ferry, events: Database) -> None:
    table = ferry.of(CDC)
    table.load()
    events.run("DELETE FROM event WHERE ctid = (SELECT min(ctid) FROM event WHERE device = 'd0')")
    events.run("DELETE FROM event WHERE ctid = (SELECT min(ctid) FROM event WHERE device IS NULL)")
    events.run("INSERT INTO event SELECT * FROM event WHERE device = 'd1'")
    events.run("UPDATE event SET n = 7 WHERE ctid = (SELECT max(ctid) FROM event WHERE device = 'd1')")
    long = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400) AS i)"
    events.run(f"UPDATE event SET body = {long} WHERE device = ''")
    events.run("INSERT INTO event VALUES (now(), 'new', 1, 'x'), (now(), 'new', 1, 'x')")
    sync(table)
    assert same(table, events)
    assert verdict(table) is Verdict.EQUAL
    events.run("UPDATE event SET n = 8 WHERE device = ''")  # a value that is stored out of line, and not sent
    events.run("DELETE FROM event WHERE device = 'new'")
    sync(table)
    assert same(table, events)
    assert verdict(table) is Verdict.EQUAL
    events.run("TRUNCATE event; INSERT INTO event VALUES (NULL, 'a', 1, ''), (NULL, 'a', 1, '')")
    sync(table)
    assert same(table, events)


@pytest.mark.parametrize("seed", range(2))
def test_any_course_of_changes_and_syncs(ferry: Ferry, events: Database, killer: Killer, seed: int) -> None:
    """Rows of few values; runs are killed before and after each step, and read the same changes again."""
    chance = random.Random(seed)
    table = ferry.of({**CDC, **({"split_by": "device"} if seed else {})})
    table.load()

    def change() -> str:
        device, n = chance.choice(["'d0'", "'d1'", "NULL", "'e'"]), chance.choice(["1", "1.0", "2", "NULL"])
        one = f"ctid = (SELECT ctid FROM event WHERE n IS NOT DISTINCT FROM {n} ORDER BY random() LIMIT 1)"
        return chance.choice(
            [
                f"INSERT INTO event VALUES ('2024-01-01', {device}, {n}, NULL)",
                f"INSERT INTO event SELECT * FROM event WHERE {one}",
                f"DELETE FROM event WHERE {one}",
                f"UPDATE event SET n = {n} WHERE device IS NOT DISTINCT FROM {device}",
                f"UPDATE event SET device = {device} WHERE {one}",
            ]
        )

    for _ in range(4):
        for _ in range(chance.randrange(1, 8)):
            events.run(change())
        if chance.random() < 0.7:
            point = chance.choice(["put", "delete", "flush", "position"])
            killer.run_noting(table, "sync", point=point, moment=chance.choice(["before", "after"]), call=1)
            events.run(change())
        sync(table)
        assert same(table, events)
    assert verdict(table) is Verdict.EQUAL
    events.run(change())
    with table.migration() as migration:  # beside changes that are not stored yet: no false alarm
        assert migration.verifications.verify(sync=True, settle_s=30).verdict is Verdict.EQUAL


def test_the_whole_old_row_is_needed(ferry: Ferry, events: Database) -> None:
    events.run("ALTER TABLE event ADD id serial PRIMARY KEY; ALTER TABLE event REPLICA IDENTITY DEFAULT")
    with pytest.raises(PlanError) as caught:
        ferry.of(CDC).load()
    assert "REPLICA IDENTITY FULL" in str(caught.value.problems)


def test_a_database_whose_records_the_log_cannot_hash_is_refused_by_its_encoding(
    ferry: Ferry, postgres: Database
) -> None:
    with postgres.in_latin1() as latin:
        latin.run("CREATE TABLE event (a text)")
        latin.run("INSERT INTO event VALUES ('ä'), ('ä')")
        table = replace(ferry, dsn=latin.dsn).of({"table": "event", "key": "generated"})
        with table.of(CDC).migration() as migration:
            problems = " ".join(f"{p.message}; {p.advice}" for p in migration.plan().problems)
        assert "encoding of the database is LATIN1" in problems
        assert "mode: watermark" in problems
        table.load()
        assert table.equal()
        for new_slot in (False, True):
            with pytest.raises(ConfigError, match="LATIN1"):
                sync(table.of(CDC), new_slot=new_slot)


def test_columns_that_change_while_they_are_followed(ferry: Ferry, events: Database) -> None:
    table = ferry.of(CDC)
    table.load()
    events.run("INSERT INTO event SELECT * FROM event WHERE device = 'd0'")
    events.run("ALTER TABLE event RENAME device TO unit; ALTER TABLE event ADD note text DEFAULT 'n'")
    events.run("INSERT INTO event (unit, n) VALUES ('d1', 1), ('d1', 1); DELETE FROM event WHERE unit = ''")
    (done,) = sync(table)
    assert any("note is left out" in note for note in done.notes)
    assert same(table, events)
    events.run("ALTER TABLE event ALTER body TYPE varchar; INSERT INTO event (body) VALUES ('x')")
    with pytest.raises(DataError, match="generated row key"):
        sync(table)
