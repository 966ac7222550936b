"""Error answers -> our errors: the one place that reads GridDB's error numbers. Source: docs/protocol.md, Errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gridferry.errors import (
    AuthenticationFailed,
    ContainerMissing,
    GridDBError,
    LockConflict,
    ResultSetLost,
    RowExists,
    RowMissing,
    SchemaChanged,
    SchemaConflict,
    SessionLost,
    StatementError,
    WrongNode,
)
from gridferry.griddb.net.limits import CHECKED_EVERY_S, TRANSACTION_TIMEOUT_S
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.replies import ErrorReply
from gridferry.griddb.wire.statement import PutMode, Status

_BY_CODE: dict[int, type[StatementError]] = {
    10014: LockConflict,
    10016: ContainerMissing,
    10017: SchemaChanged,
    10038: SchemaChanged,  # rows of an older schema are seen before their version is
    10051: LockConflict,
    60016: SchemaConflict,
    60026: SchemaConflict,
    60149: SchemaConflict,
    60054: LockConflict,
    60064: LockConflict,
    60132: ResultSetLost,
    60154: RowExists,
    60157: SchemaChanged,
    60159: SchemaChanged,
    60166: LockConflict,
    110003: SessionLost,
    110005: SessionLost,
    110016: SessionLost,
}
_LOCKED = (
    "another client has a transaction open there: a gridferry run that ended without closing its own, which GridDB "
    f"ends within {TRANSACTION_TIMEOUT_S + CHECKED_EVERY_S} s, or another program, whose own timeout counts (300 s "
    "unless it chose another). When it has ended, the same command can be run again"
)
_LONGEST_REASON = 2_000  # characters of a message that are shown
_LONGEST_NAME = 200
_LOGIN_CODES = {10005, 10053}
_NEXT_STEPS: dict[int, str] = {
    **dict.fromkeys((10051, 60054, 60064, 60166), _LOCKED),
    10005: "check user, password and database of the target",
    10053: "check the cluster name in the target address",
    10054: "use GridDB 4.0.1 or newer",
    10033: "log in as a client that writes (immediate consistency)",
    10098: "the container's database is not the one logged in to: check the target address",
    1005: "see the event log of that node: its disk may be full or broken; fix that, then run the same command again",
    10079: "log in as a user that may write to this database",
    1008: "shorten the name or use other characters",
    60016: "the container exists with other columns: choose another name, or load with --replace",
    60026: "a container of that name has another type: choose another name, or load with --replace",
    60149: "the container exists with other columns: choose another name, or load with --replace",
}


def refusal(status: int, body: memoryview, *, node: str, asked: str) -> GridDBError:
    """The error for an answer that is not a success. `asked` says what was asked, for the message."""
    reply = ErrorReply.read(Reader(body))
    name = f" {_cut(reply.name, _LONGEST_NAME)}" if reply.name else ""
    reason = _cut(reply.message.rstrip("."), _LONGEST_REASON)
    message = f"GridDB node {node} refused {_cut(asked, _LONGEST_REASON)}: {reason} [{reply.code}{name}]"
    next_step = _NEXT_STEPS.get(reply.code, "")
    error: GridDBError
    if reply.code in _LOGIN_CODES:
        error = AuthenticationFailed(message, next_step=next_step)
    elif status in (Status.DENY, Status.NODE_ERROR):
        error = WrongNode(message, next_step=next_step)
    else:
        kind = _BY_CODE.get(reply.code, StatementError)
        error = kind(message, code=reply.code, name=reply.name, parameters=reply.parameters, next_step=next_step)
    error.node = node
    return error


def _cut(text: str, most: int) -> str:
    """A server may send a statement of megabytes back: the end of it helps nobody."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


@contextmanager
def row_mode(mode: PutMode) -> Iterator[None]:
    """Puts of this mode happen inside. GridDB has one number for "is there" and "is not there": the mode decides."""
    try:
        yield
    except RowExists as error:
        if mode is not PutMode.UPDATE:
            raise
        missing = RowMissing(error.message, code=error.code, name=error.name, parameters=error.parameters)
        missing.node = error.node
        raise missing from error
