"""How much of a table the target holds: which columns and rows of the source, and what became of the others.

Every view that says "equal", "loaded" or "ready" takes its numbers from here, and its words from `coverage_words`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from gridferry.model.forms import Count, Name, Sentence


class Why(str, Enum):
    """Why a column of the source is not in the target."""

    EXCLUDED = "excluded"  # the config leaves it out
    ADDED = "added"  # it came to the source after the plan was made


@dataclass(frozen=True)
class LeftOut:
    """A column of the source that the target does not have. `reason` is the config's; "" where it gives none."""

    name: Name
    type: Name  # format_type() of the column
    why: Why = Why.EXCLUDED
    reason: Sentence = ""

    @property
    def confirmed(self) -> bool:
        """Whether somebody said why the column is not needed."""
        return self.why is Why.EXCLUDED and bool(self.reason)


@dataclass(frozen=True)
class Coverage:
    """One table. `columns` counts those of the source: `exact` ones, `lossy` ones (names), and `left_out`.

    A column that is stored twice, such as a time with its microseconds beside it, counts once; one whose values name
    the containers counts as exact. Rows are those that meet `where` ("": all). `source_rows` of them, `stored` have
    their place in the target; None where that was not counted. `quarantined` and `superseded` (another row of their key
    took their place, by `on_duplicate`) are not in the target. `dropped` are columns that the source has no more: what
    the target holds of them is not compared.
    """

    columns: Count = 0
    exact: Count = 0
    lossy: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    where: str = ""
    source_rows: Count | None = None
    stored: Count | None = None
    quarantined: Count = 0
    superseded: Count = 0
    dropped: tuple[str, ...] = ()

    @property
    def compared(self) -> int:
        """Columns of the source whose values the target has, with or without loss."""
        return self.columns - len(self.left_out)

    @property
    def unconfirmed(self) -> tuple[LeftOut, ...]:
        """The columns that are left out and nobody said why."""
        return tuple(column for column in self.left_out if not column.confirmed)

    @property
    def all_rows(self) -> bool:
        """Whether each row that meets `where` is stored, or superseded as the user asked."""
        return not self.quarantined


NO_COVERAGE = Coverage()


def total(each: Iterable[Coverage]) -> Coverage:
    """Several tables together; without `where`, which is a table's own."""
    parts = tuple(each)
    return Coverage(
        columns=sum(c.columns for c in parts),
        exact=sum(c.exact for c in parts),
        lossy=tuple(name for c in parts for name in c.lossy),
        left_out=tuple(column for c in parts for column in c.left_out),
        source_rows=_sum([c.source_rows for c in parts]),
        stored=_sum([c.stored for c in parts]),
        quarantined=sum(c.quarantined for c in parts),
        superseded=sum(c.superseded for c in parts),
        dropped=tuple(name for c in parts for name in c.dropped),
    )


def _sum(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if numbers and len(known) == len(numbers) else None
