"""A run of mode watermark over many tables at once: those of which nothing is new need no session of their own.

One session and one snapshot serve all tables, and what is asked of each is asked for a hundred of them by one
statement. The leases come before the snapshot, as in a run of one table, and the same checks are made. A table of which
anything is new, changed or in doubt is left to a run of its own, which does or says what there is to do or say.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from gridferry.checkpoint.lease_group import LeaseGroup
from gridferry.checkpoint.runs import ALL_LOADS
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note, TableSync
from gridferry.engine.retry import with_patience
from gridferry.engine.sync.follower import Follower, with_next_step
from gridferry.engine.sync.watermark.mode import StillBasis, WatermarkSync
from gridferry.engine.sync.watermark.run import ended_with
from gridferry.errors import FerryError, LeaseHeld, SourceError
from gridferry.model.chunk import Snapshot
from gridferry.model.origin import SourceOrigin
from gridferry.model.parts import Part
from gridferry.model.table import Table
from gridferry.plan.plan import TablePlan
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.rows.new_rows_each import Sought
from gridferry.source.postgres.session.connection import PostgresAddress, one_session
from gridferry.source.postgres.source import PostgresSource
from gridferry.source.selection import Window

G = TypeVar("G")
AT_ONCE = 100
_FEW = 8  # tables whose loads are read one by one


@dataclass
class Passed:
    """What a pass has found: the tables of which nothing is new, and what ended it, where that concerns all tables."""

    done: dict[str, TableSync] = field(default_factory=dict)
    error: FerryError | None = None


@dataclass(frozen=True)
class _Still:
    """A table of which nothing is new, and its source as it is now."""

    basis: StillBasis
    window: Window
    now: SourceOrigin

    @property
    def table(self) -> str:
        return self.basis.follower.table


class WatermarkPass:
    """One pass over tables in mode watermark; those of other modes are left out."""

    def __init__(self, state: TargetState, source: PostgresSource, tell: Listener) -> None:
        self._state = state
        self._source = source
        self._tell = tell

    def run(self, followers: Sequence[Follower], *, follow: bool = False) -> Passed:
        """End the run of each table of which nothing is new; the others are to be run one by one.

        Args: follow: whether another run comes after this one. Never raises a FerryError.
        """
        passed = Passed()
        able = [each for each in followers if isinstance(each, WatermarkSync) and each.may_pass]
        if len(able) < 2:
            return passed
        try:
            with with_next_step(), one_session():
                busy = self._pass(able, passed.done, patient=False, follow=follow)
                if len(busy) > 1:
                    # Who holds them may be dead: that is found out for all of them at the same time.
                    self._pass(busy, passed.done, patient=True, follow=follow)
        except FerryError as error:
            passed.error = error if error.concerns_all else None
        return passed

    def _pass(
        self, followers: Sequence[WatermarkSync], done: dict[str, TableSync], *, patient: bool, follow: bool
    ) -> list[WatermarkSync]:
        """Returns: those whose leases were not got."""
        started = time.monotonic()
        ready = self._of_this_source(followers)
        if not ready:
            return []
        with self._state.lease_group([each.table for each in ready], patient=patient) as leases:
            for each in ready if patient else ():
                if (error := leases.refused.get(each.table)) is not None:
                    each.turn_away(error)
            held = [each for each in ready if each.table in leases.held]
            if held:
                # After the leases: what another run read meanwhile is older than this snapshot.
                with self._source.open_snapshot() as view:
                    still = self._still(view, held, leases)
                    for group in _groups(still):
                        self._end(group, view.snapshot, leases, done, started=started, follow=follow)
            return [each for each in ready if each.table in leases.refused]

    def _of_this_source(self, followers: Sequence[WatermarkSync]) -> list[WatermarkSync]:
        """Those that are loaded from this very source: another is refused before anything is written, a lease too."""
        tables = [each.table for each in followers]
        found = self._state.runs.finished(tables)
        places = [(each.options.schema_name, each.options.table_name) for each in followers]
        origins = self._source.fetch_table_origins(places)
        with self._state.documents.read_ahead(keys=[self._state.origins.key(table) for table in tables]):
            pairs = zip(followers, origins, strict=True)
            return [each for each, now in pairs if each.table in found and each.is_from(now)]

    def _still(self, view: PostgresSnapshot, followers: Sequence[WatermarkSync], leases: LeaseGroup) -> list[_Still]:
        """Those of which nothing is new. The leases of the others are given back."""
        stores = (self._state.origins, self._state.parts, self._state.cursors)
        keys = [store.key(each.table) for each in followers for store in stores]
        loads = [ALL_LOADS] if len(followers) > _FEW else []
        still: list[_Still] = []
        with self._state.documents.read_ahead(*loads, keys=keys):
            for group in _groups(followers):
                try:
                    with view.passing():
                        found = self._look(view, group)
                except SourceError as error:
                    if error.concerns_all:
                        raise
                    found = []  # it is not known which table it is of: the run of that one says it
                still += found
                quiet = {each.table for each in found}
                leases.give_back([each.table for each in group if each.table not in quiet])
        return still

    def _look(self, view: PostgresSnapshot, group: Sequence[WatermarkSync]) -> list[_Still]:
        shown = _shown(self._source.address, view, group)
        bases: list[StillBasis] = []
        for each in group:
            try:
                basis = each.still_basis(shown)
            except FerryError as error:
                if error.concerns_all:
                    raise
                continue
            if basis is not None:
                bases.append(basis)
        if not bases:
            return []
        sought = [Sought(b.by.table, b.by.plan, b.by.column, b.by.record.cursor) for b in bases]
        windows = zip(bases, view.find_new_each(sought), strict=True)
        return [
            _Still(basis, window, shown.origins[basis.by.plan.schema, basis.by.plan.table])
            for basis, window in windows
            if isinstance(window, Window) and not window.rows
        ]

    def _end(
        self,
        group: Sequence[_Still],
        snapshot: Snapshot,
        leases: LeaseGroup,
        done: dict[str, TableSync],
        *,
        started: float,
        follow: bool,
    ) -> None:
        """Write that the runs of these tables have come to their end, and give their leases back."""
        with _given_back(leases, [each.table for each in group]):
            state = self._state
            group = [each for each in group if _still_held(leases, each.table)]
            tables = [each.table for each in group]
            if not group:
                return

            def again(error: FerryError) -> None:
                self._tell(Note(tables[0], f"checkpoints are written again: {error}", Level.WARNING))

            records = [ended_with(each.basis.by.record.begun(), snapshot, each.window) for each in group]
            saved = with_patience(lambda: state.cursors.save_all(records), on_retry=again)
            quarantined = state.quarantine.totals(tables)
            keys = [store.key(table) for table in tables for store in (state.history, state.failures)]
            with state.documents.read_ahead(keys=keys), state.documents.together():
                for each, record in zip(group, saved, strict=True):
                    basis = each.basis
                    if each.now != basis.loaded.source.record.origin:
                        leases.held[each.table].check()
                        state.origins.save(replace(basis.loaded.source.record, origin=each.now))
                    done[each.table] = basis.follower.unchanged(
                        basis,
                        record,
                        each.window,
                        follow=follow,
                        started=started,
                        quarantined=quarantined[each.table],
                    )


@dataclass(frozen=True)
class _Shown:
    """What a source says of some tables, asked for at once: `ShownTables`."""

    address: PostgresAddress
    view: PostgresSnapshot
    tables: Mapping[str, Table | FerryError]
    origins: Mapping[tuple[str, str], SourceOrigin]
    parts: Mapping[tuple[str, str], tuple[Part, ...]]

    @property
    def snapshot(self) -> Snapshot:
        return self.view.snapshot

    def fetch_tables(self, names: Sequence[str] | None = None) -> list[Table]:
        found = []
        for name in names or ():
            table = self.tables[name]
            if isinstance(table, FerryError):
                raise table
            found.append(table)
        return found

    def fetch_table_origin(self, schema: str, table: str) -> SourceOrigin:
        return self.origins[schema, table]

    def fetch_table_name(self, oid: int) -> str:
        return self.view.fetch_table_name(oid)

    def fetch_parts(self, schema: str, table: str) -> tuple[Part, ...]:
        return self.parts[schema, table]

    def has_older(self, plan: TablePlan, part: Part, *, horizon: int) -> bool:
        return self.view.has_older(plan, part, horizon=horizon)


def _shown(address: PostgresAddress, view: PostgresSnapshot, group: Sequence[WatermarkSync]) -> _Shown:
    names = [each.options.table for each in group]
    places = [(each.options.schema_name, each.options.table_name) for each in group]
    return _Shown(
        address,
        view,
        dict(zip(names, view.fetch_each(names), strict=True)),
        dict(zip(places, view.fetch_table_origins(places), strict=True)),
        dict(zip(places, view.fetch_parts_each(places), strict=True)),
    )


@contextmanager
def _given_back(leases: LeaseGroup, tables: Sequence[str]) -> Iterator[None]:
    """Give leases back in the end. What concerns only their tables is told by the runs of these, one by one."""
    try:
        yield
    except FerryError as error:
        if error.concerns_all:
            raise
    finally:
        leases.give_back(tables)


def _still_held(leases: LeaseGroup, table: str) -> bool:
    """Whether nobody has taken the lease over. Raises: GridDBError where it cannot be renewed."""
    try:
        leases.held[table].check()
    except LeaseHeld:
        return False
    return True


def _groups(each: Sequence[G]) -> Iterator[Sequence[G]]:
    for start in range(0, len(each), AT_ONCE):
        yield each[start : start + AT_ONCE]
