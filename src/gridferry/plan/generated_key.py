"""The generated row key: a hash of the row's values, and a number that tells rows with equal values apart.

Rows that are equal in every stored column are one and the same to whoever reads them, so it does not matter which of
them has which number: a table is stored right when each hash has the numbers from 0 up to, not including, the count of
its rows. No order of reading, no cut into chunks and no interruption can change that.
"""

from __future__ import annotations

from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.plan.plan import ColumnPlan, Fidelity, Kernel, ReadAs, TablePlan

HASH_COLUMN = "gridferry_hash"
ORDINAL_COLUMN = "gridferry_ordinal"
GENERATED_COLUMNS = (HASH_COLUMN, ORDINAL_COLUMN)
NO_CDC = "mode cdc cannot follow this table by its generated row key"
HASHES_A_READ = 500  # so many values that changes name are counted in the source at once
INSTEAD_OF_CDC = (
    "use `sync: {mode: watermark, column: NAME}` where a column grows with each new row; or name a `key` that no two "
    "rows share"
)


def generated_columns() -> tuple[ColumnPlan, ColumnPlan]:
    """The columns of a generated row key, in its order."""
    return (
        ColumnPlan(
            HASH_COLUMN,
            "text",
            ColumnSpec(HASH_COLUMN, GridType.STRING, nullable=False),
            ReadAs.ROW_HASH,
            Kernel.ROW_HASH,
            Fidelity.EXACT,
            "SHA-256 of the row's values as PostgreSQL writes them, its first 32 hexadecimal digits.",
        ),
        ColumnPlan(
            ORDINAL_COLUMN,
            "bigint",
            ColumnSpec(ORDINAL_COLUMN, GridType.LONG, nullable=False),
            ReadAs.ORDINAL,
            Kernel.ORDINAL,
            Fidelity.EXACT,
            "Tells rows with equal values apart: 0, 1, 2 and so on.",
        ),
    )


def is_generated(column: ColumnPlan) -> bool:
    """Whether gridferry makes the values of a column, and the source has none of that name."""
    return column.kernel in (Kernel.ROW_HASH, Kernel.ORDINAL)


def hashed_columns(plan: TablePlan) -> tuple[str, ...]:
    """The source's columns that a generated key is made of: all that are stored, and the one that splits the table."""
    stored = dict.fromkeys(c.source for c in plan.columns if not is_generated(c))
    if plan.split_by is not None:
        stored.setdefault(plan.split_by)
    return tuple(stored)
