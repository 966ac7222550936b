"""Statements about rows by key: put, get, delete; inside a manual transaction or not."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from itertools import groupby

import numpy as np
import pyarrow as pa

from gridferry.embedded.catalog import Container
from gridferry.embedded.checks import first_bad_row
from gridferry.embedded.database import Database
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.results import Rows, one_batch, rows_of
from gridferry.embedded.rows import key_table
from gridferry.embedded.shape import Shape, shape_of
from gridferry.embedded.sources import Source, committed
from gridferry.embedded.transactions import Key, Transaction, stored_keys


class PutMode(IntEnum):
    """What a put may do; the numbers are those of the wire's option 7."""

    UPSERT = 0
    INSERT = 1
    UPDATE = 2


def put_rows(
    db: Database,
    container: Container,
    batch: pa.RecordBatch,
    *,
    mode: PutMode = PutMode.UPSERT,
    transaction: Transaction | None = None,
    whole: bool = False,
) -> None:
    """Put a batch with the container's Arrow schema; the last of equal keys wins.

    Without a transaction the rows before a bad one stay, as in the real server, unless `whole`. Raises: 60079 bad
    value, 60154 put mode, 60166 a row is locked, 1005 nothing can be written (then nothing is stored).
    """
    with db.lock:
        db.faults.check_put()
        db.settle_if_much()
        bad = first_bad_row(container.schema, batch)
        if bad is not None and whole:
            raise bad[1]
        if bad is not None:
            batch = batch.slice(0, bad[0])
        db.wait_for(container, _keys_if_contested(db, container, batch), mine=transaction)
        misfit = None
        if mode is not PutMode.UPSERT and container.schema.key_length:
            misfit = _first_misfit(db, container, batch, mode=mode, transaction=transaction)
            if misfit is not None and whole:
                raise misfit[1]
            if misfit is not None:
                batch = batch.slice(0, misfit[0])
        if batch.num_rows:
            _store(db, container, batch, transaction=transaction)
        for problem in (misfit, bad):
            if problem is not None:
                raise problem[1]


def put_many(db: Database, entries: Sequence[tuple[Container, pa.RecordBatch]]) -> None:
    """Put a batch into each container, in order; one write for all that share a schema. Raises: as `put_rows`.

    The rows before a bad one stay, in all containers.
    """
    with db.lock:
        for _, group in groupby(entries, key=lambda entry: id(entry[0].schema)):
            _put_alike(db, list(group))


def _put_alike(db: Database, entries: list[tuple[Container, pa.RecordBatch]]) -> None:
    containers = [c for c, _ in entries]
    if len(entries) == 1 or any(db.sessions.transactions(c) for c in containers):
        for container, batch in entries:
            put_rows(db, container, batch)
        return
    db.faults.check_put()
    db.settle_if_much()
    batches = [b for _, b in entries]
    whole = one_batch(pa.Table.from_batches(batches))
    bad = first_bad_row(containers[0].schema, whole)
    if bad is not None:
        batches = _before(batches, bad[0])
    if sum(b.num_rows for b in batches):
        db.rows.put(containers, batches)
    if bad is not None:
        place = int(np.searchsorted(np.cumsum([b.num_rows for _, b in entries]), bad[0], side="right"))
        bad[1].parameters["container"] = containers[place].name
        raise bad[1]


def _before(batches: list[pa.RecordBatch], row: int) -> list[pa.RecordBatch]:
    """The batches without what is at and after `row`, counted over all of them."""
    kept = []
    for batch in batches:
        kept.append(batch.slice(0, max(0, row)))
        row -= batch.num_rows
    return kept


def _keys_if_contested(db: Database, container: Container, batch: pa.RecordBatch) -> set[Key]:
    """The batch's keys, if anybody could hold one of them."""
    if not container.schema.key_length or not db.sessions.transactions(container):
        return set()
    return set(
        stored_keys(shape_of(container.schema), key_table(shape_of(container.schema), _key_part(container, batch)))
    )


