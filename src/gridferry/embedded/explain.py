"""EXPLAIN's answer: a few rows in the real server's shape. The emulator uses no index, and says so."""

from __future__ import annotations

import pyarrow as pa

from gridferry.embedded.tql_query import Explanation
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

SCHEMA = ContainerSchema(
    ContainerKind.COLLECTION,
    (
        ColumnSpec("ID", GridType.INTEGER),
        ColumnSpec("DEPTH", GridType.INTEGER),
        ColumnSpec("TYPE", GridType.STRING),
        ColumnSpec("VALUE_TYPE", GridType.STRING),
        ColumnSpec("VALUE_STRING", GridType.STRING),
        ColumnSpec("STATEMENT", GridType.STRING),
    ),
    0,
)


def explained(query: Explanation, found: int | None) -> pa.RecordBatch:
    """The rows of an answer to EXPLAIN; `found` is how many rows ANALYZE counted, None without it."""
    lines = [(0, "SELECTION", "CONDITION", query.condition, ""), (1, "NOT_INDEX_USABLE", "COLUMN", "", "")]
    for name, descending in query.order:
        lines.append((0, "QUERY_RESULT_SORT_EXPRESSION", "STRING", name, "DESC" if descending else "ASC"))
    lines.append((0, "QUERY_EXECUTE_RESULT_ROWS", "INTEGER", str(found or 0), ""))
    if found is not None:
        lines.append((0, "QUERY_RESULT_ROWS", "INTEGER", str(found), ""))
    columns = list(zip(*((number, *line) for number, line in enumerate(lines)), strict=True))
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA.arrow_schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA.arrow_schema)
