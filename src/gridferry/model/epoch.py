"""Times kept as numbers: how many units since 1970 UTC a number counts, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SECONDS_TO_10000 = 253_402_300_800  # 10000-01-01T00:00:00Z, which GridDB does not reach
FINEST = 6  # digits below the second that a double's time is taken to


class EpochUnit(str, Enum):
    """What a number counts since 1970 UTC."""

    SECONDS = "epoch_s"
    MILLISECONDS = "epoch_ms"
    MICROSECONDS = "epoch_us"
    NANOSECONDS = "epoch_ns"

    @property
    def digits(self) -> int:
        """The digits below the second that one of it stands for: 0, 3, 6 or 9."""
        return 3 * list(EpochUnit).index(self)


class Numbers(str, Enum):
    """What sort of numbers the source has."""

    WHOLE = "whole"
    DOUBLE = "double"
    DECIMAL = "decimal"


@dataclass(frozen=True)
class Epoch:
    """A column of numbers that becomes times. `unit` and `digits` are digits below the second: the source's unit has
    0, 3, 6 or 9, the target's type 3 or 6.
    """

    unit: int
    digits: int
    numbers: Numbers

    @property
    def end(self) -> int:
        """The first number, in the source's unit, whose time GridDB does not reach."""
        return SECONDS_TO_10000 * int(10**self.unit)

    @property
    def last(self) -> int:
        """The last time of GridDB in the target's unit."""
        return SECONDS_TO_10000 * int(10**self.digits) - 1

    @property
    def may_lose(self) -> bool:
        """Whether the source can have digits that the target's type has not."""
        return self.numbers is not Numbers.WHOLE or self.unit > self.digits


NUMBERS_OF = {
    "int2": Numbers.WHOLE,
    "int4": Numbers.WHOLE,
    "int8": Numbers.WHOLE,
    "float8": Numbers.DOUBLE,
    "numeric": Numbers.DECIMAL,
}
"""By pg_type.typname. A real is none: of a time of today it keeps no minute."""
