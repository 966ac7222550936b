"""The values of a multi-query of aggregations, read in one go: the same as those read answer by answer."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.errors import LocalProtocolError, RemoteProtocolError
from gridferry.griddb.schema import GridType
from gridferry.griddb.wire.multi_requests import MultiQuery
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.row_replies import (
    Aggregate,
    QueryReply,
    RowsPart,
    read_multi_query,
    read_multi_values,
    write_multi_query,
)
from gridferry.griddb.wire.row_requests import QueryTql, Transaction
from gridferry.griddb.wire.statement import Option

LONGS = st.integers(-(1 << 63), (1 << 63) - 1)
VALUES = st.one_of(
    st.just(Aggregate(None, None)),
    st.builds(Aggregate, st.sampled_from([GridType.LONG, GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US]), LONGS),
    st.builds(Aggregate, st.just(GridType.INTEGER), st.integers(-(1 << 31), (1 << 31) - 1)),
    st.builds(Aggregate, st.just(GridType.DOUBLE), st.floats(allow_nan=False)),
    st.builds(Aggregate, st.just(GridType.TIMESTAMP_NS), st.integers(0, 1 << 61)),
)


def _answers(aggregates: Sequence[Aggregate]) -> bytes:
    out = Writer()
    write_multi_query(out, [QueryReply(aggregate=a) for a in aggregates])
    return out.getvalue()


@given(st.lists(VALUES, max_size=12))
def test_the_same_values_as_one_by_one(aggregates: list[Aggregate]) -> None:
    octets = _answers(aggregates)
    one_by_one = [reply.aggregate for reply in read_multi_query(Reader(octets))]
    source = Reader(octets)
    assert read_multi_values(source) == [None if a is None else a.value for a in one_by_one]
    source.end()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_rows_among_the_values_are_refused(place: int) -> None:
    replies = [QueryReply(aggregate=Aggregate(GridType.LONG, 7)) for _ in range(3)]
    replies[place] = QueryReply(rows=RowsPart(0, b""))
    out = Writer()
    write_multi_query(out, replies)
    with pytest.raises(LocalProtocolError, match="gave rows"):
        read_multi_values(Reader(out.getvalue()))


@given(st.lists(VALUES, min_size=1, max_size=3), st.integers(1, 60))
def test_an_answer_cut_short_is_refused(aggregates: list[Aggregate], missing: int) -> None:
    octets = _answers(aggregates)
    with pytest.raises(RemoteProtocolError):
        read_multi_values(Reader(octets[: max(0, len(octets) - missing)]))


def test_a_query_without_options_is_written_as_any_other() -> None:
    """One query with an option and one without; behind the transaction's modes they differ in the option alone."""
    plain = _written(Transaction(3, 9))
    optioned = _written(Transaction(3, 9, options={Option.FOR_UPDATE: True}))
    (size,) = struct.unpack_from("<i", optioned, 34)
    assert struct.unpack_from("<i", plain, 34) == (0,)
    assert size > 0
    assert plain[:34] == optioned[:34]
    assert plain[38:] == optioned[38 + size :]


def _written(tx: Transaction) -> bytes:
    out = Writer()
    MultiQuery([QueryTql(5, tx, "select größe")]).write(out)
    return out.getvalue()[16 + 4 + 4 :]


def test_a_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="does not fit"):
        _written(Transaction(1 << 40))
