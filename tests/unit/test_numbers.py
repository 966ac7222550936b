from __future__ import annotations

import pytest

from gridferry import numbers


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (9_949, "9.9 kB"), (9_960, "10 kB"), (999_499, "999 kB"),
     (999_501, "1.0 MB"), (38_000_000, "38 MB"), (1_234_000_000, "1.2 GB"), (5 * 10**18, "5000 PB")],
)  # fmt: skip
def test_size(octets: int, text: str) -> None:
    assert numbers.size(octets) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (0.84, "0.8 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"),
     (185, "3 min 5 s"), (3599.7, "1 h 0 min"), (7800, "2 h 10 min")],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("speed", "text"), [(0, "0 rows/s"), (12.4, "12 rows/s"), (999, "999 rows/s"), (412_345, "412,000 rows/s")]
)
def test_rate(speed: float, text: str) -> None:
    assert numbers.rate(speed) == text


def test_plural() -> None:
    assert numbers.plural(1, "row") == "1 row"
    assert numbers.plural(1200, "row") == "1,200 rows"
    assert numbers.plural(0, "entry", more="entries") == "0 entries"
