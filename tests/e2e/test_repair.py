"""Planted differences in every type: all repaired, nothing else touched, undone to the last bit, repaired again."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.planted import container_of, images, repair, stored_batch, value_of, with_value
from tests.e2e.test_type_table import ENUM, PLAIN, bits, good
from tests.type_samples import Sample

from gridferry.griddb import Container
from gridferry.griddb.schema import ColumnSpec, GridType

ROWS = 1200
DEVICES = 3


def literal(row: int, column: int) -> str | None:
    """What stands in a row of the table; each edge value in turn, and NULL."""
    edges = [e.literal for e in good(PLAIN[column])] + [None]
    return edges[(row + column) % len(edges)]


def expected(row: int, column: int) -> Any:
    edges = [bits(e.stored) for e in good(PLAIN[column])] + [None]
    return edges[(row + column) % len(edges)]


@pytest.fixture
def every_type(ferry: Ferry, postgres: Database) -> Ferry:
    """A table with a column of each type, in three containers, loaded."""
    postgres.run(ENUM)
    columns = "".join(f", c{i} {sample.sql}" for i, sample in enumerate(PLAIN))
    postgres.run(f"CREATE TABLE t (id integer PRIMARY KEY, device text{columns})")
    marks = "".join(f", %s::text::{sample.sql}" for sample in PLAIN)
    cycle = np.lcm.reduce([len(good(s)) + 1 for s in PLAIN])
    assert cycle > 1
    with postgres.connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO t VALUES (%s, %s{marks})",
            [(n, f"d{n % DEVICES}", *(shortened(literal(n, i)) for i in range(len(PLAIN)))) for n in range(ROWS)],
        )
    wishes = {f"c{i}": s.wish.label.lower() for i, s in enumerate(PLAIN) if s.wish is not None}
    ferry = ferry.of({"table": "t", "split_by": "device", "columns": wishes})
    ferry.load()
    return ferry


def shortened(text: str | None) -> str | None:
    """The longest texts in few rows only would do; here they are cut, or the table had hundreds of megabytes."""
    return text[:40] if text is not None and len(text) > 1000 else text


def changed(column: ColumnSpec, value: Any) -> Any:
    """The smallest change of a value: one bit, one microsecond, a blank at the end, an empty text for NULL."""
    if value is None:
        return empty_value(column.type)
    if column.type in (GridType.FLOAT, GridType.DOUBLE):
        form = "<f" if column.type is GridType.FLOAT else "<d"
        if value != value:
            return 1.0
        octets = bytearray(struct.pack(form, value))
        octets[0] ^= 1
        (other,) = struct.unpack(form, octets)
        return 0.0 if other != other else other
    if column.type is GridType.BOOL:
        return not value
    if column.type is GridType.STRING:
        return value + " " if len(value) < 30000 else value[:-1]
    return value + b"\0" if column.type is GridType.BLOB else value ^ 1


def empty_value(kind: GridType) -> Any:
    return {GridType.BOOL: False, GridType.STRING: "", GridType.BLOB: b"", GridType.DOUBLE: -0.0}.get(kind, 0)


def plant(ferry: Ferry, count: int = 1000) -> None:
    """`count` differences, one a row: changed values of every column in turn, rows deleted, added, and moved."""
    with ferry.store() as store:
        containers = [container_of(store, name) for name in ferry.names()]
        rows = [stored_batch(container) for container in containers]
        places = [(c, r) for c in range(len(containers)) for r in range(len(rows[c]))]
        chosen = [places[i] for i in np.random.default_rng(7).permutation(len(places))[: count - 20]]
        for number, (c, r) in enumerate(chosen):
            plant_one(containers, c, rows[c].slice(r, 1), number)
        for number in range(20):
            row = with_value(rows[0].slice(number, 1), 0, 1_000_000 + number)
            containers[0].put(row)


def plant_one(containers: list[Container], c: int, row: pa.RecordBatch, number: int) -> None:
    columns = containers[c].schema.columns
    if number % 20 == 19:
        containers[c].delete(row.select([0]))
    elif number % 20 == 18:  # with another device: it stands in another container
        containers[c].delete(row.select([0]))
        containers[(c + 1) % len(containers)].put(row)
    else:
        place = 1 + number % (len(columns) - 1)
        if columns[place].name == "device":
            place += 1
        containers[c].put(with_value(row, place, changed(columns[place], value_of(row, place))))


def as_the_type_table_says(ferry: Ferry) -> None:
    """Every value of every row as the type table says, read by the driver; not by the engine's own comparison."""
    for device, name in ferry.catalog("public.t").items():
        rows = {row["id"]: row for row in ferry.rows(name)}
        assert sorted(rows) == [n for n in range(ROWS) if f"d{n % DEVICES}" == device]
        for n, row in rows.items():
            for i in range(len(PLAIN)):
                wanted = expected(n, i)
                if not (isinstance(wanted, str | bytes) and len(wanted) > 1000):
                    assert bits(row[f"c{i}"]) == wanted, (n, PLAIN[i].name)


