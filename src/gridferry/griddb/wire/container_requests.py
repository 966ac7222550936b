"""Requests about containers, their properties and indexes. Source: docs/protocol.md, Containers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from typing_extensions import Self

from gridferry.errors import LocalProtocolError
from gridferry.griddb.schema import ContainerKind, ContainerSchema
from gridferry.griddb.wire.names import ContainerKey, read_key, write_key
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.options import NO_OPTIONS, Options, read_options, write_options
from gridferry.griddb.wire.requests import request
from gridferry.griddb.wire.schema_image import (
    IndexSpec,
    TimeSeriesProperties,
    read_index,
    read_kind,
    read_schema,
    read_time_series,
    write_index,
    write_schema,
    write_tail,
    write_time_series,
)
from gridferry.griddb.wire.statement import ANY_KIND, ATTRIBUTE_SINGLE, Option, Property, Statement


@request
@dataclass(frozen=True)
class PutContainer:
    """Create a container, or alter it where `modifiable`."""

    statement: ClassVar[Statement] = Statement.PUT_CONTAINER
    key: ContainerKey
    schema: ContainerSchema
    modifiable: bool = False
    affinity: str = ""
    time_series: TimeSeriesProperties | None = None
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        write_options(out, self.options)
        write_key(out, self.key)
        out.u8(self.schema.kind)
        out.boolean(self.modifiable)
        write_schema(out, self.schema)
        out.string(self.affinity)
        if self.schema.kind is ContainerKind.TIME_SERIES:
            write_time_series(out, self.time_series)
        if self.options.get(Option.FEATURE_VERSION, 0) >= 1:
            write_tail(out)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        options = read_options(source)
        key = read_key(source)
        kind = read_kind(source)
        modifiable = source.boolean()
        schema = read_schema(source, kind)
        affinity = source.string()
        time_series = read_time_series(source) if kind is ContainerKind.TIME_SERIES else None
        if options.get(Option.FEATURE_VERSION, 0) >= 1:
            _skip_tail(source)
        return cls(
            key=key,
            schema=schema,
            modifiable=modifiable,
            affinity=affinity,
            time_series=time_series,
            options=options,
        )


def _skip_tail(source: Reader) -> None:
    source.i32()
    source.i64()
    while source.remaining and source.i32() != -1:
        source.raw(source.i32())


@dataclass(frozen=True)
class _ByName:
    key: ContainerKey
    kind: int = ANY_KIND
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        write_options(out, self.options)
        write_key(out, self.key)
        out.u8(self.kind)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        options = read_options(source)
        return cls(key=read_key(source), kind=source.u8(), options=options)


@request
@dataclass(frozen=True)
class GetContainer(_ByName):
    """Ask for a container's id and schema."""

    statement: ClassVar[Statement] = Statement.GET_CONTAINER


@request
@dataclass(frozen=True)
class DropContainer(_ByName):
    """Drop a container; one that is not there is dropped too."""

    statement: ClassVar[Statement] = Statement.DROP_CONTAINER


@request
@dataclass(frozen=True)
class GetContainerProperties:
    """Ask for properties of one or several containers of one partition."""

    statement: ClassVar[Statement] = Statement.GET_CONTAINER_PROPERTIES
    keys: tuple[ContainerKey, ...]
    properties: tuple[Property, ...]
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        if not self.keys:
            raise LocalProtocolError("properties of no container were asked for")
        write_options(out, self.options)
        write_key(out, self.keys[0])
        out.i32(len(self.properties))
        for number in self.properties:
            out.u8(number)
        if len(self.keys) > 1:
            out.i32(len(self.keys))
            for key in self.keys[1:]:
                write_key(out, key)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body. Property numbers unknown here are left out of the answer."""
        options = read_options(source)
        keys = [read_key(source)]
        numbers = [source.u8() for _ in range(source.count())]
        if source.remaining:
            keys += [read_key(source) for _ in range(source.count(at_least=0) - 1)]
        known = tuple(Property(n) for n in numbers if n in Property.__members__.values())
        return cls(keys=tuple(keys), properties=known, options=options)


@request
@dataclass(frozen=True)
class GetPartitionContainerNames:
    """List the containers of the partition named in the frame's head."""

    statement: ClassVar[Statement] = Statement.GET_PARTITION_CONTAINER_NAMES
    start: int = 0
    limit: int = (1 << 63) - 1
    attributes: tuple[int, ...] = (ATTRIBUTE_SINGLE,)
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        write_options(out, self.options)
        out.i64(self.start)
        out.i64(self.limit)
        out.i32(len(self.attributes))
        for attribute in self.attributes:
            out.i32(attribute)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        options = read_options(source)
        start, limit = source.i64(), source.i64()
        attributes = tuple(source.i32() for _ in range(source.count(at_least=4)))
        return cls(start=start, limit=limit, attributes=attributes, options=options)


@dataclass(frozen=True)
class _Indexed:
    container_id: int
    version: int
    index: IndexSpec
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i64(self.container_id)
        out.i32(self.version)
        write_options(out, self.options)
        write_index(out, self.index)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        container_id, version, options = source.i64(), source.i32(), read_options(source)
        return cls(container_id=container_id, version=version, index=read_index(source), options=options)


@request
@dataclass(frozen=True)
class CreateIndex(_Indexed):
    """Create an index; an identical one that exists already is success."""

    statement: ClassVar[Statement] = Statement.CREATE_INDEX_DETAIL


@request
@dataclass(frozen=True)
class DropIndex(_Indexed):
    """Drop the indexes that match; a name or a kind may be left open."""

    statement: ClassVar[Statement] = Statement.DROP_INDEX_DETAIL
    any_name: bool = False
    any_kind: bool = False

    def write(self, out: Writer) -> None:
        """Write the body."""
        super().write(out)
        out.boolean(self.any_name)
        out.boolean(self.any_kind)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        container_id, version, options = source.i64(), source.i32(), read_options(source)
        index = read_index(source)
        return cls(container_id, version, index, options, any_name=source.boolean(), any_kind=source.boolean())


@request
@dataclass(frozen=True)
class FlushLog:
    """Bring the log of the container's partition to disk."""

    statement: ClassVar[Statement] = Statement.FLUSH_LOG
    container_id: int
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i64(self.container_id)
        write_options(out, self.options)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        return cls(container_id=source.i64(), options=read_options(source))
