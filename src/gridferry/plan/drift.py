"""Has a table or its part of the config changed since it was loaded, and in what?"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gridferry.errors import CheckpointError
from gridferry.griddb.schema import GridType
from gridferry.model.table import Column, Table
from gridferry.plan.advice import load_again
from gridferry.plan.generated_key import is_generated
from gridferry.plan.plan import ColumnPlan, TablePlan
from gridferry.plan.retyped import retyped
from gridferry.plan.table_names import spelled
from gridferry.plan.table_options import TableOptions

_SHOWN = 60
_HASHED = "the generated row key is made of its values"
# They may change after a load: these decide about rows that come later, the names are asked of the catalog
# (`engine.ownership.origin_check.require_names_kept`), and how a table is followed is no part of its load.
_FREE = frozenset({"containers", "on_bad_row", "on_duplicate", "sync"})


@dataclass(frozen=True)
class Misfit:
    """A change that the loaded containers cannot follow: `what` ends a sentence that begins with the column."""

    column: str
    what: str


@dataclass(frozen=True)
class Fitted:
    """A plan as it fits its table now. `changes` are sentences about what became of columns since; `misfit` is the
    first change that cannot be followed, and then the plan is that of before.
    """

    plan: TablePlan
    changes: tuple[str, ...] = ()
    misfit: Misfit | None = None


def fit(plan: TablePlan, options: TableOptions, columns: Sequence[Column]) -> Fitted:
    """The plan for the columns that its table has now: renamed ones followed, dropped ones empty from now on, types
    that the containers hold taken over. Columns that were added are not looked at.
    """
    by_number = {c.number: c for c in columns if c.number}
    by_name = {c.name: c for c in columns}
    known = bool(by_number)
    fitting: list[ColumnPlan] = []
    changes: list[str] = []
    for column in plan.columns:
        if is_generated(column):
            fitting.append(column)
            continue
        now = by_number.get(column.number) if known and column.number else by_name.get(column.source)
        if column.gone:
            fitting.append(column)
        elif now is None:
            misfit = _dropped(plan, column)
            if misfit:
                return Fitted(plan, misfit=misfit)
            fitting.append(replace(column, gone=True))
            changes.append(
                f"the column {column.source} ({column.pg_type}) was dropped in the source: {column.target.name} is "
                "NULL in rows that come from now on, and keeps what it has in the others; it is not compared any more"
            )
        else:
            found = _followed(plan, options, column, now)
            if plan.numbered and not isinstance(found, Misfit) and found.pg_type != column.pg_type:
                found = Misfit(column.source, f"was {column.pg_type} and is now {found.pg_type}, and {_HASHED}")
            if isinstance(found, Misfit):
                return Fitted(plan, misfit=found)
            changes += _words(column, found)
            fitting.append(found)
    for name in (*plan.order_by, *([] if plan.split_by is None else [plan.split_by])):
        if name not in by_name:
            return Fitted(plan, misfit=Misfit(name, "was dropped or renamed, and the config names it"))
    renamed = {old.source: new.source for old, new in zip(plan.columns, fitting, strict=True)}
    key = tuple(renamed.get(name, name) for name in plan.key)
    return Fitted(replace(plan, columns=tuple(fitting), key=key), tuple(dict.fromkeys(changes)))


def require_fit(plan: TablePlan, options: TableOptions, table: Table, *, left: str) -> Fitted:
    """The plan as it fits its table now. Raises: CheckpointError where a change cannot be followed."""
    fitted = fit(plan, options, table.columns)
    if fitted.misfit is not None:
        raise CheckpointError(
            f"{plan.qualified} was loaded with another plan: the column {fitted.misfit.column} {fitted.misfit.what}",
            state=left,
            next_step=f"put it back as it was, or {load_again(options.table)}",
        )
    return fitted


def come_again(plan: TablePlan, columns: Sequence[Column]) -> list[str]:
    """Columns of the plan that were dropped, and whose name and type another one has now."""
    live = {c.number for c in columns}
    now = {c.name: c.type.formatted for c in columns}
    lost = (c for c in plan.columns if not c.gone and c.number and c.number not in live)
    return [c.source for c in lost if now.get(c.source) == c.pg_type]


def renumbered(plan: TablePlan, table: Table) -> TablePlan:
    """The plan for a table that took the place of the loaded one: its columns are known by their names alone."""
    numbers = {c.name: c.number for c in table.columns}
    return replace(plan, columns=tuple(replace(c, number=numbers.get(c.source, 0)) for c in plan.columns))


def fingerprint(options: TableOptions) -> str:
    """A table's options as far as they decide what is loaded, as JSON: what a load remembers of them."""
    same = {"table": spelled(*options.full_name)}  # `device` is `public.device`
    document = options.model_copy(update=same).model_dump(mode="json", exclude=set(_FREE))
    return json.dumps(document, sort_keys=True, ensure_ascii=False)


