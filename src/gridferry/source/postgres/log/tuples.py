"""Row messages of pgoutput -> change batches, a whole stretch of messages at once and with no loop over rows.

A row message is `I oid N tuple`, `U oid [K|O tuple] N tuple` or `D oid K|O tuple`; a tuple is a 16-bit count and, for
each column, `n` (NULL), `u` (stored out of line and unchanged: not sent) or `t`, a 32-bit length and a text.
All rows of a table are walked together: the place of a row's next column is known from the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gridferry.model.change import ChangeBatch, ChangedRelation, Operation
from gridferry.plan.generated_key import GENERATED_COLUMNS
from gridferry.source.postgres.log.pgoutput import Tag, broken
from gridferry.source.postgres.log.row_hash import row_hashes, values_of
from gridferry.source.postgres.log.values import Decoder, Texts

_PADDING = 16  # bytes after the last message, so that reading a length there stays inside
_SHORTEST = 8  # tag, oid, letter, count
_NULL, _UNCHANGED, _TEXT, _BINARY = b"n"[0], b"u"[0], b"t"[0], b"b"[0]
_NEW, _KEY, _OLD = b"N"[0], b"K"[0], b"O"[0]


@dataclass(frozen=True)
class ReadColumn:
    """A column that is handed on: its place in the tuple, its name, and what decodes it."""

    place: int
    name: str
    decode: Decoder


@dataclass(frozen=True)
class RelationReader:
    """How a table's changes are read. `rows`: what new rows hold; `old`: what old rows hold.

    `hashed`: the places of the values that a generated key is made of, where the table has one; rows that hold all of
    them get its columns too.
    """

    relation: ChangedRelation
    rows: tuple[ReadColumn, ...]
    old: tuple[ReadColumn, ...]
    hashed: tuple[int, ...] | None = None


class Octets:
    """Messages end to end, with views that read a big-endian number at any byte."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        joined = b"".join((*messages, bytes(_PADDING)))
        self.raw = np.frombuffer(joined, np.uint8)
        self.size = len(joined) - _PADDING
        lengths = np.fromiter(map(len, messages), np.int64, len(messages))
        if lengths.min(initial=_SHORTEST) < _SHORTEST:
            raise broken("a row message is cut off")
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths
        self._joined = joined

    def numbers(self, kind: str) -> NDArray[np.int64]:
        """Element i is the number that begins at byte i."""
        width = np.dtype(kind).itemsize
        every: NDArray[np.int64] = np.ndarray((len(self.raw) - width + 1,), kind, self._joined, strides=(1,))
        return every


@dataclass(frozen=True)
class _Tuples:
    """m tuples, column by column: `kinds`, `starts`, `ends` hold an array (m,) for each; `after` (m,) is behind."""

    kinds: list[NDArray[np.uint8]]
    starts: list[NDArray[np.int64]]
    ends: list[NDArray[np.int64]]
    after: NDArray[np.int64]


def change_batches(
    messages: Sequence[bytes],
    commits: NDArray[np.uint64],
    *,
    readers: Mapping[int, RelationReader | None],
    first_order: int,
) -> list[ChangeBatch]:
    """The changes of `messages` (n), a batch a table, tables in the order in which they first appear.

    Args: commits (n,) as in `ChangeBatch`; `readers` by table oid, None for tables whose changes are not wanted;
    `first_order` is the first message's `order`.
    Raises: StreamBroken if a message is malformed or changes a table that was not described.
    """
    if not messages:
        return []
    octets = Octets(messages)
    oids = octets.numbers(">u4")[octets.starts + 1]
    found, first = np.unique(oids, return_index=True)
    batches = []
    for oid in found[np.argsort(first)]:
        if int(oid) not in readers:
            raise broken(f"it changes the table with oid {oid}, which it did not describe before")
        reader = readers[int(oid)]
        if reader is not None:
            picked = np.flatnonzero(oids == oid)
            batches.append(_batch(octets, picked, reader, commits=commits[picked], order=picked + first_order))
    return batches


def _batch(
    octets: Octets,
    picked: NDArray[np.int64],
    reader: RelationReader,
    *,
    commits: NDArray[np.uint64],
    order: NDArray[np.int64],
) -> ChangeBatch:
    starts, ends = octets.starts[picked], octets.ends[picked]
    tags, letters = octets.raw[starts], octets.raw[starts + 5]
    is_insert, is_update, is_delete = (tags == tag for tag in (Tag.INSERT, Tag.UPDATE, Tag.DELETE))
    has_old = (letters == _KEY) | (letters == _OLD)
    allowed = (letters == _NEW) & ~is_delete | has_old & ~is_insert
    if not (allowed & (is_insert | is_update | is_delete)).all():
        raise broken(f"a change of {reader.relation.qualified} has a tuple of an unknown kind")
    width = len(reader.relation.columns)
    old_changes = np.flatnonzero(has_old)
    old = _walk(octets, starts[old_changes] + 6, width=width, table=reader.relation.qualified)

    news = starts + 6
    news[old_changes] = old.after
    keyed_update = has_old & is_update
    if (octets.raw[news[keyed_update]] != _NEW).any() or (news[is_delete] != ends[is_delete]).any():
        raise broken(f"a change of {reader.relation.qualified} does not end where it should")
    news[keyed_update] += 1
    row_changes = np.flatnonzero(~is_delete)
    new = _walk(octets, news[row_changes], width=width, table=reader.relation.qualified)
    if (new.after != ends[row_changes]).any():
        raise broken(f"a change of {reader.relation.qualified} does not end where it should")
    _fill_unchanged(new, old, at=np.searchsorted(row_changes, old_changes[is_update[old_changes]]),
                    of=np.flatnonzero(is_update[old_changes]))  # fmt: skip

    operations = np.full(len(picked), Operation.INSERT, np.uint8)
    operations[is_update] = Operation.UPDATE
    operations[is_delete] = Operation.DELETE
    return ChangeBatch(
        relation=reader.relation,
        operations=operations,
        order=order,
        commits=commits,
        rows=_record_batch(octets, new, reader.rows, hashed=reader.hashed),
        row_changes=row_changes,
        old=_record_batch(octets, _complete(old, reader), reader.old, hashed=reader.hashed),
        old_changes=old_changes,
        unchanged=_unchanged(new, reader.rows),
    )


