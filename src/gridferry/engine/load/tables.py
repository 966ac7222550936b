"""Loads of several tables, one after the other, and what a load would do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gridferry.checkpoint.runs import RunStore
from gridferry.engine.each_table import LOAD, try_each
from gridferry.engine.events import Listener, TableLoad
from gridferry.engine.load.table_load import TableLoader
from gridferry.plan.config import TableOptions
from gridferry.plan.plan import Plan


def load_tables(
    chosen: Sequence[TableOptions], *, loader: Callable[[TableOptions], TableLoader], tell: Listener
) -> list[TableLoad]:
    """Load tables; one that fails does not stop the others.

    Raises: the error of the only table; SomeTablesFailed after all others were loaded, its `done` a list of TableLoad.
    """

    def load(options: TableOptions) -> TableLoad:
        done = loader(options).run(options.table)
        tell(done)
        return done

    tried = try_each(chosen, load, name=lambda o: o.qualified, doing=LOAD, tell=tell)
    tried.require(LOAD)
    return list(tried.done)


def what_would_be_loaded(plan: Plan, runs: RunStore) -> list[TableLoad]:
    """What `load_tables` would do: a table a row, its problems as notes, in the order of the plan."""
    loads = []
    for table in plan.tables:
        run = runs.get(table.qualified)
        what = "nothing of it is loaded yet" if run is None else f"an earlier load is {run.state.value}"
        notes = tuple(f.message for f in table.problems) or (what,)
        loads.append(TableLoad(table.qualified, "planned", notes=notes))
    return loads + [TableLoad(unread.table, "planned", notes=(unread.finding.message,)) for unread in plan.unread]
