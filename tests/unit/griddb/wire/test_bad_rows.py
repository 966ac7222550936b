"""Malformed row images: only RemoteProtocolError or DataError may come out, whatever the bytes."""

from __future__ import annotations

import struct
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import slow_rows
from tests.profiles import SOME
from tests.strategies import Sample, batches, samples, schemas

from gridferry.errors import DataError, RemoteProtocolError
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.decode import decode_key_set, decode_rows
from gridferry.griddb.wire.encode import encode_key_set, encode_rows
from gridferry.griddb.wire.octets import Reader, var_size
from gridferry.griddb.wire.row_replies import image_size

REFUSED = (RemoteProtocolError, DataError)
FUZZ = settings(max_examples=SOME, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
_SIZES = (0, 1, 127, 128, 4001, (1 << 30) - 1, 1 << 30, 1 << 59, 1 << 60, 1 << 61, (1 << 62) - 1)
HOSTILE = [var_size(n) for n in _SIZES] + [bytes(4), b"\xff" * 8, b"\x02" + bytes(7)]
HOSTILE += [struct.pack("<q", -(1 << 63)), struct.pack("<q", (1 << 63) - 1)]
COUNTS = [0, 1, 2, 3, 100, -1, 1 << 31, 1 << 62, (1 << 63) - 1, -(1 << 63)]


def image_of(schema: ContainerSchema, batch: pa.RecordBatch) -> bytes:
    return b"".join(encode_rows(schema, batch).image())


def try_decode(schema: ContainerSchema, count: int, image: bytes) -> None:
    """Decode in every way; what comes out must be a sound batch or a refusal."""
    for check in (False, True):
        try:
            batch, _ = decode_rows(schema, count, image, check=check)
        except REFUSED:
            continue
        batch.validate(full=not _has_null_lists(batch))
        assert len(batch) == count
    for row_ids in (False, True):
        try:
            decode_rows(schema, count, image, row_ids=row_ids)
        except REFUSED:
            continue
    with suppress(RemoteProtocolError):
        assert 0 <= image_size(schema, count, Reader(image)) <= len(image)


def _has_null_lists(batch: pa.RecordBatch) -> bool:
    # Full validation looks under NULL lists, where nobody promises anything.
    return any(pa.types.is_list(a.type) and a.null_count for a in batch.columns)


@FUZZ
@given(samples(max_rows=3, long_strings=False), st.data())
def test_cut_images(sample: Sample, data: st.DataObject) -> None:
    schema, batch = sample.schema, sample.batch
    image = image_of(schema, batch)
    ends = range(len(image)) if len(image) < 200 else data.draw(st.lists(st.integers(0, len(image) - 1), max_size=50))
    for end in ends:
        with pytest.raises(REFUSED):
            decode_rows(schema, len(batch), image[:end])


@FUZZ
@given(samples(max_rows=3, long_strings=False), st.binary(min_size=1, max_size=3))
def test_images_with_a_tail(sample: Sample, tail: bytes) -> None:
    with pytest.raises(REFUSED):
        decode_rows(sample.schema, len(sample.batch), image_of(sample.schema, sample.batch) + tail)


@FUZZ
@given(samples(max_rows=3, long_strings=False), st.data())
def test_flipped_octets(sample: Sample, data: st.DataObject) -> None:
    image = bytearray(image_of(sample.schema, sample.batch))
    flips = st.tuples(st.integers(0, max(0, len(image) - 1)), st.integers(1, 255))
    for at, mask in data.draw(st.lists(flips, max_size=4)) if image else []:
        image[at] ^= mask
    try_decode(sample.schema, len(sample.batch), bytes(image))


@FUZZ
@given(samples(max_rows=3, long_strings=False), st.data())
def test_hostile_sizes_anywhere(sample: Sample, data: st.DataObject) -> None:
    image = image_of(sample.schema, sample.batch)
    at, piece = data.draw(st.integers(0, len(image))), data.draw(st.sampled_from(HOSTILE))
    overwritten = data.draw(st.sampled_from([0, 1, len(piece)]))
    try_decode(sample.schema, len(sample.batch), image[:at] + piece + image[at + overwritten :])


@FUZZ
@given(schemas(), st.sampled_from(COUNTS), st.binary(max_size=200))
def test_noise(schema: ContainerSchema, count: int, image: bytes) -> None:
    try_decode(schema, count, image)


@FUZZ
@given(st.data())
def test_bad_key_sets(data: st.DataObject) -> None:
    schema = data.draw(schemas(key_lengths=(1, 2, 3)))
    batch = data.draw(batches(schema, max_rows=3)).select(list(range(schema.key_length)))
    image = bytearray(b"".join(encode_key_set(schema, batch)))
    image[data.draw(st.integers(0, len(image))) :] = data.draw(st.sampled_from([b"", *HOSTILE]))
    count = data.draw(st.sampled_from([len(batch), 0, 1, -1, 1 << 31, (1 << 62)]))
    with suppress(*REFUSED):
        assert len(decode_key_set(schema, count, image)) == count


def array_image(body: bytes, total: int | None = None) -> bytes:
    """One row of one array column: no NULL, one variable column, `body` after its size."""
    return bytes(9) + b"\x03" + var_size(len(body) if total is None else total) + body


ELEMENT_BYTES = {GridType.LONG: 8, GridType.INTEGER: 4, GridType.SHORT: 2, GridType.BYTE: 1, GridType.STRING: 1}


@pytest.mark.parametrize("kind", ELEMENT_BYTES, ids=lambda k: k.label)
@pytest.mark.parametrize("count", [1, 127, 128, 1 << 29, 1 << 58, 1 << 59, 1 << 60, 1 << 61, (1 << 62) - 1])
def test_element_counts_that_cannot_be(kind: GridType, count: int) -> None:
    """8 x 2**61 elements make 0 bytes in 64 bits, and an Arrow array of 2**61 elements over nothing."""
    schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("a", kind, array=True),), 0)
    with pytest.raises(RemoteProtocolError, match='array in column "a" counts more elements than it has bytes'):
        decode_rows(schema, 1, array_image(var_size(count)))


