"""The cursor of PEP 249: pages come as they are read, as rows of Python values or as Arrow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from typing_extensions import Self

from gridferry.errors import GridDBError
from gridferry.griddb.sql import statements
from gridferry.griddb.sql.errors import DataError, InterfaceError, NotSupportedError, ProgrammingError, translated
from gridferry.griddb.sql.parameters import columns_for, value_of
from gridferry.griddb.sql.session import SqlSession, Started
from gridferry.griddb.sql.types import TypeCode, python_values, type_code
from gridferry.griddb.wire.sql_replies import SqlPage
from gridferry.griddb.wire.sql_rows import arrow_schema, column_names
from gridferry.griddb.wire.sql_values import BindTable, bind_columns, bind_table

if TYPE_CHECKING:
    from gridferry.griddb.sql.connection import Connection

Parameters = Sequence[Any] | Mapping[str, Any]
Description = tuple[str, TypeCode, None, None, None, None, bool]

# Of one statement that holds many rows: more are no faster, and the server takes 100,000 tokens.
_ROWS_AT_ONCE = 1000
_MOST_TOKENS = 90_000


class Cursor:
    """Runs statements, and reads their results page by page. For one thread at a time.

    A statement has `?` with a sequence of values, or `:name` with a mapping. Times come as datetime in UTC, those of
    TIMESTAMP(9) as numpy.datetime64 to the nanosecond.
    """

    def __init__(self, connection: Connection, session: SqlSession) -> None:
        self.connection = connection
        self.arraysize = 1
        self.timeout_s = connection.timeout_s  # of each statement; None: as long as it takes
        self.rowcount = -1
        self.description: list[Description] | None = None
        self._session = session
        self._query = 0  # open at the server, for its next pages or to be run again
        self._prepared = ""  # the text of that query, where it has parameters
        self._page: SqlPage | None = None
        self._rows: deque[tuple[Any, ...]] = deque()
        self._closed = False

    def execute(self, operation: str, parameters: Parameters | None = None) -> Self:
        """Run a statement. Raises: ProgrammingError and its kin; OperationalError when it takes too long."""
        self._require_open()
        text, values = _bound(operation, parameters)
        if values is None:
            self._let_go()
            self._take(self._session.run(text, timeout_s=self.timeout_s))
            return self
        # The same statement again, as PEP 249 has it, is prepared once; running it ends its result of before.
        if text != self._prepared:
            self._let_go()
            self._query = self._session.prepare(text, timeout_s=self.timeout_s)
            self._prepared = text
        self._forget_result()
        try:
            self._take(self._session.run_prepared(self._query, values, timeout_s=self.timeout_s))
        except GridDBError:
            self._let_go()
            raise
        return self

    def executemany(self, operation: str, seq_of_parameters: Sequence[Parameters]) -> Self:
        """Run a statement with each of many parameters. `INSERT .. VALUES (?, ..)` goes in statements of 1,000 rows.

        `rowcount` is the sum. What was written before an error stays written: GridDB has no transactions in SQL.
        Raises: DataError for a value that its column would not hold as it is; ProgrammingError for one with a result.
        """
        self._require_open()
        self._let_go()
        rows = list(seq_of_parameters)
        if not rows:
            self.rowcount = 0
            return self
        names: tuple[str, ...] = ()
        if isinstance(rows[0], Mapping):
            operation, names = statements.with_marks(operation)
        lists = [statements.in_order(names, _mapping(row)) if names else _listed(row) for row in rows]
        insert = statements.insert_of(operation)
        if insert is not None:
            self.rowcount = self._insert(insert, lists)
            return self
        changed = 0
        for row in lists:
            self.execute(operation, row)
            if self.description is not None:
                raise ProgrammingError("executemany is for statements without a result", next_step="use execute")
            changed += self.rowcount
        self.rowcount = changed
        return self

    def _insert(self, insert: statements.Insert, rows: list[list[Any]]) -> int:
        targets = self.connection.targets_of(insert)
        at_once = max(1, min(_ROWS_AT_ONCE, _MOST_TOKENS // (2 * insert.parameters + 2)))
        changed = 0
        for first in range(0, len(rows), at_once):
            part = rows[first : first + at_once]
            with translated():
                bind = bind_columns([target.type for target in targets], columns_for(targets, part, first=first))
            text = insert.of_rows(len(part))
            if text != self._prepared:
                self._let_go()
                self._query = self._session.prepare(text, timeout_s=self.timeout_s)
                self._prepared = text
            try:
                changed += self._session.run_prepared(self._query, bind, timeout_s=self.timeout_s).outcome.changed
            except GridDBError as error:
                self._let_go()
                error.add_note(
                    f"the rows before number {first} are written, and maybe some of {len(part)} from there on"
                )
                raise
        self._let_go()
        return changed

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None behind the last one."""
        self._require_result()
        while not self._rows and self._page is not None:
            self._unpack()
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next `size` rows, or `arraysize` of them; fewer at the end."""
        wanted = self.arraysize if size is None else size
        found: list[tuple[Any, ...]] = []
        while len(found) < wanted and (row := self.fetchone()) is not None:
            found.append(row)
        return found

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        self._require_result()
        while self._page is not None:
            self._unpack()
        found, self._rows = list(self._rows), deque()
        return found

    def fetch_record_batch(self) -> pa.RecordBatchReader:
        """The pages that are left as a reader of Arrow batches, each fetched when it is asked for."""
        self._require_result()
        self._require_no_rows_taken()
        page = self._page
        schema = self._schema if page is None else page.batch().schema
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    def fetch_arrow_table(self) -> pa.Table:
        """The rows that are left as an Arrow table."""
        return self.fetch_record_batch().read_all()

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        while self._page is not None:
            with translated():
                batch = self._page.batch()
            self._next_page()
            yield batch if batch.schema == schema else _cast(batch, schema)

    def cancel(self) -> None:
        """Stop the statement that another thread waits for; there it ends with an OperationalError."""
        self._session.cancel()

    def close(self) -> None:
        """Let go of the statement. More than once does no harm."""
        if not self._closed:
            self._let_go()
            self._closed = True

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """Named by PEP 249; nothing is to be said."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Named by PEP 249; nothing is to be said."""

    def callproc(self, procname: str, parameters: Sequence[Any] = ()) -> Sequence[Any]:
        """Raises: NotSupportedError, as GridDB has no procedures."""
        raise NotSupportedError("GridDB has no stored procedures")

    def nextset(self) -> bool | None:
        """None: a statement has one result."""
        self._require_open()
        return None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[Any, ...]:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, started: Started) -> None:
        outcome = started.outcome
        self._query = started.query_id
        self._page, self._rows = outcome.page, deque()
        if outcome.page is None or not outcome.page.columns:
            self._page, self.description, self.rowcount = None, None, outcome.changed
            return
        columns = outcome.page.columns
        self._schema = arrow_schema(columns)
        self.rowcount = -1 if outcome.page.more else outcome.page.rows
        self.description = [
            (name, type_code(column.type), None, None, None, None, column.may_be_null)
            for name, column in zip(column_names(columns), columns, strict=True)
        ]

    def _unpack(self) -> None:
        if self._page is not None:
            with translated():
                batch = self._page.batch()
            self._rows.extend(python_values(batch))
            self._next_page()

    def _next_page(self) -> None:
        page = self._page
        if page is not None and page.more:
            self._page = self._session.fetch(self._query, timeout_s=self.timeout_s)
        else:
            self._page = None

    def _forget_result(self) -> None:
        self._page, self._rows, self.description, self.rowcount = None, deque(), None, -1

    def _let_go(self) -> None:
        open_still = self._prepared or (self._page is not None and self._page.more)
        if open_still and self._query:
            self._session.close_query(self._query)
        self._query, self._prepared = 0, ""
        self._forget_result()

    def _require_open(self) -> None:
        if self._closed:
            raise InterfaceError("the cursor is closed", next_step="take another one of the connection")
        self.connection.require_open()

    def _require_result(self) -> None:
        self._require_open()
        if self.description is None:
            raise ProgrammingError("there is no result to fetch from", next_step="execute a SELECT first")

    def _require_no_rows_taken(self) -> None:
        if self._rows:
            raise InterfaceError("a part of a page was fetched as rows, and Arrow begins with a whole one")