def _walk(octets: Octets, at: NDArray[np.int64], *, width: int, table: str) -> _Tuples:
    """The columns of the tuples that begin at `at` (m,). Whether each ends inside its message is left to the caller.

    No place moves backwards, so a tuple that runs over its message is seen by its end.
    """
    lengths = octets.numbers(">i4")
    kinds, starts, ends = [], [], []
    if at.max(initial=0) >= octets.size:
        raise broken(f"a change of {table} is cut off")
    if (octets.numbers(">i2")[at] != width).any():
        raise broken(f"a change of {table} has another number of columns than its description")
    here = at + 2
    for _ in range(width):
        if here.max(initial=0) > octets.size:
            raise broken(f"a change of {table} is cut off")
        kind = octets.raw[here]
        is_text = kind == _TEXT
        if not (is_text | (kind == _NULL) | (kind == _UNCHANGED)).all():
            form = "in binary form, which was not asked for" if (kind == _BINARY).any() else "of an unknown form"
            raise broken(f"a change of {table} has a value {form}")
        length = np.where(is_text, lengths[here + 1], 0).astype(np.int64)
        if length.min(initial=0) < 0:
            raise broken(f"a change of {table} has a value of negative length")
        start = here + np.where(is_text, 5, 1)
        here = start + length
        kinds.append(kind)
        starts.append(start)
        ends.append(here)
    if here.max(initial=0) > octets.size:
        raise broken(f"a change of {table} is cut off")
    return _Tuples(kinds, starts, ends, here)


def _fill_unchanged(new: _Tuples, old: _Tuples, *, at: NDArray[np.int64], of: NDArray[np.int64]) -> None:
    """Take values that the new rows `at` do not have from their old rows `of`, where those were sent."""
    if not len(at):
        return
    for place, kinds in enumerate(new.kinds):
        fill = (kinds[at] == _UNCHANGED) & (old.kinds[place][of] == _TEXT)
        if fill.any():
            target, source = at[fill], of[fill]
            kinds[target] = _TEXT
            new.starts[place][target] = old.starts[place][source]
            new.ends[place][target] = old.ends[place][source]


def _complete(old: _Tuples, reader: RelationReader) -> _Tuples:
    for column in reader.old:
        if (old.kinds[column.place] == _UNCHANGED).any():
            raise broken(f"an old row of {reader.relation.qualified} is without its key column {column.name}")
    return old


def _record_batch(
    octets: Octets, tuples: _Tuples, columns: Sequence[ReadColumn], *, hashed: tuple[int, ...] | None
) -> pa.RecordBatch:
    arrays = []
    names = [column.name for column in columns]
    for column in columns:
        at = column.place
        texts = Texts(octets.raw, tuples.starts[at], tuples.ends[at], tuples.kinds[at] == _TEXT)
        arrays.append(column.decode(texts))
    if hashed is not None and set(hashed) <= {column.place for column in columns}:
        arrays += _generated_key(octets, tuples, hashed)
        names += GENERATED_COLUMNS
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _generated_key(octets: Octets, tuples: _Tuples, places: tuple[int, ...]) -> list[pa.Array]:
    """The hash of each row, NULL where a value was not sent, and its number: 0, until the source is asked."""
    count = len(tuples.after)
    columns = [values_of(octets.raw, tuples.starts[at], tuples.ends[at], tuples.kinds[at] == _TEXT) for at in places]
    hashes = row_hashes(list(zip(*columns, strict=True)) if columns else [()] * count)
    partly = np.zeros(count, bool)
    for at in places:
        partly |= tuples.kinds[at] == _UNCHANGED
    known = pc.if_else(pa.array(~partly), hashes, pa.scalar(None, pa.utf8()))
    return [known, pa.array(np.zeros(count, np.int64))]


def _unchanged(new: _Tuples, columns: Sequence[ReadColumn]) -> dict[str, NDArray[np.bool_]]:
    masks = {column.name: new.kinds[column.place] == _UNCHANGED for column in columns}
    return {name: mask for name, mask in masks.items() if mask.any()}
