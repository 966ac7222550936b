"""Facts about a column's data -> the values that a conversion would refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gridferry.griddb.schema import GridType
from gridferry.griddb.wire.statement import MAX_ARRAY_ELEMENTS, MAX_STRING_BYTES, MAX_TIMESTAMP_MS
from gridferry.model.profile import ColumnProfile
from gridferry.plan.epochs import BEYOND_BECOMES, CUT_EPOCHS, EPOCH_DIGITS, EPOCH_KERNELS, Beyond
from gridferry.plan.plan import Kernel

MAX_TIME_US = MAX_TIMESTAMP_MS * 1000 + 999  # 9999-12-31T23:59:59.999999Z
MAX_DATE_US = 253_402_214_400_000_000  # 9999-12-31T00:00:00Z


@dataclass(frozen=True)
class Unfit:
    """Values that a column cannot store: how many rows (None where only that there are some), and why."""

    rows: int | None
    why: str


def unfit_values(kernel: Kernel, target: GridType, facts: ColumnProfile) -> Iterator[Unfit]:
    """The values that a conversion refuses, as far as `facts` tell of them."""
    check = _CHECKS.get(kernel)
    if check is not None:
        yield from check(kernel, target, facts)


def _time(kernel: Kernel, target: GridType, facts: ColumnProfile) -> Iterator[Unfit]:
    outside = _outside(facts, low=0, high=MAX_TIME_US)
    if outside is not None:
        yield Unfit(outside.rows, "before 1970 or after 9999")
    if facts.infinite:
        yield Unfit(facts.infinite, "that are infinite")
    if kernel is Kernel.TIME_MS and facts.fine:
        yield Unfit(facts.fine, "with digits below the millisecond")


def _epoch(kernel: Kernel, target: GridType, facts: ColumnProfile) -> Iterator[Unfit]:
    becomes = BEYOND_BECOMES.get(kernel)
    if facts.outside and becomes is None:
        yield Unfit(facts.outside, "before 1970 or after 9999")
    if facts.infinite and becomes is None:
        yield Unfit(facts.infinite, "that are infinite")
    if facts.nan and becomes is not Beyond.NULL:
        yield Unfit(facts.nan, "that are NaN")
    if facts.fine and kernel not in CUT_EPOCHS:
        yield Unfit(facts.fine, f"with digits below the {'milli' if EPOCH_DIGITS[target] == 3 else 'micro'}second")


def _far_time(kernel: Kernel, target: GridType, facts: ColumnProfile) -> Iterator[Unfit]:
    if facts.maximum is not None and facts.maximum > 2**63 - 1:
        yield Unfit(None, "after the year 294246")


def _text(kernel: Kernel, target: GridType, facts: ColumnProfile) -> Iterator[Unfit]:
    if facts.max_bytes is not None and facts.max_bytes > MAX_STRING_BYTES:
        why = f"longer than the {MAX_STRING_BYTES} bytes of a STRING (the longest has {facts.max_bytes})"
        yield Unfit(facts.outside or None, why)
    if facts.broken:
        yield Unfit(facts.broken, "that are no text in UTF-8")


def _list(kernel: Kernel, target: GridType, facts: ColumnProfile) -> Iterator[Unfit]:
    if facts.unlisted:
        also = {
            GridType.STRING: f", or an element of more than {MAX_STRING_BYTES} bytes",
            GridType.TIMESTAMP_MS: ", or a time before 1970, after 9999 or with digits below the millisecond",
        }
        yield Unfit(
            facts.unlisted,
            "with NULL elements, several dimensions, another lower bound than 1, more than "
            f"{MAX_ARRAY_ELEMENTS} elements{also.get(target, '')}",
        )


def _decimal_double(kernel: Kernel, target: GridType, facts: ColumnProfile) -> Iterator[Unfit]:
    if facts.undoubled:
        yield Unfit(facts.undoubled, "with more digits than a DOUBLE keeps")


def _decimal_long(kernel: Kernel, target: GridType, facts: ColumnProfile) -> Iterator[Unfit]:
    if facts.nan:
        yield Unfit(facts.nan, "that are NaN")
    if facts.infinite:
        yield Unfit(facts.infinite, "that are infinite")
    if facts.max_scale:
        yield Unfit(None, "with a fraction")
    outside = _outside(facts, low=-(2**63), high=2**63 - 1)
    if outside is not None:
        yield Unfit(outside.rows, "that need more than 64 bits")


def _number(kernel: Kernel, target: GridType, facts: ColumnProfile) -> Iterator[Unfit]:
    limits = _LIMITS.get(target)
    outside = _outside(facts, low=limits[0], high=limits[1]) if limits else None
    if outside is not None:
        yield Unfit(outside.rows, f"too large for {target.label}")


def _outside(facts: ColumnProfile, *, low: float, high: float) -> Unfit | None:
    below = facts.minimum is not None and facts.minimum < low
    above = facts.maximum is not None and facts.maximum > high
    return Unfit(facts.outside or None, "") if below or above else None


_LIMITS: dict[GridType, tuple[float, float]] = {
    GridType.BYTE: (-(2**7), 2**7 - 1),
    GridType.SHORT: (-(2**15), 2**15 - 1),
    GridType.INTEGER: (-(2**31), 2**31 - 1),
    GridType.FLOAT: (-3.4028234663852886e38, 3.4028234663852886e38),
}
_CHECKS: dict[Kernel, Callable[[Kernel, GridType, ColumnProfile], Iterator[Unfit]]] = {
    **dict.fromkeys(EPOCH_KERNELS, _epoch),
    Kernel.TIME_MS: _time,
    Kernel.TIME_MS_TRUNCATE: _time,
    Kernel.TIME_US: _time,
    Kernel.DATE_MS: _time,
    Kernel.TEXT: _text,
    Kernel.TIME_LONG: _far_time,
    Kernel.LIST: _list,
    Kernel.DECIMAL_DOUBLE_CHECKED: _decimal_double,
    Kernel.DECIMAL_LONG: _decimal_long,
    Kernel.NUMBER: _number,
    Kernel.NUMBER_LOSSY: _number,
}
