"""Times as gridferry writes them: ISO 8601 text in UTC, from the source's clock or this machine's."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_FIRST = datetime(1, 1, 1, tzinfo=timezone.utc)


def moment_of(stamp: str) -> datetime:
    """The time that a stamp means, in UTC; a stamp without a zone is in UTC. Raises: ValueError for any other text."""
    moment = datetime.fromisoformat(stamp[:-1] + "+00:00" if stamp.endswith("Z") else stamp)
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


def age_s(stamp: str, now: str = "") -> float | None:
    """Seconds from one stamp to another, or to this machine's clock; never below 0. None where one is no time."""
    try:
        then = moment_of(stamp)
        until = moment_of(now) if now else datetime.now(timezone.utc)
    except ValueError:
        return None
    return max(0.0, (until - then).total_seconds())


def later(one: str, other: str) -> str:
    """Of two stamps the one that means the later time, whatever their forms; "" is before any time."""
    return other if _order(other) > _order(one) else one


def is_after(stamp: str, other: str) -> bool:
    """Whether a stamp is later than another by their milliseconds: not every form has more digits than these.

    "" is before any time.
    """
    return _order(stamp) // 1000 > _order(other) // 1000


def shown(stamp: str) -> str:
    """`2026-01-31 12:00:05`, for people, of a stamp in UTC; "" of none."""
    return stamp[:19].replace("T", " ")


def _order(stamp: str) -> int:
    """Microseconds since the year 1, in UTC."""
    return (moment_of(stamp) - _FIRST) // timedelta(microseconds=1) if stamp else -1
