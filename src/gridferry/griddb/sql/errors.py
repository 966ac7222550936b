"""The errors of PEP 249, each a FerryError too: what happened, and the next step.

Error
  InterfaceError        the connection or the cursor is closed, or used as it cannot be
  DatabaseError
    DataError           a value that does not fit
    OperationalError    what is no fault of the statement
      MayPass           (transient) the node, the network, a lock, a limit of time, a cancelled statement
      LoginRefused      user, password, database or cluster name
    IntegrityError      a row key that is taken
    InternalError       the server sent what it should not
    ProgrammingError    the statement: its syntax, a table, a column, a parameter
    NotSupportedError   what GridDB's SQL does not have
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from gridferry import errors


class Warning(Exception):  # noqa: A001 - the name that PEP 249 gives it
    """Named by PEP 249; never raised."""


class Error(errors.GridDBError):
    """Something went wrong. `code` is GridDB's number, 0 where the server did not refuse anything."""

    code = 0


class InterfaceError(errors.Terminal, Error):
    """The connection or the cursor is closed, or was used as it cannot be."""


class DatabaseError(Error):
    """The server or the data."""


class DataError(errors.Terminal, DatabaseError):
    """A value that does not fit its column or type."""


class OperationalError(DatabaseError):
    """What is no fault of the statement. Only `MayPass` is worth another try."""


class MayPass(errors.Transient, OperationalError):
    """The node, the network, a lock, a limit of time, or a statement that was cancelled."""


class LoginRefused(errors.Terminal, OperationalError):
    """User, password, database or cluster name was refused."""

    exit_code = 2


class IntegrityError(errors.Terminal, DatabaseError):
    """A row key that is taken."""


class InternalError(errors.Terminal, DatabaseError):
    """The server sent what it should not."""


class ProgrammingError(errors.Terminal, DatabaseError):
    """The statement: its syntax, a table, a column, a parameter."""


class NotSupportedError(errors.Terminal, DatabaseError):
    """What GridDB's SQL does not have."""


# Source: docs/protocol-sql.md, SQL errors.
_UNSUPPORTED = frozenset({240000, 200018, 200024})
_TAKEN = frozenset({60154})
_CANCELLED = frozenset({200007, 260014})
_VALUES = frozenset({60079})
_STATEMENTS = range(240000, 290000)
_CONVERSIONS = range(305000, 306000)
# The server repeats the whole statement, and who sent it, in each message: it may hold private values.
_REPEATED = re.compile(r" on (?:executing|preparing|compiling) statement \(.*", re.DOTALL)
_QUOTED = re.compile(r' \(sql="?.*', re.DOTALL)


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the driver inside the block become those of PEP 249."""
    try:
        yield
    except Error:
        raise
    except (errors.GridDBError, errors.DataError) as error:
        raise translate(error) from error


def translate(error: errors.FerryError) -> Error:
    """The error of PEP 249 for one of the driver. Its message holds no statement."""
    message = shortened(error.message)
    code = error.code if isinstance(error, errors.StatementError) else 0
    made = _kind(error, code)(message, state=error.state, next_step=error.next_step)
    made.code = code
    made.node = getattr(error, "node", "")
    for note in getattr(error, "__notes__", ()):
        made.add_note(shortened(note))
    return made


def shortened(message: str) -> str:
    """A message without the statement that the server repeats in it; GridDB's number stays at its end."""
    for pattern in (_REPEATED, _QUOTED):
        cut = pattern.sub("", message)
        if cut != message:
            number = re.search(r" \[\d+[^\]]*\]$", message)
            return cut + (number[0] if number else "")
    return message


def _kind(error: errors.FerryError, code: int) -> type[Error]:
    if isinstance(error, errors.DataError):
        return DataError
    if isinstance(error, errors.LocalProtocolError):
        return InterfaceError
    if isinstance(error, errors.RemoteProtocolError):
        return InternalError
    if isinstance(error, errors.AuthenticationFailed):
        return LoginRefused
    if code in _UNSUPPORTED:
        return NotSupportedError
    if code in _TAKEN:
        return IntegrityError
    if code in _VALUES or code in _CONVERSIONS:
        return DataError
    if code in _STATEMENTS and code not in _CANCELLED:
        return ProgrammingError
    return MayPass if isinstance(error, errors.Transient) or code in _CANCELLED else OperationalError
