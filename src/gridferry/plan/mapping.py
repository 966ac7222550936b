"""Type rules: what a row of the type table says, and which row a column gets. The rows are in `type_rules`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from gridferry.griddb.schema import KEY_TYPES, GridType
from gridferry.griddb.wire.statement import MAX_STRING_BYTES, MAX_TIMESTAMP_MS
from gridferry.model.profile import ColumnRequest, Facts
from gridferry.model.table import Column, PgType, TypeKind
from gridferry.plan.plan import Fidelity, Kernel, ReadAs

MAX_TIME_US = MAX_TIMESTAMP_MS * 1000 + 999  # 9999-12-31T23:59:59.999999Z
MAX_DATE_US = 253_402_214_400_000_000  # 9999-12-31T00:00:00Z
_UTF8_BYTES = 4  # the most bytes that one character of varchar(n) takes


class Use(str, Enum):
    """When a rule is a candidate."""

    DEFAULT = "default"  # without a word from the user
    KEY = "key"  # without a word from the user, for a row key column whose default cannot be one
    OVERRIDE = "override"  # where `columns` asks for its target
    TRUNCATE = "truncate"  # as OVERRIDE, with `precision: truncate`


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

    def fits(self, pg_type: PgType) -> bool:
        """Whether the rule speaks about `pg_type`."""
        return ("*" in self.types or rule_name(pg_type) in self.types) and self.when.holds(pg_type)

    def request(self, column: Column) -> ColumnRequest | None:
        """What to look at in the data before this rule is used; None if the declaration says enough."""
        length = column.type.length
        short = length is not None and length * _UTF8_BYTES <= MAX_STRING_BYTES
        if self.facts is Facts.NULLS or (self.facts is Facts.TEXT and short):
            return None
        return ColumnRequest(column.name, self.facts, low=self.low, high=self.high)


def rule_name(pg_type: PgType) -> str:
    """The name that rules know a type by; "array" and "other" have no rules but those for "*"."""
    return pg_type.name if pg_type.kind is TypeKind.BASE else pg_type.kind.value


def choose_rule(
    rules: tuple[TypeRule, ...],
    pg_type: PgType,
    *,
    wish: GridType | None = None,
    in_key: bool = False,
    truncate: bool = False,
) -> TypeRule | None:
    """The first rule of the table that fits; None where the type is refused.

    `wish` is the type that the user wants. A row key column only gets types that can be a row key.
    """
    uses = {Use.DEFAULT, Use.KEY} if in_key else {Use.DEFAULT}
    if wish is not None:
        uses = {Use.DEFAULT, Use.KEY, Use.TRUNCATE if truncate else Use.OVERRIDE, Use.OVERRIDE}
    found = [
        rule
        for rule in rules
        if rule.use in uses
        and rule.fits(pg_type)
        and (wish is None or rule.target is wish)
        and (not in_key or rule.target in KEY_TYPES)
    ]
    if truncate:
        found.sort(key=lambda rule: rule.use is not Use.TRUNCATE)
    return found[0] if found else None


def possible_targets(rules: tuple[TypeRule, ...], pg_type: PgType, *, in_key: bool = False) -> tuple[GridType, ...]:
    """The types that a user may ask for, in the order of the table."""
    fitting = (r.target for r in rules if r.fits(pg_type) and (not in_key or r.target in KEY_TYPES))
    return tuple(dict.fromkeys(fitting))
