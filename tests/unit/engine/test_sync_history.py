"""What a sync writes down about itself, and how often."""

from __future__ import annotations

from typing import Any

from tests.unit.checkpoint.documents_fake import FakeDocuments

from gridferry.checkpoint.history import HistoryStore
from gridferry.engine.events import Note, TableSync
from gridferry.engine.sync.history import EVERY_S, SyncHistory
from gridferry.model.outcomes import SyncOutcome
from gridferry.model.position import Lsn
from gridferry.plan.sync_options import SyncMode

TABLE = "public.t"
UTC = "+00:00"


class Bench:
    """A history on a clock that is set by hand; `second` counts from 09:00:00."""

    def __init__(self) -> None:
        self.documents = FakeDocuments()
        self.store = HistoryStore(self.documents)
        self.second = 0.0
        self.notes: list[object] = []
        self.history = SyncHistory(
            self.store, TABLE, tell=self.notes.append, clock=lambda: self.second, now=lambda: stamp(self.second, UTC)
        )

    def at(self, second: float) -> SyncHistory:
        self.second = second
        return self.history


def stamp(second: float, zone: str = "000Z") -> str:
    return f"2026-03-14T09:{int(second) // 60:02d}:{int(second) % 60:02d}.000{zone}"


def run(as_of: float, **counts: Any) -> TableSync:
    return TableSync(TABLE, SyncMode.WATERMARK, SyncOutcome.SYNCED, as_of=stamp(as_of), **counts)


def test_a_run_is_a_sample() -> None:
    bench = Bench()
    bench.at(10).ended(run(9, read=5, rows=4, quarantined=1))
    (sample,) = bench.store.get(TABLE)
    assert (sample.at, sample.as_of, sample.runs) == (stamp(10, UTC), stamp(9), 1)
    assert (sample.read, sample.written, sample.quarantined, sample.lag_s) == (5, 4, 1, None)


def test_runs_close_to_each_other_are_written_as_one() -> None:
    bench = Bench()
    bench.at(10).ended(run(9, read=1))
    bench.at(11).ended(run(10, read=2))
    bench.at(12).ended(run(11, read=4))
    assert len(bench.store.get(TABLE)) == 1
    bench.at(10 + EVERY_S).ended(run(39, read=8))
    _, joined = bench.store.get(TABLE)
    assert (joined.read, joined.runs, joined.as_of) == (14, 3, stamp(39))
    assert joined.lag_s == 29  # of 11 s, at second 40


def test_the_last_run_is_written_however_soon_it_comes() -> None:
    bench = Bench()
    bench.at(10).ended(run(9, read=1))
    bench.at(11).ended(run(10, read=2))
    bench.at(12).ended(run(11, read=4), last=True)
    assert [(s.read, s.runs) for s in bench.store.get(TABLE)] == [(1, 1), (6, 2)]


def test_an_endless_run_is_sampled_by_what_it_did_since() -> None:
    bench = Bench()
    end = Lsn(100)
    bench.at(0).looked(run(0, read=5, rows=5), position=Lsn(90), current=end)
    bench.at(EVERY_S).looked(run(20, read=12, rows=9, deleted=3), position=Lsn(95), current=Lsn(400))
    bench.at(2 * EVERY_S).ended(run(50, read=20, rows=17, deleted=3))
    first, second, third = bench.store.get(TABLE)
    assert [s.read for s in (first, second, third)] == [5, 7, 8]
    assert [s.deleted for s in (first, second, third)] == [0, 3, 0]
    assert [s.lag_bytes for s in (first, second, third)] == [10, 305, None]
    assert [s.runs for s in (first, second, third)] == [0, 0, 1]


def test_a_stream_past_the_log_of_an_earlier_look_is_as_new_as_that_look() -> None:
    bench = Bench()
    bench.at(0).looked(run(0), position=Lsn(100), current=Lsn(100))
    bench.at(EVERY_S).looked(run(0), position=Lsn(150), current=Lsn(160))
    bench.at(2 * EVERY_S).looked(run(0), position=Lsn(159), current=Lsn(170))
    assert [s.as_of for s in bench.store.get(TABLE)] == [stamp(0), stamp(0), stamp(0)]
    bench.at(3 * EVERY_S).looked(run(0), position=Lsn(175), current=Lsn(180))
    assert bench.store.get(TABLE)[-1].as_of == stamp(2 * EVERY_S)


def test_a_broken_history_gives_way_to_a_new_one_and_is_told() -> None:
    bench = Bench()
    bench.documents.put(f"history:{TABLE}", {"newest": {"version": 77}})
    bench.at(1).ended(run(1))
    assert len(bench.store.get(TABLE)) == 1
    (note,) = bench.notes
    assert isinstance(note, Note)
    assert note.level == "warning"
    assert "version 77" in note.message
