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
from gridferry.griddb.wire.plain_queries import PlainQueries
from gridferry.griddb.wire.row_replies import (
    Aggregate,
    QueryReply,
    RowsPart,
    read_multi_query,
    read_multi_values,
    write_aggregate,
    write_multi_query,
)
from gridferry.griddb.wire.row_requests import QueryTql, Transaction
from gridferry.griddb.wire.statement import ResultKind

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


def _answer(aggregate: Aggregate) -> bytes:
    """One answer in the form that the protocol gives it: size, parts, kind, size of the part, the part."""
    part = Writer()
    write_aggregate(part, aggregate)
    return struct.pack("<qiBi", 9 + part.size, 1, ResultKind.AGGREGATION, part.size) + part.getvalue()


@given(st.lists(VALUES, max_size=12))
def test_the_same_values_as_one_by_one(aggregates: list[Aggregate]) -> None:
    octets = _answers(aggregates)
    assert octets == b"".join([struct.pack("<i", len(aggregates)), *(_answer(a) for a in aggregates)])
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


QUERIES = st.tuples(LONGS, st.integers(0, (1 << 31) - 1), st.sampled_from(["select count(*)", 'select max("größe")']))


@given(st.lists(QUERIES, max_size=6), st.binary(min_size=16, max_size=16))
def test_plain_queries_are_written_as_a_multi_query(queries: list[tuple[int, int, str]], client: bytes) -> None:
    one_by_one = [QueryTql(number, Transaction(version, client=client), tql) for number, version, tql in queries]
    octets = _written(PlainQueries(queries, client))
    assert octets == _written(MultiQuery(one_by_one, client))
    source = Reader(octets)
    assert list(MultiQuery.read(source).queries) == one_by_one
    source.end()


def _written(message: PlainQueries | MultiQuery) -> bytes:
    out = Writer()
    message.write(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ((1 << 63, 0, "select *"), "does not fit"),
        ((0, 1 << 31, "select *"), "does not fit"),
        ((0, 0, "\ud800"), "half"),
    ],
)
def test_what_cannot_be_written_is_refused(query: tuple[int, int, str], why: str) -> None:
    with pytest.raises(LocalProtocolError, match=why):
        _written(PlainQueries([query], bytes(16)))
