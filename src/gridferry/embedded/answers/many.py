"""Statements about many containers of a partition at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import pyarrow as pa

from gridferry.embedded.answers.call import Call
from gridferry.embedded.answers.containers import check_readable
from gridferry.embedded.answers.queries import answer_query, answer_range, reply_of
from gridferry.embedded.answers.rows import put_mode
from gridferry.embedded.answers.series import answer_sampling
from gridferry.embedded.catalog import Container
from gridferry.embedded.images import image_of, joined, rows_from
from gridferry.embedded.queries import Value, query_for, run_many
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.results import Rows
from gridferry.embedded.row_statements import PutMode, get_of_many, put_many, put_rows
from gridferry.embedded.tql_query import Aggregation, CompiledQuery, Query, RowQuery, compiled
from gridferry.embedded.tql_values import key_bound
from gridferry.errors import FerryError
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.client_requests import QuerySampling
from gridferry.griddb.wire.decode import decode_key_set
from gridferry.griddb.wire.multi_requests import (
    CloseSessions,
    CreateSessions,
    KeyPredicate,
    MultiGet,
    MultiPut,
    MultiQuery,
    PutEntry,
)
from gridferry.griddb.wire.octets import Writer
from gridferry.griddb.wire.row_replies import (
    FoundRows,
    MultiGetReply,
    QueryReply,
    write_multi_query,
    write_multi_values,
)
from gridferry.griddb.wire.row_requests import QueryRange, QueryTql
from gridferry.griddb.wire.row_requests import Transaction as TransactionBlock
from gridferry.griddb.wire.statement import NO_LIMIT, SessionMode, TransactionMode


def put(call: Call, request: MultiPut, _: Writer) -> None:
    """Put rows into several containers; what comes before the first bad row of them all stays stored."""
    mode = put_mode(request.options)
    ready = []
    try:
        for entry in request.entries:
            container = _target(call, request, entry)
            batch = rows_from(container.schema, entry.count, entry.image)
            if mode is PutMode.UPSERT and entry.session_mode == SessionMode.AUTO:
                ready.append((container, batch))
                continue
            put_many(call.db, ready)
            ready = []
            block = TransactionBlock(
                container.version, entry.session_id, request.client, entry.session_mode, entry.transaction_mode
            )
            with replace(call, statement_id=entry.statement_id).inside(container, block) as scope:
                if not scope.done:
                    put_rows(call.db, container, batch, mode=mode, transaction=scope.transaction)
    except (Refusal, FerryError):
        put_many(call.db, ready)
        raise
    put_many(call.db, ready)


def _target(call: Call, request: MultiPut, entry: PutEntry) -> Container:
    """The container of an entry. Raises: 60157; 60015 for another schema; 110016 for a session to be made."""
    container = call.container(entry.container_id)
    if entry.session_mode == SessionMode.CREATE:
        raise Refusal(Code.TM_SESSION_UUID_UNMATCHED, "a multi-put cannot make sessions")
    sent = request.schemas[entry.schema]
    if sent != container.schema and not _alike(sent, container.schema):
        raise Refusal(
            Code.DS_DS_SCHEMA_INVALID,
            f"the schema sent is not that of {container.name}",
            parameters={"container": container.name},
        )
    return container


def _alike(sent: ContainerSchema, known: ContainerSchema) -> bool:
    """Whether two schemas differ in nothing but the case of names."""
    pairs = zip(sent.columns, known.columns, strict=False)
    return (
        sent.kind is known.kind
        and sent.key_length == known.key_length
        and len(sent.columns) == len(known.columns)
        and all(
            a.name.lower() == b.name.lower() and (a.type, a.array, a.nullable) == (b.type, b.array, b.nullable)
            for a, b in pairs
        )
    )


def get(call: Call, request: MultiGet, out: Writer) -> None:
    """Rows of several containers, by range or by keys; a container that is not there has no entry."""
    schemas: list[ContainerSchema] = []
    wanted: list[tuple[Container, pa.RecordBatch | RowQuery]] = []
    for key, number in request.entries:
        container = call.find(key)
        if container is None:
            continue
        check_readable(container.schema, request.options)
        wanted.append((container, _wanted(container, request.predicates[number])))
        if container.schema not in schemas:
            schemas.append(container.schema)
    entries = []
    for (container, _), rows in zip(wanted, _matching(call, wanted), strict=True):
        image = image_of(container.schema, rows)
        place = schemas.index(container.schema)
        entries.append(FoundRows(call.key_of(container), place, rows.batch.num_rows, image))
    MultiGetReply(tuple(schemas), tuple(entries)).write(out)


def _wanted(container: Container, predicate: KeyPredicate) -> pa.RecordBatch | RowQuery:
    """The keys that a predicate names in a container, or the query of its range. Raises: 60015 for other keys."""
    schema = container.schema
    if tuple(c.type for c in schema.key) != predicate.types:
        raise Refusal(Code.DS_DS_SCHEMA_INVALID, f"the keys sent are not of the type of {container.name}'s row key")
    if predicate.keys is not None:
        return decode_key_set(schema, predicate.count, joined(predicate.keys))
    conditions = [
        key_bound(schema, decode_key_set(schema, 1, bound), sign)
        for sign, bound in ((">=", predicate.start), ("<=", predicate.end))
        if bound is not None
    ]
    return RowQuery(" AND ".join(conditions), "", None, 0)


def _matching(call: Call, wanted: Sequence[tuple[Container, pa.RecordBatch | RowQuery]]) -> list[Rows]:
    """The rows that each container has of what is wanted of it: one look for all keys, one for all ranges alike."""
    keyed = [(c, keys) for c, keys in wanted if not isinstance(keys, RowQuery)]
    alike: dict[RowQuery, RowQuery] = {}
    ranged = [(c, alike.setdefault(query, query)) for c, query in wanted if isinstance(query, RowQuery)]
    with call.db.lock:
        by_key = iter(get_of_many(call.db, keyed))
        by_range = iter([rows for rows in run_many(call.db, ranged) if isinstance(rows, Rows)])
    return [next(by_range if isinstance(asked, RowQuery) else by_key) for _, asked in wanted]


def query(call: Call, request: MultiQuery, out: Writer) -> None:
    """Answers of several queries; the simple ones are run together."""
    replies: list[QueryReply | None] = [None] * len(request.queries)
    together = []
    plans = _Plans()
    for place, one in enumerate(request.queries):
        if isinstance(one, QueryRange):
            replies[place] = answer_range(call, one)
            continue
        if isinstance(one, QuerySampling):
            replies[place] = answer_sampling(call, one)
            continue
        container = call.container_at(one.container_id, one.tx.version)
        if _simple(one):
            together.append((place, (container, plans.of(container, one.tql))))
        else:
            replies[place] = answer_query(call, container, one.tx, head=one.head, query=None, text=one.tql)
    answers = run_many(call.db, [pair for _, pair in together])
    for (place, (container, _)), answer in zip(together, answers, strict=True):
        replies[place] = reply_of(container, answer)
    write_multi_query(out, [r for r in replies if r is not None])


def query_together(asked: Sequence[tuple[Call, MultiQuery]]) -> list[Writer]:
    """The answers to several requests for aggregations, which came one after the other: one look at the rows for all.

    Raises: Refusal where a query of them has to be answered by itself, or with an error; then nothing was done.
    """
    plans = _Plans()
    ready: list[tuple[Container, Query]] = []
    for call, request in asked:
        for one in request.queries:
            container = call.container_at(one.container_id, one.tx.version)
            planned = plans.of(container, one.tql) if isinstance(one, QueryTql) and _simple(one) else None
            if not isinstance(planned, Aggregation):
                raise Refusal(Code.CM_NOT_SUPPORTED, "only aggregations outside of sessions are answered together")
            ready.append((container, planned))
    answers = iter([answer for answer in run_many(asked[0][0].db, ready) if isinstance(answer, Value)])
    outs = []
    for _, request in asked:
        out = Writer()
        write_multi_values(out, list(islice(answers, len(request.queries))))
        outs.append(out)
    return outs


class _Plans:
    """What texts mean for containers, kept as long as one request: hashing a schema for each of 10,000 is not cheap."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[ContainerSchema, CompiledQuery]] = {}

    def of(self, container: Container, text: str) -> Query:
        """The query. Raises: as `queries.plan`."""
        schema = container.schema
        known = self._known.get((text, id(schema)))
        if known is None:
            # With the schema, so that its id is not another's while this one lasts.
            known = self._known[text, id(schema)] = (schema, compiled(text, schema))
        return query_for(container, known[1])


