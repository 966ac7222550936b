"""Answers of multi-gets -> rows and whose they are. The server makes an entry of every row; none is decoded alone.

Source: docs/protocol.md, Multi-get. An entry says neither its size nor where the next one begins. Most hold one row, so
all places that may begin such an entry are looked for at once, and for each is reckoned, as if it were one, where it
would end and where the next would begin. From the first entry on, which is known, that makes a chain; what is no entry
is not in it. Entries of other row counts are read one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.errors import RemoteProtocolError
from gridferry.griddb.schema import ContainerKind, ContainerSchema
from gridferry.griddb.wire.decode import byte_pieces
from gridferry.griddb.wire.layout import RowLayout, row_layout
from gridferry.griddb.wire.names import ContainerKey, read_key
from gridferry.griddb.wire.octets import Buffer, Reader
from gridferry.griddb.wire.row_replies import RowsPart, image_size
from gridferry.griddb.wire.schema_image import SchemaMemory, read_kind

_HEAD = 12  # the schema's number, 4 bytes, and the row count, 8
_ZEROS = (1, 2, 3, 4, 5, 6, 7)  # behind the 1 of a row count of one
_SPARE = 16  # zero bytes behind the answer, so that what is read at its end need not be cut

Places = NDArray[np.int64]


@dataclass(frozen=True)
class OwnedRows:
    """n rows as one row image; row i is in the container `containers[owners[i]]`."""

    rows: RowsPart
    containers: tuple[ContainerKey, ...]
    owners: Places


@dataclass(frozen=True)
class _Entries:
    """m entries, each at its place in the answer: container key, head, row image. `heads` is where keys end."""

    heads: Places
    ends: Places
    counts: Places


def read_schemas(source: Reader, *, known: SchemaMemory | None = None) -> tuple[ContainerSchema, ...]:
    """The schemas of the containers that an answer is from: what it begins with. `known` is one for many answers."""
    known = known or SchemaMemory()
    return tuple(known.read(source, read_kind(source)) for _ in range(source.count(at_least=7)))


def read_owned_rows(sources: Sequence[Reader], schema: ContainerSchema, *, schemas: int) -> OwnedRows:
    """What follows the schemas in answers that are all from containers of one schema.

    Args: schemas: how many of them an answer has at most.
    Raises: RemoteProtocolError for a malformed answer.
    """
    count = sum([source.count(at_least=15) for source in sources])
    # Entries follow one another, so those of several answers are read as if they were of one.
    data = memoryview(sources[0].rest() if len(sources) == 1 else b"".join([source.rest() for source in sources]))
    if not count and not len(data):
        return OwnedRows(RowsPart(0, b""), (), np.empty(0, np.int64))
    layout = row_layout(schema, row_ids=schema.kind is ContainerKind.COLLECTION)
    entries = _entries(data, count, layout, schemas)
    octets = np.frombuffer(data, np.uint8)
    keys = byte_pieces(octets, np.stack((entries.heads, entries.ends), axis=1).reshape(-1))
    told = keys.take(pa.array(2 * np.arange(count))).dictionary_encode()
    owners = np.repeat(np.asarray(told.indices).astype(np.int64), entries.counts)
    containers = tuple(read_key(Reader(key)) for key in told.dictionary.to_pylist())
    return OwnedRows(_image(octets, entries, layout), containers, owners)


def _image(octets: NDArray[np.uint8], entries: _Entries, layout: RowLayout) -> RowsPart:
    """The row images of all entries as one."""
    starts = entries.heads + _HEAD
    areas = starts + entries.counts * layout.dtype.itemsize
    pieces = byte_pieces(octets, np.stack((starts, areas, entries.ends), axis=1).reshape(-1))
    at = 3 * np.arange(len(starts))
    fixed = np.frombuffer(bytearray(_octets(pieces.take(pa.array(at + 1)))), layout.dtype)
    if not layout.variable:
        return RowsPart(len(fixed), [fixed.tobytes()])
    lengths = entries.ends - areas
    held = entries.counts > 0
    first = (np.cumsum(entries.counts) - entries.counts)[held]
    begins = (np.cumsum(lengths) - lengths)[held]
    fixed["offset"] += np.repeat(begins - fixed["offset"][first], entries.counts[held])
    return RowsPart(len(fixed), [fixed.tobytes(), _octets(pieces.take(pa.array(at + 2)))])


def _octets(pieces: pa.Array) -> memoryview:
    """The bytes of a large binary array, end to end."""
    bounds = np.frombuffer(pieces.buffers()[1], np.int64)
    data = memoryview(pieces.buffers()[2] or b"").cast("B")
    return data[int(bounds[pieces.offset]) : int(bounds[pieces.offset + len(pieces)])]


def _entries(data: memoryview, count: int, layout: RowLayout, schemas: int) -> _Entries:
    """Where the entries of an answer are. Raises: RemoteProtocolError."""
    if not count:
        raise RemoteProtocolError(f"{len(data)} bytes are left over at the end of a multi-get answer")
    single = _SingleRows.of(data, layout, schemas)
    heads, ends, counts = [], [], []
    end = 0
    head = _behind_key(data, end)
    place = single.find(head)
    for number in range(count):
        heads.append(head)
        if place >= 0:
            counts.append(1)
            end, head, place = single.ends[place], single.nexts[place], single.follow[place]
        else:
            rows, end = _one_entry(data, head, layout, schemas)
            counts.append(rows)
            if number + 1 < count:
                head = _behind_key(data, end)
                place = single.find(head)
        ends.append(end)
    if end != len(data):
        raise RemoteProtocolError(f"{len(data) - end} bytes are left over at the end of a multi-get answer")
    return _Entries(*(np.array(numbers, np.int64) for numbers in (heads, ends, counts)))


def _behind_key(data: memoryview, at: int) -> int:
    source = Reader(data[at:])
    source.var_bytes()
    return len(data) - source.remaining


def _one_entry(data: memoryview, head: int, layout: RowLayout, schemas: int) -> tuple[int, int]:
    """The row count of an entry, and where it ends."""
    source = Reader(data[head:])
    number, count = source.i32(), source.i64()
    if not 0 <= number < schemas:
        raise RemoteProtocolError("a multi-get answer names a schema that it does not have")
    return count, head + _HEAD + image_size(layout.schema, count, source)


@dataclass(frozen=True)
class _SingleRows:
    """Places that may be the heads of one-row entries, ascending.

    `ends`: where the row of each ends; `nexts`: where the head of the next entry would be, behind its key;
    `follow`: which of the places that is, -1 if none.
    """

    heads: Places
    ends: list[int]
    nexts: list[int]
    follow: list[int]

    def find(self, head: int) -> int:
        """Which of the places `head` is, -1 if none."""
        place = int(np.searchsorted(self.heads, head))
        return place if place < len(self.heads) and self.heads[place] == head else -1

    @classmethod
    def of(cls, data: Buffer, layout: RowLayout, schemas: int) -> _SingleRows:
        """All such places of an answer."""
        size = len(data)
        octets = np.zeros(size + _SPARE, np.uint8)
        octets[:size] = np.frombuffer(data, np.uint8)
        ones = np.flatnonzero(octets[4 : max(4, size - 7)] == 1) + 4
        for step in _ZEROS:
            ones = ones[octets[ones + step] == 0]
        numbers = octets[ones[:, None] + np.arange(-4, 0)].reshape(-1).view("<u4")
        heads = ones[numbers < schemas] - 4
        ends = np.minimum(heads + _HEAD + layout.dtype.itemsize, size + 1)
        if layout.variable:
            columns, ends = _sizes(octets, ends, size)
            ends[columns != len(layout.variable)] = size + 1
            for _ in layout.variable:
                lengths, ends = _sizes(octets, ends, size)
                ends = np.minimum(ends + lengths, size + 1)
        whole = ends <= size
        heads, ends = heads[whole], ends[whole]
        lengths, after = _sizes(octets, ends, size)
        nexts = np.minimum(after + lengths, size + 1)
        follow = np.searchsorted(heads, nexts)
        found = follow < len(heads)
        found[found] = heads[follow[found]] == nexts[found]
        return cls(heads, ends.tolist(), nexts.tolist(), np.where(found, follow, -1).tolist())


def _sizes(octets: NDArray[np.uint8], at: Places, size: int) -> tuple[Places, Places]:
    """The tagged sizes at n places, and the place behind each; both lead past `size` where none can be."""
    first = octets[at].astype(np.int64)
    sizes, after = first >> 1, at + 1
    wide = np.flatnonzero((first & 1) == 0)
    if len(wide):
        words = octets[at[wide][:, None] + np.arange(8)].reshape(-1).view("<u8")
        four = (first[wide] & 3) == 0
        sizes[wide] = np.where(four, words & np.uint64(0xFFFFFFFF), words) >> np.uint64(2)
        after[wide] = at[wide] + np.where(four, 4, 8)
    beyond = (after > size) | (sizes > size)
    return np.where(beyond, 0, sizes), np.where(beyond, size + 1, after)
