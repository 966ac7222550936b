"""Containers that were made before and are missing now."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 5


def gone_note(names: Sequence[str]) -> str:
    """What there is to say of containers that were gone and made again."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (
        "containers were gone, and were made again without the rows that they held: "
        f"{', '.join(names[:_SHOWN])}{more}; run `gridferry repair`"
    )