def test_counts_that_add_up_to_nothing() -> None:
    """Four times 2**62 - 2**60 elements and so on: the sum, too, must not run over."""
    schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("a", GridType.STRING, array=True),), 0)
    one = b"\x03" + var_size(8) + var_size(1 << 61)
    image = b"".join(struct.pack("<qB", n * len(one), 0) for n in range(8)) + one * 8
    with pytest.raises(RemoteProtocolError, match="counts more elements"):
        decode_rows(schema, 8, image)


def test_arrays_longer_than_any_server_has() -> None:
    """Each element of a string array is a step of the decoder, so their number has a limit."""
    schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("a", GridType.STRING, array=True),), 0)
    with pytest.raises(RemoteProtocolError, match="65001 elements, more than any server takes"):
        decode_rows(schema, 1, array_image(var_size(65001) + b"\x01" * 65001))


def test_long_and_short_arrays_together() -> None:
    schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("a", GridType.STRING, array=True),), 0)
    rows = [(["x"] * 4000,), ([],), (None,), (["y", "zz"],)] + [(["w"],)] * 300
    batch, _ = decode_rows(schema, len(rows), slow_rows.image(schema, rows), check=True)
    assert [tuple(row) for row in zip(batch.column(0).to_pylist(), strict=True)] == rows


TEXT = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("s", GridType.STRING),), 0)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (bytes(9), "a size is outside the variable area"),
        (bytes(9) + b"\x05\x01\x01", "does not have 1 variable columns"),
        (bytes(9) + b"\x01", "does not have 1 variable columns"),
        (bytes(9) + b"\x03", "a size is outside the variable area"),
        (bytes(9) + b"\x03\x05a", "reaches beyond the end"),
        (bytes(9) + b"\x03\x03ab", "without a gap"),
        (bytes(9) + b"\x03\x00\x01", "a size is cut off"),
        (bytes(9) + b"\x03" + var_size((1 << 62) - 1), "reaches beyond the end"),
    ],
)
def test_errors_say_what_is_wrong(image: bytes, words: str) -> None:
    with pytest.raises(RemoteProtocolError, match=words):
        decode_rows(TEXT, 1, image)


@pytest.mark.parametrize("offsets", [(0, 0), (0, 3), (0, 1), (0, -1), (0, 1 << 62), (-(1 << 63), (1 << 63) - 1)])
def test_offsets_that_do_not_fit(offsets: tuple[int, int]) -> None:
    image = b"".join(struct.pack("<qB", offset, 0) for offset in offsets) + b"\x03\x01" * 2
    with pytest.raises(RemoteProtocolError):
        decode_rows(TEXT, 2, image)
    with pytest.raises(RemoteProtocolError):
        decode_rows(TEXT, 2, image + b"\0")


def test_offsets_far_apart_do_not_overflow() -> None:
    image = b"".join(struct.pack("<qqB", 0, offset, 0) for offset in (-(1 << 63), (1 << 63) - 1)) + b"\x03\x01" * 2
    with pytest.raises(RemoteProtocolError, match="ends early"):
        image_size(TEXT, 2, Reader(image))


def test_a_walked_row_with_another_number_of_columns() -> None:
    with pytest.raises(RemoteProtocolError, match="does not have 1 variable columns"):
        image_size(TEXT, 1, Reader(bytes(17) + b"\x05\x01\x01"))


def test_bad_utf8_names_the_row() -> None:
    image = b"".join(struct.pack("<qB", 3 * n, 0) for n in range(3)) + b"\x03\x03a" + b"\x03\x03\xff" + b"\x03\x03b"
    with pytest.raises(DataError, match=r'column "s" .STRING., row 1: the value is not UTF-8') as caught:
        decode_rows(TEXT, 3, image)
    assert caught.value.row == 1
    schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("a", GridType.STRING, array=True),), 0)
    good, bad = b"\x03\x09\x05\x03a\x01", b"\x03\x07\x03\x03\xff"
    image = struct.pack("<qB", 0, 0) + struct.pack("<qB", len(good), 0) + good + bad
    with pytest.raises(DataError, match=r'column "a" .STRING\[\]., row 1: the value is not UTF-8'):
        decode_rows(schema, 2, image)


def nano_image(units: int, rest: int) -> bytes:
    return b"\0" + struct.pack("<qB", units, rest)


_LAST = (1 << 63) // 250


@pytest.mark.parametrize(
    ("units", "rest"), [(-1, 0), (0, 250), (0, 255), (_LAST, 58), (_LAST + 1, 0), ((1 << 63) - 1, 249), (-(1 << 63), 0)]
)
def test_nanoseconds_that_arrow_cannot_hold(units: int, rest: int) -> None:
    schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("t", GridType.TIMESTAMP_NS),), 0)
    with pytest.raises(DataError, match=r'column "t" .TIMESTAMP\(9\)., row 0: .* outside 1970 .. 2262'):
        decode_rows(schema, 1, nano_image(units, rest))
