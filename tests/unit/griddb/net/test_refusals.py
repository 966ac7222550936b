"""GridDB's error numbers and our errors: every number in the table, every class that belongs to GridDB."""

from __future__ import annotations

import pytest

from gridferry import errors
from gridferry.griddb.net.refusals import _BY_CODE, _LOGIN_CODES, _NEXT_STEPS, refusal, row_mode
from gridferry.griddb.wire.octets import Writer
from gridferry.griddb.wire.replies import ErrorReply
from gridferry.griddb.wire.statement import PutMode, Status

ROWS = {
    10014: errors.LockConflict,
    10016: errors.ContainerMissing,
    10017: errors.SchemaChanged,
    10038: errors.SchemaChanged,
    10051: errors.LockConflict,
    60016: errors.SchemaConflict,
    60026: errors.SchemaConflict,
    60054: errors.LockConflict,
    60064: errors.LockConflict,
    60132: errors.ResultSetLost,
    60149: errors.SchemaConflict,
    60154: errors.RowExists,
    60157: errors.SchemaChanged,
    60159: errors.SchemaChanged,
    60166: errors.LockConflict,
    110003: errors.SessionLost,
    110005: errors.SessionLost,
    110016: errors.SessionLost,
}
# Raised where they are noticed, not out of an error number.
ELSEWHERE = {
    errors.LocalProtocolError,
    errors.RemoteProtocolError,
    errors.NodeUnreachable,
    errors.ConnectionLost,
    errors.AnswerTimeout,
    errors.RowMissing,
}


def _body(
    code: int, *, message: str = "no.", name: str = "NAME", parameters: dict[str, str] | None = None
) -> memoryview:
    out = Writer()
    ErrorReply(code, message, name, parameters or {}).write(out)
    return memoryview(out.getvalue())


def _refusal(code: int, status: Status = Status.STATEMENT_ERROR) -> errors.GridDBError:
    return refusal(status, _body(code), node="h:1", asked="a thing")


def test_the_table_has_a_row_for_every_number() -> None:
    assert _BY_CODE == ROWS


@pytest.mark.parametrize(("code", "kind"), ROWS.items(), ids=str)
def test_each_number(code: int, kind: type[errors.StatementError]) -> None:
    error = _refusal(code)
    assert type(error) is kind
    assert isinstance(error, errors.StatementError)
    assert (error.code, error.name, error.node) == (code, "NAME", "h:1")
    assert str(error) == f"GridDB node h:1 refused a thing: no [{code} NAME]"


@pytest.mark.parametrize("code", sorted(_LOGIN_CODES))
@pytest.mark.parametrize("status", [Status.STATEMENT_ERROR, Status.DENY])
def test_logins(code: int, status: Status) -> None:
    assert type(_refusal(code, status)) is errors.AuthenticationFailed


@pytest.mark.parametrize("status", [Status.NODE_ERROR, Status.DENY])
@pytest.mark.parametrize("code", [10008, 10009, 10010, 10091, 60016])
def test_a_node_that_is_not_the_right_one(status: Status, code: int) -> None:
    assert type(_refusal(code, status)) is errors.WrongNode


def test_any_other_number() -> None:
    assert type(_refusal(4711)) is errors.StatementError


@pytest.mark.parametrize("code", sorted(_NEXT_STEPS))
def test_next_steps(code: int) -> None:
    assert _refusal(code).next_step == _NEXT_STEPS[code]


def test_every_class_of_griddb_is_reached() -> None:
    def leaves(kind: type[errors.FerryError]) -> set[type[errors.FerryError]]:
        own = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]  # not those of PEP 249
        below = {leaf for child in own for leaf in leaves(child)}
        return below or {kind}

    reached = {*ROWS.values(), errors.WrongNode, errors.AuthenticationFailed, errors.StatementError, *ELSEWHERE}
    assert leaves(errors.GridDBError) <= reached


@pytest.mark.parametrize("kind", [errors.SchemaChanged, errors.LockConflict, errors.ResultSetLost, errors.SessionLost])
def test_what_may_succeed_later_says_so(kind: type[errors.StatementError]) -> None:
    assert kind.exit_code == 75


@pytest.mark.parametrize("tail", [b"", b"\x04\0\0\0NAME"])
def test_tails_may_be_missing(tail: bytes) -> None:
    out = Writer()
    out.i32(1)
    out.i32(60016)
    for text in ("message", "", "", ""):
        out.string(text)
    out.i32(-1)
    out.raw(tail)
    error = refusal(Status.STATEMENT_ERROR, memoryview(out.getvalue()), node="h:1", asked="x")
    assert isinstance(error, errors.SchemaConflict)
    assert error.name == ("NAME" if tail else "")
    assert error.parameters == {}


def test_parameters_are_kept() -> None:
    body = _body(60015, parameters={"container": "c1"})
    error = refusal(Status.STATEMENT_ERROR, body, node="h:1", asked="x")
    assert isinstance(error, errors.StatementError)
    assert error.parameters == {"container": "c1"}


def test_no_entry_at_all() -> None:
    error = refusal(Status.STATEMENT_ERROR, memoryview(bytes(4)), node="h:1", asked="x")
    assert "gave no reason" in str(error)


def test_a_body_that_is_cut() -> None:
    with pytest.raises(errors.RemoteProtocolError):
        refusal(Status.STATEMENT_ERROR, _body(60016)[:20], node="h:1", asked="x")


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(PutMode.UPDATE, errors.RowMissing), (PutMode.INSERT, errors.RowExists), (PutMode.UPSERT, errors.RowExists)],
)
def test_the_mode_tells_what_60154_means(mode: PutMode, kind: type[errors.StatementError]) -> None:
    error = _refusal(60154)
    with pytest.raises(kind) as caught, row_mode(mode):
        raise error
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.node, caught.value.name) == (60154, "h:1", "NAME")


def test_a_message_that_cites_part_of_a_letter_is_told_all_the_same() -> None:
    """GridDB cites the first byte of a name that it refuses."""
    body = bytes(_body(1008, message="columnName contains forbidden characters : ?", name="CM_LIMITS_EXCEEDED"))
    cited = memoryview(body.replace(b": ?", b": \xc3"))
    error = refusal(Status.STATEMENT_ERROR, cited, node="h:1", asked="to create container")
    assert type(error) is errors.StatementError
    assert "columnName contains forbidden characters : \ufffd [1008 CM_LIMITS_EXCEEDED]" in str(error)
