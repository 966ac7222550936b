"""The digest of texts and bytes: one word for equal values wherever they stand, another for any other value."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.compare.digest import RunDigests, digest_of


def of(*values: bytes | None) -> object:
    return digest_of(pa.record_batch([pa.array(values, pa.binary())], names=["a"]))


@given(st.lists(st.one_of(st.none(), st.binary(max_size=40)), max_size=30), st.integers(0, 30))
def test_a_value_counts_the_same_alone_and_in_a_slice(values: list[bytes | None], start: int) -> None:
    whole = pa.record_batch([pa.array(values, pa.binary())], names=["a"])
    part = whole.slice(min(start, len(values)))
    runs = RunDigests.of(part, list(range(len(part) + 1))).runs
    assert list(runs) == [of(value) for value in values[min(start, len(values)) :]]


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_other_bytes_have_another_digest(one: bytes, other: bytes) -> None:
    assert (of(one) == of(other)) is (one == other)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 31])
def test_zeros_at_the_end_count(size: int) -> None:
    seen = {str(of(b"x" * size + b"\0" * zeros)) for zeros in range(20)}
    assert len(seen) == 20


def test_a_change_in_any_byte_counts() -> None:
    text = bytes(random.Random(7).randrange(256) for _ in range(33))
    changed = [text[:i] + bytes([text[i] ^ bit]) + text[i + 1 :] for i in range(33) for bit in (1, 16, 128)]
    pairs = [a[:8] + b[8:] for a in changed[:24] for b in changed[24:48]]  # two words changed at once
    assert len({str(of(value)) for value in {text, *changed, *pairs}}) == len({text, *changed, *pairs})
