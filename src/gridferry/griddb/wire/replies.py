"""Answers about connections, databases and containers, and errors: `write` is next to `read`.

Source: docs/protocol.md, Errors, Login, Finding a node, Containers.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from typing_extensions import Self

from gridferry.errors import RemoteProtocolError
from gridferry.griddb.schema import ContainerKind, ContainerSchema
from gridferry.griddb.wire.names import ContainerKey, read_key, write_key
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.schema_image import (
    IndexSpec,
    SchemaMemory,
    TimeSeriesProperties,
    iterate_indexes,
    write_index,
    write_schema,
    write_tail,
    write_time_series,
)
from gridferry.griddb.wire.statement import (
    ATTRIBUTE_SINGLE,
    MAX_ERROR_BYTES,
    MAX_PARTITIONS,
    PROTOCOL_VERSION,
    Property,
)


@dataclass(frozen=True)
class ConnectReply:
    """What the server speaks."""

    version: int = PROTOCOL_VERSION
    auth_mode: int = 0
    auth_type: int = 0
    plain: bool = True
    secure: bool = False

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.u8(self.auth_mode)
        out.i32(self.version)
        out.u8(self.auth_type)
        out.i32(2)
        out.boolean(self.plain)
        out.boolean(self.secure)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body; what follows the version may be missing."""
        auth_mode, version = source.u8(), source.i32()
        auth_type = source.u8() if source.remaining else 0
        if not source.remaining:
            return cls(version=version, auth_mode=auth_mode, auth_type=auth_type)
        control = Reader(source.raw(source.i32()))
        return cls(version, auth_mode, auth_type, control.boolean(), control.boolean())


