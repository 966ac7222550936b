"""Where rows are stored: one DuckDB table for all containers whose columns have the same types.

GridDB users make a container a device, so ten thousand containers of one shape are normal. One table a shape, with
the container's number as its first column, turns a put into hundreds of containers into one insert, and an
aggregate over all of them into one GROUP BY. Column names belong to the container, not to the shape.

Values are kept bit by bit: timestamps of every precision as integers, GEOMETRY as bytes, floats natively: DuckDB
keeps the bits of NaN and the sign of zero, and `tests/unit/embedded/test_values.py` holds it to that. Only DuckDB 1,
which Python 3.10 still needs, makes one value of a block that holds nothing but 0.0 and -0.0.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache

import pyarrow as pa

from gridferry.griddb.schema import ContainerKind, ContainerSchema, GridType

NUMBER = "number"
ROW_ID = "row_id"

_SQL_TYPES: dict[GridType, str] = {
    GridType.STRING: "VARCHAR",
    GridType.BOOL: "BOOLEAN",
    GridType.BYTE: "TINYINT",
    GridType.SHORT: "SMALLINT",
    GridType.INTEGER: "INTEGER",
    GridType.LONG: "BIGINT",
    GridType.FLOAT: "FLOAT",
    GridType.DOUBLE: "DOUBLE",
    GridType.TIMESTAMP_MS: "BIGINT",
    GridType.GEOMETRY: "BLOB",
    GridType.BLOB: "BLOB",
    GridType.TIMESTAMP_US: "BIGINT",
    GridType.TIMESTAMP_NS: "BIGINT",
}
TIMESTAMPS = frozenset({GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US, GridType.TIMESTAMP_NS})


@dataclass(frozen=True)
class Shape:
    """The types of a container's columns, the length of its row key, and whether rows have ids.

    A row of a COLLECTION has a row id of its own; a row of a TIME_SERIES is known by its key.
    """

    columns: tuple[tuple[GridType, bool], ...]
    key_length: int
    row_ids: bool

    @cached_property
    def table(self) -> str:
        """The DuckDB table's name: a digest, since a shape of a thousand columns has no short name."""
        text = f"{self.row_ids}/{self.key_length}/" + ",".join(f"{int(t)}{'a' if a else ''}" for t, a in self.columns)
        return "rows_" + hashlib.sha256(text.encode()).hexdigest()[:20]

    @cached_property
    def value_names(self) -> tuple[str, ...]:
        """The DuckDB columns of the container's columns: c0, c1, ..."""
        return tuple(f"c{i}" for i in range(len(self.columns)))

    @property
    def key_names(self) -> tuple[str, ...]:
        """The DuckDB columns of the row key."""
        return self.value_names[: self.key_length]

    @property
    def names(self) -> tuple[str, ...]:
        """Every DuckDB column, in table order."""
        return (NUMBER, *((ROW_ID,) if self.row_ids else ()), *self.value_names)

    @property
    def identity(self) -> str:
        """The DuckDB column that identifies a row of a container."""
        return ROW_ID if self.row_ids else self.value_names[0]

    @property
    def ddl(self) -> str:
        """CREATE TABLE for this shape, harmless when the table exists."""
        columns = [f"{NUMBER} BIGINT", *([f"{ROW_ID} BIGINT"] if self.row_ids else [])]
        columns += [f"{n} {sql_type(t, array=a)}" for n, (t, a) in zip(self.value_names, self.columns, strict=True)]
        return f"CREATE TABLE IF NOT EXISTS {self.table} ({', '.join(columns)})"

    @cached_property
    def physical(self) -> pa.Schema:
        """Arrow schema of a batch's values as they are stored: no names, timestamps as integers."""
        return pa.schema(
            [(n, _physical_type(t, array=a)) for n, (t, a) in zip(self.value_names, self.columns, strict=True)]
        )


@lru_cache(maxsize=4096)
def shape_of(schema: ContainerSchema) -> Shape:
    """The shape that containers of `schema` are stored in."""
    return Shape(
        columns=tuple((c.type, c.array) for c in schema.columns),
        key_length=schema.key_length,
        row_ids=schema.kind is ContainerKind.COLLECTION,
    )


def sql_type(kind: GridType, *, array: bool = False) -> str:
    """The DuckDB type that values of a GridDB type are stored in."""
    return _SQL_TYPES[kind] + ("[]" if array else "")


def _physical_type(kind: GridType, *, array: bool) -> pa.DataType:
    element = pa.int64() if kind in TIMESTAMPS else _NATIVE[kind]
    return pa.list_(element) if array else element


_NATIVE: dict[GridType, pa.DataType] = {
    GridType.STRING: pa.utf8(),
    GridType.BOOL: pa.bool_(),
    GridType.BYTE: pa.int8(),
    GridType.SHORT: pa.int16(),
    GridType.INTEGER: pa.int32(),
    GridType.LONG: pa.int64(),
    GridType.FLOAT: pa.float32(),
    GridType.DOUBLE: pa.float64(),
    GridType.GEOMETRY: pa.binary(),
    GridType.BLOB: pa.binary(),
}


def stored(shape: Shape, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch as it is stored: columns c0, c1, ...; timestamps become integers without a copy."""
    arrays = [
        array if array.type == field.type else array.cast(field.type)
        for array, field in zip(batch.columns, shape.physical, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=shape.physical)
