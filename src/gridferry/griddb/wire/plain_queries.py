"""A multi-query as a driver asks it: outside of sessions, without options, each answer whole. There may be very many.

The octets are those of a `MultiQuery` of such queries; what comes before each text is packed in one go.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from gridferry.errors import LocalProtocolError
from gridferry.griddb.wire.octets import Reader, Writer, utf8
from gridferry.griddb.wire.statement import NO_LIMIT, SessionMode, Statement, TransactionMode

# Source: docs/protocol.md, Multi-query: statement, its id, container, session, schema version, session mode,
# transaction mode, no options; limit, rows a page, no partial execution, no states; the length of the text.
_HEAD = struct.Struct("<iqqqiBBiqq?ii")
_LENGTH_BYTES = 4
# What is in them around container, session and version.
_BEGINS = (Statement.QUERY_TQL, 0)
_ENDS = (SessionMode.AUTO, TransactionMode.AUTO, 0, NO_LIMIT, NO_LIMIT, False, 0)


@dataclass(frozen=True)
class PlainQueries:
    """Run a query on each of many containers of one partition: (container id, schema version, TQL) each."""

    statement: ClassVar[Statement] = Statement.EXECUTE_MULTIPLE_QUERIES
    queries: Sequence[tuple[int, int, str]]
    client: bytes

    def write(self, out: Writer) -> None:
        """Write the body. Raises: LocalProtocolError for a number or a text that cannot be written."""
        out.raw(self.client)
        out.i32(0)
        out.i32(len(self.queries))
        texts = {tql: utf8(tql) for tql in {tql for _, _, tql in self.queries}}
        pieces: list[bytes] = []
        try:
            for container_id, version, tql in self.queries:
                text = texts[tql]
                pieces += (_head(container_id, version, len(text)), text)
        except struct.error as error:
            raise LocalProtocolError(f"a number of a query does not fit its field: {error}") from error
        out.raw(b"".join(pieces))


def _head(container_id: int, version: int, length: int) -> bytes:
    return _HEAD.pack(*_BEGINS, container_id, 0, version, *_ENDS, length)


def read_plain_query(source: Reader) -> tuple[int, int, str] | None:
    """The container id, schema version and TQL of the query of a multi-query that begins here, if it is a plain one.

    None, and the reader does not move, for any other. Raises: RemoteProtocolError where the text is cut off.
    """
    if source.remaining < _HEAD.size:
        return None
    fields = _HEAD.unpack_from(source.peek())
    if fields[:2] != _BEGINS or fields[3] != 0 or fields[5:12] != _ENDS:
        return None
    source.raw(_HEAD.size - _LENGTH_BYTES)
    return fields[2], fields[4], source.string()
