"""What a query gives: rows as Arrow batches, page by page, or one aggregated value."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from types import TracebackType

import pyarrow as pa
from typing_extensions import Self

from gridferry.errors import LocalProtocolError
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.row_replies import Aggregate


class QueryResult:
    """Rows, or an aggregate. Iterate over `batches` once, or take everything with `read_all`.

    A result that comes in pages holds a connection until its last page was read. Whoever stops before that should use
    the result as a context, or `close` it.
    """

    def __init__(
        self, schema: ContainerSchema, *, batches: Iterator[pa.RecordBatch] | None, aggregate: Aggregate | None
    ) -> None:
        self.schema = schema
        self.aggregate = aggregate
        self._batches = batches

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up the pages not read yet; more than once does no harm."""
        if isinstance(self._batches, Generator):
            self._batches.close()

    @property
    def has_rows(self) -> bool:
        """Whether the query selects rows, and not one aggregated value."""
        return self._batches is not None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, one batch a page; there may be none. Raises: LocalProtocolError for an aggregation."""
        if self._batches is None:
            raise LocalProtocolError("the query gave an aggregated value, not rows")
        yield from self._batches

    def read_all(self) -> pa.Table:
        """All rows in memory; for an aggregation a table of one column `value` and at most one row."""
        if self._batches is not None:
            return pa.Table.from_batches(self._batches, schema=self.schema.arrow_schema)
        aggregate = self.aggregate
        if aggregate is None or aggregate.type is None:
            return pa.table({"value": pa.nulls(0)})
        return pa.table({"value": pa.array([aggregate.value], aggregate.scalar.type)})

    @property
    def value(self) -> int | float | bool | None:
        """The aggregated value; None where there is none. Raises: LocalProtocolError for rows."""
        if self.aggregate is None:
            raise LocalProtocolError("the query gave rows, not an aggregated value")
        return self.aggregate.value
