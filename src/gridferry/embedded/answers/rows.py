"""Rows of one container, and the sessions that change them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pyarrow as pa

from gridferry.embedded.answers.call import Call
from gridferry.embedded.catalog import Container
from gridferry.embedded.deletes import decoded_keys
from gridferry.embedded.deletes import delete_together as deletes_by_key
from gridferry.embedded.images import found_image, joined, rows_from
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.row_statements import PutMode, delete_rows, get_rows, put_rows, rows_exist
from gridferry.embedded.rows_by_id import delete_row, update_row
from gridferry.griddb.wire.client_requests import AppendRow, DeleteRowById, UpdateRowById
from gridferry.griddb.wire.decode import decode_key
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.options import Options
from gridferry.griddb.wire.row_replies import write_found
from gridferry.griddb.wire.row_requests import (
    Abort,
    CloseSession,
    Commit,
    CreateSession,
    DeleteRow,
    GetRow,
    PutRow,
    PutRows,
)
from gridferry.griddb.wire.statement import Option, SessionMode, TransactionMode


def put_mode(options: Options) -> PutMode:
    """The put mode asked for; numbers that mean nothing act as an upsert."""
    number = options.get(Option.PUT_MODE, PutMode.UPSERT)
    return PutMode(number) if number in PutMode.__members__.values() else PutMode.UPSERT


def put_one(call: Call, request: PutRow, out: Writer) -> None:
    """Put a row; say whether it replaced one."""
    _put_one(call, call.container_at(request.container_id, request.tx.version), request, out)


def append(call: Call, request: AppendRow, out: Writer) -> None:
    """Put a row at the time of now; say whether it replaced one. Raises: 60026 not a TIME_SERIES."""
    _put_one(call, call.series_at(request.container_id, request.tx.version), request, out)


def _put_one(call: Call, container: Container, request: PutRow | AppendRow, out: Writer) -> None:
    with call.inside(container, request.tx) as scope:
        batch = rows_from(container.schema, 1, request.payload)
        if isinstance(request, AppendRow):
            batch = _at_once(batch)
        existed = False
        if container.schema.key_length:
            keys = batch.select(list(range(container.schema.key_length)))
            existed = rows_exist(call.db, container, keys, transaction=scope.transaction)[0]
        if not scope.done:
            put_rows(call.db, container, batch, mode=put_mode(request.tx.options), transaction=scope.transaction)
    out.boolean(existed)


def _at_once(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The row with the time of now as its key."""
    now = pa.array([time.time_ns() // 10**6], pa.int64()).cast(batch.schema.field(0).type)
    return batch.set_column(0, batch.schema.field(0), now)


def put(call: Call, request: PutRows, out: Writer) -> None:
    """Put rows; the answer never says whether any was replaced."""
    container = call.container_at(request.container_id, request.tx.version)
    with call.inside(container, request.tx, count=request.count) as scope:
        batch = rows_from(container.schema, request.count, request.image).slice(scope.done)
        put_rows(call.db, container, batch, mode=put_mode(request.tx.options), transaction=scope.transaction)
    out.boolean(False)


def get(call: Call, request: GetRow, out: Writer) -> None:
    """Find a row by its key."""
    container = call.container_at(request.container_id, request.tx.version)
    with call.inside(container, request.tx) as scope:
        found = get_rows(
            call.db,
            container,
            decode_key(container.schema, Reader(joined(request.payload))),
            transaction=scope.transaction,
            for_update=bool(request.tx.options.get(Option.FOR_UPDATE, False)),
        )
    write_found(out, found_image(container.schema, found))


def delete(call: Call, request: DeleteRow, out: Writer) -> None:
    """Delete a row by its key; say whether it was there."""
    container = call.container_at(request.container_id, request.tx.version)
    existed = False
    with call.inside(container, request.tx) as scope:
        keys = decode_key(container.schema, Reader(joined(request.payload)))
        if not scope.done:
            existed = delete_rows(call.db, container, keys, transaction=scope.transaction)[0]
    out.boolean(existed)


def update_by_id(call: Call, request: UpdateRowById, _: Writer) -> None:
    """Give a row that was fetched other values."""
    container = call.container_at(request.container_id, request.tx.version)
    with call.inside(container, request.tx) as scope:
        batch = rows_from(container.schema, 1, request.image)
        if not scope.done:
            update_row(call.db, container, request.row_id, batch, transaction=scope.transaction)


def delete_by_id(call: Call, request: DeleteRowById, _: Writer) -> None:
    """Delete a row that was fetched."""
    container = call.container_at(request.container_id, request.tx.version)
    with call.inside(container, request.tx) as scope:
        if not scope.done:
            delete_row(call.db, container, request.row_id, transaction=scope.transaction)


def delete_together(deletes: Sequence[tuple[Call, DeleteRow]]) -> list[bool]:
    """Carry out deletes that came one after the other, all or none of them. Returns whether each found its row.

    Raises: Refusal, also for what can only be done by itself: a delete that begins a transaction, or meets another's.
    """
    if deletes[0][1].tx.transaction_mode == TransactionMode.CONTINUE:
        return _delete_in_transaction(deletes)
    ready = []
    for call, request in deletes:
        container = call.container_at(request.container_id, request.tx.version)
        plain = request.tx.session_mode == SessionMode.AUTO and request.tx.transaction_mode == TransactionMode.AUTO
        if not plain or not container.schema.key_length or call.db.sessions.transactions(container):
            raise Refusal(Code.CM_NOT_SUPPORTED, "deletes in sessions are carried out one by one")
        ready.append((container, joined(request.payload)))
    return deletes_by_key(deletes[0][0].db, ready)


def _delete_in_transaction(deletes: Sequence[tuple[Call, DeleteRow]]) -> list[bool]:
    """The same of one open transaction, whose statements follow one another."""
    call, first = deletes[0]
    container = call.container_at(first.container_id, first.tx.version)
    images = [joined(request.payload) for _, request in deletes]
    follow = all(
        (request.container_id, request.tx, each.partition, each.statement_id)
        == (first.container_id, first.tx, call.partition, call.statement_id + place)
        for place, (each, request) in enumerate(deletes)
    )
    # Of two deletes of one key the second finds nothing; and one that waits for another's lock keeps none waiting.
    if (
        not follow
        or len({bytes(image) for image in images}) < len(images)
        or len(call.db.sessions.transactions(container)) > 1
    ):
        raise Refusal(Code.CM_NOT_SUPPORTED, "these deletes are carried out one by one")
    keys = decoded_keys(container, images)
    with call.inside(container, first.tx, count=len(deletes)) as scope:
        left = keys.slice(scope.done)
        found = delete_rows(call.db, container, left, transaction=scope.transaction) if len(left) else []
    return [False] * scope.done + found


def create_session(call: Call, request: CreateSession, _: Writer) -> None:
    """Open a session."""
    container, key = _session(call, request)
    with call.db.lock:
        call.db.sessions.create(key, container, call.peer)
        call.db.released()


def close_session(call: Call, request: CloseSession, _: Writer) -> None:
    """Close a session; an open transaction is dropped."""
    with call.db.lock:
        call.db.sessions.close((request.client, request.session_id, call.partition))
        call.db.released()


def commit(call: Call, request: Commit, _: Writer) -> None:
    """Commit. A number that was used before is answered with success, and nothing is committed.

    Raises: 110003 no session, 110005 no transaction (it may have been rolled back), 110033 a number was skipped.
    """
    container, key = _session(call, request)
    with call.db.lock:
        call.db.expire_transactions()
        session = call.db.sessions.get(key, container)
        call.check_number(session)
        if call.statement_id <= session.last_statement:
            return
        if session.transaction is None:
            raise Refusal(Code.TM_TRANSACTION_NOT_FOUND, f"(lastStmtId={session.last_statement})")
        transaction, session.transaction = session.transaction, None
        try:
            with call.db.writing():
                transaction.write(call.db.rows)
        finally:
            call.db.released()
        session.last_statement = call.statement_id


def abort(call: Call, request: Abort, _: Writer) -> None:
    """Drop the transaction; none need be open. Raises: 110003, 110033."""
    container, key = _session(call, request)
    with call.db.lock:
        session = call.db.sessions.get(key, container)
        call.check_number(session)
        if session.transaction is not None:
            session.transaction = None
            session.last_statement = max(session.last_statement, call.statement_id)
        call.db.released()


def _session(call: Call, request: CreateSession | Commit | Abort) -> tuple[Container, tuple[bytes, int, int]]:
    return call.container(request.container_id), (request.client, request.session_id, call.partition)
