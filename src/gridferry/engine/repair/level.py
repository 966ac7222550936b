"""Both sides of a loaded table made equal, and the table followed from there: what a new source and a resync share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gridferry import numbers
from gridferry.checkpoint.cursors import SyncRecord
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Listener
from gridferry.engine.repair.table import RepairSettings
from gridferry.engine.repair.tables import RepairOfTables
from gridferry.engine.verify.table import VerifySettings
from gridferry.engine.verify.tables import Comparison
from gridferry.model.verification import STORED_ARE_EQUAL
from gridferry.model.watermark import Cursor
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.source import PostgresSource


def begin_anew(state: TargetState, table: str, cursor: Cursor) -> None:
    """Let mode watermark go on from a cursor that no run of it has written. Only under the table's lease."""
    cursors = state.cursors
    if cursors.mode_of(table) in (None, SyncMode.WATERMARK):
        record = cursors.get(table) or SyncRecord(table, cursor)
        cursors.save(replace(record, cursor=cursor))
    else:
        cursors.take_over(SyncRecord(table, cursor))
    cursors.save_max_values(table, {})


def bring_level(
    state: TargetState,
    source: PostgresSource,
    tell: Listener,
    options: TableOptions,
    *,
    wait_s: float,
    settle_s: float,
    sync: Callable[[TableOptions], None] | None,
) -> str:
    """Compare every value, repair what differs, and compare again what was repaired. All of it is in the journal.

    Args: sync: brings meanwhile what is written at the source. Returns: what still differs, "" where all is equal.
    """
    comparison = Comparison(source, state, VerifySettings(settle_s=settle_s), tell, sync)
    done = RepairOfTables(state, source, comparison, RepairSettings(wait_s=wait_s), tell).run([options])
    last = done.verification if done.after is None else done.after
    for table in last.tables:
        if table.verdict not in STORED_ARE_EQUAL:
            if table.differences:
                return numbers.plural(table.differences, "row differs", more="rows differ")
            return f"{numbers.plural(table.unsettled, 'row is', more='rows are')} not settled"
    return ""
