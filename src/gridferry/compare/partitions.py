"""Rows of both sides that came in any order, parted by the hash of container and row key: equal keys meet in one part.

In memory while they are few, else in temporary files.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from typing_extensions import Self

from gridferry.compare.digest import row_words
from gridferry.compare.temporary import on_disk

_MEMORY_BYTES = 96 << 20
_CODE = "container number"
_WHAT = "rows to compare"


class Side(str, Enum):
    """Where rows are from."""

    SOURCE = "source"
    TARGET = "target"


class Partitions:
    """Rows in `count` parts. A context, which removes the files; `add` may be called by several threads."""

    def __init__(self, schema: pa.Schema, *, key_length: int, count: int, memory_bytes: int = _MEMORY_BYTES) -> None:
        self.count = count
        self._schema = schema
        self._stored = schema.append(pa.field(_CODE, pa.int64()))
        self._key_length = key_length
        self._memory_bytes = memory_bytes
        self._bytes = 0
        self._kept: dict[tuple[Side, int], list[pa.RecordBatch]] = {}
        self._files: dict[tuple[Side, int], pa.ipc.RecordBatchStreamWriter] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._files.values():
            with suppress(OSError):  # a full disk, met once more with what was still to be written
                writer.close()
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, side: Side, rows: pa.RecordBatch, codes: NDArray[np.int64]) -> None:
        """Keep some more rows of a side; row i lies in container number `codes[i]`."""
        numbers = pa.array(codes)
        whole = pa.RecordBatch.from_arrays([*rows.columns, numbers], schema=self._stored)
        if self.count == 1:
            parts = [(0, whole)]
        else:
            place = (row_words([numbers, *rows.columns[: self._key_length]]) % np.uint64(self.count)).astype(np.int64)
            order = np.argsort(place, kind="stable")
            bounds = np.searchsorted(place[order], np.arange(self.count + 1))
            sorted_rows = whole.take(pa.array(order))
            parts = [
                (part, sorted_rows.slice(int(bounds[part]), int(bounds[part + 1] - bounds[part])))
                for part in range(self.count)
                if bounds[part + 1] > bounds[part]
            ]
        with self._lock:
            for part, batch in parts:
                self._kept.setdefault((side, part), []).append(batch)
            self._bytes += whole.nbytes
            if self._bytes > self._memory_bytes:
                with on_disk(_WHAT):
                    self._write()

    def rows(self, side: Side, part: int) -> Iterator[tuple[pa.RecordBatch, NDArray[np.int64]]]:
        """One side's rows of a part, once all were added; they are let go as they are handed out."""
        writer = self._files.get((side, part))
        if writer is not None:
            with on_disk(_WHAT):
                writer.close()
            with pa.OSFile(str(self._path(side, part)), "rb") as source, pa.ipc.open_stream(source) as reader:
                for batch in reader:
                    yield self._split(batch)
        kept = self._kept.pop((side, part), [])
        while kept:
            yield self._split(kept.pop(0))

    def _split(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
        rows = pa.RecordBatch.from_arrays(batch.columns[:-1], schema=self._schema)
        return rows, batch.column(batch.num_columns - 1).to_numpy()

    def _path(self, side: Side, part: int) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="gridferry-verify-")
        return Path(self._folder.name) / f"{side.value}-{part}.arrow"

    def _write(self) -> None:
        for (side, part), batches in self._kept.items():
            if (side, part) not in self._files:
                self._files[side, part] = pa.ipc.new_stream(str(self._path(side, part)), self._stored)
            for batch in batches:
                self._files[side, part].write_batch(batch)
        self._kept = {}
        self._bytes = 0
