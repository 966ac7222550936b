"""One load of many tables: one snapshot, their leases together, and one crew of workers over all of them.

A table that fails, at whatever step, is reported and left as it is; the others go on. Tables that another run works on
are loaded after the others, if they are to be waited for; and those that need a slot of their own, and so a snapshot of
their own, each by itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Generic, TypeVar

from gridferry.checkpoint.lease_group import LeaseGroup
from gridferry.checkpoint.runs import RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import LOAD, Tried
from gridferry.engine.events import Level, LoadsStarted, Note, PreparedLoad, TableFailed, TableLoad, TablesLeft
from gridferry.engine.load.beginning import Beginning, copy_of, described, of_table
from gridferry.engine.load.copying import LoadOptions, SnapshotView, TableCopy
from gridferry.engine.load.finishing import Finishing
from gridferry.engine.load.one_snapshot import ALONE, OneSnapshot, SlotOfMany
from gridferry.engine.load.table_load import TableLoader
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.errors import FerryError, LeaseHeld
from gridferry.model.chunk import ChunkKind
from gridferry.model.failed_tables import FailedTable
from gridferry.model.outcomes import LoadOutcome
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.session.connection import one_session

MakesLoader = Callable[[TargetState, TableOptions, LoadOptions, OneSnapshot], TableLoader]
R = TypeVar("R")


class WorkOnMany(ABC, Generic[R]):
    """Begins the loads of tables, and does with them what a subclass says. Made for one call of `run`."""

    def __init__(self, ends: Endpoints, state: TargetState, load: LoadOptions, loader: MakesLoader) -> None:
        self._ends = ends
        self._state = state
        self._load = load
        self._make_loader = loader
        self._chosen: Sequence[TableOptions] = ()
        self._done: dict[str, R] = {}
        self._failed: dict[str, FerryError] = {}
        self._at = ""

    @abstractmethod
    def _loaded_already(self, load: TableLoad) -> R:
        """What is given for a table that was loaded before."""

    @abstractmethod
    def _work(
        self,
        view: SnapshotView,
        copies: Sequence[TableCopy],
        load: LoadOptions,
        give_back: Callable[[Sequence[str]], None],
    ) -> None:
        """Go on with tables whose loads have begun; `_finished` and `_fail` take what becomes of them.

        Args: give_back: gives back the leases of tables that are done. Raises: what concerns all tables.
        """

    def run(self, chosen: Sequence[TableOptions]) -> Tried[R]:
        """What became of each table. Never raises a FerryError; what concerns every table alike ends the load."""
        self._chosen = chosen
        try:
            with self._ended_by_one():
                self._rounds(chosen)
        except BaseException:  # a signal
            finished, failures, rest = self._came_to()
            at = self._at if self._at in rest else (rest[0] if rest else "")
            left = tuple(name for name in rest if name != at)
            self._ends.tell(TablesLeft(LOAD, finished, failures, at, left))
            raise
        finished, failures, rest = self._came_to()
        return Tried(tuple(self._done[name] for name in finished), finished, failures, rest)

    def _came_to(self) -> tuple[tuple[str, ...], tuple[FailedTable, ...], tuple[str, ...]]:
        """The tables that are done, those that failed, and the others; in the order asked."""
        names = [options.qualified for options in self._chosen]
        return (
            tuple(name for name in names if name in self._done),
            tuple(FailedTable(name, self._failed[name]) for name in names if name in self._failed),
            tuple(name for name in names if name not in self._done and name not in self._failed),
        )

    @contextmanager
    def _ended_by_one(self) -> Iterator[None]:
        """What is raised inside ends the load; it is reported as of the first table that it kept from going on."""
        try:
            yield
        except FerryError as error:
            _, failures, rest = self._came_to()
            error.concerns_all = True  # it did
            if rest and not any(failed.error is error for failed in failures):
                at = self._at if self._at in rest else rest[0]
                self._fail(next(options for options in self._chosen if options.qualified == at), error)
            elif not rest and not failures:  # the tables are done: a lease could not be given back, for example
                self._ends.tell(Note("all tables", error.message, Level.WARNING))

    def _rounds(self, chosen: Sequence[TableOptions]) -> None:
        """The tables that are free first, then those that are to be waited for, then those with slots of their own."""
        found = self._to_do(chosen)
        at_once = replace(self._load, wait_s=0.0) if len(found) > 1 else self._load
        busy, apart = self._together(found, at_once, waiting=self._load.wait_s > 0 and len(found) > 1)
        if busy:
            apart += self._together(busy, self._load, waiting=False)[1]
        for options in apart:
            try:
                self._alone(options)
            except FerryError as error:
                self._fail(options, error)
                if error.concerns_all:
                    return

    def _to_do(self, chosen: Sequence[TableOptions]) -> list[TableOptions]:
        """The tables that are there and not loaded yet. A wrong name or address is told before anything is written."""
        rest = []
        with one_session(), self._ends.source.open_snapshot() as view:
            found = described(view, chosen, failed=self._fail)
            with self._state.documents.read_ahead() if len(chosen) > 1 else nullcontext():
                for options, table in found.values():
                    loader = self._make_loader(self._state, options, self._load, ALONE)
                    with of_table(options, self._fail), view.apart():
                        done = loader.nothing_to_do(view, table)
                        if done is None:
                            rest.append(options)
                        else:
                            self._finished(done.table, self._loaded_already(done))
        return rest

    def _together(
        self, chosen: Sequence[TableOptions], load: LoadOptions, *, waiting: bool
    ) -> tuple[list[TableOptions], list[TableOptions]]:
        """Load tables under one snapshot. Returns: those that others work on, if they are to be waited for; and those
        that need a slot of their own.
        """
        busy: list[TableOptions] = []
        apart: list[TableOptions] = []
        if not chosen:
            return busy, apart
        self._at = chosen[0].qualified
        with ExitStack() as stack:
            with one_session():  # until the workers need sessions
                with self._state.documents.read_ahead() if len(chosen) > 1 else nullcontext():
                    slot = SlotOfMany(self._ends, chosen, self._load, stack)
                own = {options.qualified for options in slot.begins} - slot.tables
                apart += [options for options in chosen if options.qualified in own]
                mine = [options.qualified for options in chosen if options.qualified not in own]
                leases = stack.enter_context(self._state.lease_group(mine, wait_s=load.wait_s, slot_held=slot.held))
                for options in chosen:
                    error = leases.refused.get(options.qualified)
                    if waiting and isinstance(error, LeaseHeld):
                        busy.append(options)
                    elif error is not None:
                        self._fail(options, error)
                held = [options for options in chosen if options.qualified in leases.held]
                view, copies = self._begun(held, load, slot, leases, apart, stack)
            if view is not None and copies:
                self._at = copies[0].name
                try:
                    self._work(view, copies, load, leases.give_back)
                finally:
                    for copy in copies:  # what ended it may have been one's error
                        self._note(copy)
        return busy, apart

    def _begun(
        self,
        held: Sequence[TableOptions],
        load: LoadOptions,
        slot: SlotOfMany,
        leases: LeaseGroup,
        apart: list[TableOptions],
        stack: ExitStack,
    ) -> tuple[SnapshotView | None, list[TableCopy]]:
        """The snapshot of these tables, and those whose loads have begun under it; the leases of others are given back.

        Args: apart: gets those that turn out to need a slot of their own; stack: holds the snapshot.
        """
        if not held:
            return None, []
        # Taken under the leases: an older one would put rows back as they were before another run's.
        shared = slot.open(leases.held)
        view = shared.view or stack.enter_context(self._ends.source.open_snapshot())
        beginning = Beginning(
            self._state,
            view,
            loader=lambda options: self._make_loader(self._state, options, load, shared),
            failed=self._fail,
            loaded=lambda done: self._finished(done.table, self._loaded_already(done)),
            apart=apart.append,
        )
        copies = beginning.begin(held, leases.held)
        going = {copy.name for copy in copies}
        leases.give_back([name for name in leases.held if name not in going])
        return view, copies

    def _alone(self, options: TableOptions) -> None:
        """Load a table under a snapshot of its own. Raises: any FerryError."""
        self._at = options.qualified
        loader = self._make_loader(self._state, options, self._load, ALONE)
        with loader.begin(options.table) as begun:
            if begun.run.state is RunState.LOADED:
                self._finished(options.qualified, self._loaded_already(loader.already_loaded(begun.run)))
                return
            copy = copy_of(self._state, begun)
            copy.make_containers()
            self._work(begun.view, [copy], self._load, lambda tables: None)
            self._note(copy)

    def _finished(self, table: str, done: R) -> None:
        self._done[table] = done

    def _note(self, copy: TableCopy) -> None:
        """Report a table that failed while it was copied."""
        if copy.error is not None and copy.name not in self._failed:
            self._fail(next(each for each in self._chosen if each.qualified == copy.name), copy.error)

    def _fail(self, options: TableOptions, error: FerryError) -> None:
        self._failed[options.qualified] = error
        others = 0 if error.concerns_all else len(self._chosen) - 1  # none goes on where it ends the load
        self._ends.tell(TableFailed(options.qualified, LOAD.verb, error, others=others))


class LoadOfMany(WorkOnMany[TableLoad]):
    """Loads tables."""

    def _loaded_already(self, load: TableLoad) -> TableLoad:
        return load

    def _finished(self, table: str, done: TableLoad) -> None:
        super()._finished(table, done)
        self._ends.tell(done)

    def _work(
        self,
        view: SnapshotView,
        copies: Sequence[TableCopy],
        load: LoadOptions,
        give_back: Callable[[Sequence[str]], None],
    ) -> None:
        if len(copies) > 1:
            self._ends.tell(_started(copies))

        def loaded(pairs: Sequence[tuple[TableCopy, TableLoad]]) -> None:
            give_back([copy.name for copy, _ in pairs])
            for copy, done in pairs:
                self._finished(copy.name, done)

        Finishing(self._state, view, copies, load, self._ends.tell, loaded=loaded, failed=self._note).run()


class PreparationOfMany(WorkOnMany[PreparedLoad]):
    """Prepares loads that several processes share: plans, chunks and containers are there when it ends."""

    def _loaded_already(self, load: TableLoad) -> PreparedLoad:
        listed = len(self._state.catalog.entries(load.table))
        return PreparedLoad(load.table, LoadOutcome.ALREADY_LOADED, chunks=load.chunks, containers=listed)

    def _work(
        self,
        view: SnapshotView,
        copies: Sequence[TableCopy],
        load: LoadOptions,
        give_back: Callable[[Sequence[str]], None],
    ) -> None:
        for copy in copies:
            waiting = [chunk for chunk in copy.chunks if chunk.kind is not ChunkKind.RECENT]
            prepared = PreparedLoad(
                copy.name,
                LoadOutcome.PREPARED if copy.outcome is LoadOutcome.LOADED else copy.outcome,
                chunks=len(copy.run.chunks),
                waiting=len(waiting),
                waiting_rows=sum(chunk.rows for chunk in waiting),
                containers=max(len(copy.target.names), len(copy.plan.containers)),
            )
            self._finished(copy.name, prepared)


def _started(copies: Sequence[TableCopy]) -> LoadsStarted:
    done = {copy.name: sum(record.rows for record in copy.run.finished.values()) for copy in copies}
    return LoadsStarted(
        tables=len(copies),
        rows=sum(copy.plan.rows for copy in copies),
        octets=sum(copy.plan.size_bytes for copy in copies),
        done_rows=sum(done.values()),
        done_octets=sum(
            copy.plan.size_bytes * min(done[copy.name], copy.plan.rows) // max(1, copy.plan.rows) for copy in copies
        ),
    )
