"""What only a TIME_SERIES can be asked: averages over time, and rows between rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gridferry.embedded.duck import Duck
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.sources import Source
from gridferry.embedded.tql_query import Samples
from gridferry.embedded.tql_values import INTEGERS
from gridferry.griddb.schema import ContainerSchema

MAX_SAMPLES = 1_000_000


def time_average(times: NDArray[np.int64], values: NDArray[np.float64]) -> float | None:
    """The average of values (n,) at rising times (n,), each weighing from half-way before it to half-way after it.

    None for no values. Half-way is a whole millisecond, rounded down.
    """
    if not len(times):
        return None
    middles = times[:-1] + (times[1:] - times[:-1]) // 2
    weights = np.diff(np.concatenate((times[:1], middles, times[-1:]))).astype(np.float64)
    return float((values * weights).sum() / weights.sum()) if weights.sum() else float(values[-1])


def sampled(duck: Duck, source: Source, schema: ContainerSchema, query: Samples) -> pa.Table:
    """Stored rows at the query's times; a time without a row before it has none, nor, if columns are to lie on the
    line between two rows, has one without a row after it. Raises: 152012 for too many times.
    """
    count = max(0, (query.end - query.start) // query.step + 1)
    if count > MAX_SAMPLES:
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_RANGE, f"{count} samples: at most {MAX_SAMPLES}")
    condition = f" WHERE {query.where}" if query.where else ""
    near = f"(SELECT * FROM {source.sql}{condition})"
    rows = duck.select(
        f"SELECT {', '.join(source.shape.names)} FROM {near} WHERE"
        f" c0 >= coalesce((SELECT max(c0) FROM {near} WHERE c0 <= {query.start}), {query.start})"
        f" AND c0 <= coalesce((SELECT min(c0) FROM {near} WHERE c0 >= {query.end}), {query.end}) ORDER BY c0",
        tables=source.tables,
    )
    times = query.start + np.arange(count, dtype=np.int64) * query.step
    known = np.asarray(rows.column("c0").to_numpy(), np.int64)
    before = np.searchsorted(known, times, side="right") - 1
    exact = (before >= 0) & (known[before] == times) if len(known) else np.zeros(count, bool)
    usable = before >= 0
    if query.columns:
        usable &= exact | (before + 1 < len(known))
    times, before, exact = times[usable], before[usable], exact[usable]
    table = rows.take(pa.array(before))
    for number in query.columns:
        column = _on_the_line(schema, rows.column(f"c{number}"), number, times=times, known=known, before=before)
        place = table.schema.get_field_index(f"c{number}")
        kept = pc.if_else(pa.array(exact), table.column(place), column)
        table = table.set_column(place, f"c{number}", kept)
    return table.set_column(table.schema.get_field_index("c0"), "c0", pa.array(times))


def _on_the_line(
    schema: ContainerSchema,
    column: pa.ChunkedArray,
    number: int,
    *,
    times: NDArray[np.int64],
    known: NDArray[np.int64],
    before: NDArray[np.int64],
) -> pa.Array:
    """Each time's value between its two rows, in the column's type; NULL beside a NULL."""
    after = np.where(known[before] == times, before, np.minimum(before + 1, len(known) - 1))
    values = np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    missing = np.asarray(column.is_null().to_numpy(), bool)
    span = np.where(after == before, 1, known[after] - known[before])
    found = values[before] + (values[after] - values[before]) * ((times - known[before]) / span)
    mask = missing[before] | missing[after]
    if schema.columns[number].type in INTEGERS:
        return pa.array(np.where(mask, 0, np.trunc(found)).astype(np.int64), mask=mask).cast(column.type)
    return pa.array(found, mask=mask).cast(column.type)
