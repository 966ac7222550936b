"""Tables that a pattern of the config finds after the load: loaded where the config says so, then followed too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gridferry.checkpoint.runs import RunState
from gridferry.engine.events import Level, Note
from gridferry.engine.load.loads import Loads
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.retry import is_transient
from gridferry.engine.sync.follower import Follower
from gridferry.errors import CheckpointError, FerryError
from gridferry.model.failed_tables import FailedTable, SomeTablesFailed
from gridferry.plan.config import NewTables
from gridferry.plan.table_options import TableOptions

_THEN = "gridferry sync"


class Arrivals:
    """The tables of one sync that were not there when it was written into the config. Made for one sync."""

    def __init__(self, endpoints: Endpoints, *, wait_s: float, rows_per_chunk: int, follow: bool) -> None:
        self._endpoints = endpoints
        self._wait_s = wait_s
        self._rows_per_chunk = rows_per_chunk
        self._loads = endpoints.config.new_tables is NewTables.LOAD
        self._follow = follow
        self._hopeless: set[str] = set()
        self.failures: list[FailedTable] = []

    def first(self, tables: Sequence[str]) -> list[TableOptions]:
        """The tables to sync, as they are named; new ones among them once they are loaded. Raises: as `standing`."""
        standing = self._endpoints.standing(tables, then=_THEN, takes_new=self._loads)
        return [*standing.tables, *self._loaded(standing.new)]

    def later(self, known: set[str], made: Callable[[TableOptions], Follower]) -> list[Follower]:
        """Followers of tables that came since, once they are loaded by whoever it was; `known` gets their names.

        Raises: FerryError.
        """
        ends = self._endpoints
        ends.tables.ask_again()
        standing = ends.standing(then=_THEN, takes_new=self._loads)
        self._loaded([options for options in standing.new if options.qualified not in self._hopeless])
        found = []
        for options in (*standing.tables, *standing.new):
            if options.sync is not None and options.qualified not in known and self._is_loaded(options):
                known.add(options.qualified)
                found.append(made(options))
        return found

    def _is_loaded(self, options: TableOptions) -> bool:
        try:
            run = self._endpoints.state.runs.get(options.qualified)
        except CheckpointError:  # status says so
            return False
        return run is not None and run.state is RunState.LOADED

    def _loaded(self, new: Sequence[TableOptions]) -> list[TableOptions]:
        """Load tables, where the config says so. Returns: those that are loaded now. Raises: what concerns all."""
        if not self._loads or not new:
            return []
        failed: dict[str, FerryError] = {}
        try:
            names = [options.table for options in new]
            Loads(self._endpoints).load(names, wait_s=self._wait_s, rows_per_chunk=self._rows_per_chunk)
        except SomeTablesFailed as error:
            failed = {each.table: each.error for each in error.failures}
            failed |= dict.fromkeys(error.not_tried, error.failures[-1].error)
        except FerryError as error:
            if error.concerns_all:
                raise
            failed = {new[0].qualified: error}
        self.failures += [FailedTable(table, why) for table, why in failed.items()]
        # What will not pass is not tried at every turn: it may read a whole table before it fails.
        for table, why in failed.items() if self._follow else ():
            step = f". Next: {why.next_step}" if why.next_step else ""
            self._endpoints.tell(Note(table, f"it is new, and was not loaded: {why.message}{step}", Level.WARNING))
        self._hopeless |= {table for table, why in failed.items() if not is_transient(why)}
        return [options for options in new if options.qualified not in failed]
