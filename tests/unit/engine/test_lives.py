"""Where a table is, by whose wish it is left out, and what of the log it holds: the parts that ask nobody."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.checkpoint.documents_fake import FakeDocuments

from gridferry.checkpoint.standings import Standing, StandingKind, StandingStore
from gridferry.engine.each_table import SYNC, try_each
from gridferry.engine.events import FollowStarted, Note, SyncStarted, TableLeftOut
from gridferry.engine.slots import LogHolder, guard
from gridferry.engine.standing import SyncStatus, TableStatus
from gridferry.engine.status.check import ProblemKind, checked
from gridferry.engine.status.life import life_of
from gridferry.engine.sync.left_out import LeftOut
from gridferry.errors import CheckpointError, DataError, SourceUnreachable
from gridferry.metrics.health import FollowHealth
from gridferry.model.outcomes import LoadState, SyncState
from gridferry.model.position import Lsn
from gridferry.model.sync_failure import sync_failure
from gridferry.model.table_life import Stage, TableLife
from gridferry.plan.drift import changes_since, fingerprint
from gridferry.plan.sync_options import SyncMode, SyncOptions
from gridferry.plan.table_options import table_options
from gridferry.source.postgres.slots.slots import SlotFacts

T, SINCE = "public.t", "2026-01-01T00:00:00.000+00:00"
IDLE = SyncStatus(SyncMode.CDC, SyncState.IDLE, slot="all")
BAD = sync_failure(DataError("v is too long"), now=SINCE)
AWAY = sync_failure(SourceUnreachable("no connection"), now=SINCE)


def stage(state: LoadState = LoadState.LOADED, sync: SyncStatus | None = None, **more: Any) -> Stage:
    more = {"standing": None, "stream": "all", **more}
    return life_of(TableStatus(T, state, sync=sync), **more).stage


def sync_of(**changes: Any) -> SyncStatus:
    return SyncStatus(SyncMode.CDC, **{"state": SyncState.IDLE, "slot": "all", **changes})


@pytest.mark.parametrize(
    ("expected", "state", "sync"),
    [
        (Stage.PLANNED, LoadState.PLANNED, None),
        (Stage.COPY, LoadState.LOADING, None),
        (Stage.COPY, LoadState.INTERRUPTED, None),
        (Stage.LOADED, LoadState.LOADED, None),
        (Stage.CATCH_UP, LoadState.LOADED, sync_of(state=SyncState.NOT_BEGUN)),
        (Stage.CATCH_UP, LoadState.LOADED, sync_of(slot="its own")),
        (Stage.IN_STEP, LoadState.LOADED, sync_of()),
        (Stage.IN_STEP, LoadState.LOADED, sync_of(state=SyncState.FAILED, failure=AWAY)),
        (Stage.APART, LoadState.LOADED, sync_of(state=SyncState.FAILED, failure=BAD)),
        (Stage.APART, LoadState.LOADED, sync_of(state=SyncState.LOST)),
        (Stage.APART, LoadState.LOADED, sync_of(state=SyncState.NOT_FOLLOWED, slot="")),
    ],
)
def test_where_a_table_is(expected: Stage, state: LoadState, sync: SyncStatus | None) -> None:
    assert stage(state, sync) is expected
    for kind, wished in (
        (StandingKind.PAUSED, Stage.PAUSED),
        (StandingKind.RESYNC, Stage.RESYNC),
        (StandingKind.REMOVED, Stage.REMOVED),
    ):
        assert stage(state, sync, standing=Standing(T, kind, SINCE)) is wished
    assert stage(state, sync, gone="public.t is now public.u") is Stage.GONE


def test_a_table_apart_says_why_and_since_when() -> None:
    found = life_of(TableStatus(T, LoadState.LOADED, sync=sync_of(failure=BAD)), standing=None)
    assert found == TableLife(Stage.APART, SINCE, "v is too long")


@pytest.mark.parametrize(
    ("life", "kind", "code"),
    [
        (TableLife(Stage.PAUSED, SINCE, "it is paused"), ProblemKind.PAUSED, 75),
        (TableLife(Stage.RESYNC, SINCE, "it is being brought back"), ProblemKind.RESYNC, 75),
        (TableLife(Stage.GONE, "", "public.t is now public.u"), ProblemKind.GONE, 3),
    ],
)
def test_a_check_names_what_is_left_out(life: TableLife, kind: ProblemKind, code: int) -> None:
    removed = TableStatus("public.r", LoadState.LOADED, life=TableLife(Stage.REMOVED))
    found = checked([TableStatus(T, LoadState.LOADED, life=life), removed], None, max_lag_s=1.0, level_at=lambda _: "")
    assert found.tables == 1
    assert [(each.table, each.kind, each.exit_code) for each in found.problems] == [(T, kind, code)]
    assert found.problems[0].next_step


class FakeState:
    def __init__(self) -> None:
        self.standings = StandingStore(FakeDocuments())


def test_what_is_left_out_is_told_once_and_again_when_it_is_another_wish() -> None:
    heard: list[Any] = []
    state: Any = FakeState()
    left_out = LeftOut(state, heard.append, kept_s=0.0)
    assert left_out.of(T) is None
    state.standings.set(T, StandingKind.PAUSED, gives_up=False)
    assert left_out.of(T) is not None
    assert left_out.of(T) is not None
    assert [type(event) for event in heard] == [TableLeftOut, Note]
    state.standings.set(T, StandingKind.REMOVED, gives_up=True)
    left_out.of(T)
    assert [event.stage for event in heard if isinstance(event, TableLeftOut)] == [Stage.PAUSED, Stage.REMOVED]
    state.standings.forget(T)
    assert left_out.of(T) is None
    assert LeftOut(state, heard.append, but=T).all() == {}


def test_a_standing_that_is_not_readable_is_an_error_by_name() -> None:
    documents = FakeDocuments()
    store = StandingStore(documents)
    documents.put("standings", {T: {"version": 1, "kind": "asleep", "since": SINCE, "gives_up": False}})
    with pytest.raises(CheckpointError, match=T) as broken:
        store.all()
    assert "gridferry resync" in broken.value.next_step


def test_a_probe_expects_nothing_of_a_table_that_is_left_out() -> None:
    health = FollowHealth(follows=True)
    health(FollowStarted((T,), 1.0))
    assert health.unready() == {T: "its first run is not over"}
    health(TableLeftOut(T, Stage.PAUSED))
    assert health.unready() == {}
    health(SyncStarted(T, SyncMode.CDC))
    assert T in health.unready()


def facts(kept: int) -> SlotFacts:
    end = Lsn(10 << 20)
    return SlotFacts("s", "pgoutput", "d", False, Lsn(0), Lsn(0), end, kept, kept, "reserved", None, None, "")


def test_the_guard_names_the_table_that_holds_the_log() -> None:
    sync = SyncOptions.model_validate({"mode": SyncMode.CDC, "stop_lag": "4MB", "warn_lag": "2MB"})
    with pytest.raises(DataError, match=r"public\.t holds it, which is at 0/100000"):
        list(guard(facts(9 << 20), sync, LogHolder(T, Lsn(1 << 20))))
    with pytest.raises(DataError, match="more than `stop_lag`"):
        list(guard(facts(9 << 20), sync))
    (warned,) = guard(facts(9 << 20), sync, LogHolder(T, Lsn(9 << 20)))  # the log is kept for somebody else
    assert "more than `warn_lag`" in warned


def test_an_option_that_changed_is_named_with_both_values() -> None:
    loaded = table_options(table="t", key="id", where="a > 1", sync={"mode": "cdc"})
    assert changes_since(loaded, fingerprint(loaded)) == ""
    free = table_options(table="public.t", key="id", where="a > 1", on_bad_row="quarantine", on_duplicate="last")
    assert changes_since(free, fingerprint(loaded)) == ""
    other = table_options(table="t", key=["id", "ts"], rename={"a": "b"})
    assert changes_since(other, fingerprint(loaded)) == (
        '`key` was \'["id"]\' and is \'["id", "ts"]\'; `rename` was not set and is \'{"a": "b"}\'; '
        "`where` was 'a > 1' and is not set"
    )
    before = fingerprint(table_options(table="t", columns={"a": {"type": "long", "scale": 2}}))
    wished = table_options(table="t", columns={"a": "long", "b": {"type": "timestamp(3)", "from": "epoch_s"}})
    assert changes_since(wished, before) == (
        '`columns` was \'{"a": {"scale": 2, "type": "long"}}\' and is '
        '\'{"a": "long", "b": {"type": "timestamp(3)", "from": "epoch_…\''
    )
    for broken in ("", "no JSON", "[]"):
        assert changes_since(loaded, broken) == ""


def test_the_first_that_fails_ends_the_loop_where_it_is_to_stop() -> None:
    def act(table: str) -> str:
        if table == "b":
            raise DataError("bad")
        return table

    tried = try_each("abc", act, doing=SYNC, stops=True)
    assert (tried.done, [each.table for each in tried.failures], tried.not_tried) == (("a",), ["b"], ("c",))
