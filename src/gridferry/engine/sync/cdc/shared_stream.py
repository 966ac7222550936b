"""The tables of a migration that one slot follows: its lease, what each of them needs, and what became of each.

A table comes in with a load that began under this slot, or with a slot of its own, once it has caught up: see `join`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from gridferry.checkpoint.lease import Lease, held
from gridferry.checkpoint.runs import ALL_LOADS, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import SYNC, Tried
from gridferry.engine.events import Listener, TableFailed, TableSync
from gridferry.engine.ownership.lineage import KnowsOrigin
from gridferry.engine.slots import drop_spare, drop_unused, patience_for, stream_slot_of
from gridferry.engine.sync.cdc.run import CdcRun
from gridferry.engine.sync.cdc.table import FollowedTable
from gridferry.engine.sync.cdc.wishes import Wishes
from gridferry.engine.sync.follower import with_next_step
from gridferry.engine.sync.left_out import LeftOut
from gridferry.engine.sync.settings import SyncSettings
from gridferry.errors import CheckpointError, FerryError, LeaseHeld
from gridferry.model.failed_tables import FailedTable
from gridferry.model.origin import SourceOrigin
from gridferry.model.position import Lsn
from gridferry.model.table import Table
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.session.connection import PostgresAddress, one_session
from gridferry.source.postgres.source import PostgresSource

_FEW = 8  # tables whose loads are read one by one


class Member(Protocol):
    """A table that can be followed with others."""

    @property
    def table(self) -> str:
        """`schema.table`."""

    @property
    def is_member(self) -> bool:
        """Whether the slot of all tables follows this one."""

    def run(self, *, follow: bool = False) -> TableSync:
        """Follow the table alone."""

    def begun(self) -> None:
        """Report that a run begins."""

    def failed(self, error: BaseException) -> None:
        """Report, and keep, that the run has failed."""

    def cut_short(self) -> None:
        """Report that the run was ended because another table cannot go on."""

    @property
    def name(self) -> str:
        """The table as the config has it."""

    def member(self, lease: Lease, described: Table | None, source: KnowsOrigin) -> FollowedTable:
        """The table, to be followed with others; `source` says which it is. Raises: FerryError where it cannot be."""

    def finished(self, table: FollowedTable, done: TableSync, *, follow: bool, held: int) -> TableSync:
        """Keep, and report, that its part has come to its end; `held` of its rows are in the quarantine."""


@dataclass(frozen=True)
class _KnownOrigins:
    """A source whose tables' origins are known already: `KnowsOrigin`."""

    source: PostgresSource
    origins: Mapping[tuple[str, str], SourceOrigin]

    @property
    def address(self) -> PostgresAddress:
        return self.source.address

    def fetch_table_origin(self, schema: str, table: str) -> SourceOrigin:
        found = self.origins.get((schema, table))
        return self.source.fetch_table_origin(schema, table) if found is None else found

    def fetch_table_name(self, oid: int) -> str:
        return self.source.fetch_table_name(oid)


