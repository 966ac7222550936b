"""The one rule about trying again."""

from __future__ import annotations

from typing import Any

import pytest

from gridferry.engine.retry import is_transient, with_patience
from gridferry.errors import (
    ConnectionLost,
    DataError,
    FerryError,
    LeaseHeld,
    SourceUnreachable,
    StatementError,
    Terminal,
    Transient,
)


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += max(seconds, 0.1)


def attempts(errors: list[FerryError]) -> object:
    def attempt() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    return attempt


def test_a_transient_error_of_the_target_is_tried_again_at_once_and_then_ever_later() -> None:
    clock = Clock()
    heard: list[Any] = []
    errors: list[FerryError] = [ConnectionLost(str(n)) for n in range(8)]
    attempt = attempts(list(errors))
    assert with_patience(attempt, on_retry=heard.append, clock=clock, sleep=clock.sleep) == "done"  # type: ignore[arg-type]
    assert heard == errors
    assert clock.pauses == [0, 0.5, 1, 2, 4, 8, 8, 8]


@pytest.mark.parametrize("error", [DataError("x"), StatementError("x"), SourceUnreachable("x"), FerryError("x")])
def test_what_cannot_help_is_not_tried_again(error: FerryError) -> None:
    clock = Clock()
    with pytest.raises(FerryError) as caught:
        with_patience(attempts([error]), clock=clock, sleep=clock.sleep)  # type: ignore[arg-type]
    assert caught.value is error
    assert clock.pauses == []


def test_patience_ends() -> None:
    clock = Clock()

    def attempt() -> None:
        raise ConnectionLost(f"at {clock.now:.0f}")

    with pytest.raises(ConnectionLost):
        with_patience(attempt, patience_s=20, clock=clock, sleep=clock.sleep)
    assert 20 <= clock.now <= 28


def test_the_mark_decides() -> None:
    assert is_transient(ConnectionLost("x"))
    assert is_transient(LeaseHeld("x"))
    assert not is_transient(DataError("x"))
    assert not is_transient(OSError("x"))


def every(kind: type[FerryError]) -> list[type[FerryError]]:
    return [kind, *(k for sub in kind.__subclasses__() for k in every(sub))]


def test_no_error_carries_both_marks() -> None:
    for kind in every(FerryError):
        if issubclass(kind, Transient) and issubclass(kind, Terminal):
            # Statement errors are terminal unless their class says otherwise first.
            assert kind.__mro__.index(Transient) < kind.__mro__.index(Terminal)
            assert kind.exit_code == 75
