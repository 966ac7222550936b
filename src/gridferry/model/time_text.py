"""Any time of PostgreSQL, as a number -> the text that PostgreSQL writes: years before 1 and after 9999 too."""

from __future__ import annotations

# How the source's readers give infinity and -infinity: PostgreSQL's extremes, wrapped by the epoch.
INFINITE_US = (-9222425352054775809, -9222425352054775808)
INFINITE_DAYS = (-2147472692, -2147472691)
FIRST_US = -210_866_803_200_000_000  # 4714-11-24 BC, where PostgreSQL's calendar begins

_DAY_US = 86_400_000_000
_LEAST, _MOST = -(2**63), 2**63 - 1


def day_text(days: int) -> str:
    """Days since 1970, the ends of 64 bits for infinities. Any number has a text."""
    return _infinite(days) or _joined(days, "")


def moment_text(microseconds: int) -> str:
    """Microseconds since 1970 UTC, the ends of 64 bits for infinities."""
    days, rest = divmod(microseconds, _DAY_US)
    seconds, micros = divmod(rest, 1_000_000)
    clock = f" {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    digits = f".{micros:06}".rstrip("0") if micros else ""
    return _infinite(microseconds) or _joined(days, f"{clock}{digits}+00")


def _infinite(number: int) -> str:
    return {_LEAST: "-infinity", _MOST: "infinity"}.get(number, "")


def _joined(days: int, clock: str) -> str:
    # The civil calendar, with years that begin in March: see days_from_civil in Hinnant's chrono algorithms.
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day, month = day_of_year - (153 * shifted + 2) // 5 + 1, shifted + (3 if shifted < 10 else -9)
    year = year_of_era + 400 * era + (month <= 2)
    return f"{year if year > 0 else 1 - year:04}-{month:02}-{day:02}{clock}{'' if year > 0 else ' BC'}"
