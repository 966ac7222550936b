"""How the last sync of a table failed, as it is remembered until a sync ends well."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gridferry.errors import FerryError, Transient
from gridferry.model.forms import Count, Moment, Name, Sentence

MOST_CHARACTERS = 2_000  # of each text that is remembered
_NUMBER = re.compile(r"[0-9]+")
_NOT_STORED = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class SyncFailure:
    """An error that ended a sync. `since` is when it was first met: the same one again is no change of state."""

    since: Moment
    type: Name
    message: Sentence
    state: Sentence
    next_step: Sentence
    try_again: bool
    exit_code: Count

    def same_as(self, other: SyncFailure) -> bool:
        """Whether both tell the same; numbers (ports, positions, milliseconds) may differ from try to try."""
        return self.type == other.type and _without_numbers(self.message) == _without_numbers(other.message)


def sync_failure(error: FerryError, *, now: str) -> SyncFailure:
    """What is remembered of an error."""
    return SyncFailure(
        since=now,
        type=type(error).__name__,
        message=_stored(error.message),
        state=_stored(error.state),
        next_step=_stored(error.next_step),
        try_again=isinstance(error, Transient),
        exit_code=error.exit_code,
    )


def _stored(text: str) -> str:
    return _NOT_STORED.sub("?", text)[:MOST_CHARACTERS]


def _without_numbers(text: str) -> str:
    return _NUMBER.sub("0", text)
