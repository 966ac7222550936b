"""The connection of PEP 249. Every statement commits by itself: GridDB's SQL has no transactions."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from typing_extensions import Self

from gridferry.griddb.address import GridDBAddress, parse_address
from gridferry.griddb.net.connection import Timing
from gridferry.griddb.schema import GridType
from gridferry.griddb.sql import errors, statements
from gridferry.griddb.sql.cursor import Cursor, Parameters
from gridferry.griddb.sql.errors import InterfaceError, NotSupportedError, ProgrammingError
from gridferry.griddb.sql.jdbc import parse_jdbc
from gridferry.griddb.sql.parameters import Target
from gridferry.griddb.sql.session import SqlSession

_TYPES = {kind.label: kind for kind in GridType if kind is not GridType.GEOMETRY}


class Connection:
    """A login to GridDB's SQL service. `timeout_s` holds for each statement, None: as long as it takes.

    It closes at the end of a `with`. Cursors may be open side by side, each with a result of its own.
    """

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def __init__(self, session: SqlSession, *, timeout_s: float | None = None) -> None:
        self.timeout_s = timeout_s
        self._session = session

    @property
    def address(self) -> GridDBAddress:
        """Where it is logged in."""
        return self._session.address

    def cursor(self) -> Cursor:
        """A new cursor. Raises: InterfaceError where the connection is closed."""
        self.require_open()
        return Cursor(self, self._session)

    def execute(self, operation: str, parameters: Parameters | None = None) -> Cursor:
        """Run a statement on a cursor of its own."""
        return self.cursor().execute(operation, parameters)

    def commit(self) -> None:
        """Nothing is to be done: each statement has committed."""
        self.require_open()

    def rollback(self) -> None:
        """Raises: NotSupportedError: what a statement wrote is written."""
        self.require_open()
        raise NotSupportedError(
            "GridDB's SQL has no transactions: each statement has committed already",
            next_step="use INSERT OR REPLACE, which can be repeated",
        )

    def cancel(self) -> None:
        """Stop the statement that another thread waits for."""
        self._session.cancel()

    def is_alive(self) -> bool:
        """Whether the node answers over this connection."""
        return not self._session.closed and self._session.alive()

    def close(self) -> None:
        """Close, and end what runs. More than once does no harm."""
        self._session.close()

    def require_open(self) -> None:
        """Raises: InterfaceError where the connection is closed."""
        if self._session.closed:
            raise InterfaceError("the connection is closed", next_step="connect again")

    def targets_of(self, insert: statements.Insert) -> list[Target]:
        """The columns that an INSERT's parameters go to, in order. Raises: ProgrammingError where there are none."""
        with self.cursor() as cursor:
            # The catalog names all precisions of a TIMESTAMP alike; a result does not.
            description = cursor.execute(f"SELECT * FROM {insert.table} LIMIT 0").description or []
        known = {name: str(code) for name, code, *_ in description}
        if not insert.columns:
            chosen = list(known.items())
        else:
            found = {name.upper(): (name, label) for name, label in known.items()} | {
                n: (n, t) for n, t in known.items()
            }
            missing = [name for name in insert.columns if name not in found and name.upper() not in found]
            if missing:
                raise ProgrammingError(f"the table {insert.table} has no column {missing[0]}")
            chosen = [found[name] if name in found else found[name.upper()] for name in insert.columns]
        if len(chosen) != insert.parameters:
            raise ProgrammingError(
                f"the table {insert.table} has {len(chosen)} columns, and a row of the statement {insert.parameters}"
            )
        unwritable = [name for name, label in chosen if label not in _TYPES]
        if unwritable:
            raise NotSupportedError(
                f"SQL cannot write into {insert.table}: its column {unwritable[0]} has a type that SQL does not have",
                next_step="write it as a container: gridferry.griddb.connect",
            )
        return [Target(name, _TYPES[label]) for name, label in chosen]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(
    address: str | GridDBAddress,
    *,
    password: str | None = None,
    timeout_s: float | None = None,
    timing: Timing | None = None,
    **more: Any,
) -> Connection:
    """Log in to GridDB's SQL service.

    Args: address: `griddb://user@host:20001/cluster/database`, or `jdbc:gs://..` as GridDB's JDBC driver has it; a
        member at port 10001, that of the NoSQL service, is asked at 20001. timeout_s: the limit of each statement.
    Raises: OperationalError where no node can be reached or the login is refused; ConfigError for a wrong address.
    """
    if more:
        raise ProgrammingError(f"connect has no option {sorted(more)[0]}")
    if isinstance(address, str):
        parse = parse_jdbc if address.startswith("jdbc:") else parse_address
        address = parse(address, password=password)
    return Connection(SqlSession(address, timing=timing), timeout_s=timeout_s)
