"""The digest of rows: no order, additive, and any one change is seen."""

from __future__ import annotations

import math
import random
import struct
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.compare.digest import RowsDigest, RunDigests, digest_of
from gridferry.griddb.arrow_types import ARROW_TYPES
from gridferry.griddb.schema import ARRAY_TYPES, GridType

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def times(unit_us: int) -> st.SearchStrategy[datetime]:
    return st.integers(0, 10**14).map(lambda n: EPOCH + timedelta(microseconds=n * unit_us))


VALUES: dict[GridType, st.SearchStrategy[Any]] = {
    GridType.STRING: st.text(max_size=40),
    GridType.BOOL: st.booleans(),
    GridType.BYTE: integers(8),
    GridType.SHORT: integers(16),
    GridType.INTEGER: integers(32),
    GridType.LONG: integers(64),
    GridType.FLOAT: st.floats(width=32),
    GridType.DOUBLE: st.floats(),
    GridType.TIMESTAMP_MS: times(1000),
    GridType.TIMESTAMP_US: times(1),
    GridType.TIMESTAMP_NS: times(1),
    GridType.BLOB: st.binary(max_size=40),
    GridType.GEOMETRY: st.binary(max_size=40),
}
TYPES = [(ARROW_TYPES[t], s) for t, s in VALUES.items()]
TYPES += [(pa.list_(ARROW_TYPES[t]), st.lists(VALUES[t], max_size=5)) for t in sorted(ARRAY_TYPES)]


def bits(value: Any) -> Any:
    """What tells two values apart."""
    if isinstance(value, list):
        return tuple(map(bits, value))
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack(">d", value)
    return value


@st.composite
def columns(draw: st.DrawFn) -> list[pa.Array]:
    count = draw(st.integers(1, 6))
    chosen = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4))
    return [
        pa.array(draw(st.lists(st.none() | values, min_size=count, max_size=count)), kind) for kind, values in chosen
    ]


def batch_of(arrays: list[pa.Array]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(arrays, names=[f"c{i}" for i in range(len(arrays))])


@given(columns(), st.randoms())
def test_order_does_not_count(arrays: list[pa.Array], r: random.Random) -> None:
    order = list(range(len(arrays[0])))
    r.shuffle(order)
    batch = batch_of(arrays)
    assert digest_of(batch.take(pa.array(order))) == digest_of(batch)


@given(columns(), st.data())
def test_parts_add_up_and_can_be_taken_away_whether_they_are_slices_or_copies(
    arrays: list[pa.Array], data: st.DataObject
) -> None:
    batch = batch_of(arrays)
    cut = data.draw(st.integers(0, len(batch)))
    parts = [batch.slice(0, cut), batch.slice(cut)]
    copies = [part.take(pa.array(range(len(part)), pa.int64())) for part in parts]
    whole = digest_of(batch)
    for first, second in (parts, copies):
        assert digest_of(first) + digest_of(second) == whole
        assert whole - digest_of(first) == digest_of(second)
    runs = RunDigests.of(batch, [0, cut, len(batch)]).runs
    assert runs == tuple(map(digest_of, parts))
    assert sum(RunDigests.of(batch, np.arange(len(batch) + 1)).runs, RowsDigest()) == whole


@given(columns(), st.data())
def test_any_one_changed_value_is_seen(arrays: list[pa.Array], data: st.DataObject) -> None:
    column = data.draw(st.integers(0, len(arrays) - 1))
    row = data.draw(st.integers(0, len(arrays[0]) - 1))
    kind = arrays[column].type
    strategy = next(values for known, values in TYPES if known == kind)
    old = arrays[column][row].as_py()
    new = data.draw((st.none() | strategy).filter(lambda v: bits(v) != bits(old)))
    values = arrays[column].to_pylist()
    values[row] = new
    changed = [*arrays[:column], pa.array(values, kind), *arrays[column + 1 :]]
    assert digest_of(batch_of(changed)) != digest_of(batch_of(arrays))


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (0.0, -0.0, pa.float64()),
        (0.0, None, pa.float64()),
        (float("nan"), None, pa.float64()),
        (0, None, pa.int64()),
        (False, None, pa.bool_()),
        ("", None, pa.utf8()),
        ("", "\0", pa.utf8()),
        ("ab", "ba", pa.utf8()),
        ("a", "a\0", pa.utf8()),
        ([], None, pa.list_(pa.int32())),
        ([None], [], pa.list_(pa.int32())),
        ([1, 2], [2, 1], pa.list_(pa.int32())),
        (["a", "b"], ["ab"], pa.list_(pa.utf8())),
        (["", "a"], ["a", ""], pa.list_(pa.utf8())),
        (b"\x00", b"\x00\x00", pa.binary()),
    ],
)
def test_values_that_are_easily_taken_for_each_other(one: object, other: object, kind: pa.DataType) -> None:
    assert digest_of(batch_of([pa.array([one], kind)])) != digest_of(batch_of([pa.array([other], kind)]))


def test_every_nan_is_the_same_one() -> None:
    words = np.array([0x7FF8000000000000, 0x7FF8000000000001, 0xFFF8000000000000], np.uint64).view(np.float64)
    digests = {digest_of(batch_of([pa.array(words[i : i + 1])])) for i in range(3)}
    assert len(digests) == 1


def test_a_value_in_another_column_or_row_is_another_value() -> None:
    def digest(*rows: tuple[int | None, int | None]) -> RowsDigest:
        return digest_of(batch_of([pa.array([r[i] for r in rows], pa.int64()) for i in range(2)]))

    assert digest((1, 2)) != digest((2, 1))
    assert digest((1, None)) != digest((None, 1))
    assert digest((1, 2), (3, 4)) != digest((1, 4), (3, 2))
    assert digest((1, 2), (1, 2)) != digest((1, 2))
    assert digest((1, 2), (1, 2)) != digest((3, 4), (3, 4))


@pytest.mark.slow
def test_no_two_of_many_like_rows_have_one_digest() -> None:
    r = random.Random(7)
    count = 20_000
    base: list[Any] = [1594512094385, 0.004955938648391245, True, "b8:27:eb:bf:9d:51", None]
    rows = []
    for n in range(count):
        row = list(base)
        row[0] += n % 200
        row[1] = base[1] + (n // 200 % 50) * 2**-60
        row[2] = bool(n // 10_000 % 2)
        row[3] = base[3] if n < 10_000 else "".join(r.choice("0123456789abcdef:") for _ in range(17))
        row[4] = None if r.random() < 0.5 else r.randrange(4)
        rows.append(tuple(row))
    kinds = [pa.timestamp("ms"), pa.float64(), pa.bool_(), pa.utf8(), pa.int16()]
    batch = batch_of([pa.array([row[i] for row in rows], kind) for i, kind in enumerate(kinds)])
    digests = RunDigests.of(batch, np.arange(count + 1)).runs
    assert len(set(digests)) == len(set(rows))
    assert len({d.first for d in digests}) == len(set(rows))
    assert len({d.second for d in digests}) == len(set(rows))


def test_no_rows_have_the_empty_digest() -> None:
    batch = batch_of([pa.array([], kind) for kind, _ in TYPES])
    assert digest_of(batch) == RowsDigest()
    assert RunDigests.of(batch, [0]).runs == ()
