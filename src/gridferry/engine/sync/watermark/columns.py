"""Columns that changed at the source since the last run in mode watermark: followed before new rows are read."""

from __future__ import annotations

from dataclasses import replace

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note
from gridferry.engine.load.copying import SnapshotView
from gridferry.engine.sync.columns import add_columns, left_out_of_hash, with_added
from gridferry.engine.sync.watermark.run import SyncBasis
from gridferry.plan.table_options import TableOptions


def follow_columns(
    state: TargetState,
    lease: Lease,
    view: SnapshotView,
    by: SyncBasis,
    *,
    run: LoadRun,
    options: TableOptions,
    rows_per_chunk: int,
    tell: Listener,
) -> SyncBasis:
    """What the run goes by, once the stored plan and the containers have what became of the table's columns.

    Containers get their columns, and the rows that have a value there, before the plan says so: killed in between, the
    next run does it again.
    Raises: DataError where an added column cannot be stored; errors of either side.
    """
    readable = [column for column in by.table.columns if column.readable]
    for told in left_out_of_hash(by.plan, options, readable):
        tell(Note(by.plan.qualified, told, Level.WARNING))
    plan, names = with_added(by.plan, options, by.table, readable)
    if run.plan is None or (not by.changes and plan == by.plan):
        return by
    if names:
        back = any(new.source in names for new in plan.columns[: len(by.plan.columns)])
        add_columns(
            state,
            plan,
            view,
            table=by.table,
            names=names,
            rows_per_chunk=rows_per_chunk,
            check=lease.check,
            every=back,
        )
    lease.check()
    state.runs.replan(run, replace(plan, rows=run.plan.rows))
    for change in by.changes:
        tell(Note(plan.qualified, change, Level.WARNING))
    if names:
        tell(Note(plan.qualified, f"new columns were added to the containers: {', '.join(names)}"))
    return replace(by, plan=plan, changes=())
