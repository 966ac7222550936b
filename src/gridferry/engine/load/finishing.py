"""The end of each table's load: both sides are counted, and only then it is written that the table is loaded.

What is copied while others are being finished is finished next, together: one question counts many tables. What one
look at the counts does not prove is settled with a reader, when the workers have given their sessions back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from gridferry.checkpoint.runs import CopyFigures
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note, TableLoad
from gridferry.engine.load.copying import Copying, LoadOptions, OpenReader, SnapshotView, TableCopy
from gridferry.engine.load.count_check import CountCheck, LoadCounts
from gridferry.engine.rows.quarantine import keep_current
from gridferry.engine.rows.read_check import require_all_read
from gridferry.errors import FerryError
from gridferry.model.chunk import ChunkKind
from gridferry.model.outcomes import LoadOutcome

_COUNTED_AT_ONCE = 100  # tables in one statement
_LOOK_S = 0.2


@dataclass
class _Counted:
    """A snapshot's rows of a table: by one plain count, and by split value."""

    total: int
    by_value: dict[str | None, int]


class Finishing:
    """Copies tables that share a snapshot, and ends their loads. Made for one call of `run`."""

    def __init__(
        self,
        state: TargetState,
        view: SnapshotView,
        tables: Sequence[TableCopy],
        options: LoadOptions,
        tell: Listener,
        *,
        loaded: Callable[[Sequence[tuple[TableCopy, TableLoad]]], None],
        failed: Callable[[TableCopy], None] = lambda table: None,
    ) -> None:
        """Args: loaded, failed: are called, in the thread that calls `run`, with tables that are loaded, or whose
        `error` says why they are not, as soon as they are.
        """
        self._state = state
        self._view = view
        self._tables = tables
        self._tell = tell
        self._loaded = loaded
        self._failed = failed
        self._copied: SimpleQueue[TableCopy] = SimpleQueue()
        self._copying = Copying(state, view, tables, options, tell, ended=self._copied.put)
        self._going = {table.name for table in tables}  # their copying has not ended
        self._counted: dict[str, _Counted] = {}
        self._later: list[tuple[TableCopy, _Counted]] = []

    def run(self) -> None:
        """Do it. Raises: what concerns all tables; an error of one table is in the table."""
        self._copying.run(meanwhile=self._meanwhile)
        if not self._later:
            return
        reader = OpenReader(self._view.open_reader)
        try:
            for table, counted in self._later:
                with self._of(table):
                    self._settle(table, counted, reader)
                if table.error is not None:
                    reader.renew()
        finally:
            reader.close()

    def _meanwhile(self) -> None:
        """Finish what is copied; else count tables whose rows take long to count."""
        uncounted = sorted((t for t in self._tables if len(t.chunks) > 1), key=lambda t: -t.plan.rows)
        while self._going:
            self._copying.crew.check()
            ended = self._taken(wait=not uncounted)
            for table in ended:
                if table.error is not None:
                    self._failed(table)
            self._finish([table for table in ended if table.error is None])
            if not ended and uncounted:
                self._count([uncounted.pop(0)])

    def _taken(self, *, wait: bool) -> list[TableCopy]:
        """The tables whose copying has ended since, or that failed meanwhile; each once."""
        found: list[TableCopy] = []
        try:
            if wait:
                found.append(self._copied.get(timeout=_LOOK_S))
            while len(found) < _COUNTED_AT_ONCE:
                found.append(self._copied.get_nowait())
        except Empty:
            pass
        ended = [table for table in dict.fromkeys(found) if table.name in self._going]
        self._going -= {table.name for table in ended}
        return ended

    @contextmanager
    def _of(self, table: TableCopy) -> Iterator[None]:
        """What fails inside is this table's. Raises: what concerns all tables."""
        try:
            yield
        except FerryError as error:
            if table.fail(error):
                self._failed(table)
                self._copied.put(table)  # no worker goes on with it
            if error.concerns_all:
                raise

    def _finish(self, tables: Sequence[TableCopy]) -> None:
        self._count(tables)
        proven: list[tuple[TableCopy, LoadCounts]] = []
        complete = []
        for table in tables:
            if table.error is None:
                with self._of(table):
                    self._require_all_read(table, self._counted[table.name])
                    complete.append(table)
        for table, counts in zip(complete, self._at_a_glance(complete), strict=True):
            if counts is None:
                self._later.append((table, self._counted[table.name]))
            else:
                proven.append((table, counts))
        self._write(proven)

    def _count(self, tables: Sequence[TableCopy]) -> None:
        """Count the rows of the snapshot: many tables at once, where none of them has a condition of its own."""
        new = [table for table in tables if table.name not in self._counted and table.error is None]
        plain = [t for t in new if t.expected is not None and not t.plan.where.strip()] if len(new) > 1 else []
        try:
            with self._view.apart():
                totals = self._view.count_each([table.plan for table in plain])
        except FerryError as error:
            if error.concerns_all:
                raise
            totals, plain = [], []
        for table, total in zip(plain, totals, strict=True):
            self._counted[table.name] = _Counted(total, table.expected or {})
        for table in new:
            if table.name not in self._counted:
                with self._of(table), self._view.apart():
                    total = self._view.count_all(table.plan)
                    by_value = self._view.count_rows(table.plan) if table.expected is None else table.expected
                    self._counted[table.name] = _Counted(total, by_value)

    def _require_all_read(self, table: TableCopy, counted: _Counted) -> None:
        """Hold what was read against PostgreSQL's own count of the snapshot. Raises: ReadIncomplete.

        Chunks of an interrupted load were read under earlier snapshots, and some rows of them twice: then what each
        container should have must add up to that count, and no fewer rows can have been read.
        """
        state = "rows that were read are stored; the table does not count as loaded"
        before = sum(r.rows + r.quarantined for r in table.run.finished.values())
        again = any(c.kind is ChunkKind.RECENT for c in table.run.chunks)
        read = table.rows + table.quarantined + before
        require_all_read(table.plan, counted=counted.total, read=read, at_least=again or bool(before), state=state)
        require_all_read(table.plan, counted=counted.total, read=sum(counted.by_value.values()), state=state)

    def _at_a_glance(self, tables: Sequence[TableCopy]) -> list[LoadCounts | None]:
        """What the counts say of each table; None where a reader has to settle it."""
        if not tables:
            return []
        holding = self._state.quarantine.holding([table.name for table in tables])
        handles = [(table, value, handle) for table in tables for value, handle in table.target.by_value.items()]
        rows: dict[str, dict[str | None, int]] = {table.name: {} for table in tables}
        try:
            counts = self._state.store.counts([handle for _, _, handle in handles])
        except FerryError as error:
            if error.concerns_all:
                raise
            return [None] * len(tables)  # a container of one of them: it is found out which
        for (table, value, _), count in zip(handles, counts, strict=True):
            rows[table.name][value] = count
        return [None if t.name in holding else self._check(t).at_a_glance(rows[t.name]) for t in tables]

    def _check(self, table: TableCopy) -> CountCheck:
        source = self._counted[table.name].by_value
        resumed = table.outcome is LoadOutcome.RESUMED
        return CountCheck(self._state.store, table.plan, table.target, self._state.quarantine, source, resumed=resumed)

    def _settle(self, table: TableCopy, counted: _Counted, reader: OpenReader) -> None:
        if table.outcome is LoadOutcome.RESUMED:
            keep_current(reader.reader, table.plan, self._state.quarantine)
        copier = table.copier(table.lease.check, self._tell)
        self._write([(table, self._check(table).run(reader.reader, copier))])

    def _write(self, proven: Sequence[tuple[TableCopy, LoadCounts]]) -> None:
        """Write that tables are loaded, together. A table whose lease was lost is left out."""
        held = []
        for table, counts in proven:
            with self._of(table):
                table.lease.check()
                held.append((table, counts))
        for table, counts in held:
            for note in counts.notes:
                self._tell(Note(table.name, note, Level.WARNING))
        with self._state.documents.together() if len(held) > 1 else nullcontext():
            for table, counts in held:
                stored = sum(c.target_rows for c in counts.containers)
                workers = max(1, min(self._copying.workers, len(table.chunks)))
                copied = CopyFigures(table.rows, table.octets, table.seconds, workers)
                self._state.runs.loaded(table.run, rows=stored, notes=counts.notes, copied=copied)
        if held:
            self._loaded([(table, _told(table, counts)) for table, counts in held])


def _told(table: TableCopy, counts: LoadCounts) -> TableLoad:
    return TableLoad(
        table.name,
        table.outcome,
        rows=table.rows,
        octets=table.octets,
        seconds=table.seconds,
        chunks=len(table.chunks),
        quarantined=counts.quarantined,
        superseded=counts.superseded,
        containers=counts.containers,
        notes=counts.notes,
        coverage=counts.coverage(table.plan),
    )
