"""Bugs that others had, put back one at a time into a run's process."""

from __future__ import annotations

from collections.abc import Callable

BUGS: dict[str, Callable[[], None]] = {}


def plant(name: str) -> None:
    """Put a bug into this process."""
    BUGS[name]()
