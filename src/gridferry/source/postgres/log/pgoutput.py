"""The messages of pgoutput, PostgreSQL's logical replication output, versions 1 to 4: bytes -> what they say.

Row messages are not taken apart here but many at a time, in `change_rows`.
Source: PostgreSQL documentation, "Logical Replication Message Formats".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from gridferry.errors import StreamBroken
from gridferry.model.change import ChangedColumn, ChangedRelation, ReplicaIdentity

EPOCH_US = 946_684_800_000_000  # from 1970, where our times begin, to 2000, where PostgreSQL's do


class Tag(IntEnum):
    """The first byte of each message."""

    BEGIN = ord("B")
    COMMIT = ord("C")
    ORIGIN = ord("O")
    RELATION = ord("R")
    TYPE = ord("Y")
    MESSAGE = ord("M")
    INSERT = ord("I")
    UPDATE = ord("U")
    DELETE = ord("D")
    TRUNCATE = ord("T")
    STREAM_START = ord("S")
    STREAM_STOP = ord("E")
    STREAM_COMMIT = ord("c")
    STREAM_ABORT = ord("A")
    BEGIN_PREPARE = ord("b")
    PREPARE = ord("P")
    COMMIT_PREPARED = ord("K")
    ROLLBACK_PREPARED = ord("r")
    STREAM_PREPARE = ord("p")


_BEGIN = struct.Struct(">xQqI")  # commit record, time, transaction
_COMMIT = struct.Struct(">xxQQq")  # flags, none in use; commit record, its end, time

ROW_TAGS = frozenset((Tag.INSERT, Tag.UPDATE, Tag.DELETE))
TWO_PHASE_TAGS = frozenset(
    (Tag.BEGIN_PREPARE, Tag.PREPARE, Tag.COMMIT_PREPARED, Tag.ROLLBACK_PREPARED, Tag.STREAM_PREPARE)
)
# Messages that carry the transaction's id as their second field while they are part of a streamed block.
STREAMED_TAGS = frozenset((*ROW_TAGS, Tag.RELATION, Tag.TYPE, Tag.MESSAGE, Tag.TRUNCATE))


class Begin(NamedTuple):
    """A transaction starts. `commit`, the value of an Lsn, is where its commit record begins; `at_us` since 1970 UTC.

    A plain tuple of numbers, as is `Commit`: with small transactions there are as many of them as of changes.
    """

    commit: int
    at_us: int
    xid: int


class Commit(NamedTuple):
    """The transaction is complete. `end` is just after its commit record: the position to confirm."""

    commit: int
    end: int
    at_us: int


@dataclass(frozen=True)
class Truncate:
    """Tables, by oid, that were emptied."""

    relations: tuple[int, ...]
    cascade: bool
    restart_identity: bool


@dataclass(frozen=True)
class StreamStart:
    """A block of a transaction that is still open. `first`: its first block."""

    xid: int
    first: bool


@dataclass(frozen=True)
class StreamCommit:
    """A transaction that came in blocks was committed."""

    xid: int
    commit: Commit


@dataclass(frozen=True)
class StreamAbort:
    """A transaction that came in blocks, or its subtransaction `subxid`, was rolled back. Equal ids: all of it."""

    xid: int
    subxid: int


class _Fields:
    """Takes fields off the front of a message. Raises: StreamBroken if the message is too short."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._at = 1

    def number(self, size: int, *, signed: bool = False) -> int:
        end = self._at + size
        if end > len(self._message):
            raise self._broken("is cut off")
        value = int.from_bytes(self._message[self._at : end], "big", signed=signed)
        self._at = end
        return value

    def text(self) -> str:
        end = self._message.find(b"\0", self._at)
        if end < 0:
            raise self._broken("holds a name without an end")
        raw = self._message[self._at : end]
        self._at = end + 1
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise self._broken("holds a name that is no UTF-8") from error

    def octets(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._message):
            raise self._broken("is cut off")
        self._at = end
        return self._message[end - size : end]

    def left(self) -> int:
        return len(self._message) - self._at

    def end(self) -> None:
        if self.left():
            raise self._broken(f"has {self.left()} bytes too many")

    def _broken(self, what: str) -> StreamBroken:
        return broken(f"the message {tag_name(self._message)} {what}")