def same_load(options: TableOptions, loaded: str) -> bool:
    """Whether a table's options load what those with the fingerprint `loaded` did."""
    return loaded == fingerprint(options)


def changes_since(options: TableOptions, loaded: str) -> str:
    """Which options are others than those with the fingerprint `loaded`: each by name, as it was and as it is.

    "" where none is named: the options are the same, or the fingerprint cannot be read.
    """
    try:
        before = json.loads(loaded)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(before, dict):
        return ""
    now = json.loads(fingerprint(options))
    return "; ".join(
        f"`{name}` was {_said(_written(name, before.get(name)))} and is {_said(_written(name, now.get(name)))}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    )


def _written(option: str, value: Any) -> Any:
    """The value of an option as the config file has it, where the fingerprint has it otherwise."""
    if option != "columns" or not isinstance(value, dict):
        return value
    return {column: _wish(wish) for column, wish in value.items()}


def _wish(wish: Any) -> Any:
    """A column's type, or all that is wished of it."""
    if not isinstance(wish, dict):
        return next((kind.label.lower() for kind in GridType if kind.value == wish), wish)
    return {
        "from" if key == "unit" else key: _wish(each) if key == "type" else each
        for key, each in wish.items()
        if each is not None
    }


def _said(value: Any) -> str:
    if value in (None, "", [], {}):
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")


def _dropped(plan: TablePlan, column: ColumnPlan) -> Misfit | None:
    if column.source in (*plan.key, *plan.order_by, plan.split_by):
        return Misfit(column.source, "was dropped, and the row key, `split_by` or `order_by` needs it")
    if plan.numbered:
        return Misfit(column.source, f"was dropped, and {_HASHED}")
    if not column.target.nullable:
        return Misfit(column.source, f"was dropped, and {column.target.name} of the containers takes no NULL")
    return None


def _followed(plan: TablePlan, options: TableOptions, column: ColumnPlan, now: Column) -> ColumnPlan | Misfit:
    if now.name != column.source:
        named = _named_in_config(options, column.configured)
        if column.source in (*plan.order_by, plan.split_by) or named:
            where = named or "`split_by` or `order_by`"
            return Misfit(column.source, f"was renamed to {now.name}, and the config names it under {where}")
        if now.name in options.exclude:
            return Misfit(column.source, f"was renamed to {now.name}, which the config leaves out")
        was = "" if now.name == column.configured else column.configured
        column = replace(column, source=now.name, loaded_as=was)
    changed = retyped(column, now.type)
    if changed is None:
        return Misfit(
            column.source,
            f"was {column.pg_type} and is now {now.type.formatted}, which {column.target.type.label} of the containers "
            "does not hold",
        )
    return changed


def _named_in_config(options: TableOptions, name: str) -> str:
    """The option that names a column; "" where none does."""
    places: dict[str, Collection[str]] = {
        "key": options.key_columns,
        "rename": options.rename,
        "columns": options.columns,
        "exclude": options.exclude,
    }
    for option, names in places.items():
        if name in names:
            return f"`{option}`"
    return "`where`" if re.search(rf"\b{re.escape(name)}\b", options.where) else ""


def _words(before: ColumnPlan, now: ColumnPlan) -> Iterator[str]:
    if before.source != now.source:
        yield f"the column {before.source} was renamed to {now.source} in the source: it stays {now.target.name} here"
    if before.pg_type != now.pg_type:
        yield (
            f"the column {now.source} was {before.pg_type} and is now {now.pg_type} in the source: {now.target.name} "
            f"stays {now.target.type.label}, and a value that it does not hold is refused. What ALTER TABLE made of "
            "rows by USING is not in the log: `gridferry verify` compares them"
        )
