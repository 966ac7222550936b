"""Rows by row key, of one container or of many: cut into requests that stay small, all of them under way together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.errors import LocalProtocolError, RemoteProtocolError, SchemaChanged
from gridferry.griddb.handle import Handle, fetch_handles, same_container
from gridferry.griddb.net.cluster import Cluster
from gridferry.griddb.pipeline import WINDOW, Ask, ask_all
from gridferry.griddb.query import rows_unseen
from gridferry.griddb.runs import cut_runs
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.encode import KeySets, encode_key_sets
from gridferry.griddb.wire.found_rows import read_owned_rows, read_schemas
from gridferry.griddb.wire.multi_requests import KeyPredicate, MultiGet
from gridferry.griddb.wire.names import ContainerKey
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.row_replies import rows_of
from gridferry.griddb.wire.schema_image import SchemaMemory
from gridferry.griddb.wire.statement import FEATURE_VERSION, Option

Places = NDArray[np.int64]

MOST_KEYS = 10_000  # of a request, and so rows of an answer; fewer where rows may be long
MOST_BYTES = 1 << 20  # of the keys of a request
MOST_CONTAINERS = 1_000  # of a request
DECODED_BYTES = 16 << 20  # of answers that are decoded as one
REQUESTS_AT_ONCE = 5  # full ones under way, whose answers are held in wire form; more of them where they are smaller


@dataclass
class _Request:
    """A multi-get of one partition, as it grows: (owner, run) each, an owner once."""

    partition: int
    parts: list[tuple[int, int]] = field(default_factory=list)
    owners: set[int] = field(default_factory=set)
    keys: int = 0
    size: int = 0


def get_by_key(
    cluster: Cluster, handles: Sequence[Handle], keys: pa.RecordBatch, bounds: Places, *, gone_is_empty: bool
) -> tuple[pa.RecordBatch, Places]:
    """The rows that m containers of one schema have for n keys, container i for those from bounds[i] to bounds[i + 1].

    Args: handles: at least one, each container once; keys: the row key's columns; bounds (m + 1,) ascending from 0 to
        n; gone_is_empty: a container that does not exist has no rows. The server says so only where all of a request
        are gone.
    Returns: the rows, in no certain order, and (rows,) whose each is, as a number of a handle.
    Raises: SchemaChanged; DataError for keys that cannot be; what `ask_all` raises.
    """
    schema = handles[0].schema
    sets, owners = _cut(schema, keys, bounds)
    requests = _requests(handles, sets, owners)
    names = {cluster.key(handle.name).folded: number for number, handle in enumerate(handles)}
    rows: list[pa.RecordBatch] = []
    whose: list[Places] = []
    for group in _groups(schema, requests):
        asks = [_ask(cluster, handles, request, sets) for request in group]
        for bodies in _together(_answers(cluster, asks, schema, gone_is_empty=gone_is_empty)):
            owned = read_owned_rows([body for _, body in bodies], schema, schemas=max(n for n, _ in bodies))
            if owned.rows.count:
                rows.append(rows_of(schema, owned.rows))
                whose.append(_numbers(owned.containers, names)[owned.owners])
    return _joined(schema, rows, whose)


def get_of_many(
    cluster: Cluster, handles: Sequence[Handle], keys: Sequence[pa.RecordBatch], schema: ContainerSchema
) -> tuple[pa.RecordBatch, Places]:
    """The rows that containers of one schema have for a batch of keys each; one that does not exist has none.

    Returns: the rows, in no certain order, and (rows,) whose each is, as a number of a handle.
    Raises: LocalProtocolError without row key; SchemaConflict if the columns of a container changed.
    """
    if not schema.key_length:
        raise LocalProtocolError("containers without a row key cannot be asked for rows by key")
    rows: list[pa.RecordBatch] = []
    whose: list[Places] = []
    for members in _rounds(handles):
        asked, bounds = _end_to_end(schema.key_schema, [keys[number] for number in members])
        found, owners = _fresh(cluster, [handles[number] for number in members], asked, bounds)
        rows.append(found)
        whose.append(np.array(members, np.int64)[owners])
    return _joined(schema, rows, whose)


def _rounds(handles: Sequence[Handle]) -> list[list[int]]:
    """The handles' numbers in lists of which none names a container twice: an answer says whose a row is by name."""
    rounds: list[list[int]] = []
    seen: Counter[str] = Counter()
    for number, handle in enumerate(handles):
        turn = seen[handle.name.lower()]
        seen[handle.name.lower()] += 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(number)
    return rounds


def _fresh(
    cluster: Cluster, handles: Sequence[Handle], keys: pa.RecordBatch, bounds: Places
) -> tuple[pa.RecordBatch, Places]:
    """As `get_by_key`; where columns changed it is looked whose, and asked again if they are as they were."""
    try:
        return get_by_key(cluster, handles, keys, bounds, gone_is_empty=True)
    except SchemaChanged as error:
        now = fetch_handles(cluster, [handle.name for handle in handles])
        standing = [handle for handle in handles if now[handle.name] is not None]
        same_container(standing, [now[handle.name] for handle in standing], error)
        return get_by_key(cluster, handles, keys, bounds, gone_is_empty=True)


