"""Requests about connections, databases and containers: `write` stands next to `read`.

Source: protocol page, sections 2 to 4. The requests about rows are in `row_requests`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeVar

from typing_extensions import Self

from gridferry.errors import LocalProtocolError
from gridferry.griddb.schema import ContainerKind, ContainerSchema
from gridferry.griddb.wire.names import ContainerKey, read_key, write_key
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.options import NO_OPTIONS, Options, read_options, write_options
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
from gridferry.griddb.wire.statement import ANY_KIND, ATTRIBUTE_SINGLE, PROTOCOL_VERSION, Option, Property, Statement


class Request(Protocol):
    """A request's body: written by a client, read by a server."""

    statement: ClassVar[Statement]

    def write(self, out: Writer) -> None:
        """Write the body."""

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body. Raises: RemoteProtocolError."""


R = TypeVar("R", bound=type[Request])
REQUESTS: dict[int, type[Request]] = {}


def request(kind: R) -> R:
    """Enter a request class into the table of them."""
    REQUESTS[kind.statement] = kind
    return kind


@request
@dataclass(frozen=True)
class Connect:
    """Open the conversation; sent again on a live connection as a heartbeat."""

    statement: ClassVar[Statement] = Statement.CONNECT
    version: int = PROTOCOL_VERSION
    plain: bool = True
    secure: bool = False

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i32(self.version)
        out.i32(2)
        out.boolean(self.plain)
        out.boolean(self.secure)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body; the control info may be missing."""
        version = source.i32()
        if not source.remaining:
            return cls(version=version)
        control = Reader(source.raw(source.i32()))
        return cls(version=version, plain=control.boolean(), secure=control.boolean())


@dataclass(frozen=True)
class _OnlyOptions:
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        write_options(out, self.options)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        return cls(options=read_options(source))


@request
@dataclass(frozen=True)
class Disconnect(_OnlyOptions):
    """End the connection; there is no answer."""

    statement: ClassVar[Statement] = Statement.DISCONNECT


@request
@dataclass(frozen=True)
class Logout(_OnlyOptions):
    """End the login, keep the connection."""

    statement: ClassVar[Statement] = Statement.LOGOUT


@request
@dataclass(frozen=True)
class Login:
    """Log in. `digest` is the lowercase hex SHA-256 of the password; `owner` is needed by whoever writes."""

    statement: ClassVar[Statement] = Statement.LOGIN
    user: str
    digest: str
    cluster: str = ""
    timeout_s: int = (1 << 31) - 1
    owner: bool = True
    auth_mode: int = 0
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        write_options(out, self.options)
        out.string(self.user)
        out.string(self.digest)
        out.i32(self.timeout_s)
        out.boolean(self.owner)
        out.string(self.cluster)
        out.u8(self.auth_mode)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        options = read_options(source)
        user, digest, timeout_s, owner = source.string(), source.string(), source.i32(), source.boolean()
        cluster = source.string() if source.remaining else ""
        auth_mode = source.u8() if source.remaining else 0
        return cls(
            user=user,
            digest=digest,
            cluster=cluster,
            timeout_s=timeout_s,
            owner=owner,
            auth_mode=auth_mode,
            options=options,
        )


@request
@dataclass(frozen=True)
class GetPartitionAddress:
    """Ask who owns the partition named in the frame's head, or, with `master`, who leads the cluster."""

    statement: ClassVar[Statement] = Statement.GET_PARTITION_ADDRESS
    master: bool = False
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        write_options(out, self.options)
        if self.master:
            out.boolean(True)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        options = read_options(source)
        return cls(master=source.boolean() if source.remaining else False, options=options)


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


@request
@dataclass(frozen=True)
class GetDatabases:
    """List the databases."""

    statement: ClassVar[Statement] = Statement.GET_DATABASES
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        write_options(out, self.options)
        out.boolean(False)
        out.u8(0)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body; the one database it may name is read past, as all are listed."""
        options = read_options(source)
        if source.boolean():
            source.string()
        source.u8()
        return cls(options=options)


@request
@dataclass(frozen=True)
class PutDatabase:
    """Create a database."""

    statement: ClassVar[Statement] = Statement.PUT_DATABASE
    name: str
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        write_options(out, self.options)
        out.string(self.name)
        out.u8(0)
        out.i32(0)
        out.boolean(False)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body; privileges are read past."""
        options = read_options(source)
        name = source.string()
        source.u8()
        for _ in range(source.count(at_least=8)):
            source.string()
            source.string()
        source.boolean()
        return cls(name=name, options=options)


@request
@dataclass(frozen=True)
class DropDatabase:
    """Drop a database, from a connection that is logged in to it."""

    statement: ClassVar[Statement] = Statement.DROP_DATABASE
    name: str
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        write_options(out, self.options)
        out.string(self.name)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        options = read_options(source)
        return cls(name=source.string(), options=options)


def body_of(message: Request | Callable[[Writer], None]) -> Writer:
    """The written body of a request, or of whatever writes one."""
    out = Writer()
    if callable(message):
        message(out)
    else:
        message.write(out)
    return out
