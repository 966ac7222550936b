"""The form that differences have in a file: one Arrow schema for all tables, values as text."""

from __future__ import annotations

import pyarrow as pa

DIFFERENCE_SCHEMA = pa.schema(
    [
        pa.field("table", pa.utf8(), nullable=False),
        pa.field("container", pa.utf8(), nullable=False),
        pa.field("value", pa.utf8()),  # the split value as text; NULL for NULL, or where there is no split
        pa.field("kind", pa.utf8(), nullable=False),  # missing, extra, different or doubled
        pa.field("time", pa.timestamp("us", tz="UTC")),  # the first time in the row key, where there is one
        pa.field("key", pa.list_(pa.struct([("name", pa.utf8()), ("value", pa.utf8())])), nullable=False),
        pa.field(
            "columns",
            pa.list_(pa.struct([("name", pa.utf8()), ("source", pa.utf8()), ("target", pa.utf8())])),
            nullable=False,
        ),
    ]
)
