"""Statements of one ADBC session, and their answers in Arrow.

The driver's DBAPI layer would do as well. It loads pyarrow's datasets, and with them pandas where that is installed:
half a second and 40 MB in every process that reads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import pyarrow as pa
from adbc_driver_manager import AdbcConnection, AdbcStatement, _lib

from gridferry.source.postgres.session.kept_databases import KeptDatabase

T = TypeVar("T")


class _Closes(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Closes)


class ArrowSession:
    """A session that is inside a transaction from its beginning on. Belongs to one thread; see `connect_arrow`."""

    def __init__(self, database: KeptDatabase, connection: AdbcConnection) -> None:
        """Raises: ADBC's errors; the session is closed then."""
        self._database = database
        self._connection = connection
        self._closed = False
        self._open: list[_Closes] = []  # statements, and after each its answer
        try:
            connection.set_autocommit(False)
        except BaseException:
            self.close()
            raise

    def ask(self, statement: str) -> tuple[Any, ...]:
        """Run a statement. Returns: the first row of its answer, () where there is none. Raises: ADBC's errors."""
        with self.stream(statement) as batches:
            for batch in batches:
                if batch.num_rows:
                    return tuple(column[0].as_py() for column in batch.columns)
        return ()

    def schema(self, statement: str) -> pa.Schema:
        """What a query would answer with. It is not run. Raises: ADBC's errors."""
        with self._statement(statement) as made:
            handle = _interruptible(made.execute_schema, made.cancel)
            return pa.Schema._import_from_c(handle.address)

    @contextmanager
    def stream(self, statement: str, **options: str) -> Iterator[pa.RecordBatchReader]:
        """The answer to a statement, as it comes; a failure in the middle of it is an OSError or an ArrowException.

        Args: options: the driver's, of the statement. Raises: ADBC's errors, before the first batch.
        """
        with self._statement(statement, **options) as made:
            handle, _ = _interruptible(made.execute_query, made.cancel)
            with self._kept(pa.RecordBatchReader._import_from_c(handle.address)) as batches:
                yield batches

    def end(self) -> None:
        """End the transaction: a pooler gives the session to the next client as it was. Raises: ADBC's errors."""
        self._connection.set_autocommit(True)

    def close(self) -> None:
        """End the session; safe to call twice. Raises: ADBC's errors.

        An answer that is not read to its end is closed too: whoever reads it may be held up by an error elsewhere, and
        the driver keeps a connection that has statements open.
        """
        if self._closed:
            return
        self._closed = True
        try:
            while self._open:
                self._open.pop().close()
            self._connection.close()
        finally:
            self._database.ended()

    @contextmanager
    def _statement(self, text: str, **options: str) -> Iterator[AdbcStatement]:
        with self._kept(AdbcStatement(self._connection)) as made:
            if options:
                made.set_options(**options)
            made.set_sql_query(text)
            yield made

    @contextmanager
    def _kept(self, opened: C) -> Iterator[C]:
        """Closed at the end of the block, or of the session."""
        self._open.append(opened)
        try:
            yield opened
        finally:
            left = [each for each in self._open if each is not opened]
            if len(left) < len(self._open):  # else the session has closed it; the driver does not take that twice
                self._open = left
                opened.close()


def _interruptible(call: Callable[[], T], cancel: Callable[[], None]) -> T:
    """Call the driver, which waits for the server: Ctrl-C cancels the statement, as the driver's DBAPI layer has it."""
    blocking = getattr(_lib, "_blocking_call", None)
    if blocking is None or threading.current_thread() is not threading.main_thread():
        return call()
    answer: T = blocking(call, (), {}, cancel)
    return answer
