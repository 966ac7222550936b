"""The stream and the snapshot reader give the same Arrow types and values, for every type and every edge."""

from __future__ import annotations

import pyarrow as pa
import pytest
from psycopg import sql

from gridferry.model.change import ChangeBatch
from gridferry.plan.generated_key import HASH_COLUMN, ORDINAL_COLUMN
from gridferry.plan.plan import ReadAs, SourceColumn
from gridferry.source.postgres.log.stream import ChangeStream
from gridferry.source.postgres.slots.publications import align_publications
from gridferry.source.postgres.slots.slots import create_slot, drop_slot, send_heartbeat
from gridferry.source.postgres.sql.row_hash import row_hash_sql

# Type, and literals of it. Each is read plain, and as text too.
VALUES: dict[str, tuple[str, ...]] = {
    "smallint": ("-32768", "32767"),
    "integer": ("-2147483648", "2147483647"),
    "bigint": ("-9223372036854775808", "9223372036854775807"),
    "real": ("0", "-0", "NaN", "Infinity", "-Infinity", "1.1", "3.4028235e38", "1e-45"),
    "double precision": ("0", "-0", "NaN", "Infinity", "-Infinity", "0.004955938648391245", "5e-324", "1e22"),
    "boolean": ("true", "false"),
    "text": ("", " a ", "ä€😀", "a\\b", "tab\there", "x" * 3000),
    "varchar(10)": ("", "ten letter"),
    "char(6)": ("", "a", "abcdef", "a b"),
    "name": ("abc",),
    "bytea": ("", "\\x00ff10", "\\x" + "ab" * 3000),
    "date": ("1970-01-01", "2020-02-29", "0001-01-01", "0044-03-15 BC", "4713-11-24 BC", "10000-01-01", "infinity",
             "-infinity", "5874897-12-31", "0001-02-29 BC"),
    "timestamp": ("1970-01-01", "2020-07-12 00:01:34.385975", "2020-07-12 00:01:34.3", "9999-12-31 23:59:59.999999",
                  "10000-01-01", "0044-03-15 12:30:00.5 BC", "4714-11-24 BC", "infinity", "-infinity",
                  "294276-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"),
    "timestamptz": ("1970-01-01 00:00+09", "2020-07-12 00:01:34.385975+00", "9999-12-31 23:59:59.999999+00",
                    "10000-01-01 00:00+00", "0044-03-15 12:30:00.5+00 BC", "infinity", "-infinity",
                    "1900-01-01 00:00+00"),
}  # fmt: skip
TEXT_VALUES: dict[str, tuple[str, ...]] = {
    "numeric": ("0", "NaN", "1e30", "-0.00010", "Infinity"),
    "numeric(15,5)": ("9999999999.99999", "0.1"),
    "uuid": ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",),
    "json": ('{"a" :  1}',),
    "jsonb": ('{"a" :  1}',),
    "inet": ("10.0.0.1", "10.0.0.1/8", "::1", "2001:db8::/32"),
    "cidr": ("10.0.0.0/8",),
    "interval": ("1 day 02:03:04.5", "-1 mon"),
    "time": ("24:00:00", "12:30:00.25"),
    "timetz": ("12:30:00+09",),
    "money": ("12.34",),
    "mood": ("fine",),
    "int[]": ("{1,NULL,-3}", "{}"),
    "text[]": ('{"a b",NULL,""}',),
    "int4range": ("[1,5)",),
    "bit(3)": ("101",),
    "oid": ("4294967295",),
    "point": ("(1.5,2)",),
    "tsvector": ("a b",),
    "macaddr": ("08:00:2b:01:02:03",),
    '"char"': ("x",),
}
WAYS = (ReadAs.PLAIN, ReadAs.TEXT)
CASES = [(name, literals, how) for name, literals in VALUES.items() for how in WAYS]
CASES += [(name, literals, ReadAs.TEXT) for name, literals in TEXT_VALUES.items()]
CASES += [(f"over_{base}", VALUES[base][:3], how) for base in ("date", "bigint", "text") for how in WAYS]


@pytest.fixture
def seen_twice(request, plan):
    """Every case as a column of one table: what the reader yields and what the stream yields."""
    database = request.getfixturevalue(request.param)
    database.run("CREATE TYPE mood AS ENUM ('fine')")
    for base in ("date", "bigint", "text"):
        database.run(f"CREATE DOMAIN inner_{base} AS {base}; CREATE DOMAIN over_{base} AS inner_{base}")
    columns = ", ".join(f"c{i} {name}" for i, (name, _, _) in enumerate(CASES))
    database.run(f"CREATE TABLE t (id serial PRIMARY KEY, {columns})")
    wanted = {"id": ReadAs.PLAIN, **{f"c{i}": how for i, (_, _, how) in enumerate(CASES)}}
    slot = "gridferry_types"
    align_publications(database.address, slot=slot, tables=[("public", "t")])
    try:
        with create_slot(database.address, slot) as made:
            start = made.start
        for row in range(max(len(literals) for _, literals, _ in CASES) + 1):
            values = ", ".join(
                "'" + literals[row].replace("'", "''") + "'" if row < len(literals) else "NULL"
                for _, literals, _ in CASES
            )
            database.run(f"INSERT INTO t VALUES (DEFAULT, {values})")
        with database.source.open_snapshot() as snapshot, snapshot.open_reader() as reader:
            chunks = snapshot.plan_chunks(snapshot.fetch_tables(["t"])[0], rows_per_chunk=10**9)
            read = [batch for chunk in chunks for batch in reader.read_chunk(chunk, plan("t", wanted))]
            hashed = sql.SQL("SELECT {} AS hash FROM public.t ORDER BY id").format(row_hash_sql(list(wanted)))
            hashes = [h for batch in reader.read_statement(hashed, doing="x") for h in batch.column(0).to_pylist()]
        key = (SourceColumn(HASH_COLUMN, ReadAs.ROW_HASH), SourceColumn(ORDINAL_COLUMN, ReadAs.ORDINAL))
        sources = {("public", "t"): (*key, *(SourceColumn(n, how) for n, how in wanted.items()))}
        until = send_heartbeat(database.connection)
        with ChangeStream(database.address, slot=slot, start=start, wanted=sources) as stream:
            streamed = [p.rows for g in stream.groups(until=until) for p in g.parts if isinstance(p, ChangeBatch)]
    finally:
        drop_slot(database.address, slot)
    return pa.Table.from_batches(read), pa.Table.from_batches(streamed), hashes


@pytest.mark.parametrize("seen_twice", ["postgres", "postgres_16"], indirect=True)
def test_every_value_is_the_same_both_ways(seen_twice):
    read, streamed, hashes = seen_twice
    assert streamed.column(HASH_COLUMN).to_pylist() == hashes
    assert streamed.column(ORDINAL_COLUMN).to_pylist() == [0] * len(hashes)
    different = {}
    for at, (name, _, how) in enumerate(CASES):
        one, two = (_bits(table.column(f"c{at}").combine_chunks()) for table in (read, streamed))
        if one.type != two.type or one.to_pylist() != two.to_pylist():
            different[name, how.value] = (one.type, two.type, one.to_pylist(), two.to_pylist())
    assert different == {}
    assert read.num_rows == streamed.num_rows == 12


def _bits(array: pa.Array) -> pa.Array:
    """Floats and times as the integers of the same bits, so that NaN, -0 and times beyond Python's years compare."""
    if pa.types.is_floating(array.type) or pa.types.is_temporal(array.type):
        return array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    return array
