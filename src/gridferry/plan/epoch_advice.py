"""Columns of numbers that plainly count time: what to look at, and the words of the config that make times of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from gridferry.griddb.schema import GridType
from gridferry.model.epoch import NUMBERS_OF, Epoch, EpochUnit, Numbers
from gridferry.model.profile import ColumnProfile, ColumnRequest, Facts
from gridferry.model.table import Column
from gridferry.plan.plan import Finding, Severity
from gridferry.plan.table_options import TableOptions
from gridferry.plan.yaml_text import flow_text

_WORDS = "ts|time|timestamp|clock|epoch|date|datetime|at|created|updated|modified|changed|stamp|millis|seen|start|end"
_NAME = re.compile(rf"(?:^|.*[_a-z])(?:time|timestamp|clock)|(?:.*_)?(?:{_WORDS})(?:_.*)?", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_YEARS_S = (631_152_000, 4_102_444_800)  # 1990 to 2100: the units cannot be confused within
_COUNTED = {0: "seconds", 3: "milliseconds", 6: "microseconds", 9: "nanoseconds"}


class CountedTime(NamedTuple):
    """What makes times of numbers: a pair for the option `columns`, and what the numbers count, in words."""

    wish: str
    counts: str


def epoch_look(column: Column) -> ColumnRequest | None:
    """What to look at in a column of numbers whose name speaks of time; None for every other."""
    numbers = NUMBERS_OF.get(column.type.name)
    if _NAME.fullmatch(column.name) is None or column.type.name == "int2":
        return None
    if numbers is Numbers.WHOLE:  # only nanoseconds can have digits that GridDB's times have not
        return ColumnRequest(column.name, Facts.INTEGER, epoch=Epoch(9, 6, numbers))
    if numbers is Numbers.DOUBLE:  # only seconds are kept in doubles
        return ColumnRequest(column.name, Facts.FLOAT, epoch=Epoch(0, 6, numbers))
    return None


def counted_time(column: Column, facts: ColumnProfile) -> CountedTime | None:
    """The unit and the type of a column whose numbers all plainly count time; None for every other.

    Facts of a sample will do where the answer is only a suggestion.
    """
    if epoch_look(column) is None or facts.minimum is None or facts.maximum is None or facts.nan or facts.infinite:
        return None
    low, high = facts.minimum, facts.maximum
    units = [u for u in EpochUnit if all(_YEARS_S[0] <= v / 10**u.digits < _YEARS_S[1] for v in (low, high))]
    whole = NUMBERS_OF[column.type.name] is Numbers.WHOLE
    if not units or (not whole and units[0] is not EpochUnit.SECONDS):
        return None
    unit = units[0]
    if facts.fine and (not whole or unit is EpochUnit.NANOSECONDS):
        return None  # what would be refused is no advice
    target = GridType.TIMESTAMP_MS if whole and unit.digits <= 3 else GridType.TIMESTAMP_US
    days = " to ".join(f"{_EPOCH + timedelta(seconds=float(v) / 10**unit.digits):%Y-%m-%d}" for v in (low, high))
    wish = f"{flow_text(column.name)}: {{type: {target.label.lower()}, from: {unit.value}}}"
    return CountedTime(wish, f"{_COUNTED[unit.digits]} since 1970: {days}")


def epoch_advice(column: Column, facts: ColumnProfile, options: TableOptions) -> Iterator[Finding]:
    """That the numbers of a column count time, where every one of them does, and says which unit it is."""
    found = counted_time(column, facts)
    if found is not None:
        where = "add it to" if options.columns else "write"
        advice = f"{where} `columns: {{{found.wish}}}` to have them as times in GridDB"
        yield Finding(Severity.INFO, column.name, f"its numbers look like times, {found.counts}", advice)
