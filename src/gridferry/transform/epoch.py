"""Numbers that count time since 1970 -> GridDB's times. The SQL of the same rules is `source.postgres.sql.epoch`.

A double counts as a time if it is the nearest double to that time: then the time gives the number back. It is taken to
the nearest microsecond first, since what it has below is the double's own inexactness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gridferry.griddb.arrow_types import ARROW_TYPES
from gridferry.model.epoch import FINEST, Epoch, Numbers
from gridferry.plan.epochs import BEYOND_BECOMES, CUT_EPOCHS, Beyond, epoch_of
from gridferry.plan.plan import ColumnPlan
from gridferry.transform.refusals import Converted, Reason, Refusal, refusal

_INT64 = pa.int64()
_MOST_LONG = 2**63 - 1
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?$"


@dataclass(frozen=True)
class Times:
    """Numbers in the target's unit (n,), and booleans (n,) of what is not in range, no number, or has finer digits.

    Where one of the first three is true the number is 0.
    """

    numbers: pa.Array
    below: pa.Array
    above: pa.Array
    odd: pa.Array
    fine: pa.Array


def epoch(array: pa.Array, column: ColumnPlan) -> Converted:
    """Numbers since 1970 UTC, in the unit that the plan says, as times. What is beyond is as the kernel has it."""
    told = epoch_of(column)
    if told is None:
        raise ValueError(f"{column.kernel} makes no times of numbers")
    times = _READ[told.numbers](array, told)
    numbers = times.numbers
    refused: list[Refusal] = []
    beyond = BEYOND_BECOMES.get(column.kernel)
    if beyond is Beyond.NULL:
        gone = pc.or_(pc.or_(times.below, times.above), times.odd)
        numbers = pc.if_else(gone, pa.scalar(None, _INT64), numbers)
    else:
        if beyond is Beyond.CLAMP:
            numbers = pc.if_else(times.above, pa.scalar(told.last, _INT64), numbers)
        else:
            refused += refusal(Reason.TIME_RANGE, pc.or_(times.below, times.above))
        refused += refusal(Reason.NOT_A_NUMBER, times.odd)
    if column.kernel not in CUT_EPOCHS:
        refused += refusal(Reason.FINE_TIME if told.digits == 3 else Reason.FINER_TIME, times.fine)
    return numbers.view(ARROW_TYPES[column.target.type]), tuple(refused)


def _whole(array: pa.Array, told: Epoch) -> Times:
    numbers = array.cast(_INT64)
    below = pc.less(numbers, 0)
    above = pc.greater(numbers, min(told.end - 1, _MOST_LONG))
    inside = pc.if_else(pc.or_(below, above), pa.scalar(0, _INT64), numbers)
    never = pc.and_(below, pc.invert(below))
    if told.unit <= told.digits:
        return Times(pc.multiply(inside, 10 ** (told.digits - told.unit)), below, above, never, never)
    step = 10 ** (told.unit - told.digits)
    cut = pc.divide(inside, step)
    return Times(cut, below, above, never, pc.not_equal(pc.multiply(cut, step), inside))


def _double(array: pa.Array, told: Epoch) -> Times:
    valid = np.asarray(array.is_valid())
    values = array.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False)
    odd = np.isnan(values)
    factor = 10.0 ** abs(FINEST - told.unit)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(values * factor if told.unit <= FINEST else values / factor)
        below, above = values < 0, scaled >= float(told.end * 10**FINEST // 10**told.unit)
        inside = np.where(below | above | odd, 0.0, scaled)
        # 10.0 ** n is exact, and a division or product of IEEE 754 is the nearest double.
        fine = (inside / factor if told.unit <= FINEST else inside * factor) != values
    numbers = inside.astype(np.int64)
    if told.digits < FINEST:
        cut = numbers // 10 ** (FINEST - told.digits)
        fine |= cut * 10 ** (FINEST - told.digits) != numbers
        numbers = cut
    fine &= ~(below | above | odd)
    mask = None if valid.all() else ~valid
    parts = (pa.array(part & valid) for part in (below, above, odd, fine))
    return Times(pa.array(numbers, mask=mask), *parts)


def _decimal(array: pa.Array, told: Epoch) -> Times:
    """Decimals as PostgreSQL writes them: digits, one point, no exponent."""
    digits = array.cast(pa.utf8())
    infinite = pc.match_substring(digits, "Infinity")
    plain = pc.match_substring_regex(digits, _NUMBER)
    negative = pc.starts_with(digits, "-")
    odd = pc.invert(pc.or_(plain, infinite))
    usual = pc.if_else(plain, pc.utf8_ltrim(digits, "-"), pa.scalar("0", pa.utf8()))
    below = pc.and_(negative, pc.or_(infinite, pc.match_substring_regex(usual, "[1-9]")))
    shift = told.digits - told.unit
    # As many digits after the point as the target has more of than the source's unit; or fewer before it.
    padding = "0" * max(0, -shift)
    whole = pc.binary_join_element_wise(padding, pc.replace_substring_regex(usual, r"\..*$", ""), "")
    fraction = pc.replace_substring_regex(usual, r"^[0-9]+\.?", "")
    fraction = pc.binary_join_element_wise(fraction, "0" * max(0, shift), "")
    long = pc.greater(pc.binary_length(whole), 12 + told.unit + len(padding))
    if shift >= 0:
        kept = pc.binary_join_element_wise(whole, pc.utf8_slice_codeunits(fraction, 0, shift), "")
        rest = pc.utf8_slice_codeunits(fraction, shift)
    else:
        kept = pc.utf8_slice_codeunits(whole, 0, shift)
        rest = pc.binary_join_element_wise(pc.utf8_slice_codeunits(whole, shift), fraction, "")
    numbers = pc.if_else(long, pa.scalar("0", pa.utf8()), kept).cast(_INT64)
    late = pc.or_(long, pc.greater(numbers, told.last))
    above = pc.and_(pc.or_(late, infinite), pc.invert(negative))
    gone = pc.or_(pc.or_(late, below), pc.or_(infinite, odd))
    fine = pc.and_(pc.match_substring_regex(rest, "[1-9]"), pc.invert(gone))
    return Times(pc.if_else(gone, pa.scalar(0, _INT64), numbers), below, above, odd, fine)


_READ = {Numbers.WHOLE: _whole, Numbers.DOUBLE: _double, Numbers.DECIMAL: _decimal}
