"""Times as gridferry writes them: ISO 8601 text in UTC, from the source's clock or this machine's."""

from __future__ import annotations

from datetime import datetime, timezone


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
