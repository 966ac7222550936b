"""Queries that run: their sessions with DuckDB, their pages, and how they are stopped from another thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pyarrow as pa

from gridferry.embedded.answers.call import Peer
from gridferry.embedded.database import Database
from gridferry.embedded.duck import Session, Stream
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.results import one_batch
from gridferry.embedded.sql.names import Column
from gridferry.embedded.sql.statements import Selected, Statement
from gridferry.griddb.arrow_types import ARROW_TYPES
from gridferry.griddb.wire.sql_replies import SqlPage
from gridferry.griddb.wire.sql_rows import SqlColumn, encode_sql_rows

_PAGE_ROWS = 16_384
_PAGE_BYTES = 2 << 20
_STOP_S = 0.02
_STOP_TIMES = 250


@dataclass(eq=False)
class Query:
    """A query of a client: prepared, running, or with pages left."""

    peer: Peer
    statement: Statement
    pages: Pages | None = None
    session: Session | None = None
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    idle: threading.Event = field(default_factory=threading.Event)

    def begin(self, db: Database, selected: Selected, limit: int) -> None:
        """Run a query; its pages are to be taken. Raises: Refusal 260014 where it is stopped, others."""
        self.end()
        with db.lock:
            session = db.duck.session()
        with self.lock:
            self.session = session
        self.require_going()
        sql = selected.sql if limit <= 0 else f"SELECT * FROM ({selected.sql}) LIMIT {limit}"
        self.pages = Pages(selected.columns, session.stream(sql, selected.tables))

    def require_going(self) -> None:
        """Raise 260014 if the query was stopped."""
        if self.stopped:
            raise Refusal(Code.JOB_CANCELLED, "Cancel job")

    def stop(self) -> None:
        """Stop what runs, from another thread, until it has stopped."""
        self.stopped = True
        for _ in range(_STOP_TIMES):
            with self.lock:
                if self.session is not None:
                    self.session.interrupt()
            # An interrupt between two steps of a query is lost: say it again.
            if self.idle.wait(_STOP_S):
                return

    def end(self) -> None:
        """Let go of the result."""
        with self.lock:
            if self.pages is not None:
                self.pages.close()
            elif self.session is not None:
                self.session.close()
            self.pages, self.session = None, None


class Pages:
    """A result, a page at a time; close it."""

    def __init__(self, columns: tuple[Column, ...], stream: Stream) -> None:
        self._stream = stream
        self._columns = tuple(SqlColumn(c.name, c.value.type, c.value.nullable) for c in columns)
        self._schema = pa.schema(
            [
                pa.field(f"o{n}", pa.null() if c.type is None else ARROW_TYPES[c.type])
                for n, c in enumerate(self._columns)
            ]
        )

    def take(self) -> SqlPage:
        """The next page. Raises: Refusal."""
        table = self._stream.take(_PAGE_ROWS + 1)
        rows = min(table.num_rows, _PAGE_ROWS)
        while rows > 1 and table.slice(0, rows).nbytes > _PAGE_BYTES:
            rows //= 2
        if rows < table.num_rows:
            self._stream.put_back(table.slice(rows))
        batch = one_batch(table.slice(0, rows))
        arrays = []
        for array, wanted in zip(batch.columns, self._schema, strict=True):
            if pa.types.is_null(wanted.type):
                arrays.append(pa.nulls(rows))
            else:
                arrays.append(array if array.type == wanted.type else array.cast(wanted.type))
        found = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        image = b"".join(encode_sql_rows(self._columns, found))
        return SqlPage(self._columns, rows, image, more=rows < table.num_rows)

    def close(self) -> None:
        """Let go of the result."""
        self._stream.close()