class SharedStream:
    """The stream of the slot that follows a migration's tables."""

    def __init__(
        self,
        state: TargetState,
        source: PostgresSource,
        *,
        settings: SyncSettings,
        listener: Listener,
    ) -> None:
        self._state = state
        self._source = source
        self._feed = ChangeFeed(source.address)
        self._settings = settings
        self._tell = listener
        self._left_out = settings.left_out or LeftOut(state, listener)
        self.slot = stream_slot_of(self._feed, state)

    def run(
        self,
        members: Sequence[Member],
        *,
        follow: bool = False,
        until: Callable[[], bool] = lambda: False,
        left: Callable[[str, FerryError | None], None] = lambda table, error: None,
    ) -> Tried[TableSync]:
        """Store what was committed before now in these tables; with `follow` go on until asked to stop, or `until`.

        The slot keeps the log of its other tables. Of several tables one that fails does not stop the others, unless
        the settings say so;
        `left` is called at once for one that the others go on without: with its error, None where somebody wished it.
        Raises: LeaseHeld where another run follows the slot; of one table any FerryError, of several what concerns all
            of them or may pass.
        """
        settings = replace(self._settings, stop=lambda: self._settings.stop() or until())
        for each in members:
            each.begun()
        failed: dict[str, FerryError] = {}
        done: dict[str, TableSync] = {}
        tables: dict[str, FollowedTable] = {}
        try:
            with with_next_step(), self._state.slot_lease(self.slot, wait_s=settings.wait_s) as lease:
                with one_session(), self._state.documents.read_ahead():
                    tables = self._take_up(members, lease, failed, left)
                if tables and not (failed and settings.stops):
                    wishes = Wishes(
                        self._state,
                        self._feed,
                        left_out=self._left_out,
                        left=left,
                        shared=self.slot,
                        kept=self.kept_without(tables),
                    )
                    run = CdcRun(
                        self._state,
                        lease,
                        self._source,
                        slot=self.slot,
                        tables=list(tables.values()),
                        settings=settings,
                        tell=self._tell,
                        apart=len(members) > 1 and not settings.stops,
                        wishes=wishes,
                    )
                    ended = {each.table: each for each in run.run(follow=follow)}
                    held = self._state.quarantine.totals(list(ended))
                    with self._ahead(list(ended)):
                        for each in members:
                            if each.table in ended:
                                done[each.table] = each.finished(
                                    tables[each.table], ended[each.table], follow=follow, held=held[each.table]
                                )
                    self._drop_if_unused(tables.values())
        except BaseException as error:
            told = {*failed, *done, *(name for name, table in tables.items() if table.error is not None)}
            if len(members) == 1 or not any(table.error is error for table in tables.values()):
                for each in members:
                    if each.table not in told:
                        each.failed(error)
                raise
        failed.update({name: table.error for name, table in tables.items() if table.error is not None})
        left_over = [each for each in members if each.table not in (*done, *failed)]
        for each in left_over:
            each.cut_short()
        return Tried(
            done=tuple(done[m.table] for m in members if m.table in done),
            finished=tuple(m.table for m in members if m.table in done),
            failures=tuple(FailedTable(m.table, failed[m.table]) for m in members if m.table in failed),
            not_tried=tuple(each.table for each in left_over),
        )

    @contextmanager
    def _ahead(self, names: Sequence[str]) -> Iterator[None]:
        """Read what is written at the end of the tables' runs for all of them at once, and write it together."""
        documents = self._state.documents
        keys = [store.key(name) for name in names for store in (self._state.history, self._state.failures)]
        with documents.read_ahead(*([ALL_LOADS] if len(names) > _FEW else []), keys=keys), documents.together():
            yield

    def _take_up(
        self,
        members: Sequence[Member],
        lease: Lease,
        failed: dict[str, FerryError],
        left: Callable[[str, FerryError | None], None],
    ) -> dict[str, FollowedTable]:
        """The tables to follow, by name; why others cannot be goes into `failed`. Raises: what concerns all."""
        tables: dict[str, FollowedTable] = {}
        # Both write down their own lease before they look for the other's, so at least one of them sees the other.
        busy = held(self._state.documents)
        described = self._described(members)
        source = self._known_origins(list(described.values()))
        for each in members:
            try:
                if each.table in busy:
                    Lease(self._state.documents, each.table, wait_s=self._settings.wait_s).require_free()
                table = each.member(lease, described.get(each.name), source)
                if table.run.slot != self.slot:
                    raise LeaseHeld(
                        f"{each.table} has just got a slot of its own",
                        state="nothing was changed",
                        next_step="run `gridferry sync` again",
                    )
                tables[each.table] = table
            except FerryError as error:
                if len(members) == 1 or error.concerns_all:
                    raise
                failed[each.table] = error
                each.failed(error)
                self._tell(TableFailed(each.table, SYNC.verb, error, others=len(members) - 1))
                left(each.table, error)
        return tables

    def _described(self, members: Sequence[Member]) -> dict[str, Table]:
        """The tables as the catalog has them, by their names in the config; nothing where one of them is gone."""
        names = [each.name for each in members]
        try:
            return dict(zip(names, self._source.fetch_tables(names), strict=True))
        except FerryError as error:
            if error.concerns_all:
                raise
            return {}

    def _known_origins(self, tables: Sequence[Table]) -> KnowsOrigin:
        """The source, with the origins of these tables asked for at once."""
        if len(tables) < 2:
            return self._source
        places = [(table.schema, table.name) for table in tables]
        return _KnownOrigins(self._source, dict(zip(places, self._source.fetch_table_origins(places), strict=True)))

    def _drop_if_unused(self, tables: Iterable[FollowedTable]) -> None:
        """Drop the slot once all of its tables have given up their places while it was followed."""
        given_up = next((each.run for each in tables if not each.run.slot), None)
        if given_up is not None:
            drop_unused(self._feed, self._state, replace(given_up, slot=self.slot))

    def kept_without(self, names: Collection[str]) -> dict[str, Lsn]:
        """From where on the slot keeps its log for tables that are not among these, by table.

        That of a load that is not finished begins where its slot did. A table that has lost its place already needs
        nothing.
        """
        facts = self._feed.facts(self.slot)
        confirmed = None if facts is None else facts.confirmed
        positions = {}
        for table, run in self._state.runs.each():
            if table in names or isinstance(run, CheckpointError) or run.slot != self.slot:
                continue
            if run.state is RunState.REPLACING:
                continue
            position = Lsn.parse(run.start)
            if run.state is RunState.LOADED and (record := self._state.positions.readable(table)) is not None:
                position = record.position
            if confirmed is None or position >= confirmed:
                positions[table] = position
        return positions

    def join(self, each: Member, *, schema: str, name: str) -> TableSync:
        """Let this slot follow a table that has one of its own: it catches up by that, and gives it up.

        Nobody may follow this slot meanwhile. Returns: what the table's catching up has done.
        Raises: LeaseHeld where somebody does; as `Member.run`; SourceError.
        """
        run = self._state.runs.get(each.table)
        if run is None or run.state is not RunState.LOADED or run.slot in ("", self.slot):
            return each.run()
        with self._state.slot_lease(self.slot, wait_s=self._settings.wait_s):
            facts = self._feed.facts(self.slot)
            if facts is None or facts.lost:
                self._make(each.table, schema, name)
            else:
                self._feed.publish(self.slot, add=[(schema, name)])
            # Up to now at least: from there on this slot has its changes.
            done = each.run()
            with self._state.lease(each.table, wait_s=self._settings.wait_s):
                run = self._state.runs.get(each.table)
                if run is not None and run.state is RunState.LOADED and run.slot not in ("", self.slot):
                    run = self._state.runs.joined(run, self.slot)
                    drop_spare(self._feed, self._state, run)
        return done

    def _make(self, table: str, schema: str, name: str) -> None:
        patience = patience_for(self._source, table, self._tell)
        with self._feed.new_slot(self.slot, tables=[(schema, name)], patience=patience):
            pass
