"""Containers: make, find, list, drop; their indexes; FLUSH_LOG."""

from __future__ import annotations

from gridferry.embedded.answers.call import Call
from gridferry.embedded.catalog import SINGLE, Container, Index
from gridferry.embedded.containers import drop_container, put_container
from gridferry.embedded.indexes import create_index, drop_index
from gridferry.embedded.refusal import Code, Refusal
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.container_requests import (
    CreateIndex,
    DropContainer,
    DropIndex,
    FlushLog,
    GetContainer,
    GetContainerProperties,
    GetPartitionContainerNames,
    PutContainer,
)
from gridferry.griddb.wire.octets import Writer
from gridferry.griddb.wire.options import Options
from gridferry.griddb.wire.replies import (
    ContainerProperties,
    ContainerReply,
    write_container_names,
    write_properties,
)
from gridferry.griddb.wire.schema_image import IndexSpec, TimeSeriesProperties, needed_feature
from gridferry.griddb.wire.statement import ANY_KIND, Option, Property


def make(call: Call, request: PutContainer, out: Writer) -> None:
    """Make or alter a container. Raises: 1007 for expiration and compression; see `put_container`."""
    if request.time_series is not None and not _plain(request.time_series):
        raise Refusal(Code.CM_NOT_SUPPORTED, "row expiration and compression are not supported")
    container = put_container(
        call.db,
        call.name_of(request.key),
        request.schema,
        database_id=call.peer.database_id,
        partition=call.partition,
        modifiable=request.modifiable,
        affinity=request.affinity,
        attribute=request.options.get(Option.CONTAINER_ATTRIBUTE, SINGLE),
    )
    _write(call, container, out)


def _plain(properties: TimeSeriesProperties) -> bool:
    return properties.expiration_time == -1 and properties.compression == 0


def _write(call: Call, container: Container, out: Writer) -> None:
    key = call.key_of(container)
    ContainerReply(container.version, container.id, key, container.schema, container.affinity).write(out)


def find(call: Call, request: GetContainer, out: Writer) -> None:
    """Say whether a container is there, and what it is. Raises: 60026 for another kind."""
    container = call.find(request.key)
    if container is not None:
        _check_kind(container, request.kind)
    out.boolean(container is not None)
    if container is not None:
        _write(call, container, out)


def _check_kind(container: Container, kind: int) -> None:
    if kind not in (ANY_KIND, container.schema.kind):
        raise Refusal(Code.DS_DS_CONTAINER_TYPE_INVALID, f"{container.name} is a {container.schema.kind.name}")


def drop(call: Call, request: DropContainer, _: Writer) -> None:
    """Drop a container; one that is not there is dropped too. Raises: 60026 for another kind."""
    container = call.find(request.key)
    if container is not None:
        _check_kind(container, request.kind)
    drop_container(call.db, call.name_of(request.key), database_id=call.peer.database_id, partition=call.partition)


def properties(call: Call, request: GetContainerProperties, out: Writer) -> None:
    """Tell the properties asked for. Raises: 10054 if the asker cannot read the schema."""
    answers = []
    for key in request.keys:
        container = call.find(key)
        if container is not None and Property.SCHEMA in request.properties:
            check_readable(container.schema, request.options)
        answers.append(None if container is None else _properties(call, container))
    write_properties(out, answers, request.properties)


def check_readable(schema: ContainerSchema, options: Options) -> None:
    """Raise 10054 for a schema that the asker has not said it understands (option 11005)."""
    if needed_feature(schema) > options.get(Option.ACCEPTABLE_FEATURE_VERSION, 0):
        raise Refusal(
            Code.TXN_CLIENT_VERSION_NOT_ACCEPTABLE,
            f"the schema needs feature version {needed_feature(schema)}",
        )


def _properties(call: Call, container: Container) -> ContainerProperties:
    return ContainerProperties(
        version=container.version,
        container_id=container.id,
        key=call.key_of(container),
        schema=container.schema,
        affinity=container.affinity,
        attribute=container.attribute,
        indexes=tuple(IndexSpec(columns=i.columns, name=i.name, kind=i.type) for i in container.indexes),
    )


def names(call: Call, request: GetPartitionContainerNames, out: Writer) -> None:
    """List the containers of the partition, a page of them."""
    found = call.db.catalog.in_partition(call.peer.database_id, call.partition)
    wanted = [c for c in found if c.attribute in request.attributes]
    page = wanted[max(0, request.start) :][: max(0, request.limit)]
    write_container_names(out, len(wanted), [call.key_of(c) for c in page])


def make_index(call: Call, request: CreateIndex, _: Writer) -> None:
    """List an index; it makes nothing faster here."""
    container = call.container_at(request.container_id, request.version)
    create_index(call.db, container, _index(request.index))


def remove_index(call: Call, request: DropIndex, _: Writer) -> None:
    """Take indexes off the list."""
    container = call.container_at(request.container_id, request.version)
    drop_index(call.db, container, _index(request.index), any_name=request.any_name, any_type=request.any_kind)


def _index(spec: IndexSpec) -> Index:
    return Index(name=spec.name, columns=spec.columns, type=spec.kind)


def flush(call: Call, _: FlushLog, __: Writer) -> None:
    """Make everything durable."""
    call.db.flush()
