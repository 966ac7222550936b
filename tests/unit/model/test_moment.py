"""Times of gridferry's own."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from gridferry.model.moment import age_s, moment_of


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
