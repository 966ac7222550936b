"""PostgreSQL and the transform make the same times of the same numbers."""

from __future__ import annotations

import pyarrow as pa
import pytest
from psycopg import sql
from tests.conftest import Database

from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.model.epoch import Epoch, Numbers
from gridferry.plan.plan import ColumnPlan, Fidelity, Kernel, ReadAs
from gridferry.source.postgres.sql.epoch import NUMBER_SQL, fine_sql, reached_sql, stored_sql
from gridferry.transform.kernels import KERNELS
from gridferry.transform.refusals import Reason

MOMENT = 1704067200
WHOLE = [-1, 0, 1, 999, 1000, MOMENT, MOMENT * 1000 + 7, MOMENT * 10**6 + 1, MOMENT * 10**9 + 1001, 2**63 - 1, -(2**63)]
DOUBLES = [-0.5, -1e-9, 0.0, 0.0000005, MOMENT + 0.123456, MOMENT + 0.1234567, MOMENT + 0.9999995, MOMENT * 1e3 + 0.5]
DOUBLES += [MOMENT * 1e6 + 0.5, MOMENT * 1e9, 253402300799.0, 253402300800.0, 1e300, float("inf"), float("nan")]
DOUBLES += [MOMENT + n / 7 for n in range(50)]
DECIMALS = [
    "-0.1",
    "0",
    "1704067200.123456",
    "1704067200.1234561",
    "1704067200123.5",
    "253402300799.9999999",
    "NaN",
    "1e40",
]
SAMPLES: dict[Numbers, list[object]] = {
    Numbers.WHOLE: [*WHOLE],
    Numbers.DOUBLE: [*DOUBLES],
    Numbers.DECIMAL: [*DECIMALS],
}
KINDS = {Numbers.WHOLE: pa.int64(), Numbers.DOUBLE: pa.float64(), Numbers.DECIMAL: pa.utf8()}


@pytest.mark.parametrize("target", [GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US])
@pytest.mark.parametrize("unit", [0, 3, 6, 9])
@pytest.mark.parametrize("numbers", list(Numbers))
def test_both_make_the_same_times(postgres: Database, numbers: Numbers, unit: int, target: GridType) -> None:
    values = SAMPLES[numbers]
    epoch = Epoch(unit, 3 if target is GridType.TIMESTAMP_MS else 6, numbers)
    name = sql.Identifier("v")
    texts = [repr(v) if isinstance(v, float) else str(v) for v in values]
    statement = sql.SQL("SELECT {}, {}, {}, v::text FROM pg_catalog.unnest({}::text[]::{}[]) AS v").format(
        stored_sql(name, epoch), fine_sql(name, epoch), reached_sql(name, epoch), sql.Literal(texts),
        sql.SQL(NUMBER_SQL[numbers]),
    )  # fmt: skip
    answers = postgres.connection.execute(statement).fetchall()
    kinds = {False: (Kernel.EPOCH, Kernel.EPOCH_TRUNCATE), True: (Kernel.EPOCH_DOUBLE, Kernel.EPOCH_DOUBLE_TRUNCATE)}
    exact, cut = kinds[numbers is Numbers.DOUBLE]
    read_as = ReadAs.TEXT if numbers is Numbers.DECIMAL else ReadAs.PLAIN
    array = pa.array([a[3] for a in answers] if numbers is Numbers.DECIMAL else values, KINDS[numbers])
    spec = ColumnSpec("v", target)
    stored, beyond = KERNELS[cut](array, ColumnPlan("v", "", spec, read_as, cut, Fidelity.LOSSY, "", scale=unit))
    _, refused = KERNELS[exact](array, ColumnPlan("v", "", spec, read_as, exact, Fidelity.WIDENED, "", scale=unit))
    bad = {int(row) for each in beyond for row in each.rows}
    fine = {int(row) for each in refused if each.reason in (Reason.FINE_TIME, Reason.FINER_TIME) for row in each.rows}
    plain = stored.view(pa.int64()).to_pylist()
    for row, (told, told_fine, reached, text) in enumerate(answers):
        assert reached == (row not in bad), text
        if reached:
            assert (told, told_fine) == (plain[row], row in fine), text
