"""Which declarations of `numeric` a row of the type table is for."""

from __future__ import annotations

from gridferry.model.table import PgType
from gridferry.plan.mapping import Condition

# Source: IEEE 754: decimals of up to 15 significant digits survive text -> double -> text.
_DOUBLE_DIGITS = 15
_EXACT_POWER = 22  # 10**22 is the greatest power of ten that a double holds exactly
_LONG_DIGITS = 18


def _whole(pg_type: PgType) -> bool:
    if pg_type.precision is None or pg_type.scale is None:
        return False
    return pg_type.scale <= 0 and pg_type.precision - pg_type.scale <= _LONG_DIGITS


def _short(pg_type: PgType) -> bool:
    scale = pg_type.scale or 0
    return (
        pg_type.precision is not None and pg_type.precision - min(scale, 0) <= _DOUBLE_DIGITS and scale <= _EXACT_POWER
    )


def _declared(pg_type: PgType) -> bool:
    return pg_type.precision is not None


def _wide(pg_type: PgType) -> bool:
    return not _whole(pg_type) and not _short(pg_type)


def _integral(pg_type: PgType) -> bool:
    return _wide(pg_type) and pg_type.precision is not None and (pg_type.scale or 0) <= 0


WIDE = Condition(f"p > {_DOUBLE_DIGITS}, or none", lambda pg_type: _wide(pg_type) and not _integral(pg_type))
INTEGRAL = Condition(f"p > {_LONG_DIGITS}, no fraction", _integral)
WHOLE = Condition(f"p <= {_LONG_DIGITS}, no fraction", _whole)
SHORT = Condition(f"p <= {_DOUBLE_DIGITS}, s <= {_EXACT_POWER}", _short)
DECLARED = Condition("with a precision", _declared)
