"""The text of a record, as PostgreSQL writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.source.postgres.log.row_hash import record_text, row_hashes

VALUES = st.lists(st.none() | st.text(alphabet='ab",\\() \t\nä').map(str.encode), max_size=4)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ([], b"()"),
        ([None], b"()"),
        ([b""], b'("")'),
        ([b"a", None, b"b c"], b'(a,,"b c")'),
        ([b'"', b"\\", b"(1,2)"], b'("""","\\\\","(1,2)")'),
        (["ä€".encode(), b"\x0b"], '(ä€,"\x0b")'.encode()),
    ],
)
def test_the_text_of_a_record(row: list[bytes | None], text: bytes) -> None:
    assert record_text(row) == text


@given(VALUES, VALUES)
def test_different_rows_of_as_many_values_have_different_texts(
    one: list[bytes | None], two: list[bytes | None]
) -> None:
    if len(one) == len(two):
        assert (record_text(one) == record_text(two)) == (one == two)


def test_a_hash_for_each_row() -> None:
    hashes = row_hashes([[b"a"], [None], [b"a"]]).to_pylist()
    assert hashes[0] == hashes[2] != hashes[1]
    assert {len(each) for each in hashes} == {32}