@dataclass(frozen=True)
class LoginReply:
    """The database that was logged in to."""

    database_id: int = 0
    auth_mode: int = 0

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.u8(self.auth_mode)
        out.i64(self.database_id)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body. Raises: RemoteProtocolError for a login mode that no server should offer."""
        auth_mode = source.u8()
        if auth_mode != 0:
            raise RemoteProtocolError(f"the server asks for login mode {auth_mode}; only mode 0 is known")
        return cls(database_id=source.i64() if source.remaining else 0)


Address = tuple[str, int]

_PROPERTY = struct.Struct("<Bi")  # which one, and its size
_NUMBERS = struct.Struct("<iq")  # schema version, container id
# Compared with as plain numbers: the properties of very many containers are read.
_ID, _SCHEMA = int(Property.ID), int(Property.SCHEMA)


@dataclass(frozen=True)
class PartitionAddress:
    """How many partitions there are, and who owns the one asked for, or who leads the cluster."""

    partition_count: int
    owners: tuple[Address, ...] = ()
    backups: tuple[Address, ...] = ()
    master_asked: bool = False
    is_master: bool = False
    hash_mode: int = 0
    master: Address | None = None

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i32(self.partition_count)
        for addresses in (self.owners, self.backups):
            out.u8(len(addresses))
            for address in addresses:
                _write_address(out, address)
        if self.master_asked:
            out.boolean(self.is_master)
            out.u8(self.hash_mode)
            _write_address(out, self.master or ("0.0.0.0", 0))  # noqa: S104 - "no address", not a bind

    @classmethod
    def read(cls, source: Reader, *, address_size: int = 4) -> Self:
        """Read a body; addresses have 4 bytes, or 16 on an IPv6 connection.

        Raises: RemoteProtocolError for more partitions than a cluster can have: work is planned by their number.
        """
        count = source.i32()
        if not 0 <= count <= MAX_PARTITIONS:
            raise RemoteProtocolError(f"a cluster of {count} partitions: {MAX_PARTITIONS} is the limit")
        owners = tuple(_read_address(source, address_size) for _ in range(source.u8()))
        backups = tuple(_read_address(source, address_size) for _ in range(source.u8()))
        if not source.remaining:
            return cls(count, owners, backups)
        is_master, hash_mode = source.boolean(), source.u8()
        return cls(count, owners, backups, True, is_master, hash_mode, _read_address(source, address_size))


def _write_address(out: Writer, address: Address) -> None:
    out.raw(ipaddress.ip_address(address[0]).packed)
    out.i32(address[1])


def _read_address(source: Reader, size: int) -> Address:
    return str(ipaddress.ip_address(bytes(source.raw(size)))), source.i32()


@dataclass(frozen=True)
class ContainerReply:
    """A container as the server has it."""

    version: int
    container_id: int
    key: ContainerKey
    schema: ContainerSchema
    affinity: str = ""

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i32(self.version)
        out.i64(self.container_id)
        write_key(out, self.key)
        write_schema(out, self.schema)
        out.string(self.affinity)
        if self.schema.kind is ContainerKind.TIME_SERIES:
            write_time_series(out, TimeSeriesProperties())
        write_tail(out, expiration=-1)
        out.i32(0x7F)  # observed; its meaning is not known, and clients ignore it

    @classmethod
    def read(cls, source: Reader, kind: ContainerKind, *, known: SchemaMemory | None = None) -> Self:
        """Read a body, whose container type the asker knows or reads before; the tail is ignored.

        `known` is one for many answers.
        """
        version, container_id, key = source.i32(), source.i64(), read_key(source)
        schema, affinity = (known or SchemaMemory()).read(source, kind), source.string()
        return cls(version, container_id, key, schema, affinity)


@dataclass(frozen=True)
class ContainerProperties:
    """What was asked for of one container; None where it was not asked."""

    version: int | None = None
    container_id: int | None = None
    key: ContainerKey | None = None
    schema: ContainerSchema | None = None
    affinity: str = ""
    attribute: int | None = None
    indexes: tuple[IndexSpec, ...] | None = None


def write_properties(out: Writer, answers: Sequence[ContainerProperties | None], asked: Sequence[Property]) -> None:
    """Write the properties of one or several containers, None for one that does not exist."""
    # Schemas written before, by their object: those of many alike containers are one.
    known: dict[tuple[int, str], bytes] = {}
    for position, answer in enumerate(answers):
        if position == 1:
            out.i32(len(answers) - 1)
        out.boolean(answer is not None)
        if answer is None:
            continue
        out.i32(len(asked))
        for number in asked:
            out.u8(number)
            place = (id(answer.schema), answer.affinity)
            image = known.get(place) if number is Property.SCHEMA else None
            if image is None:
                body = Writer()
                _write_property(body, number, answer)
                image = body.getvalue()
            if number is Property.SCHEMA:
                known[place] = image
            out.i32(len(image))
            out.raw(image)


def _write_property(out: Writer, number: Property, answer: ContainerProperties) -> None:
    if number is Property.ID and answer.key is not None:
        out.i32(answer.version or 0)
        out.i64(answer.container_id or 0)
        write_key(out, answer.key)
    elif number is Property.SCHEMA and answer.schema is not None:
        out.u8(answer.schema.kind)
        write_schema(out, answer.schema)
        out.string(answer.affinity)
        if answer.schema.kind is ContainerKind.TIME_SERIES:
            write_time_series(out, TimeSeriesProperties())
    elif number is Property.ATTRIBUTE:
        out.i32(ATTRIBUTE_SINGLE if answer.attribute is None else answer.attribute)
    elif number is Property.INDEX:
        single = [(i.columns[0], i.kind) for i in answer.indexes or () if len(i.columns) == 1]
        out.i32(len(single))
        for column, kind in single:
            out.i32(column)
            out.u8(kind)
    elif number is Property.INDEX_DETAIL:
        out.i32(len(answer.indexes or ()))
        for index in answer.indexes or ():
            write_index(out, index)
    elif (
        number is not Property.PARTITIONING
    ):  # GridDB's Java client asks for it always; it is empty where there is none
        out.i32(0)


def read_properties(source: Reader, *, known: SchemaMemory | None = None) -> list[ContainerProperties | None]:
    """Read the properties of one or several containers, in the order asked. `known` is one for many answers."""
    known = known or SchemaMemory()
    answers = [_read_properties(source, known)]
    if source.remaining:
        answers += [_read_properties(source, known) for _ in range(source.count())]
    return answers


def _read_properties(source: Reader, known: SchemaMemory) -> ContainerProperties | None:
    if not source.boolean():
        return None
    found: dict[str, object] = {}
    for _ in range(source.count(at_least=5)):
        number, size = source.unpack(_PROPERTY)
        body = Reader(source.raw(size))
        if number == _ID:
            version, container_id = body.unpack(_NUMBERS)
            found.update(version=version, container_id=container_id, key=read_key(body))
        elif number == _SCHEMA:
            schema, affinity = known.read_property(body)
            found.update(schema=schema, affinity=affinity)
        elif number == Property.ATTRIBUTE:
            found.update(attribute=body.i32())
        elif number == Property.INDEX_DETAIL:
            found.update(indexes=tuple(iterate_indexes(body)))
    return ContainerProperties(**found)  # type: ignore[arg-type]


def write_container_names(out: Writer, total: int, keys: Sequence[ContainerKey]) -> None:
    """Write one page of a partition's container names."""
    out.i64(total)
    out.i32(len(keys))
    for key in keys:
        write_key(out, key)


