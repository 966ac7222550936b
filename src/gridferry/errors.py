"""Every error of gridferry, in one tree.

    FerryError
      ConfigError                          usage error: options, config file, addresses
        NotLoaded                          the table is not loaded yet, or not to its end
      PlanError                            the plan found problems; all of them, raised together
      SourceError
        SourceUnreachable                  (transient) no connection, or it broke
          NoSessionFree                    (transient) the server, the role or the pooler has no place for a session
        SourceRefused                      login, privilege or a missing object
          PasswordRefused                  the password is not the role's, or there is none
        SnapshotGone                       (transient) the exported snapshot no longer exists
        SlotInUse                          (transient) another process reads the replication slot
        TransactionOpen                    (transient) a transaction of somebody else is waited for in vain
        SlotLost                           changes that were not read yet are gone: data is missing
        StreamBroken                       the change stream breaks its protocol
        ReadIncomplete                     other rows were read than PostgreSQL counts under the same snapshot
      GridDBError
        ProtocolError
          LocalProtocolError               we were about to send something malformed
          RemoteProtocolError              the peer sent something malformed
        NodeUnreachable                    (transient) no connection to any node
        ConnectionLost                     (transient) a connection broke in use
        AnswerTimeout                      (transient) no answer within the limit
        WrongNode                          (transient) cluster or partition moved
        AuthenticationFailed               user, password, database or cluster name
        StatementError                     the server refused a statement; has its code
          LockConflict                     (transient) lock conflict or statement timeout
          RowExists                        put mode "insert": the row key is taken
          RowMissing                       put mode "update": the row key is not there
          SchemaConflict                   the container has another schema
          SchemaChanged                    (transient) our cached schema version is old
          SessionLost                      (transient) session or transaction unknown to the server
          ResultSetLost                    (transient) a paged result was dropped by the server
          ContainerMissing                 no such container
    DataError                              a value that the target cannot store exactly
      DuplicateKeys                        several source rows meet in one row key
    CheckpointError                        stored state: another plan's, a newer version's, broken
      OtherSource                          the source is not the one that the table is from
      LeaseHeld                            (transient) another run works on the same table
    TargetNotEmpty                         there is data where the load would put its own
    SomeTablesFailed                       of several tables; see `model.failed_tables`

Each leaf is `Transient` (the same call may succeed later) or `Terminal`. `engine.retry` reads that mark and
nothing else. `exit_code`: 2 usage error, 3 permanent failure, 75 temporary failure.
"""

from __future__ import annotations


class Transient:
    """Mark: the same call may succeed later."""

    exit_code = 75


class Terminal:
    """Mark: the same call will fail again."""

    exit_code = 3


class FerryError(Exception):
    """What happened, what state was left, and the next step; each a sentence for the user.

    Context found on the way up (table, chunk, partition) is added with `add_note`.
    """

    exit_code = 3
    # Whether every table would fail in the same way, as where a server is away: then the next is not tried.
    concerns_all = False

    def __init__(self, message: str, *, state: str = "", next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.state = state
        self.next_step = next_step

    def add_note(self, note: str) -> None:
        """Say where it happened; Python 3.10 has no such method of its own."""
        self.__dict__.setdefault("__notes__", []).append(note)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only attributes do not survive BaseException's own pickling.
        return (_rebuild, (type(self), self.args, dict(self.__dict__)))


def _rebuild(kind: type[FerryError], args: tuple[object, ...], attributes: dict[str, object]) -> FerryError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ConfigError(Terminal, FerryError):
    """Options, a config file or an address that make no sense."""

    exit_code = 2


class NotLoaded(ConfigError):
    """The table was not loaded into this target, or not to its end. A load makes it right."""


class PlanError(Terminal, FerryError):
    """The plan cannot be carried out; `problems` holds every reason, one sentence each."""

    exit_code = 2

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), state: str = "", next_step: str = "") -> None:
        super().__init__(message, state=state, next_step=next_step)
        self.problems = problems


class SourceError(FerryError):
    """PostgreSQL could not be read."""


class SourceUnreachable(Transient, SourceError):
    """No connection to PostgreSQL, or it broke."""


class NoSessionFree(SourceUnreachable):
    """The server, the database, the role or a pooler has no place for one more session."""


class SourceRefused(Terminal, SourceError):
    """PostgreSQL said no: login, privilege, a missing database, table or column."""

    exit_code = 2


