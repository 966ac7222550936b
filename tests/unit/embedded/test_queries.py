"""Queries over many containers, and results in pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.noted import noted

from gridferry.embedded import queries
from gridferry.embedded.catalog import Container
from gridferry.embedded.containers import put_container
from gridferry.embedded.database import Database
from gridferry.embedded.queries import Value, plan, run, run_many, run_paged
from gridferry.embedded.refusal import Refusal
from gridferry.embedded.row_statements import put_many, put_rows
from gridferry.griddb.schema import ContainerSchema, GridType

Make = Callable[..., Any]


def test_one_aggregate_over_many_containers_is_one_scan(
    db: Database, schemas: dict[str, ContainerSchema], batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = schemas["series"]
    fleet = [put_container(db, f"d{n}", schema, partition=0) for n in range(300)]
    put_many(db, [(c, batch(schema, (n, float(n), ""), (n + 5, 0.0, ""))) for n, c in enumerate(fleet[1:], 1)])
    db.settle()
    asked: list[str] = []
    monkeypatch.setattr(db.duck, "select", noted(asked, db.duck.select))
    newest = run_many(db, [(c, plan(c, "select MAX(ts)")) for c in fleet])
    counts = run_many(db, [(c, plan(c, "select COUNT(*)")) for c in fleet])
    assert len(asked) == 2
    assert newest == [Value(GridType.TIMESTAMP_MS, None)] + [Value(GridType.TIMESTAMP_MS, n + 5) for n in range(1, 300)]
    assert counts == [Value(GridType.LONG, 0)] + [Value(GridType.LONG, 2)] * 299


def test_different_queries_in_one_go(
    db: Database, series: Container, keyed: Container, batch: Make, as_tuples: Make
) -> None:
    put_rows(db, series, batch(series.schema, (1, 1.0, ""), (2, 2.0, "")))
    asked = [
        (series, plan(series, "select * where v > 1")),
        (keyed, plan(keyed, "select count(*)")),
        (series, plan(series, "select TIME_AVG(v)")),
        (series, plan(series, "select MAX(v) from SERIES")),
    ]
    rows, count, average, greatest = run_many(db, asked)
    assert as_tuples(rows) == [(2, 2.0, "")]
    assert (count, greatest) == (Value(GridType.LONG, 0), Value(GridType.DOUBLE, 2.0))
    assert isinstance(average, Value)
    assert average.value == 2.0
    with pytest.raises(Refusal) as refused:
        plan(series, "select * from Keyed")
    assert refused.value.code == 150010


@pytest.fixture(params=[0, 10**9], ids=["streamed", "kept"])
def kept_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_KEPT_ROWS", request.param)


@pytest.mark.usefixtures("kept_rows")
@pytest.mark.parametrize("page", [1, 7, 1000, 70_000])
def test_pages_see_the_rows_of_their_beginning(db: Database, series: Container, batch: Make, page: int) -> None:
    count = 70_000 if page > 10 else 20
    times = pa.array(np.arange(count)[::-1].copy()).cast(pa.timestamp("ms", "UTC"))
    arrays = [times, pa.array(np.arange(count, dtype="f8")), pa.array(["x"] * count)]
    put_rows(db, series, pa.RecordBatch.from_arrays(arrays, schema=series.schema.arrow_schema))
    pages = run_paged(db, series, plan(series, "select *"), limit=None, transaction=None)
    seen = pages.take(page).batch.column(0).cast(pa.int64()).to_pylist()
    put_rows(db, series, batch(series.schema, (5, 0.0, "late"), (10**6, 0.0, "late")))
    db.settle()
    while not pages.done:
        seen += pages.take(page).batch.column(0).cast(pa.int64()).to_pylist()
    pages.close()
    assert seen == list(range(count))
    assert pages.total == count


def test_limits_meet(db: Database, series: Container, batch: Make, as_tuples: Make) -> None:
    put_rows(db, series, batch(series.schema, *((n, float(n), "") for n in range(10))))
    for text, limit, expected in (
        ("select * limit 3", 5, [0, 1, 2]),
        ("select * limit 5 offset 8", 9, [8, 9]),
        ("select *", 2, [0, 1]),
        ("select * order by v desc", 2, [9, 8]),
        ("select MAX_ROWS(v)", 0, []),
    ):
        found = run(db, series, plan(series, text), limit=limit)
        assert [row[0] for row in as_tuples(found)] == expected


def test_sums_wrap_as_they_do_in_the_real_server(db: Database, keyed: Container, batch: Make, ask: Make) -> None:
    big = 2**31 - 1
    put_rows(db, keyed, batch(keyed.schema, *(("k", big - n, 2**63 - 1) for n in range(3))))
    assert ask(keyed, "select sum(n)") == (GridType.INTEGER, (3 * big - 3 + 2**31) % 2**32 - 2**31)
    assert ask(keyed, "select sum(v)") == (GridType.LONG, (3 * (2**63 - 1) + 2**63) % 2**64 - 2**63)
