"""Loads of whole databases: very many small tables, and tables of mixed sizes against one table with as many rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from bench.asked_process import ask
from bench.figures import Figure
from bench.loads import MEMORY_AIM_MB
from bench.servers import PREFIX, Target, drop_all

from gridferry.local.postgres import LocalPostgres

_TABLE = """
CREATE UNLOGGED TABLE {name} (id bigint PRIMARY KEY, at timestamp(3) NOT NULL, amount int, ratio float8, note text);
INSERT INTO {name} SELECT g, timestamp '2024-01-01' + g * interval '1 s', g % 1000, g / 7.0, 'note number ' || g % 100
FROM generate_series(1, {rows}) AS g;
ANALYZE {name};
"""
_SMALL, _MIXED, _ONE = (f"{PREFIX}db_{kind}" for kind in ("small", "mixed", "one"))


def measure(
    postgres: LocalPostgres, target: Target, *, small: int, rows_each: int, mixed: int, rows: int
) -> list[Figure]:
    """Load `small` tables of `rows_each` rows; then `mixed` tables with `rows` in all, and one table with as many."""
    part = f"database, {target.name}"
    each = _make(postgres, _SMALL, [rows_each] * small)
    many = _load(postgres, target, each)
    aim = 30.0 if (small, rows_each, target.name) == (500, 1000, "real") else None
    whole = _make(postgres, _ONE, [rows])
    parts = _make(postgres, _MIXED, shares(rows, mixed))
    one, mix = _load(postgres, target, whole), _load(postgres, target, parts)
    rate = rows / mix["seconds"]
    note = f"{mixed} tables, the largest with {shares(rows, mixed)[0]:,} rows"
    return [
        Figure(part, f"load {small:,} tables of {rows_each:,} rows", many["seconds"], "s", aim),
        Figure(part, f"peak memory, {small:,} tables", many["peak_mb"], "MB", MEMORY_AIM_MB),
        Figure(part, f"load {rows:,} rows of mixed tables", rate, "rows/s", note=note),
        Figure(part, "mixed tables / one table", one["seconds"] / mix["seconds"], "", 0.9, more_is_better=True),
    ]


def shares(rows: int, tables: int) -> list[int]:
    """The rows of tables of which the n-th has an n-th of the first one's; the largest first, `rows` in all."""
    weights = [1 / (number + 1) for number in range(tables)]
    found = [max(1, int(rows * weight / sum(weights))) for weight in weights]
    return [found[0] + rows - sum(found), *found[1:]]


def _make(postgres: LocalPostgres, prefix: str, sizes: Sequence[int]) -> list[str]:
    names = [f"{prefix}_{number}" for number in range(len(sizes))]
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        for name, rows in zip(names, sizes, strict=True):
            connection.execute(f"DROP TABLE IF EXISTS {name}".encode())
            connection.execute(_TABLE.format(name=name, rows=rows).encode())
    return names


def _load(postgres: LocalPostgres, target: Target, names: Sequence[str]) -> dict[str, Any]:
    """Load tables in a process of its own. Raises: RunFailed with what it said, if it failed."""
    asked = {"dsn": postgres.dsn(), "target": target.url, "password": target.password, "tables": list(names)}
    told = ask("bench.database_process", asked, doing=f"the load of {len(names)} tables")
    with target.connect() as store:
        drop_all(store, f"{PREFIX}db_")
    return told
