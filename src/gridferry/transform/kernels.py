"""One function a conversion: Arrow array in, Arrow array out, and which rows it could not convert and why.

A kernel never raises for what is in a value. Where it refuses a row, the value it leaves there means nothing. NULL
stays NULL. Each is O(n) in Arrow or numpy; the slow, exact looks are taken only after a fast one found something.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gridferry.griddb.arrow_types import ARROW_TYPES
from gridferry.griddb.schema import GridType
from gridferry.griddb.wire.statement import MAX_ARRAY_ELEMENTS, MAX_STRING_BYTES, MAX_TIMESTAMP_MS
from gridferry.model.time_text import FIRST_US, INFINITE_DAYS, INFINITE_US
from gridferry.plan.epochs import EPOCH_KERNELS
from gridferry.plan.plan import ColumnPlan, Kernel
from gridferry.transform.beyond import clamped_days, clamped_texts, clamped_times, without
from gridferry.transform.epoch import epoch
from gridferry.transform.lists import parse_lists, parse_times
from gridferry.transform.refusals import Converted, Reason, Refusal, refusal

_MAX_US = MAX_TIMESTAMP_MS * 1000 + 999
_DAY_MS = 86_400_000
_MAX_DAY = MAX_TIMESTAMP_MS // _DAY_MS
_DOUBLE_LIMIT = 1e15  # below it a double tells all decimals of one scale apart (IEEE 754: 15 digits)
_LEAST_LONG, _MOST_LONG = -(2**63), 2**63 - 1
_DOUBLE_CHARACTERS = 15  # decimals of no more digits survive text -> double -> text (IEEE 754)
_LONG_DIGITS = 20  # the most characters of a 64-bit integer, sign included


_BEYOND = frozenset({Reason.TIME_RANGE, Reason.LENGTH})


KernelFunction = Callable[[pa.Array, ColumnPlan], Converted]


def same(array: pa.Array, column: ColumnPlan) -> Converted:
    """The values as they are."""
    return array.cast(column.target.arrow_type), ()


def text(array: pa.Array, column: ColumnPlan) -> Converted:
    """Text of at most MAX_STRING_BYTES bytes of valid UTF-8."""
    return text_values(array.cast(pa.utf8()))


def text_values(strings: pa.Array) -> Converted:
    """The texts that a STRING can hold."""
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        # Only a database in SQL_ASCII can send such text.
        strings, bad = _without_broken_text(strings)
        return strings, (*bad, *_too_long(strings))
    return strings, _too_long(strings)


def text_blob(array: pa.Array, column: ColumnPlan) -> Converted:
    """The text's bytes."""
    return array.cast(pa.utf8()).cast(pa.binary()), ()


def octets(array: pa.Array, column: ColumnPlan) -> Converted:
    """The bytes as they are."""
    return array.cast(pa.binary()), ()


def time_us(array: pa.Array, column: ColumnPlan) -> Converted:
    """Microseconds since 1970 in GridDB's range. PostgreSQL's infinities arrive far outside it."""
    numbers = _microseconds(array)
    return numbers.view(ARROW_TYPES[GridType.TIMESTAMP_US]), _outside(numbers, Reason.TIME_RANGE, low=0, high=_MAX_US)


def time_ms(array: pa.Array, column: ColumnPlan) -> Converted:
    """Milliseconds since 1970; times with finer digits are refused."""
    numbers = _microseconds(array)
    cut = pc.divide(numbers, 1000)
    outside = _outside(numbers, Reason.TIME_RANGE, low=0, high=_MAX_US)
    fine = refusal(Reason.FINE_TIME, pc.not_equal(pc.multiply(cut, 1000), numbers))
    return cut.view(ARROW_TYPES[GridType.TIMESTAMP_MS]), _apart(outside, fine)


def time_ms_truncate(array: pa.Array, column: ColumnPlan) -> Converted:
    """Milliseconds since 1970; finer digits are cut off."""
    numbers = _microseconds(array)
    outside = _outside(numbers, Reason.TIME_RANGE, low=0, high=_MAX_US)
    return pc.divide(numbers, 1000).view(ARROW_TYPES[GridType.TIMESTAMP_MS]), outside


def date_ms(array: pa.Array, column: ColumnPlan) -> Converted:
    """Midnight UTC of each day, in milliseconds since 1970."""
    days = array.cast(pa.date32()).view(pa.int32()).cast(pa.int64())
    milliseconds = pc.multiply(days, _DAY_MS)
    outside = _outside(days, Reason.TIME_RANGE, low=0, high=_MAX_DAY)
    return milliseconds.view(ARROW_TYPES[GridType.TIMESTAMP_MS]), outside


