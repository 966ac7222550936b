"""Every column type, its edges and NULL, into a server and back: equal to the bit."""

from __future__ import annotations

import math
import struct
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from tests.conformance.conftest import Place
from tests.conformance.tables import batch, collection, keys, plain, rows_of, series
from tests.profiles import FEW
from tests.strategies import batches, schemas

from gridferry.errors import DataError
from gridferry.griddb import ColumnSpec, ContainerKind, ContainerSchema, GridType, Store
from gridferry.griddb.schema import ARRAY_TYPES, KEY_TYPES

LAST_MS = 253402300799999
POINT = bytes.fromhex("0000ffffffff02") + struct.pack("<dd", 1.0, 2.0) + bytes.fromhex("000000000000f87f")

SAMPLES: dict[GridType, list[Any]] = {
    GridType.STRING: ["", "a", "Größe 漢 🙂", "x" * 127, "y" * 128, "z" * 31744, "a\nb\t'\"\\"],
    GridType.BOOL: [False, True],
    GridType.BYTE: [-128, -1, 0, 127],
    GridType.SHORT: [-32768, -1, 0, 32767],
    GridType.INTEGER: [-(1 << 31), -1, 0, (1 << 31) - 1],
    GridType.LONG: [-(1 << 63), -1, 0, (1 << 63) - 1],
    GridType.FLOAT: [0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 2.0**-149],
    GridType.DOUBLE: [0.0, -0.0, 0.1, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308],
    GridType.TIMESTAMP_MS: [0, 1, 1594512094385, LAST_MS],
    GridType.GEOMETRY: [POINT],
    GridType.BLOB: [b"", b"\0", b"\xff" * 127, bytes(range(256)) * 300],
    GridType.TIMESTAMP_US: [0, 1, 1594512094385975, LAST_MS * 1000 + 999],
    GridType.TIMESTAMP_NS: [0, 1, 249, 250, 251, 1594512094385975123, (1 << 63) - 1],
}


def _plain_columns() -> list[Any]:
    return [pytest.param(ColumnSpec("v", kind), id=ColumnSpec("v", kind).label) for kind in GridType]


def _array_columns() -> list[Any]:
    return [
        pytest.param(ColumnSpec("v", kind, array=True), id=ColumnSpec("v", kind, array=True).label)
        for kind in sorted(ARRAY_TYPES)
    ]


def _round_trip(place: Place, schema: ContainerSchema, values: list[Any]) -> None:
    container = place.make(schema)
    rows = list(enumerate(values))
    container.put(batch(schema, rows))
    assert repr(rows_of(container.query("select * order by k"))) == repr(rows)
    wanted = keys(schema, [(k,) for k, _ in rows])
    assert repr(sorted(plain(schema, container.get(wanted)), key=lambda r: r[0])) == repr(rows)


@pytest.mark.parametrize("column", _plain_columns())
def test_values_and_null_in_a_collection(place: Place, column: ColumnSpec) -> None:
    schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("k", GridType.INTEGER, nullable=False), column))
    _round_trip(place, schema, [*SAMPLES[column.type], None, SAMPLES[column.type][0]])


@pytest.mark.parametrize("column", _plain_columns())
def test_values_and_null_in_a_time_series(place: Place, column: ColumnSpec) -> None:
    schema = ContainerSchema(
        ContainerKind.TIME_SERIES, (ColumnSpec("k", GridType.TIMESTAMP_MS, nullable=False), column)
    )
    _round_trip(place, schema, [*SAMPLES[column.type], None, SAMPLES[column.type][0]])


@pytest.mark.parametrize("column", _array_columns())
def test_arrays_of_every_length(place: Place, column: ColumnSpec) -> None:
    schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("k", GridType.INTEGER, nullable=False), column))
    few = [v for v in SAMPLES[column.type] if not isinstance(v, str) or len(v) < 1000]
    longest = (few * 4000)[:4000] if column.type is not GridType.STRING else ["s"] * 4000
    _round_trip(place, schema, [few, [], None, few[:1], (few * 130)[:130], longest])


