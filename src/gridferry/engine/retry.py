"""The one rule about trying again: what is marked `Transient` may be, everything else may not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from gridferry.errors import FerryError, LeaseHeld, SourceError, Transient

T = TypeVar("T")
PATIENCE_S = 60.0
_LONGEST_PAUSE_S = 8.0


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    return isinstance(error, Transient)


def with_patience(
    attempt: Callable[[], T],
    *,
    patience_s: float = PATIENCE_S,
    on_retry: Callable[[FerryError], None] = lambda error: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """`attempt` again after each transient error of the target, until `patience_s` have passed since the first one.

    A broken source is not asked again here: its snapshot is gone with its session, so only a new run can help. Nor is
    a lease that was lost: it does not come back.
    """
    first: float | None = None
    pause = 0.0
    while True:
        try:
            return attempt()
        except FerryError as error:
            now = clock()
            first = now if first is None else first
            if not is_transient(error) or isinstance(error, SourceError | LeaseHeld) or now - first >= patience_s:
                raise
            on_retry(error)
            sleep(pause)
            pause = min(_LONGEST_PAUSE_S, max(0.5, pause * 2))
