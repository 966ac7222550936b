"""Charts: what is drawn, where, and that nothing but drawing is in them."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.report.samples import EVIL, HISTORY, calm_table, evil_table

from gridferry.checkpoint.history import Sample
from gridferry.model.verification import DifferenceCount
from gridferry.report.charts import lag_chart, nice_top, rows_chart, short_number, tick_texts
from gridferry.report.drawings import lag_drawing, lag_points, row_drawings, width_text
from gridferry.report.facts import RowsOverTime, Series

HOUR = 3600
DAY = 86_400


def sample(second: int, as_of: int) -> Sample:
    return Sample(f"2026-03-14T09:00:{second:02d}.000+00:00", f"2026-03-14T09:00:{as_of:02d}.000000Z")


def circles(svg: str) -> int:
    return svg.count("<circle")


def test_a_chart_holds_nothing_but_drawing() -> None:
    svg = rows_chart([5, 6, 7], [5, 6, 6], start_s=0, width_s=HOUR, marked=[2], title=EVIL)
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == EVIL
    kinds = {re.sub(r"\{.*\}", "", element.tag) for element in root.iter()}
    assert kinds == {"svg", "g", "path", "text", "circle"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not names & {"style", "id", "onclick", "href"}
    assert len(svg) < 4_000


def test_charts_leave_the_imports_of_the_process_alone() -> None:
    assert not [finder for finder in sys.meta_path if type(finder).__module__.startswith("pygal")]


def test_marked_buckets_have_a_dot() -> None:
    even = rows_chart([5, 6, 7], [5, 6, 7], start_s=0, width_s=HOUR, title="t")
    assert circles(even) == 0
    assert circles(rows_chart([5, 6, 7], [5, 6, 6], start_s=0, width_s=HOUR, marked=[0, 2, 99], title="t")) == 2


def test_a_single_bucket_is_seen() -> None:
    assert circles(rows_chart([5], [5], start_s=0, width_s=HOUR, title="t")) == 2


def test_an_unknown_side_is_left_out() -> None:
    svg = rows_chart(None, [5, 6], start_s=0, width_s=HOUR, title="t")
    assert "serie-0" not in svg
    assert "serie-1" in svg


@given(st.integers(0, 4_000_000_000), st.integers(1, 4_000_000_000))
def test_ticks_are_few_and_inside(low: int, span: int) -> None:
    ticks = tick_texts(low, low + span)
    assert len(ticks) <= 5
    assert all(low <= place <= low + span for place in ticks)
    assert all(ticks.values())


@given(st.floats(0, 1e15))
def test_an_axis_ends_above_its_values_and_not_far(value: float) -> None:
    assert value <= nice_top(value) <= max(1.0, 2 * value)


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (950, "950"), (1_500, "1.5k"), (3e6, "3M"), (2.5e9, "2.5G")])
def test_short_numbers(value: float, text: str) -> None:
    assert short_number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "1 second"), (10_800, "3 hours"), (DAY, "1 day"), (90, "90 seconds")]
)
def test_widths_in_words(seconds: int, text: str) -> None:
    assert width_text(seconds) == text


def test_a_lag_grows_until_a_run_and_then_falls() -> None:
    points = lag_points([sample(10, 9), sample(30, 28)], "2026-03-14T09:00:40.000+00:00")
    base = points[0][0]
    assert [(at - base, lag) for at, lag in points] == [(0, 1), (20, 21), (20, 2), (30, 12)]


def test_a_lag_between_joined_samples_is_kept() -> None:
    joined = sample(10, 9).joined(Sample(**{**vars(sample(30, 28)), "lag_s": 50.0}))
    assert max(lag for _, lag in lag_points([joined], joined.at)) == 50.0


def test_a_lag_chart_needs_a_history() -> None:
    assert lag_drawing((), "2026-03-14T09:00:00.000+00:00") is None
    drawing = lag_drawing(HISTORY, "2026-03-14T09:30:00.000+00:00")
    assert drawing is not None
    assert drawing.sentence == "At most 3 min 0 s since 2026-03-14 09:10 UTC, in 10 runs; 3 min 0 s now."


def test_lags_have_round_axes() -> None:
    svg = lag_chart([(0.0, 0.0), (900.0, 840.0)], title="t")
    assert ">20 min<" in svg
    assert ">10 min<" in svg


def test_all_containers_are_drawn_first_where_there_are_several() -> None:
    assert [d.heading for d in row_drawings(calm_table(2))] == [
        "All 2 containers", "device_00000 (b8:27:eb:00000)", "device_00001 (b8:27:eb:00001)",
    ]  # fmt: skip
    assert [d.heading for d in row_drawings(calm_table(1))] == ["device_00000 (b8:27:eb:00000)"]


def test_steps_in_which_the_numbers_differ_are_marked_and_told() -> None:
    (drawing,) = row_drawings(evil_table())
    assert drawing.wrong
    assert drawing.sentence == "10 rows in PostgreSQL, 9 in GridDB; the numbers differ in 1 step."
    assert circles(drawing.svg) == 1


@pytest.mark.parametrize(
    ("bucket", "width_s", "dots"),
    [
        ("2026-03-15", 6 * HOUR, 4),
        ("2026-03-14", DAY, 1),
        ("2026-03", DAY, 8),
        ("2027", DAY, 0),
        ("", DAY, 0),
        ("x", DAY, 0),
    ],
)
def test_where_only_values_differ_the_whole_date_is_marked(bucket: str, width_s: int, dots: int) -> None:
    table = calm_table(1)
    series = Series("device_00000", "a", (5,) * 8, (5,) * 8)
    verification = table.verifications[0]
    changed = calm_table(
        1,
        over_time=RowsOverTime("ts", "2026-03-14T00:00:00.000Z", width_s, width_s, None, (series,)),
        verifications=(
            type(verification)(
                **{**vars(verification), "summary": (DifferenceCount("device_00000", bucket, different=3),)}
            ),
        ),
    )
    (drawing,) = row_drawings(changed)
    assert drawing.wrong
    assert circles(drawing.svg) == dots
