"""Positions in the log: text and number, in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.errors import CheckpointError
from gridferry.model.position import Lsn

VALUES = st.integers(0, 2**64 - 1)


@given(VALUES)
def test_text_and_back(value):
    assert Lsn.parse(str(Lsn(value))) == Lsn(value)


@given(VALUES, VALUES)
def test_ordered_as_numbers(one, two):
    assert (Lsn(one) < Lsn(two)) == (one < two)


def test_as_postgresql_writes_it():
    assert str(Lsn.parse("16/b374d848")) == "16/B374D848"
    assert Lsn.parse("16/B374D848").value == 0x16_B374D848
    assert str(Lsn(0)) == "0/0"


@pytest.mark.parametrize("text", ["", "0", "1/", "/1", "1/123456789", "x/1", "1/1 ", "-1/1"])
def test_other_text_is_refused(text):
    with pytest.raises(CheckpointError, match="not a position"):
        Lsn.parse(text)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_other_numbers_are_refused(value):
    with pytest.raises(CheckpointError, match="not a position"):
        Lsn(value)
