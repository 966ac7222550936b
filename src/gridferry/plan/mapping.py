"""Type rules: what a row of the type table says, and which row a column gets. The rows are in `type_rules`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from gridferry.griddb.schema import KEY_TYPES, GridType
from gridferry.griddb.wire.statement import MAX_STRING_BYTES
from gridferry.model.profile import ColumnProfile, ColumnRequest, Facts
from gridferry.model.table import Column, PgType, TypeKind
from gridferry.plan.plan import Fidelity, Kernel, ReadAs
from gridferry.plan.unfit import unfit_values

_UTF8_BYTES = 4  # the most bytes that one character of varchar(n) takes
# Types whose text is never long, so that nobody needs to look for a long one.
_BRIEF = frozenset(
    {
        "int2", "int4", "int8", "float4", "float8", "bool", "date", "timestamp", "timestamptz", "time", "timetz",
        "interval", "uuid", "inet", "cidr", "macaddr", "macaddr8", "money", "char", "oid", "pg_lsn", "tid", "xid",
        "cid", "xid8", "point", "line", "lseg", "box", "circle", "regclass", "regtype", "regrole", "regnamespace",
        "regconfig", "regdictionary", "regcollation",
    }
)  # fmt: skip


class Use(str, Enum):
    """When a rule is a candidate."""

    SUITED = "suited"  # without a word from the user, where every value that is there fits
    DEFAULT = "default"  # without a word from the user
    FALLBACK = "fallback"  # without a word from the user, where the data has values that its default cannot hold
    KEY = "key"  # without a word from the user, for a row key column whose default cannot be one
    OVERRIDE = "override"  # where `columns` asks for its target
    SCALED = "scaled"  # where `columns` asks for a `scale`
    NULL = "null"  # where `columns` says `out_of_range: null`
    CLAMP = "clamp"  # where `columns` says `out_of_range: clamp`
    TRUNCATE = "truncate"  # as OVERRIDE, with `precision: truncate`
    EPOCH = "epoch"  # where `columns` says `from`, what a number counts that becomes a time
    EPOCH_TRUNCATE = "epoch_truncate"  # as EPOCH, with `precision: truncate` where there are digits to cut
    EPOCH_NULL = "epoch_null"  # as EPOCH, with `out_of_range: null`
    EPOCH_CLAMP = "epoch_clamp"


EPOCHS = frozenset({Use.EPOCH, Use.EPOCH_TRUNCATE, Use.EPOCH_NULL, Use.EPOCH_CLAMP})


@dataclass(frozen=True)
class Condition:
    """A condition on the declared type, and how it is written in the docs."""

    label: str
    holds: Callable[[PgType], bool]


ALWAYS = Condition("", lambda _: True)


@dataclass(frozen=True)
class TypeRule:
    """One row: a PostgreSQL type, the GridDB type it may become, how, and how well.

    `types` are names as in `PgType.name`, "enum" for any enum type, "*" for any type at all. `facts`, `low` and
    `high` are what must be known of the data to say before the load whether every value fits (see ColumnRequest).
    """

    types: tuple[str, ...]
    target: GridType
    verdict: Fidelity
    kernel: Kernel
    rule: str
    read_as: ReadAs = ReadAs.PLAIN
    use: Use = Use.DEFAULT
    when: Condition = field(default=ALWAYS)
    facts: Facts = Facts.NULLS
    low: int | float | None = None
    high: int | float | None = None
    array: bool = False  # the target is an array of `target`
    key: bool = True  # may be in a row key, where its target may

    def fits(self, pg_type: PgType) -> bool:
        """Whether the rule speaks about `pg_type`."""
        return ("*" in self.types or rule_name(pg_type) in self.types) and self.when.holds(pg_type)

    def holds(self, facts: ColumnProfile) -> bool:
        """Whether every value that `facts` tell of can be stored by this rule."""
        return next(unfit_values(self.kernel, self.target, facts), None) is None

    def request(self, column: Column) -> ColumnRequest | None:
        """What to look at in the data before this rule is used; None if the declaration says enough."""
        length = column.type.length
        short = (length is not None and length * _UTF8_BYTES <= MAX_STRING_BYTES) or rule_name(column.type) in _BRIEF
        if self.facts is Facts.NULLS or (self.facts is Facts.TEXT and short):
            return None
        return ColumnRequest(column.name, self.facts, low=self.low, high=self.high)


def rule_name(pg_type: PgType) -> str:
    """The name that rules know a type by, `_int4` for integer[]; "other" has no rules but those for "*"."""
    return pg_type.name if pg_type.kind in (TypeKind.BASE, TypeKind.ARRAY) else pg_type.kind.value


def choose_rule(
    rules: tuple[TypeRule, ...],
    pg_type: PgType,
    *,
    wish: GridType | None = None,
    in_key: bool = False,
    truncate: bool = False,
    facts: ColumnProfile | None = None,
    keep_rows: bool = True,
    only: frozenset[Use] = frozenset(),
) -> TypeRule | None:
    """The first rule of the table that fits; None where the type is refused.

    `wish` is the type that the user wants. A row key column only gets types that can be a row key. `facts` are about
    the column's data, where it was looked at: without a wish they decide which type will do. Without `keep_rows`
    none is chosen for values that the default refuses. With `only`, rules of other uses are no candidates.
    """
    if only:
        able = (r for r in rules if r.use in only and r.fits(pg_type) and (not in_key or can_be_key(r)))
        return next((r for r in able if wish is None or (r.target is wish and not r.array)), None)
    uses = {Use.DEFAULT, Use.KEY} if in_key else {Use.DEFAULT}
    if wish is not None:
        uses = {Use.DEFAULT, Use.FALLBACK, Use.KEY, Use.TRUNCATE if truncate else Use.OVERRIDE, Use.OVERRIDE}
    found = [
        rule
        for rule in rules
        if rule.use in uses
        and rule.fits(pg_type)
        and (wish is None or (rule.target is wish and not rule.array))
        and (not in_key or can_be_key(rule))
    ]
    if truncate:
        found.sort(key=lambda rule: rule.use is not Use.TRUNCATE)
    if wish is not None and facts is not None and found and found[0].verdict is Fidelity.LOSSY:
        kept = (r for r in rules if r.use is Use.SUITED and r.fits(pg_type) and r.target is wish and not r.array)
        found = [r for r in kept if r.holds(facts) and (not in_key or can_be_key(r))] + found
    if wish is not None or facts is None or not found:
        return found[0] if found else None
    by_data = [r for r in rules if r.fits(pg_type) and (not in_key or can_be_key(r)) and r.holds(facts)]
    # A column without a value tells nothing of those that will come: its default takes any.
    seen = facts.minimum is not None or facts.max_bytes is not None
    suited = [r for r in by_data if seen and r.use is Use.SUITED]
    fallback = [] if not keep_rows or found[0].holds(facts) else [r for r in by_data if r.use is Use.FALLBACK]
    return next(iter([*suited, *fallback, *found]))


def can_be_key(rule: TypeRule) -> bool:
    """Whether a column of a row key can have the rule."""
    return rule.key and rule.target in KEY_TYPES and not rule.array


def possible_targets(rules: tuple[TypeRule, ...], pg_type: PgType, *, in_key: bool = False) -> tuple[GridType, ...]:
    """The types that a user may ask for, in the order of the table."""
    plain = (r for r in rules if r.use not in EPOCHS)
    fitting = (r.target for r in plain if r.fits(pg_type) and not r.array and (not in_key or can_be_key(r)))
    return tuple(dict.fromkeys(fitting))
