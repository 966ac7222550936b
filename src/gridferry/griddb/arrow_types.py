"""GridDB's types in Arrow. Apart from `schema`, so that types and plans can be read without loading Arrow."""

from __future__ import annotations

import pyarrow as pa

from gridferry.griddb.schema import GridType

ARROW_TYPES: dict[GridType, pa.DataType] = {
    GridType.STRING: pa.utf8(),
    GridType.BOOL: pa.bool_(),
    GridType.BYTE: pa.int8(),
    GridType.SHORT: pa.int16(),
    GridType.INTEGER: pa.int32(),
    GridType.LONG: pa.int64(),
    GridType.FLOAT: pa.float32(),
    GridType.DOUBLE: pa.float64(),
    GridType.TIMESTAMP_MS: pa.timestamp("ms", tz="UTC"),
    GridType.GEOMETRY: pa.binary(),
    GridType.BLOB: pa.binary(),
    GridType.TIMESTAMP_US: pa.timestamp("us", tz="UTC"),
    GridType.TIMESTAMP_NS: pa.timestamp("ns", tz="UTC"),
}