def broken(what: str) -> StreamBroken:
    """The error for a stream that does not keep to its protocol."""
    return StreamBroken(
        f"the change stream cannot be understood: {what}",
        state="nothing after the last confirmed position was confirmed",
        next_step="run the same command again; if it fails again, report it with the PostgreSQL version",
    )


def tag_name(message: bytes) -> str:
    """The message's name for people."""
    try:
        return Tag(message[0]).name.replace("_", " ").lower()
    except (ValueError, IndexError):
        return repr(message[:1])


def decode_begin(message: bytes) -> Begin:
    """Raises: StreamBroken, as all functions here, unless the message is whole and has nothing after it."""
    try:
        commit, at_us, xid = _BEGIN.unpack(message)
    except struct.error as error:
        raise broken(f"the message begin has {len(message)} bytes") from error
    return Begin(commit, at_us + EPOCH_US, xid)


def decode_commit(message: bytes) -> Commit:
    """See `Commit`."""
    try:
        commit, end, at_us = _COMMIT.unpack(message)
    except struct.error as error:
        raise broken(f"the message commit has {len(message)} bytes") from error
    return Commit(commit, end, at_us + EPOCH_US)


def decode_relation(message: bytes) -> ChangedRelation:
    """See `ChangedRelation`; the schema pg_catalog comes as an empty name."""
    fields = _Fields(message)
    oid, schema, name = fields.number(4), fields.text(), fields.text()
    letter = chr(fields.number(1))
    try:
        identity = ReplicaIdentity(letter)
    except ValueError as error:
        raise broken(f"{schema}.{name} has the replica identity {letter!r}") from error
    columns = []
    for _ in range(fields.number(2)):
        flags = fields.number(1)
        columns.append(ChangedColumn(fields.text(), fields.number(4), fields.number(4, signed=True), bool(flags & 1)))
    fields.end()
    if len({column.name for column in columns}) != len(columns):
        raise broken(f"{schema}.{name} has two columns of one name")
    return ChangedRelation(oid, schema or "pg_catalog", name, identity, tuple(columns))


def decode_type(message: bytes) -> tuple[int, str, str]:
    """A type's oid, schema and name. Of a domain it is the oid of the domain, and the name of the type under it.

    Sent ahead of the description of a table that has columns of types which are not PostgreSQL's own.
    Source: PostgreSQL, logicalrep_write_typ.
    """
    fields = _Fields(message)
    oid, schema, name = fields.number(4), fields.text(), fields.text()
    fields.end()
    return oid, schema or "pg_catalog", name


def check_origin(message: bytes) -> None:
    """Where the transaction was made first, if it came to this server by replication. Applied like any other."""
    fields = _Fields(message)
    fields.number(8)
    fields.text()
    fields.end()


def check_message(message: bytes) -> None:
    """A message that an application wrote into the log (pg_logical_emit_message). Nothing to apply."""
    fields = _Fields(message)
    fields.number(1)
    fields.number(8)
    fields.text()
    fields.octets(fields.number(4))
    fields.end()


def decode_truncate(message: bytes) -> Truncate:
    """See `Truncate`."""
    fields = _Fields(message)
    count, flags = fields.number(4), fields.number(1)
    if fields.left() != 4 * count:
        raise broken(f"the message truncate names {fields.left() / 4:g} tables instead of {count}")
    oids = tuple(fields.number(4) for _ in range(count))
    return Truncate(oids, cascade=bool(flags & 1), restart_identity=bool(flags & 2))


def decode_stream_start(message: bytes) -> StreamStart:
    """See `StreamStart`."""
    fields = _Fields(message)
    start = StreamStart(fields.number(4), fields.number(1) == 1)
    fields.end()
    return start


def decode_stream_commit(message: bytes) -> StreamCommit:
    """See `StreamCommit`: the transaction's id, and then a commit."""
    return StreamCommit(_Fields(message).number(4), decode_commit(b"C" + message[5:]))


def decode_stream_abort(message: bytes) -> StreamAbort:
    """See `StreamAbort`; the parallel form (version 4) has position and time of the abort after it."""
    fields = _Fields(message)
    abort = StreamAbort(fields.number(4), fields.number(4))
    if fields.left() == 16:
        fields.octets(16)
    fields.end()
    return abort
