"""A repair and an undo killed with SIGKILL at every step: run again they end right, and the journal knows every row."""

from __future__ import annotations

import signal

import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.killer import Killer
from tests.e2e.planted import container_of, images, repair, stored_batch, with_value
from tests.readings import make_numbered_readings

from gridferry.model.repair import RepairState

TABLE = "public.reading"
PLAIN = {"table": "reading", "split_by": "device", "key": "k"}
SMALL = {"table": TABLE, "rows_per_group": 4}


@pytest.fixture
def planted(ferry: Ferry, postgres: Database) -> Ferry:
    """Ten rows in each of three containers: of each three are missing, three differ, and three are too many."""
    make_numbered_readings(postgres)
    ferry = ferry.of(PLAIN)
    ferry.load()
    with ferry.store() as store:
        for name in ferry.names():
            container = container_of(store, name)
            rows = stored_batch(container)
            container.delete(rows.slice(0, 3).select([0]))
            for place in range(3, 6):
                container.put(with_value(rows.slice(place, 1), 1, 1000 + place))
                container.put(with_value(rows.slice(place, 1), 0, 2000 + place))
    return ferry


def undo_all(ferry: Ferry) -> int:
    """Undoes every repair, the newest first; returns how many rows were kept."""
    with ferry.migration() as migration:
        runs = [status.record.run for status in migration.repairs.all()]
        return sum(migration.repairs.undo(run).kept for run in reversed(runs))


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("point", "call"),
    [
        ("lease", 1),
        ("begin repair", 1),
        ("journal", 1),
        ("put", 4),
        ("delete", 1),
        ("flush", 4),
        ("flush", 6),
        ("repair record", 2),
        ("finish repair", 1),
    ],
)
def test_a_repair_killed_anywhere_and_run_again_ends_right_and_can_be_undone(
    planted: Ferry, killer: Killer, point: str, moment: str, call: int
) -> None:
    before = images(planted)
    assert killer.run(planted, "repair", point=point, moment=moment, call=call, **SMALL) == -signal.SIGKILL
    with planted.migration() as migration:
        begun = [s for s in migration.repairs.all() if s.record.state is RepairState.WRITING]
        assert all("interrupted" in status.note for status in begun)
        done = repair(planted, TABLE)
        assert done.confirmed == done.rows
        assert all(s.record.state is RepairState.DONE and not s.note for s in migration.repairs.all())
    assert repair(planted, TABLE).run == ""
    rows = {row["n"] for name in planted.names() for row in planted.rows(name)}
    assert rows == set(range(30))
    assert undo_all(planted) == 0
    assert images(planted) == before


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("point", "call"),
    [("lease", 1), ("put", 2), ("flush", 2), ("flush", 4), ("repair record", 2)],
)
def test_an_undo_killed_anywhere_and_run_again_brings_everything_back(
    planted: Ferry, killer: Killer, point: str, moment: str, call: int
) -> None:
    before = images(planted)
    done = repair(planted, TABLE, rows_per_group=4)
    assert done.rows == 27
    assert killer.run(planted, "undo", point=point, moment=moment, call=call, run=done.run) == -signal.SIGKILL
    with planted.migration() as migration:
        undone = migration.repairs.undo(done.run)
        assert undone.kept == 0
        assert undone.restored + undone.already == 27
        assert migration.repairs.all()[0].record.state is RepairState.UNDONE
    assert images(planted) == before


@pytest.mark.parametrize(("point", "moment"), [("lease", "after"), ("delete documents", "before")])
def test_a_journal_whose_forgetting_was_killed_can_be_forgotten_again(
    planted: Ferry, killer: Killer, point: str, moment: str
) -> None:
    done = repair(planted, TABLE, rows_per_group=4)
    assert killer.run(planted, "forget", point=point, moment=moment, call=1, what=done.run) == -signal.SIGKILL
    with planted.migration() as migration:
        assert migration.repairs.forget(done.run) == [done.run]
        assert migration.repairs.all() == []
    assert planted.rows("gridferry_journal") == []
