"""Columns of numbers that become times: which kernels do it, and what the config asks for."""

from __future__ import annotations

from enum import Enum

from gridferry.griddb.schema import GridType
from gridferry.model.epoch import NUMBERS_OF, Epoch, Numbers
from gridferry.model.table import Column
from gridferry.plan.column_wish import ColumnWish
from gridferry.plan.plan import ColumnPlan, Kernel, ReadAs

EPOCH_DIGITS = {GridType.TIMESTAMP_MS: 3, GridType.TIMESTAMP_US: 6}


class Beyond(str, Enum):
    """What becomes of numbers whose time GridDB does not reach."""

    NULL = "null"
    CLAMP = "clamp"


_DOUBLES = frozenset(
    {Kernel.EPOCH_DOUBLE, Kernel.EPOCH_DOUBLE_TRUNCATE, Kernel.EPOCH_DOUBLE_NULL, Kernel.EPOCH_DOUBLE_CLAMP}
)
EPOCH_KERNELS = _DOUBLES | {Kernel.EPOCH, Kernel.EPOCH_TRUNCATE, Kernel.EPOCH_NULL, Kernel.EPOCH_CLAMP}
CUT_EPOCHS = frozenset({Kernel.EPOCH_TRUNCATE, Kernel.EPOCH_DOUBLE_TRUNCATE})
BEYOND_BECOMES = {
    Kernel.EPOCH_NULL: Beyond.NULL,
    Kernel.EPOCH_DOUBLE_NULL: Beyond.NULL,
    Kernel.EPOCH_CLAMP: Beyond.CLAMP,
    Kernel.EPOCH_DOUBLE_CLAMP: Beyond.CLAMP,
}


def epoch_of(column: ColumnPlan) -> Epoch | None:
    """How a planned column's numbers become times; None where it has none."""
    if column.kernel not in EPOCH_KERNELS:
        return None
    numbers = Numbers.DECIMAL if column.read_as is ReadAs.TEXT else Numbers.WHOLE
    if column.kernel in _DOUBLES:
        numbers = Numbers.DOUBLE
    return Epoch(column.scale or 0, EPOCH_DIGITS[column.target.type], numbers)


def wished_epoch(column: Column, wish: ColumnWish | None) -> Epoch | None:
    """The times that the config wants of a column of numbers; None where it wants none, or there are no numbers."""
    numbers = NUMBERS_OF.get(column.type.name)
    if wish is None or wish.unit is None or numbers is None or wish.type not in EPOCH_DIGITS:
        return None
    return Epoch(wish.unit.digits, EPOCH_DIGITS[wish.type], numbers)
