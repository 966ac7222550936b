"""Row images of the wire <-> batches and answers of the store; malformed ones become refusals."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from gridferry.embedded.queries import Value
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.results import Rows
from gridferry.errors import RemoteProtocolError
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.decode import decode_rows
from gridferry.griddb.wire.encode import encode_rows
from gridferry.griddb.wire.octets import Buffer
from gridferry.griddb.wire.row_replies import Aggregate, RowsPart


def joined(data: Buffer | Sequence[Buffer]) -> Buffer:
    """One buffer."""
    return data if isinstance(data, (bytes, bytearray, memoryview)) else b"".join(data)


def rows_from(schema: ContainerSchema, count: int, image: Buffer | Sequence[Buffer]) -> pa.RecordBatch:
    """The rows of a put. Raises: 60159 for what the real server may crash on."""
    try:
        return decode_rows(schema, count, joined(image))[0]
    except RemoteProtocolError as error:
        raise Refusal(Code.DS_INPUT_MESSAGE_INVALID, error.message) from error


def image_of(schema: ContainerSchema, rows: Rows) -> list[Buffer]:
    """The row image of an answer."""
    return encode_rows(schema, rows.batch, row_ids=rows.row_ids, check=False).image()


def rows_part(schema: ContainerSchema, rows: Rows) -> RowsPart:
    """Rows as a part of a query's answer."""
    return RowsPart(rows.batch.num_rows, image_of(schema, rows))


def found_image(schema: ContainerSchema, rows: Rows) -> list[Buffer] | None:
    """The image of the one row found, or None."""
    return image_of(schema, rows) if rows.batch.num_rows else None


def aggregate_of(value: Value) -> Aggregate:
    """An aggregation as it is answered."""
    return Aggregate(value.type, value.value)
