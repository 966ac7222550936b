"""Numbers as people read them."""

from __future__ import annotations

_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")


def count(number: int) -> str:
    """`1,234,567`."""
    return f"{number:,}"


def plural(number: int, noun: str, *, more: str = "") -> str:
    """`1 row`, `2 rows`; `more` where the plural is not made by an s."""
    return f"{number:,} {noun if number == 1 else more or noun + 's'}"


def size(octets: int) -> str:
    """`812 bytes`, `38 MB`, `1.2 GB`; a kB is 1,000 bytes."""
    number, unit = float(octets), 0
    while number >= 999.5 and unit < len(_SIZES) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.1f} {_SIZES[unit]}" if unit and number < 9.95 else f"{number:.0f} {_SIZES[unit]}"


def duration(seconds: float) -> str:
    """`0.8 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def rate(rows_per_second: float) -> str:
    """`412,000 rows/s`, to three digits."""
    if rows_per_second >= 1000:
        digits = len(str(int(rows_per_second))) - 3
        rows_per_second = round(rows_per_second, -digits)
    return f"{rows_per_second:,.0f} rows/s"
