"""Every request and every reply: it survives, and malformed bytes give RemoteProtocolError and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.profiles import EACH_KIND
from tests.strategies import batches, names, samples, schemas
from tests.unit.griddb.wire import sql_messages

from gridferry.errors import DataError, LocalProtocolError, RemoteProtocolError
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire import client_requests as client
from gridferry.griddb.wire import container_requests, replies, requests, row_replies
from gridferry.griddb.wire import multi_requests as multi
from gridferry.griddb.wire import row_requests as rows
from gridferry.griddb.wire.encode import encode_key_set, encode_keys, encode_rows
from gridferry.griddb.wire.names import ContainerKey
from gridferry.griddb.wire.octets import Reader, Writer, var_size
from gridferry.griddb.wire.requests import REQUESTS
from gridferry.griddb.wire.schema_image import (
    IndexSpec,
    SchemaMemory,
    TimeSeriesProperties,
    read_schema,
    write_schema,
)
from gridferry.griddb.wire.sql_replies import SqlReply
from gridferry.griddb.wire.statement import MAX_PARTITIONS, Option, Property

MESSAGES = settings(max_examples=EACH_KIND, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

I32, I64 = (st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (32, 64))
U8, FLAG = st.integers(0, 255), st.booleans()
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
UUID = st.binary(min_size=16, max_size=16)
BODY = st.binary(max_size=30)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        Option.TRANSACTION_TIMEOUT: I32,
        Option.PUT_MODE: st.integers(0, 2),
        Option.ACCEPTABLE_FEATURE_VERSION: I32,
        Option.CLIENT_ID: st.tuples(I64, UUID),
    },
)
WITH_FEATURE = st.fixed_dictionaries({}, optional={Option.FEATURE_VERSION: st.integers(0, 7)})
KEYS = st.builds(ContainerKey, base=names(), affinity=st.just("") | names(), database_id=st.sampled_from([0, 100]))
INDEXES = st.builds(IndexSpec, columns=st.lists(I32, max_size=3).map(tuple), name=TEXT, kind=U8)
TX = st.builds(
    rows.Transaction, version=I32, session_id=I64, client=UUID, session_mode=U8, transaction_mode=U8, options=OPTIONS
)
HEADS = st.builds(rows.QueryHead, limit=I64, fetch_size=I64, partial=FLAG)


@st.composite
def put_containers(draw: st.DrawFn) -> container_requests.PutContainer:
    schema = draw(schemas())
    series = schema.kind is ContainerKind.TIME_SERIES
    properties = st.builds(
        TimeSeriesProperties,
        expiration_time=I32,
        expiration_unit=U8,
        division_count=I32,
        window=I32,
        window_unit=U8,
        compression=U8,
    )
    return container_requests.PutContainer(
        key=draw(KEYS),
        schema=schema,
        modifiable=draw(FLAG),
        affinity=draw(TEXT),
        time_series=draw(st.none() | properties) if series else None,
        options=draw(WITH_FEATURE),
    )


@st.composite
def multi_puts(draw: st.DrawFn) -> multi.MultiPut:
    shapes = draw(st.lists(schemas(), min_size=1, max_size=2))
    entry = st.builds(
        multi.PutEntry,
        container_id=I64,
        schema=st.integers(0, len(shapes) - 1),
        count=I64,
        image=BODY,
        session_id=I64,
        statement_id=I64,
        session_mode=U8,
        transaction_mode=U8,
    )
    return multi.MultiPut(tuple(shapes), draw(st.lists(entry, max_size=3)), draw(UUID), draw(OPTIONS))


@st.composite
def predicates(draw: st.DrawFn) -> multi.KeyPredicate:
    schema = draw(schemas(key_lengths=(1, 2)))
    batch = draw(batches(schema, min_rows=2, long_strings=False)).select(list(range(schema.key_length)))
    types = tuple(int(column.type) for column in schema.key)
    if draw(FLAG):
        return multi.KeyPredicate(types, keys=b"".join(encode_key_set(schema, batch)), count=len(batch))
    if len(types) > 1:
        ends = (draw(FLAG), draw(FLAG))
        keys = b"".join(encode_key_set(schema, batch.slice(0, sum(ends))))
        return multi.KeyPredicate(types, keys=keys, count=sum(ends), ends=ends)
    bounds = [draw(st.none() | st.just(key)) for key in encode_keys(schema, batch)[:2]]
    return multi.KeyPredicate(types, start=bounds[0], end=bounds[1])


@st.composite
def multi_gets(draw: st.DrawFn) -> multi.MultiGet:
    wanted = draw(st.lists(predicates(), min_size=1, max_size=2))
    entries = draw(st.lists(st.tuples(KEYS, st.integers(0, len(wanted) - 1)), max_size=3))
    return multi.MultiGet(tuple(wanted), entries, draw(UUID), draw(OPTIONS))


@st.composite
def multi_queries(draw: st.DrawFn) -> multi.MultiQuery:
    client = draw(UUID)
    tx = st.builds(rows.Transaction, version=I32, session_id=I64, client=st.just(client), options=OPTIONS)
    queries = st.builds(rows.QueryTql, container_id=I64, tx=tx, tql=TEXT, head=HEADS)
    ranges = st.builds(
        rows.QueryRange, container_id=I64, tx=tx, start=I64, end=I64, descending=st.booleans(), head=HEADS
    )
    return multi.MultiQuery(draw(st.lists(queries | ranges | samplings(tx), max_size=3)), client, draw(OPTIONS))


@st.composite
def create_sessions(draw: st.DrawFn) -> multi.CreateSessions:
    count = draw(st.integers(0, 3))
    ids = tuple(draw(st.lists(I64, min_size=2 * count, max_size=2 * count)))
    if count and draw(FLAG):
        return multi.CreateSessions((None,) * count, ids[:count], ids[count:], draw(UUID), draw(OPTIONS))
    keys = tuple(draw(st.lists(KEYS, min_size=count, max_size=count)))
    return multi.CreateSessions(keys, ids[:count], (), draw(UUID), draw(OPTIONS))


def only_options(kind: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind, options=OPTIONS)


def session(kind: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind, container_id=I64, session_id=I64, client=UUID, options=OPTIONS)


def samplings(tx: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        client.QuerySampling,
        container_id=I64,
        tx=tx,
        start=I64,
        end=I64,
        columns=st.lists(I32, max_size=3).map(tuple),
        interval=I32,
        unit=U8,
        mode=U8,
        head=HEADS,
    )


def keyed(kind: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind, container_id=I64, tx=TX, payload=BODY)


def by_name(kind: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind, key=KEYS, kind=U8, options=OPTIONS)


REQUEST_STRATEGIES: dict[Any, st.SearchStrategy[Any]] = {
    **sql_messages.REQUESTS,
    requests.Connect: st.builds(requests.Connect, version=I32, plain=FLAG, secure=FLAG),
    requests.Disconnect: only_options(requests.Disconnect),
    requests.Logout: only_options(requests.Logout),
    requests.Login: st.builds(
        requests.Login,
        user=TEXT,
        digest=TEXT,
        cluster=TEXT,
        timeout_s=I32,
        owner=FLAG,
        auth_mode=U8,
        options=OPTIONS,
    ),
    requests.GetPartitionAddress: st.builds(requests.GetPartitionAddress, master=FLAG, options=OPTIONS),
    container_requests.PutContainer: put_containers(),
    container_requests.GetContainer: by_name(container_requests.GetContainer),
    container_requests.DropContainer: by_name(container_requests.DropContainer),
    container_requests.GetContainerProperties: st.builds(
        container_requests.GetContainerProperties,
        keys=st.lists(KEYS, min_size=1, max_size=3).map(tuple),
        properties=st.lists(st.sampled_from(Property), max_size=4).map(tuple),
        options=OPTIONS,
    ),
    container_requests.GetPartitionContainerNames: st.builds(
        container_requests.GetPartitionContainerNames,
        start=I64,
        limit=I64,
        attributes=st.lists(I32, max_size=3).map(tuple),
        options=OPTIONS,
    ),
    container_requests.CreateIndex: st.builds(
        container_requests.CreateIndex, container_id=I64, version=I32, index=INDEXES, options=OPTIONS
    ),
    container_requests.DropIndex: st.builds(
        container_requests.DropIndex,
        container_id=I64,
        version=I32,
        index=INDEXES,
        options=OPTIONS,
        any_name=FLAG,
        any_kind=FLAG,
    ),
    container_requests.FlushLog: st.builds(container_requests.FlushLog, container_id=I64, options=OPTIONS),
    requests.GetDatabases: only_options(requests.GetDatabases),
    requests.PutDatabase: st.builds(requests.PutDatabase, name=TEXT, options=OPTIONS),
    requests.DropDatabase: st.builds(requests.DropDatabase, name=TEXT, options=OPTIONS),
    rows.CreateSession: session(rows.CreateSession),
    rows.CloseSession: session(rows.CloseSession),
    rows.Commit: session(rows.Commit),
    rows.Abort: session(rows.Abort),
    rows.GetRow: keyed(rows.GetRow),
    rows.PutRow: keyed(rows.PutRow),
    rows.DeleteRow: keyed(rows.DeleteRow),
    rows.PutRows: st.builds(rows.PutRows, container_id=I64, tx=TX, count=I64, image=BODY),
    rows.QueryTql: st.builds(rows.QueryTql, container_id=I64, tx=TX, tql=TEXT, head=HEADS),
    rows.QueryRange: st.builds(
        rows.QueryRange, container_id=I64, tx=TX, start=I64, end=I64, descending=FLAG, head=HEADS
    ),
    rows.GetRelated: st.builds(rows.GetRelated, container_id=I64, tx=TX, time_ms=I64, operation=U8),
    rows.AggregateSeries: st.builds(
        rows.AggregateSeries, container_id=I64, tx=TX, start=I64, end=I64, column=I32, operation=U8
    ),
    client.AppendRow: keyed(client.AppendRow),
    client.UpdateRowById: st.builds(client.UpdateRowById, container_id=I64, tx=TX, row_id=I64, image=BODY),
    client.DeleteRowById: st.builds(client.DeleteRowById, container_id=I64, tx=TX, row_id=I64),
    client.InterpolateRow: st.builds(client.InterpolateRow, container_id=I64, tx=TX, time_ms=I64, column=I32),
    client.QuerySampling: samplings(TX),
    rows.FetchRowSet: st.builds(rows.FetchRowSet, container_id=I64, tx=TX, result_id=I64, fetched=I64, fetch_size=I64),
    rows.CloseRowSet: st.builds(rows.CloseRowSet, container_id=I64, result_id=I64, options=OPTIONS),
    multi.MultiPut: multi_puts(),
    multi.MultiGet: multi_gets(),
    multi.MultiQuery: multi_queries(),
    multi.CreateSessions: create_sessions(),
    multi.CloseSessions: st.builds(
        multi.CloseSessions,
        entries=st.lists(st.tuples(I64, I64, I64), max_size=3).map(tuple),
        client=UUID,
        options=OPTIONS,
    ),
}

ADDRESSES = st.tuples(st.ip_addresses(v=4).map(str), I32)
ADDRESSES_6 = st.tuples(st.ip_addresses(v=6).map(str), I32)
PROPERTIES_ASKED = [Property.ID, Property.SCHEMA, Property.ATTRIBUTE, Property.INDEX_DETAIL]


PARTITIONS = st.integers(0, MAX_PARTITIONS)


def partition_addresses(address: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(address, max_size=2).map(tuple)
    owners = st.builds(replies.PartitionAddress, partition_count=PARTITIONS, owners=several, backups=several)
    master = st.builds(
        replies.PartitionAddress,
        partition_count=PARTITIONS,
        master_asked=st.just(True),
        is_master=FLAG,
        hash_mode=U8,
        master=address,
    )
    return owners | master


@st.composite
def container_properties(draw: st.DrawFn) -> list[replies.ContainerProperties | None]:
    one = st.builds(
        replies.ContainerProperties,
        version=I32,
        container_id=I64,
        key=KEYS,
        schema=schemas(),
        affinity=TEXT,
        attribute=I32,
        indexes=st.lists(INDEXES, max_size=2).map(tuple),
    )
    return draw(st.lists(st.none() | one, min_size=1, max_size=3))


@st.composite
def aggregates(draw: st.DrawFn) -> row_replies.Aggregate:
    numbers: dict[GridType, st.SearchStrategy[Any]] = {
        GridType.BOOL: FLAG,
        GridType.BYTE: st.integers(-128, 127),
        GridType.SHORT: st.integers(-(1 << 15), (1 << 15) - 1),
        GridType.INTEGER: I32,
        GridType.LONG: I64,
        GridType.FLOAT: st.floats(width=32, allow_nan=False),
        GridType.DOUBLE: st.floats(allow_nan=False),
        GridType.TIMESTAMP_MS: I64,
        GridType.TIMESTAMP_US: I64,
        GridType.TIMESTAMP_NS: st.integers(0, (1 << 63) - 1),
    }
    kind = draw(st.none() | st.sampled_from(list(numbers)))
    return row_replies.Aggregate(kind, None if kind is None else draw(numbers[kind]))


PARTS = st.none() | st.builds(row_replies.RowsPart, count=I64, image=BODY)
QUERY_REPLIES = st.builds(
    row_replies.QueryReply,
    rows=PARTS,
    aggregate=st.none() | aggregates(),
    analysis=PARTS,
    partial=st.none() | st.builds(row_replies.PartialFetch, total=I64, result_id=I64),
)


@st.composite
def multi_get_replies(draw: st.DrawFn) -> row_replies.MultiGetReply:
    found = draw(st.lists(samples(max_rows=3, long_strings=False), max_size=2))
    entries = []
    for number in draw(st.lists(st.integers(0, len(found) - 1), max_size=3)) if found else []:
        schema, batch = found[number].schema, found[number].batch
        ids = np.arange(len(batch)) if schema.kind is ContainerKind.COLLECTION else None
        image = b"".join(encode_rows(schema, batch, row_ids=ids).image())
        entries.append(row_replies.FoundRows(draw(KEYS), number, len(batch), image))
    return row_replies.MultiGetReply(tuple(sample.schema for sample in found), tuple(entries))


def _write_properties(out: Writer, answers: Any) -> None:
    replies.write_properties(out, answers, PROPERTIES_ASKED)


def _write_names(out: Writer, page: Any) -> None:
    replies.write_container_names(out, *page)


def _write(out: Writer, message: Any) -> None:
    message.write(out)


Reply = tuple[st.SearchStrategy[Any], Callable[[Writer, Any], None], Callable[[Reader], Any]]
REPLIES: dict[str, Reply] = {
    "SQL": (sql_messages.SQL_REPLIES, _write, SqlReply.read),
    "connect": (
        st.builds(replies.ConnectReply, version=I32, auth_mode=U8, auth_type=U8, plain=FLAG, secure=FLAG),
        _write,
        replies.ConnectReply.read,
    ),
    "login": (st.builds(replies.LoginReply, database_id=I64), _write, replies.LoginReply.read),
    "partition address": (partition_addresses(ADDRESSES), _write, replies.PartitionAddress.read),
    "partition address IPv6": (
        partition_addresses(ADDRESSES_6),
        _write,
        lambda source: replies.PartitionAddress.read(source, address_size=16),
    ),
    "properties": (container_properties(), _write_properties, replies.read_properties),
    "container names": (
        st.tuples(I64, st.lists(KEYS, max_size=3)),
        _write_names,
        lambda source: replies.read_container_names(source, most=3),
    ),
    "databases": (st.lists(TEXT, max_size=3), replies.write_databases, replies.read_databases),
    "error": (
        st.builds(
            replies.ErrorReply,
            code=I32,
            message=TEXT,
            name=TEXT,
            parameters=st.dictionaries(TEXT, TEXT, max_size=2),
        ),
        _write,
        replies.ErrorReply.read,
    ),
    "query": (QUERY_REPLIES, _write, row_replies.QueryReply.read),
    "found": (st.none() | BODY, row_replies.write_found, row_replies.read_found),
    "fetch": (
        st.builds(row_replies.FetchReply, closed=FLAG, base=I64, count=I64, image=BODY),
        _write,
        row_replies.FetchReply.read,
    ),
    "multi-get": (multi_get_replies(), _write, row_replies.MultiGetReply.read),
    "multi-query": (
        st.lists(QUERY_REPLIES, max_size=3),
        row_replies.write_multi_query,
        row_replies.read_multi_query,
    ),
    **{
        f"container {kind.name}": (
            st.builds(
                replies.ContainerReply,
                version=I32,
                container_id=I64,
                key=KEYS,
                schema=schemas(kinds=[kind]),
                affinity=TEXT,
            ),
            _write,
            lambda source, kind=kind: replies.ContainerReply.read(source, kind),  # type: ignore[misc]
        )
        for kind in ContainerKind
    },
}
SHAPES: dict[str, Reply] = {
    **{kind.__name__: (made, _write, kind.read) for kind, made in REQUEST_STRATEGIES.items()},
    **REPLIES,
}


def written(write: Callable[[Writer, Any], None], message: Any) -> bytes:
    out = Writer()
    write(out, message)
    return out.getvalue()


def test_every_request_is_tried() -> None:
    assert set(REQUESTS.values()) == set(REQUEST_STRATEGIES)
    assert all(REQUESTS[kind.statement] is kind for kind in REQUEST_STRATEGIES)


@pytest.mark.parametrize("name", SHAPES)
@MESSAGES
@given(data=st.data())
def test_messages_survive(name: str, data: st.DataObject) -> None:
    made, write, read = SHAPES[name]
    message = data.draw(made)
    octets = written(write, message)
    source = Reader(octets)
    again = read(source)
    if not name.startswith("container "):  # whose tail is for the reader's caller to leave
        source.end()
    assert again == message
    assert written(write, again) == octets


@pytest.mark.parametrize("name", SHAPES)
@MESSAGES
@given(data=st.data())
def test_cut_off(name: str, data: st.DataObject) -> None:
    made, write, read = SHAPES[name]
    octets = written(write, data.draw(made))
    for end in range(min(len(octets), 150)):
        with suppress(RemoteProtocolError):  # some tails may be missing
            read(Reader(octets[:end]))
    with pytest.raises(RemoteProtocolError):
        read(Reader(b""))


HOSTILE = [b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 8, b"\xff" * 7 + b"\x7f", var_size((1 << 62) - 1)]


@pytest.mark.parametrize("name", SHAPES)
@MESSAGES
@given(data=st.data())
def test_changed(name: str, data: st.DataObject) -> None:
    made, write, read = SHAPES[name]
    octets = written(write, data.draw(made))
    for _ in range(8):
        at = data.draw(st.integers(0, len(octets)))
        piece = data.draw(st.sampled_from(HOSTILE) | st.binary(max_size=2))
        with suppress(RemoteProtocolError):
            read(Reader(octets[:at] + piece + octets[at + len(piece) :]))


@pytest.mark.parametrize("name", SHAPES)
@MESSAGES
@given(octets=st.binary(max_size=100))
def test_noise(name: str, octets: bytes) -> None:
    with suppress(RemoteProtocolError):
        SHAPES[name][2](Reader(octets))


def schema_image(columns: int, kind: GridType = GridType.LONG, *, key: bytes = b"\0\0") -> bytes:
    out = Writer()
    out.i32(columns)
    for number in range(columns):
        out.string(f"c{number}")
        out.u8(kind)
        out.u8(0)
    return out.getvalue() + key


def test_schemas_of_other_block_sizes_can_be_read() -> None:
    schema = read_schema(Reader(schema_image(8000, GridType.SHORT)), ContainerKind.COLLECTION)
    assert len(schema.columns) == 8000


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (schema_image(32001, GridType.STRING), "32001 columns: no server takes more than 32000"),
        (schema_image(8000), "fixed columns of one row take more than 60416 bytes"),
        (schema_image(0), "at least one column"),
        (schema_image(2, key=b"\xff\xff"), "row key columns"),
        (schema_image(2, key=b"\x01\0\x01\0"), "not the first columns"),
        (schema_image(2, key=b"\x01\0\0\0"), "must be NOT NULL"),
        (schema_image(1, 13), "unknown type 13"),  # type: ignore[arg-type]
        (schema_image(2).replace(b"c1", b"C0"), 'two columns are called "c0"'),
    ],
)
def test_schemas_that_cannot_be(octets: bytes, words: str) -> None:
    with pytest.raises(RemoteProtocolError, match=words):
        read_schema(Reader(octets), ContainerKind.COLLECTION)


@given(st.lists(schemas(), min_size=1, max_size=4), st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_schemas_read_before_are_the_same_and_end_where_they_end(
    found: list[ContainerSchema], order: list[int]
) -> None:
    known = SchemaMemory()
    first: dict[ContainerSchema, ContainerSchema] = {}
    for number in order:
        schema = found[number % len(found)]
        out = Writer()
        write_schema(out, schema)
        out.raw(b"rest")
        source = Reader(out.getvalue())
        read = known.read(source, schema.kind)
        assert read == schema
        assert read is first.setdefault(schema, read)
        assert bytes(source.rest()) == b"rest"


def test_a_schema_that_begins_like_a_known_one_is_read_by_itself() -> None:
    known = SchemaMemory()
    short, long = schema_image(2), schema_image(3)
    for octets, count in ((short, 2), (long, 3), (short, 2)):
        assert len(known.read(Reader(octets), ContainerKind.COLLECTION).columns) == count
    with pytest.raises(RemoteProtocolError):
        known.read(Reader(short), ContainerKind.TIME_SERIES)
    with pytest.raises(RemoteProtocolError):
        known.read(Reader(short[:-1]), ContainerKind.COLLECTION)


def test_schemas_that_cannot_be_written() -> None:
    columns = tuple(ColumnSpec(f"c{n}", GridType.BOOL) for n in range(1025))
    with pytest.raises(LocalProtocolError, match="1025 columns: 1024 is the limit"):
        write_schema(Writer(), ContainerSchema(ContainerKind.COLLECTION, columns, 0))
    for name in ("", "x" * 257):
        with pytest.raises(LocalProtocolError, match="1 to 256 bytes"):
            write_schema(Writer(), ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec(name, GridType.BOOL),), 0))


@pytest.mark.parametrize("types", [b"\0\0\0\0", b"\x01\0\0\0\x05"])
@pytest.mark.parametrize("kind", [0, 1])
def test_composite_predicates_have_two_columns_at_least(types: bytes, kind: int) -> None:
    octets = bytes(16) + bytes(4) + b"\x01\0\0\0" + bytes([0xFF, kind]) + types + b"\x01" + bytes(40)
    with pytest.raises(RemoteProtocolError, match="composite row key of"):
        multi.MultiGet.read(Reader(octets))


def test_a_composite_range_without_ends_is_all() -> None:
    out = Writer()
    multi.MultiGet((multi.KeyPredicate((4, 5)),), []).write(out)
    assert multi.MultiGet.read(Reader(out.getvalue())).predicates[0].ends == (False, False)
    for wrong in (multi.KeyPredicate((4, 5), start=b"x"), multi.KeyPredicate((4, 5), b"x", 1, ends=(True, True))):
        with pytest.raises(LocalProtocolError, match="ends of a range of composite row keys"):
            multi.MultiGet((wrong,), []).write(Writer())


def test_indexes_that_are_not_there_are_named() -> None:
    out = Writer()
    multi.MultiPut((), [multi.PutEntry(1, 0, 0, b"")]).write(out)
    with pytest.raises(RemoteProtocolError, match="schema 0 of 0"):
        multi.MultiPut.read(Reader(out.getvalue()))
    out = Writer()
    multi.MultiGet((), [(ContainerKey("a"), 0)]).write(out)
    with pytest.raises(RemoteProtocolError, match="predicate that it does not have"):
        multi.MultiGet.read(Reader(out.getvalue()))


def test_a_multi_query_holds_tql_and_ranges_only() -> None:
    out = Writer()
    multi.MultiQuery([rows.QueryTql(1, rows.Transaction(1), "select *")]).write(out)
    octets = out.getvalue().replace((121).to_bytes(4, "little"), (133).to_bytes(4, "little"))
    with pytest.raises(RemoteProtocolError, match="statement 133"):
        multi.MultiQuery.read(Reader(octets))


def test_other_login_modes_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="login mode 2"):
        replies.LoginReply.read(Reader(b"\x02" + bytes(8)))


@given(aggregates())
def test_aggregates_as_arrow_scalars(aggregate: row_replies.Aggregate) -> None:
    scalar = aggregate.scalar
    assert scalar.is_valid == (aggregate.value is not None)
    if aggregate.value is not None and pa.types.is_timestamp(scalar.type):
        assert scalar.cast(pa.int64()).as_py() == aggregate.value
    elif aggregate.value is not None:
        assert scalar.as_py() == aggregate.value


def test_an_aggregate_that_arrow_cannot_hold() -> None:
    source = Reader(b"\x0c" + ((1 << 63) // 250 + 1).to_bytes(8, "little") + b"\0")
    with pytest.raises(DataError, match=r"TIMESTAMP\(9\) is outside"):
        _ = row_replies.read_value(source).scalar


def test_a_reason_may_be_missing() -> None:
    assert replies.ErrorReply.read(Reader(bytes(4))).message == "the server gave no reason"