class PasswordRefused(SourceRefused):
    """PostgreSQL does not take the password, or got none. A follow that it took one of waits for the next one."""


class SnapshotGone(Transient, SourceError):
    """The exported snapshot does not exist any more: the session that held it has ended."""


class SlotInUse(Transient, SourceError):
    """Another process reads the replication slot."""


class TransactionOpen(Transient, SourceError):
    """A transaction of somebody else stays open at the source, and what was asked for waits for its end."""


class SlotLost(Terminal, SourceError):
    """The replication slot, or log that it should have kept, is gone: changes in between cannot be read any more."""


class StreamBroken(Terminal, SourceError):
    """The change stream holds something that its protocol does not allow, or that was not asked for."""


class ReadIncomplete(Terminal, SourceError):
    """Other rows were read than PostgreSQL counts under the same snapshot: nothing is concluded from them."""


class GridDBError(FerryError):
    """GridDB could not be used. `node` is host:port, where one is known."""

    node: str = ""


class ProtocolError(GridDBError):
    """A message that breaks the protocol."""


class LocalProtocolError(Terminal, ProtocolError):
    """We were about to send a malformed message: a defect of the caller or of gridferry."""


class RemoteProtocolError(Terminal, ProtocolError):
    """The peer sent a malformed message."""


class NodeUnreachable(Transient, GridDBError):
    """No connection to a node could be made."""

    concerns_all = True


class ConnectionLost(Transient, GridDBError):
    """A connection to a node broke while in use."""

    concerns_all = True


class AnswerTimeout(Transient, GridDBError):
    """No answer came within the read timeout."""

    concerns_all = True


class WrongNode(Transient, GridDBError):
    """The node does not own the partition, or the cluster is not ready (status 2 and 3, no owner)."""

    concerns_all = True


class AuthenticationFailed(Terminal, GridDBError):
    """User, password, database or cluster name was refused."""

    exit_code = 2
    concerns_all = True


class StatementError(Terminal, GridDBError):
    """The server refused a statement. `code` is GridDB's number, `name` its name, `parameters` what it added."""

    def __init__(
        self,
        message: str,
        *,
        code: int = 0,
        name: str = "",
        parameters: dict[str, str] | None = None,
        state: str = "",
        next_step: str = "",
    ) -> None:
        super().__init__(message, state=state, next_step=next_step)
        self.code = code
        self.name = name
        self.parameters = dict(parameters or {})


class LockConflict(Transient, StatementError):
    """A lock conflict or a statement timeout on the server."""


class RowExists(StatementError):
    """Put mode "insert" met a row key that is already there (60154)."""


class RowMissing(StatementError):
    """Put mode "update" met a row key that is not there (60154)."""


class SchemaConflict(StatementError):
    """The container exists with another schema (60016, 60026)."""


class SchemaChanged(Transient, StatementError):
    """The container's schema version moved on since it was opened (10017, 60157, 60159)."""


class SessionLost(Transient, StatementError):
    """The server does not know the session or transaction (110003, 110005, 110016)."""


class ResultSetLost(Transient, StatementError):
    """The server dropped a paged result (60132): run the query again."""


class ContainerMissing(StatementError):
    """No container of that name (10016)."""


class DataError(Terminal, FerryError):
    """A value that cannot be stored exactly. Names table, column and row, not the value: it may be private."""

    def __init__(
        self,
        message: str,
        *,
        table: str = "",
        column: str = "",
        row: int | None = None,
        state: str = "",
        next_step: str = "",
    ) -> None:
        super().__init__(message, state=state, next_step=next_step)
        self.table = table
        self.column = column
        self.row = row


class DuplicateKeys(DataError):
    """Several source rows meet in one row key."""


class CheckpointError(Terminal, FerryError):
    """Stored state that cannot be used: another plan's, a newer version's, or broken."""


class OtherSource(CheckpointError):
    """The source is not the one that the table is from, or cannot be known to be."""


class OtherTable(OtherSource):
    """The database is the one that the table is from, but the table is gone, or another one has its name."""


class LeaseHeld(Transient, FerryError):
    """Another run holds the table."""


class TargetNotEmpty(Terminal, FerryError):
    """A container that gridferry did not load holds rows where the load would put its own."""

    exit_code = 2
