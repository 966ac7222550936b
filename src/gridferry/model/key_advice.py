"""Which columns may be the key of a table that has none: what is known of each, and what a look at the rows found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ColumnValues:
    """How many different values a column has (an estimate will do; None: not known), and whether it has NULL."""

    distinct: int | None = None
    nulls: bool = False


@dataclass(frozen=True)
class KeyAdvice:
    """The smallest set of columns found that no two rows share, none where there is no such set.

    `rows` were looked at; `proven` says that these are all rows of the table. Without columns `repeated` counts rows of
    these that equal an earlier one in every column that can be part of a key.
    """

    columns: tuple[str, ...] = ()
    rows: int = 0
    proven: bool = False
    repeated: int = 0