def time_long(array: pa.Array, column: ColumnPlan) -> Converted:
    """Microseconds since 1970 as numbers; infinities as the greatest and the least."""
    numbers = _microseconds(array)
    if not _outside(numbers, Reason.RANGE, low=FIRST_US, high=_MOST_LONG):
        return numbers, ()
    numbers = _with_infinities(numbers, INFINITE_US)
    # Years after 294246 do not fit 64 bits: the reader's numbers of them lie before all others.
    odd = pc.and_(pc.less(numbers, FIRST_US), pc.not_equal(numbers, _LEAST_LONG))
    return numbers, refusal(Reason.RANGE, odd)


def date_long(array: pa.Array, column: ColumnPlan) -> Converted:
    """Days since 1970 as numbers; infinities as the greatest and the least."""
    days = array.cast(pa.date32()).view(pa.int32()).cast(pa.int64())
    return _with_infinities(days, INFINITE_DAYS), ()


def flat_list(array: pa.Array, column: ColumnPlan) -> Converted:
    """Arrays in their text form as lists; those that are not flat, or hold NULL, are refused."""
    found = parse_lists(array.cast(pa.utf8()))
    elements, refused = _list_elements(found.elements, column.target.type)
    long = np.diff(found.bounds) > MAX_ARRAY_ELEMENTS
    odd = np.union1d(np.flatnonzero(found.nested | long), found.rows_of(found.nulls))
    offsets = pa.array(found.bounds, pa.int32())
    validity = array.is_null() if array.null_count else None
    lists = pa.ListArray.from_arrays(offsets, elements, type=column.target.arrow_type, mask=validity)
    refusals: tuple[Refusal, ...] = (Refusal(Reason.LIST, odd),) if odd.size else ()
    for each in refused:
        refusals = _apart(refusals, (Refusal(each.reason, found.rows_of(each.rows)),))
    return lists, refusals


def _list_elements(texts: pa.Array, kind: GridType) -> Converted:
    """The elements of arrays out of their texts; a NULL is of no account, since its array is refused."""
    if kind is GridType.STRING:
        return text_values(texts)
    if kind is GridType.TIMESTAMP_MS:
        numbers, odd = parse_times(texts)
        outside = pc.or_(odd, pc.fill_null(pc.or_(pc.less(numbers, 0), pc.greater(numbers, _MAX_US)), False))
        cut = pc.divide(numbers, 1000)
        fine = refusal(Reason.FINE_TIME, pc.not_equal(pc.multiply(cut, 1000), numbers))
        return cut.view(ARROW_TYPES[kind]), (*refusal(Reason.TIME_RANGE, outside), *fine)
    if kind is GridType.BOOL:
        return pc.equal(texts, "t"), ()
    plain = pc.if_else(pc.equal(texts, "NULL"), pa.scalar(None, pa.utf8()), texts)
    return plain.cast(ARROW_TYPES[kind]), ()


def number(array: pa.Array, column: ColumnPlan) -> Converted:
    """The same number in another type; refused where it would become another number."""
    wanted = column.target.arrow_type
    if pa.types.is_floating(array.type):
        return array.cast(wanted), ()  # only ever to a wider one
    numbers = array.cast(wanted, safe=False)
    return numbers, refusal(Reason.RANGE, pc.not_equal(numbers.cast(array.type, safe=False), array))


def number_lossy(array: pa.Array, column: ColumnPlan) -> Converted:
    """The nearest number in another type; refused where a finite one would become infinite."""
    numbers = array.cast(column.target.arrow_type, safe=False)
    if not pa.types.is_floating(array.type):
        return numbers, ()
    return numbers, refusal(Reason.RANGE, pc.and_(pc.is_inf(numbers), pc.is_finite(array)))


def decimal_long(array: pa.Array, column: ColumnPlan) -> Converted:
    """Whole numbers, written as PostgreSQL writes numeric, as 64-bit integers."""
    digits = array.cast(pa.utf8())
    try:
        return digits.cast(pa.int64()), ()
    except pa.ArrowInvalid:
        # Some are not plain integers of 64 bits: find out which, and why.
        return _decimal_long_exact(digits)


def decimal_double(array: pa.Array, column: ColumnPlan) -> Converted:
    """The nearest double to decimals of `column.scale` fractional digits, from which each comes back by rounding."""
    doubles = array.cast(pa.utf8()).cast(pa.float64())
    values = doubles.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = values * 10.0 ** (column.scale or 0)
        kept = (np.abs(scaled) < _DOUBLE_LIMIT) & (np.rint(scaled) / 10.0 ** (column.scale or 0) == values)
    kept |= np.isnan(values)  # NULL is NaN here too
    infinite = np.isinf(values)
    return doubles, (
        *refusal(Reason.NOT_A_NUMBER, pa.array(infinite)),
        *refusal(Reason.DIGITS, pa.array(~kept & ~infinite)),
    )


