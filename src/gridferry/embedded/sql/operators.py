"""Operations on typed values that functions and expressions share."""

from __future__ import annotations

from gridferry.embedded.shape import TIMESTAMPS
from gridferry.embedded.sql.values import NULL, Typed, as_type, at_precision, common_type, mismatch
from gridferry.embedded.tql_values import NUMBERS, TICKS_A_SECOND
from gridferry.griddb.schema import GridType

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def nullable(*values: Typed) -> bool:
    """Whether an operation on these may give NULL."""
    return any(v.nullable or v.type is None for v in values)


def compared(left: Typed, sign: str, right: Typed) -> Typed:
    """A comparison. Raises: 305010 for types that cannot be compared."""
    if left.type is None or right.type is None:
        return Typed("NULL::BOOLEAN", GridType.BOOL)
    alike = left.type is right.type or (left.type in NUMBERS and right.type in NUMBERS)
    sql = f"({left.sql} {sign} {right.sql})"
    if left.type in TIMESTAMPS and right.type in TIMESTAMPS:
        finest = max(left.type, right.type, key=lambda kind: TICKS_A_SECOND[kind])
        sql = f"({at_precision(left, finest)} {sign} {at_precision(right, finest)})"
    elif not alike:
        raise mismatch(left.label, right.label)
    return Typed(sql, GridType.BOOL, nullable(left, right))


def lowered(sql: str) -> str:
    """SQL of a text with the 26 letters of ASCII in lower case: all that the real server folds."""
    return f"translate({sql}, '{_UPPER}', '{_UPPER.lower()}')"


def raised(sql: str) -> str:
    """SQL of a text with the 26 letters of ASCII in upper case."""
    return f"translate({sql}, '{_UPPER.lower()}', '{_UPPER}')"


def coalesced(values: list[Typed]) -> Typed:
    kind = common_type(values)
    if kind is None:
        return NULL
    return Typed(f"coalesce({', '.join(as_type(v, kind) for v in values)})", kind, nullable(*values))