def _end_to_end(schema: ContainerSchema, keys: Sequence[pa.RecordBatch]) -> tuple[pa.RecordBatch, Places]:
    """Batches of keys as one, and where each begins and the last ends."""
    bounds = np.cumsum([0, *(len(batch) for batch in keys)]).astype(np.int64)
    if len(keys) == 1:
        return keys[0], bounds
    columns = [pa.concat_arrays([batch.column(i) for batch in keys]) for i in range(len(schema.columns))]
    return pa.RecordBatch.from_arrays(columns, schema=schema.arrow_schema), bounds


def _joined(
    schema: ContainerSchema, rows: Sequence[pa.RecordBatch], whose: Sequence[Places]
) -> tuple[pa.RecordBatch, Places]:
    if not rows:
        empty = [pa.array([], column.arrow_type) for column in schema.columns]
        return pa.RecordBatch.from_arrays(empty, schema=schema.arrow_schema), np.empty(0, np.int64)
    try:
        return pa.concat_batches(rows), np.concatenate(whose)
    except pa.ArrowInvalid as error:
        raise LocalProtocolError(f"the rows found do not fit one batch; ask for fewer keys at once: {error}") from error


def _cut(schema: ContainerSchema, keys: pa.RecordBatch, bounds: Places) -> tuple[KeySets, Places]:
    """The keys in runs of which each fits a request, and the owner of each run."""
    most = rows_unseen(schema, MOST_KEYS)
    inner = [
        np.arange(first, last, most) for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]
    owners = np.repeat(np.arange(len(inner)), [len(starts) for starts in inner])
    edges = np.append(np.concatenate([*inner, np.empty(0, np.int64)]), len(keys)).astype(np.int64)
    sets, belongs = encode_key_sets(schema, keys, lambda rows: cut_runs(rows, edges, MOST_BYTES))
    return sets, owners[belongs]


def _requests(handles: Sequence[Handle], sets: KeySets, owners: Places) -> list[_Request]:
    most = rows_unseen(handles[0].schema, MOST_KEYS)
    done: list[_Request] = []
    growing: dict[int, _Request] = {}
    for run, owner in enumerate(owners.tolist()):
        partition = handles[owner].partition
        keys, size = sets.count(run), sets.size(run)
        request = growing.get(partition)
        if (
            request is None
            or owner in request.owners
            or request.keys + keys > most
            or request.size + size > MOST_BYTES
            or len(request.parts) >= MOST_CONTAINERS
        ):
            request = growing[partition] = _Request(partition)
            done.append(request)
        request.parts.append((owner, run))
        request.owners.add(owner)
        request.keys += keys
        request.size += size
    return done


def _groups(schema: ContainerSchema, requests: Sequence[_Request]) -> Iterator[list[_Request]]:
    """Requests whose answers are held together."""
    most = REQUESTS_AT_ONCE * rows_unseen(schema, MOST_KEYS)
    group: list[_Request] = []
    keys = 0
    for request in requests:
        if group and (keys + request.keys > most or len(group) >= WINDOW):
            yield group
            group, keys = [], 0
        group.append(request)
        keys += request.keys
    if group:
        yield group


def _ask(cluster: Cluster, handles: Sequence[Handle], request: _Request, sets: KeySets) -> Ask:
    types = tuple(int(c.type) for c in handles[0].schema.key)
    message = MultiGet(
        tuple(KeyPredicate(types, sets.image(run), sets.count(run)) for _, run in request.parts),
        [(cluster.key(handles[owner].name), place) for place, (owner, _) in enumerate(request.parts)],
        cluster.client,
        {Option.ACCEPTABLE_FEATURE_VERSION: FEATURE_VERSION},
    )
    first = handles[request.parts[0][0]].name
    more = f" and {len(request.parts) - 1} more containers" if len(request.parts) > 1 else ""
    return Ask(request.partition, message, f'rows of "{first}"{more} by key')


def _answers(
    cluster: Cluster, asks: Sequence[Ask], schema: ContainerSchema, *, gone_is_empty: bool
) -> Iterator[tuple[int, Reader]]:
    """How many schemas each answer has, and the answer, read up to its entries."""
    known = SchemaMemory()
    for ask, body in zip(asks, ask_all(cluster, asks), strict=True):
        found = read_schemas(body, known=known)
        if any(other != schema for other in found) or not (found or gone_is_empty):
            # This statement carries neither id nor version: of a container that is gone the server says nothing.
            raise SchemaChanged(f"{ask.asked}: a container is gone, or has other columns")
        yield len(found), body


def _together(bodies: Iterable[tuple[int, Reader]]) -> Iterator[list[tuple[int, Reader]]]:
    """Answers that are decoded at once."""
    group: list[tuple[int, Reader]] = []
    size = 0
    for count, body in bodies:
        if group and size + body.remaining > DECODED_BYTES:
            yield group
            group, size = [], 0
        group.append((count, body))
        size += body.remaining
    if group:
        yield group


def _numbers(containers: Sequence[ContainerKey], names: dict[str, int]) -> Places:
    try:
        return np.array([names[key.folded] for key in containers], np.int64)
    except KeyError as error:
        raise RemoteProtocolError(f'a multi-get answer has rows of "{error.args[0]}", which was not asked') from error
