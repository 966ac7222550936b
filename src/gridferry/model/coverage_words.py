"""What a coverage says, in words. The one place for them: no view writes its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gridferry import numbers
from gridferry.model.coverage import Coverage, LeftOut, Why

SUPERSEDED = "superseded by another of their key"
MOST_TABLES = 20
QUARANTINE_STEP = (
    "gridferry quarantine list says why; correct those rows in the source, then run gridferry quarantine replay"
)
COLUMNS_STEP = (
    "give the reason of each in the config, `exclude: {COLUMN: reason}`; or load it: take it out of `exclude`, choose "
    "a type for it under `columns`, then gridferry load --replace"
)


def all_values(c: Coverage) -> str:
    """`All values`, or `All values of 12 of 20 columns`: what a comparison by value has compared."""
    return f"All values of {columns(c)}" if c.left_out else "All values"


def columns(c: Coverage) -> str:
    """`12 of 20 columns`, or `20 columns`."""
    of = f"{c.compared} of " if c.left_out else ""
    return of + numbers.plural(c.columns, "column")


def rows(c: Coverage, *, otherwise: int = 0) -> str:
    """`8 rows`; or `1 of 8 rows stored, 7 in quarantine`. `otherwise`: the number of rows where nothing is missing."""
    if not has_gaps(c):
        return numbers.plural(otherwise if c.source_rows is None else max(c.source_rows, otherwise), "row")
    if c.source_rows is None or c.stored is None:
        return ", ".join([numbers.plural(otherwise, "row"), *not_stored(c)])
    of = f"{numbers.count(c.stored)} of {numbers.plural(c.source_rows, 'row')} stored"
    return ", ".join([of, *not_stored(c)])


def has_gaps(c: Coverage) -> bool:
    """Whether rows of the source are not stored: in quarantine, or superseded."""
    return bool(c.quarantined or c.superseded)


def not_stored(c: Coverage) -> Iterator[str]:
    """What became of the rows that are not stored: `7 in quarantine`, `2 superseded by another of their key`."""
    if c.quarantined:
        yield f"{numbers.count(c.quarantined)} in quarantine"
    if c.superseded:
        yield f"{numbers.count(c.superseded)} {SUPERSEDED}"


def remarks(c: Coverage) -> Iterator[str]:
    """What has to be known of one table before it is called equal; a sentence each, nothing where all is there."""
    if c.left_out:
        are = "is" if len(c.left_out) == 1 else "are"
        yield f"{len(c.left_out)} of {numbers.plural(c.columns, 'column')} {are} not in GridDB: {named(c.left_out)}"
    if c.lossy:
        yield f"{numbers.plural(len(c.lossy), 'column')} stored with loss, compared after it: {', '.join(c.lossy)}"
    if c.dropped:
        yield (
            f"{numbers.plural(len(c.dropped), 'column')} dropped in the source, kept in GridDB and not compared: "
            f"{', '.join(c.dropped)}"
        )
    if c.where:
        yield f"only rows that meet this condition are loaded and compared: {' '.join(c.where.split())}"


def headline_remarks(c: Coverage, conditions: int = 0) -> Iterator[str]:
    """The same of several tables, in few words. `conditions`: how many of them have a `where`."""
    if c.lossy:
        yield f"{numbers.plural(len(c.lossy), 'column')} compared after loss"
    if conditions:
        yield f"in {numbers.plural(conditions, 'table')} only rows that meet `where`"


def named(left_out: Sequence[LeftOut]) -> str:
    """`genres text[] (excluded, no reason given), pos geometry (excluded: not needed)`."""
    return ", ".join(f"{column.name} {column.type} ({why(column)})" for column in left_out)


def other_tables(others: Sequence[str]) -> str:
    """What to say of tables of the database that the config does not name; "" of none."""
    if not others:
        return ""
    are = "table of the database is" if len(others) == 1 else "tables of the database are"
    shown = ", ".join(others[:MOST_TABLES])
    more = f" and {numbers.count(len(others) - MOST_TABLES)} more" if len(others) > MOST_TABLES else ""
    return f"{numbers.count(len(others))} {are} not in this config: {shown}{more}"


def new_tables(new: Sequence[str]) -> str:
    """What to say of tables that belong to the config and are not loaded yet; "" of none."""
    if not new:
        return ""
    shown = ", ".join(new[:MOST_TABLES])
    more = f" and {numbers.count(len(new) - MOST_TABLES)} more" if len(new) > MOST_TABLES else ""
    return f"{numbers.plural(len(new), 'table')} not loaded yet: {shown}{more}"


def why(column: LeftOut) -> str:
    """`excluded: not needed`, `excluded, no reason given`, or that it is newer than the load."""
    if column.why is Why.ADDED:
        return "added to the source after the load"
    return f"excluded: {column.reason}" if column.reason else "excluded, no reason given"
