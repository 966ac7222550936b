"""Many deletes by key carried out together: one look-up and one transaction instead of one of each a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.embedded.catalog import Container
from gridferry.embedded.database import Database
from gridferry.embedded.rows import key_table
from gridferry.embedded.shape import NUMBER, Shape, shape_of
from gridferry.griddb.wire.decode import decode_key, decode_key_set
from gridferry.griddb.wire.octets import Buffer, Reader

_PLACE = "place"


def delete_together(db: Database, deletes: Sequence[tuple[Container, Buffer]]) -> list[bool]:
    """Delete rows by key image. Returns whether each was there: of two deletes of one key, only the first finds it.

    All of them, or none. No transaction may be open on any of the containers. Raises: RemoteProtocolError, Refusal.
    """
    existed = np.zeros(len(deletes), bool)
    with db.lock:
        found = [(shape, _located(db, shape, keys)) for shape, keys in _keys_by_shape(deletes)]
        if any(len(rows) for _, rows in found):
            with db.writing():
                for shape, rows in found:
                    _remove(db, shape, rows)
        for _, rows in found:
            existed[_first_places(rows)] = True
    return [bool(each) for each in existed]


def _keys_by_shape(deletes: Sequence[tuple[Container, Buffer]]) -> list[tuple[Shape, pa.Table]]:
    """For each shape the keys as they are stored, with their container's number and their place in `deletes`."""
    places: dict[Container, list[int]] = {}
    for place, (container, _) in enumerate(deletes):
        places.setdefault(container, []).append(place)
    tables: dict[Shape, list[pa.Table]] = {}
    for container, at in places.items():
        shape = shape_of(container.schema)
        keys = key_table(shape, decoded_keys(container, [deletes[place][1] for place in at]))
        known = keys.select(list(shape.key_names)).append_column(NUMBER, pa.array([container.number] * len(at)))
        tables.setdefault(shape, []).append(known.append_column(_PLACE, pa.array(at, pa.int64())))
    return [(shape, pa.concat_tables(parts).combine_chunks()) for shape, parts in tables.items()]


def decoded_keys(container: Container, images: Sequence[Buffer]) -> pa.RecordBatch:
    """The keys of several images of a key each. Raises: RemoteProtocolError."""
    schema = container.schema
    if schema.key_length == 1:
        return decode_key_set(schema, len(images), b"".join(images))
    batches = [decode_key(schema, Reader(image)) for image in images]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _located(db: Database, shape: Shape, keys: pa.Table) -> pa.Table:
    """Which of the keys have a row: its place, its container's number and its identity."""
    db.settle()
    db.rows.make(shape)
    match = " AND ".join(f"t.{n} = k.{n}" for n in (NUMBER, *shape.key_names))
    return db.duck.select(
        f"SELECT k.{_PLACE}, t.{NUMBER}, t.{shape.identity} AS identity"
        f" FROM {shape.table} t JOIN wanted_keys k ON {match} ORDER BY k.{_PLACE}",
        tables={"wanted_keys": keys},
    )


def _remove(db: Database, shape: Shape, rows: pa.Table) -> None:
    with db.duck.given({"gone_rows": rows}):
        db.duck.run(
            f"DELETE FROM {shape.table} t USING gone_rows g"
            f" WHERE t.{NUMBER} = g.{NUMBER} AND t.{shape.identity} = g.identity"
        )


def _first_places(rows: pa.Table) -> NDArray[np.int64]:
    """The place of the first delete of each row."""
    firsts = rows.group_by([NUMBER, "identity"], use_threads=False).aggregate([(_PLACE, "min")])
    return np.asarray(firsts.column(f"{_PLACE}_min").to_numpy(), np.int64)
