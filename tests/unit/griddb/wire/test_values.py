"""Values that GridDB cannot store: each is refused, and the error names the right column and row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.strategies import column_array

from gridferry.errors import DataError
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.encode import encode_rows
from gridferry.griddb.wire.values import check_column

LAST_MS = 253402300799999
LAST_US = LAST_MS * 1000 + 999


def octets_array(pieces: Sequence[bytes], *, nulls: Sequence[bool] | None = None) -> pa.Array:
    """A utf8 array over any bytes, as a source that does not check its own might hand over."""
    plain = pa.array(list(pieces), pa.binary()).buffers()
    validity = None if nulls is None else pa.py_buffer(np.packbits(~np.asarray(nulls), bitorder="little"))
    return pa.Array.from_buffers(pa.utf8(), len(pieces), [validity, *plain[1:]])


def list_array(lists: Sequence[Sequence[bytes]]) -> pa.Array:
    """A list<utf8> array over any bytes."""
    ends = np.cumsum([0, *(len(one) for one in lists)]).astype(np.int32)
    elements = octets_array([element for one in lists for element in one])
    return pa.ListArray.from_arrays(pa.array(ends), elements)


def refusal(column: ColumnSpec, array: pa.Array) -> DataError:
    with pytest.raises(DataError) as caught:
        check_column(column, array)
    error = caught.value
    assert error.column == column.name
    assert f'column "{column.name}" ({column.label}), row {error.row}: the value ' in error.message
    return error


def column(kind: GridType, *, array: bool = False, nullable: bool = True) -> ColumnSpec:
    return ColumnSpec("c", kind, array=array, nullable=nullable)


STRING, STRINGS = column(GridType.STRING), column(GridType.STRING, array=True)
MS, US, NS = (column(t) for t in (GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US, GridType.TIMESTAMP_NS))
LONGS, TIMES = column(GridType.LONG, array=True), column(GridType.TIMESTAMP_MS, array=True)

# (what, column, array with its first bad value in row 2 and a good one in rows 0, 1 and 3, words of the error)
BAD: list[tuple[str, ColumnSpec, pa.Array, str]] = [
    ("ms before", MS, column_array(MS, [0, LAST_MS, -1, 5, -1]), "outside 1970-01-01 .. 9999-12-31"),
    ("ms behind", MS, column_array(MS, [0, LAST_MS, LAST_MS + 1, 5, 0]), "outside 1970-01-01 .. 9999-12-31"),
    ("us before", US, column_array(US, [0, LAST_US, -1, 5, 0]), "outside 1970-01-01 .. 9999-12-31"),
    ("us behind", US, column_array(US, [0, LAST_US, LAST_US + 1, 5, 0]), "outside 1970-01-01 .. 9999-12-31"),
    ("ns before", NS, column_array(NS, [0, (1 << 63) - 1, -1, 5, 0]), "outside 1970-01-01"),
    ("string long", STRING, pa.array(["", "x" * 31744, "x" * 31745, "a", "b"]), "more than 31744 bytes"),
    ("characters are not bytes", STRING, pa.array(["", "é" * 15872, "é" * 15873, "a", "b"]), "more than 31744 bytes"),
    ("NUL", STRING, pa.array(["a", "", "b\0c", "d", "\0"]), "NUL character"),
    ("NUL under a NULL first", STRING, octets_array([b"\0", b"", b"\0", b"", b""], nulls=[True, *[False] * 4]), "NUL"),
    ("not UTF-8", STRING, octets_array([b"a", b"\xc3\xa9", b"\xff", b"b", b"\xff"]), "is not UTF-8"),
    ("UTF-8 cut off", STRING, octets_array([b"a", b"", b"x\xe6\xbc", b"b", b""]), "is not UTF-8"),
    ("a surrogate", STRING, octets_array([b"a", b"", b"\xed\xa0\x80", b"b", b""]), "is not UTF-8"),
    ("array long", LONGS, pa.array([[], [1] * 4000, [1] * 4001, None, []]), "more than 4000 elements"),
    ("NULL element", LONGS, pa.array([[1, 2], None, [1, None], [3], []]), "NULL element"),
    ("element not UTF-8", STRINGS, list_array([[b"a", b"b"], [], [b"c", b"\xff"], [b"d"], []]), "is not UTF-8"),
    ("element with NUL", STRINGS, pa.array([["a", "b"], [], ["c", "\0"], ["d"], None]), "NUL character"),
    ("element long", STRINGS, pa.array([["a", "b"], None, ["c", "x" * 31745], ["d"], []]), "more than 31744 bytes"),
    ("element before", TIMES, column_array(TIMES, [[1, 2], [], [3, -1], [4], []]), "outside 1970-01-01"),
]
IDS = [what for what, *_ in BAD]


@pytest.mark.parametrize(("_what", "spec", "array", "words"), BAD, ids=IDS)
def test_refusals_name_column_and_row(_what: str, spec: ColumnSpec, array: pa.Array, words: str) -> None:
    error = refusal(spec, array)
    assert error.row == 2
    assert words in error.message


@pytest.mark.parametrize(("_what", "spec", "array", "words"), BAD, ids=IDS)
def test_rows_are_counted_within_a_slice(_what: str, spec: ColumnSpec, array: pa.Array, words: str) -> None:
    error = refusal(spec, array.slice(1))
    assert error.row == 1
    assert words in error.message
    check_column(spec, array.slice(0, 2))
    check_column(spec, array.slice(3, 1))


@pytest.mark.parametrize(("_what", "spec", "array", "words"), BAD, ids=IDS)
def test_nothing_bad_is_encoded(_what: str, spec: ColumnSpec, array: pa.Array, words: str) -> None:
    schema = ContainerSchema(ContainerKind.COLLECTION, (spec,), 0)
    batch = pa.RecordBatch.from_arrays([array], schema=pa.schema([pa.field("c", array.type)]))
    with pytest.raises(DataError, match=r'column "c" .*, row 2: '):
        encode_rows(schema, batch)


@pytest.mark.parametrize("array", [False, True])
def test_null_in_not_null(array: bool) -> None:
    spec = column(GridType.INTEGER, array=array, nullable=False)
    good: Any = [1] if array else 1
    values = pa.array([None, good, good, None], spec.arrow_type)
    assert refusal(spec, values).row == 0
    error = refusal(spec, values.slice(1))
    assert error.row == 2
    assert "is NULL, but NOT NULL is declared" in error.message
    check_column(spec, values.slice(1, 2))


def test_elements_under_a_null_are_not_counted() -> None:
    """`flatten` leaves out what stands under a NULL; the row must be right all the same."""
    mask = pa.array([True, False, False])
    ends = pa.array([0, 2, 3, 5], pa.int32())
    values = pa.ListArray.from_arrays(ends, pa.array([1, 2, 3, 4, None]), mask=mask)
    assert refusal(LONGS, values).row == 2
    lists = pa.ListArray.from_arrays(ends, pa.array(["a", "b", "c", "d", "\0"]), mask=mask)
    assert refusal(STRINGS, lists).row == 2


def test_two_halves_of_a_character_are_not_one() -> None:
    assert refusal(STRING, octets_array([b"\xc3", b"\xa9"])).row == 0


@pytest.mark.parametrize(
    ("spec", "array"),
    [
        (STRING, octets_array([b"a", b"\0\xff", b"b"], nulls=[False, True, False])),
        (STRING, octets_array([b"a", b"x" * 40000, b"b"], nulls=[False, True, False])),
        (STRING, pa.array([None, None], pa.utf8())),
        (STRING, pa.array([], pa.utf8())),
        (STRINGS, pa.array([None, [], [""]], pa.list_(pa.utf8()))),
        (MS, column_array(MS, [-1, 5], [True, False])),
        (LONGS, pa.array([], pa.list_(pa.int64()))),
        (column(GridType.BLOB), pa.array([b"\0\xff" * 50000, None])),
        (column(GridType.DOUBLE), pa.array([float("nan"), float("inf"), -0.0, None])),
    ],
)
def test_what_may_be_stored(spec: ColumnSpec, array: pa.Array) -> None:
    check_column(spec, array)


def test_error_does_not_show_the_value() -> None:
    assert "secret" not in refusal(STRING, pa.array(["secret\0"])).message
    assert "secret" not in refusal(STRING, octets_array([b"secret\xff"])).message
