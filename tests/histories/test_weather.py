"""The weather on a proxy's line does what it says."""

from __future__ import annotations

import pytest
from tests.histories.weather import Weather


def passed(weather: Weather, *data: bytes) -> list[bytes | None]:
    return [piece for each in data for piece in weather.pieces(each, up=True) if piece != b""]


def test_a_cut_comes_once_and_after_so_many_bytes() -> None:
    weather = Weather("cut", after=5)
    assert passed(weather, b"abc", b"defg", b"hi") == [b"abc", b"de", None, b"hi"]
    assert weather.came


@pytest.mark.parametrize("size", [1, 3])
def test_bits_are_small_and_all_of_it_comes(size: int) -> None:
    weather = Weather("split", after=2, split=size)
    pieces = [piece or b"" for piece in passed(weather, b"ab", b"cdefgh", b"ijk")]
    assert b"".join(pieces) == b"abcdefghijk"
    assert max(map(len, pieces[1:])) == size


def test_weather_that_is_not_due_does_not_come() -> None:
    weather = Weather("cut", after=100)
    assert passed(weather, b"abc") == [b"abc"]
    assert not weather.came