def _simple(one: QueryTql) -> bool:
    """Whether a query runs outside of sessions, and is answered in one page."""
    alone = one.tx.session_mode == SessionMode.AUTO and one.tx.transaction_mode == TransactionMode.AUTO
    return alone and one.head.limit == NO_LIMIT and not 0 < one.head.fetch_size < NO_LIMIT


def create_sessions(call: Call, request: CreateSessions, out: Writer) -> None:
    """Open sessions on several containers; answer their ids. Raises: 10016."""
    containers = []
    for place in range(len(request.session_ids)):
        key = request.keys[place]
        if key is None:
            containers.append(call.container(request.container_ids[place]))
            continue
        found = call.find(key)
        if found is None:
            raise Refusal(Code.TXN_CONTAINER_NOT_FOUND, f"no container {key.name}", parameters={"container": key.name})
        containers.append(found)
    with call.db.lock:
        for container, number in zip(containers, request.session_ids, strict=True):
            call.db.sessions.create((request.client, number, call.partition), container, call.peer)
        call.db.released()
    out.i32(len(containers))
    for container in containers:
        out.i64(container.id)


def close_sessions(call: Call, request: CloseSessions, _: Writer) -> None:
    """Close several sessions."""
    with call.db.lock:
        for _statement, _container, number in request.entries:
            call.db.sessions.close((request.client, number, call.partition))
        call.db.released()
