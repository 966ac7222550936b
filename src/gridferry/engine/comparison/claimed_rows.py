"""Are the rows that a cursor counts as read really in the target? Asked once when the source's server is a new one.

A restarted server and a copy of it look the same: a base backup has the system identifier, the timeline and all OIDs
of the server that it was made of. Fed by logical replication, its rows have transaction ids of its own, and a cursor
that is compared with them takes rows for read that nobody has read. So the rows themselves are looked for, key by key.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from gridferry import numbers
from gridferry.checkpoint.state import TargetState
from gridferry.compare.findings import KIND_NUMBERS, Findings
from gridferry.engine.comparison.containers import NumberedContainers
from gridferry.engine.comparison.full_scan import FullPass
from gridferry.engine.comparison.ranges import cut_table
from gridferry.engine.ownership.lineage import Checked, way_back
from gridferry.engine.rows.duplicates import REASON
from gridferry.errors import OtherSource
from gridferry.model.table import Table
from gridferry.model.verification import DifferenceKind
from gridferry.plan.plan import TablePlan
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.one_snapshot import PostgresSnapshot

_MISSING = KIND_NUMBERS[DifferenceKind.MISSING]


@dataclass(frozen=True)
class Claimed:
    """How many rows a cursor counts as read, and how many of them the target does not have."""

    rows: int
    missing: int


def look_for_claimed(state: TargetState, view: PostgresSnapshot, plan: TablePlan, table: Table, *, new: str) -> Claimed:
    """Look in the target for every row of the snapshot that does not meet `new`, the condition of those not yet read.

    Rows in the quarantine and rows superseded by another of their key need not be there. Nobody else may write to
    the table's containers meanwhile.
    """
    claimed = plan.narrowed(f"({new}) IS NOT TRUE")
    containers = NumberedContainers(state, claimed)
    missing: Counter[int] = Counter()

    def found(findings: Findings) -> None:
        missing.update(findings.codes[findings.kinds == _MISSING].tolist())

    full = FullPass(state, claimed, view, containers=containers, cut=cut_table(view, claimed, table, containers),
                    found=found)  # fmt: skip
    full.run(table)
    held = state.quarantine.counts(plan.qualified, without_reason=REASON)
    for code, unfit in full.source.unfit.items():
        missing[code] += max(0, unfit - held[containers.names[code]])
    return Claimed(full.source.rows, missing.total())


def require_claimed(found: Claimed, checked: Checked, options: TableOptions) -> None:
    """Return if all are there. Raises: OtherSource, with the way back."""
    if not found.missing:
        return
    are = "is" if found.missing == 1 else "are"
    known = checked.record.origin
    raise OtherSource(
        f"{checked.record.table} is from another source: {numbers.plural(found.missing, 'row')} of the source that the "
        f"sync counts as read {are} not in the target, and {checked.why}: it is a copy of the server that was "
        f"followed, or was restored from a backup. The server that was followed: {known}, started at "
        f"{known.started or 'another time'}; the one now: {checked.now}",
        state="nothing was changed",
        next_step=way_back(options),
    )