def decimal_double_checked(array: pa.Array, column: ColumnPlan) -> Converted:
    """The nearest double; refused where its shortest decimal is another number than the one it is from."""
    digits = array.cast(pa.utf8())
    doubles = digits.cast(pa.float64())
    longest = pc.max(pc.binary_length(digits)).as_py()
    if longest is None or longest <= _DOUBLE_CHARACTERS:
        return doubles, ()
    fraction = pc.match_substring(digits, ".")
    bare = pc.utf8_ltrim(pc.if_else(fraction, pc.utf8_rtrim(digits, "0"), digits), "-")
    limit = pc.if_else(fraction, _DOUBLE_CHARACTERS + 1, _DOUBLE_CHARACTERS)
    # IEEE 754 says it for 15 digits; the few with more are looked at one by one.
    places = np.flatnonzero(
        pc.fill_null(pc.greater(pc.binary_length(bare), limit), False).to_numpy(zero_copy_only=False)
    )
    pairs = zip(bare.take(pa.array(places)).to_pylist(), doubles.take(pa.array(places)).to_pylist(), strict=True)
    lost = np.array([Decimal(text.lstrip("-")) != Decimal(repr(abs(number))) for text, number in pairs], bool)
    rows = places[lost].astype(np.int64)
    return doubles, (Refusal(Reason.DIGITS, rows),) if rows.size else ()


def decimal_double_lossy(array: pa.Array, column: ColumnPlan) -> Converted:
    """The nearest double; refused where a finite number would become infinite."""
    digits = array.cast(pa.utf8())
    doubles = digits.cast(pa.float64())
    infinite = pc.is_inf(doubles)
    if not pc.any(infinite).as_py():
        return doubles, ()
    return doubles, refusal(Reason.RANGE, pc.and_(infinite, pc.invert(pc.match_substring(digits, "Infinity"))))


def decimal_scaled(array: pa.Array, column: ColumnPlan) -> Converted:
    """Decimals times 10 to the power of `column.scale`, as 64-bit integers."""
    scale = column.scale or 0
    digits = array.cast(pa.utf8())
    kept = pc.replace_substring_regex(digits, r"(\.[0-9]*?)0+$", r"\1")
    odd = pc.invert(pc.match_substring_regex(kept, r"^-?[0-9]+(\.[0-9]*)?$"))
    fine = pc.match_substring_regex(kept, rf"\.[0-9]{{{scale + 1}}}")
    long = pc.match_substring_regex(kept, rf"^-?[0-9]{{{_LONG_DIGITS - scale}}}")
    bad = pc.or_(pc.or_(odd, fine), long)
    usual = pc.if_else(bad, pa.scalar(None, pa.utf8()), pc.utf8_rtrim(kept, "."))
    decimals = usual.cast(pa.decimal128(38, scale))
    words = np.frombuffer(decimals.buffers()[1], "<i8")[2 * decimals.offset :][: 2 * len(decimals)]
    low, high = words[0::2], words[1::2]
    valid = np.asarray(decimals.is_valid())
    beyond = pc.or_(pc.fill_null(long, False), pa.array((high != low >> 63) & valid))
    return pa.array(low.copy(), mask=~valid), (
        *refusal(Reason.NOT_A_NUMBER, odd),
        *refusal(Reason.RANGE, beyond),
        *refusal(Reason.DIGITS, pc.and_(fine, pc.invert(beyond))),
    )


def _or_null(kernel: KernelFunction) -> KernelFunction:
    """The kernel, with NULL for what is out of range."""

    def convert(array: pa.Array, column: ColumnPlan) -> Converted:
        converted, refusals = kernel(array, column)
        for each in refusals:
            if each.reason in _BEYOND:
                converted = without(converted, each.rows)
        return converted, tuple(r for r in refusals if r.reason not in _BEYOND)

    return convert


def _clamped(clamp: Callable[[pa.Array], pa.Array], kernel: KernelFunction) -> KernelFunction:
    return lambda array, column: kernel(clamp(array), column)


