"""The state of each table: its load, its sync, its containers, its quarantined rows. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.standings import Standing, StandingKind
from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import SHOW, try_each
from gridferry.engine.events import Listener
from gridferry.engine.ownership.held_tables import elsewhere, told
from gridferry.engine.ownership.lineage import check_origin, command_of
from gridferry.engine.ownership.origin_check import changed_options
from gridferry.engine.ownership.replace_advice import completed_or_not
from gridferry.engine.standing import ContainerState, ContainerStatus, QuarantinedRow, TableStatus
from gridferry.engine.status.containers import container_states
from gridferry.engine.status.life import life_of
from gridferry.engine.sync.follower import Follower
from gridferry.engine.sync.modes import follower
from gridferry.engine.sync.settings import SyncSettings
from gridferry.errors import CheckpointError, OtherTable, SourceError
from gridferry.model.coverage import NO_COVERAGE
from gridferry.model.outcomes import LoadState, SyncState
from gridferry.model.table import Table
from gridferry.plan.coverage import coverage_of
from gridferry.plan.stored import plan_of_today
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.source import PostgresSource

R = TypeVar("R")


class TableStates:
    """The state of tables that are named by their options."""

    def __init__(
        self,
        source: PostgresSource,
        state: TargetState,
        tell: Listener,
        *,
        notes: Callable[[], Sequence[str]] = tuple,
        stream: Callable[[], str] = str,
    ) -> None:
        """Args: notes: what is to be reported of every table, once the state was asked; stream: the slot that is to
        follow all tables in mode cdc, "" where each has its own.
        """
        self._source = source
        self._state = state
        self._tell = tell
        self._notes = notes
        self._stream = stream

    def tables(
        self, chosen: Sequence[TableOptions], *, ask_source: bool = True, known: Sequence[LoadRun] | None = None
    ) -> list[TableStatus]:
        """What the target's state says of each table, and what waits in the source to be synced.

        Args: known: the tables' loads, where they were read just now: not to be read again.
        Raises: the error of the only table; SomeTablesFailed after all others, its `done` a list of TableStatus.
        """
        runs = dict(self._state.runs.each()) if known is None else {run.table: run for run in known}
        now = self._described(chosen) if ask_source else {}
        standings = self._state.standings.all()
        stream = self._stream()

        def status(options: TableOptions) -> TableStatus:
            run = runs.get(options.qualified)
            if isinstance(run, CheckpointError):
                raise run
            found = self._loaded(options, run, now.get(options.qualified))
            # The page of another program gives loads, and has no config to compare.
            notes = (*self._notes(), *(self._about(run, options) if known is None else ()))
            found = replace(found, notes=(*found.notes, *notes))
            standing = standings.get(options.qualified)
            if standing is None:
                found = self._with_source(found, options, ask_source=ask_source)
            if standing is None or standing.kind is not StandingKind.REMOVED:
                found = self._with_sync(found, options, standing, ask_source=ask_source)
            gone = self._gone(options, run) if ask_source and run is not None and found.table not in now else ""
            life = life_of(found, standing=standing, gone=gone, stream=stream)
            return self._with_advice(replace(found, life=life))

        return self._each(chosen, status)

    def _with_advice(self, found: TableStatus) -> TableStatus:
        """The same, whose notes say what --replace would drop where they advise it."""

        def complete(notes: Sequence[str]) -> tuple[str, ...]:
            return tuple(completed_or_not(note, self._state, found.table) for note in notes)

        sync = None if found.sync is None else replace(found.sync, notes=complete(found.sync.notes))
        return replace(found, notes=complete(found.notes), sync=sync)

    def _about(self, run: LoadRun | None, options: TableOptions) -> Iterator[str]:
        """What a command that goes by the load would refuse."""
        if run is None:
            others = elsewhere(self._state)
            if others:
                yield f"this target holds {told(others)}"
            if any(options.qualified in other.tables for other in others):
                yield f"if this source took the other's place: `{command_of(options)}`"
        elif run.plan is not None and (changed := changed_options(run, options)):
            yield changed

    def _described(self, chosen: Sequence[TableOptions]) -> dict[str, Table]:
        """The tables as the source has them now; none of them where it cannot say: the status of a sync says why."""
        with suppress(SourceError):
            return {table.qualified: table for table in self._source.fetch_tables([o.table for o in chosen])}
        return {}

    def container_states(
        self, chosen: Sequence[TableOptions], *, match: str = "", known: Sequence[TableStatus] = ()
    ) -> list[ContainerState]:
        """The state of each container of loaded tables.

        Args: match: a pattern for names or split values; known: what `tables` has just said, not to be asked again.
        Raises: as `tables`; its `done` is a list of lists.
        """
        told = {status.table: status.sync for status in known}

        def states(options: TableOptions) -> list[ContainerState]:
            run = self._state.runs.get(options.qualified)
            if run is None or run.plan is None:
                return []
            waiting, column = None, run.plan.key[0]
            if options.sync is not None and run.state is RunState.LOADED:
                each = self._follower(options)
                column = (told.get(run.table) or each.status()).column or column
                with suppress(SourceError, CheckpointError):  # the status of the table says so
                    waiting = each.waiting()
            plan = plan_of_today(run.plan, options)
            return container_states(self._state, plan, column=column, waiting=waiting, match=match)

        return [state for found in self._each(chosen, states) for state in found]

    def _each(self, chosen: Sequence[TableOptions], look: Callable[[TableOptions], R]) -> list[R]:
        tried = try_each(chosen, look, name=lambda o: o.qualified, doing=SHOW, tell=self._tell)
        tried.require(SHOW)
        return list(tried.done)

    def containers(self, chosen: Sequence[TableOptions]) -> list[ContainerStatus]:
        """The containers of the tables, and the rows each holds now."""
        wanted = {options.qualified for options in chosen}
        store = self._state.store
        entries = [e for e in self._state.catalog.entries() if e.table in wanted]
        opened = store.open_containers([e.container for e in entries])
        standing = [c for c in opened.values() if c is not None]
        counts = {c.name.lower(): n for c, n in zip(standing, store.counts(standing), strict=True)}
        return [
            ContainerStatus(
                table=e.table,
                name=e.container,
                value=e.value,
                rows=counts.get(e.container.lower()),
                partition=store.cluster.partition(e.container),
            )
            for e in entries
        ]

    def quarantined(self, chosen: Sequence[TableOptions]) -> Iterator[QuarantinedRow]:
        """The quarantined rows."""
        wanted = {options.qualified for options in chosen}
        for row in self._state.quarantine.rows():
            if row.table in wanted:
                yield QuarantinedRow(
                    id=row.id,
                    table=row.table,
                    container=row.container,
                    column=row.column,
                    reason=row.reason,
                    sentence=row.sentence,
                    key=row.key,
                    status="held",
                    created_at=row.created_at,
                )

    def _follower(self, options: TableOptions) -> Follower:
        return follower(self._source, self._state, options, settings=SyncSettings(), listener=self._tell)

    def _with_source(self, status: TableStatus, options: TableOptions, *, ask_source: bool) -> TableStatus:
        """With a note where the source is not the one that the table is from."""
        run = self._state.runs.get(status.table) if ask_source and status.state is not LoadState.PLANNED else None
        # Of a followed table its sync says so, see `Follower.status`.
        if run is None or run.plan is None or (options.sync is not None and run.state is RunState.LOADED):
            return status
        try:
            check_origin(self._state, self._source, options, run, left="nothing was changed")
        except (CheckpointError, SourceError) as error:
            return replace(status, notes=(*status.notes, f"{error.message}. Next: {error.next_step}"))
        return status

    def _gone(self, options: TableOptions, run: LoadRun) -> str:
        """Why the source does not have a loaded table any more; "" where it does, or cannot be asked."""
        try:
            check_origin(self._state, self._source, options, run, left="")
        except OtherTable as error:
            return error.message
        except (CheckpointError, SourceError):
            return ""
        return ""

    def _with_sync(
        self, status: TableStatus, options: TableOptions, standing: Standing | None, *, ask_source: bool
    ) -> TableStatus:
        if options.sync is None:
            return status
        sync = self._follower(options).status(ask_source=ask_source)
        if standing is not None:  # what a sync would advise, the next command would refuse
            sync = replace(sync, notes=())
        if status.held_by and sync.state in (SyncState.INTERRUPTED, SyncState.FAILED):
            sync = replace(sync, state=SyncState.RUNNING)
        return replace(status, sync=sync)

    def _loaded(self, options: TableOptions, run: LoadRun | None, now: Table | None) -> TableStatus:
        table = options.qualified
        if run is None:
            return TableStatus(table, LoadState.PLANNED)
        holder = self._state.holder_of(table)
        held_by = "" if holder is None else str(holder)
        state = LoadState(run.state.value)
        if run.state is RunState.LOADING and not held_by:
            state = LoadState.INTERRUPTED
        held = self._state.quarantine.total(table)
        columns = NO_COVERAGE if run.plan is None else coverage_of(run.plan, table=now, options=options)
        verified, notes = None, run.notes
        try:
            verified = self._state.verifications.last(table)
        except CheckpointError as error:
            notes = (*notes, f"{error.message}: {error.next_step}")
        return TableStatus(
            table=table,
            state=state,
            started_at=run.started_at,
            finished_at=run.finished_at,
            chunks=len(run.chunks),
            chunks_done=len(run.finished),
            rows=run.rows or sum(r.rows for r in run.finished.values()),
            quarantined=held,
            containers=len(self._state.catalog.entries(table)),
            held_by=held_by,
            snapshot_lsn=run.snapshot.lsn if run.snapshot is not None else "",
            notes=notes,
            verified=verified,
            coverage=replace(columns, quarantined=held),
        )
