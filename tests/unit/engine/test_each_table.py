"""One bad table does not stop the others; what concerns all ends the run; the exit code is that of the worst."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.engine.each_table import LOAD, try_each
from gridferry.engine.events import TableFailed, TablesLeft
from gridferry.errors import (
    AuthenticationFailed,
    ConfigError,
    DataError,
    FerryError,
    LeaseHeld,
    NodeUnreachable,
    Transient,
)
from gridferry.model.failed_tables import BADNESS, SomeTablesFailed, worst
from gridferry.source.postgres.session.failures import connect_failure

TABLES = ("public.a", "public.b", "public.c")


def acts(**errors: BaseException) -> Callable[[str], str]:
    """What `try_each` does to a table: the errors by the table's last letter."""

    def act(table: str) -> str:
        if (error := errors.get(table[-1])) is not None:
            raise error
        return f"{table} is done"

    return act


def failed(act: Callable[[str], str], tables: tuple[str, ...] = TABLES, **more: Any) -> SomeTablesFailed:
    with pytest.raises(SomeTablesFailed) as caught:
        try_each(tables, act, doing=LOAD).require(LOAD, **more)
    return caught.value


def test_the_others_go_on_and_each_failure_has_its_words() -> None:
    heard: list[Any] = []
    act = acts(a=DataError("a row is too long", state="it was not stored", next_step="cut it"))
    tried = try_each(TABLES, act, doing=LOAD, tell=heard.append)
    assert tried.finished == ("public.b", "public.c")
    assert [(e.table, e.doing, e.others) for e in heard if isinstance(e, TableFailed)] == [("public.a", "load", 2)]
    error = failed(act)
    assert error.done == ["public.b is done", "public.c is done"]
    assert error.exit_code == 3
    assert not isinstance(error, Transient)
    for words in ("1 of 3 tables failed to load", "public.a: a row is too long", "it was not stored", "Next: cut it"):
        assert words in error.message
    assert error.state == "loaded: public.b, public.c; failed: public.a"


def test_a_single_table_raises_its_own_error() -> None:
    error = ConfigError("no such table")
    with pytest.raises(ConfigError) as caught:
        try_each(TABLES[:1], acts(a=error), doing=LOAD).require(LOAD)
    assert caught.value is error


@pytest.mark.parametrize(
    "error", [NodeUnreachable("away"), AuthenticationFailed("who?"), connect_failure("refused", display="x", user="y")]
)
def test_what_concerns_all_ends_the_run_and_the_rest_is_not_tried(error: FerryError) -> None:
    raised = failed(acts(b=error))
    assert (raised.finished, raised.not_tried) == (("public.a",), ("public.c",))
    assert "not tried: public.c" in raised.state
    assert raised.exit_code == error.exit_code
    assert isinstance(raised, Transient) == isinstance(error, Transient)


def test_what_concerns_all_from_the_first_table_on_is_said_as_it_is() -> None:
    error = NodeUnreachable("away")
    with pytest.raises(NodeUnreachable) as caught:
        try_each(TABLES, acts(a=error), doing=LOAD).require(LOAD)
    assert caught.value is error


def test_a_signal_ends_the_run_and_tells_how_all_tables_stand() -> None:
    heard: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        try_each(TABLES, acts(a=DataError("bad"), b=KeyboardInterrupt()), doing=LOAD, tell=heard.append)
    (left,) = [event for event in heard if isinstance(event, TablesLeft)]
    assert (left.finished, left.at, left.not_tried) == ((), "public.b", ("public.c",))
    assert [each.table for each in left.failures] == ["public.a"]


def test_only_passing_failures_are_worth_another_try() -> None:
    held = LeaseHeld("another run works on it")
    assert isinstance(failed(acts(a=held, c=held)), Transient)
    assert failed(acts(a=held)).exit_code == 75
    mixed = failed(acts(a=held, b=ConfigError("not loaded")))
    assert not isinstance(mixed, Transient)
    assert mixed.exit_code == 2


def test_what_was_done_counts_too() -> None:
    assert failed(acts(a=LeaseHeld("held")), codes=[1]).exit_code == 75
    assert failed(acts(a=ConfigError("no")), codes=[75]).exit_code == 2


@given(st.lists(st.sampled_from(BADNESS), min_size=1), st.randoms(use_true_random=False))
def test_the_worst_code_wins_in_any_order(codes: list[int], random: Any) -> None:
    shuffled = random.sample(codes, len(codes))
    assert worst(codes) == worst(shuffled) == min(codes, key=BADNESS.index)


def test_the_error_survives_a_process_border() -> None:
    error = failed(acts(a=DataError("bad", column="v")))
    again = pickle.loads(pickle.dumps(error))
    assert (again.message, again.exit_code, again.finished) == (error.message, error.exit_code, error.finished)
    assert again.failures[0].error.column == "v"
