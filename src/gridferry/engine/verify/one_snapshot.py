"""Tables that are compared as of one snapshot of the source, and what is known of each before its rows are read.

The order that keeps alarms from being false: of all tables first who works on it and how far its sync has stored, then
the snapshot, then rows. What a sync stores after that is seen to be later than the snapshot, whichever table it is of.
All tables are locked against rewrites from the beginning, as in a load: TRUNCATE would make one look empty to the
snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType

from typing_extensions import Self

from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note
from gridferry.engine.ownership.lineage import check_origin
from gridferry.engine.ownership.origin_check import look_up
from gridferry.engine.scope import other_tables
from gridferry.engine.verify.sync_progress import SourceState, SyncWatch
from gridferry.errors import CheckpointError, FerryError, SnapshotGone, SourceError, SourceRefused
from gridferry.model.sync_failure import SyncFailure
from gridferry.model.table import Table
from gridferry.plan.drift import require_fit
from gridferry.plan.plan import TablePlan
from gridferry.plan.stored import require_agrees
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.source import PostgresSource

_LEFT = "nothing was compared"


@dataclass(frozen=True)
class Awaited:
    """A loaded table before the snapshot: whether nobody worked on it, and what was stored of its sync."""

    run: LoadRun
    plan: TablePlan
    watch: SyncWatch
    alone: bool
    standing: object


@dataclass(frozen=True)
class Begun:
    """A table in the snapshot `view`, locked there: its plan as it fits, and the table as the snapshot shows it.

    `mark` lies behind all that the snapshot shows; `alone` and `standing` were so before the snapshot. `failure`: how
    its last sync failed, where it did.
    """

    options: TableOptions
    plan: TablePlan
    table: Table
    watch: SyncWatch
    alone: bool
    standing: object
    mark: SourceState
    view: PostgresSnapshot
    failure: SyncFailure | None = None

    @property
    def is_still(self) -> bool:
        """Whether nobody has stored anything of the table since before the snapshot."""
        return self.alone and not self.watch.busy() and self.watch.standing() == self.standing


class OneSnapshot:
    """One snapshot for the comparison of tables, taken when the first is asked for. A context.

    Where the snapshot is lost, the table that was read fails, and those after it are compared as of another one.
    """

    def __init__(
        self,
        source: PostgresSource,
        state: TargetState,
        tables: Sequence[TableOptions],
        *,
        first: Callable[[TableOptions], None] | None = None,
        whole: Sequence[TableOptions] | None = None,
        tell: Listener,
    ) -> None:
        """Args: first: is done to each table that nobody works on, before the snapshot; whole: all of the config,
        where the others of the database are to be told.
        """
        self.others: tuple[str, ...] = ()  # tables of the database that are none of `whole`, as the snapshot shows
        self._source = source
        self._state = state
        self._left = list(tables)  # those that were not given out yet
        self._first = first
        self._whole = whole
        self._tell = tell
        self._stack = ExitStack()
        self._view: PostgresSnapshot | None = None
        self._found: dict[str, Begun | FerryError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def of(self, options: TableOptions) -> Iterator[Begun]:
        """What a table's comparison begins with; what fails inside the block leaves the snapshot whole.

        Tables are asked for in the order in which they were given. Raises: ConfigError, CheckpointError; any FerryError
        of either side.
        """
        self._left = self._left[self._left.index(options) :]
        if options.qualified not in self._found:
            self._open()
        self._left = self._left[1:]
        found = self._found.pop(options.qualified)
        if isinstance(found, FerryError):
            raise found
        try:
            with found.view.apart():
                yield found
        except FerryError:
            self._let_go_if_lost()
            raise

    def _open(self) -> None:
        """Take a snapshot for the tables that are left. Raises: SourceError, where none can be taken."""
        self._stack.close()
        self._view, self._found = None, {}
        free = self._free()
        awaited = {options.qualified: self._awaited(options, free) for options in self._left}
        view = self._stack.enter_context(self._source.open_snapshot(keep_readers=len(self._left) > 1))
        self._view = view
        mark = SourceState(view.seen_until(), view.snapshot.taken_at)
        if self._whole is not None:
            self.others = other_tables(view, self._whole)
        described = self._described(view)
        failures = self._state.failures.each([options.qualified for options in self._left])
        for options in self._left:
            before = awaited[options.qualified]
            if isinstance(before, FerryError):
                self._found[options.qualified] = before
                continue
            try:
                with view.apart():
                    begun = self._begun(view, options, before, described[options.table], mark)
                self._found[options.qualified] = replace(begun, failure=failures.get(options.qualified))
            except FerryError as error:
                self._found[options.qualified] = error

    def _free(self) -> set[str]:
        """Tables that are known to be nobody's work now, as far as one look at all leases tells."""
        with suppress(CheckpointError):  # one that is not readable: told where its table is asked for
            return self._state.free_of_runs([options.qualified for options in self._left])
        return set()

    def _awaited(self, options: TableOptions, free: set[str]) -> Awaited | FerryError:
        try:
            run, plan = look_up(self._state, options, left=_LEFT, then="gridferry verify")
            watch = SyncWatch(self._source, self._state, options, run)
            alone = options.qualified in free or not watch.busy()
            if alone and self._first is not None:
                self._first(options)
            return Awaited(run, plan, watch, alone, watch.standing())
        except FerryError as error:
            return error

    def _described(self, view: PostgresSnapshot) -> dict[str, Table | SourceError]:
        """The tables as the snapshot shows them, by their names in the config; or why one cannot be read."""
        names = [options.table for options in self._left]
        try:
            with view.apart():
                return dict(zip(names, view.fetch_each(names), strict=True))
        except SourceRefused:  # one is dropped just now
            return {name: self._described_alone(view, name) for name in names}

    def _described_alone(self, view: PostgresSnapshot, name: str) -> Table | SourceError:
        try:
            with view.apart():
                (table,) = view.fetch_tables([name])
                return table
        except SourceError as error:
            return error

    def _begun(
        self,
        view: PostgresSnapshot,
        options: TableOptions,
        before: Awaited,
        table: Table | SourceError,
        mark: SourceState,
    ) -> Begun:
        check_origin(self._state, view, options, before.run, left=_LEFT)  # says more of a table that is gone
        if isinstance(table, SourceError):
            raise table
        plan = require_agrees(before.plan, options, table, left=_LEFT)
        plan = require_fit(plan, options, table, left=_LEFT).plan
        view.hold(table)
        plan = replace(plan, own_heap=table.own_heap)
        return Begun(options, plan, table, before.watch, before.alone, before.standing, mark, view)

    def _let_go_if_lost(self) -> None:
        """Give up a snapshot that no reader can join any more."""
        if self._view is None:
            return
        try:
            self._view.check()
        except SnapshotGone as gone:
            self._stack.close()
            self._view, self._found = None, {}
            if self._left:
                said = f"{gone.message}. The tables from this one on are compared as of another snapshot"
                self._tell(Note(self._left[0].qualified, said, Level.WARNING))
