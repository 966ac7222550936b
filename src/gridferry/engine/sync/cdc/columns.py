"""What a description of the log makes of a table's plan: nothing, a plan that follows the change, or an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gridferry.engine.sync.cdc.described import as_planned, former_of, in_between, numbered_columns
from gridferry.engine.sync.columns import fitted_plan, unknown_columns, with_added
from gridferry.errors import DataError
from gridferry.model.change import ChangedRelation
from gridferry.model.table import Column, PgType, Table
from gridferry.plan.drift import fit
from gridferry.plan.plan import FormerColumns, TablePlan
from gridferry.plan.sync_options import NewColumns
from gridferry.plan.table_options import TableOptions


@dataclass(frozen=True)
class Followed:
    """The plan from here on. `added` are columns that its containers get, `changes` sentences about the others."""

    plan: TablePlan
    added: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def is_planned(plan: TablePlan, options: TableOptions, relation: ChangedRelation, types: Mapping[str, PgType]) -> bool:
    """Whether a description has just the plan's columns, so that the catalog need not be asked."""
    names = [column.name for column in relation.columns]
    wished = options.sync is None or options.sync.new_columns is NewColumns.ADD
    new = wished and not plan.numbered and unknown_columns(plan, options, names)
    return bool(as_planned(plan, names, types)) and not new


def followed(
    plan: TablePlan,
    options: TableOptions,
    relation: ChangedRelation,
    *,
    types: Mapping[str, PgType],
    table: Table,
    fresh: Sequence[str],
    before: ChangedRelation | None,
) -> Followed:
    """The plan for the columns that a description has; the same plan where nothing has changed.

    Args: types: of the described columns, by name; table: as the catalog has it; fresh: columns that the description
        may not have yet; before: the description that the plan fits, if the stream had one.
    Raises: DataError for a change that the containers cannot follow.
    """
    columns = numbered_columns(plan, relation, types=types, catalog=table.columns)
    try:
        fitted = fitted_plan(plan, options, columns, fresh=fresh)
    except DataError:
        former = _other_names_for_a_while(plan, options, relation, columns, table, before)
        if former is None:
            raise
        return Followed(replace(plan, former=former))
    extended, added = with_added(fitted.plan, options, table, columns)
    if extended == plan:
        return Followed(plan)
    return Followed(replace(extended, former=former_of(before, plan, extended)), added, fitted.changes)


def _other_names_for_a_while(
    plan: TablePlan,
    options: TableOptions,
    relation: ChangedRelation,
    columns: Sequence[Column],
    table: Table,
    before: ChangedRelation | None,
) -> tuple[FormerColumns, ...] | None:
    """What to remember where the catalog has the plan's names again; None where it has not."""
    today = fit(plan, options, table.columns)
    if today.misfit is not None or today.changes:
        return None
    return in_between(plan, relation, columns, before=before)
