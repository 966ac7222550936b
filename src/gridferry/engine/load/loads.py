"""The loads of a migration: of several tables in one go, or of one table in steps that several processes share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import LOAD, Tried, in_order, try_each
from gridferry.engine.events import BucketLoad, PreparedLoad, TableLoad
from gridferry.engine.load.copying import LoadOptions
from gridferry.engine.load.many import LoadOfMany, PreparationOfMany
from gridferry.engine.load.one_snapshot import OneSnapshot
from gridferry.engine.load.shared import SharedLoad, require_prepared
from gridferry.engine.load.table_load import TableLoader
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.ownership.origin_check import look_up
from gridferry.engine.ownership.replace_advice import droppable, what_goes
from gridferry.engine.slots import SlotOfLoad, slots_of, stream_slot_of
from gridferry.errors import FerryError
from gridferry.model.outcomes import LoadOutcome
from gridferry.plan.plan import Plan, TablePlan
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions

ROWS_PER_CHUNK = 100_000


class Loads:
    """Loads of tables. Tables are named as in the config; where several can be named, none means all.

    `rows_per_chunk` is how much is read, stored and checkpointed at once; `wait_s` is how long to wait for another run
    on the same table.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def load(
        self,
        tables: Sequence[str] = (),
        *,
        replace: bool = False,
        replace_unclaimed: bool = False,
        workers: int | None = None,
        rows_per_chunk: int = ROWS_PER_CHUNK,
        wait_s: float = 0.0,
    ) -> list[TableLoad]:
        """Load tables, or go on where an earlier run stopped. One that fails does not stop the others.

        Args: replace: drop what this migration loaded of them, once the new load can begin; replace_unclaimed: with it,
            also containers of the plan's names that no migration claims; workers: how many read at the same time, None:
            as many as the machine is good for.
        Raises: any FerryError of the only table; what was checkpointed stays, and the same call goes on from there.
            Of several tables SomeTablesFailed after all others were loaded, its `done` a list of TableLoad.
        """
        tried = self.try_load(
            tables,
            replace=replace,
            replace_unclaimed=replace_unclaimed,
            workers=workers,
            rows_per_chunk=rows_per_chunk,
            wait_s=wait_s,
        )
        tried.require(LOAD)
        return list(tried.done)

    def try_load(
        self,
        tables: Sequence[str] = (),
        *,
        replace: bool = False,
        replace_unclaimed: bool = False,
        workers: int | None = None,
        rows_per_chunk: int = ROWS_PER_CHUNK,
        wait_s: float = 0.0,
    ) -> Tried[TableLoad]:
        """The same, with what became of each table. Raises: what is wrong with config or target, or whose it is."""
        options = LoadOptions(replace, workers, rows_per_chunk, wait_s, replace_unclaimed=replace_unclaimed)
        chosen = self._endpoints.to_load(tables)
        state = self._endpoints.state  # what is wrong with the target, or with whose it is, is reported once
        if not tables:
            self._endpoints.tables.tell_gone(state)
        return LoadOfMany(self._endpoints, state, options, self._loader).run(chosen)

    def preview(self, plan: Plan) -> list[TableLoad]:
        """What `load` would do with the plan's tables: one each, its problems as notes, in the order of the plan."""
        runs = self._endpoints.state.runs
        loads = []
        for table in plan.tables:
            run = runs.get(table.qualified)
            what = "nothing of it is loaded yet" if run is None else f"an earlier load is {run.state.value}"
            notes = tuple(f.message for f in table.problems) or (what,)
            loads.append(TableLoad(table.qualified, LoadOutcome.PLANNED, notes=notes))
        return loads + [
            TableLoad(unread.table, LoadOutcome.PLANNED, notes=(unread.finding.message,)) for unread in plan.unread
        ]

    def prepare(
        self, table: str, *, replace: bool = False, rows_per_chunk: int = ROWS_PER_CHUNK, wait_s: float = 0.0
    ) -> PreparedLoad:
        """Begin one table's load so that several processes can share it, or see what an earlier one left to be read.

        Plan, chunks and containers are written down. Then `engine.load.shared.deal` says how to cut the work,
        `load_bucket` does a part of it, and `finish` ends it; each in any process, and again after any failure.
        Raises: as `load` of one table.
        """
        tried = self.try_prepare([table], replace=replace, rows_per_chunk=rows_per_chunk, wait_s=wait_s)
        tried.require(LOAD)
        return tried.done[0]

    def try_prepare(
        self, tables: Sequence[str], *, replace: bool = False, rows_per_chunk: int = ROWS_PER_CHUNK, wait_s: float = 0.0
    ) -> Tried[PreparedLoad]:
        """The same for several tables, with what became of each. Raises: as `try_load`."""
        options = LoadOptions(replace=replace, rows_per_chunk=rows_per_chunk, wait_s=wait_s)
        chosen, state = self._endpoints.chosen(tables), self._endpoints.state
        return PreparationOfMany(self._endpoints, state, options, self._loader).run(chosen)

    def load_bucket(
        self,
        table: str,
        *,
        bucket: int,
        of: int,
        workers: int = 1,
        rows_per_chunk: int = ROWS_PER_CHUNK,
        wait_s: float = 0.0,
    ) -> BucketLoad:
        """Copy what is left of bucket `bucket` (from 0) of `of`.

        Raises: ConfigError where nothing is prepared; as `load` of one table.
        """
        options = LoadOptions(workers=workers, rows_per_chunk=rows_per_chunk, wait_s=wait_s)
        with self._shared(table, options) as shared:
            return shared.load_bucket(bucket, of)

    def finish(
        self, table: str, *, workers: int | None = None, rows_per_chunk: int = ROWS_PER_CHUNK, wait_s: float = 0.0
    ) -> TableLoad:
        """Read what the buckets left and what moved behind them, count both sides, and end the load.

        Raises: ConfigError where nothing is prepared; as `load` of one table.
        """
        tried = self.try_finish([table], workers=workers, rows_per_chunk=rows_per_chunk, wait_s=wait_s)
        tried.require(LOAD)
        return tried.done[0]

    def try_finish(
        self,
        tables: Sequence[str],
        *,
        workers: int | None = None,
        rows_per_chunk: int = ROWS_PER_CHUNK,
        wait_s: float = 0.0,
    ) -> Tried[TableLoad]:
        """The same for several tables, none if none is named, with what became of each. Raises: as `try_load`."""
        options = LoadOptions(workers=workers, rows_per_chunk=rows_per_chunk, wait_s=wait_s)
        chosen, state = self._endpoints.chosen(tables) if tables else (), self._endpoints.state

        def prepared(each: TableOptions) -> TableOptions:
            require_prepared(state, each.qualified)
            return each

        ready = try_each(chosen, prepared, name=lambda o: o.qualified, doing=LOAD, tell=self._endpoints.tell)
        tried = LoadOfMany(self._endpoints, state, options, self._loader).run(ready.done)
        return in_order(
            Tried(tried.done, tried.finished, ready.failures + tried.failures, ready.not_tried + tried.not_tried),
            [each.qualified for each in chosen],
        )

    def what_replace_drops(self, tables: Sequence[str] = ()) -> str:
        """What `load` with `replace` would drop of these tables, as the target holds it now, in a sentence."""
        return what_goes(
            droppable(self._endpoints.state, [options.qualified for options in self._endpoints.known(tables)])
        )

    def plan_of(self, table: str) -> TablePlan:
        """The plan that a table was loaded with. Raises: ConfigError if it was not."""
        (options,) = self._endpoints.known([table])
        return look_up(self._endpoints.look_at_state(), options, left="", then="gridferry status")[1]

    @contextmanager
    def _shared(self, table: str, load: LoadOptions) -> Iterator[SharedLoad]:
        """One table's buckets; an error of them that advises --replace says what that would drop."""
        (options,) = self._endpoints.chosen([table])
        try:
            state = self._endpoints.state
            yield SharedLoad(
                source=self._endpoints.source,
                state=state,
                options=options,
                load=load,
                listener=self._endpoints.tell,
                slot=self._slot(state, options),
            )
        except FerryError as error:
            self._endpoints.session.complete_advice(error, options.qualified)
            raise

    def _loader(self, state: TargetState, options: TableOptions, load: LoadOptions, shared: OneSnapshot) -> TableLoader:
        return TableLoader(
            source=self._endpoints.source,
            state=state,
            options=options,
            load=load,
            listener=self._endpoints.tell,
            slot=shared.slots.get(options.qualified) or self._slot(state, options),
            slot_held=shared.slot_held,
        )

    def _slot(self, state: TargetState, options: TableOptions) -> SlotOfLoad | None:
        if options.sync_mode is not SyncMode.CDC:
            return None
        feed = self._endpoints.feed
        names, stream = slots_of(feed, state, options.qualified), stream_slot_of(feed, state)
        return SlotOfLoad(self._endpoints.source, names, self._endpoints.tell, stream=stream)
