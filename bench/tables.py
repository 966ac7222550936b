"""The source's tables, made inside PostgreSQL; and the options they are loaded with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from gridferry.plan.table_options import TableOptions, table_options

_SENSOR = """
CREATE UNLOGGED TABLE {name} (ts timestamp NOT NULL, device varchar(30) NOT NULL, co float8, humidity float8,
    light boolean, lpg float8, motion boolean, smoke float8, temp float8);
INSERT INTO {name} SELECT
    timestamp '2020-07-12 00:01:34' + (g * 1500) * interval '1 us' + (g % 7) * interval '1 us',
    (ARRAY['b8:27:eb:bf:9d:51', '00:0f:00:70:91:0a', '1c:bf:ce:15:ec:4d'])[1 + g % 3],
    0.004955938648391245 * (1 + g % 10007 / 10007.0), 40 + g % 300 / 10.0, g % 3 = 0,
    0.00765082227055719 * (1 + g % 10009 / 10009.0), g % 50 = 0,
    0.02041127012241292 * (1 + g % 10037 / 10037.0), 15 + g % 150 / 10.0
FROM generate_series(1::bigint, {rows}) AS g;
"""
_MIXED = """
CREATE UNLOGGED TABLE {name} (id bigint PRIMARY KEY, small smallint, whole integer, big bigint, single real,
    double double precision, price numeric(10,2), units numeric(15,0), discount numeric(5,3), name text,
    city varchar(40), code char(8), remark text, active boolean, made timestamp, seen timestamptz, day date,
    ref uuid, doc jsonb, raw bytea);
INSERT INTO {name} SELECT
    g, g % 32000, g * 7, g * 7919, g / 7.0, g / 11.0, g % 100000 / 100.0, g * 13 % 1000000, g % 1000 / 1000.0,
    'customer number ' || g, (ARRAY['Oslo', 'München', 'São Paulo', '東京'])[1 + g % 4], 'c' || g % 10000,
    CASE WHEN g % 3 = 0 THEN NULL ELSE repeat('remark ', (g % 9)::int) END, CASE WHEN g % 10 > 0 THEN g % 2 = 0 END,
    timestamp '2021-01-01' + g * interval '1 s', timestamptz '2021-01-01 00:00:00Z' + g * interval '1 min',
    date '2000-01-01' + (g % 9000)::int, md5(g::text)::uuid,
    jsonb_build_object('k', g, 'tags', jsonb_build_array('a', 'b')), decode(md5(g::text), 'hex')
FROM generate_series(1::bigint, {rows}) AS g;
"""
_FLEET = """
CREATE UNLOGGED TABLE {name} (ts timestamp(3) NOT NULL, device text NOT NULL, temp float8, humidity float8);
INSERT INTO {name} SELECT timestamp '2024-01-01' + g * interval '1 min', 'd' || d, d / 10.0, g / 10.0
FROM generate_series(1, {each}) AS g, generate_series(1, {devices}) AS d;
"""
# Logged, as what is followed has to be, and with a key that updates and deletes tell. Row g is of device g modulo the
# devices, g milliseconds after the first.
_FOLLOWED = """
CREATE TABLE {name} (ts timestamp(3) NOT NULL, device text NOT NULL, co float8, humidity float8, light boolean,
    lpg float8, motion boolean, smoke float8, temp float8, PRIMARY KEY (device, ts));
CREATE INDEX ON {name} (ts);
CREATE OR REPLACE PROCEDURE {name}_insert(first bigint, many bigint) LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO {name} SELECT timestamp '2024-01-01' + g * interval '1 ms', 'd' || g % {devices},
        0.004955938648391245 * (1 + g % 10007 / 10007.0), 40 + g % 300 / 10.0, g % 3 = 0,
        0.00765082227055719 * (1 + g % 10009 / 10009.0), g % 50 = 0,
        0.02041127012241292 * (1 + g % 10037 / 10037.0), 15 + g % 150 / 10.0
    FROM generate_series(first, first + many - 1) AS g;
