"""The hash of a row's values as the log sends them: the same as `sql.row_hash` makes in PostgreSQL.

The log has each value as its type writes it, under the settings that all of gridferry's sessions have, and so has the
text of a record. What PostgreSQL puts between the values is put there here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_DIGITS = 32
# Source: record_out() in PostgreSQL's rowtypes.c. Of a text in UTF-8 no other octet is a blank there.
_QUOTED = re.compile(rb'["\\(),\x09-\x0d ]')
_DOUBLED = re.compile(rb'(["\\])')


def row_hashes(values: Sequence[Sequence[bytes | None]]) -> pa.Array:
    """The hash of each of n rows (n,), text of 32 hexadecimal digits. Args: values: of each row, None for NULL."""
    return pa.array([_hash(row) for row in values], pa.utf8())


def record_text(row: Sequence[bytes | None]) -> bytes:
    """The text of a record of these values."""
    return b"(" + b",".join(map(_written, row)) + b")"


def _hash(row: Sequence[bytes | None]) -> str:
    return hashlib.sha256(record_text(row)).hexdigest()[:_DIGITS]


def _written(value: bytes | None) -> bytes:
    if value is None:
        return b""
    if value and _QUOTED.search(value) is None:
        return value
    return b'"' + _DOUBLED.sub(rb"\1\1", value) + b'"'


def values_of(
    raw: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], there: NDArray[np.bool_]
) -> list[bytes | None]:
    """The values (m,) of one column: octets from `starts` to `ends` of `raw`; None where they are not `there`."""
    octets = raw.data
    pairs = zip(starts.tolist(), ends.tolist(), there.tolist(), strict=True)
    return [bytes(octets[start:end]) if is_there else None for start, end, is_there in pairs]
