"""TIMESTAMP(9) reaches further than Arrow's nanoseconds: the last one that fits is read, the next is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest

from gridferry.errors import DataError
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.decode import decode_rows
from gridferry.griddb.wire.encode import encode_rows

LAST = 2**63 - 1
SCHEMA = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("at", GridType.TIMESTAMP_NS, nullable=False),))


def _image(nanoseconds: int) -> bytes:
    units, rest = divmod(nanoseconds, 250)
    return b"\0" + units.to_bytes(8, "little") + bytes([rest])


@pytest.mark.parametrize("nanoseconds", [0, 249, 250, LAST - 300, LAST - 57, LAST - 1, LAST])
def test_what_was_written_is_read(nanoseconds: int) -> None:
    written = pa.record_batch([pa.array([nanoseconds], SCHEMA.columns[0].arrow_type)], schema=SCHEMA.arrow_schema)
    image = b"".join(encode_rows(SCHEMA, written).image())
    assert image == _image(nanoseconds)
    assert decode_rows(SCHEMA, 1, image)[0].equals(written)


@pytest.mark.parametrize("nanoseconds", [LAST + 1, LAST + 250, 253_402_300_799_999_999_999])
def test_a_later_one_is_refused_not_wrapped(nanoseconds: int) -> None:
    with pytest.raises(DataError, match=r"which Arrow.s nanoseconds hold"):
        decode_rows(SCHEMA, 1, _image(nanoseconds))
