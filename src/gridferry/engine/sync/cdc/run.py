"""One run of mode cdc over the tables of one slot: changes are stored, checkpointed, and only then confirmed.

The order that keeps data safe: changes are on the target's disk before the records count them, and the records are on
disk before they are confirmed to PostgreSQL, which then forgets them. Killed anywhere, the next run gets again what
the records do not have, and ends in the same state.

The log is read once for all tables. What is confirmed is what every one of them has stored: a table that cannot go on
holds the log back, and what the others have stored meanwhile is left out where it comes again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import SYNC
from gridferry.engine.events import Listener, Note, TableFailed, TableSync
from gridferry.engine.ownership.lineage import check_origin
from gridferry.engine.ownership.marks import Marks
from gridferry.engine.retry import is_transient, with_patience
from gridferry.engine.slots import LogHolder, needs
from gridferry.engine.sync.cdc.source_checks import EVERY_S, SlotLook
from gridferry.engine.sync.cdc.table import FollowedTable
from gridferry.engine.sync.cdc.wishes import Wishes
from gridferry.engine.sync.settings import SyncSettings
from gridferry.engine.workers import Crew, default_workers
from gridferry.errors import FerryError, LeaseHeld, SlotLost
from gridferry.model.change import ChangeBatch, ChangeGroup, ChangePart, Truncation
from gridferry.model.moment import later
from gridferry.model.outcomes import SyncOutcome
from gridferry.model.position import Lsn
from gridferry.model.table import Table
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.log.stream import ChangeStream
from gridferry.source.postgres.session.connection import one_session
from gridferry.source.postgres.slots.slots import SlotFacts
from gridferry.source.postgres.source import PostgresSource

_IDLE_SAVE_S = 5.0


class CdcRun:
    """One run, bounded or without end. Made for one call of `run`, under a lease.

    A table with an error of its own is set apart: its `error` says why, and the others go on. What concerns all of
    them, or may pass, ends the run.
    """

    def __init__(
        self,
        state: TargetState,
        lease: Lease,
        source: PostgresSource,
        *,
        slot: str,
        tables: Sequence[FollowedTable],
        settings: SyncSettings,
        tell: Listener,
        apart: bool = False,
        wishes: Wishes,
    ) -> None:
        """Args: tables: those that are followed, one at least; apart: set a table apart for an error of its own, rather
        than raise that; wishes: which tables are left out meanwhile, and for which others the slot keeps its log.
        """
        self._state = state
        self._lease = lease
        self._source = source
        self._feed = ChangeFeed(source.address)
        self._slot = slot
        self._tables = tables
        self._settings = settings
        self._tell = tell
        self._may_set_apart = apart
        self._wishes = wishes
        self._saved_at = 0.0
        self._by_key = {each.key: each for each in tables}
        self._checkpointed: set[str] = set()
        self._look = SlotLook(self._feed, slot)
        self._marks = Marks(state, self._feed, lease)

    def run(self, *, follow: bool = False) -> list[TableSync]:
        """Store what was committed before now; with `follow` go on until asked to stop.

        Returns: what was done, for each table without an error, in order.
        Raises: any FerryError; what was checkpointed stays, and the next run goes on there.
        """
        with one_session():
            self._begin()
        if self._going() and self._feed.keep_through_failover(self._slot):
            self._tell(Note(self._tables[0].name, f"standbys keep the slot {self._slot} in step from now on"))
        until, now = self._feed.now()
        self._marks.leave(self._slot)
        ended = not self._going()
        while not ended:
            ended = self._stream(until=None if follow else until)
        stopped = {t.name for t in self._going() if self._settings.stop() and t.record.position < until}
        if not follow:
            for table in self._described():
                if self._one(table).name not in stopped:
                    with self._apart(self._one(table)):
                        self._one(table).take_over_unchanged(table)
            for each in self._going():
                if each.name not in stopped:
                    each.record = replace(each.record, as_of=later(each.record.as_of, now))
        for each in self._going():
            each.record = each.record.ended()
        self._save(self._going())
        stopped |= {each.name for each in self._tables if each.left is not None}
        return [
            replace(each.ended(), outcome=SyncOutcome.STOPPED) if each.name in stopped else each.ended()
            for each in self._tables
            if each.error is None
        ]

    def _going(self) -> list[FollowedTable]:
        return [each for each in self._tables if each.is_followed]

    def _begin(self) -> None:
        with self._unless_taken_over():
            self._look.again(every_s=0.0)
            self._let_log_go()
            for each in self._going():
                with self._apart(each):
                    each.checked(self._look)
        going = self._going()
        for each, record in zip(going, self._state.positions.begin_all([t.record for t in going]), strict=True):
            with self._apart(each):
                each.begun(record)
        self._look_at_parts()

    def _look_at_parts(self) -> None:
        if not self._going():
            return
        keys = [self._state.parts.key(each.name) for each in self._going()]
        with self._source.open_snapshot() as view, self._state.documents.read_ahead(keys=keys):
            described = self._described(view.fetch_tables)
            places = [(table.schema, table.name) for table in described]
            for table, parts in zip(described, view.fetch_parts_each(places), strict=True):
                with self._apart(self._one(table)):
                    self._one(table).look_at_parts(view, table, parts)

    def _described(self, fetch: Callable[[Sequence[str]], list[Table]] | None = None) -> list[Table]:
        """The tables that go on, as the catalog has them. One that is gone is set apart."""
        fetch = fetch or self._source.fetch_tables
        going = self._going()
        try:
            return fetch([each.options.table for each in going])
        except FerryError:
            if not self._may_set_apart:
                raise
        found = []
        for each in going:
            with self._apart(each):
                try:
                    found += self._source.fetch_tables([each.options.table])
                except FerryError:
                    # Says what became of it, as that it has another name now.
                    check_origin(self._state, self._source, each.options, each.run, left="what was checkpointed stays")
                    raise
        return found

    def _one(self, table: Table) -> FollowedTable:
        return self._by_key[table.schema, table.name]

    def _stream(self, *, until: Lsn | None) -> bool:
        """Follow the slot until its end, or until a table got a column, which has to be asked for again.

        Returns: whether the end was reached.
        """
        for table in self._described():
            with self._apart(self._one(table)):
                self._one(table).opened(table)
        going = self._going()
        if not going:
            return True
        by_key = {each.key: each for each in going}
        start = min(each.position for each in going)
        try:
            with self._unless_taken_over():
                wanted = {each.key: each.columns for each in going}
                former = {each.key: each.former for each in going}
                opened = self._feed.stream(
                    self._slot, start=start, wanted=wanted, confirmed=self._stored(), former=former
                )
            with opened as stream, _Stopping(stream, self._settings.stop):
                for group in stream.groups(until=until):
                    self._lease.check()
                    if self._store(group, stream, by_key):
                        return False
                    self._checkpoint(group, stream, last=until)
                    self._look_around(group)
                    if self._settings.stop() or not self._going():
                        break
        finally:
            for each in going:
                each.closed()
        return True

    @contextmanager
    def _unless_taken_over(self) -> Iterator[None]:
        """A slot that seems lost may only have been read on, while this run was stopped, by one that took over."""
        try:
            yield
        except SlotLost:
            for each in self._going():
                self._state.positions.require_latest(each.saved)
            raise

    @contextmanager
    def _apart(self, table: FollowedTable) -> Iterator[None]:
        """Set the table apart where something fails that is its own matter. Raises: all that is not."""
        try:
            yield
        except FerryError as error:
            if error.concerns_all or is_transient(error) or isinstance(error, LeaseHeld):
                raise
            if not self._may_set_apart:
                if len(self._tables) > 1:
                    self._set_apart(table, error)
                raise
            if isinstance(error, SlotLost):
                self._state.positions.require_latest(table.saved)
            self._set_apart(table, error)

    def _set_apart(self, table: FollowedTable, error: FerryError) -> None:
        table.set_apart(error)
        self._tell(TableFailed(table.name, SYNC.verb, error, others=len(self._tables) - 1))
        self._wishes.left(table.name, error)

    def _store(self, group: ChangeGroup, stream: ChangeStream, by_key: dict[tuple[str, str], FollowedTable]) -> bool:
        """Store one group, several tables at a time. Returns: whether one of them has to be streamed again."""
        dealt: dict[tuple[str, str], list[ChangePart]] = {}
        for part in group.parts:
            for key in _tables_of(part, stream):
                dealt.setdefault(key, []).append(part)
        jobs = [(by_key[key], parts) for key, parts in dealt.items() if by_key[key].is_followed]
        again: list[FollowedTable] = []

        def store(job: tuple[FollowedTable, list[ChangePart]], _: object) -> None:
            table, parts = job
            with self._apart(table):
                if table.take(parts):
                    again.append(table)

        if len(jobs) == 1:
            store(jobs[0], None)
        elif jobs:
            Crew(default_workers()).run(jobs, work=store, open_worker=lambda: None, close_worker=lambda _: None)
        for each in self._going() if again else ():
            if each not in again:
                each.rewind()
        return bool(again)

    def _checkpoint(self, group: ChangeGroup, stream: ChangeStream, *, last: Lsn | None) -> None:
        """Write how far changes are stored, then confirm it to PostgreSQL; seldom for tables of which nothing comes."""
        if group.position is None:
            return
        going = self._going()
        for each in going:
            each.reached(group)
        reached = last is not None and group.position >= last
        all_of_them = reached or time.monotonic() - self._saved_at >= _IDLE_SAVE_S
        due = [t for t in going if t.record.position > t.saved.position and (all_of_them or t.touched)]
        if not due:
            return
        self._save(due)
        if all_of_them:
            self._saved_at = time.monotonic()
        stream.confirm(self._stored())

    def _stored(self) -> Lsn:
        """What all tables have on the target's disk. What one that was set apart lacks is kept for its next run."""
        return min([*(each.position for each in self._tables if each.keeps_log), *self._wishes.kept.values()])

    def _save(self, tables: Sequence[FollowedTable]) -> None:
        """Write the records of tables, and report each checkpoint."""

        def again(error: FerryError) -> None:
            tables[0].again(error)

        self._lease.check()
        records = [each.record for each in tables]
        saved = with_patience(lambda: self._state.positions.save_all(records), on_retry=again)
        first = [each.name for each in tables if each.name not in self._checkpointed]
        self._checkpointed.update(first)
        # A table's first checkpoint takes back that its sync has failed before.
        keys = [self._state.failures.key(name) for name in first]
        with self._state.documents.read_ahead(keys=keys) if len(keys) > 1 else nullcontext():
            for each, record in zip(tables, saved, strict=True):
                each.checkpointed(record)

    def _look_around(self, group: ChangeGroup) -> None:
        """What is looked after beside the stream: the source every few seconds, the target as seldom."""
        if self._look.again(every_s=EVERY_S):
            with one_session():
                self._look_at_source()
        self._wishes.look(self._tables, self._lease.check)
        self._note_progress()
        self._marks.again(self._slot, stored=bool(group.changes), every_s=EVERY_S)

    def _note_progress(self) -> None:
        due = [each for each in self._going() if each.has_news]
        if len(due) > 1:  # what each writes is read and written together
            documents = self._state.documents
            with documents.read_ahead(keys=[self._state.history.key(each.name) for each in due]), documents.together():
                for each in due:
                    each.looked()
        for each in self._going():
            each.looked()

    def _let_log_go(self) -> None:
        """From `stop_lag` on, let log go that is kept for none but tables that cannot go on, or are paused."""
        facts, going = self._look.facts, self._going()
        if facts is not None and going and (facts.kept_bytes or 0) >= min(each.stop_lag for each in going):
            limit = min(each.stop_lag for each in going)
            if not self._settings.stops:
                too_old = partial(_holds, facts, limit)
                for table, error in self._wishes.let_go(self._tables, too_old, self._lease.check):
                    self._set_apart(table, error)
        needing = {each.name: each.position for each in self._tables if each.keeps_log} | self._wishes.kept
        holder = min(needing, key=lambda table: needing[table], default="")
        self._look.holder = LogHolder(holder, needing[holder]) if holder else None

    def _look_at_source(self) -> None:
        self._let_log_go()
        for each in self._going():
            with self._apart(each):
                each.record = each.watch.again(each.run, each.plan, each.record, self._look)
        self._look_at_parts()


def _holds(facts: SlotFacts, limit: int, position: Lsn) -> bool:
    """Whether a table at a position holds so much log."""
    return needs(facts, position) >= limit


def _tables_of(part: ChangePart, stream: ChangeStream) -> set[tuple[str, str]]:
    """Schema and name of the tables that a part is about."""
    if isinstance(part, Truncation):
        return {stream.table_of(each) for each in part.relations}
    if isinstance(part, ChangeBatch):
        return {stream.table_of(part.relation)}
    return {stream.table_of(part.now)}


class _Stopping:
    """While its block runs, ends the stream once `stop` says so: the stream may be waiting for changes then."""

    def __init__(self, stream: ChangeStream, stop: Callable[[], bool]) -> None:
        self._stream = stream
        self._stop = stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gridferry-stop", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            if self._stop():
                self._stream.stop()
                return
