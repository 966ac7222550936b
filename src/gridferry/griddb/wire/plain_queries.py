"""A multi-query as a driver asks it: outside of sessions, without options, each answer whole. There may be very many.

The octets are those of a `MultiQuery` of such queries; what stands before each text is packed in one go.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from gridferry.errors import LocalProtocolError
from gridferry.griddb.wire.octets import Writer, utf8
from gridferry.griddb.wire.statement import NO_LIMIT, SessionMode, Statement, TransactionMode

# Source: protocol page, section 7.4: statement, its id, container, session, schema version, session mode, transaction
# mode, no options; limit, rows a page, no partial execution, no states; the length of the text.
_HEAD = struct.Struct("<iqqqiBBiqq?ii")


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
    modes = (SessionMode.AUTO, TransactionMode.AUTO)
    return _HEAD.pack(Statement.QUERY_TQL, 0, container_id, 0, version, *modes, 0, NO_LIMIT, NO_LIMIT, False, 0, length)
