"""What the config says of one column -> the rules that may be chosen for it."""

from __future__ import annotations

from gridferry.plan.mapping import Use
from gridferry.plan.table_options import ColumnWish, OutOfRange

_BEYOND = {OutOfRange.NULL: Use.NULL, OutOfRange.CLAMP: Use.CLAMP}


def wanted_uses(asked: ColumnWish) -> frozenset[Use]:
    """The uses of which the rule must be; empty where the wish does not say."""
    if asked.scale is not None:
        return frozenset({Use.SCALED})
    if asked.exact is not None:
        return frozenset({Use.DEFAULT, Use.SUITED} if asked.exact else {Use.OVERRIDE})
    use = _BEYOND.get(asked.out_of_range) if isinstance(asked.out_of_range, OutOfRange) else None
    return frozenset() if use is None else frozenset({use})
