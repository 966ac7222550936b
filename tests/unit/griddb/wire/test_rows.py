"""Rows to bytes and back: equal to a slow encoder that shares no code, and equal to themselves."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import slow_rows
from tests.profiles import FEW, SOME
from tests.strategies import Sample, batches, column_array, plain_rows, runs, samples, schemas, values

from gridferry.errors import DataError, LocalProtocolError, RemoteProtocolError
from gridferry.griddb.schema import ARRAY_TYPES, ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.decode import decode_key, decode_key_set, decode_rows
from gridferry.griddb.wire.encode import encode_key_set, encode_keys, encode_rows
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.row_replies import image_size
from gridferry.griddb.wire.row_requests import write_payload

SLOW_TO_MAKE = [HealthCheck.too_slow, HealthCheck.data_too_large]
ROWS = settings(max_examples=SOME, suppress_health_check=SLOW_TO_MAKE)


def joined(parts: Any) -> bytes:
    return b"".join(parts)


def as_text(schema: ContainerSchema, batch: pa.RecordBatch) -> str:
    return repr(plain_rows(schema, batch))


@ROWS
@given(samples())
def test_bytes_equal_those_of_the_slow_encoder(sample: Sample) -> None:
    image = joined(encode_rows(sample.schema, sample.batch).image())
    assert image == slow_rows.image(sample.schema, plain_rows(sample.schema, sample.batch))


@ROWS
@given(samples(), st.booleans())
def test_rows_survive(sample: Sample, check: bool) -> None:
    schema, batch = sample.schema, sample.batch
    again, row_ids = decode_rows(schema, len(batch), joined(encode_rows(schema, batch).image()), check=check)
    again.validate(full=True)
    assert row_ids is None
    assert again.schema == schema.arrow_schema
    assert as_text(schema, again) == as_text(schema, batch)


@ROWS
@given(samples(), st.data())
def test_each_run_is_an_image_of_its_own(sample: Sample, data: st.DataObject) -> None:
    schema, batch = sample.schema, sample.batch
    bounds = data.draw(runs(len(batch)))
    encoded = encode_rows(schema, batch, bounds)
    assert len(encoded) == len(batch)
    for run, (first, last) in enumerate(pairwise(bounds)):
        image = joined(encoded.image(run))
        part = batch.slice(first, last - first)
        assert image == slow_rows.image(schema, plain_rows(schema, part))
        assert encoded.image_size(run) == len(image)
        assert as_text(schema, decode_rows(schema, last - first, image)[0]) == as_text(schema, part)


@ROWS
@given(samples(), st.data())
def test_row_ids_survive(sample: Sample, data: st.DataObject) -> None:
    schema, batch = sample.schema, sample.batch
    one = st.integers(-(1 << 63), (1 << 63) - 1)
    ids = np.array(data.draw(st.lists(one, min_size=len(batch), max_size=len(batch))), np.int64)
    image = joined(encode_rows(schema, batch, row_ids=ids).image())
    assert image == slow_rows.image(schema, plain_rows(schema, batch), ids.tolist())
    again, found = decode_rows(schema, len(batch), image, row_ids=True)
    assert found is not None
    assert found.tolist() == ids.tolist()
    assert as_text(schema, again) == as_text(schema, batch)


@ROWS
@given(samples(), st.binary(max_size=20))
def test_the_end_of_an_image_is_found(sample: Sample, tail: bytes) -> None:
    schema, batch = sample.schema, sample.batch
    ids = np.arange(len(batch)) if schema.kind is ContainerKind.COLLECTION else None
    image = joined(encode_rows(schema, batch, row_ids=ids).image())
    assert image_size(schema, len(batch), Reader(image + tail)) == len(image)


@ROWS
@given(st.data())
def test_keys_equal_those_of_the_slow_encoder_and_survive(data: st.DataObject) -> None:
    schema = data.draw(schemas(key_lengths=(1, 2, 3)))
    batch = data.draw(batches(schema)).select(list(range(schema.key_length)))
    rows = plain_rows(schema.key_schema, batch)
    keys = encode_keys(schema, batch)
    assert keys == [slow_rows.key(schema, row) for row in rows]
    for key, row in zip(keys, rows, strict=True):
        assert repr(plain_rows(schema.key_schema, decode_key(schema, Reader(key)))) == repr([row])
    key_set = joined(encode_key_set(schema, batch))
    composite = schema.key_length > 1
    assert key_set == (slow_rows.image(schema.key_schema, rows) if composite else joined(keys))
    assert repr(plain_rows(schema.key_schema, decode_key_set(schema, len(batch), key_set))) == repr(rows)


ALL_COLUMNS = [ColumnSpec("c", t) for t in GridType] + [ColumnSpec("c", t, array=True) for t in sorted(ARRAY_TYPES)]


@pytest.mark.parametrize("column", ALL_COLUMNS, ids=lambda c: c.label)
@settings(max_examples=FEW)
@given(data=st.data())
def test_every_type_alone(column: ColumnSpec, data: st.DataObject) -> None:
    schema = ContainerSchema(ContainerKind.COLLECTION, (column,), 0)
    plain = data.draw(st.lists(st.none() | values(column), max_size=20))
    batch = pa.RecordBatch.from_arrays([column_array(column, plain)], schema=schema.arrow_schema)
    image = joined(encode_rows(schema, batch).image())
    assert image == slow_rows.image(schema, [(value,) for value in plain])
    assert as_text(schema, decode_rows(schema, len(plain), image)[0]) == repr([(value,) for value in plain])


EDGES: dict[GridType, list[Any]] = {
    GridType.STRING: ["", "x" * 127, "x" * 128, "x" * 16383, "é" * 15872, "😀"],
    GridType.BLOB: [b"", b"\0" * 127, b"\0" * 128, b"\xff" * 70000],
    GridType.TIMESTAMP_NS: [0, 249, 250, (1 << 63) - 1, (1 << 63) - 58, (1 << 63) - 59],
    GridType.TIMESTAMP_US: [0, 253402300799999999],
    GridType.TIMESTAMP_MS: [0, 253402300799999],
}


@pytest.mark.parametrize("kind", EDGES, ids=lambda k: k.label)
def test_edge_values(kind: GridType) -> None:
    column = ColumnSpec("c", kind)
    schema = ContainerSchema(ContainerKind.COLLECTION, (column,), 0)
    batch = pa.RecordBatch.from_arrays([column_array(column, EDGES[kind])], schema=schema.arrow_schema)
    image = joined(encode_rows(schema, batch).image())
    assert [row[0] for row in plain_rows(schema, decode_rows(schema, len(batch), image, check=True)[0])] == EDGES[kind]


@pytest.mark.parametrize("count", [8, 9, 127, 128, 130])
def test_many_variable_columns(count: int) -> None:
    columns = tuple(ColumnSpec(f"c{i}", GridType.STRING) for i in range(count))
    schema = ContainerSchema(ContainerKind.COLLECTION, columns, 0)
    rows = [tuple(None if (i + r) % 3 == 0 else f"{r}:{i}" for i in range(count)) for r in range(3)]
    arrays = [column_array(c, [row[i] for row in rows]) for i, c in enumerate(columns)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema.arrow_schema)
    image = joined(encode_rows(schema, batch).image())
    assert image == slow_rows.image(schema, rows)
    assert plain_rows(schema, decode_rows(schema, 3, image)[0]) == rows


def test_a_later_page_may_count_offsets_on() -> None:
    schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("s", GridType.STRING),), 0)
    batch = pa.RecordBatch.from_arrays([pa.array(["a", "bc"])], schema=schema.arrow_schema)
    encoded = encode_rows(schema, batch)
    fixed = encoded.fixed.copy()
    fixed["offset"] += 1000
    again, _ = decode_rows(schema, 2, fixed.tobytes() + joined(encoded.image()[1:]))
    assert again.column(0).to_pylist() == ["a", "bc"]


NULLABLE = ContainerSchema(
    ContainerKind.COLLECTION, (ColumnSpec("k", GridType.INTEGER, nullable=False), ColumnSpec("s", GridType.STRING))
)


def test_image_of_no_rows_can_be_sent() -> None:
    encoded = encode_rows(NULLABLE, pa.RecordBatch.from_pylist([], schema=NULLABLE.arrow_schema))
    out = Writer()
    write_payload(out, encoded.image())
    assert out.getvalue() == b""
    assert encoded.image_size() == 0


def test_rows_without_a_key_have_no_key_set() -> None:
    schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("s", GridType.STRING),), 0)
    with pytest.raises(DataError, match="no row key"):
        decode_key_set(schema, 1, b"\x01")


@pytest.mark.parametrize("bounds", [[], [0, 1], [1, 2], [0, 2, 1, 2], [0, 3]])
def test_runs_must_cover_the_batch(bounds: list[int]) -> None:
    batch = pa.RecordBatch.from_pylist([{"k": 1, "s": "a"}, {"k": 2, "s": "b"}], schema=NULLABLE.arrow_schema)
    with pytest.raises(LocalProtocolError, match="runs must ascend"):
        encode_rows(NULLABLE, batch, bounds)


def test_batch_of_another_shape_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="1 columns, the container 2"):
        encode_rows(NULLABLE, pa.RecordBatch.from_pydict({"k": pa.array([1], pa.int32())}))
    for wrong in (pa.large_utf8(), pa.binary(), pa.dictionary(pa.int8(), pa.utf8()), pa.string_view()):
        batch = pa.RecordBatch.from_arrays([pa.array([1], pa.int32()), pa.array(["a"], wrong)], names=["k", "s"])
        with pytest.raises(LocalProtocolError, match=r'column "s" .STRING. takes Arrow type string'):
            encode_rows(NULLABLE, batch)


def test_a_list_may_name_its_elements_as_it_likes() -> None:
    schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("a", GridType.LONG, array=True),), 0)
    array = pa.array([[1, 2], None], pa.list_(pa.field("element", pa.int64(), nullable=False)))
    image = joined(encode_rows(schema, pa.RecordBatch.from_arrays([array], names=["a"])).image())
    assert decode_rows(schema, 2, image)[0].column(0).to_pylist() == [[1, 2], None]


def test_null_in_a_not_null_column_of_an_image() -> None:
    batch = pa.RecordBatch.from_pylist([{"k": 1, "s": "a"}], schema=NULLABLE.arrow_schema)
    image = bytearray(joined(encode_rows(NULLABLE, batch).image()))
    image[8] |= 1
    with pytest.raises(DataError, match=r'column "k".* row 0: .*NULL'):
        decode_rows(NULLABLE, 1, image, check=True)


def test_what_stands_under_a_null_is_not_looked_at() -> None:
    """A server may leave anything there: a time out of range, bytes that are no UTF-8."""
    columns = (ColumnSpec("t", GridType.TIMESTAMP_NS), ColumnSpec("s", GridType.STRING))
    schema = ContainerSchema(ContainerKind.COLLECTION, columns, 0)
    image = bytes(8) + b"\x03" + b"\xff" * 9 + b"\x03" + b"\x05\xff\xfe"
    batch, _ = decode_rows(schema, 1, image, check=True)
    assert plain_rows(schema, batch) == [(None, None)]


def test_keys_of_the_wrong_size() -> None:
    with pytest.raises(RemoteProtocolError, match="do not make 7 bytes"):
        decode_key_set(NULLABLE, 2, bytes(7))
