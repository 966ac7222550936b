"""The type table. A new type is a new row, with samples in `tests/type_samples.py`; nothing else changes.

The rows are in `usual_rules`, `wished_rules` and `epoch_rules`. Rows of one type are tried from the top. Rows for "*"
come last: a type without a row of its own is stored as its text.
"""

from __future__ import annotations

from gridferry.plan.epoch_rules import EPOCH_RULES
from gridferry.plan.mapping import TypeRule
from gridferry.plan.usual_rules import EVERY_OTHER, FALLBACKS, USUAL
from gridferry.plan.wished_rules import OTHER_TYPES, OUT_OF_RANGE_AND_SCALES

TYPE_RULES: tuple[TypeRule, ...] = (
    *USUAL,
    *OUT_OF_RANGE_AND_SCALES,
    *FALLBACKS,
    *OTHER_TYPES,
    *EPOCH_RULES,
    *EVERY_OTHER,
)
