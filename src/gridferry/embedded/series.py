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
from gridferry.griddb.schema import ContainerSchema, GridType

MAX_SAMPLES = 1_000_000
# Of the types whose empty value is not 0; the geometry is POINT(EMPTY).
_EMPTY: dict[GridType, object] = {
    GridType.STRING: "",
    GridType.BOOL: False,
    GridType.BLOB: b"",
    GridType.GEOMETRY: bytes.fromhex("0000ffffffff00"),
}


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
    """Stored rows at the query's times, as `Samples` says. Raises: 152012 for too many times.

    A time before all rows has none, unless they are empty; nor, if columns are to lie on the line between two rows, has
    one after all rows.
    """
    rows = _around(duck, source, query)
    known = np.asarray(rows.column("c0").to_numpy(), np.int64)
    times = _times(query, known)
    before = np.searchsorted(known, times, side="right") - 1
    exact = known[before] == times if len(known) else np.zeros(len(times), bool)
    if query.empty:
        table = pa.concat_tables([rows, _empty_row(schema, rows.schema)]).take(
            pa.array(np.where(exact, before, len(known)))
        )
    else:
        table = rows.take(pa.array(before))
    for number in query.columns:
        place = table.schema.get_field_index(f"c{number}")
        between = _on_the_line(query, rows.column(place), schema.columns[number].type, times=times, known=known)
        table = table.set_column(place, f"c{number}", pc.if_else(pa.array(exact), table.column(place), between))
    table = table.set_column(table.schema.get_field_index("c0"), "c0", pa.array(times))
    if not query.order:
        return table.slice(query.offset, query.limit)
    ordered = f"SELECT * FROM samples ORDER BY {query.order}, c0"
    return duck.select(ordered, tables={"samples": table}).slice(query.offset, query.limit)


def _around(duck: Duck, source: Source, query: Samples) -> pa.Table:
    """The rows from the last one at or before the start to the first one at or after the end."""
    condition = f" WHERE {query.where}" if query.where else ""
    near = f"(SELECT * FROM {source.sql}{condition})"
    return duck.select(
        f"SELECT {', '.join(source.shape.names)} FROM {near} WHERE"
        f" c0 >= coalesce((SELECT max(c0) FROM {near} WHERE c0 <= {query.start}), {query.start})"
        f" AND c0 <= coalesce((SELECT min(c0) FROM {near} WHERE c0 >= {query.end}), {query.end}) ORDER BY c0",
        tables=source.tables,
    )


def _times(query: Samples, known: NDArray[np.int64]) -> NDArray[np.int64]:
    """The times that have a sample, beside rows at the times `known` (n,). Raises: 152012."""
    first, last = 0, (query.end - query.start) // query.step
    if not query.empty and not len(known):
        last = -1
    elif not query.empty:
        first = max(0, -((query.start - int(known[0])) // query.step))
        late = max(0, (int(known[-1]) - query.start) // query.step + 1)
        # As seen on 5.9.0: after the last row only without WHERE, and only if the first time there is not the end.
        if query.columns or query.where or query.start + late * query.step >= query.end:
            last = min(last, late - 1)
    if query.limit is not None and not query.order:
        last = min(last, first + query.offset + query.limit - 1)
    if last - first >= MAX_SAMPLES:
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_RANGE, f"{last - first + 1} samples: at most {MAX_SAMPLES}")
    return query.start + np.arange(first, last + 1, dtype=np.int64) * query.step


def _empty_row(schema: ContainerSchema, stored: pa.Schema) -> pa.Table:
    """A row of each type's empty value; `stored` is its Arrow schema."""
    values = [0, *([] if column.array else _EMPTY.get(column.type, 0) for column in schema.columns)]
    return pa.table([pa.array([v], field.type) for v, field in zip(values, stored, strict=True)], schema=stored)


def _on_the_line(
    query: Samples, column: pa.ChunkedArray, kind: GridType, *, times: NDArray[np.int64], known: NDArray[np.int64]
) -> pa.Array:
    """Each time's value between its two rows, in the column's type; NULL beside a NULL.

    Without WHERE the real server takes the difference in the column's type, where it may wrap, and rounds a DOUBLE to
    a FLOAT (seen on 5.9.0); with WHERE it does neither.
    """
    before = np.searchsorted(known, times, side="right") - 1
    after = np.where(known[before] == times, before, np.minimum(before + 1, len(known) - 1))
    plain = np.asarray(pc.fill_null(column, 0).to_numpy())
    values = plain.astype(np.float64)
    missing = np.asarray(column.is_null().to_numpy(), bool)
    rate = (times - known[before]) / np.where(after == before, 1, known[after] - known[before])
    mask = missing[before] | missing[after]
    with np.errstate(over="ignore", invalid="ignore"):
        apart = values[after] - values[before] if query.where else (plain[after] - plain[before]).astype(np.float64)
        found = values[before] + apart * rate
        if kind in INTEGERS:
            return pa.array(np.trunc(found).astype(np.int64).astype(plain.dtype), mask=mask)
        if not query.where:
            found = found.astype(np.float32)
        return pa.array(found.astype(plain.dtype), mask=mask)
