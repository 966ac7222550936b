"""What a client knows of an open container, and how it asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gridferry.errors import ContainerMissing, SchemaChanged, SchemaConflict, StatementError
from gridferry.griddb.net.cluster import Cluster
from gridferry.griddb.net.limits import LOCK_WAIT_S
from gridferry.griddb.pipeline import Ask, ask_all
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.container_requests import GetContainerProperties, PutContainer
from gridferry.griddb.wire.names import ContainerKey
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.replies import ContainerProperties, ContainerReply, read_properties
from gridferry.griddb.wire.schema_image import SchemaMemory, needed_feature
from gridferry.griddb.wire.statement import ATTRIBUTE_LARGE, FEATURE_VERSION, Option, Property

_PROPERTIES = (Property.ID, Property.SCHEMA, Property.ATTRIBUTE)
_KEYS_A_REQUEST = 1000


@dataclass(frozen=True)
class Handle:
    """A container's place and shape: `version` and `schema` as they were when it was opened."""

    name: str
    partition: int
    container_id: int
    version: int
    schema: ContainerSchema


def fetch_handles(cluster: Cluster, names: Sequence[str]) -> dict[str, Handle | None]:
    """Handles by the names asked for, None for those that do not exist. One request a partition and 1,000 names.

    Raises: SchemaConflict for a partitioned table, which cannot be reached in this way.
    """
    by_partition: dict[int, list[tuple[str, ContainerKey]]] = {}
    for name in names:
        key, partition = cluster.place(name)
        by_partition.setdefault(partition, []).append((name, key))
    groups = [
        (partition, members[start : start + _KEYS_A_REQUEST])
        for partition, members in by_partition.items()
        for start in range(0, len(members), _KEYS_A_REQUEST)
    ]
    options = {Option.ACCEPTABLE_FEATURE_VERSION: FEATURE_VERSION}
    asks = [
        Ask(
            partition,
            GetContainerProperties(tuple(key for _, key in members), _PROPERTIES, options),
            f'the properties of "{members[0][0]}"' + (f" and {len(members) - 1} more" if len(members) > 1 else ""),
        )
        for partition, members in groups
    ]
    found: dict[str, Handle | None] = {}
    known = SchemaMemory()
    for (partition, members), body in zip(groups, ask_all(cluster, asks), strict=True):
        for (name, _), answer in zip(members, read_properties(body, known=known), strict=True):
            found[name] = None if answer is None else _handle(name, partition, answer)
    return found


def fetch_handle(cluster: Cluster, name: str) -> Handle:
    """The handle of one container. Raises: ContainerMissing."""
    handle = fetch_handles(cluster, [name])[name]
    if handle is None:
        raise _missing(name)
    return handle


def same_container(before: Sequence[Handle], found: Sequence[Handle | None], error: SchemaChanged) -> list[Handle]:
    """The handles `found` after the server said that one of those `before` is old, if a repeat makes sense with them.

    Raises: ContainerMissing; SchemaConflict where the columns changed; StatementError where nothing changed.
    """
    now: list[Handle] = []
    for old, new in zip(before, found, strict=True):
        if new is None:
            raise _missing(old.name) from error
        if new.schema != old.schema:
            raise SchemaConflict(
                f'the columns of container "{old.name}" changed while it was in use',
                code=error.code,
                name=error.name,
                next_step="open it again and compare its columns with what you have",
            ) from error
        now.append(new)
    if now == list(before):
        # The same statement would be refused again: it was malformed.
        raise StatementError(error.message, code=error.code, name=error.name) from error
    return now


def _missing(name: str) -> ContainerMissing:
    return ContainerMissing(
        f'there is no container "{name}"',
        code=10016,
        name="CONTAINER_NOT_FOUND",
        next_step="look with `gridferry containers` which there are",
    )


def put_container(cluster: Cluster, name: str, schema: ContainerSchema, *, modify: bool) -> Ask:
    """The request that makes a container; its answer is for `made_handle`."""
    options: dict[Option, object] = {Option.CLIENT_ID: (cluster.new_session(), cluster.client)}
    if not modify:  # an alteration takes as long as its rows are many
        options[Option.TRANSACTION_TIMEOUT] = LOCK_WAIT_S
    feature = needed_feature(schema)
    if feature:
        options |= {Option.LEGACY_VERSION: 1, Option.FEATURE_VERSION: feature}
    message = PutContainer(cluster.key(name), schema, modifiable=modify, options=options)
    return Ask(cluster.partition(name), message, f'to create container "{name}"')


def made_handle(
    cluster: Cluster, name: str, schema: ContainerSchema, body: Reader, *, known: SchemaMemory | None = None
) -> Handle:
    """The handle that the answer to `put_container` describes. `known` is one for many answers."""
    answer = ContainerReply.read(body, schema.kind, known=known)
    # Handles of one schema share one object: comparing 100,000 of them is then cheap.
    shared = schema if answer.schema == schema else answer.schema
    return Handle(answer.key.name, cluster.partition(name), answer.container_id, answer.version, shared)


def _handle(name: str, partition: int, answer: ContainerProperties) -> Handle:
    if answer.attribute is not None and answer.attribute == ATTRIBUTE_LARGE:
        raise SchemaConflict(
            f'"{name}" is a partitioned table, which cannot be written through this interface',
            next_step="choose another container name",
        )
    if answer.key is None or answer.schema is None or answer.container_id is None or answer.version is None:
        raise ContainerMissing(f'the server said nothing about container "{name}"')
    return Handle(answer.key.name, partition, answer.container_id, answer.version, answer.schema)
