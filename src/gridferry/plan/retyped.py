"""A source column that has another type than when it was loaded: do its containers still hold what it holds?

They do where every value that was stored is still the value of its row, in the form in which it is stored, and each
value that comes is either stored exactly or refused by name. So an integer may become a bigint over an INTEGER: a
number that needs more is refused, and nothing is ever cut.
"""

from __future__ import annotations

import re
from dataclasses import replace

from gridferry.griddb.schema import GridType
from gridferry.model.table import PgType, TypeKind
from gridferry.plan.epochs import EPOCH_KERNELS
from gridferry.plan.mapping import TypeRule, Use
from gridferry.plan.plan import ColumnPlan, Fidelity, Kernel, ReadAs
from gridferry.plan.type_rules import TYPE_RULES

Way = tuple[GridType, bool, Kernel, ReadAs]  # a type, whether an array of it, and how values become it

_INTEGERS = frozenset({"int2", "int4", "int8"})
_FLOATS = ("float4", "float8")
_TEXTS = frozenset({"text", "varchar"})
_AS_TEXT = frozenset({"uuid", "json", "jsonb", "enum", *_TEXTS})  # their cast to text is the text that is stored
_TIMES = frozenset({"timestamp", "timestamptz", "time", "timetz"})
_MOST_SCALE = 22  # 10**22 is the greatest power of ten that a double holds exactly
_FORMATTED = re.compile(r"([a-z ]+?)(?:\((\d+)(?:,(-?\d+))?\))?( with(?:out)? time zone)?")
# What format_type() calls the types whose name is another one.
_NAMES = {
    "smallint": "int2",
    "integer": "int4",
    "bigint": "int8",
    "real": "float4",
    "double precision": "float8",
    "boolean": "bool",
    "character varying": "varchar",
    "character": "bpchar",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "time with time zone": "timetz",
    "time without time zone": "time",
}
_PLAIN_NAMES = frozenset({"numeric", "text", "date", "uuid", "json", "jsonb", "bytea", "name", "inet", "interval"})


def retyped(column: ColumnPlan, now: PgType) -> ColumnPlan | None:
    """The column's plan for the type that its source column has now; None where its containers cannot follow that."""
    if column.pg_type == now.formatted:
        return column
    before = _parsed(column)
    if not _keeps(column, before, now):
        return None
    changed = replace(column, pg_type=now.formatted, loaded_type=column.loaded_type or column.pg_type)
    if changed.loaded_type == now.formatted:
        changed = replace(changed, loaded_type="")
    if column.kernel is Kernel.DECIMAL_DOUBLE and now.name == "numeric":
        scale = column.scale if now.precision is None else max(now.scale or 0, 0)
        return replace(changed, scale=scale) if (scale or 0) <= _MOST_SCALE else None
    into = column.target.type, column.target.array
    fitting = [rule for rule in TYPE_RULES if (rule.target, rule.array) == into and rule.fits(now)]
    # What only a word of the config chooses, and what loses something, is nothing to change to.
    fitting = [
        rule
        for rule in fitting
        if rule.kernel is column.kernel or (rule.verdict is not Fidelity.LOSSY and rule.use is not Use.SCALED)
    ]
    if not fitting:
        return None
    rule = min(fitting, key=lambda r: _distance(r, column))
    if rule.verdict is Fidelity.LOSSY and column.verdict is not Fidelity.LOSSY:
        return None
    if rule.kernel is Kernel.DECIMAL_DOUBLE:
        return replace(changed, kernel=rule.kernel, read_as=rule.read_as, scale=max(now.scale or 0, 0))
    if _same_way(rule, column):
        return changed
    scale = column.scale if rule.kernel in EPOCH_KERNELS else None
    return replace(changed, kernel=rule.kernel, read_as=rule.read_as, verdict=rule.verdict, rule=rule.rule, scale=scale)


def ways_after_change(now: PgType) -> set[Way]:
    """Every way in which a column that has got the type `now` may be stored without loss."""
    found = {rule_way(rule) for rule in TYPE_RULES if rule.fits(now) and rule.verdict is not Fidelity.LOSSY}
    if now.name == "numeric":
        found.add((GridType.DOUBLE, False, Kernel.DECIMAL_DOUBLE, ReadAs.TEXT))
    return found


def rule_way(rule: TypeRule) -> Way:
    """How a rule stores values."""
    return rule.target, rule.array, rule.kernel, rule.read_as


def _distance(rule: TypeRule, column: ColumnPlan) -> tuple[bool, bool, bool]:
    return (
        not (rule.kernel is column.kernel and rule.read_as is column.read_as),
        rule.verdict is Fidelity.LOSSY,
        rule.use is not Use.DEFAULT,
    )


def _same_way(rule: TypeRule, column: ColumnPlan) -> bool:
    return rule.kernel is column.kernel and rule.read_as is column.read_as


def _keeps(column: ColumnPlan, before: PgType | None, now: PgType) -> bool:
    """Whether PostgreSQL's own conversion leaves each stored value as it is."""
    if before is None:  # a domain's, an enum's or another type's own name
        return now.kind is TypeKind.ENUM and column.kernel is Kernel.TEXT and column.read_as is ReadAs.TEXT
    old, new = before.name, "enum" if now.kind is TypeKind.ENUM else now.name
    if old in _INTEGERS:
        return new in _INTEGERS or (new == "numeric" and column.kernel is not Kernel.TEXT)
    if old == "numeric" and new == "numeric":
        return _keeps_digits(column, before, now)
    if old in _FLOATS:
        return (old, new) == _FLOATS
    if old == "bpchar" or new == "bpchar":
        same = old == new and before.length == now.length
        return same or (column.read_as is ReadAs.TEXT and new in ("bpchar", *_TEXTS))
    if old in _AS_TEXT and new in _TEXTS:
        return True
    if old in _TIMES and old == new:
        return now.precision is None or (before.precision is not None and now.precision >= before.precision)
    return old == new and (before.length, before.precision, before.scale) == (now.length, now.precision, now.scale)


def _keeps_digits(column: ColumnPlan, before: PgType, now: PgType) -> bool:
    if now.precision is None:
        return True
    if before.precision is None:
        return False
    scales = (before.scale or 0), (now.scale or 0)
    # As text the digits are stored as they are shown: another scale gives every value another text.
    return scales[0] == scales[1] if column.kernel in (Kernel.TEXT, Kernel.TEXT_BLOB) else scales[0] <= scales[1]


def _parsed(column: ColumnPlan) -> PgType | None:
    """The type that the plan has for the column; None for a domain and what is not built in."""
    match = _FORMATTED.fullmatch(column.pg_type)
    if match is None:
        return None
    word, first, second, zone = match.groups()
    name = _NAMES.get(f"{word}{zone or ''}", word if word in _PLAIN_NAMES else "")
    if not name:
        return None
    numbers = [None if text is None else int(text) for text in (first, second)]
    if name in ("varchar", "bpchar"):
        return PgType(name, column.pg_type, length=numbers[0])
    if name == "numeric" and first is not None:
        return PgType(name, column.pg_type, precision=numbers[0], scale=numbers[1] or 0)
    return PgType(name, column.pg_type, precision=numbers[0])
