"""The beginning of many tables' loads under one snapshot: looked at together, and written down together.

Where the target has nothing of a table and nothing in its way, which is what a first load finds, one question is asked
for all of them and one answer is written. Any other table is taken up by itself, with all guards that it needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

from gridferry.checkpoint.catalog import CatalogEntry
from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import TableLoad
from gridferry.engine.load.copying import TableCopy
from gridferry.engine.load.table_load import Begun, Fresh, TableLoader
from gridferry.engine.ownership.container_claims import table_target
from gridferry.errors import FerryError, SourceRefused
from gridferry.model.table import Table
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.one_snapshot import PostgresSnapshot

Failed = Callable[[TableOptions, FerryError], None]


@dataclass(frozen=True)
class _Asked:
    """A table that is to be loaded: its lease, and what begins its load."""

    options: TableOptions
    lease: Lease
    loader: TableLoader


def described(
    view: PostgresSnapshot, chosen: Sequence[TableOptions], *, failed: Failed
) -> dict[str, tuple[TableOptions, Table]]:
    """The tables as the catalog has them, by `schema.table`: by one question, or by one each where that fails."""
    found: dict[str, tuple[TableOptions, Table]] = {}
    each: Sequence[Table | SourceRefused] = ()
    try:
        with view.apart():
            each = view.fetch_each([options.table for options in chosen])
    except FerryError as error:
        if error.concerns_all:
            raise
    for options, table in zip(chosen, each, strict=False):
        if isinstance(table, SourceRefused):
            failed(options, table)
        else:
            found[options.qualified] = options, table
    for options in chosen if not each else ():
        with of_table(options, failed), view.apart():
            (table,) = view.fetch_tables([options.table])
            found[options.qualified] = options, table
    return found


@contextmanager
def of_table(options: TableOptions, failed: Failed) -> Iterator[None]:
    """What fails inside is this table's. Raises: what concerns all tables."""
    try:
        yield
    except FerryError as error:
        if error.concerns_all:
            raise
        failed(options, error)


class Beginning:
    """Begins, or takes up, the loads of tables whose leases are held, under a snapshot that was taken after that.

    A table that cannot begin goes to `failed`, one that is loaded already to `loaded`, and one that turns out to need a
    slot of its own, and so another snapshot, to `apart`.
    """

    def __init__(
        self,
        state: TargetState,
        view: PostgresSnapshot,
        *,
        loader: Callable[[TableOptions], TableLoader],
        failed: Failed,
        loaded: Callable[[TableLoad], None],
        apart: Callable[[TableOptions], None],
    ) -> None:
        self._state = state
        self._view = view
        self._loader = loader
        self._failed = failed
        self._loaded = loaded
        self._apart = apart

    def begin(self, chosen: Sequence[TableOptions], leases: Mapping[str, Lease]) -> list[TableCopy]:
        """The tables that are to be copied now: what is planned of them is on disk, and their containers are made.

        Raises: what concerns all tables alike.
        """
        found = described(self._view, chosen, failed=self._failed)
        fresh: list[tuple[_Asked, Fresh]] = []
        copies: list[TableCopy] = []
        with self._state.documents.read_ahead() if len(chosen) > 1 else nullcontext():
            for options, table in found.values():
                with of_table(options, self._failed):
                    asked = _Asked(options, leases[options.qualified], self._loader(options))
                    if asked.loader.makes_slot(table):
                        self._apart(options)
                        continue
                    with self._view.apart():
                        new = asked.loader.fresh(self._view, table)
                    if new is not None:
                        fresh.append((asked, new))
                    else:
                        copies += self._taken_up(asked, table)
            clean = self._nothing_there(fresh)
            for asked, _ in fresh:
                if asked.options.qualified not in clean:
                    with of_table(asked.options, self._failed):
                        copies += self._taken_up(asked, found[asked.options.qualified][1])
            copies += self._begun([pair for pair in fresh if pair[0].options.qualified in clean])
        return copies

    def _taken_up(self, asked: _Asked, table: Table) -> list[TableCopy]:
        """A table by itself; none where it is loaded already."""
        with self._view.apart(), ExitStack() as held:
            begun = asked.loader.take_up(held, self._view, table, asked.lease)
            if begun.run.state is RunState.LOADED:
                self._loaded(asked.loader.already_loaded(begun.run))
                return []
        copy = copy_of(self._state, begun)
        copy.make_containers()
        return [copy]

    def _nothing_there(self, fresh: Sequence[tuple[_Asked, Fresh]]) -> set[str]:
        """Those of the tables that the target has nothing of: no entry of theirs, and nothing by their names."""
        plans = {asked.options.qualified: new.plan for asked, new in fresh}
        names = [container.name for plan in plans.values() for container in plan.containers]
        if not plans:
            return set()
        listed = self._state.catalog.with_entries(list(plans))
        taken = {entry.container.lower() for entry in self._state.catalog.owners(names)}
        taken |= {name.lower() for name, there in self._state.store.open_containers(names).items() if there is not None}
        taken |= {name for name, count in Counter(name.lower() for name in names).items() if count > 1}
        return {
            table
            for table, plan in plans.items()
            if table not in listed and not any(c.name.lower() in taken for c in plan.containers)
        }

    def _begun(self, fresh: Sequence[tuple[_Asked, Fresh]]) -> list[TableCopy]:
        """Claim the containers of all, write their loads down, make the containers."""
        if not fresh:
            return []
        self._state.begin()
        entries = [
            CatalogEntry(plan.qualified, container.name, container.value, plan.split_by)
            for plan in (new.plan for _, new in fresh)
            for container in plan.containers
        ]
        if self._state.catalog.claim(entries):  # somebody was faster with one of them: it is found out which
            return self._one_by_one(fresh)
        with self._state.documents.together():
            begun = [(asked, asked.loader.begun(new, asked.lease, self._view)) for asked, new in fresh]
        for asked, _ in fresh:
            asked.loader.drop_others()
        copies = [(asked, copy_of(self._state, each, claimed=True)) for asked, each in begun]
        self._make_containers(copies)
        return [copy for _, copy in copies if copy.error is None]

    def _one_by_one(self, fresh: Sequence[tuple[_Asked, Fresh]]) -> list[TableCopy]:
        copies: list[TableCopy] = []
        for asked, _ in fresh:
            with of_table(asked.options, self._failed):
                (table,) = self._view.fetch_tables([asked.options.table])
                copies += self._taken_up(asked, table)
        return copies

    def _make_containers(self, copies: Sequence[tuple[_Asked, TableCopy]]) -> None:
        wanted = [(c.name, copy.plan.container_schema) for _, copy in copies for c in copy.plan.containers]
        try:
            made = self._state.store.create_each(wanted)
        except FerryError as error:
            if error.concerns_all:
                raise
            for asked, copy in copies:
                with of_table(asked.options, self._note(copy)):
                    copy.make_containers()
            return
        for _, copy in copies:
            copy.target.adopt([(made[c.name], c.value) for c in copy.plan.containers])

    def _note(self, copy: TableCopy) -> Failed:
        def failed(options: TableOptions, error: FerryError) -> None:
            copy.fail(error)
            self._failed(options, error)

        return failed


def copy_of(state: TargetState, begun: Begun, *, claimed: bool = False) -> TableCopy:
    """The copying of a table whose load has begun. Args: claimed: its containers are claimed, and these are all."""
    plan = begun.run.plan
    target = None
    if claimed and plan is not None:
        target = table_target(state, plan, known=[(c.name, c.value) for c in plan.containers])
    return TableCopy(state, begun.run, begun.lease, outcome=begun.outcome, expected=begun.expected, target=target)
