"""Rows as Arrow batches: binary COPY through ADBC, under the exported snapshot, streamed in batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
from psycopg import sql

from gridferry.errors import SourceError, SourceUnreachable
from gridferry.model.chunk import Chunk, Snapshot
from gridferry.plan.plan import MADE, ReadAs, SourceColumn, TablePlan
from gridferry.source.postgres.rows.chunks import chunk_condition, relation_source
from gridferry.source.postgres.session.arrow_session import connect_arrow
from gridferry.source.postgres.session.connection import PostgresAddress, lockers
from gridferry.source.postgres.session.failures import failure, mapped, plain
from gridferry.source.postgres.session.snapshot import cannot_join, join_statement
from gridferry.source.postgres.sql.names import condition_sql, relation_sql
from gridferry.source.postgres.sql.row_hash import ZERO, plan_hash_sql

if TYPE_CHECKING:
    from gridferry.source.postgres.session.arrow_answers import ArrowSession

BATCH_BYTES = 4 * 1024 * 1024
_BATCH_HINT = "adbc.postgresql.batch_size_hint_bytes"  # adbc_driver_postgresql.StatementOptions


class Reader:
    """A session that reads chunks, one after the other, all under one snapshot. Belongs to one thread.

    Every batch has the columns of `TablePlan.source_columns`, named as the source's, and about `batch_bytes` bytes.
    numeric, uuid, json and every type without an Arrow form of its own come as text even when read plain. Infinite
    dates and stamps, and stamps after the year 294246, come as numbers far before 1970 (the driver adds unchecked).
    """

    def __init__(
        self, address: PostgresAddress, *, snapshot: Snapshot | None = None, batch_bytes: int = BATCH_BYTES
    ) -> None:
        """Log in and join `snapshot`; without one, see a snapshot of its own.

        Raises: SnapshotGone if the snapshot was lost; SourceUnreachable, SourceRefused.
        """
        self._batch_bytes = batch_bytes
        self._as_text: dict[tuple[str, ...], frozenset[str]] = {}
        self._reads = 0  # the session has one stream at a time; a later read ends the one before
        self._streaming = False  # whether an answer was begun and not read to its end
        self._failed = False  # whether a statement failed, after which its transaction takes no other
        self._lockers = partial(lockers, address)
        self._session = connect_arrow(address, join=partial(_join, snapshot))

    def read_chunk(self, chunk: Chunk, plan: TablePlan) -> Iterator[pa.RecordBatch]:
        """The rows of `plan`'s table that lie in `chunk` and meet the plan's condition.

        Raises: SourceUnreachable when the session broke, SourceRefused, SourceError; the reader is then of no use.
        """
        columns = self._columns(plan)
        source = relation_source(chunk, plan.table)
        statement = sql.SQL("SELECT {} FROM {} WHERE {} AND {}").format(
            _select_list(columns), source, chunk_condition(chunk), condition_sql(plan.where)
        )
        yield from self._stream(statement, doing=f"reading chunk {chunk.number} of {plan.qualified}")

    def read_statement(self, statement: sql.Composable, *, doing: str) -> Iterator[pa.RecordBatch]:
        """The rows of any SELECT, under the same snapshot; `doing` is for messages."""
        yield from self._stream(statement, doing=doing)

    def column_expressions(self, plan: TablePlan) -> Mapping[str, sql.Composable]:
        """What `read_chunk` selects: each source column and its expression, cast to text where that is needed."""
        return self._columns(plan)

    @property
    def is_free(self) -> bool:
        """Whether it can read something else: its last answer was read to its end, and none failed."""
        return not self._streaming and not self._failed

    def close(self) -> None:
        """End the session; safe to call twice."""
        from adbc_driver_manager import Error

        # A session that broke already cannot be ended in good order, and need not be; nor one that still sends rows.
        if not self._streaming:
            with suppress(Error):
                self._session.end()
        with suppress(Error):
            self._session.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _columns(self, plan: TablePlan) -> dict[str, sql.Composable]:
        """The expression for each output column."""
        wanted = plan.source_columns
        names = [column.name for column in wanted if column.read_as not in MADE]
        key = (plan.schema, plan.table, *names)
        if key not in self._as_text:
            self._as_text[key] = self._text_columns(plan, names)
        as_text = self._as_text[key]
        return {column.name: _expression(plan, column, as_text) for column in wanted}

    def _text_columns(self, plan: TablePlan, names: Sequence[str]) -> frozenset[str]:
        """The columns that would not come in an Arrow type of their own, as the driver itself says."""
        statement = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(map(sql.Identifier, names)), relation_sql(plan.schema, plan.table)
        )
        self._failed = True
        with mapped(f"describing {plan.qualified}", lockers=self._lockers):
            schema = self._session.schema(statement.as_string(None))
        self._failed = False
        return frozenset(n for n, f in zip(names, schema, strict=True) if isinstance(f.type, pa.BaseExtensionType))

    def _stream(self, statement: sql.Composable, *, doing: str) -> Iterator[pa.RecordBatch]:
        text = statement.as_string(None)
        self._reads += 1
        mine = self._reads
        with ExitStack() as stack:
            self._failed = True
            with mapped(doing, lockers=self._lockers):
                hint = {_BATCH_HINT: str(self._batch_bytes)}
                batches = stack.enter_context(self._session.stream(text, **hint))
                self._streaming, self._failed = True, False
            names = batches.schema.names
            while True:
                if self._reads != mine:
                    raise SourceError(f"{doing} was given up for another read on the same session")
                try:
                    batch = batches.read_next_batch()
                except StopIteration:
                    self._streaming = False
                    return
                except (OSError, pa.ArrowException) as error:  # without its SQLSTATE
                    self._failed = True
                    stack.close()
                    raise self._stream_failure(str(error), doing=doing) from error
                if batch.num_rows:
                    yield pa.RecordBatch.from_arrays(batch.columns, names=names)

    def _stream_failure(self, text: str, *, doing: str) -> SourceError:
        """Asks the session what became of it: alive, the statement failed; dead, the connection did."""
        from adbc_driver_manager import Error

        try:
            self._session.ask("SELECT 1")
        except Error as error:
            # in_failed_sql_transaction, or what the driver itself says of such a session
            alive = error.sqlstate == "25P02" or "in an error state" in str(error)
        else:
            alive = True
        cancelled = "conflict with recovery" in text or "canceling statement" in text
        if not alive or cancelled:
            return SourceUnreachable(
                f"PostgreSQL broke off while {doing}: {plain(text)}",
                state="chunks that were finished stay finished",
                next_step="run the same command again: it goes on where it stopped",
            )
        return failure("XX000", text, doing=doing)  # what it was is lost; the text says it to people


def _expression(plan: TablePlan, column: SourceColumn, as_text: frozenset[str]) -> sql.Composable:
    if column.read_as is ReadAs.ROW_HASH:
        return plan_hash_sql(plan)
    if column.read_as is ReadAs.ORDINAL:
        return ZERO
    name = sql.Identifier(column.name)
    return sql.SQL("{}::text").format(name) if column.read_as is ReadAs.TEXT or column.name in as_text else name


def _select_list(columns: Mapping[str, sql.Composable]) -> sql.Composed:
    parts = [sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in columns.items()]
    return sql.SQL(", ").join(parts)


def _join(snapshot: Snapshot | None, session: ArrowSession) -> None:
    """Let a session see a snapshot. Raises: SnapshotGone; SourceUnreachable."""
    if snapshot is None:
        return
    try:
        with mapped("joining the snapshot"):
            session.ask(join_statement(snapshot).as_string(None))
    except SourceUnreachable:
        raise
    except SourceError as error:
        raise cannot_join(snapshot) from error
