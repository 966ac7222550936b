"""Every rule of the type table through the whole path: each edge value is stored as the table says, or refused."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.ferry import QUARANTINE, Ferry
from tests.type_samples import SAMPLES, Edge, Sample, known_to

from gridferry.errors import PlanError
from gridferry.griddb.schema import GridType
from gridferry.transform.refusals import Reason

ENUM = "CREATE TYPE mood AS ENUM ('fine', 'sad')"
PLAIN = [s for s in SAMPLES if not s.in_key and not s.truncate]
CUT = [s for s in SAMPLES if s.truncate]
_KEY_TARGETS = (GridType.INTEGER, GridType.LONG, GridType.TIMESTAMP_US, GridType.TIMESTAMP_MS)
_KEY_TEXTS = ("text", "varchar(30)", "char(5)", "name", "uuid")
KEYS = [s for s in SAMPLES if s.in_key] + [
    s for s in PLAIN if s.wish is None and (s.target in _KEY_TARGETS or s.sql in _KEY_TEXTS)
]


def good(sample: Sample) -> list[Edge]:
    return [e for e in sample.edges if not isinstance(e.stored, Reason)]


def bad(sample: Sample) -> list[Edge]:
    return [e for e in sample.edges if isinstance(e.stored, Reason)]


def bits(value: Any) -> Any:
    """Equal exactly where the values are: floats by their bits, every NaN alike."""
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else struct.pack(">d", value))
    return value


def table_of(postgres: Database, samples: Sequence[Sample], rows: list[dict[int, str]]) -> dict[str, Any]:
    """A table `t` with a column c0, c1, ... for each sample, and the literals given by row; its `columns` wishes."""
    postgres.run(ENUM)
    columns = "".join(f", c{i} {sample.sql}" for i, sample in enumerate(samples))
    postgres.run(f"CREATE TABLE t (id integer PRIMARY KEY{columns})")
    with postgres.connection.cursor() as cursor:
        for number, row in enumerate(rows):
            names = "".join(f", c{i}" for i in row)
            marks = "".join(f", %s::text::{samples[i].sql}" for i in row)
            cursor.execute(f"INSERT INTO t (id{names}) VALUES (%s{marks})", (number, *row.values()))
    # A default that cannot hold a value gives way to another type, where nothing is said.
    wanted = [s.wish or (s.target if bad(s) else None) for s in samples]
    wishes = {f"c{i}": wish.label.lower() for i, wish in enumerate(wanted) if wish is not None}
    return {"columns": wishes} if wishes else {}


@pytest.mark.parametrize(("samples", "options"), [(PLAIN, {}), (CUT, {"precision": "truncate"})], ids=["plain", "cut"])
def test_every_edge_value_and_null_is_stored_as_the_type_table_says(
    ferry: Ferry, postgres: Database, samples: list[Sample], options: dict[str, Any]
) -> None:
    samples = known_to(samples, postgres.version)
    depth = max(len(good(s)) for s in samples)
    rows = [{i: good(s)[n].literal for i, s in enumerate(samples) if n < len(good(s))} for n in range(depth)]
    wishes = table_of(postgres, samples, [*rows, {}])
    ferry = ferry.of({"table": "t", **wishes, **options})
    ferry.load()
    stored = {row["id"]: row for row in ferry.rows("t")}
    assert sorted(stored) == list(range(depth + 1))
    for i, sample in enumerate(samples):
        column = [bits(stored[n][f"c{i}"]) for n in range(depth + 1)]
        expected = [bits(e.stored) for e in good(sample)]
        expected += [None] * (depth + 1 - len(expected))
        assert column == expected, sample.name
    assert ferry.equal()


@pytest.mark.parametrize("sample", KEYS, ids=lambda s: s.name)
def test_every_type_that_can_be_a_key_keeps_its_edge_values(ferry: Ferry, postgres: Database, sample: Sample) -> None:
    postgres.run(f"CREATE TABLE k (k {sample.sql} PRIMARY KEY, n integer)")
    (sample,) = known_to([sample], postgres.version)
    for number, edge in enumerate(good(sample)):
        postgres.connection.execute(f"INSERT INTO k VALUES (%s::text::{sample.sql}, %s)", (edge.literal, number))
    ferry = ferry.of({"table": "k", "kind": "collection"})
    ferry.load()
    found = {row["n"]: row["k"] for row in ferry.rows("k")}
    assert found == {number: edge.stored for number, edge in enumerate(good(sample))}
    assert ferry.equal()


def test_every_value_without_a_place_is_quarantined_by_column_and_reason(ferry: Ferry, postgres: Database) -> None:
    plain = known_to(PLAIN, postgres.version)
    rows = [{i: e.literal} for i, s in enumerate(plain) for e in bad(s)]
    expected = [(f"c{i}", e.stored.value) for i, s in enumerate(plain) for e in bad(s) if isinstance(e.stored, Reason)]
    wishes = table_of(postgres, plain, rows)
    (load,) = ferry.of({"table": "t", **wishes, "on_bad_row": "quarantine"}).load()
    held = ferry.rows(QUARANTINE)
    assert sorted((r["column_name"], r["reason"]) for r in held) == sorted(expected)
    assert sorted(r["row_key"] for r in held) == sorted(f"id = {n}" for n in range(len(rows)))
    assert load.quarantined == len(rows)
    assert ferry.rows("t") == []


def test_without_quarantine_all_columns_with_such_values_are_named_at_once(ferry: Ferry, postgres: Database) -> None:
    plain = known_to(PLAIN, postgres.version)
    rows = [{i: e.literal} for i, s in enumerate(plain) for e in bad(s)]
    wishes = table_of(postgres, plain, rows)
    known = {
        f"c{i}" for i, s in enumerate(plain)
        if (bad(s) and not s.sql.startswith("numeric")) or s.sql == "numeric(18,0)"
    }  # fmt: skip
    with pytest.raises(PlanError) as caught:
        ferry.of({"table": "t", **wishes}).load()
    for column in known:
        assert any(f"values of {column} " in problem for problem in caught.value.problems), column
    assert ferry.names() == []
