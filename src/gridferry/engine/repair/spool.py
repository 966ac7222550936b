"""Differences on their way from a verification to a repair: kept in a file without a name, read back in groups.

A verification may wait for syncs that need the table's lease, and a repair needs it too; so the one ends first. The
file vanishes with the process. It is no state: a repair that was killed begins with a new verification.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import IO

import pyarrow as pa
from typing_extensions import Self

from gridferry.compare.temporary import on_disk
from gridferry.model.repair import RowChange
from gridferry.model.verification import DifferenceKind, DifferentRows

GROUP_BYTES = 4 << 20
GROUP_ROWS = 5000
GROUP_PARTS = 500
_WHAT = "the differences"


class Spool:
    """The differences of one table, as a sink of a verification takes them. A context; `count` are its row keys."""

    def __init__(self) -> None:
        self.count = 0
        self.refused = 0
        with on_disk(_WHAT):
            self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed on leaving the context

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk, met once more with what was still to be written
            self._file.close()

    def add(self, rows: DifferentRows) -> None:
        """Keep rows. DOUBLED ones are only counted, in `refused`. Raises: CheckpointError when the disk is full."""
        if rows.kind is DifferenceKind.DOUBLED:
            self.refused += len(rows)
            return
        self.count += len(rows)
        head = json.dumps([rows.container, rows.value, rows.kind.value], ensure_ascii=False).encode()
        with on_disk(_WHAT):
            for octets in (head, _ipc(rows.target), _ipc(rows.source)):
                self._file.write(len(octets).to_bytes(8, "little"))
                self._file.write(octets)

    def groups(
        self, *, most_bytes: int = GROUP_BYTES, most_rows: int = GROUP_ROWS, most_parts: int = GROUP_PARTS
    ) -> Iterator[list[RowChange]]:
        """All of them from the first on, in groups of bounded size; a single row is never cut."""
        group: list[RowChange] = []
        size = rows = 0
        for whole in self._read():
            for change in _pieces(whole, most_bytes=most_bytes, most_rows=most_rows):
                full = size + change.nbytes > most_bytes or rows + len(change) > most_rows or len(group) >= most_parts
                if group and full:
                    yield group
                    group, size, rows = [], 0, 0
                group.append(change)
                size, rows = size + change.nbytes, rows + len(change)
        if group:
            yield group

    def _read(self) -> Iterator[RowChange]:
        with on_disk(_WHAT):
            self._file.seek(0)
        while head := self._next():
            container, value, kind = json.loads(head)
            before, after = _batch(self._next()), _batch(self._next())
            yield RowChange(container, value, DifferenceKind(kind), before, after)

    def _next(self) -> bytes:
        with on_disk(_WHAT):
            return self._file.read(int.from_bytes(self._file.read(8), "little"))


def _pieces(change: RowChange, *, most_bytes: int, most_rows: int) -> Iterator[RowChange]:
    if len(change) <= 1 or (change.nbytes <= most_bytes and len(change) <= most_rows):
        if len(change):
            yield change
        return
    half = len(change) // 2
    for start, length in ((0, half), (half, len(change) - half)):
        yield from _pieces(change.slice(start, length), most_bytes=most_bytes, most_rows=most_rows)


def _ipc(batch: pa.RecordBatch | None) -> bytes:
    if batch is None:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def _batch(octets: bytes) -> pa.RecordBatch | None:
    if not octets:
        return None
    with pa.ipc.open_stream(octets) as reader:
        return reader.read_next_batch()