@pytest.mark.parametrize("kind", sorted(KEY_TYPES), ids=lambda kind: kind.label)
def test_row_keys_of_every_type(place: Place, kind: GridType) -> None:
    schema = collection(f"k {kind.label}!, v INTEGER")
    container = place.make(schema)
    values = [v for v in SAMPLES[kind] if v != -0.0 or v == 0]
    container.put(batch(schema, [(k, i) for i, k in enumerate(values)]))
    for position, value in enumerate(values):
        assert plain(schema, container.get(keys(schema, [(value,)]))) == [(value, position)]
    assert container.delete(keys(schema, [(v,) for v in values])) == len(values)
    assert container.count() == 0


def test_a_composite_row_key_of_every_type(place: Place) -> None:
    kinds = sorted(KEY_TYPES)
    text = ", ".join(f"k{i} {kind.label}!" for i, kind in enumerate(kinds))
    schema = collection(f"{text}, v INTEGER", key=len(kinds))
    container = place.make(schema)
    rows = [(*(SAMPLES[kind][i % len(SAMPLES[kind])] for kind in kinds), i) for i in range(8)]
    rows = list({row[:-1]: row for row in rows}.values())
    container.put(batch(schema, rows))
    assert sorted(plain(schema, container.get(keys(schema, [r[:-1] for r in rows])))) == sorted(rows)
    for row in rows:
        assert plain(schema, container.get(keys(schema, [row[:-1]]))) == [row]
    assert container.delete(keys(schema, [rows[0][:-1]])) == 1
    assert container.count() == len(rows) - 1


def test_every_type_in_one_row(place: Place) -> None:
    plain_columns = [ColumnSpec(f"v{int(t)}", t) for t in GridType]
    array_columns = [ColumnSpec(f"a{int(t)}", t, array=True) for t in sorted(ARRAY_TYPES)]
    schema = ContainerSchema(
        ContainerKind.COLLECTION,
        (ColumnSpec("k", GridType.LONG, nullable=False), *plain_columns, *array_columns),
    )
    full = (*(SAMPLES[c.type][-1] for c in plain_columns), *(SAMPLES[c.type][:2] for c in array_columns))
    rows = [(0, *full), (1, *(None for _ in full)), (2, *full)]
    container = place.make(schema)
    assert container.schema == schema
    container.put(batch(schema, rows))
    assert repr(rows_of(container.scan())) == repr(rows)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (GridType.STRING, "z" * 31745),
        (GridType.STRING, "a\0b"),
        (GridType.TIMESTAMP_MS, -1),
        (GridType.TIMESTAMP_MS, LAST_MS + 1),
        (GridType.TIMESTAMP_US, -1),
        (GridType.TIMESTAMP_US, (LAST_MS + 1) * 1000),
        (GridType.TIMESTAMP_NS, -1),
    ],
)
def test_what_cannot_be_stored_is_refused_before_it_is_sent(place: Place, kind: GridType, value: object) -> None:
    schema = collection(f"k INTEGER!, v {kind.label}")
    container = place.make(schema)
    with pytest.raises(DataError) as caught:
        container.put(batch(schema, [(1, SAMPLES[kind][1]), (2, value)]))
    assert (caught.value.column, caught.value.row) == ("v", 1)
    assert container.count() == 0


def test_null_in_a_not_null_column_is_refused_before_it_is_sent(place: Place) -> None:
    schema = collection("k INTEGER!, v DOUBLE!")
    container = place.make(schema)
    with pytest.raises(DataError, match="NULL"):
        container.put(batch(schema, [(1, 1.0), (2, None)]))
    assert container.count() == 0


def test_a_fine_timestamp_is_no_key_of_a_time_series(place: Place) -> None:
    container = place.make(series("k TIMESTAMP(3)!, fine TIMESTAMP(6), finest TIMESTAMP(9)"))
    rows = [(1, 1594512094385975, 1594512094385975123)]
    container.put(batch(container.schema, rows))
    assert rows_of(container.scan()) == rows


@hypothesis.settings(
    max_examples=FEW,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
@hypothesis.given(data=st.data())
def test_any_schema_and_rows_come_back(store: Store, data: st.DataObject) -> None:
    # A GEOMETRY must be well formed, which no random bytes are.
    schema = data.draw(schemas(types=[kind for kind in GridType if kind is not GridType.GEOMETRY]))
    rows = data.draw(batches(schema, distinct_keys=True, max_rows=4))
    place = Place(store)
    try:
        container = place.make(schema)
        container.put(rows)
        found = rows_of(container.scan())
        assert sorted(map(repr, found)) == sorted(map(repr, plain(schema, rows)))
    finally:
        store.drop_containers(place.used)
