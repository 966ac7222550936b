"""What the config says of one column -> the rules that may be chosen for it."""

from __future__ import annotations

from gridferry.griddb.schema import GridType
from gridferry.model.table import Column
from gridferry.plan.column_wish import ColumnWish, OutOfRange
from gridferry.plan.epochs import wished_epoch
from gridferry.plan.mapping import Use

_BEYOND = {OutOfRange.NULL: Use.NULL, OutOfRange.CLAMP: Use.CLAMP}
_BEYOND_EPOCH = {OutOfRange.NULL: Use.EPOCH_NULL, OutOfRange.CLAMP: Use.EPOCH_CLAMP}


def wanted_uses(column: Column, asked: ColumnWish, *, truncate: bool, in_key: bool) -> frozenset[Use]:
    """The uses of which the rule must be; empty where the wish does not say.

    Args: truncate: whether digits that the type has not may be cut off.
    """
    if asked.unit is not None:
        return frozenset({_epoch_use(column, asked, truncate=truncate, in_key=in_key)})
    if asked.scale is not None:
        return frozenset({Use.SCALED})
    if asked.exact is not None:
        return frozenset({Use.DEFAULT, Use.SUITED} if asked.exact else {Use.OVERRIDE})
    use = _BEYOND.get(asked.out_of_range) if isinstance(asked.out_of_range, OutOfRange) else None
    return frozenset() if use is None else frozenset({use})


def _epoch_use(column: Column, asked: ColumnWish, *, truncate: bool, in_key: bool) -> Use:
    beyond = _BEYOND_EPOCH.get(asked.out_of_range) if isinstance(asked.out_of_range, OutOfRange) else None
    if beyond is not None:
        return beyond
    epoch = wished_epoch(column, asked)
    # Keys that meet are counted by the millisecond; a key to the microsecond is stored exactly.
    cut = truncate and not (in_key and asked.type is GridType.TIMESTAMP_US)
    return Use.EPOCH_TRUNCATE if cut and epoch is not None and epoch.may_lose else Use.EPOCH
