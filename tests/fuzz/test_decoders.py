"""Decoders of what comes from outside, given what no honest peer sends: an error of ours, little memory, no hang.

A bounded run in `make test`; `make fuzz` goes on for minutes or hours.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.fuzz.mutating import mutated, rounds, survive
from tests.unit.griddb.wire.test_golden_frames import VEC1, VEC6
from tests.unit.source.postgres.test_change_decoder import WANTED

from gridferry.errors import DataError, GridDBError, LocalProtocolError, RemoteProtocolError, SourceError
from gridferry.griddb.net.discovery import parse_notification
from gridferry.griddb.net.provider import parse_provider_list
from gridferry.griddb.net.refusals import refusal
from gridferry.griddb.schema import ContainerKind
from gridferry.griddb.wire import (  # noqa: F401 - they enter their requests into the table
    client_requests,
    container_requests,
    multi_requests,
    row_requests,
    sql_requests,
)
from gridferry.griddb.wire.decode import decode_rows
from gridferry.griddb.wire.found_rows import read_owned_rows, read_schemas
from gridferry.griddb.wire.frame import FrameReader, Role
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.replies import (
    ConnectReply,
    ContainerReply,
    LoginReply,
    PartitionAddress,
    read_container_names,
    read_databases,
    read_properties,
)
from gridferry.griddb.wire.requests import REQUESTS
from gridferry.griddb.wire.row_replies import FetchReply, MultiGetReply, QueryReply, read_multi_query, rows_of
from gridferry.griddb.wire.sql_replies import SqlReply
from gridferry.griddb.wire.statement import MAX_HELLO_BYTES
from gridferry.source.postgres.log.decoder import ChangeDecoder

GOLDEN = Path(__file__).parents[1] / "golden"
FRAMES = [bytes.fromhex(frame["hex"]) for frame in json.loads((GOLDEN / "frames.json").read_text())["frames"]]
BODIES = [frame[24:] for frame in FRAMES]
SQL_FRAMES = json.loads((GOLDEN / "sql_frames.json").read_text())["frames"]
SQL_BODIES = [bytes.fromhex(f["hex"])[36 if f["direction"] == "request" else 33 :] for f in SQL_FRAMES]
STREAMS = [[bytes.fromhex(m) for m in stream] for stream in json.loads((GOLDEN / "pgoutput.json").read_text()).values()]


def _owned(data: bytes) -> None:
    source = Reader(data)
    schemas = read_schemas(source)
    for schema in schemas:
        read_owned_rows([source], schema, schemas=len(schemas))


def _request(kind: Any) -> Callable[[bytes], object]:
    return lambda data: kind.read(Reader(data))


def _query_rows(data: bytes) -> None:
    reply = QueryReply.read(Reader(data))
    if reply.rows is not None:
        rows_of(VEC1, reply.rows)


def _frames(role: Role) -> Callable[[bytes], None]:
    def decode(data: bytes) -> None:
        frames = FrameReader(role, max_body=MAX_HELLO_BYTES)
        for start in range(0, len(data), 7):
            frames.receive(data[start : start + 7])
            while frames.next_frame() is not None:
                pass

    return decode


def _rows(count: int) -> Callable[[bytes], None]:
    def decode(data: bytes) -> None:
        for schema in (VEC1, VEC6):
            decode_rows(schema, count, data, row_ids=schema.kind is ContainerKind.COLLECTION)

    return decode


def _sql_pages(data: bytes) -> None:
    for outcome in SqlReply.read(Reader(data)).outcomes:
        if outcome.page is not None:
            outcome.page.batch()


def _provider(data: bytes) -> None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    parse_provider_list(document)


ANSWERS: dict[str, Callable[[bytes], object]] = {
    "frames of a server": _frames(Role.CLIENT),
    "frames of a client": _frames(Role.SERVER),
    "connect": lambda data: ConnectReply.read(Reader(data)),
    "login": lambda data: LoginReply.read(Reader(data)),
    "partitions": lambda data: PartitionAddress.read(Reader(data)),
    "container": lambda data: ContainerReply.read(Reader(data), ContainerKind.COLLECTION),
    "properties": lambda data: read_properties(Reader(data)),
    "names": lambda data: read_container_names(Reader(data), most=100),
    "databases": lambda data: read_databases(Reader(data)),
    "refusal": lambda data: refusal(1, memoryview(data), node="h:1", asked="something"),
    "query": _query_rows,
    "queries": lambda data: read_multi_query(Reader(data)),
    "fetch": lambda data: FetchReply.read(Reader(data)),
    "multi-get": lambda data: MultiGetReply.read(Reader(data)),
    "rows of many containers": _owned,
    "one row": _rows(1),
    "a thousand rows": _rows(1000),
    "SQL answer": _sql_pages,
    "multicast": parse_notification,
    "provider": _provider,
    **{f"request {number}": _request(kind) for number, kind in REQUESTS.items()},
}
PROVIDER = [b'[{"transaction": {"address": "10.0.0.1", "port": 10001}}, {"transaction": {"address": "::1"}}]']


@pytest.mark.parametrize("name", ANSWERS)
def test_griddb(name: str) -> None:
    sql = name in ("SQL answer", "request 400", "request 401")
    seeds = (
        SQL_BODIES
        if sql
        else FRAMES
        if name.startswith(("frames", "multicast"))
        else PROVIDER
        if name == "provider"
        else BODIES
    )
    refused = (RemoteProtocolError, LocalProtocolError, GridDBError, DataError)
    for chance in rounds(seed=len(name)):
        survive(ANSWERS[name], mutated(seeds, chance), refused=refused)


@pytest.mark.parametrize("number", range(len(STREAMS)))
def test_pgoutput(number: int) -> None:
    stream = STREAMS[number]
    taken = 0
    for chance in rounds(seed=number):
        hit = chance.randrange(len(stream))
        decoder = ChangeDecoder(WANTED)

        def decode(data: bytes, hit: int = hit, decoder: ChangeDecoder = decoder) -> None:
            for message in [*stream[:hit], data, *stream[hit + 1 : hit + 20]]:
                decoder.receive(message)
                if decoder.ready:
                    list(decoder.drain())
            list(decoder.drain())

        try:
            taken += survive(decode, mutated([stream[hit]], chance), refused=(SourceError,))
        finally:
            decoder.close()
    assert taken


def test_the_seeds_themselves_are_taken() -> None:
    for frame in FRAMES:
        assert survive(_frames(Role.CLIENT), frame, refused=())
