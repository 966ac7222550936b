"""Rows written until they are on the target's disk: the one rule about containers that a server forgot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from gridferry.engine.retry import with_patience
from gridferry.errors import FerryError, SchemaChanged
from gridferry.target.table import TableTarget

T = TypeVar("T")


def until_stored(target: TableTarget, attempt: Callable[[], T], *, on_retry: Callable[[FerryError], None]) -> T:
    """See `until_all_stored`."""
    return until_all_stored([target], attempt, on_retry=on_retry)


def until_all_stored(
    targets: Sequence[TableTarget], attempt: Callable[[], T], *, on_retry: Callable[[FerryError], None]
) -> T:
    """`attempt`, which writes into these tables by row key and flushes, again after each transient error of the target.

    A server that crashed before a container was on its disk does not know it any more: then all are opened again, and
    those that are missing are made. Raises: as `with_patience`.
    """

    def again(error: FerryError) -> None:
        on_retry(error)
        if isinstance(error, SchemaChanged):
            for target in targets:
                target.reopen()

    done = with_patience(attempt, on_retry=again)
    for target in targets:
        target.stored()
    return done
