"""A plan that was stored, against what config and catalog say now: nothing of it is trusted for having been written.

Whoever may write to the target can change what is there. What reaches SQL, TQL or the name of a container is
therefore compared with what this config makes of this table, and taken from the config.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from gridferry.errors import CheckpointError
from gridferry.griddb.schema import ContainerKind, GridType
from gridferry.griddb.wire.statement import MAX_COLUMNS
from gridferry.model.chunk import Chunk, ChunkKind
from gridferry.model.table import Column, PgType, Table
from gridferry.model.watermark import Cursor, GrowingColumn, Growth
from gridferry.plan.column_uses import wanted_uses
from gridferry.plan.column_wish import ColumnWish
from gridferry.plan.columns import planned_scale
from gridferry.plan.generated_key import GENERATED_COLUMNS, generated_columns, is_generated
from gridferry.plan.mapping import TypeRule, Use
from gridferry.plan.names import column_name_problem, container_name, name_problem, naming_template
from gridferry.plan.plan import ColumnPlan, Kernel, ReadAs, TablePlan
from gridferry.plan.retyped import Way, rule_way, ways_after_change
from gridferry.plan.table_options import KeyWish, Precision, TableOptions
from gridferry.plan.type_rules import TYPE_RULES

_OWN_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"})
_TIME = re.compile(
    r"(?:-infinity|infinity|\d{1,6}-\d\d-\d\d(?:[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?)?(?:[+-]\d\d(?::\d\d)*)?(?: BC)?)"
)
_NUMBER = re.compile(r"(?:NaN|-?Infinity|-?\d{1,400}(?:\.\d{1,400})?)")
_DOUBLE = re.compile(r"(?:NaN|-?Infinity|-?\d{1,20}(?:\.\d{1,20})?(?:e[+-]?\d{1,3})?)")


def require_agrees(plan: TablePlan, options: TableOptions, table: Table | None = None, *, left: str) -> TablePlan:
    """The stored plan as `plan_of_today`, if the rest is what config and catalog make.

    Args: table: the catalog's description, where the source was asked: then columns, types and conversions are
        compared too; left: what the error says of what was left.
    Raises: CheckpointError that names what differs.
    """
    different = next((what for what in _differences(plan_of_today(plan, options), options, table) if what), None)
    if different is not None:
        raise CheckpointError(
            f"the stored plan of {plan.schema}.{plan.table} has {different} than the config",
            state=left,
            next_step="somebody changed gridferry_state, or the config: put that back as it was, or load again with "
            "`gridferry load --replace`",
        )
    if table is not None:
        plan = replace(plan, own_heap=table.own_heap)
    plan = plan_of_today(plan, options)
    return replace(plan, where=options.where, order_by=options.order_by)


def plan_of_today(plan: TablePlan, options: TableOptions) -> TablePlan:
    """The stored plan with what the config may change after a load.

    That are the answers to bad and colliding rows, and the names that values without a container are given.
    """
    return replace(
        plan,
        aliases=options.containers,
        on_duplicate=options.on_duplicate,
        on_bad_row=options.on_bad_row,
        aside=options.aside,
    )


def inconsistency(plan: TablePlan) -> str:
    """What no plan has, whatever it was made of, as the end of a sentence; "" where it can be one."""
    names = [column.target.name for column in plan.columns]
    if not 0 < len(names) <= MAX_COLUMNS or len({name.lower() for name in names}) < len(names):
        return "has columns that no container can have"
    if any(column_name_problem(name) for name in names) or not plan.schema or not plan.table:
        return "has a name that is not possible"
    return "has another row key than its columns say" if any(_key(plan)) else ""


def require_chunks(chunks: tuple[Chunk, ...], table: Table, *, left: str) -> None:
    """Return if stored chunks are parts of this very table. Raises: CheckpointError."""
    for chunk in chunks:
        if chunk.kind is ChunkKind.KEYS and table.column(chunk.column) is None:
            raise CheckpointError(
                f"the stored chunk {chunk.number} of {table.qualified} is cut by a column that the table does not have",
                state=left,
                next_step="load it again with `gridferry load --replace`",
            )


def require_values(cursor: Cursor, column: GrowingColumn, *, table: str, left: str) -> None:
    """Return if the cursor's values are ones that the growing column can have. Raises: CheckpointError."""
    form = _TIME if column.growth is Growth.TIME else _DOUBLE if column.type == "float8" else _NUMBER
    values = (cursor.floor, cursor.position, *(s.below for s in cursor.steps), *(m.value for m in cursor.marks))
    if not all(value is None or form.fullmatch(value) for value in values):
        raise CheckpointError(
            f"the stored cursor of {table} has a value that is none of {column.name}'s type ({column.type})",
            state=left,
            next_step=f"somebody changed gridferry_state: load {table} again with `gridferry load --replace`",
        )


def _differences(plan: TablePlan, options: TableOptions, table: Table | None) -> Iterator[str]:
    """What differs, as the middle of a sentence; "" for what does not."""
    naming = naming_template(
        options.container, schema=options.schema_name, table=options.table_name, split_by=options.split_by
    )
    same = {
        "`schema`": plan.schema == options.schema_name,
        "`table`": plan.table == options.table_name,
        "`where`": plan.where == options.where,
        "`split_by`": plan.split_by == options.split_by,
        "`order_by`": plan.order_by == options.order_by,
        "`container`": plan.naming == naming,
        "`key`": _same_key(plan, options),
    }
    yield from ("" if agrees else f"another {name}" for name, agrees in same.items())
    yield from (_container(c.name, c.value, plan) for c in plan.containers)
    yield from _key(plan)
    for former in plan.former:  # a column that is left out is never read under the name of another
        pairs = zip(former.names, former.now, strict=False)
        kept_out = any(name in options.exclude and now not in (name, "") for name, now in pairs)
        if kept_out or not len(former.names) == len(former.types) == len(former.now):
            yield "other former columns"
    if inconsistency(plan):
        yield "other columns"
    for column in plan.columns:
        yield _column(column, plan, options)
        if table is not None:
            yield _against_catalog(column, plan, options, table)


