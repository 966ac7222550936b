"""Columns that change at the source while it is followed: what the containers hold is followed, the rest stops."""

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
from gridferry.model.table import Column, PgType, Table
from gridferry.plan.advice import load_again
from gridferry.plan.columns import added_column
from gridferry.plan.drift import Fitted, fit
from gridferry.plan.names import column_name_problem
from gridferry.plan.plan import ColumnPlan, TablePlan
from gridferry.plan.sync_options import NewColumns
from gridferry.plan.table_names import spelled
from gridferry.plan.table_options import TableOptions

_STATE = "everything committed before that change is stored, and PostgreSQL keeps the rest for the next run"


def fitted_plan(
    plan: TablePlan, options: TableOptions, columns: Sequence[Column], *, fresh: Sequence[str] = ()
) -> Fitted:
    """The plan for the columns that the log describes. Args: fresh: columns of the plan that it may not have yet.

    Raises: DataError for a change that the containers cannot follow.
    """
    names = {column.name for column in columns}
    late = [c for c in plan.columns if c.source in fresh and c.source not in names]
    asked = [*columns, *(_as_it_was(c) for c in late)]
    fitted = fit(plan, options, asked)
    gone = {new.source for old, new in zip(plan.columns, fitted.plan.columns, strict=True) if new.gone > old.gone}
    if fitted.misfit is None and gone and any(not column.number for column in columns) and _has_numbers(plan):
        unsure = next(name for name in sorted(gone))
        raise _changed(plan, unsure, "was dropped or renamed, and the table was changed again since")
    if fitted.misfit is not None:
        raise _changed(plan, fitted.misfit.column, fitted.misfit.what)
    return fitted


def unknown_columns(plan: TablePlan, options: TableOptions, names: Sequence[str]) -> list[str]:
    """Those of some source columns that neither the plan nor the options know of."""
    known = {*(c.source for c in plan.columns if not c.gone), *plan.order_by, *options.exclude, plan.split_by}
    return [name for name in names if name not in known]


def left_out_of_hash(plan: TablePlan, options: TableOptions, columns: Sequence[Column]) -> list[str]:
    """What to tell of columns that are new in a table with a generated key: they are not stored."""
    if not plan.numbered:
        return []
    why = "the generated row key is made of the columns that there were when the table was loaded"
    names = unknown_columns(plan, options, [column.name for column in columns if column.readable])
    return [f"the new column {name} is left out: {why}" for name in names]


def with_added(
    plan: TablePlan, options: TableOptions, table: Table, columns: Sequence[Column]
) -> tuple[TablePlan, tuple[str, ...]]:
    """The plan with what was added to its table's columns, as far as it is wished, and the names of that."""
    if options.sync is not None and options.sync.new_columns is NewColumns.IGNORE:
        return plan, ()
    if plan.numbered:  # a generated key is made of the columns that there were
        return plan, ()
    names = unknown_columns(plan, options, [column.name for column in columns])
    types = {column.name: column.type.formatted for column in columns}
    extended = extended_plan(plan, options, table, names=names, types=types)
    had = {column.source for column in plan.columns if not column.gone}
    return extended, tuple(c.source for c in extended.columns if not c.gone and c.source not in had)


def extended_plan(
    plan: TablePlan, options: TableOptions, table: Table, *, names: Sequence[str], types: Mapping[str, str]
) -> TablePlan:
    """The plan with added columns behind its own; those that the table no longer has are left out.

    One that has come back after it was dropped gets its place in the containers again.
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
        same = [i for i, c in enumerate(columns) if c.target.name.lower() == planned.target.name.lower()]
        if same and columns[same[0]].gone and columns[same[0]].target == planned.target:
            columns[same[0]] = planned
            continue
        if problem or same:
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
    every: bool = False,
) -> None:
    """Alter the table's containers to `plan`, and store the rows that have a value in one of the columns `names`.

    With `every` all rows: a column of that name was there before, and what it held is not to stay.

    PostgreSQL gives a column with a default to rows that are there already, and says so to nobody. Rows are stored
    as `view` sees them; what the stream has of them from earlier comes after, and ends in the same state.
    Raises: DataError for a row that cannot be stored, unless the plan says quarantine; errors of either side.
    """
    entries = state.catalog.of(plan)
    state.store.create_containers([e.container for e in entries], plan.container_schema, modify=True)
    if not names:
        return
    filled = " OR ".join(f'"{name.replace(chr(34), chr(34) * 2)}" IS NOT NULL' for name in names)
    reading = plan if every else plan.narrowed(filled)
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


def _has_numbers(plan: TablePlan) -> bool:
    return any(column.number for column in plan.columns)


def _as_it_was(column: ColumnPlan) -> Column:
    """A column of the plan that a description does not have yet, as one that has not changed."""
    return Column(column.source, PgType("", column.pg_type), number=column.number)


def _changed(plan: TablePlan, column: str, what: str) -> DataError:
    # The log keeps a type as it was when rows were changed, whatever becomes of it; a name only stands for its column.
    back = "give it its name back and sync again, or " if "renamed to" in what else ""
    return DataError(
        f"{plan.qualified}: the column {column} {what}",
        table=plan.qualified,
        column=column,
        state=_STATE,
        next_step=back + load_again(spelled(plan.schema, plan.table)),
    )


def _cannot(plan: TablePlan, column: str, why: str) -> DataError:
    return DataError(
        f"{plan.qualified}: the column {column} was added in the source and cannot be stored: {why}",
        table=plan.qualified,
        column=column,
        state=_STATE,
        next_step="drop the column; or set `new_columns: ignore` under `sync`, which leaves new columns out; or name "
        f"it under `columns` or `rename`, and {load_again(spelled(plan.schema, plan.table))}",
    )