END $$;
CREATE OR REPLACE PROCEDURE {name}_update(first bigint, many bigint) LANGUAGE plpgsql
SET enable_seqscan = off AS $$ BEGIN
    FOR g IN first .. first + many - 1 LOOP
        UPDATE {name} SET temp = temp + 1
        WHERE device = 'd' || g % {devices} AND ts = timestamp '2024-01-01' + g * interval '1 ms';
    END LOOP;
END $$;
CREATE OR REPLACE PROCEDURE {name}_delete(first bigint, many bigint) LANGUAGE plpgsql
SET enable_seqscan = off AS $$ BEGIN
    FOR g IN first .. first + many - 1 LOOP
        DELETE FROM {name}
        WHERE device = 'd' || g % {devices} AND ts = timestamp '2024-01-01' + g * interval '1 ms';
    END LOOP;
END $$;
CREATE OR REPLACE PROCEDURE {name}_mixed(first bigint, inserts bigint, updates bigint, deletes bigint)
LANGUAGE plpgsql AS $$ BEGIN
    CALL {name}_insert(first, inserts);
    CALL {name}_update(first - 2 * inserts, updates);
    CALL {name}_delete(first - 3 * inserts - deletes, deletes);
END $$;
CREATE OR REPLACE PROCEDURE {name}_backlog(first bigint, transactions bigint, inserts bigint, updates bigint,
    deletes bigint) LANGUAGE plpgsql AS $$ BEGIN
    FOR t IN 0 .. transactions - 1 LOOP
        CALL {name}_mixed(first + t * inserts, inserts, updates, deletes);
        COMMIT;
    END LOOP;
END $$;
CALL {name}_insert(0, {rows});
"""


@dataclass(frozen=True)
class SourceTable:
    """A table in the source, and how it is loaded."""

    name: str
    rows: int
    wishes: dict[str, Any]

    @property
    def options(self) -> TableOptions:
        """The options, as a config file would give them."""
        return table_options(table=f"public.{self.name}", **self.wishes)


def make_sensor(dsn: str, rows: int, *, name: str = "bench_sensor") -> SourceTable:
    """Readings of three devices with microseconds: 9 columns there, 9 in GridDB (key, microseconds, no device)."""
    _run(dsn, _SENSOR.format(name=name, rows=rows), name)
    return SourceTable(name, rows, {"split_by": "device", "key": ["ts"], "container": name + "_{value}"})


def make_mixed(dsn: str, rows: int, *, name: str = "bench_mixed") -> SourceTable:
    """20 columns of many types, with NULLs, into one COLLECTION."""
    _run(dsn, _MIXED.format(name=name, rows=rows), name)
    return SourceTable(name, rows, {"container": name})


def make_fleet(dsn: str, devices: int, *, each: int = 10, name: str = "bench_fleet") -> SourceTable:
    """`each` readings of many devices, all devices of a minute next to each other."""
    _run(dsn, _FLEET.format(name=name, devices=devices, each=each), name)
    return SourceTable(name, devices * each, {"split_by": "device", "key": ["ts"], "container": name + "_{value}"})


def make_followed(dsn: str, *, devices: int, rows: int, mode: str, name: str) -> SourceTable:
    """`rows` readings of devices in turn, with a primary key and procedures that change them; followed in a mode.

    The procedures `NAME_insert`, `_update` and `_delete` take the first row's number and how many; `_mixed` and
    `_backlog` do all three, in one transaction and in many.
    """
    _run(dsn, _FOLLOWED.format(name=name, devices=devices, rows=rows), name)
    wishes = {
        "split_by": "device",
        "key": ["ts"],
        "container": name + "_{value}",
        "on_duplicate": "last",
        "sync": {"mode": mode},
    }
    return SourceTable(name, rows, wishes)


def _run(dsn: str, statements: str, name: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {name}".encode())
        connection.execute(statements.encode())
        connection.execute(f"VACUUM ANALYZE {name}".encode())
