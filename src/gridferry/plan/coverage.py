"""A plan -> which columns of the source it covers, exactly or with loss, and which it leaves out."""

from __future__ import annotations

from collections.abc import Mapping

from gridferry.model.coverage import Coverage, LeftOut, Why
from gridferry.model.table import Table
from gridferry.plan.generated_key import is_generated
from gridferry.plan.plan import Fidelity, TablePlan
from gridferry.plan.table_options import TableOptions


def left_out(table: Table, options: TableOptions) -> tuple[LeftOut, ...]:
    """The columns that the config leaves out, as the table has them."""
    return tuple(
        LeftOut(column.name, column.type.formatted, Why.EXCLUDED, options.exclude[column.name] or "")
        for column in table.columns
        if column.name in options.exclude
    )


def coverage_of(plan: TablePlan, *, table: Table | None = None, options: TableOptions | None = None) -> Coverage:
    """What a plan covers of its table's columns; rows are not counted.

    Args: table: as it is now, where the source was asked: columns that came since are left out too, and those that went
        count no more; options: as the config has them now: reasons may be newer than the plan.
    """
    reasons: Mapping[str, str | None] = {} if options is None else options.exclude
    gone = tuple(_with_reason(column, reasons) for column in plan.left_out)
    covered = _covered(plan)
    if table is not None:
        now = {column.name: column.type.formatted for column in table.columns}
        known = {column.name: column for column in gone}
        gone = tuple(
            known.get(name) or LeftOut(name, type_name, *_newer(name, reasons))
            for name, type_name in now.items()
            if name not in covered
        )
        covered = {name: lossy for name, lossy in covered.items() if name in now}
    lossy = tuple(name for name, is_lossy in covered.items() if is_lossy)
    return Coverage(
        columns=len(covered) + len(gone),
        exact=len(covered) - len(lossy),
        lossy=lossy,
        left_out=gone,
        where=plan.where.strip(),
        dropped=tuple(dict.fromkeys(c.source for c in plan.columns if c.gone)),
    )


def _covered(plan: TablePlan) -> dict[str, bool]:
    """The source's columns whose values are in the target, and whether with loss; each once."""
    columns = [c for c in plan.columns if not c.gone and not is_generated(c)]
    exact = {c.source for c in columns if c.verdict is not Fidelity.LOSSY}
    covered = {c.source: c.source not in exact for c in columns}
    if plan.split_by is not None:
        covered[plan.split_by] = False  # the catalog has the value of each container
    return covered


def _with_reason(column: LeftOut, reasons: Mapping[str, str | None]) -> LeftOut:
    reason = reasons.get(column.name) or column.reason
    return LeftOut(column.name, column.type, column.why, reason)


def _newer(name: str, reasons: Mapping[str, str | None]) -> tuple[Why, str]:
    return (Why.EXCLUDED, reasons[name] or "") if name in reasons else (Why.ADDED, "")
