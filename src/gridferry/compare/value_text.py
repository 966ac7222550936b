"""Values of a container as text, for reports and files. Different values have different text."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc


def texts(array: pa.Array) -> pa.Array:
    """n values as text (utf8), NULL as NULL.

    Numbers in the shortest form that reads back to the same bits, times as ISO 8601 in UTC, bytes as hex after `\\x`,
    arrays in brackets, with their texts in double quotes.
    """
    kind = array.type
    if pa.types.is_timestamp(kind):
        return _times(array)
    if pa.types.is_list(kind):
        return _lists(array)
    if pa.types.is_binary(kind):
        return pa.array([None if v is None else "\\x" + v.hex() for v in array.to_pylist()], pa.utf8())
    if pa.types.is_floating(kind):
        return _floats(array)
    return array.cast(pa.utf8())


def _lists(array: pa.Array) -> pa.Array:
    quoted = pa.types.is_string(array.type.value_type)
    written = []
    for row, valid in enumerate(array.is_valid().to_pylist()):
        found = texts(array.slice(row, 1).flatten()).to_pylist() if valid else []
        inner = ", ".join(json.dumps(text, ensure_ascii=False) if quoted else str(text) for text in found)
        written.append(f"[{inner}]" if valid else None)
    return pa.array(written, pa.utf8())


def _times(array: pa.Array) -> pa.Array:
    plain = array.view(pa.timestamp(array.type.unit)).cast(pa.utf8())
    return pc.binary_join_element_wise(pc.replace_substring(plain, " ", "T", max_replacements=1), "Z", "")


def _floats(array: pa.Array) -> pa.Array:
    written = array.cast(pa.utf8())
    named = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    odd = pc.fill_null(pc.invert(pc.is_finite(array)), False)
    if not pc.any(odd).as_py():
        return written
    return pa.array([None if text is None else named.get(text, text) for text in written.to_pylist()], pa.utf8())
