"""Both sides' rows as a verification reads them: batches of the container's columns, with container numbers beside."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.engine.comparison.containers import NumberedContainers
from gridferry.engine.comparison.ranges import RowRange, narrowed
from gridferry.griddb import Store
from gridferry.plan.names import container_name
from gridferry.plan.plan import TablePlan
from gridferry.source.contract import ReadsRows
from gridferry.transform.compiled import CompiledTransform, compile_columns

NumberedRows = tuple[pa.RecordBatch, NDArray[np.int64]]

PAGE_ROWS = 50_000
_SMALL_ROWS = 20_000  # containers up to this size are asked many at a time, their answers unpaged
_ROWS_A_REQUEST = 100_000
_UNEVEN = 4  # by this factor a range may hold more of one container than others do


class SourceReader:
    """The source's rows as the plan stores them. `rows` and `octets` were read; `unfit` counts, by split value, those
    that no container can hold.
    """

    def __init__(self, plan: TablePlan, containers: NumberedContainers) -> None:
        self.rows = 0
        self.octets = 0
        self.read: Counter[int] = Counter()
        self.unfit: Counter[int] = Counter()
        self._plan = plan
        self._containers = containers
        self._transform: CompiledTransform = compile_columns(plan)
        self._lock = threading.Lock()

    def part(self, reader: ReadsRows, part: RowRange) -> Iterator[NumberedRows]:
        """The rows of a part."""
        return self.converted(reader.read_chunk(part.chunk, narrowed(self._plan, part)))

    def converted(self, batches: Iterable[pa.RecordBatch]) -> Iterator[NumberedRows]:
        """Batches as the source reads them, in the container's form; rows that have none are counted and left out."""
        for batch in batches:
            converted = self._transform.transform(batch)
            by = None
            if self._plan.split_by is not None:
                by = batch.column(batch.schema.get_field_index(self._plan.split_by))
            codes = self._containers.codes(by, len(batch))
            kept = codes if converted.rows is None else codes[converted.rows]
            with self._lock:
                self.rows += len(batch)
                self.octets += batch.nbytes
                self.read.update(_counted(codes))
                if converted.rows is not None:
                    self.unfit.update(_counted(codes[converted.bad_rows]))
            if len(kept):
                yield converted.batch, kept


class TargetReader:
    """The target's rows. `rows` and `octets` were read, `read` of them by container number."""

    def __init__(self, store: Store, containers: NumberedContainers, *, ranges: int = 1) -> None:
        """Args: `ranges`: into how many ranges of the key each container is cut."""
        self.rows = 0
        self.octets = 0
        self.read: Counter[int] = Counter()
        self._store = store
        self._containers = containers
        self._lock = threading.Lock()
        self._ranges = max(1, ranges)

    def part(self, part: RowRange) -> Iterator[NumberedRows]:
        """The rows of a part, the small containers first and many in one batch."""
        codes = range(self._containers.listed) if part.codes is None else part.codes
        there = [code for code in codes if self._containers.opened[code] is not None]
        tql = "select *" + (f" where {part.condition}" if part.condition else "")
        small = [code for code in there if self._expected(code) <= _SMALL_ROWS]
        for group in self._groups(small):
            yield from self._told(self._many(group, tql))
        for code in sorted(set(there) - set(small)):
            yield from self._told(self._one(code, tql))

    def _expected(self, code: int) -> int:
        """How many rows of a container a part may well have: ranges are not all alike."""
        count = self._containers.counts[code]
        return min(count, _UNEVEN * count // self._ranges)

    def _groups(self, codes: list[int]) -> Iterator[list[int]]:
        group: list[int] = []
        rows = 0
        for code in codes:
            count = self._expected(code)
            if group and rows + count > _ROWS_A_REQUEST:
                yield group
                group, rows = [], 0
            group.append(code)
            rows += count
        if group:
            yield group

    def _many(self, codes: list[int], tql: str) -> Iterator[NumberedRows]:
        opened = [self._containers.opened[code] for code in codes]
        queries = [(container, tql) for container in opened if container is not None]
        rows, counts = self._store.multi_rows(queries, self._containers.schema)
        yield rows, np.repeat(np.asarray(codes, np.int64), counts)

    def _one(self, code: int, tql: str) -> Iterator[NumberedRows]:
        container = self._containers.opened[code]
        if container is None:
            return
        with container.query(tql, page_rows=PAGE_ROWS) as found:
            for batch in found.batches():
                yield batch, np.full(len(batch), code, np.int64)

    def _told(self, pages: Iterable[NumberedRows]) -> Iterator[NumberedRows]:
        for rows, codes in pages:
            if not len(rows):
                continue
            with self._lock:
                self.rows += len(rows)
                self.octets += rows.nbytes
                self.read.update(_counted(codes))
            yield rows, codes


def joined_rows(parts: list[NumberedRows], schema: pa.Schema) -> NumberedRows:
    """Several batches as one."""
    if not parts:
        return pa.RecordBatch.from_pylist([], schema=schema), np.empty(0, np.int64)
    if len(parts) == 1:
        return parts[0]
    return pa.concat_batches([rows for rows, _ in parts]), np.concatenate([codes for _, codes in parts])


def explained_names(plan: TablePlan, containers: NumberedContainers) -> dict[str, int]:
    """Container numbers by the names that the quarantine knows them by."""
    return {container_name(plan, value): code for code, value in enumerate(containers.values)}


def _counted(codes: NDArray[np.int64]) -> dict[int, int]:
    counts = np.bincount(codes)
    return {int(code): int(counts[code]) for code in np.flatnonzero(counts)}
