"""Any table: random types, names, keys and rows, loaded and compared with what PostgreSQL itself says of each value.

The seed is in the test's name; GRIDFERRY_SEEDS=n runs n of them.
"""

from __future__ import annotations

import os
import random
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import sql
from tests.conftest import Database
from tests.e2e.ferry import Ferry

SEEDS = int(os.environ.get("GRIDFERRY_SEEDS", "24"))
LETTERS = "aZ0_ -.'\"\\%äß€😀\t\n/=:{}"
NAMES = ("plain", "Upper", "with blank", 'quo"te', "sel%ect", "ünï", "dot.ted", "a'b", "select")
FIRST_US, LAST_US = 0, 253402300799999999


def real(value: float) -> bytes:
    return b"nan" if value != value else struct.pack(">f", value)


def double(value: float) -> bytes:
    return b"nan" if value != value else struct.pack(">d", value)


@dataclass(frozen=True)
class Kind:
    """A type: a literal for a random value, the SQL that asks PostgreSQL for it, and what GridDB must then hold.

    `show` is an expression over a column; `want` turns what psycopg gives for it into what `got` makes of the stored.
    """

    sql: str
    value: Callable[[random.Random], str]
    show: str = "{}"
    want: Callable[[Any], Any] = lambda v: v
    got: Callable[[Any], Any] = lambda v: v
    key: bool = True


def whole(bits: int) -> Callable[[random.Random], str]:
    edge = 2 ** (bits - 1)
    return lambda r: str(r.choice([-edge, edge - 1, 0, r.randrange(-edge, edge), r.randrange(-100, 100)]))


def floats(r: random.Random) -> str:
    return r.choice(["NaN", "Infinity", "-Infinity", "-0", "0", "1e-30", repr(r.uniform(-1e9, 1e9)), repr(r.random())])


def text(r: random.Random) -> str:
    return "".join(r.choice(LETTERS) for _ in range(r.choice([0, 1, 5, 20, 300])))


def stamp(r: random.Random) -> str:
    us = r.choice([FIRST_US, LAST_US, r.randrange(LAST_US), 1594512094385975 + r.randrange(3000)])
    return str(datetime(1970, 1, 1) + timedelta(microseconds=us))