KERNELS: dict[Kernel, KernelFunction] = {
    **dict.fromkeys(EPOCH_KERNELS, epoch),
    Kernel.DECIMAL_SCALED: decimal_scaled,
    Kernel.TIME_US_NULL: _or_null(time_us),
    Kernel.TIME_MS_NULL: _or_null(time_ms),
    Kernel.DATE_MS_NULL: _or_null(date_ms),
    Kernel.TEXT_NULL: _or_null(text),
    Kernel.TIME_US_CLAMP: _clamped(clamped_times, time_us),
    Kernel.TIME_MS_CLAMP: _clamped(clamped_times, time_ms),
    Kernel.DATE_MS_CLAMP: _clamped(clamped_days, date_ms),
    Kernel.TEXT_CLAMP: _clamped(clamped_texts, text),
    Kernel.SAME: same,
    Kernel.TEXT: text,
    Kernel.TEXT_BLOB: text_blob,
    Kernel.BYTES: octets,
    Kernel.DECIMAL_LONG: decimal_long,
    Kernel.DECIMAL_DOUBLE: decimal_double,
    Kernel.DECIMAL_DOUBLE_CHECKED: decimal_double_checked,
    Kernel.DECIMAL_DOUBLE_LOSSY: decimal_double_lossy,
    Kernel.TIME_MS: time_ms,
    Kernel.TIME_MS_TRUNCATE: time_ms_truncate,
    Kernel.TIME_US: time_us,
    Kernel.DATE_MS: date_ms,
    Kernel.LIST: flat_list,
    Kernel.TIME_LONG: time_long,
    Kernel.DATE_LONG: date_long,
    Kernel.NUMBER: number,
    Kernel.NUMBER_LOSSY: number_lossy,
    Kernel.ROW_HASH: same,
    Kernel.ORDINAL: same,
}


def _microseconds(array: pa.Array) -> pa.Array:
    """The int64 behind a timestamp array: microseconds since 1970 UTC, with or without a zone in the type."""
    if array.type.unit != "us":
        raise pa.ArrowInvalid(f"microseconds are expected, {array.type} came")
    return array.view(pa.int64())


def _with_infinities(numbers: pa.Array, infinite: tuple[int, int]) -> pa.Array:
    for code, end in zip(infinite, (_MOST_LONG, _LEAST_LONG), strict=True):
        numbers = pc.if_else(pc.equal(numbers, code), pa.scalar(end, pa.int64()), numbers)
    return numbers


def _outside(numbers: pa.Array, reason: Reason, *, low: int, high: int) -> tuple[Refusal, ...]:
    bounds = pc.min_max(numbers)
    least, most = bounds["min"].as_py(), bounds["max"].as_py()
    if least is None or (least >= low and most <= high):
        return ()
    return refusal(reason, pc.or_(pc.less(numbers, low), pc.greater(numbers, high)))


def _apart(first: tuple[Refusal, ...], second: tuple[Refusal, ...]) -> tuple[Refusal, ...]:
    """Both refusals, without rows in the second that the first has: one reason a value."""
    if not first or not second:
        return (*first, *second)
    rest = np.setdiff1d(second[0].rows, first[0].rows)
    return (*first, Refusal(second[0].reason, rest)) if rest.size else first


def _too_long(strings: pa.Array) -> tuple[Refusal, ...]:
    lengths = pc.binary_length(strings)
    longest = pc.max(lengths).as_py()
    if longest is None or longest <= MAX_STRING_BYTES:
        return ()
    return refusal(Reason.LENGTH, pc.greater(lengths, MAX_STRING_BYTES))


def _without_broken_text(strings: pa.Array) -> tuple[pa.Array, tuple[Refusal, ...]]:
    rows = np.array(_broken(strings, 0), np.int64)
    mask = np.zeros(len(strings), bool)
    mask[rows] = True
    blanked = pc.if_else(pa.array(mask), pa.scalar(None, pa.binary()), strings.cast(pa.binary()))
    return blanked.cast(pa.utf8()), (Refusal(Reason.ENCODING, rows),)


def _broken(strings: pa.Array, start: int) -> list[int]:
    """Positions of text that is not UTF-8, by halving: as many looks as there are such rows, times log2(n)."""
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        if len(strings) == 1:
            return [start]
        half = len(strings) // 2
        return _broken(strings.slice(0, half), start) + _broken(strings.slice(half), start + half)
    return []


def _decimal_long_exact(digits: pa.Array) -> Converted:
    odd = pc.invert(pc.match_substring_regex(digits, r"^-?[0-9]+(\.[0-9]+)?$"))
    fraction = pc.match_substring_regex(digits, r"\.[0-9]*[1-9]")
    whole = pc.replace_substring_regex(digits, r"\..*$", "")
    long = pc.and_(pc.invert(odd), pc.greater(pc.utf8_length(whole), _LONG_DIGITS))
    null = pa.scalar(None, pa.utf8())
    numbers = pc.if_else(pc.or_(odd, long), null, whole).cast(pa.decimal128(38, 0))
    limits = [pa.scalar(Decimal(limit), pa.decimal128(38, 0)) for limit in (-(2**63), 2**63 - 1)]
    beyond = pc.or_(pc.less(numbers, limits[0]), pc.greater(numbers, limits[1]))
    bad = pc.or_(long, pc.fill_null(beyond, False))
    stored = pc.if_else(bad, pa.scalar(None, pa.decimal128(38, 0)), numbers).cast(pa.int64())
    return stored, (
        *refusal(Reason.NOT_A_NUMBER, odd),
        *refusal(Reason.RANGE, bad),
        *refusal(Reason.FRACTION, pc.and_(fraction, pc.invert(bad))),
    )
