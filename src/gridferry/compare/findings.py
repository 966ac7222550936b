"""Rows at which both sides differ, as arrays: the form in which they wait, are looked at again and are counted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from typing_extensions import Self

from gridferry.compare.temporary import on_disk
from gridferry.model.verification import DifferenceKind, DifferentRows

KINDS = tuple(DifferenceKind)
KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_MEMORY_BYTES = 16 << 20


@dataclass(frozen=True)
class Findings:
    """n rows that differ: container numbers `codes` (n,), `kinds` (n,) as places in KINDS, and the rows of each side.

    Where a side has no such row, its values here mean nothing (the kind says so).
    """

    codes: NDArray[np.int64]
    kinds: NDArray[np.int64]
    source: pa.RecordBatch
    target: pa.RecordBatch

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return int(self.source.nbytes + self.target.nbytes + 16 * len(self.codes))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Findings:
        """Those at some places, or where a mask is true."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        at = pa.array(rows)
        return Findings(self.codes[rows], self.kinds[rows], self.source.take(at), self.target.take(at))

    def slice(self, start: int, count: int) -> Findings:
        """A part, without a copy."""
        end = start + count
        return Findings(
            self.codes[start:end],
            self.kinds[start:end],
            self.source.slice(start, count),
            self.target.slice(start, count),
        )

    def keys(self, key_length: int) -> list[pa.Array]:
        """The row key's columns, from whichever side has the row."""
        extra = pa.array(self.kinds == KIND_NUMBERS[DifferenceKind.EXTRA])
        return [pc.if_else(extra, self.target.column(i), self.source.column(i)) for i in range(key_length)]

    def rows(self, table: str, names: Sequence[str], values: Sequence[str | None]) -> Iterator[DifferentRows]:
        """As rows by container and kind; `names` and `values` by container number."""
        order = np.lexsort((self.kinds, self.codes))
        codes, kinds = self.codes[order], self.kinds[order]
        new = (codes[1:] != codes[:-1]) | (kinds[1:] != kinds[:-1])
        starts: list[int] = np.flatnonzero(np.r_[True, new]).tolist() if len(order) else []
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
            kind, code, at = KINDS[int(kinds[start])], int(codes[start]), pa.array(order[start:end])
            yield DifferentRows(
                table,
                names[code],
                values[code],
                kind,
                source=None if kind is DifferenceKind.EXTRA else self.source.take(at),
                target=self.target.take(at) if kind in (DifferenceKind.EXTRA, DifferenceKind.DIFFERENT) else None,
            )


def findings_of(
    kind: DifferenceKind,
    codes: NDArray[np.int64],
    *,
    source: pa.RecordBatch | None = None,
    target: pa.RecordBatch | None = None,
) -> Findings:
    """Rows of one kind; a side that has none is filled up with NULL."""
    present = source if source is not None else target
    if present is None:
        raise ValueError("one side at least has the rows")
    empty = nullable(
        pa.RecordBatch.from_arrays([pa.nulls(len(codes), f.type) for f in present.schema], present.schema.names)
    )
    return Findings(
        codes.astype(np.int64, copy=False),
        np.full(len(codes), KIND_NUMBERS[kind], np.int64),
        empty if source is None else nullable(source),
        empty if target is None else nullable(target),
    )


def nullable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same columns in a schema that lets any of them be NULL."""
    return pa.RecordBatch.from_arrays(batch.columns, names=batch.schema.names)


class FindingsSpool:
    """Findings that wait for another look: in memory while they are few, else in a temporary file. A context."""

    def __init__(self) -> None:
        self.rows = 0
        self._kept: list[Findings] = []
        self._kept_bytes = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def __len__(self) -> int:
        return self.rows

    def add(self, findings: Findings) -> None:
        """Keep some more."""
        if not len(findings):
            return
        self.rows += len(findings)
        self._kept.append(findings)
        self._kept_bytes += findings.nbytes
        if self._kept_bytes > _MEMORY_BYTES:
            with on_disk("rows to look at again"):
                self._write()

    def parts(self, most_rows: int) -> Iterator[Findings]:
        """All of them, `most_rows` at most at a time."""
        for path in self._files:
            with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
                for batch in reader:
                    yield from _parts(_findings(batch), most_rows)
        waiting = list(self._kept)
        group: list[Findings] = []
        rows = 0
        for findings in waiting:
            if group and rows + len(findings) > most_rows:
                yield joined(group)
                group, rows = [], 0
            if len(findings) > most_rows:
                yield from _parts(findings, most_rows)
                continue
            group.append(findings)
            rows += len(findings)
        if group:
            yield joined(group)

    def _write(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="gridferry-verify-")
        path = Path(self._folder.name) / f"{len(self._files)}.arrow"
        first = _batch(self._kept[0])
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, first.schema) as writer:
            for findings in self._kept:
                writer.write_batch(_batch(findings))
        self._files.append(path)
        self._kept, self._kept_bytes = [], 0


def joined(parts: Sequence[Findings]) -> Findings:
    """Several as one."""
    if len(parts) == 1:
        return parts[0]
    return Findings(
        np.concatenate([p.codes for p in parts]),
        np.concatenate([p.kinds for p in parts]),
        pa.concat_batches([p.source for p in parts]),
        pa.concat_batches([p.target for p in parts]),
    )


def _parts(findings: Findings, most_rows: int) -> Iterator[Findings]:
    for start in range(0, len(findings), most_rows):
        yield findings.slice(start, min(most_rows, len(findings) - start))


def _batch(findings: Findings) -> pa.RecordBatch:
    columns = [pa.array(findings.codes), pa.array(findings.kinds), *findings.source.columns, *findings.target.columns]
    names = [
        *(f"source {n}" for n in findings.source.schema.names),
        *(f"target {n}" for n in findings.target.schema.names),
    ]
    return pa.RecordBatch.from_arrays(columns, names=["code", "kind", *names])


def _findings(batch: pa.RecordBatch) -> Findings:
    half = (batch.num_columns - 2) // 2
    names = [name.partition(" ")[2] for name in batch.schema.names[2 : 2 + half]]
    return Findings(
        batch.column(0).to_numpy(),
        batch.column(1).to_numpy(),
        pa.RecordBatch.from_arrays(batch.columns[2 : 2 + half], names=names),
        pa.RecordBatch.from_arrays(batch.columns[2 + half :], names=names),
    )
