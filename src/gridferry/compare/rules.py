"""What equal means, column by column, in words: the plan's type rule, and how stored values are compared."""

from __future__ import annotations

from gridferry.griddb.schema import GridType
from gridferry.model.verification import ColumnRule
from gridferry.plan.epochs import epoch_of
from gridferry.plan.plan import ColumnPlan, Kernel, TablePlan

_FLOAT = "all bits are the same, so -0.0 and 0.0 differ; every NaN equals every NaN"
_EQUAL: dict[GridType, str] = {
    GridType.STRING: "every byte is the same, blanks and case included; the empty text is not NULL",
    GridType.BLOB: "every byte is the same",
    GridType.BOOL: "both are true, or both are false",
    GridType.FLOAT: _FLOAT,
    GridType.DOUBLE: _FLOAT,
    GridType.TIMESTAMP_MS: "the same millisecond",
    GridType.TIMESTAMP_US: "the same microsecond",
}
_BEFORE: dict[Kernel, str] = {
    Kernel.TIME_MS_TRUNCATE: "; digits below the millisecond were cut off and are not compared",
    Kernel.DECIMAL_DOUBLE: "; the source's decimal is rounded to the nearest double first",
    Kernel.DECIMAL_DOUBLE_CHECKED: "; the source's decimal is the shortest one of its double",
    Kernel.DECIMAL_DOUBLE_LOSSY: "; the source's decimal is rounded to the nearest double first",
    Kernel.EPOCH_TRUNCATE: "; finer digits of the source's number were cut off and are not compared",
    Kernel.EPOCH_DOUBLE_TRUNCATE: "; finer digits of the source's number were cut off and are not compared",
    Kernel.NUMBER_LOSSY: "; the source's number is rounded to the target's type first",
}

_UNITS = {0: "seconds", 3: "milliseconds", 6: "microseconds", 9: "nanoseconds"}


def column_rules(plan: TablePlan) -> tuple[ColumnRule, ...]:
    """One rule for each column of the containers, in their order."""
    return tuple(
        ColumnRule(
            column=column.target.name,
            source_column=column.source,
            source_type=column.pg_type,
            target_type=column.target.label,
            verdict=column.verdict.value,
            stored=column.rule,
            equal=_equal(plan, column),
        )
        for column in plan.columns
    )


def _equal(plan: TablePlan, column: ColumnPlan) -> str:
    if column.gone:
        return "not compared: the source has dropped the column"
    base = _EQUAL.get(column.target.type, "the same number")
    if column.target.array:
        return f"as many elements, in the same order, each equal: {base}"
    epoch = epoch_of(column)
    if epoch is not None and column.kernel in (Kernel.EPOCH, Kernel.EPOCH_DOUBLE):
        return f"{base}; it gives the source's number back, which counts {_UNITS[epoch.unit]} since 1970 UTC"
    digits = ""
    kept = [c for c in plan.columns if c.source == column.source and c.kernel is Kernel.TIME_US]
    if column.kernel is Kernel.TIME_MS_TRUNCATE and kept:
        digits = f"; digits below the millisecond are compared in {kept[0].target.name}"
    return base + (digits or _BEFORE.get(column.kernel, ""))
