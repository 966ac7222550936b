"""Stored values of any sort: the record that was written, or one plain sentence that names the field."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.errors import CheckpointError
from gridferry.model.chunk import Chunk, Snapshot
from gridferry.model.decoding import Malformed, decoded, decoded_value, readable, require_version
from gridferry.model.forms import Count, Moment, SlotName
from gridferry.model.position import Lsn


class Colour(str, Enum):
    RED = "red"


class Size(IntEnum):
    ONE = 1


@dataclass(frozen=True)
class Part:
    name: str
    sizes: tuple[Size, ...] = ()


@dataclass(frozen=True)
class Whole:
    table: str
    parts: tuple[Part, ...]
    pair: tuple[str, str | None]
    colour: Colour
    count: Count
    rate: float
    at: Moment
    slot: SlotName
    names: dict[str, str]
    place: Lsn | None = None
    whole: bool = True


GOOD: dict[str, Any] = {
    "parts": [{"name": "a", "sizes": [1]}],
    "pair": ["a", None],
    "colour": "red",
    "count": 3,
    "rate": 1,
    "at": "2024-02-29T12:00:00.500Z",
    "slot": "gridferry_a_5f1",
    "names": {"a": "b"},
    "place": "16/B374D848",
    "whole": False,
}


def test_a_record_comes_back() -> None:
    found = decoded(Whole, GOOD, table="t")
    assert found.parts == (Part("a", (Size.ONE,)),)
    assert (found.table, found.pair, found.colour, found.rate) == ("t", ("a", None), Colour.RED, 1.0)
    assert found.place == Lsn.parse("16/B374D848")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("parts", [{"name": "a", "sizes": [2]}], "parts[0].sizes[0] is 2; it can be 1"),
        ("parts", [{"name": "a", "sizes": [True]}], "parts[0].sizes[0]"),
        ("parts", [{"name": "a"}], "parts[0].sizes is missing"),
        ("parts", [{"name": "a", "sizes": [], "more": 1}], "parts[0].more is not known"),
        ("parts", {"0": {}}, "parts is a mapping, not a list"),
        ("pair", ["a"], "pair has 1 parts, not 2"),
        ("pair", [None, "a"], "pair[0] is empty, not a text"),
        ("colour", "blue", "colour is blue; it can be red"),
        ("colour", [], "colour is a list"),
        ("count", -1, "count is not a count: -1"),
        ("count", True, "count is a truth, not a whole number"),
        ("count", 3.0, "count is a number, not a whole number"),
        ("count", 10**400, "more than 64 bits"),
        ("count", "3", "count is a text"),
        ("rate", float("inf"), "rate is a number, not a number"),
        ("rate", "1", "rate is a text, not a number"),
        ("at", "2023-02-29T12:00:00Z", "at is not a time in UTC"),
        ("at", "2024-02-29T12:00:00+02:00", "at is not a time in UTC"),
        ("at", "'; DROP TABLE canary; --", "at is not a time in UTC"),
        ("slot", 'a" PHYSICAL', "slot is not the name of a replication slot"),
        ("slot", "a" * 64, "slot is not the name of a replication slot"),
        ("names", {"a": 1}, "names[a] is a number, not a text"),
        ("names", {"a\0": "b"}, "holds a character"),
        ("names", [], "names is a list"),
        ("place", "16/", "place is not a position in the log"),
        ("place", 5, "place is a number"),
        ("whole", 0, "whole is a number, not true or false"),
        ("pair", ["\ud800", None], "holds a character"),
    ],
)
def test_every_other_value_is_named(field: str, value: object, says: str) -> None:
    with pytest.raises(Malformed) as caught:
        decoded(Whole, {**GOOD, field: value}, table="t")
    assert says in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("field", GOOD)
def test_each_field_must_be_there(field: str) -> None:
    with pytest.raises(Malformed, match=f"{field} is missing"):
        decoded(Whole, {name: value for name, value in GOOD.items() if name != field}, table="t")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_nothing_but_malformed_is_ever_raised(field: str, value: object) -> None:
    with suppress(Malformed):
        decoded(Whole, {**GOOD, field: value}, table="t")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "pages", "low": "0) OR true --"},
        {"kind": "pages", "low": "-1"},
        {"kind": "pages", "high": str(1 << 32)},
        {"kind": "pages", "column": "ts"},
        {"kind": "keys", "column": ""},
        {"kind": "recent", "low": "٣"},
        {"kind": "recent", "low": "9" * 5000},
        {"storage": "x"},
        {"number": -1},
    ],
)
def test_chunks_have_the_bounds_of_their_kind(change: dict[str, Any]) -> None:
    plain = {"number": 0, "kind": "whole", "schema": "s", "relation": "r", "column": "", "low": None, "high": None,
             "rows": 0, "storage": "", "tree": False}  # fmt: skip
    assert decoded(Chunk, plain).number == 0
    with pytest.raises(Malformed):
        decoded(Chunk, {**plain, **change})


@pytest.mark.parametrize(
    "change",
    [{"name": "'; SELECT 1; --"}, {"lsn": "x"}, {"visible": "1:2"}, {"visible": "1:2:x"}, {"taken_at": "now"}],
)
def test_snapshots_have_the_forms_of_postgresql(change: dict[str, Any]) -> None:
    plain = {"name": "00000003-0000001B-1", "lsn": "0/1", "visible": "1:2:1,1", "taken_at": "2024-01-01T00:00:00.500Z",
             "origin": "7/5"}  # fmt: skip
    assert decoded(Snapshot, plain).lsn == "0/1"
    with pytest.raises(Malformed):
        decoded(Snapshot, {**plain, **change})


def test_plain_values_and_the_errors_for_people() -> None:
    assert decoded_value(tuple[str, ...], ["a"]) == ("a",)
    with pytest.raises(CheckpointError, match=r"the thing is not readable: it is a number, not a text") as caught:
        readable("the thing", lambda: decoded_value(str, 5), next_step="do it again")
    assert caught.value.next_step == "do it again"
    assert require_version({"version": 2, "a": 1}, 2, what="it", next_step="x") == {"a": 1}
    for version in (1, True, 2.0, None, "2", [2], 10**5000):
        with pytest.raises(CheckpointError, match="this gridferry reads version 2"):
            require_version({"version": version}, 2, what="it", next_step="x")
