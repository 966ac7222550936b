"""Statements about rows by id, as GridDB's client sends them for rows that it has fetched for update."""

from __future__ import annotations

import pyarrow as pa

from gridferry.embedded.catalog import Container
from gridferry.embedded.checks import first_bad_row
from gridferry.embedded.database import Database
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.rows import numbered_rows
from gridferry.embedded.shape import ROW_ID, shape_of
from gridferry.embedded.sources import committed
from gridferry.embedded.transactions import Transaction, stored_keys
from gridferry.griddb.schema import ContainerKind


def update_row(
    db: Database, container: Container, row_id: int, batch: pa.RecordBatch, *, transaction: Transaction | None = None
) -> None:
    """Give the row with an id the values of a batch of one row; without such a row nothing is done.

    Raises: 60026 not a COLLECTION, 60049 the batch has another key, 60166 the row is locked, 60079 bad value.
    """
    with db.lock:
        db.faults.check_put()
        bad = first_bad_row(container.schema, batch)
        if bad is not None:
            raise bad[1]
        known = _free_row(db, container, row_id, transaction=transaction)
        if not known.num_rows:
            return
        shape = shape_of(container.schema)
        row = numbered_rows([container], [batch]).set_column(1, ROW_ID, known.column(ROW_ID))
        if shape.key_length and stored_keys(shape, row) != stored_keys(shape, known):
            raise Refusal(Code.DS_COL_ROWKEY_INVALID, "Row key is not same value")
        if transaction is not None:
            transaction.replace(known, row)
            return
        with db.writing():
            db.rows.remove(container, known.column(ROW_ID).combine_chunks())
            db.rows.replace(shape, row, contested=False)


def delete_row(db: Database, container: Container, row_id: int, *, transaction: Transaction | None = None) -> None:
    """Delete the row with an id; without such a row nothing is done. Raises: 60026 not a COLLECTION, 60166."""
    with db.lock:
        known = _free_row(db, container, row_id, transaction=transaction)
        if transaction is not None:
            transaction.remove(known)
        elif known.num_rows:
            with db.writing():
                db.rows.remove(container, known.column(ROW_ID).combine_chunks())


def _free_row(db: Database, container: Container, row_id: int, *, transaction: Transaction | None) -> pa.Table:
    """The stored row with the id, or none, once no other transaction holds it."""
    if container.schema.kind is not ContainerKind.COLLECTION:
        # The real server takes the row from another place than the id says; no client asks for it.
        raise Refusal(Code.DS_DS_CONTAINER_TYPE_INVALID, f"rows of {container.name} have no ids: it is a TIME_SERIES")
    known = _row(db, container, row_id, transaction=transaction)
    if db.wait_for(container, set(stored_keys(shape_of(container.schema), known)), mine=transaction):
        known = _row(db, container, row_id, transaction=transaction)
    return known


def _row(db: Database, container: Container, row_id: int, *, transaction: Transaction | None) -> pa.Table:
    db.settle()
    db.rows.make(shape_of(container.schema))
    source = committed(container) if transaction is None else transaction.source
    names = ", ".join(source.shape.names)
    return db.duck.select(f"SELECT {names} FROM {source.sql} WHERE {ROW_ID} = {row_id}", tables=source.tables)