def read_container_names(source: Reader, *, most: int) -> tuple[int, list[ContainerKey]]:
    """Read one page of a partition's container names: how many there are, and these.

    Raises: RemoteProtocolError for more names than the `most` that were asked for.
    """
    total, count = source.i64(), source.count(at_least=3)
    if count > most:
        raise RemoteProtocolError(f"a page of {count} container names, where {most} were asked for")
    return total, [read_key(source) for _ in range(count)]


def write_databases(out: Writer, names: Sequence[str]) -> None:
    """Write the databases; privileges are not listed."""
    out.i32(len(names))
    for name in names:
        out.string(name)
        out.u8(0)
        out.i32(0)


def read_databases(source: Reader) -> list[str]:
    """Read the databases' names."""
    names = []
    for _ in range(source.count(at_least=9)):
        names.append(source.string())
        source.u8()
        for _ in range(source.count(at_least=8)):
            source.string()
            source.string()
    return names


@dataclass(frozen=True)
class ErrorReply:
    """Why a statement failed: GridDB's number and name, a message, and what else the server adds."""

    code: int
    message: str
    name: str = ""
    parameters: dict[str, str] = field(default_factory=dict)

    def write(self, out: Writer) -> None:
        """Write the body, as a release build does."""
        out.i32(1)
        out.i32(self.code)
        for text in (self.message, "", "", ""):
            out.string(text)
        out.i32(-1)
        out.string(self.name)
        out.i32(len(self.parameters))
        for key, value in self.parameters.items():
            out.string(key)
            out.string(value)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body; the first entry counts, and what follows the entries may be missing.

        Raises: RemoteProtocolError if it is malformed, or longer than any error.
        """
        if source.remaining > MAX_ERROR_BYTES:
            raise RemoteProtocolError(f"an error of {source.remaining} bytes: {MAX_ERROR_BYTES} is the limit")
        code, message = 0, "the server gave no reason"
        for position in range(source.count(at_least=24)):
            entry = source.i32(), source.plain_text()
            for _ in range(3):
                source.plain_text()
            source.i32()
            if position == 0:
                code, message = entry
        name = source.plain_text() if source.remaining else ""
        parameters = {}
        if source.remaining:
            for _ in range(source.count(at_least=8)):
                key = source.plain_text()
                parameters[key] = source.plain_text()
        return cls(code, message, name, parameters)
