"""What a look at the data found: the facts that a plan rests on, all from one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gridferry.model.epoch import Epoch
from gridferry.model.key_advice import KeyAdvice


class Facts(str, Enum):
    """Which facts of a column are asked for; `ColumnProfile` says what each holds. NULLs are always counted."""

    NULLS = "nulls"  # nothing else
    INTEGER = "integer"  # minimum, maximum
    FLOAT = "float"  # minimum, maximum (finite values), nan, infinite
    NUMERIC = "numeric"  # minimum, maximum (finite values), nan, infinite, max_scale, max_digits, undoubled
    DATE = "date"  # minimum, maximum (microseconds since 1970, midnight UTC), infinite
    TIME = "time"  # minimum, maximum (microseconds since 1970; timestamp is taken as UTC), infinite, fine
    TEXT = "text"  # max_bytes of the value cast to text, in UTF-8
    BYTES = "bytes"  # max_bytes
    LIST = "list"  # max_bytes of the text; unlisted: arrays that are not flat, without NULL, of 4,000 elements at most
    LIST_OF_TEXT = "list_of_text"  # as LIST; an element with more bytes than a STRING has makes an array unlisted too
    LIST_OF_TIMES = "list_of_times"  # as LIST; so does one that GridDB's milliseconds since 1970 cannot hold


@dataclass(frozen=True)
class ColumnRequest:
    """The facts wanted of one column, and the bounds that `ColumnProfile.outside` is counted against.

    `low` and `high` are inclusive and in the unit of `minimum` and `maximum`; for TEXT and BYTES `high` is a length
    in bytes. None is unbounded; with both None nothing is counted. With `epoch` the numbers become times: `outside`
    counts those that GridDB does not reach, `fine` those with digits that the type has not.
    """

    name: str
    facts: Facts
    low: int | float | None = None
    high: int | float | None = None
    epoch: Epoch | None = None


@dataclass(frozen=True)
class KeyRequest:
    """The columns in which no two rows may meet: the split column, if there is one, then the row key's columns.

    `unique` says that a constraint proves it already (`colliding` is 0 without a look at the data). `truncate` names
    the column to cut to milliseconds for `truncated_colliding`, or is None where that question does not arise; `epoch`
    says how, where it is one of numbers. When
    that column has no digits below the millisecond, `truncated_colliding` equals `colliding`.
    With `whole` the key is generated: rows meet where all `columns` are equal, NULL like any other value.
    Rows with a NULL in `columns[split:]` count as `nulls` and do not take part in collisions; a NULL split value does.
    """

    columns: tuple[str, ...]
    split: int = 0  # how many of `columns` are the split column: 0 or 1
    unique: bool = False
    truncate: str | None = None
    epoch: Epoch | None = None
    whole: bool = False


@dataclass(frozen=True)
class ProfileRequest:
    """What to look at in one table's data, all in one snapshot.

    Columns not listed need no look. `key` is None where the table has no key that could be used. `split_by` asks for
    every value of that column with its rows. `where` is the SQL condition that limits the rows, or "". Where it may not
    be `sampled`, every row is looked at.
    """

    schema: str
    table: str
    columns: tuple[ColumnRequest, ...] = ()
    key: KeyRequest | None = None
    split_by: str | None = None
    where: str = ""
    sampled: bool = True


@dataclass(frozen=True)
class ColumnProfile:
    """Facts about one column over all rows; a field is None where it does not apply to the type or was not asked.

    For time types the bounds are microseconds since 1970 of the finite values (dates at midnight), `infinite` counts
    +-infinity, `fine` counts values with digits below the millisecond. For float and numeric `nan` counts NaN and
    `infinite` +-Infinity; for numeric `max_scale` is the most fractional digits and `max_digits` the most significant
    digits of any finite value. For text-like and bytea columns `max_bytes` is the greatest length in bytes (UTF-8; of
    the text that would be stored). `outside` counts the finite values outside the bounds of the `ColumnRequest`,
    `unlisted` the arrays that GridDB's cannot hold, `undoubled` the finite decimals that the nearest double is not read
    back to, `broken` the texts that are no UTF-8, which only a database in SQL_ASCII has.
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
    outside: int | None = None
    unlisted: int | None = None
    undoubled: int | None = None
    broken: int | None = None


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
    """One table's facts. `exact` is False where only a sample was read; `rows` is then an estimate.

    `advice`: which columns may be its key, where that was asked because it has none, or one that does not serve.
    """

    rows: int
    columns: tuple[ColumnProfile, ...]
    key: KeyProfile | None = None
    split: tuple[SplitValue, ...] = ()
    exact: bool = True
    advice: KeyAdvice | None = None

    def column(self, name: str) -> ColumnProfile | None:
        """The facts of the column called exactly `name`, or None."""
        return next((c for c in self.columns if c.name == name), None)