def _same_key(plan: TablePlan, options: TableOptions) -> bool:
    if plan.numbered or options.key is KeyWish.GENERATED:
        made = plan.columns[: plan.key_length] == generated_columns()
        return made and plan.key == GENERATED_COLUMNS and options.key is KeyWish.GENERATED
    return not options.key_columns or plan.key == tuple(c for c in options.key_columns if c != options.split_by)


def _container(name: str, value: str | None, plan: TablePlan) -> str:
    if name == container_name(plan, value) and not name_problem(name) and (value is None or plan.split_by is not None):
        return ""
    return "other names of containers"


def _key(plan: TablePlan) -> Iterator[str]:
    """The row key is what the first columns say, and of a kind that GridDB has."""
    sources = tuple(dict.fromkeys(column.source for column in plan.columns[: plan.key_length]))
    first = plan.columns[0].target.type if plan.columns else None
    series = plan.kind is ContainerKind.TIME_SERIES
    if not 0 < plan.key_length <= len(plan.columns) or sources != plan.key:
        yield "another row key"
    if series and (plan.key_length != 1 or first not in (GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US)):
        yield "another kind of container"


def _column(column: ColumnPlan, plan: TablePlan, options: TableOptions) -> str:
    if is_generated(column):
        return "" if column in generated_columns() else "another generated key"
    named = options.rename.get(column.configured, column.configured)
    in_key = column.source in plan.key
    fine = in_key and column.kernel is Kernel.TIME_US and re.fullmatch(rf"{re.escape(named)}_us\d*", column.target.name)
    if column.source in options.exclude and not in_key:
        return f"a column {column.source}, which is excluded,"
    if column.source == options.split_by and not in_key and not options.keep_split_column:
        return f"a column {column.source}, which is the split column,"
    if (column.target.name != named and not fine) or column_name_problem(column.target.name):
        return f"another name for the column {column.source}"
    wish = options.types.get(column.configured)
    if wish is not None and column.target.type is not wish and not in_key:
        return f"another type for the column {column.source}"
    return "an array" if column.target.array and column.kernel is not Kernel.LIST else ""


def _against_catalog(column: ColumnPlan, plan: TablePlan, options: TableOptions, table: Table) -> str:
    """A column of the catalog is converted by one of its type's rules. One that is gone is for others to report."""
    if column.gone or is_generated(column):
        return ""
    there = table.column(column.source)
    if there is None or there.type.formatted != column.pg_type:
        return "" if there is not None or _may_be_gone(column.source, table) else f"another column {column.source}"
    if column.loaded_type:
        return "" if _way(column) in ways_after_change(there.type) else f"another conversion of {column.source}"
    scale = planned_scale(there, column.kernel, options)
    fits = _way(column) in _ways(there, plan, options) and column.scale == scale
    return "" if fits else f"another conversion of the column {column.source}"


def _may_be_gone(name: str, table: Table) -> bool:
    """False for names that PostgreSQL takes for something else than a column: its own, or the whole row's."""
    return name not in _OWN_COLUMNS and name != table.name


def _ways(column: Column, plan: TablePlan, options: TableOptions) -> set[Way]:
    in_key = column.name in plan.key
    wish = options.types.get(column.name)
    asked = options.columns.get(column.name, ColumnWish())
    other = isinstance(asked.out_of_range, GridType)
    lossy = {Use.TRUNCATE} if options.precision is Precision.TRUNCATE else set()
    uses = {
        Use.SUITED,
        Use.DEFAULT,
        Use.FALLBACK,
        *lossy,
        *wanted_uses(column, asked, truncate=options.precision is Precision.TRUNCATE, in_key=in_key),
        *([Use.OVERRIDE] if other else []),
        *([Use.KEY] if in_key else []),
        *([Use.OVERRIDE] if wish is not None or in_key else []),
    }
    if wish is not None:
        uses |= {Use.KEY}
    fitting = [rule for rule in _rules_of(column.type) if rule.use in uses]
    own = any(rule.use is Use.DEFAULT and "*" not in rule.types for rule in fitting)
    if own and wish is None and not in_key and not other:
        fitting = [rule for rule in fitting if "*" not in rule.types or rule.use is Use.FALLBACK]
    found = {rule_way(rule) for rule in fitting if wish is None or rule.target is wish or in_key}
    if in_key and column.type.name in ("timestamp", "timestamptz"):
        # A key may hold a time cut to the millisecond, and beside it every digit.
        found |= {(GridType.TIMESTAMP_MS, False, Kernel.TIME_MS_TRUNCATE, ReadAs.PLAIN)}
    return found


@lru_cache(maxsize=1_000)
def _rules_of(pg_type: PgType) -> tuple[TypeRule, ...]:
    """The rules that speak about a type: databases have many columns, and few types."""
    return tuple(rule for rule in TYPE_RULES if rule.fits(pg_type))


def _way(column: ColumnPlan) -> Way:
    return column.target.type, column.target.array, column.kernel, column.read_as
