"""A multi-get is one look for all containers of a shape, and finds what a get of each of them finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from tests.noted import noted

from gridferry.embedded.answers.call import Node, Peer
from gridferry.embedded.catalog import Container
from gridferry.embedded.containers import put_container
from gridferry.embedded.database import Database
from gridferry.embedded.dispatch import Dispatcher
from gridferry.embedded.row_statements import get_rows, put_many
from gridferry.griddb.schema import ContainerKind, ContainerSchema
from gridferry.griddb.wire.encode import encode_key_set
from gridferry.griddb.wire.frame import Frame, FrameReader, Role
from gridferry.griddb.wire.multi_requests import KeyPredicate, MultiGet
from gridferry.griddb.wire.names import container_key
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.replies import ErrorReply
from gridferry.griddb.wire.row_replies import MultiGetReply, rows_of
from gridferry.griddb.wire.statement import Option, Statement

Make = Callable[..., Any]
Asked = list[tuple[str, KeyPredicate]]


@pytest.fixture
def fleet(db: Database, schemas: dict[str, ContainerSchema], batch: Make) -> list[Container]:
    """Forty containers of two shapes in partition 0, the first two without rows."""
    found = [put_container(db, f"d{n}", schemas["keyed" if n % 2 else "series"], partition=0) for n in range(40)]
    put_many(
        db, [(c, batch(c.schema, (n, 0.5, "x"), (n + 1, -0.0, ""))) for n, c in enumerate(found) if n > 1 and not n % 2]
    )
    put_many(db, [(c, batch(c.schema, ("a", n, n), ("b", n, None))) for n, c in enumerate(found) if n > 1 and n % 2])
    db.settle()
    return found


def of_keys(container: Container, keys: pa.RecordBatch) -> KeyPredicate:
    return KeyPredicate(
        types=tuple(c.type for c in container.schema.key),
        keys=b"".join(bytes(part) for part in encode_key_set(container.schema, keys)),
        count=len(keys),
    )


def got(db: Database, asked: Asked) -> dict[str, list[pa.RecordBatch]] | int:
    """The rows by container, in the order of the entries; or the number of the error."""
    out = Writer()
    predicates = tuple(predicate for _, predicate in asked)
    entries = [(container_key(name, 0), place) for place, (name, _) in enumerate(asked)]
    MultiGet(predicates, entries, bytes(16), {Option.ACCEPTABLE_FEATURE_VERSION: 4}).write(out)
    dispatcher, peer = Dispatcher(db, Node("cluster", {})), Peer(logged_in=True, owner=True)
    frame = Frame(Statement.GET_MULTIPLE_CONTAINER_ROWS, 1, memoryview(out.getvalue()))
    reader = FrameReader(Role.CLIENT)
    reader.receive(b"".join(dispatcher.answer(peer, frame) or []))
    answer = reader.next_frame()
    assert answer is not None
    if answer.status:
        return ErrorReply.read(Reader(answer.body)).code
    reply = MultiGetReply.read(Reader(answer.body))
    found: dict[str, list[pa.RecordBatch]] = {}
    for entry in reply.entries:
        found.setdefault(entry.key.name, []).append(rows_of(reply.schemas[entry.schema], entry))
    return found


def test_keys_of_many_containers_are_one_look_at_each_shape(
    db: Database, fleet: list[Container], keys: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {}
    for n, c in enumerate(fleet):
        # A key that is not there, and keys not in order.
        some = [("b", n), ("z", n), ("a", n)] if n % 2 else [(n + 1,), (10_000,), (n,)]
        wanted[c.name] = (c, keys(c.schema, *some))
    expected = {name: get_rows(db, c, some).batch for name, (c, some) in wanted.items()}
    asked: list[str] = []
    monkeypatch.setattr(db.duck, "select", noted(asked, db.duck.select))
    found = got(db, [(name, of_keys(c, some)) for name, (c, some) in wanted.items()])
    assert len(asked) == 2
    assert isinstance(found, dict)
    assert {name: batches[0].to_pylist() for name, batches in found.items()} == {
        name: rows.to_pylist() for name, rows in expected.items()
    }
    assert sum(len(rows) for rows in expected.values()) == 2 * 38


def test_a_container_may_be_asked_twice_and_one_that_is_not_there_has_no_entry(
    db: Database, fleet: list[Container], keys: Make
) -> None:
    series, keyed = fleet[2], fleet[3]
    found = got(
        db,
        [
            (series.name, of_keys(series, keys(series.schema, (2,), (2,)))),
            ("nowhere", of_keys(series, keys(series.schema, (2,)))),
            (keyed.name, of_keys(keyed, keys(keyed.schema, ("a", 3)))),
            (series.name, KeyPredicate(types=(int(series.schema.key[0].type),))),
        ],
    )
    assert isinstance(found, dict)
    assert {name: [len(rows) for rows in batches] for name, batches in found.items()} == {
        series.name: [2, 2],
        keyed.name: [1],
    }


def test_ranges_of_many_containers(db: Database, fleet: list[Container]) -> None:
    series = [c for c in fleet if c.schema.kind is ContainerKind.TIME_SERIES]
    (kind,) = (int(c.type) for c in series[0].schema.key)
    span = KeyPredicate(types=(kind,), start=(5).to_bytes(8, "little"), end=(9).to_bytes(8, "little"))
    found = got(db, [(c.name, span) for c in series])
    assert isinstance(found, dict)
    times = {name: batches[0].column(0).cast(pa.int64()).to_pylist() for name, batches in found.items()}
    assert {name: some for name, some in times.items() if some} == {"d4": [5], "d6": [6, 7], "d8": [8, 9]}


def test_keys_of_another_type_are_refused(db: Database, fleet: list[Container], keys: Make) -> None:
    series, keyed = fleet[2], fleet[3]
    assert got(db, [(keyed.name, of_keys(series, keys(series.schema, (2,))))]) == 60015
