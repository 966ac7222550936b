from __future__ import annotations

from gridferry.model.chunk import Snapshot
from gridferry.model.watermark import MOST_MARKS, MOST_STEPS, Cursor, Mark, Step, first_cursor, for_column


def snapshot(visible: str, taken_at: str = "2024-05-01T00:00:00.000000Z") -> Snapshot:
    return Snapshot("name", "0/1", visible, taken_at)


FIRST = first_cursor("ts", snapshot("100:100:"))


def test_the_first_cursor_has_read_what_the_load_saw_and_sets_no_floor() -> None:
    assert FIRST.steps == (Step(100),)
    assert (FIRST.swept_xmin, FIRST.floor, FIRST.open_marks) == (100, None, ())


def test_a_mark_counts_once_all_that_was_open_then_has_ended() -> None:
    """A transaction that began before the mark can still write below it."""
    busy = FIRST.finished(snapshot("110:120:110"), floor=None, position="a", mark="a")
    assert busy.open_marks == ()
    still = busy.finished(snapshot("110:130:110"), floor=None, position="b", mark="b")
    assert still.open_marks == ()
    ended = still.finished(snapshot("125:140:125"), floor=None, position="c", mark="c")
    assert ended.open_marks == ("a", "b", "c")
    quiet = ended.finished(snapshot("150:150:"), floor="a", position="d", mark="d")
    assert (quiet.open_marks, quiet.marks) == (("d",), (Mark(150, "d"),))


def test_a_run_of_a_window_does_not_say_that_what_lies_below_was_read() -> None:
    window = FIRST.finished(snapshot("110:110:"), floor="m", position="z", mark="z")
    assert (window.steps, window.swept_xmin, window.floor) == ((Step(110),), 100, "m")
    swept = window.finished(snapshot("120:120:"), floor=None, position="z", mark="z")
    assert (swept.steps, swept.swept_xmin, swept.floor) == ((Step(120),), 120, None)


def test_progress_of_one_run_takes_the_place_of_its_earlier_progress() -> None:
    now = snapshot("110:115:110")
    first = FIRST.progressed(now, below="b", floor=None)
    second = first.progressed(now, below="c", floor="a")
    assert second.steps == (Step(100), Step(110, "c"))
    assert (second.floor, second.xmin) == ("a", 100)
    later = second.progressed(snapshot("120:120:"), below="a", floor="a")
    assert later.steps == (Step(100), Step(110, "c"), Step(120, "a"))


def test_progress_under_the_snapshot_that_was_finished_keeps_what_was_finished() -> None:
    again = FIRST.progressed(snapshot("100:101:100"), below="b", floor=None)
    assert again.steps == (Step(100), Step(100, "b"))


def test_steps_and_marks_stay_few_and_the_ones_that_count_stay() -> None:
    cursor = FIRST.finished(snapshot("101:101:"), floor=None, position="0", mark="first")
    for turn in range(100):
        cursor = cursor.finished(snapshot(f"101:{200 + turn}:101"), floor=None, position="0", mark=str(turn))
    assert len(cursor.marks) == MOST_MARKS
    assert (cursor.open_marks[0], cursor.open_marks[-1]) == ("first", "99")
    for turn in range(100):
        cursor = cursor.progressed(snapshot(f"{300 + turn}:500:300"), below=str(turn), floor=None)
    assert len(cursor.steps) == MOST_STEPS
    assert (cursor.steps[0], cursor.steps[-1]) == (Step(101), Step(399, "99"))


def test_another_column_keeps_what_was_read_by_transaction_only() -> None:
    cursor = Cursor("ts", (Step(110), Step(120, "x")), 100, floor="m", marks=(Mark(90, "k"),), position="z")
    assert for_column(cursor, "ts") is cursor
    other = for_column(cursor, "id")
    assert (other.column, other.steps, other.swept_xmin) == ("id", (Step(100),), 100)
    assert (other.floor, other.marks, other.position) == (None, (), None)
