"""What a value may be: checks that the real server leaves to its clients. Source: protocol page, sections 4.2 and 8."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gridferry.errors import DataError
from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.griddb.wire.statement import MAX_ARRAY_ELEMENTS, MAX_BLOB_BYTES, MAX_STRING_BYTES, MAX_TIMESTAMP_MS

MAX_TIMESTAMP: dict[GridType, int] = {
    GridType.TIMESTAMP_MS: MAX_TIMESTAMP_MS,
    GridType.TIMESTAMP_US: MAX_TIMESTAMP_MS * 1000 + 999,
    GridType.TIMESTAMP_NS: (1 << 63) - 1,  # Arrow's own limit, in the year 2262, is the lower one
}


def check_column(column: ColumnSpec, array: pa.Array) -> None:
    """Check every value of a column. Raises: DataError naming the column and the first bad row."""
    if not column.nullable and array.null_count:
        raise bad_value(
            column, int(np.flatnonzero(np.asarray(array.is_null()))[0]), "is NULL, but NOT NULL is declared"
        )
    if column.array:
        _check_lists(column, array)
        return
    check_elements(column, array)


def check_elements(column: ColumnSpec, array: pa.Array) -> None:
    """Check the values themselves: ranges, lengths, UTF-8, NUL."""
    if column.type in MAX_TIMESTAMP:
        _check_times(column, array)
    elif column.type is GridType.STRING:
        _check_strings(column, array)
    elif column.type in (GridType.BLOB, GridType.GEOMETRY):
        _check_length(column, array, MAX_BLOB_BYTES)


def bad_value(column: ColumnSpec, row: int, problem: str) -> DataError:
    """The error for one value."""
    return DataError(
        f'column "{column.name}" ({column.label}), row {row}: the value {problem}', column=column.name, row=row
    )


def _check_times(column: ColumnSpec, array: pa.Array) -> None:
    bounds = pc.min_max(array.cast(pa.int64()))
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    limit = MAX_TIMESTAMP[column.type]
    if low is None or (low >= 0 and high <= limit):
        return
    numbers = array.cast(pa.int64())
    outside = pc.or_(pc.less(numbers, 0), pc.greater(numbers, limit))
    raise bad_value(column, _first(outside), "is outside 1970-01-01 .. 9999-12-31, all that GridDB stores")


def _check_strings(column: ColumnSpec, array: pa.Array) -> None:
    _check_length(column, array, MAX_STRING_BYTES)
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        raise bad_value(column, 0, f"or a later one is not UTF-8 ({error})") from error
    buffers = array.buffers()
    if buffers[2] is None or not np.any(np.frombuffer(buffers[2], np.uint8) == 0):
        return
    # The buffer may be shared with rows outside this slice: look again, row by row, at the rows themselves.
    found = pc.find_substring(array.cast(pa.binary()), pattern=b"\0")
    with_nul = pc.greater_equal(found, 0)
    if pc.any(with_nul).as_py():
        raise bad_value(column, _first(with_nul), "holds a NUL character")


def _check_length(column: ColumnSpec, array: pa.Array, limit: int) -> None:
    lengths = pc.binary_length(array)
    longest = pc.max(lengths).as_py()
    if longest is not None and longest > limit:
        raise bad_value(column, _first(pc.greater(lengths, limit)), f"has more than {limit} bytes")


def _check_lists(column: ColumnSpec, array: pa.Array) -> None:
    lengths = pc.list_value_length(array)
    longest = pc.max(lengths).as_py()
    if longest is not None and longest > MAX_ARRAY_ELEMENTS:
        raise bad_value(
            column, _first(pc.greater(lengths, MAX_ARRAY_ELEMENTS)), f"has more than {MAX_ARRAY_ELEMENTS} elements"
        )
    elements = array.flatten()
    if elements.null_count:
        parents = pc.list_parent_indices(array)
        row = parents[int(np.flatnonzero(np.asarray(elements.is_null()))[0])].as_py()
        raise bad_value(column, int(row), "holds a NULL element, which GridDB's arrays cannot")
    try:
        check_elements(column, elements)
    except DataError as error:
        element = error.row or 0
        row = pc.list_parent_indices(array)[element].as_py()
        raise bad_value(column, int(row), error.message.partition("the value ")[2]) from error


def _first(mask: pa.Array) -> int:
    return int(np.flatnonzero(np.asarray(mask.fill_null(False)))[0])
