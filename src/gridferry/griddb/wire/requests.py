"""Requests about connections and databases: `write` is next to `read`.

Source: docs/protocol.md, Login and Databases. Those about containers are in `container_requests`, those about rows in
`row_requests` and `multi_requests`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeVar

from typing_extensions import Self

from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.options import NO_OPTIONS, Options, read_options, write_options
from gridferry.griddb.wire.statement import PROTOCOL_VERSION, Statement


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