def _bound(operation: str, parameters: Parameters | None) -> tuple[str, BindTable | None]:
    """The statement with `?`, and its values; None where it has none."""
    if parameters is None or (not parameters and not isinstance(parameters, Mapping)):
        given: list[Any] = []
    elif isinstance(parameters, Mapping):
        operation, names = statements.with_marks(operation)
        given = statements.in_order(names, parameters)
    else:
        given = _listed(parameters)
    marks = statements.count_marks(operation)
    if marks != len(given):
        raise ProgrammingError(f"the statement has {marks} parameters, and {len(given)} values are given")
    with translated():
        return operation, bind_table([[value_of(each) for each in given]]) if marks else None


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A later page as the first one is: a column of ANY has the type of its values, and may have none in a page."""
    try:
        return batch.cast(schema)
    except pa.ArrowException as error:
        raise DataError(
            "a column without a type of its own has other values in a later page",
            next_step="CAST the expression to one type in the statement",
        ) from error


def _listed(parameters: Parameters) -> list[Any]:
    if isinstance(parameters, str | bytes | Mapping) or not isinstance(parameters, Sequence):
        raise ProgrammingError("parameters are a sequence for ?, or a mapping for :name")
    return list(parameters)


def _mapping(parameters: Parameters) -> Mapping[str, Any]:
    if not isinstance(parameters, Mapping):
        raise ProgrammingError("the first parameters are a mapping, and others are not")
    return parameters
