"""What was added to an error on its way."""

from __future__ import annotations


def notes(error: BaseException) -> list[str]:
    """The notes of an error, in order; Python 3.10, whose errors have none of their own, gets them from gridferry."""
    return list(getattr(error, "__notes__", []))
