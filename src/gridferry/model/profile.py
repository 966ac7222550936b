"""What a look at the data found: the facts that a plan rests on, all from one snapshot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ColumnProfile:
    """Facts about one column over all rows; a field is None where it does not apply to the type or was not asked.

    For time types the bounds are microseconds since 1970 of the finite values (dates at midnight), `infinite` counts
    +-infinity, `fine` counts values with digits below the millisecond. For float and numeric `nan` counts NaN and
    `infinite` +-Infinity; for numeric `max_scale` is the most fractional digits and `max_digits` the most significant
    digits of any finite value. For text-like and bytea columns `max_bytes` is the greatest length in bytes (UTF-8; of
    the text that would be stored).
    """

    name: str
    nulls: int
    minimum: int | float | None = None
    maximum: int | float | None = None
    infinite: int | None = None
    nan: int | None = None
    fine: int | None = None
    max_scale: int | None = None
    max_digits: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True)
class KeyProfile:
    """How often rows meet in one key (with the split column in front). `colliding` counts rows beyond the first a key.

    `examples` holds up to five keys as text, for messages. `truncated_*` are for keys whose only time column is
    cut to milliseconds; None where the key has no time column or nothing could collide.
    """

    columns: tuple[str, ...]
    colliding: int = 0
    examples: tuple[str, ...] = ()
    truncated_colliding: int | None = None
    truncated_examples: tuple[str, ...] = ()
    nulls: int = 0


@dataclass(frozen=True)
class SplitValue:
    """One value of the split column, as text (None for NULL), and its rows."""

    value: str | None
    rows: int


@dataclass(frozen=True)
class TableProfile:
    """One table's facts. `exact` is False where only a sample was read; `rows` is then an estimate."""

    rows: int
    columns: tuple[ColumnProfile, ...]
    key: KeyProfile | None = None
    split: tuple[SplitValue, ...] = ()
    exact: bool = True

    def column(self, name: str) -> ColumnProfile | None:
        """The facts of the column called exactly `name`, or None."""
        return next((c for c in self.columns if c.name == name), None)