def as_postgres_says(ferry: Ferry, postgres: Database) -> None:
    """Every value of every row as PostgreSQL itself writes it as text, against what the driver reads."""
    told = 0
    stored = {row["id"]: row for name in ferry.names() for row in ferry.rows(name)}
    for i, sample in enumerate(PLAIN):
        if sample.sql.startswith(CAST_DIFFERS):
            continue
        with postgres.source_session() as session:
            texts = session.execute(f"SELECT id, {expression(sample, f'c{i}')} FROM public.t").fetchall()
        for n, text in texts:
            assert bits(stored[n][f"c{i}"]) == bits(parsed(sample, text)), (n, sample.name, text)
        told += len(texts)
    assert told > 10 * ROWS


CAST_DIFFERS = ("char", "inet")  # their cast to text is not what SELECT shows
# Times that no TIMESTAMP holds, as the number in a LONG.
FAR = {"date": "{0} - date '1970-01-01'", "timestamp": "trunc(extract(epoch FROM {0}) * 1000000)::bigint"}
ENDS = f"WHEN 'infinity' THEN {2**63 - 1} WHEN '-infinity' THEN {-(2**63)}"


def expression(sample: Sample, column: str) -> str:
    if sample.target in (GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US):
        unit = 1000 if sample.target is GridType.TIMESTAMP_MS else 1_000_000
        return f"trunc(extract(epoch FROM {column}) * {unit})::bigint::text"
    if sample.target is GridType.LONG and sample.pg_type.name in FAR:
        return f"CASE {column} {ENDS} ELSE {FAR[sample.pg_type.name].format(column)} END::text"
    if sample.target is GridType.BLOB:
        octets = column if sample.sql == "bytea" else f"convert_to({column}::text, 'UTF8')"
        return f"encode({octets}, 'hex')"
    return f"{column}::text"


def parsed(sample: Sample, text: str | None) -> Any:
    if text is None:
        return None
    if sample.target is GridType.BOOL:
        return text == "true"
    if sample.target is GridType.FLOAT:
        return float(np.float32(text))
    if sample.target is GridType.DOUBLE:
        return float(text)
    if sample.target is GridType.BLOB:
        return bytes.fromhex(text)
    return text if sample.target is GridType.STRING else int(Decimal(text))


def test_a_thousand_planted_differences_are_repaired_undone_and_repaired_again(
    every_type: Ferry, postgres: Database
) -> None:
    loaded = images(every_type)
    plant(every_type)
    planted = images(every_type)
    different = sum(
        len({k for k in {**loaded[c], **planted[c]} if loaded[c].get(k) != planted[c].get(k)}) for c in loaded
    )
    assert different >= 1000
    with every_type.migration() as migration:
        report = migration.repairs.repair()
        (done,) = report.tables
        assert report.verification.differences == different
        assert (done.rows, done.confirmed, done.moved, done.refused) == (different, different, 0, 0)
        assert report.exit_code == 0
        assert min(done.put, done.replaced, done.deleted) >= 20
        assert images(every_type) == loaded
        as_the_type_table_says(every_type)
        as_postgres_says(every_type, postgres)
        undone = migration.repairs.undo(done.run)
        assert (undone.restored, undone.kept) == (different, 0)
        assert images(every_type) == planted
        again = migration.repairs.undo(done.run)
        assert (again.restored, again.already, again.kept) == (0, different, 0)
        assert images(every_type) == planted
    assert repair(every_type, "public.t").rows == different
    assert images(every_type) == loaded
    assert repair(every_type, "public.t").run == ""
