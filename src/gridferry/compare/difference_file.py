"""Every difference in a file, as it is found: Parquet or JSON lines, in flat memory however many there are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from gridferry.compare.difference_rows import DIFFERENCE_SCHEMA, difference_batch, differences, key_times
from gridferry.errors import ConfigError
from gridferry.model.verification import Difference, DifferentRows
from gridferry.private_files import make_private

ROWS_A_STEP = 5_000
ROWS_A_GROUP = 50_000


class DifferenceFile(Protocol):
    """Takes differences, a table's at a time."""

    def add(self, rows: DifferentRows, *, key_length: int) -> None:
        """Write some more."""


def require_writable(path: Path) -> None:
    """Return if a file of this name can hold differences. Raises: ConfigError."""
    if path.suffix not in (".parquet", ".jsonl"):
        raise ConfigError(
            f"{path}: differences are written as .parquet or .jsonl", next_step="give the file one of these endings"
        )
    if not path.resolve().parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}", next_step="make it, or choose another file")


@contextmanager
def open_difference_file(path: Path) -> Iterator[DifferenceFile]:
    """A file for differences, by the ending of its name. What it held before is gone. Raises: ConfigError."""
    require_writable(path)
    try:
        file = _Parquet(path) if path.suffix == ".parquet" else _JsonLines(path)
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        yield file
        file.close()
    except BaseException:
        file.abandon()
        raise


class _Parquet:
    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._path = path
        # Without a buffer of its own: what cannot be written fails where it is written, and nothing is left to close.
        self._file = os.fdopen(make_private(path), "wb", buffering=0)
        try:
            self._writer = pq.ParquetWriter(self._file, DIFFERENCE_SCHEMA)
        except BaseException:
            self._file.close()
            raise
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, rows: DifferentRows, *, key_length: int) -> None:
        for found, times in _steps(rows, key_length=key_length):
            self._waiting.append(difference_batch(found, times))
            self._rows += len(found)
            if self._rows >= ROWS_A_GROUP:
                self._write()

    def close(self) -> None:
        self._write()
        with _written(self._path):
            self._writer.close()
            self._file.close()

    def abandon(self) -> None:
        """Close it as it is: an error that matters more is under way."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._file.close()

    def _write(self) -> None:
        if self._waiting:
            with _written(self._path):
                self._writer.write_table(pa.Table.from_batches(self._waiting))
        self._waiting, self._rows = [], 0


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.fdopen(make_private(path), "w", encoding="utf-8")

    def add(self, rows: DifferentRows, *, key_length: int) -> None:
        for found, _ in _steps(rows, key_length=key_length):
            with _written(self._path):
                self._file.writelines(
                    json.dumps(difference_document(difference), ensure_ascii=False) + "\n" for difference in found
                )

    def close(self) -> None:
        with _written(self._path):
            self._file.close()

    def abandon(self) -> None:
        """Close it as it is: an error that matters more is under way."""
        with suppress(OSError):
            self._file.close()


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path} cannot be written: {error.strerror or error}",
        state="the verification was not finished; what the file holds is not all",
        next_step="make room, or name another file with --output",
    )


def difference_document(difference: Difference) -> dict[str, Any]:
    """One difference as plain JSON: the key and the columns as objects by name."""
    return {
        "table": difference.table,
        "container": difference.container,
        "value": difference.value,
        "kind": difference.kind.value,
        "key": dict(difference.key),
        "columns": {c.name: {"source": c.source, "target": c.target} for c in difference.columns},
    }


def _steps(rows: DifferentRows, *, key_length: int) -> Iterator[tuple[list[Difference], pa.Array]]:
    times = key_times(rows, key_length=key_length)
    for start in range(0, len(rows), ROWS_A_STEP):
        part = DifferentRows(
            rows.table,
            rows.container,
            rows.value,
            rows.kind,
            source=None if rows.source is None else rows.source.slice(start, ROWS_A_STEP),
            target=None if rows.target is None else rows.target.slice(start, ROWS_A_STEP),
        )
        yield differences(part, key_length=key_length), times.slice(start, ROWS_A_STEP)
