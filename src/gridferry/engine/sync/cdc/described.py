"""The columns that the log describes, with the numbers by which they are known under every name.

The log has names and types only, of the moment of a change; the catalog has the numbers, of today. Columns keep their
order for ever, and new ones come last, so most descriptions can be told column by column. What cannot be told stays
without a number, and is never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gridferry.model.change import ChangedRelation
from gridferry.model.table import Column, PgType
from gridferry.plan.generated_key import is_generated
from gridferry.plan.plan import FormerColumns, TablePlan


def numbered_columns(
    plan: TablePlan, relation: ChangedRelation, *, types: Mapping[str, PgType], catalog: Sequence[Column]
) -> list[Column]:
    """The described columns in their order; `number` 0 where nobody can say which one it is.

    Args: types: of the described columns, by name; catalog: the table's columns as they are now.
    """
    names = [column.name for column in relation.columns]
    numbers = as_planned(plan, names, types) or _as_in_catalog(names, catalog) or _by_name(plan, names, catalog)
    now = {column.name: column for column in catalog}
    return [
        Column(name, types[name], nullable=name not in now or now[name].nullable, number=numbers.get(name, 0))
        for name in names
    ]


def shape_of(relation: ChangedRelation) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """By what a description is known again: the columns' names and types."""
    return (
        tuple(column.name for column in relation.columns),
        tuple(f"{column.type_oid}:{column.typmod}" for column in relation.columns),
    )


def former_of(relation: ChangedRelation | None, before: TablePlan, after: TablePlan) -> tuple[FormerColumns, ...]:
    """What to remember of how the log described the table while it had the plan `before`, and of what came earlier.

    Args: relation: the last description that was read with that plan; None where it is remembered already, or none was.
    """
    pairs = zip(before.columns, after.columns, strict=False)  # added ones have no partner
    # One that was dropped and has come again has the place of the old one, and another number.
    moved = {o.source: "" if n.gone or n.number != o.number else n.source for o, n in pairs if not o.gone}
    taken = {c.source for c in after.columns if not c.gone}

    def today(name: str) -> str:
        return moved.get(name, "" if name in taken else name)

    earlier = tuple(FormerColumns(f.names, f.types, tuple(today(n) if n else "" for n in f.now)) for f in before.former)
    if relation is None:
        return earlier
    names, types = shape_of(relation)
    former = FormerColumns(names, types, tuple(today(name) for name in names))
    return (*(f for f in earlier if (f.names, f.types) != (names, types)), former)


def in_between(
    plan: TablePlan, relation: ChangedRelation, columns: Sequence[Column], *, before: ChangedRelation | None
) -> tuple[FormerColumns, ...] | None:
    """What to remember of a description whose columns had other names for a while, and have those of the plan again.

    None where they are not those columns, of those types. Args: columns: the described ones, with their numbers;
    before: the description that the plan fits, which may come again in front of this one.
    """
    names = {c.number: c.source for c in plan.columns if c.number and not c.gone}
    types = {c.number: c.pg_type for c in plan.columns if not c.gone}
    found = {c.number: c.type.formatted for c in columns if c.number in names}
    if not names or found != {number: types[number] for number in names}:
        return None
    now = tuple(names.get(c.number, c.name if c.name not in names.values() else "") for c in columns)
    same = () if before is None else (FormerColumns(*shape_of(before), shape_of(before)[0]),)
    return (*plan.former, *same, FormerColumns(*shape_of(relation), now))


def as_planned(plan: TablePlan, names: Sequence[str], types: Mapping[str, PgType]) -> dict[str, int]:
    """The plan's own columns, in its order, of its types: nothing has changed, but that columns may have been added."""
    numbers = {c.source: c.number for c in plan.columns if not c.gone and not is_generated(c)}
    if any(name not in types or types[name].formatted != pg_type for name, pg_type in _typed(plan)):
        return {}
    seen = [numbers[name] for name in names if name in numbers]
    return numbers if all(seen) and seen == sorted(seen) else {}


def _typed(plan: TablePlan) -> list[tuple[str, str]]:
    return [(c.source, c.pg_type) for c in plan.columns if not c.gone and not is_generated(c)]


def _as_in_catalog(names: Sequence[str], catalog: Sequence[Column]) -> dict[str, int]:
    """Those of the catalog in its order, of which the last may not have been there yet."""
    live = [column for column in catalog if not column.generated or column.name in names]
    if len(names) > len(live):
        return {}
    today, then = {column.name for column in live}, set(names)
    for name, column in zip(names, live, strict=False):
        if name != column.name and (name in today or column.name in then):
            return {}
    return {name: column.number for name, column in zip(names, live, strict=False)}


def _by_name(plan: TablePlan, names: Sequence[str], catalog: Sequence[Column]) -> dict[str, int]:
    today = {column.name: column.number for column in catalog}
    live = set(today.values())
    dropped = {c.source: c.number for c in plan.columns if c.number and c.number not in live}
    return {name: number for name in names if (number := today.get(name) or dropped.get(name, 0))}
