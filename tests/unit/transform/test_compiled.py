"""A compiled plan over whole batches: good rows in the container's schema, bad rows named."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gridferry.errors import DataError, LocalProtocolError
from gridferry.model.profile import TableProfile
from gridferry.model.table import Column, PgType, Table
from gridferry.plan.planner import plan_table
from gridferry.plan.table_options import table_options
from gridferry.transform.compiled import CompiledTransform, compile_columns
from gridferry.transform.refusals import Reason

_TABLE = Table(
    schema="public",
    name="t",
    relkind="r",
    columns=(
        Column("note", PgType("text", "text")),
        Column("ts", PgType("timestamptz", "timestamp with time zone"), nullable=False),
        Column("n", PgType("int4", "integer"), nullable=False),
        Column("doc", PgType("jsonb", "jsonb")),
    ),
)


def _compiled() -> CompiledTransform:
    return compile_columns(plan_table(_TABLE, TableProfile(0, ()), table_options(table="t", key="ts")))


def _batch(times: list[int | None], notes: list[str | None], numbers: list[int | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "n": pa.array(numbers, pa.int32()),
            "extra": pa.array(numbers, pa.int32()),
            "note": pa.array(notes, pa.utf8()),
            "ts": pa.array(times, pa.int64()).view(pa.timestamp("us", tz="UTC")),
            "doc": pa.array(["{}"] * len(times), pa.utf8()),
        }
    )


def test_good_rows_only() -> None:
    transform = _compiled()
    done = transform.transform(_batch([1001, 2002], ["a", None], [1, 2]))
    assert done.batch.schema.names == ["ts", "ts_us", "note", "n", "doc"]
    assert done.batch.schema == transform.schema
    assert (done.bad, done.rows) == ((), None)
    assert done.bad_rows.tolist() == []
    assert done.batch.column(0).view(pa.int64()).to_pylist() == [1, 2]
    assert done.batch.column(1).view(pa.int64()).to_pylist() == [1001, 2002]
    assert done.batch.column("note").to_pylist() == ["a", None]
    assert done.batch.validate(full=True) is None


def test_bad_rows_are_left_out_and_named_once_a_column() -> None:
    done = _compiled().transform(
        _batch([1000, -1, None, 3000, -5], ["a", "x" * 31745, "c", "d", "e"], [1, 2, 3, None, 5])
    )
    assert done.rows is not None
    assert done.rows.tolist() == [0]
    assert done.bad_rows.tolist() == [1, 2, 3, 4]
    found = {(b.column, b.reason): b.rows.tolist() for b in done.bad}
    assert found == {
        ("ts", Reason.NULL): [2],
        ("ts", Reason.TIME_RANGE): [1, 4],
        ("note", Reason.LENGTH): [1],
        ("n", Reason.NULL): [3],
    }
    assert "ts lies before 1970 or after 9999, or is infinite" in [b.sentence for b in done.bad]
    assert done.batch.column("note").to_pylist() == ["a"]
    assert all(b.rows.dtype == np.int64 for b in done.bad)


def test_no_rows() -> None:
    done = _compiled().transform(_batch([], [], []))
    assert (done.batch.num_rows, done.bad) == (0, ())


def test_a_slice_of_a_batch() -> None:
    whole = _batch([-1, 1000, 2000, -1], ["a", "b", "c", "d"], [0, 1, 2, 3])
    assert _compiled().transform(whole.slice(1, 2)).batch.column("n").to_pylist() == [1, 2]
    assert _compiled().transform(whole.slice(2)).bad[0].rows.tolist() == [1]


def test_extension_types_are_read_through() -> None:
    batch = _batch([1000], ["a"], [1])
    json = pa.json_() if hasattr(pa, "json_") else pa.utf8()
    column = pa.ExtensionArray.from_storage(json, batch.column("doc")) if json != pa.utf8() else batch.column("doc")
    done = _compiled().transform(batch.set_column(4, "doc", column))
    assert done.batch.column("doc").to_pylist() == ["{}"]


def test_a_changed_table_is_named() -> None:
    batch = _batch([1000], ["a"], [1])
    with pytest.raises(DataError, match="the column note was not read") as caught:
        _compiled().transform(batch.drop_columns(["note"]))
    assert "gridferry plan" in caught.value.next_step
    for name, array in (("n", pa.array(["x"])), ("ts", pa.array([1])), ("ts", pa.array([1], pa.timestamp("ns")))):
        position = batch.schema.get_field_index(name)
        with pytest.raises(DataError, match=f"the column {name} came as"):
            _compiled().transform(batch.set_column(position, name, array))


def test_an_unsound_plan_does_not_compile() -> None:
    plan = plan_table(_TABLE, TableProfile(0, ()), table_options(table="t", key="ts", rename={"n": "NOTE"}))
    with pytest.raises(LocalProtocolError):
        compile_columns(plan)
