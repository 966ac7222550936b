"""A place in PostgreSQL's write-ahead log."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gridferry.errors import CheckpointError
from gridferry.model.forms import Count, Digits

_TEXT = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


@dataclass(frozen=True, order=True)
class Lsn:
    """A log sequence number: `value` counts bytes of the log from its beginning, 0 <= value < 2**64."""

    value: int

    def __post_init__(self) -> None:
        if not 0 <= self.value < 1 << 64:
            raise CheckpointError(f"{self.value} is not a position in a write-ahead log")

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """The position that PostgreSQL writes as `16/B374D848`. Raises: CheckpointError for any other text."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise CheckpointError(
                f"{text!r} is not a position in a write-ahead log",
                next_step="the stored state is broken: see `gridferry status`",
            )
        return cls(int(found.group(1), 16) << 32 | int(found.group(2), 16))

    def __str__(self) -> str:
        return f"{self.value >> 32:X}/{self.value & 0xFFFFFFFF:X}"


@dataclass(frozen=True)
class LogOrigin:
    """Whose log a position is in: the cluster's system identifier, and the timeline that it writes.

    The timeline grows when a standby is promoted or a backup is restored.
    """

    system: Digits
    timeline: Count