def _key_part(container: Container, batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.select(list(range(container.schema.key_length)))


def _source(container: Container, transaction: Transaction | None) -> Source:
    return committed(container) if transaction is None else transaction.source


def _store(db: Database, container: Container, batch: pa.RecordBatch, *, transaction: Transaction | None) -> None:
    if transaction is None:
        db.rows.put([container], [batch])
        return
    db.settle()
    db.rows.make(shape_of(container.schema))
    transaction.put(db.rows, batch)


def _first_misfit(
    db: Database, container: Container, batch: pa.RecordBatch, *, mode: PutMode, transaction: Transaction | None
) -> tuple[int, Refusal] | None:
    """The first row that the put mode forbids."""
    keys = _key_part(container, batch)
    exists = np.zeros(batch.num_rows, bool)
    exists[_positions(db, container, keys, transaction=transaction)] = True
    if mode is PutMode.INSERT:
        seen = stored_keys(shape_of(container.schema), key_table(shape_of(container.schema), keys))
        first_place: dict[Key, int] = {}
        exists |= np.array([first_place.setdefault(key, row) != row for row, key in enumerate(seen)], bool)
    wrong = np.flatnonzero(exists if mode is PutMode.INSERT else ~exists)
    if not len(wrong):
        return None
    text = "exists already" if mode is PutMode.INSERT else "does not exist"
    return int(wrong[0]), Refusal(
        Code.CON_PUT_ROW_OPTION_INVALID, f"row {wrong[0]}: a row with its key {text} in {container.name}"
    )


def _positions(
    db: Database, container: Container, keys: pa.RecordBatch, *, transaction: Transaction | None
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    found = _locate(db, container, keys, transaction=transaction)
    return np.asarray(found.column("position").to_numpy(), np.int64)


def _locate(db: Database, container: Container, keys: pa.RecordBatch, *, transaction: Transaction | None) -> pa.Table:
    db.settle()
    db.rows.make(shape_of(container.schema))
    return db.rows.locate(_source(container, transaction), keys)


def rows_exist(
    db: Database, container: Container, keys: pa.RecordBatch, *, transaction: Transaction | None = None
) -> list[bool]:
    """Whether each key is there."""
    with db.lock:
        _need_key(container)
        if transaction is None and not db.rows.may_hold(container, keys):
            return [False] * keys.num_rows
        found = set(_positions(db, container, keys, transaction=transaction).tolist())
        return [row in found for row in range(keys.num_rows)]


def get_rows(
    db: Database,
    container: Container,
    keys: pa.RecordBatch,
    *,
    transaction: Transaction | None = None,
    for_update: bool = False,
) -> Rows:
    """The rows with the keys, in the order of the keys; keys without a row are left out. Raises: 150001, 60166."""
    with db.lock:
        _need_key(container)
        found = _locate(db, container, keys, transaction=transaction)
        if for_update and transaction is not None:
            if db.wait_for(container, set(stored_keys(shape_of(container.schema), found)), mine=transaction):
                found = _locate(db, container, keys, transaction=transaction)
            transaction.lock(found)
        return rows_of(container.schema, found.drop_columns(["position"]))


def get_of_many(db: Database, asked: Sequence[tuple[Container, pa.RecordBatch]]) -> list[Rows]:
    """As `get_rows` of each container, with one look for all that are stored alike."""
    places: dict[Shape, list[int]] = {}
    for place, (container, _) in enumerate(asked):
        _need_key(container)
        places.setdefault(shape_of(container.schema), []).append(place)
    found: dict[int, Rows] = {}
    with db.lock:
        db.settle()
        for shape, mine in places.items():
            db.rows.make(shape)
            table, edges = db.rows.locate_in([asked[place] for place in mine])
            for number, place in enumerate(mine):
                start, end = edges[number], edges[number + 1]
                found[place] = rows_of(asked[place][0].schema, table.slice(start, end - start))
    return [found[place] for place in range(len(asked))]


def delete_rows(
    db: Database, container: Container, keys: pa.RecordBatch, *, transaction: Transaction | None = None
) -> list[bool]:
    """Delete the rows with the keys. Returns whether each was there. Raises: 150001, 60166."""
    with db.lock:
        _need_key(container)
        if db.sessions.transactions(container):
            shape = shape_of(container.schema)
            db.wait_for(container, set(stored_keys(shape, key_table(shape, keys))), mine=transaction)
        found = _locate(db, container, keys, transaction=transaction)
        if transaction is not None:
            transaction.remove(found)
        elif found.num_rows:
            with db.writing():
                db.rows.remove(container, found.column(shape_of(container.schema).identity).combine_chunks())
        there = set(found.column("position").to_pylist())
        return [row in there for row in range(keys.num_rows)]


def _need_key(container: Container) -> None:
    if not container.schema.key_length:
        raise Refusal(Code.TQ_ROW_KEY_UNDEFINED, f"{container.name} has no row key")
