"""The loading process is killed with SIGKILL at every step; the same command again ends at the same data (P3)."""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.killer import Killer
from tests.e2e.sensors import CHUNK, TABLE, add_sensors, assert_arrived, make_sensors, unfit

from gridferry.errors import TargetNotEmpty

WORKERS = 2
OPTIONS: dict[str, Any] = {"rows_per_chunk": CHUNK, "workers": WORKERS}
DEVICE = "b8:27"


def run(killer: Killer, ferry: Ferry, **job: Any) -> tuple[int, list[str]]:
    """A load in a process of its own: its exit status, and the chunks that it began to read."""
    return killer.run_noting(ferry, "load", **{**OPTIONS, **job})


def finish(ferry: Ferry, **options: Any) -> str:
    """The same load again, in this process. Returns its outcome."""
    (load,) = ferry.load(**OPTIONS, **options)
    return load.outcome


@pytest.mark.parametrize(
    ("point", "moment", "call"),
    [
        ("leases", "after", 1),
        ("begin run", "before", 1),
        ("begin run", "after", 1),
        ("catalog add", "before", 1),
        ("catalog add", "after", 1),
        ("create containers", "before", 3),
        ("create containers", "after", 3),
        ("put", "before", 1),
        ("put", "after", 3),
        ("flush", "before", 4),
        ("flush", "after", 4),
        ("hold", "before", 2),
        ("hold", "after", 2),
        ("checkpoint", "before", 3),
        ("checkpoint", "after", 3),
        ("checkpoint", "after", 7),
        ("loaded", "before", 1),
        ("loaded", "after", 1),
    ],
)
def test_a_first_load_killed_anywhere_and_run_again_ends_with_the_same_data(
    ferry: Ferry, postgres: Database, killer: Killer, point: str, moment: str, call: int
) -> None:
    make_sensors(postgres, bad_every=500)
    ferry = ferry.of({**TABLE, "on_bad_row": "quarantine"})
    status, before = run(killer, ferry, point=point, moment=moment, call=call)
    assert status == -signal.SIGKILL, "the point was not reached"
    status, after = run(killer, ferry)
    assert status == 0
    assert_arrived(ferry, postgres, quarantined=True)
    again = Counter(before) & Counter(after)
    assert sum(again.values()) <= WORKERS
    assert finish(ferry) == "already loaded"
    assert ferry.equal()
    with ferry.migration() as migration:
        assert migration.status.tables()[0].state == "loaded"
        assert migration.status.tables()[0].quarantined == unfit(postgres)


@pytest.mark.parametrize(
    ("point", "moment", "call"),
    [
        ("begin run", "before", 1),
        ("begin run", "after", 1),
        ("drop containers", "before", 1),
        ("drop containers", "after", 1),
        ("catalog keeps", "before", 1),
        ("catalog keeps", "after", 1),
        ("release", "before", 1),
        ("release", "after", 1),
        ("begin run", "before", 2),
        ("begin run", "after", 2),
        ("checkpoint", "after", 2),
    ],
)
def test_a_replacing_load_killed_anywhere_is_finished_without_saying_replace_again(
    ferry: Ferry, postgres: Database, killer: Killer, point: str, moment: str, call: int
) -> None:
    make_sensors(postgres, rows=1000, bad_every=250)
    ferry = ferry.of({**TABLE, "on_bad_row": "quarantine"})
    assert finish(ferry) == "loaded"
    assert run(killer, ferry, point=point, moment=moment, call=call, replace=True)[0] == -signal.SIGKILL
    finish(ferry)
    assert_arrived(ferry, postgres, quarantined=True)
    assert ferry.equal()


