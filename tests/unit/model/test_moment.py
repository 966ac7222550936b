"""Times of gridferry's own."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from gridferry.model.moment import age_s, is_after, later, moment_of, shown


@pytest.mark.parametrize(
    "stamp",
    ["2026-03-14T09:26:53.500000Z", "2026-03-14T09:26:53.500+00:00", "2026-03-14T10:26:53.500+01:00",
     "2026-03-14T09:26:53.500"],
)  # fmt: skip
def test_all_forms_of_one_moment_are_one(stamp: str) -> None:
    assert moment_of(stamp) == datetime(2026, 3, 14, 9, 26, 53, 500_000, tzinfo=timezone.utc)


def test_an_age_is_in_seconds_and_never_negative() -> None:
    assert age_s("2026-03-14T09:00:00.000000Z", "2026-03-14T09:01:30.500+00:00") == 90.5
    assert age_s("2026-03-14T09:01:30.500+00:00", "2026-03-14T09:00:00.000000Z") == 0.0


def test_what_is_no_time_has_no_age() -> None:
    assert age_s("") is None
    assert age_s("yesterday") is None


def test_the_later_of_two_forms_is_the_later_time_and_not_the_greater_text() -> None:
    source, machine = "2026-03-14T09:26:53.500000Z", "2026-03-14T09:26:53.501+00:00"
    assert later(source, machine) == later(machine, source) == machine
    source = "2026-03-14T09:26:53.501000Z"  # the same time: the first of both, though "0" > "+"
    assert later(machine, source) == machine
    assert later("", source) == later(source, "") == source


def test_after_goes_by_milliseconds_as_one_form_has_no_more() -> None:
    machine = "2026-03-14T09:26:53.501+00:00"  # may have been .501900
    assert not is_after("2026-03-14T09:26:53.501500Z", machine)
    assert is_after("2026-03-14T09:26:53.502000Z", machine)
    assert not is_after("", machine)
    assert is_after(machine, "")


def test_every_form_is_shown_alike() -> None:
    shown_as = {shown(f"2026-03-14T09:26:53{rest}") for rest in (".500000Z", ".500+00:00", "Z")}
    assert (shown_as, shown("")) == ({"2026-03-14 09:26:53"}, "")
