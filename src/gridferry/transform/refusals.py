"""Why a value has no place in the target, and which rows have such values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gridferry.griddb.wire.statement import MAX_ARRAY_ELEMENTS, MAX_STRING_BYTES


class Reason(str, Enum):
    """Why a value is refused; the codes that the quarantine stores."""

    NULL = "null"
    RANGE = "range"
    TIME_RANGE = "time_range"
    FINE_TIME = "fine_time"
    FINER_TIME = "finer_time"
    LENGTH = "length"
    ENCODING = "encoding"
    DIGITS = "digits"
    FRACTION = "fraction"
    NOT_A_NUMBER = "not_a_number"
    LIST = "list"


SENTENCES: dict[Reason, str] = {
    Reason.NULL: "is NULL where the container needs a value",
    Reason.RANGE: "is too large for the column's type",
    Reason.TIME_RANGE: "lies before 1970 or after 9999, or is infinite",
    Reason.FINE_TIME: "has digits below the millisecond",
    Reason.FINER_TIME: "has digits below the microsecond",
    Reason.LENGTH: f"is longer than {MAX_STRING_BYTES} bytes",
    Reason.ENCODING: "is not valid UTF-8",
    Reason.DIGITS: "has more digits than the column's type keeps",
    Reason.FRACTION: "has a fraction",
    Reason.NOT_A_NUMBER: "is NaN or infinite",
    Reason.LIST: (
        f"has NULL elements, several dimensions, another lower bound than 1 or more than {MAX_ARRAY_ELEMENTS} elements"
    ),
}


@dataclass(frozen=True)
class Refusal:
    """Rows that could not be converted, as ascending positions (k,), and why."""

    reason: Reason
    rows: NDArray[np.int64]


Converted = tuple[pa.Array, tuple[Refusal, ...]]


def refusal(reason: Reason, mask: pa.Array) -> tuple[Refusal, ...]:
    """The refusal of the rows where `mask` (booleans) is true; none if it never is."""
    if not pc.any(mask).as_py():
        return ()
    rows = np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False))
    return (Refusal(reason, rows.astype(np.int64)),)
