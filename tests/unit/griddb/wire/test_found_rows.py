"""A multi-get's answer read all at once: the same entries as read one by one."""

from __future__ import annotations

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st
from tests.profiles import SOME
from tests.strategies import batches, plain_rows, schemas

from gridferry.errors import DataError, RemoteProtocolError
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.encode import encode_rows
from gridferry.griddb.wire.found_rows import read_owned_rows, read_schemas
from gridferry.griddb.wire.names import ContainerKey
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.row_replies import FoundRows, MultiGetReply, rows_of

FOUND = hypothesis.settings(
    max_examples=SOME,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
NAMES = ("c", "Sensor@7", "a" * 200)
PLAIN = ContainerSchema(
    ContainerKind.COLLECTION,
    (ColumnSpec("k", GridType.LONG, nullable=False), ColumnSpec("b", GridType.BLOB)),
)


def _entry(schema: ContainerSchema, part: pa.RecordBatch, name: str = "c", *, first_id: int = 0) -> FoundRows:
    ids = np.arange(first_id, first_id + len(part)) if schema.kind is ContainerKind.COLLECTION else None
    return FoundRows(ContainerKey(name), 0, len(part), encode_rows(schema, part, row_ids=ids).image())


def _answer(schema: ContainerSchema, entries: list[FoundRows]) -> bytes:
    out = Writer()
    MultiGetReply((schema,), tuple(entries)).write(out)
    return out.getvalue()


def _read(body: bytes) -> tuple[list[str], pa.RecordBatch]:
    source = Reader(body)
    found = read_schemas(source)
    schema = found[0] if found else PLAIN
    owned = read_owned_rows([source], schema, schemas=len(found))
    assert len(owned.owners) == owned.rows.count
    return [owned.containers[owner].name for owner in owned.owners.tolist()], rows_of(schema, owned.rows)


def _plain(keys: list[int], blobs: list[bytes | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(keys, pa.int64()), pa.array(blobs, pa.binary())], names=["k", "b"])


@FOUND
@hypothesis.given(data=st.data(), schema=schemas())
def test_entries_of_any_counts(data: st.DataObject, schema: ContainerSchema) -> None:
    parts = data.draw(st.lists(st.tuples(st.sampled_from(NAMES), batches(schema, max_rows=3)), max_size=6))
    ones = [(name, part.slice(i, 1)) for name, part in parts for i in range(len(part))]
    for chosen in (parts, ones):
        owners, rows = _read(_answer(schema, [_entry(schema, part, name) for name, part in chosen]))
        assert owners == [name for name, part in chosen for _ in range(len(part))]
        assert repr(plain_rows(schema, rows)) == repr([row for _, part in chosen for row in plain_rows(schema, part)])


@pytest.mark.parametrize("size", [0, 1, 127, 128, 5000])
def test_values_that_look_like_entries(size: int) -> None:
    head = bytes.fromhex("00000000 0100000000000000")
    inner = _answer(PLAIN, [_entry(PLAIN, _plain([1], [b"x"]))])
    blobs = [head * 3, b"\x01" * size + head, bytes(size), inner, None, head + b"\x03c" + head]
    parts = [_plain([key], [blob]) for key in (0, 1, 1 << 32) for blob in blobs]
    entries = [_entry(PLAIN, part, "C", first_id=i % 2) for i, part in enumerate(parts)]
    owners, rows = _read(_answer(PLAIN, entries))
    assert owners == ["C"] * len(parts)
    assert rows.to_pylist() == [row for part in parts for row in part.to_pylist()]


@pytest.mark.slow
def test_one_row_entries_are_not_walked_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def walked(*_: object) -> int:
        raise AssertionError("an entry was read alone")

    monkeypatch.setattr("gridferry.griddb.wire.found_rows._one_entry", walked)
    parts = [_plain([key], [bytes(key % 300)]) for key in range(2000)]
    entries = [_entry(PLAIN, part, f"c{i // 10}", first_id=i) for i, part in enumerate(parts)]
    owners, rows = _read(_answer(PLAIN, entries))
    assert owners == [f"c{i // 10}" for i in range(2000)]
    assert rows.column(0).to_pylist() == list(range(2000))


def test_nothing_found() -> None:
    owners, rows = _read(_answer(PLAIN, []))
    assert (owners, rows.to_pylist()) == ([], [])


def test_rows_without_a_schema_are_refused() -> None:
    out = Writer()
    MultiGetReply((), (_entry(PLAIN, _plain([1], [b"x"])),)).write(out)
    source = Reader(out.getvalue())
    with pytest.raises(RemoteProtocolError, match="schema that it does not have"):
        read_owned_rows([source], PLAIN, schemas=len(read_schemas(source)))


def test_answers_read_together() -> None:
    parts = [_plain([key], [bytes(key)]) for key in range(6)]
    bodies = [_answer(PLAIN, [_entry(PLAIN, part, f"c{i}")]) for i, part in enumerate(parts)]
    sources = [Reader(body) for body in [*bodies, _answer(PLAIN, [])]]
    assert [read_schemas(source) for source in sources] == [(PLAIN,)] * 7
    owned = read_owned_rows(sources, PLAIN, schemas=1)
    assert [owned.containers[owner].name for owner in owned.owners.tolist()] == [f"c{i}" for i in range(6)]
    assert rows_of(PLAIN, owned.rows).to_pylist() == [row for part in parts for row in part.to_pylist()]


@pytest.mark.parametrize("tail", [b"\0", b"abc", bytes(40)])
def test_bytes_left_over_are_refused(tail: bytes) -> None:
    for entries in ([], [_entry(PLAIN, _plain([1], [b"x"]))]):
        with pytest.raises(RemoteProtocolError, match="left over"):
            _read(_answer(PLAIN, entries) + tail)


@pytest.mark.slow
def test_cut_and_flipped_answers_are_refused_or_sound() -> None:
    body = _answer(PLAIN, [_entry(PLAIN, _plain([i], [b"xy"]), "ab", first_id=i) for i in range(3)])
    for end in range(len(body)):
        with pytest.raises((RemoteProtocolError, DataError)):
            _read(body[:end])
    for place in range(len(body)):
        for octet in (0x00, 0x01, 0x02, 0x7F, 0xFF):
            flipped = body[:place] + bytes([octet]) + body[place + 1 :]
            try:
                _, rows = _read(flipped)
            except (RemoteProtocolError, DataError):
                continue
            rows.validate()


def test_an_entry_of_another_schema_number() -> None:
    entry = _entry(PLAIN, _plain([1], [b"x"]))
    second = FoundRows(entry.key, 1, entry.count, entry.image)
    out = Writer()
    MultiGetReply((PLAIN, PLAIN), (entry, second, entry)).write(out)
    assert _read(out.getvalue())[1].column(0).to_pylist() == [1, 1, 1]
    out = Writer()
    MultiGetReply((PLAIN,), (entry, second)).write(out)
    with pytest.raises(RemoteProtocolError, match="schema that it does not have"):
        _read(out.getvalue())
