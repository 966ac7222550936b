"""What a value may be: checks that the real server leaves to its clients.

Source: docs/protocol.md, Column types, Limits.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gridferry.errors import DataError
from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.griddb.wire.statement import MAX_ARRAY_ELEMENTS, MAX_BLOB_BYTES, MAX_STRING_BYTES, MAX_TIMESTAMP_MS

MAX_TIMESTAMP: dict[GridType, int] = {
    GridType.TIMESTAMP_MS: MAX_TIMESTAMP_MS,
    GridType.TIMESTAMP_US: MAX_TIMESTAMP_MS * 1000 + 999,
    GridType.TIMESTAMP_NS: (1 << 63) - 1,  # Arrow's own limit, in the year 2262, is the lower one
}


def check_column(column: ColumnSpec, array: pa.Array, *, utf8: bool = True) -> None:
    """Check every value of a column; `utf8` false: strings are known to be UTF-8.

    Raises: DataError naming the column and the first bad row.
    """
    if not column.nullable and array.null_count:
        raise bad_value(
            column, int(np.flatnonzero(np.asarray(array.is_null()))[0]), "is NULL, but NOT NULL is declared"
        )
    if column.array:
        _check_lists(column, array, utf8=utf8)
        return
    check_elements(column, array, utf8=utf8)


def check_elements(column: ColumnSpec, array: pa.Array, *, utf8: bool = True) -> None:
    """Check the values themselves: ranges, lengths, UTF-8, NUL."""
    if column.type in MAX_TIMESTAMP:
        _check_times(column, array)
    elif column.type is GridType.STRING:
        _check_strings(column, array, utf8=utf8)
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


def check_utf8(column: ColumnSpec, array: pa.Array) -> None:
    """Check that strings, or arrays of them, are UTF-8. Raises: DataError naming the first row that is not."""
    if _is_valid(array):
        return
    low, high = 0, len(array)  # the first bad row is in low .. high - 1
    while high - low > 1:
        middle = (low + high) // 2
        if _is_valid(array.slice(low, middle - low)):
            low = middle
        else:
            high = middle
    raise bad_value(column, low, "is not UTF-8")


def _is_valid(array: pa.Array) -> bool:
    # Arrow would check all elements that a list array refers to, those outside a slice too.
    checked = array.flatten() if pa.types.is_list(array.type) else array
    try:
        checked.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _check_strings(column: ColumnSpec, array: pa.Array, *, utf8: bool) -> None:
    _check_length(column, array, MAX_STRING_BYTES)
    if utf8:
        check_utf8(column, array)
    octets = _octets(array)
    if not len(octets) or int(octets.min()) > 0:
        return
    # The NUL may stand under a NULL: look again, row by row.
    found = pc.find_substring(array.cast(pa.binary()), pattern=b"\0")
    with_nul = pc.greater_equal(found, 0)
    if pc.any(with_nul).as_py():
        raise bad_value(column, _first(with_nul), "holds a NUL character")


def _octets(array: pa.Array) -> NDArray[np.uint8]:
    """The bytes of a string array's own rows, not of those outside its slice."""
    _, offsets, data = array.buffers()
    if not len(array) or data is None:
        return np.empty(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int32, count=len(array) + 1, offset=4 * array.offset)
    return np.frombuffer(data, np.uint8)[int(bounds[0]) : int(bounds[-1])]


def _check_length(column: ColumnSpec, array: pa.Array, limit: int) -> None:
    lengths = pc.binary_length(array)
    longest = pc.max(lengths).as_py()
    if longest is not None and longest > limit:
        raise bad_value(column, _first(pc.greater(lengths, limit)), f"has more than {limit} bytes")


def _check_lists(column: ColumnSpec, array: pa.Array, *, utf8: bool) -> None:
    lengths = pc.list_value_length(array)
    longest = pc.max(lengths).as_py()
    if longest is not None and longest > MAX_ARRAY_ELEMENTS:
        raise bad_value(
            column, _first(pc.greater(lengths, MAX_ARRAY_ELEMENTS)), f"has more than {MAX_ARRAY_ELEMENTS} elements"
        )
    elements = array.flatten()
    if elements.null_count:
        row = _row_of_element(lengths, int(np.flatnonzero(np.asarray(elements.is_null()))[0]))
        raise bad_value(column, row, "holds a NULL element, which GridDB's arrays cannot")
    try:
        check_elements(column, elements, utf8=utf8)
    except DataError as error:
        row = _row_of_element(lengths, error.row or 0)
        raise bad_value(column, row, error.message.partition("the value ")[2]) from error


def _row_of_element(lengths: pa.Array, element: int) -> int:
    # `list_parent_indices` would count the elements under a NULL too, which `flatten` leaves out.
    ends = np.cumsum(np.asarray(lengths.fill_null(0)), dtype=np.int64)
    return int(np.searchsorted(ends, element, side="right"))


def _first(mask: pa.Array) -> int:
    return int(np.flatnonzero(np.asarray(mask.fill_null(False)))[0])
