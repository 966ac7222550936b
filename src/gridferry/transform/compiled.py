"""A table's plan -> its kernels in order, chosen once; then every batch goes through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.errors import DataError
from gridferry.plan.plan import ColumnPlan, TablePlan
from gridferry.transform.kernels import KERNELS, KernelFunction
from gridferry.transform.refusals import SENTENCES, Reason, Refusal


@dataclass(frozen=True)
class BadRows:
    """Rows that the target cannot store exactly, because of one source column.

    `reason` is the code, `sentence` the words ("ts lies before 1970 ..."); `rows` (k,) are ascending positions in
    the source batch. A row can be in several of these.
    """

    column: str
    reason: Reason
    sentence: str
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Converted:
    """A batch of the container's schema, its good rows only, and the rows that are not in it.

    `rows` (len(batch),) are the good rows' positions in the source batch; None where all rows are good.
    """

    batch: pa.RecordBatch
    bad: tuple[BadRows, ...] = ()
    rows: NDArray[np.int64] | None = None

    @property
    def bad_rows(self) -> NDArray[np.int64]:
        """Positions (k,) in the source batch of all rows that were refused, ascending, each once."""
        if not self.bad:
            return np.empty(0, np.int64)
        return np.unique(np.concatenate([bad.rows for bad in self.bad]))


@dataclass(frozen=True)
class CompiledTransform:
    """The conversions of one table. Safe to share between threads."""

    table: str
    schema: pa.Schema
    steps: tuple[tuple[ColumnPlan, KernelFunction], ...]

    def transform(self, batch: pa.RecordBatch) -> Converted:
        """Convert a batch as `TablePlan.source_columns` describes it.

        Raises: DataError if a column is missing or has a type that the plan does not know: the table has changed.
        """
        arrays: list[pa.Array] = []
        bad: list[BadRows] = []
        for column, kernel in self.steps:
            array, refusals = self._column(batch, column, kernel)
            arrays.append(array)
            bad += [
                BadRows(column.source, r.reason, f"{column.source} {SENTENCES[r.reason]}", r.rows) for r in refusals
            ]
        if not bad:
            return Converted(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        return self._good_rows(arrays, _once(bad), batch.num_rows)

    def _column(
        self, batch: pa.RecordBatch, column: ColumnPlan, kernel: KernelFunction
    ) -> tuple[pa.Array, tuple[Refusal, ...]]:
        if column.gone:
            return pa.nulls(len(batch), column.target.arrow_type), ()
        position = batch.schema.get_field_index(column.source)
        if position < 0:
            raise self._changed(column, "was not read from the source")
        array = batch.column(position)
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        try:
            converted, refusals = kernel(array, column)
        except (pa.ArrowException, AttributeError) as error:
            raise self._changed(column, f"came as {array.type}, which {column.pg_type} should not be") from error
        if array.null_count and not column.target.nullable:
            rows = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)).astype(np.int64)
            refusals = (Refusal(Reason.NULL, rows), *refusals)
        return converted, refusals

    def _good_rows(self, arrays: list[pa.Array], bad: tuple[BadRows, ...], count: int) -> Converted:
        keep = np.ones(count, bool)
        for each in bad:
            keep[each.rows] = False
        rows = np.flatnonzero(keep).astype(np.int64)
        wanted = pa.array(rows)
        kept = pa.RecordBatch.from_arrays([array.take(wanted) for array in arrays], schema=self.schema)
        return Converted(kept, bad, rows)

    def _changed(self, column: ColumnPlan, what: str) -> DataError:
        return DataError(
            f"{self.table}: the column {column.source} {what}",
            table=self.table,
            column=column.source,
            next_step="the table may have changed since it was planned: run `gridferry plan` again",
        )


def compile_columns(plan: TablePlan) -> CompiledTransform:
    """The transform of one table's plan. Raises: LocalProtocolError if the plan is not sound (`require_sound`)."""
    steps = tuple((column, KERNELS[column.kernel]) for column in plan.columns)
    return CompiledTransform(plan.qualified, plan.container_schema.arrow_schema, steps)


def _once(bad: list[BadRows]) -> tuple[BadRows, ...]:
    """Without the repetitions that come from one source column stored twice (a time and its microseconds)."""
    seen: set[tuple[str, Reason]] = set()
    found = []
    for each in bad:
        if (each.column, each.reason) not in seen:
            seen.add((each.column, each.reason))
            found.append(each)
    return tuple(found)
