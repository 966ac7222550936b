"""Arrays in PostgreSQL's text form -> Arrow lists, many at a time and with no loop over rows.

One form for a load and for the log: `{1,2}`, `{"a,b","say \\"x\\"",NULL}`, `{{1},{2}}` for two dimensions,
`[2:3]={1,2}` for another lower bound. GridDB's arrays are flat and hold no NULL.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_BRACE, _QUOTE, _COMMA, _BACKSLASH = b"{"[0], b'"'[0], b","[0], b"\\"[0]
_NULL = np.frombuffer(b"NULL", np.uint8)
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?)?(\+00)?$"

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Lists:
    """n arrays as the texts of all their elements, end to end: array i has the elements `bounds[i]` to `bounds[i + 1]`.

    `nested` (n,) are those that are not flat, with another lower bound or more dimensions: they have no elements here.
    `nulls` are positions of elements that are NULL.
    """

    elements: pa.Array
    bounds: Rows
    nested: NDArray[np.bool_]
    nulls: Rows

    def rows_of(self, elements: Rows) -> Rows:
        """The arrays that some elements belong to, each once."""
        return np.unique(np.searchsorted(self.bounds, elements, side="right") - 1)


def parse_lists(strings: pa.Array) -> Lists:
    """The elements of n arrays in their text form; NULL has none. Raises: ArrowInvalid for what is no array's text."""
    binary = strings.cast(pa.binary())
    count = len(binary)
    edges = np.frombuffer(binary.buffers()[1], np.int32, count + 1, 4 * binary.offset).astype(np.int64)
    data = binary.buffers()[2]
    # Two bytes more, so that the first two of every array can be looked at.
    given = np.frombuffer(data if data is not None else b"", np.uint8)[edges[0] : edges[-1]]
    edges -= edges[0]
    octets = np.concatenate([given, np.full(2, _BRACE, np.uint8)])
    starts, ends = edges[:-1], edges[1:]
    there = ~np.asarray(binary.is_null()) & (ends - starts > 2)
    nested = there & ((octets[starts] != _BRACE) | (octets[starts + 1] == _BRACE))
    flat = np.flatnonzero(there & ~nested)
    plain, kept = _escapes(octets)
    inside = np.zeros(len(octets) + 1, np.int64)
    np.cumsum((octets == _QUOTE) & plain, out=inside[1:])
    commas = np.flatnonzero((octets == _COMMA) & (inside[1:] % 2 == 0))
    within = np.searchsorted(starts, commas, side="right") - 1
    commas = commas[(there & ~nested)[within] & (commas < ends[within])] if count else commas[:0]
    first = np.sort(np.concatenate([starts[flat] + 1, commas + 1]))
    last = np.sort(np.concatenate([commas, ends[flat] - 1]))
    counts = np.zeros(count, np.int64)
    counts[flat] = np.searchsorted(commas, ends[flat]) - np.searchsorted(commas, starts[flat]) + 1
    quoted = octets[first] == _QUOTE
    four = np.flatnonzero(~quoted & (last - first == 4))
    nulls = four[(octets[first[four, None] + np.arange(4)] == _NULL).all(axis=1)]
    first, last = first + quoted, last - quoted
    if kept is not None:
        place = np.zeros(len(octets) + 1, np.int64)
        np.cumsum(kept, out=place[1:])
        octets, first, last = octets[kept], place[first], place[last]
    elements = _gathered(octets, first, last)
    bounds = np.zeros(count + 1, np.int64)
    np.cumsum(counts, out=bounds[1:])
    return Lists(elements, bounds, nested, nulls)


def _gathered(octets: NDArray[np.uint8], starts: Rows, ends: Rows) -> pa.Array:
    """The octets from each start to its end, as text: every second one of the pieces between them all."""
    edges = np.zeros(2 * len(starts) + 1, np.int64)
    edges[1::2], edges[2::2] = starts, ends
    if bool((edges[1:] < edges[:-1]).any()) or int(edges[-1]) > len(octets):
        raise pa.ArrowInvalid("the text of an array is not one")  # Arrow does not look
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(octets)]
    pieces = pa.Array.from_buffers(pa.large_utf8(), 2 * len(starts), buffers)
    return pieces.take(pa.array(np.arange(len(starts)) * 2 + 1)).cast(pa.utf8())


def _escapes(octets: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Which bytes are not escaped, and which stay when escapes are undone; None for all."""
    marks = octets == _BACKSLASH
    if not marks.any():
        return np.ones(len(octets), bool), None
    places = np.arange(len(octets))
    others = np.maximum.accumulate(np.where(marks, -1, places))
    before = np.concatenate([[0], places[:-1] - others[:-1]])  # backslashes right in front of each byte
    plain = before % 2 == 0
    return plain, ~(marks & plain)


def parse_times(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Dates and stamps in UTC as microseconds since 1970 (int64), and which of them have no year of four digits."""
    odd = pc.invert(pc.match_substring_regex(texts, _TIME))
    usual = pc.if_else(odd, pa.scalar(None, pa.utf8()), texts)
    naive = pc.replace_substring_regex(usual, r"\+00$", "")
    return naive.cast(pa.timestamp("us")).view(pa.int64()), odd
