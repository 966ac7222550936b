"""Blocks against an oracle that compares row by row."""

from __future__ import annotations

import math
import struct
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.profiles import MANY

from gridferry.compare.block import Block
from gridferry.compare.findings import KINDS, Findings, FindingsSpool, findings_of
from gridferry.compare.key_index import KeyIndex
from gridferry.model.verification import DifferenceKind

TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "ms": (pa.timestamp("ms", tz="UTC"), st.integers(0, 3) | st.sampled_from([0, 253402300799999])),
    "int": (pa.int32(), st.integers(-2, 2) | st.sampled_from([-(2**31), 2**31 - 1])),
    "long": (pa.int64(), st.integers(-2, 2) | st.sampled_from([-(2**63), 2**63 - 1])),
    "text": (pa.utf8(), st.sampled_from(["", " ", "a", "a ", "ä", "b" * 40])),
    "double": (pa.float64(), st.sampled_from([0.0, -0.0, math.nan, math.inf, 1.5, math.nextafter(1.5, 2.0)])),
    "float": (pa.float32(), st.sampled_from([0.0, -0.0, math.nan, 1.5])),
    "bool": (pa.bool_(), st.booleans()),
    "blob": (pa.binary(), st.sampled_from([b"", b"\0", b"\0\0", b"a"])),
}
KEYS = ("ms", "int", "long", "text")


def bits(value: Any, kind: str) -> Any:
    if kind in ("double", "float") and value is not None:
        return "nan" if math.isnan(value) else struct.pack(">d", value)
    return value


@st.composite
def sides(draw: st.DrawFn) -> tuple[list[str], int, list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Types of the columns, how many are the key, and both sides' rows, the container's number first."""
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3))
    kinds = [*keys, *draw(st.lists(st.sampled_from(list(TYPES)), max_size=3))]

    def row() -> st.SearchStrategy[tuple[Any, ...]]:
        values = [TYPES[k][1] if i < len(keys) else st.none() | TYPES[k][1] for i, k in enumerate(kinds)]
        return st.tuples(st.integers(0, 2), *values)

    source = draw(st.lists(row(), max_size=12))
    target = draw(st.lists(row() | (st.sampled_from(source) if source else row()), max_size=12))
    unique = {r[: 1 + len(keys)]: r for r in target}  # a container holds a key once
    return kinds, len(keys), source, list(unique.values())


def batch(kinds: list[str], rows: list[tuple[Any, ...]]) -> tuple[pa.RecordBatch, np.ndarray]:
    columns = []
    for place, kind in enumerate(kinds):
        wanted = TYPES[kind][0]
        values = [r[1 + place] for r in rows]
        array = pa.array(values, pa.int64()).view(wanted) if kind == "ms" else pa.array(values, wanted)
        columns.append(array)
    names = [f"c{i}" for i in range(len(kinds))]
    return pa.RecordBatch.from_arrays(columns, names=names), np.array([r[0] for r in rows], np.int64)


def plain(findings: Findings, kinds: list[str]) -> list[tuple[Any, ...]]:
    found = []
    for i in range(len(findings)):
        kind = KINDS[int(findings.kinds[i])]
        side = findings.target if kind is DifferenceKind.EXTRA else findings.source
        columns = [c.view(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in side.columns]
        row = [bits(c[i].as_py(), k) for c, k in zip(columns, kinds, strict=True)]
        found.append((kind.value, int(findings.codes[i]), *row))
    return found


@settings(max_examples=MANY)
@given(sides(), st.integers(1, 5), st.booleans())
def test_a_block_finds_what_a_row_by_row_comparison_finds(
    drawn: tuple[list[str], int, list[tuple[Any, ...]], list[tuple[Any, ...]]], page_rows: int, ordered: bool
) -> None:
    kinds, key_length, source, target = drawn
    if ordered:
        source, target = (sorted(rows, key=lambda r: [str(v) for v in r]) for rows in (source, target))
    rows, codes = batch(kinds, source)
    block = Block(rows, codes, key_length=key_length)
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(target), page_rows):
        page, numbers = batch(kinds, target[start : start + page_rows])
        for findings in block.page(page, numbers):
            found += plain(findings, kinds)
    for findings in block.rest():
        found += plain(findings, kinds)

    def form(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (row[0], *(bits(v, k) for v, k in zip(row[1:], kinds, strict=True)))

    size = 1 + key_length
    times = Counter(r[:size] for r in source)
    there = {r[:size]: r for r in target}
    expected: list[Any] = []
    equal: Counter[Any] = Counter()
    for r in source:
        if times[r[:size]] > 1:
            continue
        other = there.get(r[:size])
        if other is None:
            expected.append(("missing", *form(r)))
        elif form(other) != form(r):
            expected.append(("different", *form(r)))
        else:
            equal[r[0]] += 1
    expected += [("extra", *form(r)) for r in target if r[:size] not in times]
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    assert {c: n for c, n in enumerate(block.equal.tolist()) if n} == dict(equal)
    assert sorted(block.doubled.tolist()) == [i for i, r in enumerate(source) if times[r[:size]] > 1]
    keys = [source[i][:size] for i in block.doubled.tolist()]
    assert len({k for i, k in enumerate(keys) if i == 0 or keys[i - 1] != k}) == len(set(keys))


def test_findings_wait_in_files_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridferry.compare.findings._MEMORY_BYTES", 1000)
    with FindingsSpool() as waiting:
        for start in range(0, 500, 50):
            rows = pa.record_batch({"k": pa.array(range(start, start + 50)), "v": pa.array(["x"] * 50)})
            waiting.add(findings_of(DifferenceKind.MISSING, np.full(50, start), source=rows))
        rows = pa.record_batch({"k": pa.array([7]), "v": pa.array([None], pa.utf8())})
        waiting.add(findings_of(DifferenceKind.EXTRA, np.array([1]), target=rows))
        assert len(waiting) == 501
        parts = list(waiting.parts(30))
        assert max(len(p) for p in parts) == 30
        keys = [k for p in parts for k in p.keys(1)[0].to_pylist()]
        assert sorted(keys) == sorted([*range(500), 7])
        (extra,) = [p for p in parts if (p.kinds == KINDS.index(DifferenceKind.EXTRA)).any()]
        (told,) = [r for r in extra.rows("t", [str(i) for i in range(500)], ["v"] * 500) if r.kind.value == "extra"]
        assert told.target is not None
        assert (told.container, told.source, told.target.to_pylist()) == ("1", None, [{"k": 7, "v": None}])


def test_rows_that_share_a_key_are_found_at_one_place() -> None:
    keys, codes = [pa.array([3, 3, 4, 4, 5])], np.zeros(5, np.int64)
    places = KeyIndex(codes, keys).find(codes, keys)
    assert places[0] == places[1]
    assert places[2] == places[3]
    assert len(set(places.tolist())) == 3
