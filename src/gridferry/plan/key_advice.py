"""Which columns to try as the key of a table that has none, in which order, and how what was found is told. Pure.

For a table with a time the pair of a device and a time comes first, as that is what its containers are split and keyed
by; then fewer columns before more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from gridferry import numbers
from gridferry.model.key_advice import ColumnValues, KeyAdvice
from gridferry.model.table import Column, Table, TypeKind
from gridferry.plan.columns import column_rule
from gridferry.plan.epoch_advice import epoch_look
from gridferry.plan.keys import MAX_KEY_COLUMNS, TIME_TYPES, is_time
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import KindWish, TableOptions
from gridferry.plan.yaml_text import flow_text

LEAST_ROWS = 100  # of few rows nearly every column tells them apart, by chance
MOST_DEVICES = 10_000  # values; a column with more of them does not name devices
_MOST_TRIED = 24
_WHOLE = frozenset({"int2", "int4", "int8"})
_NAMES = frozenset({"text", "varchar", "bpchar", "name", "uuid"})
_OTHERS = frozenset({"numeric", "bool", "inet", "macaddr", "time", "float8", "float4"})
_FIRST = ("id", "key", "code", "uuid", "device", "sensor")  # what names of keys end with
_ABOUT = 0.9  # statistics are estimates


def eligible_columns(table: Table, options: TableOptions) -> tuple[Column, ...]:
    """The columns that can be part of a key, those first that most likely are."""
    found = [
        column
        for column in table.columns
        if column.readable
        and column.name not in options.exclude
        and column.type.builtin
        and (options.kind is not KindWish.TIMESERIES or is_time(column, options))
        and column_rule(column, options, in_key=True) is not None
        and (column.type.kind is TypeKind.ENUM or column.type.name in _WHOLE | _NAMES | TIME_TYPES | _OTHERS)
    ]
    return tuple(sorted(found, key=lambda c: (_rank(c), table.columns.index(c))))


def candidate_keys(
    table: Table,
    columns: Sequence[Column],
    values: Mapping[str, ColumnValues],
    *,
    rows: int,
    split_by: str | None = None,
) -> tuple[tuple[str, ...], ...]:
    """The sets of columns to look at, in order, the largest last: of all columns, which tells whether there is a key.

    Args: columns: as `eligible_columns` gives them; values: what is known of them; rows: an estimate.
    Returns: for a table that is split, each with the split column in front.
    """
    full = [c for c in columns if c.name != split_by and not values.get(c.name, ColumnValues()).nulls]
    tried: dict[tuple[str, ...], None] = {}
    for names in _ordered(table, full, values, rows=rows, split=split_by is not None):
        whole = names if split_by is None else (split_by, *names)
        if len(names) <= MAX_KEY_COLUMNS and _may_be_unique(whole, values, rows):
            tried.setdefault(whole)
        if len(tried) >= _MOST_TRIED:
            break
    everything = tuple(c.name for c in full)  # maybe more than a key can have
    if everything:
        tried.setdefault(everything if split_by is None else (split_by, *everything))
    return tuple(tried)


def _ordered(
    table: Table, columns: Sequence[Column], values: Mapping[str, ColumnValues], *, rows: int, split: bool
) -> Iterator[tuple[str, ...]]:
    times = [c.name for c in columns if _is_time(c)]
    others = [c.name for c in columns if not _is_time(c)]
    most = min(MOST_DEVICES, max(rows // 2, 2))
    devices = [name for name in others if 1 < (values.get(name, ColumnValues()).distinct or 2) <= most]
    devices.sort(key=lambda name: name not in table.indexed)
    if split:  # the device is the split column
        yield from ((time,) for time in times)
    else:
        yield from ((device, time) for time in times for device in devices)
    yield from ((name,) for name in (*others, *times))
    for size in (2, 3):
        yield from itertools.islice(_sets([*times[:2], *others], size), _MOST_TRIED)


def _sets(names: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return itertools.combinations(names, size)


def _may_be_unique(names: Sequence[str], values: Mapping[str, ColumnValues], rows: int) -> bool:
    """Whether the columns can tell that many rows apart, as far as the numbers of their values say."""
    known = [values.get(name, ColumnValues()).distinct for name in names]
    if any(distinct is None for distinct in known):
        return True
    return math.prod(distinct or 0 for distinct in known) >= rows * _ABOUT


def _rank(column: Column) -> int:
    name = column.name.lower()
    if any(name.endswith(word) for word in _FIRST):
        return 0
    if _is_time(column) or column.type.kind is TypeKind.ENUM or column.type.name in _WHOLE | _NAMES:
        return 1
    return 3 if column.type.name in ("float4", "float8") else 2


def _is_time(column: Column) -> bool:
    return column.type.name in TIME_TYPES or epoch_look(column) is not None


def key_words(advice: KeyAdvice, options: TableOptions) -> str:
    """What to write into the config, as the end of a sentence, and how sure that is; only what the next plan takes."""
    names = tuple(name for name in advice.columns if name != options.split_by)
    if names:
        written = flow_text(names[0]) if len(names) == 1 else f"[{', '.join(map(flow_text, names))}]"
        left = ", and leave `kind` out" if options.kind is KindWish.TIMESERIES and len(names) > 1 else ""
        safe = "" if is_telling(advice) else f"; or {_generated(advice, options)}"
        return f"`key: {written}`{left}: {sureness(advice)}{safe}"
    return _generated(advice, options)


def _generated(advice: KeyAdvice, options: TableOptions) -> str:
    also = ["leave `kind` out"] if options.kind is KindWish.TIMESERIES else []
    if options.sync_mode is SyncMode.WATERMARK and options.sync is not None and options.sync.column is None:
        also.append("name the column that grows under `sync`")
    what = "".join(["`key: generated`", *(f", {each}" for each in also)])
    return f"{what}: {why_generated(advice)}"


def why_generated(advice: KeyAdvice) -> str:
    """What a generated key does, and why it is needed as far as that is known."""
    does = "it makes a key of the row's values, and keeps every row"
    if not advice.rows or advice.columns:
        return does
    if not advice.repeated:
        return f"{does}; no small set of columns was found that no two rows share"
    equal = "row equals another" if advice.repeated == 1 else "rows equal another"
    return f"{does}; {numbers.count(advice.repeated)} {equal} in all columns that a key can have"


def is_telling(advice: KeyAdvice) -> bool:
    """Whether columns were found of which all rows say that they are a key, and enough of them."""
    return bool(advice.columns) and advice.proven and advice.rows >= LEAST_ROWS


def sureness(advice: KeyAdvice) -> str:
    """How sure it is that no two rows share the columns."""
    if advice.proven and advice.rows < LEAST_ROWS:
        return f"no two of all {numbers.plural(advice.rows, 'row')} share it, which are too few to tell"
    if advice.proven:
        return f"no two of all {numbers.count(advice.rows)} rows share it, though no constraint says so"
    return f"no two rows of a sample of {numbers.count(advice.rows)} share it: that is no proof"
