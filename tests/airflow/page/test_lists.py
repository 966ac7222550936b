"""Choosing, ordering and paging; answers that are shared; what importing the plugin costs."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from gridferry.airflow.page.answers import Answers, StillAsking
from gridferry.airflow.page.choice import Choice, Only, Order, page_of
from gridferry.airflow.page.facts import RowsAt, ShownContainer
from gridferry.airflow.page.lazy import LazyApp
from gridferry.airflow.page.sparklines import bars, lines

CONTAINERS = [
    ShownContainer("even", "b8:27", "equal", verified_rows=9, last_written="2026-01-02T00:00:00.000+00:00"),
    ShownContainer("held", None, "equal", held=3),
    ShownContainer("new", "zz"),
    ShownContainer("wrong", "B8:28", "different", differences=2, last_written="2026-01-01T00:00:00.000+00:00"),
    ShownContainer("worse", "00", "different", differences=7),
]


def names(**choice: Any) -> list[str]:
    return [c.name for c in page_of(CONTAINERS, Choice(**choice)).rows]


def test_what_needs_a_look_comes_first() -> None:
    assert names() == ["worse", "wrong", "held", "new", "even"]


@pytest.mark.parametrize(
    ("sort", "first"),
    [(Order.NAME, "even"), (Order.HELD, "held"), (Order.ROWS, "even"), (Order.LAST, "held")],
)
def test_orders(sort: Order, first: str) -> None:
    assert names(sort=sort)[0] == first


def test_filters_and_search() -> None:
    assert names(only=Only.DIFFERS) == ["worse", "wrong"]
    assert names(only=Only.UNVERIFIED) == ["new"]
    assert names(only=Only.HELD) == ["held"]
    assert names(q=" b8:2 ", sort=Order.NAME) == ["even", "wrong"]
    assert names(q="WORSE") == ["worse"]
    assert names(q="no such") == []


def test_pages_hold_every_container_once_and_the_last_one_answers_for_those_behind_it() -> None:
    seen = [c for page in (1, 2, 3) for c in names(page=page, size=2)]
    assert sorted(seen) == sorted(c.name for c in CONTAINERS)
    part = page_of(CONTAINERS, Choice(page=99, size=2))
    assert (part.page, part.pages, part.found, len(part.rows)) == (3, 3, 5, 1)
    assert page_of([], Choice()).pages == 1


def test_a_link_keeps_the_choice_and_begins_a_new_list_at_its_first_page() -> None:
    choice = Choice(connection="a&b", q="x y", only=Only.HELD, page=4)
    assert choice.link(page=5) == "?connection=a%26b&q=x+y&only=held&page=5"
    assert choice.link(sort=Order.NAME.value) == "?connection=a%26b&q=x+y&only=held&sort=name"
    assert Choice().link() == "?"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_is_shared_until_it_is_old_and_so_is_an_error() -> None:
    clock, asked = Clock(), []

    def ask() -> str:
        asked.append(1)
        if len(asked) == 2:
            raise ValueError("away")
        return f"answer {len(asked)}"

    answers: Answers[str] = Answers(keep_s=10, clock=clock)
    assert [answers.get("a", ask), answers.get("a", ask)] == ["answer 1"] * 2
    clock.now = 10.0
    for _ in range(2):
        with pytest.raises(ValueError, match="away"):
            answers.get("a", ask)
    assert len(asked) == 2
    clock.now = 20.0
    assert answers.get("a", ask) == "answer 3"
    answers.close()


def test_an_error_of_time_is_an_answer_and_not_taken_for_waiting() -> None:
    def ask() -> str:
        raise TimeoutError("of the server")

    answers: Answers[str] = Answers()
    with pytest.raises(TimeoutError, match="of the server"):
        answers.get("a", ask)
    answers.close()


def test_a_slow_answer_is_not_waited_for_and_there_later() -> None:
    go, asked = threading.Event(), []

    def ask() -> str:
        asked.append(1)
        go.wait(30)
        return "late"

    answers: Answers[str] = Answers(wait_s=0.01)
    for _ in range(3):
        with pytest.raises(StillAsking):
            answers.get("a", ask)
    go.set()
    answers.close()  # waits for what is under way
    assert answers.get("a", ask) == "late"
    assert len(asked) == 1


def test_an_answer_that_nobody_waited_for_is_there_at_the_next_refresh() -> None:
    clock, asked = Clock(), []

    def ask() -> str:
        asked.append(1)
        clock.now += 6.0
        return f"answer {len(asked)}"

    answers: Answers[str] = Answers(keep_s=10, keep_late_s=40, wait_s=5, clock=clock)
    assert answers.get("a", ask) == "answer 1"
    clock.now = 30.0  # the page refreshes every 30 s
    assert answers.get("a", ask) == "answer 1"
    clock.now = 46.0
    assert answers.get("a", ask) == "answer 2"
    answers.close()


def test_only_some_threads_wait_at_the_same_time() -> None:
    begun, go = threading.Event(), threading.Event()

    def ask() -> str:
        begun.set()
        go.wait(30)
        return "late"

    answers: Answers[str] = Answers(wait_s=30, most_waiting=1)
    first = threading.Thread(target=answers.get, args=("a", ask))
    first.start()
    assert begun.wait(30)
    while answers._waiting._value:
        begun.wait(0.001)
    with pytest.raises(StillAsking):
        answers.get("b", ask)
    go.set()
    first.join(30)
    answers.close()


def test_sparklines() -> None:
    drawn = str(bars([0, 1, 1000], 'rows of <b>"x"</b>'))
    assert drawn.count("<rect") == 2
    assert "<b>" not in drawn
    assert bars([], "none") == ""
    rows = [RowsAt("2026-01-01T00:00:00Z", None, 5), RowsAt("2026-01-02T00:00:00Z", 7, 7)]
    assert str(lines(rows, "rows")).count("<polyline") == 2
    assert lines(rows[:1], "rows") == ""
    assert "nan" not in str(lines([rows[0], rows[0]], "equal times and counts"))


_IMPORTS = """
import sys
import airflow.sdk, airflow.plugins_manager, airflow.sdk.plugins_manager, airflow.triggers.base, airflow.sdk.exceptions
before = set(sys.modules)
import gridferry.airflow.plugin
print(*sorted(set(sys.modules) - before))
"""


def test_importing_the_plugin_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert "gridferry.airflow.page.lazy" in loaded
    heavy = {"fastapi", "starlette", "pyarrow", "numpy", "psycopg", "jinja2", "sqlalchemy", "pydantic"}
    assert not {name.partition(".")[0] for name in loaded} & heavy
    assert not [
        name for name in loaded if name.startswith(("gridferry.engine", "gridferry.griddb", "gridferry.report"))
    ]


def test_the_app_is_made_once() -> None:
    lazy = LazyApp()
    assert lazy.app is lazy.app
