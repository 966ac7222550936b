"""Row keys that the source has as numbers, and the target as times: how the rows of certain keys are found."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from gridferry.model.epoch import Epoch, Numbers
from gridferry.plan.epochs import CUT_EPOCHS
from gridferry.plan.plan import ColumnPlan
from gridferry.source.postgres.sql.epoch import NUMBER_SQL, stored_sql

_WIDTH = {"int2": 16, "int4": 32}


def epoch_keys(
    name: sql.Composable, column: ColumnPlan, epoch: Epoch, array: pa.Array, *, base: str
) -> tuple[sql.Composable, Sequence[str | None], str]:
    """What a stored key is compared with, the keys as text of it, and its type; None for what no row can have.

    Exact keys are compared as the numbers that they are from, which an index can answer. `base` is the column's
    pg_type.typname, domains followed.
    """
    stored: list[int] = array.view(pa.int64()).to_pylist()
    if column.kernel in CUT_EPOCHS:
        return stored_sql(name, epoch), [str(number) for number in stored], "int8"
    shift = epoch.unit - epoch.digits
    counts = [Decimal(number).scaleb(shift) for number in stored]
    kind = base or NUMBER_SQL[epoch.numbers]
    if epoch.numbers is not Numbers.WHOLE:
        return name, [f"{count:f}" for count in counts], kind
    limit = 1 << (_WIDTH.get(base, 64) - 1)
    return name, [str(int(c)) if c == int(c) and -limit <= c < limit else None for c in counts], kind


def epoch_span(name: sql.Composable, epoch: Epoch, array: pa.Array) -> sql.Composed:
    """That a number lies between the least and the greatest key, and a little beyond, which an index can answer."""
    bounds = pc.min_max(array.view(pa.int64()))
    unit = Decimal(1).scaleb(epoch.unit - epoch.digits)
    low, high = ((bounds["min"].as_py() - 1) * unit, (bounds["max"].as_py() + 2) * unit)
    kind = sql.SQL(NUMBER_SQL[epoch.numbers])
    if epoch.numbers is Numbers.WHOLE:
        low, high = Decimal(int(low)), Decimal(int(high) + 1)
    texts = [sql.SQL("{}::{}").format(sql.Literal(f"{edge:f}"), kind) for edge in (low, high)]
    return sql.SQL("({0} >= {1} AND {0} <= {2})").format(name, *texts)
