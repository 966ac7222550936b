"""`sync --follow` over several tables: one that fails is told at once, the others are followed on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from gridferry.engine.events import Note, TableFailed, TableSync
from gridferry.engine.sync.tables import ROTATION_S, FollowLoop
from gridferry.errors import DataError, FerryError, LeaseHeld, NotLoaded, PasswordRefused
from gridferry.model.failed_tables import SomeTablesFailed
from gridferry.model.outcomes import SyncOutcome
from gridferry.plan.sync_options import SyncMode

Step = FerryError | None


class Scripted:
    """A table whose runs end as the script says; the last step is repeated."""

    def __init__(
        self, table: str, *steps: Step, endless: bool = False, until: Callable[[], bool] | None = None
    ) -> None:
        self.table = table
        self.endless = endless
        self.runs = 0
        self.let_in = False
        self.is_failing = False
        self._steps = steps or (None,)
        self._until = until

    def run(self, *, follow: bool = False) -> TableSync:
        step = self._steps[min(self.runs, len(self._steps) - 1)]
        self.runs += 1
        self.let_in = not isinstance(step, PasswordRefused)
        if step is not None:
            raise step
        while self.endless and self._until is not None and not self._until():
            threading.Event().wait(0.01)
        return TableSync(self.table, SyncMode.WATERMARK, SyncOutcome.SYNCED, read=1, rows=1)


def following(
    heard: list[Any],
    until: Callable[[], bool],
    *tables: Scripted,
    left_out: Callable[[str], object | None] = lambda table: None,
) -> FollowLoop:
    followers: Any = tables
    cut = threading.Event()
    return FollowLoop(followers, interval_s=0.0, until=until, cut=cut, tell=heard.append, left_out=left_out)


def test_the_others_are_followed_on_and_the_end_has_the_worst_code() -> None:
    heard: list[Any] = []
    bad, good = Scripted("public.bad", None, DataError("a row is too long")), Scripted("public.good")
    with pytest.raises(SomeTablesFailed) as caught:
        following(heard, lambda: good.runs >= 5, bad, good).run()
    assert (bad.runs, good.runs) == (2, 5)
    assert [(e.table, e.error.message) for e in heard if isinstance(e, TableFailed)] == [
        ("public.bad", "a row is too long")
    ]
    assert caught.value.exit_code == 3
    assert [(done.table, done.rows) for done in caught.value.done] == [("public.good", 5)]


def test_it_ends_by_itself_once_none_is_left() -> None:
    heard: list[Any] = []
    bad, worse = (
        Scripted("public.bad", LeaseHeld("held"), DataError("too long")),
        Scripted("public.worse", DataError("x")),
    )
    with pytest.raises(SomeTablesFailed) as caught:
        following(heard, lambda: False, bad, worse).run()
    assert [each.table for each in caught.value.failures] == ["public.bad", "public.worse"]
    assert [event.table for event in heard if isinstance(event, Note)] == ["public.bad"]


def test_a_single_table_ends_with_its_own_error() -> None:
    with pytest.raises(DataError):
        following([], lambda: False, Scripted("public.bad", DataError("too long"))).run()


def test_a_table_that_is_not_loaded_is_told_once_and_joins_when_it_is() -> None:
    heard: list[Any] = []
    late = Scripted("public.late", NotLoaded("not loaded"), NotLoaded("not loaded"), None)
    good = Scripted("public.good")
    done = following(heard, lambda: good.runs >= 6, late, good).run()
    assert {each.table for each in done} == {"public.late", "public.good"}
    assert [event.table for event in heard if isinstance(event, TableFailed)] == ["public.late"]


def test_tables_of_which_none_is_loaded_end_it() -> None:
    with pytest.raises(SomeTablesFailed) as caught:
        following([], lambda: False, Scripted("public.a", NotLoaded("no")), Scripted("public.b", NotLoaded("no"))).run()
    assert caught.value.exit_code == 2


def test_a_stream_goes_on_while_another_failed() -> None:
    heard: list[Any] = []
    ended = threading.Event()
    stream = Scripted("public.stream", endless=True, until=ended.is_set)
    bad = Scripted("public.bad", DataError("too long"), endless=True)

    def hear(event: Any) -> None:
        heard.append(event)
        if isinstance(event, TableFailed):
            threading.Timer(0.2, ended.set).start()

    followers: Any = (stream, bad)
    with pytest.raises(SomeTablesFailed) as caught:
        FollowLoop(followers, interval_s=0.0, until=ended.is_set, cut=threading.Event(), tell=hear).run()
    assert caught.value.finished == ("public.stream",)


def test_a_defect_ends_all() -> None:
    class Broken(Scripted):
        def run(self, *, follow: bool = False) -> TableSync:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        following([], lambda: False, Broken("public.bad"), Scripted("public.good")).run()


REFUSED = PasswordRefused("password authentication failed")


@pytest.mark.parametrize("let_in", [None, LeaseHeld("held")])
def test_a_password_that_was_right_may_come_anew(let_in: Step) -> None:
    heard: list[Any] = []
    rotated = Scripted("public.a", let_in, REFUSED, REFUSED, None)
    (done,) = following(heard, lambda: rotated.runs >= 5, rotated).run()
    assert done.rows >= 2 - (let_in is not None)
    assert [e.message for e in heard if isinstance(e, Note) and "password" in e.message] == [
        "password authentication failed; tried again in 0 s"
    ] * 2


def test_a_password_that_was_never_right_ends_it_at_once() -> None:
    wrong = Scripted("public.a", REFUSED)
    with pytest.raises(PasswordRefused):
        following([], lambda: False, wrong).run()
    assert wrong.runs == 1


def test_a_password_is_not_waited_for_without_end_but_each_time_anew() -> None:
    seconds = 0.0

    class Slow(Scripted):
        def run(self, *, follow: bool = False) -> TableSync:
            nonlocal seconds
            seconds += ROTATION_S * 0.6
            return super().run(follow=follow)

    followers: Any = [Slow("public.a", None, REFUSED, REFUSED, None, REFUSED, REFUSED, REFUSED)]
    loop = FollowLoop(
        followers,
        interval_s=0.0,
        until=lambda: False,
        cut=threading.Event(),
        tell=lambda _: None,
        clock=lambda: seconds,
    )
    with pytest.raises(PasswordRefused):
        loop.run()
    assert followers[0].runs == 7


def test_a_table_that_was_brought_back_is_followed_again() -> None:
    heard: list[Any] = []
    good, bad = Scripted("public.good"), Scripted("public.bad", DataError("a row is too long"), None)

    def until() -> bool:
        bad.is_failing = good.runs < 4  # as if it was kept in the target, until somebody brought the table back
        return good.runs >= 6

    done = following(heard, until, good, bad).run()
    assert [each.table for each in done] == ["public.good", "public.bad"]
    assert bad.runs >= 2


def test_a_table_that_is_left_out_has_no_run_until_it_is_resumed() -> None:
    heard: list[Any] = []
    one, other = Scripted("public.one"), Scripted("public.other")

    def left_out(table: str) -> object | None:
        return True if table == "public.other" and one.runs < 3 else None

    following(heard, lambda: one.runs >= 5, one, other, left_out=left_out).run()
    assert 0 < other.runs < one.runs
