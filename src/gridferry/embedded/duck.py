"""The seam to DuckDB: the only file that calls it, and the place where its errors become refusals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from gridferry.embedded.refusal import Code, Refusal
from gridferry.errors import ConfigError

FILE_NAME = "gridferry.duckdb"
# Enough for sorting and joining bulk batches; what does not fit is spilled beside the file.
_FILE_MEMORY = "512MB"

_CODES: tuple[tuple[type[Exception], Code, str], ...] = (
    (duckdb.OutOfMemoryException, Code.CM_NO_MEMORY, "not enough memory"),
    (duckdb.IOException, Code.CM_IO_ERROR, "the disk refused (full, or not writable)"),
    (duckdb.FatalException, Code.CM_IO_ERROR, "the disk refused (full, or not writable)"),
    (duckdb.ConversionException, Code.TQ_CONSTRAINT_CANNOT_CAST, "a value cannot be converted"),
    (duckdb.OutOfRangeException, Code.TQ_CONSTRAINT_INVALID_ARGUMENT_RANGE, "a number is out of range"),
    (duckdb.InvalidInputException, Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, "a value is not usable here"),
    (duckdb.BinderException, Code.TQ_OPERATION_NOT_DEFINED, "no such operation between these types"),
)


_ROW_ERRORS = {
    Code.TQ_DIVIDE_BY_ZERO: "Divide by 0 detected.",
    Code.TQ_CONSTRAINT_INVALID_ARGUMENT_RANGE: "The time is out of range.",
    Code.TQ_CONSTRAINT_ARRAY_OUT_OF_RANGE: "Specified index is out of range.",
    Code.QF_VALUE_OVERFLOW: "Value overflow.",
    Code.QF_DIVIDE_BY_ZERO: "Divide by 0.",
    Code.QF_VALUE_OUT_OF_RANGE: "Argument is out of the function's range.",
    Code.SQL_PROC_VALUE_OVERFLOW: "Value overflow: a value is out of range for its type.",
    Code.SQL_PROC_VALUE_SYNTAX_ERROR: "Value syntax error: a text is no value of the type.",
}
_ASKED = re.compile(r"TQL:(\d+)")


class Duck:
    """One DuckDB database; `path` is a folder, None keeps everything in memory. Callers hold one lock around it.

    Raises: ConfigError if the folder cannot be used; Refusal from every statement that DuckDB fails.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._connection = self._connect()

    def _connect(self) -> Any:
        # Never look into Python variables, files or the network for a table that does not exist. No statement of ours
        # needs them, and none can allow them again.
        config: dict[str, str | bool | int | float | list[str]] = {
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "enable_external_access": "false",
            "lock_configuration": "true",
        }
        if self.path is None:
            return duckdb.connect(":memory:", config=config)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            config |= {"memory_limit": _FILE_MEMORY, "temp_directory": str(self.path / "spill")}
            return duckdb.connect(str(self.path / FILE_NAME), config=config)
        except (OSError, duckdb.Error) as error:
            raise ConfigError(
                f"the database folder {self.path} cannot be opened: {_first_line(error)}",
                next_step="check that no other server uses the folder and that it can be written",
            ) from error

    def close(self) -> None:
        """Close the database. What was not committed is gone."""
        self._connection.close()

    def run(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Execute a statement that returns nothing."""
        with self._mapped():
            self._connection.execute(sql, list(parameters))

    def select(self, sql: str, *, tables: Mapping[str, pa.Table] | None = None) -> pa.Table:
        """A query's whole result. `tables` can be named in it."""
        with self._mapped(), self.given(tables or {}):
            return self._connection.sql(sql).to_arrow_table()

    def stream(self, sql: str) -> Stream:
        """A query's result, read in pieces from the state of now; close it."""
        with self._mapped():
            return Stream(self._connection.cursor(), sql)

    def session(self) -> Session:
        """A connection of its own to the database, for a query that others need not wait for; close it."""
        with self._mapped():
            return Session(self._connection.cursor())

    @contextmanager
    def given(self, tables: Mapping[str, pa.Table]) -> Iterator[None]:
        """Inside the block the Arrow tables can be queried by their names."""
        for name, table in tables.items():
            self._connection.register(name, table)
        try:
            yield
        finally:
            for name in tables:
                self._connection.unregister(name)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements of the block, or none of them; durable when the block ends."""
        self.run("BEGIN TRANSACTION")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            self._rollback()
            raise

    def _rollback(self) -> None:
        try:
            self._connection.execute("ROLLBACK")
        except duckdb.Error:
            # A failed COMMIT has ended the transaction; a failed write to disk may have closed the whole database,
            # which then answers nothing until it is opened again.
            self._reopen_if_dead()

    def _reopen_if_dead(self) -> None:
        try:
            self._connection.execute("SELECT 1")
        except duckdb.Error:
            self._connection.close()
            self._connection = self._connect()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise refusal_of(error) from error


class Session:
    """A connection of its own; what it reads is the state when a query begins."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def stream(self, sql: str, tables: Mapping[str, pa.Table]) -> Stream:
        """A query's result, read in pieces; closing it closes the session. `tables` can be named in the query."""
        try:
            for name, table in tables.items():
                self._cursor.register(name, table)
            return Stream(self._cursor, sql)
        except duckdb.Error as error:
            raise sql_refusal_of(error) from error

    def interrupt(self) -> None:
        """Stop the query that runs, from another thread."""
        with suppress(duckdb.Error):
            self._cursor.interrupt()

    def close(self) -> None:
        """Let go of the connection."""
        with suppress(duckdb.Error):
            self._cursor.close()


class Stream:
    """A result read in pieces. It sees the database as it was when it was made."""

    def __init__(self, cursor: Any, sql: str) -> None:
        self._cursor = cursor
        self._kept: list[pa.RecordBatch] = []
        try:
            self._reader = cursor.sql(sql).to_arrow_reader(_PIECE_ROWS)
        except duckdb.Error:
            cursor.close()
            raise

    def take(self, rows: int) -> pa.Table:
        """The next `rows` rows, fewer at the end."""
        found = 0
        pieces: list[pa.RecordBatch] = []
        try:
            while found < rows:
                piece = self._kept.pop() if self._kept else self._reader.read_next_batch()
                if piece.num_rows > rows - found:
                    self._kept.append(piece.slice(rows - found))
                    piece = piece.slice(0, rows - found)
                found += piece.num_rows
                pieces.append(piece)
        except StopIteration:
            pass
        except (duckdb.Error, pa.ArrowException) as error:
            raise refusal_of(error) from error
        return pa.Table.from_batches(pieces, schema=self._reader.schema)

    def put_back(self, table: pa.Table) -> None:
        """Let rows that were taken come again."""
        self._kept += reversed(table.to_batches())

    def close(self) -> None:
        """Let go of the snapshot."""
        self._reader.close()
        self._cursor.close()


_PIECE_ROWS = 65_536


def refusal_of(error: Exception) -> Refusal:
    """The refusal that says what DuckDB said, or what a query asked DuckDB to say (`tql_values.row_error`)."""
    asked = _ASKED.search(str(error))
    if asked is not None:
        return Refusal(Code(int(asked[1])), _ROW_ERRORS[Code(int(asked[1]))])
    for kind, code, text in _CODES:
        if isinstance(error, kind):
            return Refusal(code, f"{text}: {_first_line(error)}")
    return Refusal(Code.CM_IO_ERROR, f"the storage failed: {_first_line(error)}")


_SQL_CODES: tuple[tuple[type[Exception], Code, str], ...] = (
    (duckdb.InterruptException, Code.JOB_CANCELLED, "Cancel job"),
    (duckdb.ConversionException, Code.SQL_PROC_VALUE_OVERFLOW, "Value overflow"),
    (duckdb.OutOfRangeException, Code.QF_VALUE_OVERFLOW, "Value overflow"),
    (duckdb.BinderException, Code.SQL_COMPILE_UNSUPPORTED, "the emulator cannot compute this"),
    (duckdb.NotImplementedException, Code.SQL_COMPILE_UNSUPPORTED, "the emulator cannot compute this"),
    (duckdb.ParserException, Code.SQL_COMPILE_UNSUPPORTED, "the emulator cannot compute this"),
    (duckdb.InvalidInputException, Code.SQL_COMPILE_UNSUPPORTED, "the emulator cannot compute this"),
)


def sql_refusal_of(error: Exception) -> Refusal:
    """As `refusal_of`, with the codes of the SQL service."""
    text = str(error)
    if "INTERRUPT" in text.upper()[:40]:
        return Refusal(Code.JOB_CANCELLED, "Cancel job")
    if "More than one row returned by a subquery" in text:
        return Refusal(Code.SQL_PROC_MULTIPLE_TUPLE, "More than one row in a query that stands for one value")
    if _ASKED.search(text) is None:
        for kind, code, said in _SQL_CODES:
            if isinstance(error, kind):
                return Refusal(code, f"{said}: {_first_line(error)}")
    return refusal_of(error)


def sql_refusal(refusal: Refusal) -> Refusal:
    """A refusal that came out of a statement of SQL, with the codes of the SQL service."""
    cause = refusal.__cause__
    return sql_refusal_of(cause) if isinstance(cause, duckdb.Error | pa.ArrowException) else refusal


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