def coarse_stamp(r: random.Random) -> str:
    return str(datetime(1970, 1, 1) + timedelta(milliseconds=r.choice([0, LAST_US // 1000, r.randrange(10**12)])))


# In two parts: before PostgreSQL 14 extract() gives a double, which has not digits enough for both.
US = (
    "(extract(epoch from date_trunc('second', {0}))::bigint * 1000000"
    " + extract(microseconds from {0})::bigint % 1000000)"
)
KINDS = (
    Kind("smallint", whole(16)),
    Kind("integer", whole(32)),
    Kind("bigint", whole(64)),
    Kind("boolean", lambda r: r.choice(["true", "false"]), key=False),
    Kind("real", floats, want=real, got=real, key=False),
    Kind("double precision", floats, want=double, got=double, key=False),
    Kind("numeric(12,0)", lambda r: str(r.randrange(-10**12 + 1, 10**12)), "{}::bigint"),
    Kind("numeric(14,4)", lambda r: f"{r.uniform(-1e9, 1e9):.4f}", "{}::float8", double, double, key=False),
    Kind("numeric", lambda r: f"{r.randrange(10**30)}.{r.randrange(10**9)}", "{}::text", key=False),
    Kind("text", text),
    Kind("varchar(400)", text),
    Kind("char(301)", text, "rpad({}::text, 301)", key=False),
    Kind("bytea", lambda r: "\\x" + r.randbytes(r.choice([0, 1, 40])).hex(), key=False),
    Kind("uuid", lambda r: f"{r.getrandbits(128):032x}", "{}::text"),
    Kind("jsonb", lambda r: '{"b": [1, null, "ä"], "a": ' + str(r.randrange(9)) + "}", "{}::text", key=False),
    Kind("date", lambda r: f"{r.randrange(1970, 9999)}-02-{r.randrange(1, 29):02d}",
         "(extract(epoch from {}) * 1000)::bigint"),
    Kind("timestamp", stamp, US),
    Kind("timestamptz", stamp, US),
    Kind("timestamp(3)", coarse_stamp, US),
    Kind('"my Mood"', lambda r: r.choice(["fine", "so so", "ß"]), "{}::text"),
    Kind("positive", lambda r: str(r.randrange(1, 2**31))),
    Kind("word", text, "{}::text"),
)  # fmt: skip
TYPES = (
    "CREATE TYPE \"my Mood\" AS ENUM ('fine', 'so so', 'ß')",
    "CREATE DOMAIN positive AS integer CHECK (VALUE > 0)",
    "CREATE DOMAIN word AS text",
)


def literal(kind: Kind, value: str) -> sql.Composable:
    """A value in SQL."""
    return sql.SQL("{}::text::" + kind.sql).format(sql.Literal(value))


class RandomTable:
    """A table made from a seed: what is told to PostgreSQL, and the config for it."""

    def __init__(self, seed: int) -> None:
        self.random = r = random.Random(seed)
        names = r.sample(NAMES, r.randrange(3, len(NAMES)))
        self.columns = {name: r.choice(KINDS) for name in names}
        keys = [n for n, k in self.columns.items() if k.key] or ["id"]
        if keys == ["id"]:
            self.columns["id"] = KINDS[2]
        self.key = tuple(r.sample(keys, min(len(keys), r.randrange(1, 3))))
        rest = [n for n in keys if n not in self.key]
        splits = [n for n in rest if self.columns[n].sql in ('"my Mood"', "word", "smallint", "uuid")]
        self.split = r.choice(splits) if splits and r.random() < 0.7 else None
        self.unique = r.choice(["primary", "unique", "none"])
        self.partitioned = r.random() < 0.3
        self.name = r.choice(["t", "Table Two", "täble", 'q"uote'])
        self.rows = r.choice([0, 1, 7, 60, 200])
        self.nullable = {n for n in self.columns if n not in self.key and r.random() < 0.6}

    def make(self, postgres: Database) -> None:
        for statement in TYPES:
            postgres.run(statement)
        columns: list[sql.Composable] = [
            sql.SQL("{} " + kind.sql + ("" if name in self.nullable else " NOT NULL")).format(sql.Identifier(name))
            for name, kind in self.columns.items()
        ]
        columns.append(sql.SQL("dropped integer DEFAULT 7"))
        columns.append(sql.SQL("made integer GENERATED ALWAYS AS (1 + 1) STORED"))
        keys = sql.SQL(", ").join(map(sql.Identifier, self.key))
        if self.unique != "none":
            columns.append(sql.SQL("PRIMARY KEY ({})" if self.unique == "primary" else "UNIQUE ({})").format(keys))
        tail = sql.SQL(" PARTITION BY HASH ({})").format(keys) if self.partitioned else sql.SQL("")
        table = sql.Identifier(self.name)
        comma = sql.SQL(", ")
        run = postgres.connection.execute
        run(sql.SQL("CREATE TABLE {} ({}){}").format(table, comma.join(columns), tail))
        for part in range(3 if self.partitioned else 0):
            child = sql.Identifier(f"{self.name} {part}")
            run(sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES WITH (MODULUS 3, REMAINDER {})").format(
                child, table, sql.Literal(part)))  # fmt: skip
        run(sql.SQL("ALTER TABLE {} DROP COLUMN dropped").format(table))
        seen = set()
        for _ in range(self.rows):
            row = {n: self._value(n) for n in self.columns}
            key = tuple(row[n] for n in self.key)
            if key in seen:
                continue
            seen.add(key)
            values = [sql.SQL("NULL") if v is None else literal(self.columns[n], v) for n, v in row.items()]
            names = comma.join(map(sql.Identifier, row))
            of_key = [(sql.Identifier(n), literal(self.columns[n], row[n] or "")) for n in self.key]
            same = [sql.SQL("{} = {}").format(*pair) for pair in of_key]
            # Two literals may be one value (two spellings of a number): the first stays.
            insert = sql.SQL("INSERT INTO {} ({}) SELECT {} WHERE NOT EXISTS (SELECT FROM {} WHERE {})")
            run(insert.format(table, names, comma.join(values), table, sql.SQL(" AND ").join(same)))

    def _value(self, name: str) -> str | None:
        if name in self.nullable and self.random.random() < 0.2:
            return None
        value = self.columns[name].value(self.random)
        if name == self.split:
            value = self.random.choice([value, self.columns[name].value(random.Random(self.random.randrange(4)))])
        return value

    @property
    def legal(self) -> dict[str, str]:
        """A GridDB name for each column that PostgreSQL can call as it likes."""
        return {n: f"c{i}" for i, n in enumerate(self.columns)}

    @property
    def options(self) -> dict[str, Any]:
        split = {"split_by": self.split, "container": "x_{value}"} if self.split else {"container": "whole"}
        exclude = {} if self.random.random() < 0.5 else {"exclude": ["made"]}
        table = '"' + self.name.replace('"', '""') + '"'
        return {"table": table, "key": list(self.key), "rename": self.legal, **split, **exclude}

    def wanted(self, postgres: Database) -> dict[str | None, Counter[tuple[Any, ...]]]:
        """All rows by split value, as PostgreSQL shows them."""
        shown = [sql.SQL(kind.show).format(sql.Identifier(n)) for n, kind in self.columns.items()]
        split = sql.SQL("NULL") if self.split is None else sql.SQL("{}::text").format(sql.Identifier(self.split))
        statement = sql.SQL("SELECT {}, {} FROM {}").format(split, sql.SQL(", ").join(shown), sql.Identifier(self.name))
        found: dict[str | None, Counter[tuple[Any, ...]]] = {}
        for value, *row in postgres.connection.execute(statement).fetchall():
            kept = tuple(
                None if v is None else kind.want(v)
                for v, (n, kind) in zip(row, self.columns.items(), strict=True)
                if n != self.split
            )
            found.setdefault(value, Counter())[kept] += 1
        return found

    def got(self, rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
        """A container's rows in the same form."""
        found: Counter[tuple[Any, ...]] = Counter()
        for row in rows:
            found[tuple(self._stored(row, n, k) for n, k in self.columns.items() if n != self.split)] += 1
            assert row.get("made", 2) == 2
        return found

    def _stored(self, row: dict[str, Any], name: str, kind: Kind) -> Any:
        column = self.legal[name]
        value = row[column]
        if kind.sql.startswith("timestamp") and value is not None and name in self.key:
            # A TIME_SERIES keeps milliseconds in its key, and finer digits beside it; a COLLECTION microseconds.
            fine = row.get(f"{column}_us")
            assert fine is None or fine // 1000 == value
            return fine if fine is not None else value * 1000 if self.milliseconds else value
        return None if value is None else kind.got(value)

    milliseconds = False


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_table_arrives_value_by_value(ferry: Ferry, postgres: Database, seed: int) -> None:
    table = RandomTable(seed)
    table.make(postgres)
    ferry = ferry.of(table.options)
    (load,) = ferry.load(rows_per_chunk=25, workers=2)
    wanted = table.wanted(postgres)
    names = ferry.catalog(f"public.{table.name}")
    found = {}
    for value, name in names.items():
        with ferry.store() as store:
            container = store.open_container(name)
            assert container is not None
            table.milliseconds = container.schema.key[0].type.name == "TIMESTAMP_MS"
        found[value] = table.got(ferry.rows(name))
    assert {v: rows for v, rows in found.items() if rows} == wanted
    assert sum(c.target_rows for c in load.containers) == sum(rows.total() for rows in wanted.values())
    assert ferry.equal()