def test_a_resume_that_is_killed_too_goes_on_from_there(ferry: Ferry, postgres: Database, killer: Killer) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    seen: Counter[str] = Counter()
    for point, moment in (("checkpoint", "after"), ("resume run", "before"), ("resume run", "after"), ("put", "after")):
        status, reads = run(killer, ferry, point=point, moment=moment, call=2 if point == "checkpoint" else 1)
        assert status == -signal.SIGKILL
        seen.update(reads)
    status, reads = run(killer, ferry)
    assert status == 0
    assert_arrived(ferry, postgres)
    pages = {r for r in {*seen, *reads} if r.endswith("pages")}
    assert len(pages & set(reads)) < len(pages)


def test_an_interrupted_load_is_told_by_status_and_not_as_one_that_is_running(
    ferry: Ferry, postgres: Database, killer: Killer
) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    run(killer, ferry, point="checkpoint", moment="after", call=3)
    with ferry.migration() as migration:
        (status,) = migration.status.tables()
    assert (status.state, status.held_by) == ("interrupted", "")
    assert 3 <= status.chunks_done < status.chunks


def test_rows_changed_between_kill_and_resume_arrive_as_they_are_then(
    ferry: Ferry, postgres: Database, killer: Killer
) -> None:
    make_sensors(postgres, bad_every=500)
    ferry = ferry.of({**TABLE, "on_bad_row": "quarantine"})
    assert run(killer, ferry, point="checkpoint", moment="after", call=5)[0] == -signal.SIGKILL
    # An UPDATE moves its row to a page that may have been read already, or that is read later.
    postgres.run("UPDATE sensor SET temp = -1, note = left(note, 8) || '!' WHERE n % 7 = 0")
    postgres.run("UPDATE sensor SET n = n WHERE n % 500 = 0 AND n % 7 > 0")  # a bad row is written anew, and stays bad
    add_sensors(postgres, 3000, 3300)
    add_sensors(postgres, 3300, 3350, device="new one")
    assert run(killer, ferry)[0] == 0
    assert_arrived(ferry, postgres, quarantined=True)
    assert ferry.equal()


def test_a_key_that_became_impossible_meanwhile_is_put_aside_and_can_be_replayed(
    ferry: Ferry, postgres: Database, killer: Killer
) -> None:
    make_sensors(postgres)
    ferry = ferry.of({**TABLE, "on_bad_row": "quarantine"})
    assert run(killer, ferry, point="checkpoint", moment="after", call=5)[0] == -signal.SIGKILL
    postgres.run("INSERT INTO sensor VALUES ('infinity', 'b8:27', 1, 1, ''), ('-infinity', 'b8:27', 2, 2, '')")
    assert finish(ferry) == "resumed"
    with ferry.migration() as migration:
        held = migration.status.quarantine()
        assert {(row.column, row.reason) for row in held} == {("ts", "time_range")}
        assert len(held) == 2
        (replay,) = migration.repairs.replay()
        assert (replay.replayed, replay.gone, replay.still_held) == (0, 0, 2)
        postgres.run("DELETE FROM sensor WHERE n = 1 AND NOT isfinite(ts) OR ts = '-infinity'")
        (replay,) = migration.repairs.replay()
        assert (replay.replayed, replay.gone, replay.still_held) == (0, 2, 0)
    assert_arrived(ferry, postgres, quarantined=True)


def test_a_container_for_a_new_value_is_not_shared_with_rows_of_someone_else(
    ferry: Ferry, postgres: Database, killer: Killer
) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    assert run(killer, ferry, point="checkpoint", moment="after", call=5)[0] == -signal.SIGKILL
    with ferry.store() as store:
        ours = store.open_container(ferry.catalog("public.sensor")[DEVICE])
        assert ours is not None
        theirs = store.create_container("sensor_theirs", ours.schema)
        for batch in ours.query("select *", limit=1).batches():
            theirs.put(batch)
    before = ferry.rows("sensor_theirs")
    add_sensors(postgres, 3300, 3350, device="theirs")
    with pytest.raises(TargetNotEmpty, match="sensor_theirs") as caught:
        finish(ferry)
    assert caught.value.next_step
    assert ferry.rows("sensor_theirs") == before
    assert "theirs" not in ferry.catalog("public.sensor")
