"""Columns that change at the source while it is followed: an added one is taken over, any other change stops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gridferry.checkpoint.state import TargetState
from gridferry.engine.load.copying import SnapshotView
from gridferry.engine.ownership.container_claims import table_target
from gridferry.engine.rows.copier import ChunkCopier
from gridferry.engine.rows.once_quarantine import OnceQuarantine
from gridferry.errors import DataError
from gridferry.griddb.wire.statement import MAX_COLUMNS
from gridferry.model.change import ChangedRelation
from gridferry.model.table import Table
from gridferry.plan.advice import load_again
from gridferry.plan.columns import added_column
from gridferry.plan.names import column_name_problem
from gridferry.plan.plan import ColumnPlan, Kernel, TablePlan
from gridferry.plan.table_names import spelled
from gridferry.plan.table_options import TableOptions

_STATE = "everything committed before that change is stored, and PostgreSQL keeps the rest for the next run"


def added_names(
    plan: TablePlan,
    options: TableOptions,
    relation: ChangedRelation,
    *,
    types: Mapping[str, str],
    fresh: Sequence[str] = (),
) -> list[str]:
    """The columns of a described table that the plan does not have.

    Args: types: format_type() of its columns; fresh: columns that it may not have yet.
    Raises: DataError if a column of the plan is gone or has another type.
    """
    for column in plan.columns:
        if column.source not in types:
            if column.source not in fresh:
                raise _changed(plan, column.source, "was dropped or renamed")
        elif not _same_type(column, types[column.source]):
            raise _changed(plan, column.source, f"was {column.pg_type} and is now {types[column.source]}")
    for name in (*plan.order_by, *([plan.split_by] if plan.split_by is not None else [])):
        if name not in types:
            raise _changed(plan, name, "was dropped or renamed")
    return unknown_columns(plan, options, [column.name for column in relation.columns])


def unknown_columns(plan: TablePlan, options: TableOptions, names: Sequence[str]) -> list[str]:
    """Those of some source columns that neither the plan nor the options know of."""
    known = {*(c.source for c in plan.columns), *plan.order_by, *options.exclude, plan.split_by}
    return [name for name in names if name not in known]


def extended_plan(
    plan: TablePlan, options: TableOptions, table: Table, *, names: Sequence[str], types: Mapping[str, str]
) -> TablePlan:
    """The plan with added columns behind its own; those that the table no longer has are left out.

    Raises: DataError if one cannot be stored.
    """
    columns = list(plan.columns)
    for name in names:
        column = table.column(name)
        if column is None:
            continue
        planned = added_column(column, options)
        if planned is None or column.type.formatted != types[name]:
            raise _cannot(plan, name, f"there is no rule for its type {types[name]}, or it was changed again")
        problem = column_name_problem(planned.target.name)
        if problem or planned.target.name.lower() in {c.target.name.lower() for c in columns}:
            raise _cannot(plan, name, problem or f'the containers have a column "{planned.target.name}" already')
        if len(columns) >= MAX_COLUMNS:
            raise _cannot(plan, name, f"GridDB takes {MAX_COLUMNS} columns")
        columns.append(planned)
    return replace(plan, columns=tuple(columns))


def add_columns(
    state: TargetState,
    plan: TablePlan,
    view: SnapshotView,
    *,
    table: Table,
    names: Sequence[str],
    rows_per_chunk: int,
    check: Callable[[], None],
) -> None:
    """Alter the table's containers to `plan`, and store the rows that have a value in one of the columns `names`.

    PostgreSQL gives a column with a default to rows that are there already, and says so to nobody. Rows are stored
    as `view` sees them; what the stream has of them from earlier comes after, and ends in the same state.
    Raises: DataError for a row that cannot be stored, unless the plan says quarantine; errors of either side.
    """
    entries = state.catalog.of(plan)
    state.store.create_containers([e.container for e in entries], plan.container_schema, modify=True)
    if not names:
        return
    filled = " OR ".join(f'"{name.replace(chr(34), chr(34) * 2)}" IS NOT NULL' for name in names)
    reading = plan.narrowed(filled)
    copier = ChunkCopier(
        store=state.store,
        plan=reading,
        target=table_target(state, plan),
        quarantine=OnceQuarantine(state.quarantine, plan.qualified),
        progress=lambda rows, octets: None,
        check=check,
        standing=True,
    )
    try:
        with view.open_reader() as reader:
            for chunk in view.plan_chunks(table, rows_per_chunk=rows_per_chunk):
                copier.copy(reader, chunk)
    except DataError as error:
        error.state = _STATE
        raise


def _same_type(column: ColumnPlan, now: str) -> bool:
    """Whether the plan's conversion still fits: a text may get another length, anything else may not change."""
    if column.kernel is Kernel.TEXT:
        return column.pg_type.partition("(")[0] == now.partition("(")[0]
    return column.pg_type == now


def _changed(plan: TablePlan, column: str, what: str) -> DataError:
    return DataError(
        f"{plan.qualified}: the column {column} {what}; only added columns are taken over while changes are followed",
        table=plan.qualified,
        column=column,
        state=_STATE,
        next_step=f"put it back as it was and sync again, or {load_again(spelled(plan.schema, plan.table))}",
    )


def _cannot(plan: TablePlan, column: str, why: str) -> DataError:
    return DataError(
        f"{plan.qualified}: the column {column} was added in the source and cannot be stored: {why}",
        table=plan.qualified,
        column=column,
        state=_STATE,
        next_step=f"drop the column, or name it under `exclude`, `columns` or `rename` and load again with "
        f"`gridferry load --replace`: {column}",
    )
